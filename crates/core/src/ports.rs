//! The traits at the seams. Every adapter of one passes its contract battery in the testkit.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::actor::Actor;
use crate::audit::{Ended, Event};
use crate::id::{AgentName, BindingName, EnvironmentName, Epoch, RequestId};
use crate::identity::{IdentityError, Presented, PresentedCertificates, VerifiedIdentity};
use crate::lease::{SecretVersion, VersionId};
use crate::manifest::{AgentSpec, Injection, Route};
use crate::policy::Permit;
use crate::receipt::Receipt;
use crate::reference::ResolvedReference;
use crate::refusal::{Code, Refusal};
use crate::secret::Secret;
use crate::session::{LiveSession, Terminated};
use crate::state::{Change, GrantRecord, OutboxEntry, State};
use crate::time::Timestamp;

/// Where randomness comes from. The binary wires the operating system's generator.
pub trait Random: Send + Sync + fmt::Debug {
    /// Fills the buffer with unpredictable bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// The gateway's own keys: what its data listener shows of them to anybody, and the receipts they sign.
pub trait OwnKeys: Send + Sync + fmt::Debug {
    /// The JSON Web Key Set (RFC 7517) of one purpose, or of all of them; `None` where there is no such
    /// purpose.
    fn key_set(&self, purpose: Option<&str>) -> Option<Bytes>;

    /// Signs a receipt: a compact JWS (RFC 7515, section 3.1). Neither waits nor does I/O: it stands in the
    /// way of a call.
    ///
    /// # Errors
    /// [`Code::ReceiptUnavailable`](crate::refusal::Code::ReceiptUnavailable) where no key signs.
    fn sign_receipt(&self, receipt: &Receipt<'_>) -> Result<String, Refusal>;
}

/// Verifies tokens of one kind.
#[async_trait]
pub trait IdentityVerifier: Send + Sync + fmt::Debug {
    /// Verifies signature, issuer, audience and times.
    ///
    /// # Errors
    /// Why the token is not accepted; [`IdentityError::KeysUnavailable`] where the fault is not the caller's.
    async fn verify(
        &self,
        presented: &Presented,
        now: Timestamp,
    ) -> Result<Arc<VerifiedIdentity>, IdentityError>;

    /// Verifies a client's certificate chain, on every request of its connection: what was good at the
    /// handshake may have ended since. Never waits.
    ///
    /// # Errors
    /// Why it is not accepted; [`IdentityError::KeysUnavailable`] where the fault is not the caller's.
    fn verify_certificates(
        &self,
        presented: &PresentedCertificates,
        now: Timestamp,
    ) -> Result<Arc<VerifiedIdentity>, IdentityError>;
}

/// A place where secrets are: fetches by reference. Never retries, never logs a value. Caching,
/// coalescing and deadlines are decorators.
#[async_trait]
pub trait SecretStore: Send + Sync + fmt::Debug {
    /// Fetches the version that the reference names.
    ///
    /// # Errors
    /// A missing path, field or version is [`StoreErrorKind::NotFound`], never an empty value; an empty
    /// value is [`StoreErrorKind::Empty`].
    async fn fetch(&self, reference: &ResolvedReference) -> Result<Arc<SecretVersion>, StoreError>;

    /// Whether the store answers and accepts our login; reads no secret.
    ///
    /// # Errors
    /// What stands in the way.
    async fn probe(&self) -> Result<(), StoreError>;
}

/// A store that makes secrets on demand, each with a lease, and takes them back.
#[async_trait]
pub trait LeasingStore: Send + Sync + fmt::Debug {
    /// Makes a new secret at this place. Every call makes another one.
    ///
    /// # Errors
    /// See [`StoreErrorKind`]; an answer without a lease is [`StoreErrorKind::Malformed`].
    async fn lease(&self, reference: &ResolvedReference) -> Result<StoreLease, StoreError>;

    /// Asks for `span` more from now on; says how long the lease holds then, which is less where it
    /// nears its maximal life.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotFound`] where the store knows the lease no more.
    async fn renew(&self, lease: &str, span: Duration) -> Result<Duration, StoreError>;

