//! The state as it was last read, kept for as long as its epoch stands.
//!
//! A state never changes at one epoch, so the epoch is all that has to be asked, which is cheap: every reading asks the
//! database for it first, so what another replica has committed is never missed. What this handle commits is carried
//! out on the kept state by the rules that every backend enforces, so that a change does not cost a reading of
//! everything. Only time takes from a state without moving its epoch: what is over is dropped as a reading would, and a
//! clock that was set back brings about a reading, for what was dropped too early is there again.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::id::Epoch;
use gateway_core::lifecycle;
use gateway_core::ports::{StateError, StateReader, StateWriter};
use gateway_core::state::{Change, Operation, OutboxEntry, State};
use gateway_core::time::{Clock, Timestamp};

use super::read::{ENDED_GRANTS_KEPT, ENDED_LOCKS_KEPT};

/// How long a reading may wait for a commit that is under way: about what a reading of a large state costs.
const CARRIED_OUT_WITHIN: Duration = Duration::from_millis(200);

/// A state that is read once for each epoch.
pub struct Remembered {
    inner: Arc<dyn StateWriter>,
    clock: Arc<dyn Clock>,
    newest: Mutex<Option<Kept>>,
    /// One reading at a time: many pages ask at once, and each reading costs as much as the state is large.
    reading: tokio::sync::Mutex<()>,
    /// Held while something is being committed and carried out. Others see its epoch before it is carried out here.
    committing: tokio::sync::Mutex<()>,
}

