//! What ends with an object: its bindings, its agent, the users' grants that nobody else serves.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Context;
use super::draft::Draft;
use super::grants::about as about_grant;
use super::rule::Finding;
use super::status::end_tokens;
use super::world::provider_key;
use crate::audit::{BindingRevision, Decision, Event, EventKind};
use crate::id::{AgentName, EnvironmentName, ProviderName, Revision};
use crate::identity::Entry;
use crate::manifest::{BindingSpec, CredentialSource, Kind, ObjectKey, ProviderSpec, Spec};
use crate::revocation::Return;
use crate::state::{
    AgentTokenRecord, GrantEnd, GrantEndReason, GrantRecord, Lifecycle, Operation, RevisionRecord, State,
};

/// What is to be ended on every replica once a change of status is committed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// The bindings whose traffic ends.
    pub bindings: Vec<ReachedBinding>,
    /// The agent for whom nothing runs any more.
    pub agent: Option<AgentName>,
    /// The grants that ended, each with its provider as it stood.
    pub grants: Vec<(GrantRecord, Option<ProviderSpec>)>,
}

/// One binding in reach.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReachedBinding {
    /// Its environment.
    pub environment: EnvironmentName,
    /// The revision that decided, or would have next.
    pub binding: BindingRevision,
    /// The place of the stored secret that it uses.
    pub stored_secret: Option<String>,
}

impl Reach {
    /// Of a single object: a binding's own traffic, or an agent's.
    pub(super) fn of(record: &RevisionRecord) -> Self {
        match &record.spec {
            Spec::Binding(spec) => Self { bindings: vec![reached(spec, record.revision)], ..Self::default() },
            Spec::Agent(spec) => Self { agent: Some(spec.name.clone()), ..Self::default() },
            _ => Self::default(),
        }
    }

    /// Whether the binding is in reach.
    pub fn has_binding(&self, environment: &EnvironmentName, binding: &BindingRevision) -> bool {
        let same = |one: &ReachedBinding| one.environment == *environment && one.binding.name == binding.name;
        self.bindings.iter().any(same)
    }
}

fn reached(spec: &BindingSpec, revision: Revision) -> ReachedBinding {
    ReachedBinding {
        environment: spec.environment.clone(),
        binding: BindingRevision { name: spec.name.clone(), revision },
        stored_secret: spec.secret.as_ref().map(ToString::to_string),
    }
}

/// Ends with a server, or an environment, everything that is in it: bindings, servers, the grants that no other
/// binding serves, the agent tokens that open nothing else. Says what, and how many tokens.
pub(super) fn end_contents(
    context: &Context<'_>,
    draft: &mut Draft,
    key: &ObjectKey,
) -> Result<(Reach, u32), Vec<Finding>> {
    let mut reach = Reach::default();
    for record in contents(context.state, key) {
        let evidence = match record.key.kind {
            Kind::Binding => EventKind::BindingRevoked,
            _ => EventKind::ObjectStatus,
        };
        for one in alive(context.state, &record.key) {
            let evidence = (one.revision == record.revision).then_some(evidence);
            draft.status(&record.key, one.revision, Lifecycle::Revoked, evidence)?;
        }
        reach.bindings.extend(Reach::of(record).bindings);
    }
    end_grants(context, draft, key, &mut reach)?;
    let inside = |entry: &Entry| is_inside(key, entry);
    let held = |token: &AgentTokenRecord| !token.entries.is_empty() && token.entries.iter().all(inside);
    let tokens = end_tokens(draft, held)?;
    Ok((reach, tokens))
}

/// Every revision of an object that can still be revoked, the oldest first.
pub(super) fn alive<'a>(state: &'a State, key: &ObjectKey) -> Vec<&'a RevisionRecord> {
    state.history(key).filter(|record| record.status.may_become(Lifecycle::Revoked)).collect()
}

/// The revision that speaks for an object: the one that stands, else the newest that could.
pub(super) fn main_of<'a>(state: &'a State, key: &ObjectKey) -> Option<&'a RevisionRecord> {
    state.standing(key).or_else(|| alive(state, key).pop())
}

