//! What the state holds: revisions of objects, tokens, and one epoch that moves with every change.
//!
//! The whole of it is read at one epoch, changed by pure functions, and written back as a batch that
//! succeeds only if the epoch has not moved. Nothing in it can hold a secret value.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::audit::Event;
use crate::id::{
    AgentName, BindingName, EnvironmentName, Epoch, OperatorName, ProviderName, Revision, TeamName,
};
use crate::identity::{Entry, TokenDigest};
use crate::lease::VersionId;
use crate::lock::{LockEnd, LockRecord};
use crate::manifest::{ContentHash, Kind, ObjectKey, Spec};
use crate::operator::RoleGrant;
use crate::reference::SecretReference;
use crate::review::ReviewRecord;
use crate::revocation::{Return, RevocationRequest};
use crate::rotation::VersionRecord;
use crate::time::Timestamp;

/// Where a revision stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// Written, not yet asked for.
    Draft,
    /// Waits for signatures.
    Pending,
    /// Decides.
    Active,
    /// Switched off; can be switched on again.
    Disabled,
    /// Past its `expires_at`.
    Expired,
    /// Ended for ever; the name stays refused.
    Revoked,
    /// Replaced by a later revision; kept because approvals may pin it.
    Superseded,
    /// Was pending and was withdrawn or overtaken before it became active.
    Withdrawn,
}

impl Lifecycle {
    /// The word used in the API, the state and evidence.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Superseded => "superseded",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Whether the step exists. `Revoked` is final.
    pub const fn may_become(self, next: Self) -> bool {
        use Lifecycle::{Active, Disabled, Draft, Expired, Pending, Revoked, Superseded, Withdrawn};
        matches!(
            (self, next),
            (Draft, Pending | Active | Withdrawn | Revoked)
                | (Pending, Active | Withdrawn | Revoked)
                | (Active, Disabled | Expired | Revoked | Superseded)
                | (Disabled, Active | Expired | Revoked | Superseded)
                | (Expired, Revoked | Superseded)
        )
    }
}

impl fmt::Display for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// In which capacity somebody signs a revision.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capacity {
    /// As an approver of the environment.
    Environment,
    /// For the team that owns the path in the store.
    Path(TeamName),
    /// For the team that owns the server.
    Server(TeamName),
}

/// One signature.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Approval {
    /// Who signed; never the author.
    pub approver: OperatorName,
    /// In which capacities the signature counts.
    pub capacities: Vec<Capacity>,
    /// When.
    pub at: Timestamp,
}

/// What a binding's approval pinned: the contents that the approvers saw (DESIGN, 12.6). The pinned
/// route serves until a new approval; the pinned policy and the current one must both permit, and the
/// higher of the pinned and the current risk holds, so that tightening acts at once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pins {
    /// The revision of the server whose route and risks were approved.
    pub server: Revision,
    /// The revision of the policy that was approved.
    pub policy: Revision,
    /// That policy's content.
    pub policy_hash: ContentHash,
    /// The revisions of the providers that its source asks: their origins and clients were approved.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub providers: BTreeMap<ProviderName, Revision>,
}

impl Pins {
    /// The pinned revision of a provider.
    pub fn provider(&self, name: &ProviderName) -> Option<Revision> {
        self.providers.get(name).copied()
    }
}

/// One revision of one object.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RevisionRecord {
    /// The object.
    pub key: ObjectKey,
    /// Which revision.
    pub revision: Revision,
    /// Its content.
    pub spec: Spec,
    /// The hash of that content.
    pub content: ContentHash,
    /// Where it stands.
    pub status: Lifecycle,
    /// Who wrote it.
    pub author: OperatorName,
    /// When it was written.
    pub created_at: Timestamp,
    /// When its status last changed.
    pub changed_at: Timestamp,
    /// The signatures so far.
    pub approvals: Vec<Approval>,
    /// What the approval pinned (bindings only).
    pub pins: Option<Pins>,
}

/// A gateway-issued agent token: everything but the token.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AgentTokenRecord {
    /// Its public id, for listing and revoking.
    pub id: String,
    /// SHA-256 of the token.
    pub digest: TokenDigest,
    /// The agent it proves.
    pub agent: AgentName,
    /// The doors it opens.
    pub entries: Vec<Entry>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Who issued it.
    pub issued_by: OperatorName,
}

