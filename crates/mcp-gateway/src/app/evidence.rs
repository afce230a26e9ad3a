//! What is done with the evidence beside the calls.

use std::sync::Arc;

use gateway_adapters::audit::{AuditLog, AuditSinks, Checkpointer, Retention};

use super::system::SystemClock;
use crate::config::Config;

/// The removal of segments, where the configuration asks for it. What any sink does not have yet stays.
pub(super) fn retention(
    config: &Config,
    log: &Arc<AuditLog>,
    checkpointer: &Arc<Checkpointer>,
    sinks: &Arc<AuditSinks>,
) -> Option<Arc<Retention>> {
    let limits = config.audit.retention.clone()?;
    let sinks = Arc::clone(sinks);
    let delivered = move || sinks.delivered();
    let (log, checkpointer) = (Arc::clone(log), Arc::clone(checkpointer));
    let clock = Arc::new(SystemClock);
    Some(Arc::new(Retention::new(log, checkpointer, limits, Arc::new(delivered), clock)))
}