    /// Takes the secret back; returns once it opens nothing any more. A lease that is gone already is
    /// taken back.
    ///
    /// # Errors
    /// See [`StoreErrorKind`]; then it ends with its lease.
    async fn revoke(&self, lease: &str) -> Result<(), StoreError>;
}

/// A secret that a store made, and its lease.
#[derive(Debug)]
pub struct StoreLease {
    /// The store's id of the lease: it takes a token of the store's to do anything with it.
    pub id: String,
    /// The secret; its version is named after the lease.
    pub material: SecretVersion,
    /// How long it holds from now on.
    pub duration: Duration,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// The account it belongs to, where the store tells (`username`).
    pub account: Option<String>,
}

/// The cache in front of a store: what revocation and rotation empty.
pub trait SecretCache: Send + Sync + fmt::Debug {
    /// Forgets every version at this place, loads under way included; says how many values it held.
    fn forget(&self, reference: &ResolvedReference) -> u32;
    /// Forgets everything.
    fn forget_all(&self) -> u32;
    /// Forgets every field and version at this path; says how many values it held.
    fn forget_path(&self, _path: &str) -> u32 {
        self.forget_all()
    }
    /// Drops what has expired, so that no value lingers in memory; the binary calls it on a timer.
    /// Says how many entries went.
    fn sweep(&self, _now: Timestamp) -> u32 {
        0
    }
}

/// A store that takes values: the sealed store, and others where the configuration says so.
#[async_trait]
pub trait SecretWriter: Send + Sync + fmt::Debug {
    /// Whether values may be written at this path; refused at the writing too.
    fn takes(&self, _path: &str) -> bool {
        true
    }

    /// Stores a new version of the field and returns it.
    ///
    /// # Errors
    /// What stands in the way.
    async fn put(
        &self,
        path: &str,
        field: &str,
        value: Secret,
        now: Timestamp,
    ) -> Result<VersionId, StoreError>;

    /// The same where `expected` is still the newest version; `None` where another one is.
    ///
    /// # Errors
    /// What stands in the way.
    async fn replace(
        &self,
        path: &str,
        field: &str,
        value: Secret,
        expected: &VersionId,
        now: Timestamp,
    ) -> Result<Option<VersionId>, StoreError>;

    /// Deletes every version of every field at the path, beyond recall. What is not there is no mistake.
    ///
    /// # Errors
    /// What stands in the way; then something may be left.
    async fn delete(&self, path: &str) -> Result<(), StoreError>;
}

/// Obtains material from credential sources other than a stored secret: asks providers, signs, leases.
/// Caches what may be used again, asks once for callers that come at the same time, and writes a record
/// before it asks for anything that exists outside afterwards (DESIGN, section 12.1).
#[async_trait]
pub trait CredentialIssuer: Send + Sync + fmt::Debug {
    /// Material for the one use that the permit allows, in the permit's own environment.
    ///
    /// # Errors
    /// A code of the table: a provider that does not answer, one that refuses, a grant that is missing.
    async fn issue(&self, wish: &CredentialWish<'_>) -> Result<Arc<SecretVersion>, Refusal>;

    /// The upstream refused this version: it is not handed out again. Says whether trying again makes
    /// sense.
    fn refused(&self, wish: &CredentialWish<'_>, version: &VersionId) -> bool;

    /// Ends everything issued under a binding as far as this replica holds it, at the provider where
    /// that is possible, and forgets it; says how many values it held.
    async fn end_binding(&self, environment: &EnvironmentName, binding: &BindingName) -> u32;

    /// Ends everything issued for an agent, as [`end_binding`](Self::end_binding) does for a binding.
    async fn end_agent(&self, agent: &AgentName) -> u32;

    /// Drops what has expired.
    fn sweep(&self, now: Timestamp);
}

/// One use of a credential source.
#[derive(Clone, Copy, Debug)]
pub struct CredentialWish<'a> {
    /// The decision behind it: binding, actor, tool.
    pub permit: &'a Permit,
    /// On whose account, where that is not the permit's own actor: the one whose session is cleaned up.
    pub actor: Option<&'a Actor>,
    /// The registered agent of that actor.
    pub agent: Option<&'a Arc<AgentSpec>>,
    /// The user's grant, for the sources that need one.
    pub grant: Option<&'a Arc<GrantRecord>>,
    /// The request, for evidence.
    pub request_id: &'a RequestId,
    /// When.
    pub now: Timestamp,
}

/// Short-lived records that all replicas share: single-use states and codes, replay marks, refresh locks.
/// Not part of the state: they move no epoch. A key is a digest or an id, never a token; the content holds
/// no secret.
#[async_trait]
pub trait Tickets: Send + Sync + fmt::Debug {
    /// Writes the ticket; `false` where a living one has the key.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn insert(&self, ticket: &Ticket, now: Timestamp) -> Result<bool, StateError>;

    /// Reads a living ticket.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn read(&self, kind: TicketKind, key: &str, now: Timestamp) -> Result<Option<Ticket>, StateError>;

    /// Takes a living ticket away: of many who try, one gets it.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn take(&self, kind: TicketKind, key: &str, now: Timestamp) -> Result<Option<Ticket>, StateError>;

    /// Puts the ticket in the place of a living one whose content is still `expected`; `false` where it is
    /// not.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn replace(&self, expected: &str, ticket: &Ticket, now: Timestamp) -> Result<bool, StateError>;

    /// Every living ticket of the kind, in no order.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn list(&self, kind: TicketKind, now: Timestamp) -> Result<Vec<Ticket>, StateError>;