/// One user's delegated authority at one provider. Its tokens are in a secret store; the state knows only
/// where.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GrantRecord {
    /// Its public id, which is never used again.
    pub id: String,
    /// The environment.
    pub environment: EnvironmentName,
    /// The provider.
    pub provider: ProviderName,
    /// The user as `iss|sub`.
    pub user: String,
    /// The account at the provider, where it tells: compared at every refresh.
    pub account: Option<String>,
    /// The scopes granted, sorted.
    pub scopes: Vec<String>,
    /// Where its tokens are.
    pub reference: SecretReference,
    /// When it was granted.
    pub created_at: Timestamp,
    /// When and why it ended.
    pub ended: Option<GrantEnd>,
}

/// The end of a grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GrantEnd {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: GrantEndReason,
}

/// Why a grant ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantEndReason {
    /// An operator or the user ended it.
    Revoked,
    /// The provider refuses its refresh token for good.
    Refused,
    /// A grant with other scopes took its place.
    Replaced,
    /// A refresh was under way when its gateway died; replaying it would look like theft.
    Interrupted,
}

impl GrantEndReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Revoked, Self::Refused, Self::Replaced, Self::Interrupted];

    /// The word used in the API, the state and evidence.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Refused => "refused",
            Self::Replaced => "replaced",
            Self::Interrupted => "interrupted",
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.word() == word)
    }
}

/// An operator's token (a login by bootstrap token, or a local operator).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OperatorTokenRecord {
    /// Its public id.
    pub id: String,
    /// SHA-256 of the token.
    pub digest: TokenDigest,
    /// Whose it is.
    pub operator: OperatorName,
    /// What it may do.
    pub roles: Vec<RoleGrant>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Whether it is a bootstrap token, which is used up by its first use.
    pub bootstrap: bool,
    /// When it was used up or revoked.
    pub ended_at: Option<Timestamp>,
}

/// The whole state at one epoch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct State {
    /// The epoch.
    pub epoch: Epoch,
    /// Every revision of every object, ordered by key and revision: lookups go by that order.
    pub revisions: Vec<RevisionRecord>,
    /// Every agent token that has not expired.
    pub agent_tokens: Vec<AgentTokenRecord>,
    /// Every operator token that has not ended.
    pub operator_tokens: Vec<OperatorTokenRecord>,
    /// Every grant, ended ones for as long as they are kept for listing.
    pub grants: Vec<GrantRecord>,
    /// The versions of secrets that are looked after, ordered by environment, binding and age.
    pub versions: Vec<VersionRecord>,
    /// Every lock, ended ones for as long as they are kept for listing.
    pub locks: Vec<LockRecord>,
    /// What is known of the reviews of bindings, ordered by environment and binding.
    pub reviews: Vec<ReviewRecord>,
}

impl State {
    /// Puts everything into the order that lookups go by, and in which databases that order text by their own
    /// locale cannot be trusted to give it. For whoever puts a state together from parts.
    pub fn put_in_order(&mut self) {
        self.revisions.sort_by(|one, other| (&one.key, one.revision).cmp(&(&other.key, other.revision)));
        self.agent_tokens.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
        self.operator_tokens.sort_by(|one, other| one.id.cmp(&other.id));
        self.grants.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
        // Stable, so that each binding's stay in the order of their age.
        self.versions.sort_by(|one, other| {
            (&one.environment, &one.binding).cmp(&(&other.environment, &other.binding))
        });
        self.locks.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
        self.reviews.sort_by(|one, other| {
            (&one.environment, &one.binding).cmp(&(&other.environment, &other.binding))
        });
    }

