//! Giving tokens back: at the provider where it takes them (RFC 7009), with evidence of what it answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use gateway_core::audit::{BindingRevision, Event, EventKind};
use gateway_core::revocation::{Attempt, Return, ReturnKind, ReturnState, ReturnSubject, Way};

use super::Shared;
use super::cache::{Held, Key};
use crate::source::ledger::latest;
use crate::source::provider::TokenHint;

/// How long all of it may take: whoever revokes waits for it.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long what was not taken back may take to be put where it waits.
const KEEPING: Duration = Duration::from_secs(10);

/// How many requests run at a time.
const AT_A_TIME: usize = 16;

impl Shared {
    /// Gives back what was taken out of the cache; says how many values there were.
    pub(super) async fn end(&self, ended: Vec<(Key, Held)>) -> u32 {
        let count = u32::try_from(ended.len()).unwrap_or(u32::MAX);
        let mut by_binding: BTreeMap<_, (Key, Vec<Held>)> = BTreeMap::new();
        for (key, held) in ended {
            let place = (key.environment.clone(), key.binding.clone(), key.revision);
            by_binding.entry(place).or_insert_with(|| (key, Vec::new())).1.push(held);
        }
        let all = by_binding.into_values().map(|(key, held)| async move { self.give_back(&key, held).await });
        stream::iter(all).buffer_unordered(AT_A_TIME).collect::<Vec<()>>().await;
        count
    }

    /// Gives back tokens of one binding, and files what became of each.
    pub(super) async fn give_back(&self, key: &Key, held: Vec<Held>) {
        let held: Vec<Arc<Held>> = held.into_iter().map(Arc::new).collect();
        let source = held.first().map_or("", |held| held.source);
        let attempts = self.ask_all(&held).await;
        let mut answers: BTreeMap<&str, u64> = BTreeMap::new();
        for attempt in &attempts {
            let count = answers.entry(attempt.answer.as_str()).or_default();
            *count = count.saturating_add(1);
        }
        for (answer, count) in answers {
            self.returned(key, source, answer.to_owned(), count);
        }
        let returns = self.filed(key, held.into_iter().zip(attempts)).await;
        self.ledger.file(returns).await;
    }

    /// Asks the provider about each of them, within the deadline.
    async fn ask_all(&self, held: &[Arc<Held>]) -> Vec<Attempt> {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        let silent = || Attempt::new(ReturnState::Unanswered, "unavailable");
        let mut attempts: Vec<Attempt> = held.iter().map(|_| silent()).collect();
        let mut requests = stream::iter(held.iter().cloned().enumerate())
            .map(|(place, held)| async move {
                let token = &held.version.secret;
                let revocation = self.client.revoke(&held.provider, token, TokenHint::AccessToken).await;
                (place, revocation.attempt())
            })
            .buffer_unordered(AT_A_TIME);
        while let Ok(Some((place, attempt))) = tokio::time::timeout_at(deadline, requests.next()).await {
            if let Some(known) = attempts.get_mut(place) {
                *known = attempt;
            }
        }
        attempts
    }

    /// What is filed: in sum what is over and what only expires, one by one what is asked for again.
    async fn filed(&self, key: &Key, all: impl Iterator<Item = (Arc<Held>, Attempt)>) -> Vec<Return> {
        let mut sums: BTreeMap<(String, String), Vec<Arc<Held>>> = BTreeMap::new();
        let mut again = Vec::new();
        for (held, attempt) in all {
            if matches!(attempt.state, ReturnState::Ended | ReturnState::Irrevocable) {
                let place = (attempt.state.word().to_owned(), attempt.answer);
                sums.entry(place).or_default().push(held);
            } else {
                again.push((held, attempt));
            }
        }
        let mut returns = Vec::new();
        for ((word, answer), held) in sums {
            let over = word == ReturnState::Ended.word();
            let state = if over { ReturnState::Ended } else { ReturnState::Irrevocable };
            let Some(first) = held.first() else { continue };
            let mut one = self.one(key, first, Way::Nobody);
            one.id = self.ledger.fresh_id();
            one.count = u32::try_from(held.len()).unwrap_or(u32::MAX);
            one.expires_at = latest(held.iter().map(|held| held.version.expires_at));
            returns.push(self.ledger.tried(one, Attempt { state, answer }));
        }
        let deadline = tokio::time::Instant::now() + KEEPING;
        let keeping = again.into_iter().map(|(held, attempt)| self.kept(key, held, attempt, deadline));
        returns.extend(stream::iter(keeping).buffer_unordered(AT_A_TIME).collect::<Vec<_>>().await);
        returns
    }

    /// One that is asked for again, where there is a place for its token.
    async fn kept(
        &self,
        key: &Key,
        held: Arc<Held>,
        attempt: Attempt,
        deadline: tokio::time::Instant,
    ) -> Return {
        let one = self.one(key, &held, Way::Nobody);
        let one = one.identified("access_token", held.version.version.as_str());
        let keeping = self.ledger.keep(&held.provider, &one.id, &held.version.secret);
        match tokio::time::timeout_at(deadline, keeping).await {
            Ok(Ok(place)) => {
                let way = Way::Token { provider: Box::new((*held.provider).clone()), place };
                self.ledger.tried(Return { way, ..one }, attempt)
            }
            outcome => {
                if let Ok(Err(refusal)) = outcome {
                    tracing::warn!(provider = %key.provider, inside = refusal.inside().unwrap_or(""),
                        "a token that its provider did not take back could not be kept for another try");
                }
                let state = ReturnState::Irrevocable;
                self.ledger.tried(one, Attempt { state, ..attempt })
            }
        }
    }

    fn one(&self, key: &Key, held: &Held, way: Way) -> Return {
        let subject = ReturnSubject {
            environment: key.environment.clone(),
            binding: Some(BindingRevision { name: key.binding.clone(), revision: key.revision }),
            agent: held.agent.clone(),
            grant: None,
        };
        let party = format!("provider {}", key.provider);
        let one = Return::new(subject, ReturnKind::AccessToken, party, way, self.clock.now());
        Return { expires_at: held.version.expires_at, ..one }
    }

    fn returned(&self, key: &Key, source: &str, answer: String, count: u64) {
        let mut event = Event::new(EventKind::CredentialReturned, self.clock.now());
        event.environment = Some(key.environment.clone());
        event.binding = Some(BindingRevision { name: key.binding.clone(), revision: key.revision });
        event.source = Some(source.to_owned());
        event.provider = Some(key.provider.clone());
        event.answer = Some(answer);
        event.count = Some(count);
        // The tokens are given back either way; a log that cannot be written stops calls by itself.
        if let Err(error) = self.audit.note(event) {
            tracing::error!(%error, "the return of tokens is not in the audit log");
        }
    }
}