    /// Deletes what has expired; says how many.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn sweep(&self, now: Timestamp) -> Result<u64, StateError>;
}

/// One short-lived record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ticket {
    /// What it is for.
    pub kind: TicketKind,
    /// Its key within the kind.
    pub key: String,
    /// What it says, as JSON; no secret.
    pub content: String,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// What tickets are for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TicketKind {
    /// A person's way through a login at the identity provider.
    Login,
    /// A person's way through a provider's consent.
    Connect,
    /// A browser that somebody has logged in with.
    BrowserSession,
    /// An authorization code of the gateway's own.
    AuthorizationCode,
    /// A client that registered itself.
    Client,
    /// A family of refresh tokens of the gateway's own.
    RefreshFamily,
    /// A `jti` that was used.
    Replay,
    /// A refresh that is under way.
    RefreshLock,
    /// A replica that serves, with the epoch that it has taken over.
    Replica,
}

impl TicketKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Login,
        Self::Connect,
        Self::BrowserSession,
        Self::AuthorizationCode,
        Self::Client,
        Self::RefreshFamily,
        Self::Replay,
        Self::RefreshLock,
        Self::Replica,
    ];

    /// The word it is stored under.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Connect => "connect",
            Self::BrowserSession => "browser_session",
            Self::AuthorizationCode => "authorization_code",
            Self::Client => "client",
            Self::RefreshFamily => "refresh_family",
            Self::Replay => "replay",
            Self::RefreshLock => "refresh_lock",
            Self::Replica => "replica",
        }
    }
}

/// What went wrong at a store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StoreErrorKind {
    /// No such path, field or version.
    NotFound,
    /// There, and empty.
    Empty,
    /// The store refuses the gateway.
    Denied,
    /// The store asks to slow down.
    Throttled,
    /// The store does not answer.
    Unavailable,
    /// The store did not answer in time.
    Timeout,
    /// The answer, or the reference for this kind of store, makes no sense.
    Malformed,
    /// No such store, or not for this environment.
    NotForEnvironment,
}

/// A store's failure. `inside` goes to the operator's log; it never holds a value or a token.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{kind:?}: {inside}")]
pub struct StoreError {
    /// What went wrong.
    pub kind: StoreErrorKind,
    /// For the operator.
    pub inside: String,
    /// When trying again makes sense, where the store says so.
    pub retry_after: Option<Duration>,
}

impl StoreError {
    /// A failure with its inside story.
    pub fn new(kind: StoreErrorKind, inside: impl fmt::Display) -> Self {
        Self { kind, inside: inside.to_string(), retry_after: None }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let code = match error.kind {
            StoreErrorKind::NotFound => Code::SecretMissing,
            StoreErrorKind::Empty => Code::SecretEmpty,
            StoreErrorKind::Denied => Code::StoreDenied,
            StoreErrorKind::Throttled | StoreErrorKind::Unavailable | StoreErrorKind::Timeout => {
                Code::StoreUnavailable
            }
            StoreErrorKind::Malformed | StoreErrorKind::NotForEnvironment => Code::ReferenceRefused,
        };
        let refusal = Self::new(code).because(error.inside);
        match error.retry_after {
            Some(after) => refusal.retry_after(after),
            None => refusal,
        }
    }
}

/// The position of a record in the chain, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

/// Evidence cannot be written. The inside story is for the operator's log.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the audit log cannot be written: {0}")]
pub struct AuditError(pub String);

/// Where evidence goes. There is no null sink.
#[async_trait]
pub trait AuditSink: Send + Sync + fmt::Debug {
    /// Appends the event; durable, as configured, when this returns.
    ///
    /// # Errors
    /// The event is not in the chain, and what it announces must not happen.
    async fn record(&self, event: Event) -> Result<Sequence, AuditError>;

    /// Appends an event about something that has already happened: in the chain's order at once,
    /// durable soon after.
    ///
    /// # Errors
    /// The log cannot be written; calls must stop.
    fn note(&self, event: Event) -> Result<Sequence, AuditError>;
}

/// What can go wrong with the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Somebody else changed the state since it was read; read again and decide again.
    #[error("the state has moved on from the epoch the change was made for")]
    Conflict,
    /// A rule of the database refused the change.
    #[error("the state refuses the change: {0}")]
    Constraint(String),
    /// The database does not answer.
    #[error("the state database does not answer: {0}")]
    Unavailable(String),
    /// What is stored cannot be read.
    #[error("the stored state cannot be read: {0}")]
    Corrupt(String),
}

/// Reads the state. The proxy side is handed nothing more.
#[async_trait]
pub trait StateReader: Send + Sync + fmt::Debug {
    /// Reads everything at one epoch.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn load(&self) -> Result<State, StateError>;