/// A state without what was over at a time.
#[derive(Clone)]
struct Kept {
    state: Arc<State>,
    as_of: Timestamp,
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Remembered {
    /// Of this backend, which drops by this clock what is over.
    pub fn new(inner: Arc<dyn StateWriter>, clock: Arc<dyn Clock>) -> Self {
        let (reading, committing) = Default::default();
        Self { inner, clock, newest: Mutex::default(), reading, committing }
    }

    fn place(&self) -> MutexGuard<'_, Option<Kept>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kept state, where it is that of this epoch.
    fn kept(&self, epoch: Epoch) -> Option<Arc<State>> {
        let now = self.clock.now();
        let mut place = self.place();
        let kept = place.as_mut().filter(|kept| kept.state.epoch == epoch)?;
        if now < kept.as_of {
            *place = None;
            return None;
        }
        if has_something_over(&kept.state, now) {
            drop_what_is_over(Arc::make_mut(&mut kept.state), now);
        }
        kept.as_of = now;
        Some(Arc::clone(&kept.state))
    }

    /// A database whose epoch has gone back was restored: the same number may come to mean something else.
    fn saw(&self, epoch: Epoch) -> Epoch {
        let mut place = self.place();
        if place.as_ref().is_some_and(|kept| kept.state.epoch > epoch) {
            *place = None;
        }
        epoch
    }

    /// Carries out on the kept state what was committed. Where it is not the one that the change was made for, or
    /// cannot be brought to where the database is, the next reading reads everything.
    async fn advance(&self, expected: Epoch, committed: Epoch, operations: Vec<Operation>) {
        let Some(kept) = self.place().clone().filter(|kept| kept.state.epoch == expected) else { return };
        let change = Change { expected, operations, events: Vec::new() };
        let now = self.clock.now();
        // Takes as long as the state is large, and calls must not wait for it.
        let carried = tokio::task::spawn_blocking(move || kept.carry_out(&change, now)).await;
        let kept = match carried.map_err(|error| StateError::Unavailable(error.to_string())).flatten() {
            Ok(kept) => kept,
            Err(error) => {
                tracing::error!(%error, "a committed change does not fit the state that was read; it is read again");
                *self.place() = None;
                return;
            }
        };
        let mut place = self.place();
        // Somebody may have read a later one meanwhile.
        if kept.state.epoch == committed
            && place.as_ref().is_some_and(|newest| newest.state.epoch == expected)
        {
            *place = Some(kept);
        }
    }
}

impl Kept {
    fn carry_out(mut self, change: &Change, now: Timestamp) -> Result<Self, StateError> {
        let next = Arc::make_mut(&mut self.state);
        lifecycle::commit(next, change)?;
        drop_what_is_over(next, now);
        next.put_in_order();
        self.as_of = self.as_of.max(now);
        Ok(self)
    }
}

/// What a reading at this time would leave out.
fn has_something_over(state: &State, now: Timestamp) -> bool {
    let (grants, locks) = (back(now, ENDED_GRANTS_KEPT), back(now, ENDED_LOCKS_KEPT));
    state.agent_tokens.iter().any(|token| token.expires_at <= now)
        || state.operator_tokens.iter().any(|token| token.ended_at.is_some() || token.expires_at <= now)
        || state.grants.iter().any(|grant| grant.ended.is_some_and(|end| end.at <= grants))
        || state.locks.iter().any(|lock| lock.ended.as_ref().is_some_and(|end| end.at <= locks))
}

fn drop_what_is_over(state: &mut State, now: Timestamp) {
    let (grants, locks) = (back(now, ENDED_GRANTS_KEPT), back(now, ENDED_LOCKS_KEPT));
    state.agent_tokens.retain(|token| token.expires_at > now);
    state.operator_tokens.retain(|token| token.ended_at.is_none() && token.expires_at > now);
    state.grants.retain(|grant| grant.ended.is_none_or(|end| end.at > grants));
    state.locks.retain(|lock| lock.ended.as_ref().is_none_or(|end| end.at > locks));
}

fn back(now: Timestamp, micros: i64) -> Timestamp {
    Timestamp::from_micros(now.micros().saturating_sub(micros))
}

#[async_trait]
impl StateReader for Remembered {
    async fn load(&self) -> Result<Arc<State>, StateError> {
        let epoch = self.epoch().await?;
        if let Some(state) = self.kept(epoch) {
            return Ok(state);
        }
        // Most likely it is ours, and about to be kept. Another replica's must not wait for a database that hangs.
        let _ = tokio::time::timeout(CARRIED_OUT_WITHIN, self.committing.lock()).await;
        if let Some(state) = self.kept(epoch) {
            return Ok(state);
        }
        let _turn = self.reading.lock().await;
        // Whoever had the turn before may have read it.
        if let Some(state) = self.kept(epoch) {
            return Ok(state);
        }
        let (earlier, before) = (self.place().clone(), self.clock.now());
        let state = match earlier {
            Some(earlier) => self.inner.load_knowing(&earlier.state).await?,
            None => self.inner.load().await?,
        };
        // The backend looked at the clock in between.
        let as_of = before.max(self.clock.now());
        let mut place = self.place();
        if place.as_ref().is_none_or(|newest| newest.state.epoch < state.epoch) {
            *place = Some(Kept { state: Arc::clone(&state), as_of });
        }
        Ok(state)
    }

    async fn epoch(&self) -> Result<Epoch, StateError> {
        self.inner.epoch().await.map(|epoch| self.saw(epoch))
    }

    async fn changed(&self, after: Epoch, floor: Duration) -> Result<Epoch, StateError> {
        self.inner.changed(after, floor).await.map(|epoch| self.saw(epoch))
    }
}

#[async_trait]
impl StateWriter for Remembered {
    async fn commit(&self, change: Change) -> Result<Epoch, StateError> {
        let (expected, operations) = (change.expected, change.operations.clone());
        let _turn = self.committing.lock().await;
        let epoch = self.inner.commit(change).await?;
        self.advance(expected, epoch, operations).await;
        Ok(epoch)
    }

    async fn outbox(&self, limit: u32) -> Result<Vec<OutboxEntry>, StateError> {
        self.inner.outbox(limit).await
    }

    async fn drained(&self, ids: &[String]) -> Result<(), StateError> {
        self.inner.drained(ids).await
    }
}
