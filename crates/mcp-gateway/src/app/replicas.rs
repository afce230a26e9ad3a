//! The replicas of one state: each says which epoch it has taken over, so that whoever ends something can wait for all
//! of them (DESIGN, rule 8).
//!
//! A replica's word is a ticket that ends by itself no earlier than the replica stops serving: one that died, or was cut
//! off from the state, is waited for until then and no longer.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gateway_core::id::Epoch;
use gateway_core::ports::{Random, StateError, Ticket, TicketKind, Tickets};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A replica says at least so often that it serves.
pub(super) const REPORT: Duration = Duration::from_secs(1);
/// How far the clocks of replicas may differ.
const SKEW: Duration = Duration::from_secs(1);
/// How often the others are looked at.
const LOOKING: Duration = Duration::from_millis(20);

/// What a replica says.
#[derive(Serialize, Deserialize)]
struct Word {
    epoch: Epoch,
    at: Timestamp,
}

/// This replica among the others.
pub(super) struct Replicas {
    tickets: Arc<dyn Tickets>,
    id: String,
    /// How long a replica may serve without proof that its state is current.
    lease: Duration,
    /// Epochs that were taken over and whose departures still run.
    settling: Mutex<BTreeSet<Epoch>>,
    /// The last word, as it was written; one writer at a time.
    last: tokio::sync::Mutex<Option<(Ticket, Timestamp)>>,
}

impl std::fmt::Debug for Replicas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replicas").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Replicas {
    pub(super) fn new(tickets: Arc<dyn Tickets>, random: &dyn Random, lease: Duration) -> Self {
        let mut id = [0_u8; 16];
        random.fill(&mut id);
        let (settling, last) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { tickets, id: hex::encode(id), lease, settling, last }
    }

    /// An epoch is about to decide, and what departed with it still has to end.
    pub(super) fn begin(&self, epoch: Epoch) {
        self.settling.lock().unwrap_or_else(PoisonError::into_inner).insert(epoch);
    }

    /// It has ended.
    pub(super) fn settled(&self, epoch: Epoch) {
        self.settling.lock().unwrap_or_else(PoisonError::into_inner).remove(&epoch);
    }

    /// The newest epoch of which everything holds here, where this one decides.
    fn holds(&self, deciding: Epoch) -> Epoch {
        let settling = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        settling.first().map_or(deciding, |first| Epoch(first.0.saturating_sub(1)).min(deciding))
    }

    /// Says that this replica serves, as of a proof that its state was current at that time.
    ///
    /// # Errors
    /// The records do not answer; the replica then stops serving by itself when its lease ends.
    pub(super) async fn report(
        &self,
        deciding: impl Fn() -> Epoch + Send,
        confirmed: Timestamp,
    ) -> Result<(), StateError> {
        let mut last = self.last.lock().await;
        // A word that was held up by what it waited for must not take back a later proof.
        let at = last.as_ref().map_or(confirmed, |(_, before)| confirmed.max(*before));
        let word = Word { epoch: self.holds(deciding()), at };
        let content = serde_json::to_string(&word).map_err(|error| StateError::Corrupt(error.to_string()))?;
        let ticket = Ticket {
            kind: TicketKind::Replica,
            key: self.id.clone(),
            content,
            expires_at: at.plus(self.lease + REPORT * 2 + SKEW),
        };
        let replaced = match &*last {
            Some((old, _)) => self.tickets.replace(&old.content, &ticket, at).await?,
            None => false,
        };
        if !replaced {
            // The first one, or the former has ended: nobody waits for it any more.
            self.tickets.insert(&ticket, at).await?;
        }
        *last = Some((ticket, at));
        Ok(())
    }

    /// Waits until no replica decides by an older state.
    ///
    /// # Errors
    /// [`Code::Internal`] after the deadline, what the records say before.
    pub(super) async fn caught_up(
        &self,
        epoch: Epoch,
        deciding: impl Fn() -> Epoch + Send,
        now: impl Fn() -> Timestamp + Send,
        deadline: Duration,
    ) -> Result<(), Refusal> {
        let until = tokio::time::Instant::now() + deadline;
        loop {
            let behind = self
                .behind(epoch, deciding(), now())
                .await
                .map_err(|error| Refusal::new(Code::StateStale).because(error))?;
            if behind == 0 {
                return Ok(());
            }
            if tokio::time::Instant::now() >= until {
                let why = format!("{behind} replicas have not taken epoch {epoch} over in time");
                return Err(Refusal::new(Code::Internal).because(why));
            }
            tokio::time::sleep(LOOKING).await;
        }
    }

    /// The ids of the replicas that say to have taken the epoch over, this one among them.
    pub(super) async fn confirmed(&self, epoch: Epoch, now: Timestamp) -> Vec<String> {
        let others = self.tickets.list(TicketKind::Replica, now).await.unwrap_or_default();
        let followed = |ticket: &&Ticket| {
            let word = serde_json::from_str::<Word>(&ticket.content);
            ticket.key != self.id && word.is_ok_and(|word| word.epoch >= epoch)
        };
        let mut ids: Vec<String> = others.iter().filter(followed).map(|ticket| ticket.key.clone()).collect();
        ids.push(self.id.clone());
        ids.sort();
        ids
    }

    /// How many may still decide by an older state.
    async fn behind(&self, epoch: Epoch, deciding: Epoch, now: Timestamp) -> Result<usize, StateError> {
        let own = usize::from(self.holds(deciding) < epoch);
        let others = self.tickets.list(TicketKind::Replica, now).await?;
        let others = others.iter().filter(|ticket| ticket.key != self.id);
        let old = |ticket: &&Ticket| {
            // A word that cannot be read says nothing of having followed.
            serde_json::from_str::<Word>(&ticket.content).map_or(true, |word| word.epoch < epoch)
        };
        Ok(own.saturating_add(others.filter(old).count()))
    }

    /// Says that this replica serves no more.
    pub(super) async fn leave(&self, now: Timestamp) {
        if let Err(error) = self.tickets.take(TicketKind::Replica, &self.id, now).await {
            tracing::warn!(%error, "the others wait for this replica until its lease ends");
        }
    }
}

