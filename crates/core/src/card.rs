//! The binding card: everything a reviewer needs to judge a binding, and no field that could hold a
//! value.

mod neighbours;

use serde::Serialize;

pub use self::neighbours::Neighbours;
use crate::actor::ActorSelector;
use crate::id::{BindingName, EnvironmentName, OperatorName, PolicyName, Revision, ServerName, TeamName};
use crate::lease::VersionId;
use crate::lifecycle::{
    FieldChange, Requirement, declared, field_changes, path_owners, pending, still_missing,
};
use crate::lock::LockRecord;
use crate::manifest::{
    BindingSpec, ContentHash, CredentialMode, CredentialSource, Exception, Injection, Kind, Limits,
    ObjectKey, Risk, RotationSpec, Spec, ToolSelector,
};
use crate::reference::SecretReference;
use crate::review::{Appointment, ReviewStage, appointment};
use crate::rotation::{VersionRecord, VersionState, active_version, is_held};
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
    /// Locks that stop calls under it, each until its time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<CardLock>,
    /// The revision that waits for signatures beside it.
    pub pending: Option<CardPending>,
    /// How its secret is kept fresh, and which versions of it are alive.
    pub rotation: Option<CardRotation>,
    /// When somebody looked at it last, and when somebody has to again; absent where nobody ever has to.
    pub review: Option<CardReview>,
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

/// A lock on a card.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CardLock {
    /// Its id.
    pub id: String,
    /// What it stops.
    pub stops: String,
    /// When it ends by itself.
    pub until: Timestamp,
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
    /// Whether whoever asks can sign it now; set by who knows that.
    pub yours: bool,
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

/// How a secret is kept fresh, on a card.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CardRotation {
    /// What the binding says.
    pub policy: Option<RotationSpec>,
    /// The active version.
    pub version: Option<VersionId>,
    /// When the store made it, where it says so.
    pub created_at: Option<Timestamp>,
    /// When it became active.
    pub active_since: Option<Timestamp>,
    /// When the next rotation is due.
    pub next_due: Option<Timestamp>,
    /// Whether the binding stays at its version because the server refused a newer one.
    pub held: bool,
    /// How old it is, where somebody has said what time it is.
    pub age_seconds: Option<u64>,
    /// Whether the next rotation is late, where somebody has said what time it is.
    pub overdue: Option<bool>,
    /// The versions there are, the oldest first.
    pub versions: Vec<CardVersion>,
}

impl CardRotation {
    /// Adds what depends on the time.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        let made = self.created_at.or(self.active_since);
        self.age_seconds = made.map(|made| now.since(made).as_secs());
        self.overdue = Some(self.next_due.is_some_and(|due| due <= now));
        self
    }
}

/// One version on a card; never its value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CardVersion {
    /// The store's name for it.
    pub version: VersionId,
    /// Where it is.
    pub place: SecretReference,
    /// Where it stands.
    pub state: VersionState,
    /// When it came to stand there.
    pub since: Timestamp,
    /// When the store made it, where it says so.
    pub created_at: Option<Timestamp>,
    /// Why it was refused or could not be tried, as a code of the table.
    pub reason: Option<String>,
}

impl From<&VersionRecord> for CardVersion {
    fn from(record: &VersionRecord) -> Self {
        Self {
            version: record.version.clone(),
            place: record.place.clone(),
            state: record.state,
            since: record.changed_at,
            created_at: record.created_at,
            reason: record.reason.clone(),
        }
    }
}

/// The reviews of a binding, on its card.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CardReview {
    /// When the review is late.
    pub due_at: Timestamp,
    /// When somebody last looked: wrote it, signed it or reviewed it.
    pub last_at: Timestamp,
    /// Who made the last review.
    pub by: Vec<OperatorName>,
    /// Who has signed the next one, which needs further signatures.
    pub signed_by: Vec<OperatorName>,
    /// Whether the binding is switched off where nobody reviews it.
    pub disables: bool,
    /// When it was switched off because nobody had, where it is off for that.
    pub disabled_at: Option<Timestamp>,
    /// Where the review stands, where somebody has said what time it is.
    pub stage: Option<ReviewStage>,
    /// When it will be switched off, where that is near.
    pub disables_at: Option<Timestamp>,
    /// The appointment that it tells of.
    #[serde(skip)]
    pub next: Appointment,
}

