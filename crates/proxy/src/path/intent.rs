//! Sixth stage: nothing is used before it is recorded (rule 5).

use std::sync::Arc;

use gateway_core::audit::{Decision, Event, EventKind};
use gateway_core::id::ToolName;
use gateway_core::lease::VersionId;
use gateway_core::policy::{Decided, Permit, Subject};
use gateway_core::ports::Sequence;
use gateway_core::receipt::ReceiptMode;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::time::Timestamp;

use super::admit::Trip;
use super::outcome::Trail;
use crate::gateway::Gateway;

/// The proof that the intent is durable. [`super::receipt`] and [`super::inject`] demand it.
#[derive(Debug)]
pub struct Intent {
    sequence: Sequence,
    at: Timestamp,
}

impl Intent {
    /// Where it stands in the chain.
    pub const fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// The time that it bears.
    pub const fn at(&self) -> Timestamp {
        self.at
    }
}

/// Records the intent and returns once it is as durable as configured, with the trail that follows it:
/// from the first attempt to write it on, whatever ends the use leaves an outcome, also a caller that
/// goes away while the record is being synced.
///
/// # Errors
/// [`Code::AuditUnavailable`]: then the credential is not used, and nothing follows.
pub async fn record(
    gateway: &Arc<Gateway>,
    trip: &Trip,
    permit: &Permit,
    version: Option<(&VersionId, Option<&VersionId>)>,
) -> Result<(Intent, Trail), Refusal> {
    let at = gateway.clock.now();
    let event = describe(trip, permit, version, at);
    let trail = Trail::open(gateway, event.clone(), trip);
    match gateway.audit.record(event).await {
        Ok(sequence) => Ok((Intent { sequence, at }, trail)),
        Err(error) => {
            trail.forget();
            Err(Refusal::new(Code::AuditUnavailable).because(error))
        }
    }
}

fn describe(
    trip: &Trip,
    permit: &Permit,
    version: Option<(&VersionId, Option<&VersionId>)>,
    now: Timestamp,
) -> Event {
    let binding = permit.binding();
    let mut event = facts(trip, EventKind::Intent, now);
    event.decision = Some(Decision::Allow);
    Decided::from(permit).enter(&mut event);
    event.secret_version = version.map(|(version, _)| version.clone());
    event.store_request_id = version.and_then(|(_, request)| request.cloned());
    event.route_id = Some(binding.route_id);
    event.receipt = ReceiptMode::of(&binding.route);
    event.epoch = Some(permit.epoch());
    if matches!(permit.subject(), Subject::System) {
        event.source_address = None;
    }
    event
}

/// What the trip knows, as an event.
pub fn facts(trip: &Trip, kind: EventKind, now: Timestamp) -> Event {
    let mut event = Event::new(kind, now);
    if let Some(actor) = &trip.actor {
        event = event.with_actor(actor);
    }
    event.request_id = Some(trip.request_id.clone());
    event.trace_id.clone_from(&trip.trace_id);
    event.source_address = Some(trip.source);
    event.environment = Some(trip.environment.clone());
    event.server = Some(trip.server.clone());
    event.method = method(trip);
    event.tool = trip.tool.as_ref().and_then(|tool| ToolName::parse(tool).ok());
    event
}

/// The JSON-RPC method, cut so that no caller decides how long a record gets.
pub(super) fn method(trip: &Trip) -> Option<String> {
    trip.method.as_ref().map(|method| method.chars().take(64).collect())
}