/// The servers and bindings in a server or an environment, each by its main revision.
fn contents<'a>(state: &'a State, key: &ObjectKey) -> Vec<&'a RevisionRecord> {
    let mut keys: Vec<&ObjectKey> = state.revisions.iter().map(|record| &record.key).collect();
    keys.dedup();
    let inside = |record: &&RevisionRecord| match (&record.spec, key.kind) {
        (Spec::Binding(spec), Kind::Server) => {
            key.environment.as_ref() == Some(&spec.environment) && spec.server.as_str() == key.name
        }
        (Spec::Binding(spec), _) => spec.environment.as_str() == key.name,
        (Spec::Server(spec), Kind::Environment) => spec.environment.as_str() == key.name,
        _ => false,
    };
    keys.into_iter().filter_map(|key| main_of(state, key)).filter(inside).collect()
}

/// An environment's grants all end; a server's do where no binding beside it serves them.
fn end_grants(
    context: &Context<'_>,
    draft: &mut Draft,
    key: &ObjectKey,
    reach: &mut Reach,
) -> Result<(), Vec<Finding>> {
    let environment = match key.kind {
        Kind::Environment => key.name.as_str(),
        _ => key.environment.as_ref().map_or("", |name| name.as_str()),
    };
    let state = context.state;
    let (mut within, mut beside) = (BTreeSet::new(), BTreeSet::new());
    for record in state.of_kind(Kind::Binding).iter().filter(|record| is_standing(record)) {
        let Spec::Binding(spec) = &record.spec else { continue };
        let Some(provider) = granting(spec).filter(|_| spec.environment.as_str() == environment) else {
            continue;
        };
        let binding = BindingRevision { name: spec.name.clone(), revision: record.revision };
        let side = if reach.has_binding(&spec.environment, &binding) { &mut within } else { &mut beside };
        side.insert(provider.clone());
    }
    let doomed = |grant: &&GrantRecord| {
        let whole = key.kind == Kind::Environment;
        let own = within.contains(&grant.provider) && !beside.contains(&grant.provider);
        grant.ended.is_none() && grant.environment.as_str() == environment && (whole || own)
    };
    let grants: Vec<GrantRecord> = state.grants.iter().filter(doomed).cloned().collect();
    for grant in grants {
        let end = GrantEnd { at: context.now, reason: GrantEndReason::Revoked };
        draft.step(Operation::EndGrant { id: grant.id.clone(), end })?;
        let mut event = Event::new(EventKind::GrantEnded, context.now);
        event.operator.clone_from(&draft.operator);
        event.decision = Some(Decision::Allow);
        let mut event = about_grant(&event, EventKind::GrantEnded, &grant);
        event.reason = Some(end.reason.word().to_owned());
        draft.note(event);
        let provider = provider_of(state, &grant);
        let filed = Return::of_grant(&grant, provider.as_ref(), context.now);
        draft.step(Operation::FileReturn(Box::new(filed)))?;
        reach.grants.push((grant, provider));
    }
    Ok(())
}

/// The provider of a grant as it stands, or last stood.
pub fn provider_of(state: &State, grant: &GrantRecord) -> Option<ProviderSpec> {
    match &main_of(state, &provider_key(&grant.environment, &grant.provider))?.spec {
        Spec::Provider(provider) => Some(provider.clone()),
        _ => None,
    }
}

fn granting(spec: &BindingSpec) -> Option<&ProviderName> {
    match &spec.source {
        Some(CredentialSource::Grant(request)) => Some(&request.provider),
        _ => None,
    }
}

fn is_standing(record: &RevisionRecord) -> bool {
    matches!(record.status, Lifecycle::Active | Lifecycle::Disabled)
}

fn is_inside(key: &ObjectKey, entry: &Entry) -> bool {
    match key.kind {
        Kind::Environment => entry.environment.as_str() == key.name,
        Kind::Server => {
            let servers = entry.servers.as_deref().unwrap_or_default();
            let only = !servers.is_empty() && servers.iter().all(|server| server.as_str() == key.name);
            only && key.environment.as_ref() == Some(&entry.environment)
        }
        _ => false,
    }
}
