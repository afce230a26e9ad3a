//! Evidence of what providers were asked and what they answered.

use gateway_core::audit::{Decision, Event, EventKind};
use gateway_core::lease::VersionId;
use gateway_core::manifest::ProviderSpec;
use gateway_core::refusal::{Code, Refusal};

use super::{Order, Shared};
use crate::source::provider::{ProviderError, Tokens};

impl Shared {
    /// Durable before the provider is asked.
    pub(super) async fn requested(
        &self,
        order: &Order,
        provider: &ProviderSpec,
        scopes: &[&str],
    ) -> Result<(), Refusal> {
        let mut event = self.event(EventKind::CredentialRequested, order, provider);
        event.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let recorded = self.audit.record(event).await;
        recorded.map(drop).map_err(|error| Refusal::new(Code::AuditUnavailable).because(error))
    }

    /// What the provider answered.
    pub(super) fn answered(
        &self,
        order: &Order,
        provider: &ProviderSpec,
        outcome: &Result<(Tokens, VersionId), ProviderError>,
    ) -> Result<(), Refusal> {
        let mut event = self.event(EventKind::CredentialIssued, order, provider);
        match outcome {
            Ok((tokens, version)) => {
                event.decision = Some(Decision::Allow);
                event.scopes.clone_from(&tokens.scopes);
                event.secret_version = Some(version.clone());
            }
            Err(error) => {
                event.decision = Some(Decision::Deny);
                event.reason = Some(error.refusal().code().to_string());
                event.answer = error.answer().map(str::to_owned);
            }
        }
        let noted = self.audit.note(event);
        noted.map(drop).map_err(|error| Refusal::new(Code::AuditUnavailable).because(error))
    }

    fn event(&self, kind: EventKind, order: &Order, provider: &ProviderSpec) -> Event {
        let binding = order.permit.binding();
        let mut event = Event::new(kind, self.clock.now());
        if let Some(actor) = &order.actor {
            event = event.with_actor(actor);
        }
        event.request_id = Some(order.request_id.clone());
        event.environment = Some(binding.spec.environment.clone());
        event.server = Some(binding.spec.server.clone());
        event.tool = order.permit.tool().cloned();
        event.risk = Some(order.permit.risk());
        event.mode = Some(binding.spec.mode);
        event.binding = Some(binding.name_at_revision());
        event.policy_version = order.permit.policy_version();
        event.epoch = Some(order.permit.epoch());
        event.source = binding.spec.source.as_ref().map(|source| source.word().to_owned());
        event.provider = Some(provider.name.clone());
        event
    }
}
