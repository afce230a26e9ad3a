//! The state in memory, with the same compare-and-swap and the same rules as the databases.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::audit::Event;
use gateway_core::id::Epoch;
use gateway_core::lifecycle::commit;
use gateway_core::ports::{Revocations, StateError, StateReader, StateWriter, Ticket, TicketKind, Tickets};
use gateway_core::revocation::{Return, RevocationRequest, SignedRevocation};
use gateway_core::state::{Change, Operation, OutboxEntry, State};
use gateway_core::time::Timestamp;
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
    tickets: HashMap<(TicketKind, String), Ticket>,
    returns: Vec<Return>,
    documents: Vec<SignedRevocation>,
    requests: Vec<RevocationRequest>,
    filed: u64,
    conflicts: u32,
    down: bool,
}

impl Default for MemoryState {
    fn default() -> Self {
        Self { inner: Mutex::default(), moved: watch::Sender::new(Epoch::default()) }
    }
}

impl Inner {
    fn file(&mut self, mut event: Event) {
        self.filed += 1;
        let id = format!("outbox-{}", self.filed);
        event.outbox_id = Some(id.clone());
        self.outbox.push(OutboxEntry { id, event });
    }

    fn file_return(&mut self, one: &Return) {
        match self.returns.iter_mut().find(|old| old.id == one.id) {
            Some(old) => *old = Return { revocation: old.revocation.clone(), ..one.clone() },
            None => self.returns.push(one.clone()),
        }
    }

