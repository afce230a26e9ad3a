//! Evidence of what the gateway registered where.

use gateway_core::audit::{Decision, Event, EventKind};
use gateway_core::manifest::ProviderSpec;
use gateway_core::refusal::{Code, Refusal};

use super::{Registered, Registrar};
use crate::source::provider::error::ProviderError;

impl Registrar {
    /// Sources that make something outside write their own record first (DESIGN, section 12.1).
    pub(super) async fn announce(&self, spec: &ProviderSpec) -> Result<(), ProviderError> {
        let written = self.own.audit.record(self.event(EventKind::CredentialRequested, spec)).await;
        written.map(drop).map_err(|error| Refusal::new(Code::AuditUnavailable).because(error).into())
    }

    /// What came of it.
    pub(super) fn note(
        &self,
        spec: &ProviderSpec,
        outcome: &Result<Registered, ProviderError>,
    ) -> Result<(), ProviderError> {
        let mut event = self.event(EventKind::CredentialIssued, spec);
        match outcome {
            Ok(_) => event.decision = Some(Decision::Allow),
            Err(error) => {
                event.decision = Some(Decision::Deny);
                event.reason = Some(error.refusal().code().to_string());
                event.answer = error.answer().map(str::to_owned);
            }
        }
        let noted = self.own.audit.note(event);
        noted.map(drop).map_err(|error| Refusal::new(Code::AuditUnavailable).because(error).into())
    }

    fn event(&self, kind: EventKind, spec: &ProviderSpec) -> Event {
        let mut event = Event::new(kind, self.clock.now());
        event.environment = Some(spec.environment.clone());
        event.provider = Some(spec.name.clone());
        event.source = Some("registration".to_owned());
        event
    }
}