    /// All revisions of one object, oldest first.
    pub fn history<'a>(&'a self, key: &ObjectKey) -> impl Iterator<Item = &'a RevisionRecord> + use<'a> {
        self.between(|record| record.key.cmp(key)).iter()
    }

    /// Every revision of every object of a kind.
    pub fn of_kind(&self, kind: Kind) -> &[RevisionRecord] {
        self.between(|record| record.key.kind.cmp(&kind))
    }

    /// Every revision of every object of a kind that belongs to an environment.
    pub fn within(&self, kind: Kind, environment: &EnvironmentName) -> &[RevisionRecord] {
        self.between(|record| {
            let place = (record.key.kind, record.key.environment.as_ref());
            place.cmp(&(kind, Some(environment)))
        })
    }

    /// The neighbours that compare as equal. Thousands of bindings are looked up in while one snapshot is built.
    fn between(&self, against: impl Fn(&RevisionRecord) -> Ordering) -> &[RevisionRecord] {
        let start = self.revisions.partition_point(|record| against(record) == Ordering::Less);
        let rest = self.revisions.get(start..).unwrap_or_default();
        let length = rest.partition_point(|record| against(record) == Ordering::Equal);
        rest.get(..length).unwrap_or_default()
    }

    /// The revision that decides, or would if it were not disabled.
    pub fn standing(&self, key: &ObjectKey) -> Option<&RevisionRecord> {
        self.history(key).find(|record| matches!(record.status, Lifecycle::Active | Lifecycle::Disabled))
    }

    /// The revision that decides.
    pub fn active(&self, key: &ObjectKey) -> Option<&RevisionRecord> {
        self.history(key).find(|record| record.status == Lifecycle::Active)
    }

    /// One exact revision.
    pub fn exact(&self, key: &ObjectKey, revision: Revision) -> Option<&RevisionRecord> {
        self.history(key).find(|record| record.revision == revision)
    }

    /// Every active revision of a kind.
    pub fn all_active(&self, kind: Kind) -> impl Iterator<Item = &RevisionRecord> {
        self.of_kind(kind).iter().filter(|record| record.status == Lifecycle::Active)
    }

    /// The versions of a binding's secret, the oldest first.
    pub fn versions_of(&self, environment: &EnvironmentName, binding: &BindingName) -> &[VersionRecord] {
        let wanted = (environment, binding);
        let start = self.versions.partition_point(|known| (&known.environment, &known.binding) < wanted);
        let end = self.versions.partition_point(|known| (&known.environment, &known.binding) <= wanted);
        self.versions.get(start..end).unwrap_or_default()
    }

    /// What is known of the reviews of a binding.
    pub fn review_of(&self, environment: &EnvironmentName, binding: &str) -> Option<&ReviewRecord> {
        let order =
            |known: &ReviewRecord| (&known.environment, known.binding.as_str()).cmp(&(environment, binding));
        self.reviews.binary_search_by(order).ok().and_then(|place| self.reviews.get(place))
    }

    /// The number the object's next revision gets.
    pub fn next_revision(&self, key: &ObjectKey) -> Revision {
        Revision(self.history(key).map(|record| record.revision.0).max().unwrap_or(0).saturating_add(1))
    }
}

/// One step of a change.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Writes a new revision.
    InsertRevision(Box<RevisionRecord>),
    /// Moves a revision to another status.
    SetStatus {
        /// The object.
        key: ObjectKey,
        /// The revision.
        revision: Revision,
        /// The new status.
        status: Lifecycle,
        /// When.
        at: Timestamp,
    },
    /// Adds a signature.
    AddApproval {
        /// The object.
        key: ObjectKey,
        /// The revision.
        revision: Revision,
        /// The signature.
        approval: Approval,
    },
    /// Sets what the approval pinned.
    SetPins {
        /// The object.
        key: ObjectKey,
        /// The revision.
        revision: Revision,
        /// The pins.
        pins: Pins,
    },
    /// Writes an agent token.
    InsertAgentToken(AgentTokenRecord),
    /// Revokes an agent token by its id.
    RevokeAgentToken {
        /// The token's id.
        id: String,
        /// When.
        at: Timestamp,
    },
    /// Writes an operator token.
    InsertOperatorToken(OperatorTokenRecord),
    /// Writes a grant. A user has one living grant per environment and provider.
    InsertGrant(Box<GrantRecord>),
    /// Ends a living grant by its id.
    EndGrant {
        /// The grant's id.
        id: String,
        /// When and why.
        end: GrantEnd,
    },
    /// Writes a version of a secret, over what was known of it. A binding has one active version.
    PutVersion(Box<VersionRecord>),
    /// Forgets a version of a secret.
    DropVersion {
        /// The binding's environment.
        environment: EnvironmentName,
        /// The binding.
        binding: BindingName,
        /// The place in the store, without a version.
        place: SecretReference,
        /// The version.
        version: VersionId,
    },
    /// Writes what is known of the reviews of a binding, over what was.
    PutReview(Box<ReviewRecord>),
    /// Writes a lock.
    InsertLock(Box<LockRecord>),
    /// Ends a lock by its id: it was lifted, or its time is over.
    EndLock {
        /// The lock's id.
        id: String,
        /// When, and by whom.
        end: LockEnd,
    },
    /// Writes down a revocation that is to be carried to its end and to get a document; no part of the state that is
    /// read.
    AskRevocation(Box<RevocationRequest>),
    /// Writes down what goes back to an outside party; no part of the state that is read.
    FileReturn(Box<Return>),
    /// Strikes out what needs to go back no more, unless it is evidence of a revocation.
    DropReturn {
        /// Its id.
        id: String,
    },
    /// Uses up or revokes an operator token by its id.
    EndOperatorToken {
        /// The token's id.
        id: String,
        /// When.
        at: Timestamp,
    },
}