    fn drop_return(&mut self, id: &str) {
        self.returns.retain(|one| one.id != id || one.revocation.is_some());
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
    async fn load(&self) -> Result<Arc<State>, StateError> {
        Ok(Arc::new(self.up()?.state.clone()))
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
        for operation in &change.operations {
            match operation {
                Operation::AskRevocation(request) => inner.requests.push((**request).clone()),
                Operation::FileReturn(one) => inner.file_return(one),
                Operation::DropReturn { id } => inner.drop_return(id),
                _ => {}
            }
        }
        for event in change.events {
            inner.file(event);
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

#[async_trait]
impl Tickets for MemoryState {
    async fn insert(&self, ticket: &Ticket, now: Timestamp) -> Result<bool, StateError> {
        let mut inner = self.up()?;
        let key = (ticket.kind, ticket.key.clone());
        if inner.tickets.get(&key).is_some_and(|old| now < old.expires_at) {
            return Ok(false);
        }
        inner.tickets.insert(key, ticket.clone());
        Ok(true)
    }

    async fn read(&self, kind: TicketKind, key: &str, now: Timestamp) -> Result<Option<Ticket>, StateError> {
        let inner = self.up()?;
        Ok(inner.tickets.get(&(kind, key.to_owned())).filter(|ticket| now < ticket.expires_at).cloned())
    }

    async fn take(&self, kind: TicketKind, key: &str, now: Timestamp) -> Result<Option<Ticket>, StateError> {
        Ok(self.up()?.tickets.remove(&(kind, key.to_owned())).filter(|ticket| now < ticket.expires_at))
    }

    async fn replace(&self, expected: &str, ticket: &Ticket, now: Timestamp) -> Result<bool, StateError> {
        let mut inner = self.up()?;
        let place = inner.tickets.get_mut(&(ticket.kind, ticket.key.clone()));
        let Some(old) = place.filter(|old| now < old.expires_at && old.content == expected) else {
            return Ok(false);
        };
        old.clone_from(ticket);
        Ok(true)
    }

    async fn list(&self, kind: TicketKind, now: Timestamp) -> Result<Vec<Ticket>, StateError> {
        let inner = self.up()?;
        let living = |ticket: &&Ticket| ticket.kind == kind && now < ticket.expires_at;
        Ok(inner.tickets.values().filter(living).cloned().collect())
    }

    async fn count(&self, kind: TicketKind, beginning: &str, now: Timestamp) -> Result<u64, StateError> {
        let listed = self.list(kind, now).await?;
        Ok(listed.iter().filter(|ticket| ticket.key.starts_with(beginning)).count() as u64)
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64, StateError> {
        let mut inner = self.up()?;
        let before = inner.tickets.len();
        inner.tickets.retain(|_, ticket| now < ticket.expires_at);
        Ok((before - inner.tickets.len()) as u64)
    }
}

#[async_trait]
impl Revocations for MemoryState {
    async fn settle(
        &self,
        returns: &[Return],
        dropped: &[String],
        evidence: Vec<Event>,
    ) -> Result<(), StateError> {
        let mut inner = self.up()?;
        returns.iter().for_each(|one| inner.file_return(one));
        dropped.iter().for_each(|id| inner.drop_return(id));
        evidence.into_iter().for_each(|event| inner.file(event));
        Ok(())
    }

    async fn filed(&self, id: &str) -> Result<Option<Return>, StateError> {
        Ok(self.up()?.returns.iter().find(|one| one.id == id).cloned())
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<Return>, StateError> {
        let inner = self.up()?;
        let due = |one: &&Return| one.due_at.is_some_and(|due| due <= now);
        let mut found: Vec<Return> = inner.returns.iter().filter(due).cloned().collect();
        found.sort_by(|one, other| (one.due_at, &one.id).cmp(&(other.due_at, &other.id)));
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    async fn unassigned(&self) -> Result<Vec<Return>, StateError> {
        Ok(sorted(self.up()?.returns.iter().filter(|one| one.revocation.is_none())))
    }

    async fn assign(&self, ids: &[String], revocation: &str) -> Result<(), StateError> {
        for one in &mut self.up()?.returns {
            if ids.contains(&one.id) && one.revocation.is_none() {
                one.revocation = Some(revocation.to_owned());
            }
        }
        Ok(())
    }

    async fn returns_of(&self, revocation: &str) -> Result<Vec<Return>, StateError> {
        Ok(sorted(self.up()?.returns.iter().filter(|one| one.revocation.as_deref() == Some(revocation))))
    }

    async fn keep(&self, signed: &SignedRevocation, evidence: Event) -> Result<bool, StateError> {
        let mut inner = self.up()?;
        let there = inner.documents.iter().any(|old| (&old.id, old.serial) == (&signed.id, signed.serial));
        if !there {
            inner.documents.push(signed.clone());
            inner.requests.retain(|request| request.id != signed.id);
            inner.file(evidence);
        }
        Ok(!there)
    }

    async fn documents(&self, revocation: &str) -> Result<Vec<SignedRevocation>, StateError> {
        let inner = self.up()?;
        let mut found: Vec<SignedRevocation> =
            inner.documents.iter().filter(|one| one.id == revocation).cloned().collect();
        found.sort_by_key(|one| one.serial);
        Ok(found)
    }

    async fn newest(
        &self,
        after: Option<(Timestamp, &str)>,
        limit: u32,
    ) -> Result<Vec<SignedRevocation>, StateError> {
        let inner = self.up()?;
        let mut newest: HashMap<&str, &SignedRevocation> = HashMap::new();
        for one in &inner.documents {
            let entry = newest.entry(&one.id).or_insert(one);
            if entry.serial < one.serial {
                *entry = one;
            }
        }
        let mut found: Vec<SignedRevocation> = newest.into_values().cloned().collect();
        found.sort_by(|one, other| (other.requested_at, &one.id).cmp(&(one.requested_at, &other.id)));
        if let Some((time, id)) = after {
            found.retain(|one| one.requested_at < time || (one.requested_at == time && one.id.as_str() > id));
        }
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    async fn asked(&self, limit: u32) -> Result<Vec<RevocationRequest>, StateError> {
        let mut found = self.up()?.requests.clone();
        found.sort_by(|one, other| (one.requested_at, &one.id).cmp(&(other.requested_at, &other.id)));
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    async fn answered(&self, id: &str) -> Result<(), StateError> {
        self.up()?.requests.retain(|request| request.id != id);
        Ok(())
    }

    async fn forget_returns(&self, before: Timestamp) -> Result<u64, StateError> {
        let mut inner = self.up()?;
        let count = inner.returns.len();
        let done = |one: &Return| one.revocation.is_none() && one.due_at.is_none() && one.filed_at < before;
        inner.returns.retain(|one| !done(one));
        Ok((count - inner.returns.len()) as u64)
    }
}

fn sorted<'a>(returns: impl Iterator<Item = &'a Return>) -> Vec<Return> {
    let mut found: Vec<Return> = returns.cloned().collect();
    found.sort_by(|one, other| (one.filed_at, &one.id).cmp(&(other.filed_at, &other.id)));
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::MemoryState;
    use crate::contract::state::{grants, locks, revocations, tickets, versions};

    #[tokio::test]
    async fn keeps_grants_locks_and_tickets_as_the_databases_do() {
        grants::grants_are_kept_and_end_once(&MemoryState::default()).await;
        versions::versions_are_written_over_and_one_is_active(&MemoryState::default()).await;
        locks::locks_are_kept_and_end_once(&MemoryState::default()).await;
        let state = Arc::new(MemoryState::default());
        tickets::run(state.clone(), state).await;
        let state = Arc::new(MemoryState::default());
        revocations::run(state.clone(), state).await;
    }
}
