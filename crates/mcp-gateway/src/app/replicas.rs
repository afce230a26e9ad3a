//! The replicas of one state: each says which epoch it has taken over, so that whoever ends something can wait for all
//! of them (DESIGN, rule 8).
//!
//! A replica says its word again and again while it serves. One that died, or was cut off from the state, falls silent,
//! and is waited for until it must have stopped serving, and no longer. How long it has been silent is measured here, by
//! a clock that nobody can set: the times in the words only say when their rows may go.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gateway_core::id::Epoch;
use gateway_core::ports::{Random, StateError, Ticket, TicketKind, Tickets};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::time::{Clock as _, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::system::SystemClock;

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

/// By which every record is over.
const FAR: Timestamp = Timestamp::from_micros(i64::MAX);

/// Of a replica that serves no more: it holds every epoch there will be.
const FAREWELL: Epoch = Epoch(u64::MAX);

/// A moment by both clocks: the wall's, and the one that only runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) at: Timestamp,
    pub(super) steady: Instant,
}

impl Moment {
    /// This moment.
    pub(super) fn now() -> Self {
        Self { at: SystemClock.now(), steady: Instant::now() }
    }
}

/// What another replica was last heard to say, and since when it has said nothing else.
struct Heard {
    content: String,
    since: Instant,
}

/// This replica among the others.
pub(super) struct Replicas {
    tickets: Arc<dyn Tickets>,
    id: String,
    /// How long a replica may serve without proof that its state is current.
    lease: Duration,
    /// Epochs that were taken over and whose departures still run.
    settling: Mutex<BTreeSet<Epoch>>,
    /// The proof that the last word stands for; one writer at a time.
    last: tokio::sync::Mutex<Option<Moment>>,
    heard: Mutex<HashMap<String, Heard>>,
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
        let (settling, last, heard) = (Mutex::default(), tokio::sync::Mutex::default(), Mutex::default());
        Self { tickets, id: hex::encode(id), lease, settling, last, heard }
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

    /// How long a replica has been silent that serves no more: its lease, a proof that it could not tell of, and what
    /// clocks run apart.
    fn silence(&self) -> Duration {
        self.lease + REPORT * 2 + SKEW
    }

    /// Says that this replica serves, as of a proof that its state was current at that time.
    ///
    /// # Errors
    /// The records do not answer; the replica then stops serving by itself when its lease ends.
    pub(super) async fn report(
        &self,
        deciding: impl Fn() -> Epoch + Send,
        confirmed: Moment,
    ) -> Result<(), StateError> {
        let mut last = self.last.lock().await;
        // A word that was held up by what it waited for must not take back a later proof.
        let proof = match &*last {
            Some(before) if before.steady > confirmed.steady => *before,
            _ => confirmed,
        };
        self.say(&mut last, self.holds(deciding()), proof).await
    }

    /// Writes a word in place of the last one.
    async fn say(&self, last: &mut Option<Moment>, epoch: Epoch, proof: Moment) -> Result<(), StateError> {
        let word = Word { epoch, at: proof.at };
        let content = serde_json::to_string(&word).map_err(|error| StateError::Corrupt(error.to_string()))?;
        let expires_at = proof.at.plus(self.silence());
        let ticket = Ticket { kind: TicketKind::Replica, key: self.id.clone(), content, expires_at };
        // Nobody else writes under this key, so whatever stands there is over: also a word whose answer was lost, and one
        // that a clock that was ahead made good for hours.
        if !self.tickets.insert(&ticket, FAR).await? {
            return Err(StateError::Constraint("the word of this replica was not written".to_owned()));
        }
        *last = Some(proof);
        Ok(())
    }

    /// Hears what the others say now.
    ///
    /// # Errors
    /// The records do not answer.
    pub(super) async fn listen(&self, now: Moment) -> Result<(), StateError> {
        // Those too that are over by the wall's clock: it may be wrong.
        let said = self.tickets.list(TicketKind::Replica, Timestamp::from_micros(0)).await?;
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        for ticket in said.iter().filter(|ticket| ticket.key != self.id) {
            match heard.get(&ticket.key) {
                Some(before) if before.content == ticket.content => {}
                Some(_) | None => {
                    let fresh = Heard { content: ticket.content.clone(), since: now.steady };
                    heard.insert(ticket.key.clone(), fresh);
                }
            }
        }
        // A row that is gone proves nothing: another replica's clock may have removed it.
        let there = |key: &String| said.iter().any(|ticket| ticket.key == *key);
        heard.retain(|key, one| there(key) || self.may_serve(one, now));
        Ok(())
    }

