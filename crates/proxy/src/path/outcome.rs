//! Last stage: how the use ended. Every intent gets an outcome, also where the caller goes away.

use std::sync::Arc;

use gateway_core::audit::{Event, EventKind, Outcome};
use gateway_core::refusal::Code;

use super::admit::Trip;
use crate::gateway::Gateway;
use crate::trace::Recording;

/// An open intent. Finishing it records the outcome; dropping it unfinished records an abort.
#[derive(Debug)]
pub struct Trail {
    gateway: Arc<Gateway>,
    event: Option<Event>,
    started: gateway_core::time::Timestamp,
    outcome: Outcome,
    recording: Option<Arc<Recording>>,
}

impl Trail {
    /// Follows the intent that is about to be recorded.
    pub fn open(gateway: &Arc<Gateway>, intent: Event, trip: &Trip) -> Self {
        Self {
            gateway: Arc::clone(gateway),
            event: Some(intent),
            started: trip.started,
            outcome: Outcome::default(),
            recording: trip.recording.clone(),
        }
    }

    /// There is no intent to follow: it is not in the chain.
    pub fn forget(mut self) {
        self.event = None;
    }

    /// Notes the upstream's status.
    pub const fn status(&mut self, status: u16) {
        self.outcome.upstream_status = Some(status);
    }

    /// Notes the scopes that the upstream demands.
    pub fn scopes(&mut self, scopes: Option<String>) {
        self.outcome.upstream_scopes = scopes;
    }

    /// Adds what went to the caller.
    pub const fn sent(&mut self, bytes: u64, redactions: u64) {
        self.outcome.response_bytes = self.outcome.response_bytes.saturating_add(bytes);
        self.outcome.redactions = redactions;
    }

    /// The answer went out whole.
    pub fn finish(mut self) {
        self.close(None);
    }

    /// The use failed.
    pub fn fail(mut self, code: Code) {
        self.outcome.aborted = true;
        self.close(Some(code));
    }

    fn close(&mut self, code: Option<Code>) {
        let Some(mut event) = self.event.take() else { return };
        if let (Some(recording), Some(code)) = (&self.recording, code) {
            recording.refused(code);
        }
        let now = self.gateway.clock.now();
        let duration = now.since(self.started);
        self.outcome.duration_micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        event.time = now;
        event.kind = EventKind::Outcome;
        event.decision = None;
        event.reason = code.map(|code| code.as_str().to_owned());
        self.gateway.metrics.finished(self.outcome.duration_micros, self.outcome.redactions);
        event.outcome = Some(std::mem::take(&mut self.outcome));
        if let Err(error) = self.gateway.audit.note(event) {
            // The log is down: it refuses every further intent by itself, so calls stop.
            tracing::error!(%error, "an outcome could not be recorded");
        }
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        if self.event.is_some() {
            self.outcome.aborted = true;
            self.close(None);
        }
    }
}