    /// The current epoch; cheap.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn epoch(&self) -> Result<Epoch, StateError>;

    /// Waits until the epoch may have moved beyond `after`, or until about `floor` has passed.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn changed(&self, after: Epoch, floor: Duration) -> Result<Epoch, StateError>;
}

/// Changes the state.
#[async_trait]
pub trait StateWriter: StateReader {
    /// Writes the batch, moves the epoch by one and files the events in the outbox, all in one
    /// transaction.
    ///
    /// # Errors
    /// [`StateError::Conflict`] where the epoch is not the expected one; then nothing was written.
    async fn commit(&self, change: Change) -> Result<Epoch, StateError>;

    /// The oldest events that wait for the chain, at most `limit`.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn outbox(&self, limit: u32) -> Result<Vec<OutboxEntry>, StateError>;

    /// Strikes out outbox rows that are in the chain.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn drained(&self, ids: &[String]) -> Result<(), StateError>;
}

/// Installs the newest state on this replica, and drains the outbox into the chain.
#[async_trait]
pub trait Publisher: Send + Sync + fmt::Debug {
    /// Returns once this replica decides by a state at least as new as `at_least`, and the outbox is
    /// in the chain; says the sequence number of the last record drained.
    ///
    /// # Errors
    /// Why it could not.
    async fn publish(&self, at_least: Epoch) -> Result<Option<Sequence>, Refusal>;

    /// Returns once no replica decides by an older state: each has taken this one over and ended what it no longer
    /// permits, or has stopped serving because it could not prove to be current.
    ///
    /// # Errors
    /// [`Code::Internal`](crate::refusal::Code::Internal) where one has not within `deadline`; it will.
    async fn everywhere(&self, at_least: Epoch, deadline: Duration) -> Result<(), Refusal>;
}

/// A binding's traffic on this replica: what revocation ends.
#[async_trait]
pub trait LiveTraffic: Send + Sync + fmt::Debug {
    /// Refuses new uses of the binding from now on, cuts its calls and streams, ends its sessions,
    /// empties its cached values, and returns when no byte flows under it any more.
    ///
    /// # Errors
    /// [`Code::Internal`] where something did not end within `deadline`; the block stays all the same.
    async fn end(
        &self,
        environment: &EnvironmentName,
        binding: &BindingName,
        deadline: Duration,
    ) -> Result<Ended, Refusal>;

    /// Lets new uses of the binding through again (after `enable`).
    fn admit(&self, environment: &EnvironmentName, binding: &BindingName);

    /// Refuses every use by the agent from now on, cuts its calls and streams, ends its sessions and
    /// processes, gives back what was issued for it, and returns when no byte flows for it any more.
    ///
    /// # Errors
    /// As [`end`](Self::end).
    async fn end_agent(&self, agent: &AgentName, deadline: Duration) -> Result<Ended, Refusal>;

    /// Lets new uses by the agent through again (after `enable`).
    fn admit_agent(&self, agent: &AgentName);

    /// Cuts the calls and streams that run on a user's grant, kills the processes that hold its token, forgets
    /// what is made of it, and returns when no byte flows under it any more. The state must say already that
    /// the grant has ended: new uses look there.
    ///
    /// # Errors
    /// [`Code::Internal`] where something did not end within `deadline`.
    async fn end_grant(&self, grant: &GrantRecord, deadline: Duration) -> Result<Ended, Refusal>;

    /// Open legacy sessions and live streams of the binding.
    fn open(&self, environment: &EnvironmentName, binding: &BindingName) -> Ended;
}

/// The sessions of this replica: what operators list and end (DESIGN, section 10.7).
#[async_trait]
pub trait LiveSessions: Send + Sync + fmt::Debug {
    /// Every protocol session and every live stream, the oldest first.
    fn sessions(&self) -> Vec<LiveSession>;

    /// Ends one of them: cuts what runs under it, takes it away so that its client begins anew, and
    /// ends the upstream's own sessions under a recorded intent. Waits at most `deadline` for what
    /// runs. `None` where there is no such session (any more).
    async fn terminate(&self, id: &str, deadline: Duration) -> Option<Terminated>;
}

/// What a candidate credential is tried with.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// The approved route.
    pub route: &'a Route,
    /// The injection point.
    pub injection: &'a Injection,
    /// The material.
    pub material: Arc<SecretVersion>,
}

/// Tries a credential at the real upstream before it decides (DESIGN, section 12.1: `Use::Probe`).
#[async_trait]
pub trait CredentialProbe: Send + Sync + fmt::Debug {
    /// Makes one handshake with the candidate. Refused credentials are [`Code::UpstreamUnauthorized`].
    ///
    /// # Errors
    /// Why the upstream would not take it.
    async fn probe(&self, permit: &crate::policy::Permit, candidate: Candidate<'_>) -> Result<(), Refusal>;
}
