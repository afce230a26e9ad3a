//! The audit event. Every field is a parsed name, a number, an enum or a hash: none can hold a value.
//! Names follow OCSF 1.8 API Activity (class 6003) where it has them; the export maps the rest.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::id::{
    AgentName, BindingName, EnvironmentName, Epoch, OperatorName, PolicyName, ProviderName, RequestId,
    Revision, ServerName, ToolName, WorkloadName,
};
use crate::lease::VersionId;
use crate::manifest::{ContentHash, CredentialMode, ObjectKey, Risk};
use crate::receipt::ReceiptMode;
use crate::reference::SecretReference;
use crate::secret::Fingerprint;
use crate::time::Timestamp;

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A credential is about to be used: durable before the upstream sees the call.
    Intent,
    /// How that use ended.
    Outcome,
    /// A call was refused before any use.
    Refused,
    /// Refusals of callers that proved no identity, counted over a span.
    RefusedUnidentified,
    /// An intent found open at start: how it ended is unknown.
    OutcomeUnknown,
    /// The gateway started; carries the epoch and the configuration's hash.
    Started,
    /// The gateway stopped in order.
    Stopped,
    /// An object revision was written (draft, pending or active).
    ObjectWritten,
    /// An object revision was approved by one signer.
    ObjectApproved,
    /// An object's status changed: activated, disabled, enabled, expired.
    ObjectStatus,
    /// A binding's reference was probed and switched.
    BindingRotated,
    /// A probe of a new reference failed, and the old one stayed.
    RotationRefused,
    /// A newer version of a watched secret was seen in the store; it is tried before any call uses it.
    VersionStaged,
    /// A newer version of a watched secret was taken by the server, and calls use it from now on.
    VersionActivated,
    /// Nothing uses a replaced version any more.
    VersionRetired,
    /// The server refused a newer version, and the previous one goes on.
    RotationRolledBack,
    /// The next rotation of a secret is near.
    RotationDue,
    /// A secret is older than it may be, or its rotation is late.
    RotationOverdue,
    /// The review of a binding is near its end, which `answer` tells.
    ReviewDue,
    /// The review of a binding is late since the time that `answer` tells.
    ReviewOverdue,
    /// Somebody signed a review that needs further signatures.
    ReviewSigned,
    /// A binding was reviewed, and its next review is due when `answer` tells.
    BindingReviewed,
    /// A binding was revoked: new calls stopped.
    BindingRevoked,
    /// A revocation was complete: what was ended.
    RevocationCompleted,
    /// A revocation's document was signed: its hash.
    RevocationSigned,
    /// An agent token was issued.
    AgentTokenIssued,
    /// An agent token was revoked.
    AgentTokenRevoked,
    /// A bootstrap token was made on the host.
    BootstrapTokenIssued,
    /// An operator logged in.
    OperatorLogin,
    /// An operator was refused.
    OperatorRefused,
    /// A secret was put into the sealed store.
    SecretStored,
    /// A secret was probed by an operator.
    SecretChecked,
    /// A session was opened.
    SessionOpened,
    /// A session ended: by its client, by the upstream, or at a limit.
    SessionEnded,
    /// An operator ended a session or a stream.
    SessionTerminated,
    /// A provider is about to be asked for something that exists there afterwards: durable before.
    CredentialRequested,
    /// What it answered.
    CredentialIssued,
    /// A credential was given back to the provider or the store: what it answered.
    CredentialReturned,
    /// A user was sent to a provider to grant something.
    GrantRequested,
    /// A user granted something.
    GrantCreated,
    /// A grant's tokens were renewed.
    GrantRefreshed,
    /// A grant ended: why, and what the provider answered.
    GrantEnded,
    /// An operator made a lock: what it matches is stopped.
    LockCreated,
    /// A lock holds on every replica: what it ended.
    LockInForce,
    /// An operator lifted a lock.
    LockLifted,
    /// The time of a lock is over.
    LockExpired,
    /// A person logged in by the browser.
    PersonLogin,
    /// A person, a client or a redirect was refused by the authorization server or a page.
    LoginRefused,
    /// An OAuth client became known to the authorization server.
    ClientRegistered,
    /// The authorization server issued an access token.
    AccessTokenIssued,
    /// A family of refresh tokens ended: by its client, by reuse, or with its person.
    RefreshFamilyEnded,
    /// Segments of the chain are about to be removed: `count` is their last record, `content` its hash.
    AuditTruncated,
    /// The key that signs checkpoints hands over to the one that `answer` names.
    AuditKeyRotated,
}

/// What the gateway decided.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Allowed.
    Allow,
    /// Refused.
    Deny,
}

/// How a use of a credential ended.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// The upstream's HTTP status, where it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u16>,
    /// From admission to the last byte, in microseconds.
    pub duration_micros: u64,
    /// Bytes of the answer that went to the caller.
    pub response_bytes: u64,
    /// Occurrences of an injected value removed from the answer.
    pub redactions: u64,
    /// Whether the caller went away or the gateway cut the answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub aborted: bool,
    /// The scopes that the server demands where it refused the credential for want of them, scrubbed and
    /// cut to 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_scopes: Option<String>,
}

