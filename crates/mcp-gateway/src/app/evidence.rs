//! What is done with the evidence beside the calls.

use std::sync::Arc;

use gateway_adapters::audit::{AuditLog, Checkpointer, Retention, Sink};
use gateway_core::ports::Sequence;

use super::system::SystemClock;
use crate::config::Config;

/// The removal of segments, where the configuration asks for it. What a sink does not have yet stays.
pub(super) fn retention(
    config: &Config,
    log: &Arc<AuditLog>,
    checkpointer: &Arc<Checkpointer>,
    sink: Option<&Arc<Sink>>,
) -> Option<Arc<Retention>> {
    let limits = config.audit.retention.clone()?;
    let sink = sink.cloned();
    let delivered = move || sink.as_ref().map_or(Sequence(u64::MAX), |sink| sink.status().sent);
    let (log, checkpointer) = (Arc::clone(log), Arc::clone(checkpointer));
    let clock = Arc::new(SystemClock);
    Some(Arc::new(Retention::new(log, checkpointer, limits, Arc::new(delivered), clock)))
}
