//! Asks outside parties again for what they did not take back, across restarts, one replica at a time (ADR 16).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use gateway_control::Documents;
use gateway_core::audit::{Decision, Event, EventKind};
use gateway_core::ports::{Random, Revocations, StateError, TakesBack, Ticket, TicketKind, Tickets};
use gateway_core::revocation::{Attempt, Return, ReturnState};
use gateway_core::time::{Clock, Timestamp};

/// How often it is looked whether something is due.
const LOOKING: Duration = Duration::from_secs(1);
/// How many are due at a time, and how many parties are asked at once.
const BATCH: u32 = 64;
const AT_ONCE: usize = 8;
/// How long one try may take, and how long nobody else makes it.
const TRYING: Duration = Duration::from_secs(30);
const HELD: Duration = Duration::from_secs(60);
/// How long what is done with and is nobody's evidence is kept.
const KEPT: Duration = Duration::from_hours(24 * 30);
/// How often such records are deleted.
const FORGETTING: Duration = Duration::from_secs(3_600);

/// Collects what is owed.
pub(super) struct Collector {
    pub(super) records: Arc<dyn Revocations>,
    pub(super) parties: Arc<dyn TakesBack>,
    pub(super) tickets: Arc<dyn Tickets>,
    pub(super) documents: Documents,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
}

/// What the process before this one had made, and nobody uses any more: it goes back now. Only where the state can
/// have no other replica, and before the first call.
pub(super) async fn inherit(records: &dyn Revocations, now: Timestamp) -> Result<(), StateError> {
    let mut left = records.unassigned().await?;
    left.retain(Return::stands);
    left.iter_mut().for_each(|one| one.due_at = Some(now));
    if !left.is_empty() {
        tracing::info!(count = left.len(), "leases of a process that is gone go back");
        records.file(&left).await?;
    }
    Ok(())
}

impl Collector {
    /// Collects for ever.
    pub(super) async fn keep(self) {
        let mut tick = tokio::time::interval(LOOKING);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut forgotten = self.clock.now();
        loop {
            tick.tick().await;
            let now = self.clock.now();
            self.parties.settle().await;
            if let Err(error) = self.collect(now).await {
                tracing::warn!(%error, "what outside parties owe could not be looked through");
            }
            if now >= forgotten.plus(FORGETTING) {
                forgotten = now;
                let kept_since =
                    now.micros().saturating_sub(i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX));
                if let Err(error) = self.records.forget_returns(Timestamp::from_micros(kept_since)).await {
                    tracing::warn!(%error, "old records of what went back could not be deleted");
                }
            }
        }
    }

    /// One round: everything that is due, once.
    pub(super) async fn collect(&self, now: Timestamp) -> Result<(), StateError> {
        let due = self.records.due(now, BATCH).await?;
        let tried = due.into_iter().map(|one| self.collect_one(one.id, now));
        let changed: Vec<Option<String>> = stream::iter(tried).buffer_unordered(AT_ONCE).collect().await;
        let revocations: BTreeSet<String> = changed.into_iter().flatten().collect();
        for revocation in revocations {
            if let Err(refusal) = self.documents.advance(&revocation).await {
                tracing::error!(%revocation, inside = refusal.inside().unwrap_or(""),
                    "the document of a revocation could not be brought forward");
            }
        }
        Ok(())
    }

    /// Asks about one, if nobody else does. Gives the revocation whose document it may change.
    async fn collect_one(&self, id: String, now: Timestamp) -> Option<String> {
        let ticket = Ticket {
            kind: TicketKind::TakingBack,
            key: id.clone(),
            content: "{}".to_owned(),
            expires_at: now.plus(HELD),
        };
        match self.tickets.insert(&ticket, now).await {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                tracing::warn!(%error, "it cannot be told whether another replica asks");
                return None;
            }
        }
        let revocation = self.try_one(&id, now).await;
        if let Err(error) = self.tickets.take(TicketKind::TakingBack, &id, now).await {
            tracing::warn!(%error, "the mark of a try was left; it ends by itself");
        }
        revocation
    }

    async fn try_one(&self, id: &str, now: Timestamp) -> Option<String> {
        // Read again: another replica may have been here a moment ago.
        let one = self.records.filed(id).await.ok().flatten()?;
        one.due_at.filter(|due| *due <= now)?;
        // What stood until its own end, in whosever hands, goes back no more.
        let over = one.stands() && one.has_expired(now);
        let attempt = if one.asks() && !over {
            let silent = || Attempt::new(ReturnState::Unanswered, "unavailable");
            tokio::time::timeout(TRYING, self.parties.take_back(&one)).await.unwrap_or_else(|_| silent())
        } else {
            // Nobody was to be asked any more, and its end has come.
            Attempt { state: one.state, answer: one.answer.clone().unwrap_or_else(|| "not_asked".to_owned()) }
        };
        let mut jitter = [0_u8; 1];
        self.random.fill(&mut jitter);
        let [jitter] = jitter;
        let (before, asked) = (one.state, one.asks() && !over);
        let mut after = one.tried(attempt, self.clock.now(), jitter);
        after.tries = after.tries.saturating_sub(u32::from(!asked));
        if matches!(after.state, ReturnState::Expired | ReturnState::Irrevocable) {
            self.parties.let_go(&after).await;
        }
        // An end of its own that nobody waited for is no news.
        let is_news = asked || before != after.state && !(over && after.revocation.is_none());
        let evidence = is_news.then(|| self.evidence(&after)).into_iter().collect();
        if let Err(error) = self.records.settle(std::slice::from_ref(&after), &[], evidence).await {
            tracing::warn!(%error, "what an outside party answered could not be filed; it is asked again");
            return None;
        }
        after.revocation
    }

    /// Filed with what it tells of, in one step; the house brings it into the chain.
    fn evidence(&self, one: &Return) -> Event {
        let mut event = Event::new(EventKind::CredentialReturned, self.clock.now());
        event.environment = Some(one.subject.environment.clone());
        event.binding.clone_from(&one.subject.binding);
        event.agent.clone_from(&one.subject.agent);
        event.grant.clone_from(&one.subject.grant);
        event.revocation.clone_from(&one.revocation);
        event.provider = one.party.strip_prefix("provider ").and_then(|name| name.parse().ok());
        event.decision = Some(if one.state.is_open() { Decision::Deny } else { Decision::Allow });
        event.status = Some(one.state.word().to_owned());
        event.answer.clone_from(&one.answer);
        event.count = Some(u64::from(one.count));
        event
    }
}

#[cfg(test)]
mod tests;
