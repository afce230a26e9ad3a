//! Secret stores: places that hold secrets, make them on demand, or take them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::actor::Actor;
use crate::id::EnvironmentName;
use crate::lease::{SecretVersion, VersionId};
use crate::reference::ResolvedReference;
use crate::refusal::{Code, Refusal};
use crate::secret::Secret;
use crate::time::Timestamp;

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

    /// Whether it keeps earlier versions and gives them out by `?version=`. A decorator says what the store
    /// behind it says.
    fn keeps_versions(&self) -> bool {
        false
    }

    /// What the decorators counted; nothing where none counts.
    fn figures(&self) -> StoreFigures {
        StoreFigures::default()
    }

    /// The same store, where each caller opens it as itself: then only
    /// [`fetch_as`](CallerStore::fetch_as) fetches anything.
    fn for_callers(&self) -> Option<&dyn CallerStore> {
        None
    }
}

/// What happened at a store since the process began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoreFigures {
    /// Values served from memory.
    pub hits: u64,
    /// Requests to the store.
    pub fetches: u64,
    /// Those that brought no value.
    pub failures: u64,
    /// Whether the store is left alone now.
    pub resting: bool,
    /// When it last answered anything, if only that there is nothing.
    pub answered: Option<Timestamp>,
    /// What went wrong last, and when.
    pub failed: Option<(StoreErrorKind, Timestamp)>,
}

/// A store that is opened as whoever calls, so that its own policy decides too. What one caller is shown
/// is never shown to another.
#[async_trait]
pub trait CallerStore: Send + Sync + fmt::Debug {
    /// Fetches as [`SecretStore::fetch`] does, in the caller's own name.
    ///
    /// # Errors
    /// As there; [`StoreErrorKind::Denied`] where the store refuses this caller.
    async fn fetch_as(
        &self,
        actor: &Actor,
        environment: &EnvironmentName,
        reference: &ResolvedReference,
    ) -> Result<Arc<SecretVersion>, StoreError>;

    /// Gives up what the store gave these callers, and forgets their values; says how many there were.
    async fn end_callers(&self, whose: &(dyn for<'a> Fn(&'a Actor) -> bool + Sync)) -> u32;
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
