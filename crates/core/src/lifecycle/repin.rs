//! What an approval pins, and what happens to it when the server, policy or provider underneath changes.

use super::draft::{Draft, NewRevision};
use super::fields::Effect;
use super::rule::Finding;
use super::signatures::environment_approvals;
use super::world::{declared, pending, policy_key, provider_key, server_key};
use crate::audit::EventKind;
use crate::id::{OperatorName, ProviderName, Revision};
use crate::manifest::{BindingSpec, CredentialSource, Kind, ObjectKey, Spec};
use crate::state::{Lifecycle, Pins, RevisionRecord, State};

/// The contents that whoever signs this binding now will see: what stands, else what is pending.
pub(super) fn pins_for(state: &State, binding: &BindingSpec) -> Option<Pins> {
    let server = declared(state, &server_key(&binding.environment, &binding.server))?;
    let policy = declared(state, &policy_key(&binding.environment, &binding.policy))?;
    let providers = binding.source.iter().flat_map(CredentialSource::providers).map(|name| {
        declared(state, &provider_key(&binding.environment, name))
            .map(|record| (name.clone(), record.revision))
    });
    Some(Pins {
        server: server.revision,
        policy: policy.revision,
        policy_hash: policy.content,
        providers: providers.collect::<Option<_>>()?,
    })
}

/// After a server's, policy's or provider's revision took its place: bindings that pin another one are pinned
/// anew at once where nobody has to approve, or where the change only tightened; everywhere else the
/// old content goes on deciding and a pending revision with the new pins asks for approval, in the name of whoever made the change.
pub(super) fn repin(
    draft: &mut Draft,
    key: &ObjectKey,
    revision: Revision,
    effect: Effect,
    author: &OperatorName,
) -> Result<(), Vec<Finding>> {
    let (Kind::Server | Kind::Policy | Kind::Provider, Some(environment)) =
        (key.kind, key.environment.as_ref())
    else {
        return Ok(());
    };
    let at_once = effect == Effect::Tightening || environment_approvals(&draft.state, environment) == 0;
    let affected: Vec<(RevisionRecord, Pins)> = draft
        .state
        .of_kind(Kind::Binding)
        .iter()
        .filter_map(|record| new_pins(&draft.state, record, key, revision).map(|pins| (record.clone(), pins)))
        .collect();
    for (record, pins) in affected {
        if at_once {
            draft.pin(&record.key, record.revision, pins)?;
        } else {
            ask_again(draft, &record, pins, author)?;
        }
    }
    Ok(())
}

fn new_pins(state: &State, record: &RevisionRecord, key: &ObjectKey, revision: Revision) -> Option<Pins> {
    let Spec::Binding(binding) = &record.spec else { return None };
    let alive = matches!(record.status, Lifecycle::Active | Lifecycle::Disabled | Lifecycle::Pending);
    let old = record.pins.as_ref().filter(|_| alive)?;
    let is_server = *key == server_key(&binding.environment, &binding.server);
    let is_policy = *key == policy_key(&binding.environment, &binding.policy);
    let mut pins = old.clone();
    if is_server {
        pins.server = revision;
    } else if is_policy {
        pins.policy = revision;
        pins.policy_hash = state.exact(key, revision)?.content;
    } else {
        let is_provider = |name: &&ProviderName| *key == provider_key(&binding.environment, name);
        let provider = binding.source.iter().flat_map(CredentialSource::providers).find(is_provider)?;
        pins.providers.insert(provider.clone(), revision);
    }
    (pins != *old).then_some(pins)
}

fn ask_again(
    draft: &mut Draft,
    record: &RevisionRecord,
    pins: Pins,
    changer: &OperatorName,
) -> Result<(), Vec<Finding>> {
    let waits = record.status == Lifecycle::Pending;
    if waits {
        draft.status(&record.key, record.revision, Lifecycle::Withdrawn, Some(EventKind::ObjectStatus))?;
    } else if pending(&draft.state, &record.key).is_some() {
        // The pending revision is asked about on its own; it holds the newer content.
        return Ok(());
    }
    let author = if waits { &record.author } else { changer };
    draft.insert(NewRevision {
        spec: &record.spec,
        status: Lifecycle::Pending,
        author,
        pins: Some(pins),
        approvals: Vec::new(),
        evidence: EventKind::ObjectWritten,
    })?;
    Ok(())
}