impl CardReview {
    /// Of a binding by its key.
    fn of(state: &State, record: &RevisionRecord) -> Option<Self> {
        let next = appointment(state, &record.key)?;
        let known = state.review_of(&next.environment, next.binding.as_str());
        let last = known.and_then(|known| known.last.as_ref());
        let off = |at: &Timestamp| record.status == Lifecycle::Disabled && record.changed_at == *at;
        let signatures = known.map(|known| known.signatures.as_slice()).unwrap_or_default();
        let signed = signatures.iter().filter(|signature| signature.revision == next.revision);
        Some(Self {
            due_at: next.end,
            last_at: next.last,
            by: last.map(|review| review.by.clone()).unwrap_or_default(),
            signed_by: signed.map(|signature| signature.by.clone()).collect(),
            disables: next.rule.disables(),
            disabled_at: known.and_then(|known| known.disabled_at).filter(off),
            stage: None,
            disables_at: None,
            next,
        })
    }

    /// Adds what depends on the time.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        let stage = self.next.stage(now);
        self.stage = Some(stage);
        self.disables_at = self.next.disabled_from(now).filter(|_| stage != ReviewStage::Current);
        self
    }
}

impl Card {
    /// Adds what depends on the time.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        self.rotation = self.rotation.map(|rotation| rotation.at(now));
        self.review = self.review.map(|review| review.at(now));
        self
    }
}

/// Renders the card of a binding; absent where there is no such binding.
pub fn card(state: &State, stores: &Stores, key: &ObjectKey) -> Option<Card> {
    let (record, spec) = shown(state, key)?;
    Some(rendered(state, stores, &Neighbours::beside(state, spec), record, spec))
}

/// The same for one of many cards.
pub fn card_among(state: &State, stores: &Stores, neighbours: &Neighbours, key: &ObjectKey) -> Option<Card> {
    let (record, spec) = shown(state, key)?;
    Some(rendered(state, stores, neighbours, record, spec))
}

/// The revision that a card shows.
fn shown<'a>(state: &'a State, key: &ObjectKey) -> Option<(&'a RevisionRecord, &'a BindingSpec)> {
    let record = declared(state, key).or_else(|| state.history(key).last())?;
    let Spec::Binding(spec) = &record.spec else { return None };
    Some((record, spec))
}

fn rendered(
    state: &State,
    stores: &Stores,
    neighbours: &Neighbours,
    record: &RevisionRecord,
    spec: &BindingSpec,
) -> Card {
    let store = spec.place().and_then(|secret| stores.entry(secret.store()));
    let class = |class| match class {
        StoreClass::External => "external",
        StoreClass::Local => "local",
    };
    Card {
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
        shadows: neighbours.shadowed_by(spec),
        locks: state.locks.iter().filter(|lock| stops(lock, spec)).map(card_lock).collect(),
        pending: waiting(state, stores, record),
        rotation: rotation(state, spec),
        review: CardReview::of(state, record),
        history: state.history(&record.key).map(history_line).collect(),
    }
}

/// How a secret is kept fresh, and which versions of it there are; absent where nobody looks after it.
pub fn rotation(state: &State, spec: &BindingSpec) -> Option<CardRotation> {
    let versions = state.versions_of(&spec.environment, &spec.name);
    if spec.rotation.is_none() && versions.is_empty() {
        return None;
    }
    let active = active_version(state, spec);
    Some(CardRotation {
        policy: spec.rotation.as_deref().cloned(),
        version: active.map(|known| known.version.clone()),
        created_at: active.and_then(|known| known.created_at),
        active_since: active.map(|known| known.changed_at),
        next_due: active.zip(spec.rotation.as_deref()).and_then(|(known, policy)| known.due_at(policy)),
        held: is_held(state, spec),
        age_seconds: None,
        overdue: None,
        versions: versions.iter().map(CardVersion::from).collect(),
    })
}

fn stops(lock: &LockRecord, spec: &BindingSpec) -> bool {
    lock.ended.is_none() && lock.selector.may_concern(spec)
}

fn card_lock(lock: &LockRecord) -> CardLock {
    CardLock { id: lock.id.clone(), stops: lock.selector.to_string(), until: lock.until }
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
        yours: false,
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
