//! Where evidence goes.

use std::fmt;

use async_trait::async_trait;

use crate::audit::Event;

/// The position of a record in the chain, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

/// Evidence cannot be written. The inside story is for the operator's log.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the audit log cannot be written: {0}")]
pub struct AuditError(pub String);

/// Where evidence goes. There is no null sink.
#[async_trait]
pub trait AuditSink: Send + Sync + fmt::Debug {
    /// Appends the event; durable, as configured, when this returns.
    ///
    /// # Errors
    /// The event is not in the chain, and what it announces must not happen.
    async fn record(&self, event: Event) -> Result<Sequence, AuditError>;

    /// Appends an event about something that has already happened: in the chain's order at once,
    /// durable soon after.
    ///
    /// # Errors
    /// The log cannot be written; calls must stop.
    fn note(&self, event: Event) -> Result<Sequence, AuditError>;
}
