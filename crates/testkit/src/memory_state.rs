//! The state in memory, with the same compare-and-swap and the same rules as the databases.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::id::Epoch;
use gateway_core::lifecycle::commit;
use gateway_core::ports::{StateError, StateReader, StateWriter};
use gateway_core::state::{Change, OutboxEntry, State};
use tokio::sync::watch;

/// A state that lives as long as the test.
#[derive(Debug)]
pub struct MemoryState {
    inner: Mutex<Inner>,
    moved: watch::Sender<Epoch>,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    outbox: Vec<OutboxEntry>,
    filed: u64,
    conflicts: u32,
    down: bool,
}

impl Default for MemoryState {
    fn default() -> Self {
        Self { inner: Mutex::default(), moved: watch::Sender::new(Epoch::default()) }
    }
}

impl MemoryState {
    /// Begins with this state.
    pub fn holding(state: State) -> Self {
        let epoch = state.epoch;
        let inner = Inner { state, ..Inner::default() };
        Self { inner: Mutex::new(inner), moved: watch::Sender::new(epoch) }
    }

    /// The next `count` commits lose the race.
    pub fn conflict_next(&self, count: u32) {
        self.locked().conflicts = count;
    }

    /// Whether the database answers.
    pub fn set_down(&self, down: bool) {
        self.locked().down = down;
    }

    /// The state as it is, for assertions.
    pub fn now(&self) -> State {
        self.locked().state.clone()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn up(&self) -> Result<std::sync::MutexGuard<'_, Inner>, StateError> {
        let inner = self.locked();
        if inner.down {
            Err(StateError::Unavailable("switched off by the test".to_owned()))
        } else {
            Ok(inner)
        }
    }
}

#[async_trait]
impl StateReader for MemoryState {
    async fn load(&self) -> Result<State, StateError> {
        Ok(self.up()?.state.clone())
    }

    async fn epoch(&self) -> Result<Epoch, StateError> {
        Ok(self.up()?.state.epoch)
    }

    async fn changed(&self, after: Epoch, floor: Duration) -> Result<Epoch, StateError> {
        let mut moved = self.moved.subscribe();
        // Running out of the floor is as good as a change: the caller looks for itself.
        let _ = tokio::time::timeout(floor, moved.wait_for(|epoch| *epoch > after)).await;
        self.epoch().await
    }
}

#[async_trait]
impl StateWriter for MemoryState {
    async fn commit(&self, change: Change) -> Result<Epoch, StateError> {
        let mut inner = self.up()?;
        if inner.conflicts > 0 {
            inner.conflicts -= 1;
            return Err(StateError::Conflict);
        }
        // On a copy: a refused change leaves nothing behind.
        let mut after = inner.state.clone();
        commit(&mut after, &change)?;
        inner.state = after;
        for mut event in change.events {
            inner.filed += 1;
            let id = format!("outbox-{}", inner.filed);
            event.outbox_id = Some(id.clone());
            inner.outbox.push(OutboxEntry { id, event });
        }
        let epoch = inner.state.epoch;
        drop(inner);
        self.moved.send_replace(epoch);
        Ok(epoch)
    }

    async fn outbox(&self, limit: u32) -> Result<Vec<OutboxEntry>, StateError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.up()?.outbox.iter().take(limit).cloned().collect())
    }

    async fn drained(&self, ids: &[String]) -> Result<(), StateError> {
        self.up()?.outbox.retain(|entry| !ids.contains(&entry.id));
        Ok(())
    }
}