    /// How many others may serve now, as far as they were heard.
    pub(super) fn others(&self, now: Moment) -> usize {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.values().filter(|one| self.may_serve(one, now)).count()
    }

    fn may_serve(&self, heard: &Heard, now: Moment) -> bool {
        now.steady.saturating_duration_since(heard.since) < self.silence()
    }

    /// Waits until no replica decides by an older state.
    ///
    /// # Errors
    /// [`Code::Internal`] after the deadline, what the records say before.
    pub(super) async fn caught_up(
        &self,
        epoch: Epoch,
        deciding: impl Fn() -> Epoch + Send,
        now: impl Fn() -> Moment + Send,
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
            let followed = |word: Word| word.epoch >= epoch && word.epoch != FAREWELL;
            ticket.key != self.id && word.is_ok_and(followed)
        };
        let mut ids: Vec<String> = others.iter().filter(followed).map(|ticket| ticket.key.clone()).collect();
        ids.push(self.id.clone());
        ids.sort();
        ids
    }

    /// How many may still decide by an older state.
    async fn behind(&self, epoch: Epoch, deciding: Epoch, now: Moment) -> Result<usize, StateError> {
        let own = usize::from(self.holds(deciding) < epoch);
        self.listen(now).await?;
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        // A word that cannot be read says nothing of having followed.
        let old =
            |one: &&Heard| serde_json::from_str::<Word>(&one.content).map_or(true, |word| word.epoch < epoch);
        let others = heard.values().filter(|one| self.may_serve(one, now)).filter(old).count();
        Ok(own.saturating_add(others))
    }

    /// Says that this replica serves no more.
    pub(super) async fn leave(&self, now: Moment) {
        let mut last = self.last.lock().await;
        if let Err(error) = self.say(&mut last, FAREWELL, now).await {
            tracing::warn!(%error, "the others wait for this replica until its lease ends");
        }
    }
}

#[cfg(test)]
mod tests {
    use gateway_testkit::memory_state::MemoryState;

    use super::*;
    use crate::app::system::SystemEntropy;

    /// So many seconds after the tests began, by both clocks.
    fn after(seconds: u64) -> Moment {
        static BEGAN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        let span = Duration::from_secs(seconds);
        Moment { at: Timestamp::from_seconds(100_000).plus(span), steady: *BEGAN + span }
    }

    /// The same with a wall's clock that somebody set.
    fn set(seconds: u64, moment: Moment) -> Moment {
        Moment { at: Timestamp::from_seconds(i64::try_from(seconds).unwrap()), ..moment }
    }

    const LEASE: Duration = Duration::from_secs(5);
    const SOON: Duration = Duration::from_millis(60);

    fn replica(state: &Arc<MemoryState>) -> Replicas {
        Replicas::new(state.clone(), &SystemEntropy::default(), LEASE)
    }

    async fn waits(replica: &Replicas, epoch: u64, now: Moment) -> bool {
        replica.caught_up(Epoch(epoch), || Epoch(7), || now, SOON).await.is_err()
    }

    #[tokio::test]
    async fn a_word_whose_answer_was_lost_under_a_clock_ahead_does_not_silence_a_replica() {
        let state = Arc::new(MemoryState::default());
        let (one, other) = (replica(&state), replica(&state));
        other.report(|| Epoch(6), after(0)).await.unwrap();
        // Written by the records while the replica had given up on it, with a clock two hours ahead.
        let word = r#"{"epoch":6,"at":"2100-01-01T00:00:00Z"}"#.to_owned();
        let (kind, key) = (TicketKind::Replica, other.id.clone());
        let lost = Ticket { kind, key, content: word, expires_at: Timestamp::from_seconds(9_000_000) };
        assert!(state.insert(&lost, FAR).await.unwrap());
        // It goes on to serve, and to say so.
        for second in 1..20 {
            other.report(|| Epoch(6), after(second)).await.unwrap();
            one.listen(after(second)).await.unwrap();
        }
        assert!(waits(&one, 7, after(19)).await, "it serves, whatever stood in its place");
    }

