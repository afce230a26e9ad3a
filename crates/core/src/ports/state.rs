//! The state: who reads it, who changes it, and how a change comes to decide.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Sequence;
use crate::id::Epoch;
use crate::refusal::Refusal;
use crate::state::{Change, OutboxEntry, State};

/// What can go wrong with the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Somebody else changed the state since it was read; read again and decide again.
    #[error("the state has moved on from the epoch the change was made for")]
    Conflict,
    /// A rule of the database refused the change.
    #[error("the state refuses the change: {0}")]
    Constraint(String),
    /// The database does not answer.
    #[error("the state database does not answer: {0}")]
    Unavailable(String),
    /// What is stored cannot be read.
    #[error("the stored state cannot be read: {0}")]
    Corrupt(String),
}

/// Reads the state. The proxy side is handed nothing more.
#[async_trait]
pub trait StateReader: Send + Sync + fmt::Debug {
    /// Reads everything at one epoch. Shared, because it is large and never changes.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn load(&self) -> Result<Arc<State>, StateError>;

    /// The same, where an earlier state is at hand: contents that it holds need not be read again.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn load_knowing(&self, _known: &State) -> Result<Arc<State>, StateError> {
        self.load().await
    }

    /// The current epoch; cheap.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn epoch(&self) -> Result<Epoch, StateError>;

    /// Waits until the epoch may have moved beyond `after`, or until about `floor` has passed.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn changed(&self, after: Epoch, floor: Duration) -> Result<Epoch, StateError>;
}

/// Changes the state.
#[async_trait]
pub trait StateWriter: StateReader {
    /// Writes the batch, moves the epoch by one and files the events in the outbox, all in one
    /// transaction.
    ///
    /// # Errors
    /// [`StateError::Conflict`] where the epoch is not the expected one; then nothing was written.
    async fn commit(&self, change: Change) -> Result<Epoch, StateError>;

    /// The oldest events that wait for the chain, at most `limit`.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn outbox(&self, limit: u32) -> Result<Vec<OutboxEntry>, StateError>;

    /// Strikes out outbox rows that are in the chain.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn drained(&self, ids: &[String]) -> Result<(), StateError>;
}

/// Installs the newest state on this replica, and drains the outbox into the chain.
#[async_trait]
pub trait Publisher: Send + Sync + fmt::Debug {
    /// Returns once this replica decides by a state at least as new as `at_least`, and the outbox is
    /// in the chain; says the sequence number of the last record drained.
    ///
    /// # Errors
    /// Why it could not.
    async fn publish(&self, at_least: Epoch) -> Result<Option<Sequence>, Refusal>;

    /// Returns once no replica decides by an older state: each has taken this one over and ended what it no longer
    /// permits, or has stopped serving because it could not prove to be current.
    ///
    /// # Errors
    /// [`Code::Internal`](crate::refusal::Code::Internal) where one has not within `deadline`; it will.
    async fn everywhere(&self, at_least: Epoch, deadline: Duration) -> Result<(), Refusal>;

    /// The replicas that say to have taken this state over, this one among them; none where there is one gateway
    /// only. For evidence.
    async fn confirmed(&self, _at_least: Epoch) -> Vec<String> {
        Vec::new()
    }
}