/// What a revocation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Ended {
    /// Calls in flight, ended or waited for.
    pub calls: u32,
    /// Live streams cut.
    pub streams: u32,
    /// Legacy sessions ended.
    pub sessions: u32,
    /// Processes of servers killed.
    #[serde(default)]
    pub children: u32,
    /// Cached values dropped.
    pub cached_values: u32,
    /// Agent tokens that open nothing any more.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tokens: u32,
}

impl Ended {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            streams: self.streams.saturating_add(other.streams),
            sessions: self.sessions.saturating_add(other.sessions),
            children: self.children.saturating_add(other.children),
            cached_values: self.cached_values.saturating_add(other.cached_values),
            tokens: self.tokens.saturating_add(other.tokens),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// One event. Optional fields are absent where they have no meaning for the kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// What.
    pub kind: EventKind,
    /// The request it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// W3C trace id, 32 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The user as `iss|sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The proven agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// The attested workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadName>,
    /// The client application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surface: Option<String>,
    /// The operator, for acts of the control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorName>,
    /// Where the caller connected from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_address: Option<IpAddr>,
    /// The public id of a protocol session: a digest of the one that the client sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// The server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerName>,
    /// The JSON-RPC method, cut to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<ToolName>,
    /// The risk of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// Allowed or refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// The stable code of a refusal (`docs/errors.md`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The policy version that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_version: Option<ContentHash>,
    /// The policies that decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyName>,
    /// The credential mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<CredentialMode>,
    /// The binding as `name@revision`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<BindingRevision>,
    /// The place in a store that an operator's act was about: a reference, which cannot hold a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<SecretReference>,
    /// The store's id of the version used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_version: Option<VersionId>,
    /// The keyed fingerprint of the value, where an operator asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// The store's id of the fetch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_request_id: Option<VersionId>,
    /// The hash of the route the call took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route_id: Option<ContentHash>,
    /// The kind of receipt that goes with the message, where its route asks for one. What cannot be signed is not sent,
    /// and its outcome says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptMode>,
    /// The epoch the decision was made under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// The object an act was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectKey>,
    /// That object's revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// The content hash of that revision, or of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentHash>,
    /// The new status of that revision, as its word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// How the material is obtained, as its word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The provider that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderName>,
    /// The public id of a grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// The public id of a revocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<String>,
    /// The scopes asked for or granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// What the provider or store answered: a word of ours or its error code, 64 visible characters at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// How a use ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// What a revocation ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// How many refusals an aggregate stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The lock that was made, lifted or over, or that stood in the way of a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// The id of the outbox row it came from, which makes draining idempotent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbox_id: Option<String>,
}

impl Event {
    /// An event with nothing but its time and kind.
    pub fn new(kind: EventKind, time: Timestamp) -> Self {
        Self {
            time,
            kind,
            request_id: None,
            trace_id: None,
            user: None,
            agent: None,
            workload: None,
            surface: None,
            operator: None,
            source_address: None,
            session: None,
            environment: None,
            server: None,
            method: None,
            tool: None,
            risk: None,
            decision: None,
            reason: None,
            policy_version: None,
            policies: Vec::new(),
            mode: None,
            binding: None,
            reference: None,
            secret_version: None,
            fingerprint: None,
            store_request_id: None,
            route_id: None,
            receipt: None,
            epoch: None,
            object: None,
            revision: None,
            content: None,
            status: None,
            source: None,
            provider: None,
            grant: None,
            revocation: None,
            scopes: Vec::new(),
            answer: None,
            outcome: None,
            ended: None,
            count: None,
            lock: None,
            outbox_id: None,
        }
    }

    /// Adds who called.
    #[must_use]
    pub fn with_actor(mut self, actor: &Actor) -> Self {
        self.user = actor.user.as_ref().map(ToString::to_string);
        self.agent.clone_from(&actor.agent);
        self.workload.clone_from(&actor.workload);
        self.surface = actor.surface.as_ref().map(ToString::to_string);
        self
    }

    /// Adds the object an act was about.
    #[must_use]
    pub fn about(mut self, object: ObjectKey, revision: Revision) -> Self {
        self.environment.clone_from(&object.environment);
        self.object = Some(object);
        self.revision = Some(revision);
        self
    }
}

/// A binding and the revision of it that decided, shown as `name@revision`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct BindingRevision {
    /// The binding.
    pub name: BindingName,
    /// Its revision.
    pub revision: Revision,
}

impl std::fmt::Display for BindingRevision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.name, self.revision)
    }
}

impl From<BindingRevision> for String {
    fn from(binding: BindingRevision) -> Self {
        binding.to_string()
    }
}

impl TryFrom<String> for BindingRevision {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let (name, revision) = text.split_once('@').ok_or("a binding revision is `name@number`")?;
        Ok(Self {
            name: BindingName::parse(name).map_err(|error| error.to_string())?,
            revision: Revision(revision.parse().map_err(|_| "the revision is no number")?),
        })
    }
}