    #[tokio::test]
    async fn a_replica_is_waited_for_until_it_has_taken_the_epoch_over() {
        let state = Arc::new(MemoryState::default());
        let (one, other) = (replica(&state), replica(&state));
        assert!(!waits(&one, 7, after(0)).await, "alone");
        other.report(|| Epoch(6), after(0)).await.unwrap();
        assert!(waits(&one, 7, after(0)).await);
        other.report(|| Epoch(7), after(0)).await.unwrap();
        assert!(!waits(&one, 7, after(0)).await);
    }

    #[tokio::test]
    async fn an_epoch_whose_departures_still_run_is_not_taken_over_here_or_there() {
        let state = Arc::new(MemoryState::default());
        let (one, other) = (replica(&state), replica(&state));
        other.begin(Epoch(7));
        other.report(|| Epoch(7), after(0)).await.unwrap();
        assert!(waits(&one, 7, after(0)).await);
        assert!(!waits(&one, 6, after(0)).await, "the one before holds");
        other.settled(Epoch(7));
        other.report(|| Epoch(7), after(0)).await.unwrap();
        assert!(!waits(&one, 7, after(0)).await);
        one.begin(Epoch(7));
        assert!(waits(&one, 7, after(0)).await, "its own count too");
        one.settled(Epoch(7));
        assert!(!waits(&one, 7, after(0)).await);
    }

    #[tokio::test]
    async fn a_replica_that_is_gone_is_waited_for_until_it_must_have_stopped_serving() {
        let state = Arc::new(MemoryState::default());
        let (one, other) = (replica(&state), replica(&state));
        other.report(|| Epoch(6), after(0)).await.unwrap();
        one.listen(after(0)).await.unwrap();
        assert!(waits(&one, 7, after(6)).await, "it may have confirmed once more, unheard");
        assert!(!waits(&one, 7, after(8)).await);
        other.report(|| Epoch(6), after(60)).await.unwrap();
        assert!(waits(&one, 7, after(60)).await, "it came back");
        other.leave(after(60)).await;
        assert!(!waits(&one, 7, after(60)).await, "it left");
    }

    #[tokio::test]
    async fn no_setting_of_a_clock_ends_the_wait_for_a_replica_that_may_serve() {
        let state = Arc::new(MemoryState::default());
        let (one, other) = (replica(&state), replica(&state));
        other.report(|| Epoch(6), after(0)).await.unwrap();
        one.listen(after(0)).await.unwrap();
        assert!(waits(&one, 7, set(900_000, after(1))).await, "the clock here was set forward");
        other.report(|| Epoch(6), set(900_000, after(2))).await.unwrap();
        other.report(|| Epoch(6), set(100, after(3))).await.unwrap();
        assert!(waits(&one, 7, set(100, after(3))).await, "the clock there was set forward and back");
        assert!(!waits(&one, 7, set(100, after(11))).await, "and it makes nobody wait longer");
    }

    #[tokio::test]
    async fn a_word_whose_row_somebody_removed_still_counts() {
        let state = Arc::new(MemoryState::default());
        let (one, other) = (replica(&state), replica(&state));
        other.report(|| Epoch(6), after(0)).await.unwrap();
        one.listen(after(0)).await.unwrap();
        state.take(TicketKind::Replica, &other.id, after(1).at).await.unwrap();
        assert!(waits(&one, 7, after(1)).await);
        other.report(|| Epoch(7), after(2)).await.unwrap();
        assert!(!waits(&one, 7, after(2)).await, "it said a new word in place of the lost one");
    }

    #[tokio::test]
    async fn a_word_that_comes_late_does_not_shorten_what_was_said_before() {
        let state = Arc::new(MemoryState::default());
        let other = replica(&state);
        other.report(|| Epoch(6), after(5)).await.unwrap();
        other.report(|| Epoch(6), after(0)).await.unwrap();
        let said = state.list(TicketKind::Replica, after(5).at).await.unwrap();
        assert_eq!(said[0].expires_at, after(5).at.plus(other.silence()));
    }

    #[tokio::test]
    async fn nothing_is_said_to_hold_everywhere_while_the_records_do_not_answer() {
        let state = Arc::new(MemoryState::default());
        let one = replica(&state);
        state.set_down(true);
        assert!(waits(&one, 7, after(0)).await);
    }
}
