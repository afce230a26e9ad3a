//! The binding card: everything a reviewer needs to judge a binding, and no field that could hold a
//! value.

use serde::Serialize;

use crate::actor::ActorSelector;
use crate::id::{BindingName, EnvironmentName, OperatorName, PolicyName, Revision, ServerName, TeamName};
use crate::lifecycle::{
    FieldChange, Requirement, declared, field_changes, path_owners, pending, still_missing, tools_meet,
};
use crate::manifest::{
    BindingSpec, ContentHash, CredentialMode, CredentialSource, Exception, Injection, Kind, Limits,
    ObjectKey, Risk, Spec, ToolSelector,
};
use crate::reference::SecretReference;
use crate::state::{Approval, Lifecycle, RevisionRecord, State};
use crate::stores::{StoreClass, Stores};
use crate::time::Timestamp;

/// The secret-free rendering of a binding.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Card {
    /// Its name.
    pub name: BindingName,
    /// The environment it holds in.
    pub environment: EnvironmentName,
    /// The revision that the card shows: the standing one, else the newest.
    pub revision: Revision,
    /// Where that stands.
    pub status: Lifecycle,
    /// Whom it serves.
    pub actor: ActorSelector,
    /// Whom it serves, in words.
    pub who: String,
    /// The server.
    pub server: ServerName,
    /// The origin and path that the approval pinned: the only place the credential may go.
    pub destination: Option<String>,
    /// The tools it covers; empty means all.
    pub tools: ToolSelector,
    /// Further methods.
    pub methods: Vec<String>,
    /// The highest risk it may cause.
    pub risk: Risk,
    /// How the credential is obtained.
    pub mode: CredentialMode,
    /// Where the secret is.
    pub reference: Option<SecretReference>,
    /// How the material is obtained where no store simply holds it.
    pub source: Option<CredentialSource>,
    /// Whether its store is the enterprise's own or local to this machine.
    pub store: Option<&'static str>,
    /// The teams that own the place.
    pub path_owners: Vec<TeamName>,
    /// Where the secret goes.
    pub inject: Option<Injection>,
    /// Where the secret goes, in words.
    pub how: Option<String>,
    /// The policy that must itself permit.
    pub policy: CardPolicy,
    /// The team that answers for it.
    pub owner: TeamName,
    /// Rate and concurrency.
    pub limits: Option<Limits>,
    /// When people look at it again.
    pub review_by: Option<String>,
    /// When it stops by itself.
    pub expires_at: Option<Timestamp>,
    /// Production rules it breaks on purpose.
    pub exceptions: Vec<Exception>,
    /// Who wrote the revision.
    pub author: OperatorName,
    /// When it was written.
    pub created_at: Timestamp,
    /// Who signed it.
    pub approvals: Vec<Approval>,
    /// Less specific bindings whose callers this one takes over where both match.
    pub shadows: Vec<BindingName>,
    /// The revision that waits for signatures beside it.
    pub pending: Option<CardPending>,
    /// Every revision, oldest first.
    pub history: Vec<CardRevision>,
}

/// The policy on a card.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CardPolicy {
    /// Its name.
    pub name: PolicyName,
    /// The revision that the approval pinned.
    pub revision: Option<Revision>,
    /// That revision's hash.
    pub hash: Option<ContentHash>,
    /// The revision in force now; it must permit as well.
    pub current: Option<Revision>,
}

/// A pending revision on a card.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct CardPending {
    /// Which revision.
    pub revision: Revision,
    /// Who wrote it.
    pub author: OperatorName,
    /// When.
    pub created_at: Timestamp,
    /// Who signed so far.
    pub approvals: Vec<Approval>,
    /// The signatures missing.
    pub missing: Vec<Requirement>,
    /// What it changes; empty where only the pinned server or policy differs.
    pub changes: Vec<FieldChange>,
    /// The pinned server revision.
    pub server_revision: Option<Revision>,
    /// The pinned policy revision.
    pub policy_revision: Option<Revision>,
}

/// One line of a card's history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CardRevision {
    /// Which revision.
    pub revision: Revision,
    /// Where it stands.
    pub status: Lifecycle,
    /// Who wrote it.
    pub author: OperatorName,
    /// When it was written.
    pub created_at: Timestamp,
    /// When its status last changed.
    pub changed_at: Timestamp,
    /// Who signed it.
    pub approvals: Vec<Approval>,
    /// The reference it named.
    pub reference: Option<SecretReference>,
}