#[cfg(test)]
mod tests {
    use gateway_testkit::memory_state::MemoryState;

    use super::*;
    use crate::app::system::SystemEntropy;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);
    const LEASE: Duration = Duration::from_secs(5);
    const SOON: Duration = Duration::from_millis(60);

    fn replica(state: &Arc<MemoryState>) -> Replicas {
        Replicas::new(state.clone(), &SystemEntropy::default(), LEASE)
    }

    async fn waits(replica: &Replicas, epoch: u64, now: Timestamp) -> bool {
        replica.caught_up(Epoch(epoch), || Epoch(7), || now, SOON).await.is_err()
    }

    #[tokio::test]
    async fn a_replica_is_waited_for_until_it_has_taken_the_epoch_over() {
        let state = Arc::new(MemoryState::default());
        let (one, other) = (replica(&state), replica(&state));
        assert!(!waits(&one, 7, NOW).await, "alone");
        other.report(|| Epoch(6), NOW).await.unwrap();
        assert!(waits(&one, 7, NOW).await);
        other.report(|| Epoch(7), NOW).await.unwrap();
        assert!(!waits(&one, 7, NOW).await);
    }

    #[tokio::test]
    async fn an_epoch_whose_departures_still_run_is_not_taken_over_here_or_there() {
        let state = Arc::new(MemoryState::default());
        let (one, other) = (replica(&state), replica(&state));
        other.begin(Epoch(7));
        other.report(|| Epoch(7), NOW).await.unwrap();
        assert!(waits(&one, 7, NOW).await);
        assert!(!waits(&one, 6, NOW).await, "the one before holds");
        other.settled(Epoch(7));
        other.report(|| Epoch(7), NOW).await.unwrap();
        assert!(!waits(&one, 7, NOW).await);
        one.begin(Epoch(7));
        assert!(waits(&one, 7, NOW).await, "its own count too");
        one.settled(Epoch(7));
        assert!(!waits(&one, 7, NOW).await);
    }

    #[tokio::test]
    async fn a_replica_that_is_gone_is_waited_for_until_it_must_have_stopped_serving() {
        let state = Arc::new(MemoryState::default());
        let (one, other) = (replica(&state), replica(&state));
        other.report(|| Epoch(6), NOW).await.unwrap();
        assert!(waits(&one, 7, NOW.plus(LEASE + REPORT)).await, "it may have confirmed once more, unheard");
        assert!(!waits(&one, 7, NOW.plus(LEASE + REPORT * 2 + SKEW)).await);
        other.report(|| Epoch(6), NOW.plus(Duration::from_secs(60))).await.unwrap();
        assert!(waits(&one, 7, NOW.plus(Duration::from_secs(60))).await, "it came back");
        other.leave(NOW.plus(Duration::from_secs(60))).await;
        assert!(!waits(&one, 7, NOW.plus(Duration::from_secs(60))).await, "it left");
    }

    #[tokio::test]
    async fn a_word_that_comes_late_does_not_shorten_what_was_said_before() {
        let state = Arc::new(MemoryState::default());
        let (one, other) = (replica(&state), replica(&state));
        other.report(|| Epoch(6), NOW.plus(LEASE)).await.unwrap();
        other.report(|| Epoch(6), NOW).await.unwrap();
        assert!(waits(&one, 7, NOW.plus(LEASE + LEASE)).await);
    }

    #[tokio::test]
    async fn nothing_is_said_to_hold_everywhere_while_the_records_do_not_answer() {
        let state = Arc::new(MemoryState::default());
        let one = replica(&state);
        state.set_down(true);
        assert!(waits(&one, 7, NOW).await);
    }
}