/// A batch that is written whole or not at all.
#[derive(Clone, Debug)]
pub struct Change {
    /// The epoch the change was computed from; the write is refused if the state has moved on.
    pub expected: Epoch,
    /// The steps, in order.
    pub operations: Vec<Operation>,
    /// The evidence, written to the outbox in the same transaction.
    pub events: Vec<Event>,
}

/// One event that waits to be drained into the chain.
#[derive(Clone, Debug)]
pub struct OutboxEntry {
    /// Its id, repeated in the event so that draining twice is seen.
    pub id: String,
    /// The event.
    pub event: Event,
}

#[cfg(test)]
mod tests {
    use super::Lifecycle::{Active, Disabled, Draft, Expired, Pending, Revoked, Superseded, Withdrawn};
    use super::*;

    fn record(spec: serde_json::Value, revision: u32) -> RevisionRecord {
        let spec: Spec = serde_json::from_value(spec).unwrap();
        let at = Timestamp::from_seconds(0);
        RevisionRecord {
            key: spec.key(),
            revision: Revision(revision),
            content: spec.content_hash(),
            spec,
            status: if revision == 2 { Active } else { Superseded },
            author: OperatorName::parse("alice").unwrap(),
            created_at: at,
            changed_at: at,
            approvals: Vec::new(),
            pins: None,
        }
    }

    #[test]
    fn a_lookup_finds_what_a_walk_over_everything_finds() {
        let mut state = State::default();
        for revision in [2, 1, 3] {
            for name in ["b", "a", "ab"] {
                let policy = |environment: &str| serde_json::json!({"kind": "Policy", "name": name, "environment": environment, "cedar": ""});
                state.revisions.push(record(policy("staging"), revision));
                state.revisions.push(record(policy("dev"), revision));
                state
                    .revisions
                    .push(record(serde_json::json!({"kind": "Environment", "name": name}), revision));
            }
        }
        state.put_in_order();
        let keys: std::collections::BTreeSet<ObjectKey> =
            state.revisions.iter().map(|record| record.key.clone()).collect();
        assert_eq!(keys.len(), 9);
        for key in &keys {
            let walked: Vec<_> = state.revisions.iter().filter(|record| record.key == *key).collect();
            assert_eq!(state.history(key).collect::<Vec<_>>(), walked, "{key}");
            assert_eq!(state.active(key).map(|record| record.revision), Some(Revision(2)), "{key}");
            assert_eq!(state.next_revision(key), Revision(4), "{key}");
        }
        let none = ObjectKey { kind: Kind::Binding, environment: None, name: "a".to_owned() };
        assert_eq!((state.history(&none).count(), state.next_revision(&none)), (0, Revision(1)));
        for (kind, count) in [(Kind::Environment, 9), (Kind::Policy, 18), (Kind::Server, 0)] {
            assert_eq!(state.of_kind(kind).len(), count, "{kind:?}");
            assert!(state.of_kind(kind).iter().all(|record| record.key.kind == kind));
        }
        assert_eq!(state.all_active(Kind::Policy).count(), 6);
        let dev = EnvironmentName::parse("dev").unwrap();
        assert_eq!(state.within(Kind::Policy, &dev).len(), 9);
        assert!(
            state
                .within(Kind::Policy, &dev)
                .iter()
                .all(|record| record.key.environment.as_ref() == Some(&dev))
        );
        assert!(state.within(Kind::Environment, &dev).is_empty(), "an environment is in none");
    }

    #[test]
    fn revoked_is_final_and_nothing_skips_approval() {
        for next in [Active, Disabled, Draft, Expired, Pending, Superseded, Withdrawn] {
            assert!(!Revoked.may_become(next), "{next}");
        }
        assert!(!Superseded.may_become(Active), "an old revision never comes back by itself");
        assert!(!Withdrawn.may_become(Active));
        assert!(Disabled.may_become(Active));
    }
}