/// Renders the card of a binding; absent where there is no such binding.
pub fn card(state: &State, stores: &Stores, key: &ObjectKey) -> Option<Card> {
    let record = declared(state, key).or_else(|| state.history(key).last())?;
    let Spec::Binding(spec) = &record.spec else { return None };
    let store = spec.place().and_then(|secret| stores.entry(secret.store()));
    let class = |class| match class {
        StoreClass::External => "external",
        StoreClass::Local => "local",
    };
    Some(Card {
        name: spec.name.clone(),
        environment: spec.environment.clone(),
        revision: record.revision,
        status: record.status,
        actor: spec.actor.clone(),
        who: spec.actor.to_string(),
        server: spec.server.clone(),
        destination: destination(state, record, spec),
        tools: spec.tools.clone(),
        methods: spec.methods.clone(),
        risk: spec.risk,
        mode: spec.mode,
        reference: spec.place().cloned(),
        source: spec.source.clone(),
        store: store.map(|entry| class(entry.class)),
        path_owners: path_owners(stores, spec).to_vec(),
        inject: spec.inject.clone(),
        how: spec.inject.as_ref().map(how),
        policy: policy(state, record, spec),
        owner: spec.owner.clone(),
        limits: spec.limits,
        review_by: spec.review_by.clone(),
        expires_at: spec.expires_at,
        exceptions: spec.exceptions.clone(),
        author: record.author.clone(),
        created_at: record.created_at,
        approvals: record.approvals.clone(),
        shadows: shadows(state, spec),
        pending: waiting(state, stores, record),
        history: state.history(key).map(history_line).collect(),
    })
}

fn in_environment(kind: Kind, spec: &BindingSpec, name: &str) -> ObjectKey {
    ObjectKey { kind, environment: Some(spec.environment.clone()), name: name.to_owned() }
}

fn destination(state: &State, record: &RevisionRecord, spec: &BindingSpec) -> Option<String> {
    let key = in_environment(Kind::Server, spec, spec.server.as_str());
    match state.exact(&key, record.pins.as_ref()?.server).map(|server| &server.spec) {
        Some(Spec::Server(server)) => Some(server.route.destination()),
        _ => None,
    }
}

fn how(injection: &Injection) -> String {
    match injection {
        Injection::Header { name, format } => {
            format!("header `{name}` as `{format}`")
        }
        Injection::Basic { user } => format!("basic authentication as {user}"),
        Injection::Query { name } => format!("query parameter `{name}`"),
        Injection::Environment { variable, format } => {
            format!("variable `{variable}` of the server's process as `{format}`")
        }
        Injection::File { variable, format } => {
            format!("file in memory of the server's process, named by `{variable}`, as `{format}`")
        }
    }
}

fn policy(state: &State, record: &RevisionRecord, spec: &BindingSpec) -> CardPolicy {
    let key = in_environment(Kind::Policy, spec, spec.policy.as_str());
    CardPolicy {
        name: spec.policy.clone(),
        revision: record.pins.as_ref().map(|pins| pins.policy),
        hash: record.pins.as_ref().map(|pins| pins.policy_hash),
        current: state.active(&key).map(|record| record.revision),
    }
}

fn shadows(state: &State, spec: &BindingSpec) -> Vec<BindingName> {
    let rank = |binding: &BindingSpec| binding.actor.specificity(binding.tools.is_named());
    state
        .all_active(Kind::Binding)
        .filter_map(|record| match &record.spec {
            Spec::Binding(other) => Some(other),
            _ => None,
        })
        .filter(|other| {
            let same = other.environment == spec.environment && other.server == spec.server;
            same && other.name != spec.name && tools_meet(spec, other) && rank(spec) > rank(other)
        })
        .map(|other| other.name.clone())
        .collect()
}

fn waiting(state: &State, stores: &Stores, shown: &RevisionRecord) -> Option<CardPending> {
    let record = pending(state, &shown.key)?;
    let other = record.revision != shown.revision;
    Some(CardPending {
        revision: record.revision,
        author: record.author.clone(),
        created_at: record.created_at,
        approvals: record.approvals.clone(),
        missing: still_missing(state, stores, record),
        changes: if other { field_changes(&shown.spec, &record.spec) } else { Vec::new() },
        server_revision: record.pins.as_ref().map(|pins| pins.server),
        policy_revision: record.pins.as_ref().map(|pins| pins.policy),
    })
}

fn history_line(record: &RevisionRecord) -> CardRevision {
    let reference = match &record.spec {
        Spec::Binding(spec) => spec.place().cloned(),
        _ => None,
    };
    CardRevision {
        revision: record.revision,
        status: record.status,
        author: record.author.clone(),
        created_at: record.created_at,
        changed_at: record.changed_at,
        approvals: record.approvals.clone(),
        reference,
    }
}
