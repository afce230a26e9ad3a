//! Short-lived records that all replicas share.

use std::fmt;

use async_trait::async_trait;

use super::StateError;
use crate::time::Timestamp;

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

    /// How many living tickets of the kind there are whose keys begin so: with letters, digits and dots, or anyhow.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn count(&self, kind: TicketKind, beginning: &str, now: Timestamp) -> Result<u64, StateError>;

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
    /// A new version of a secret that is being tried.
    RotationLock,
    /// A replica's use of a version that was replaced.
    VersionUse,
    /// A try at an outside party that is under way.
    TakingBack,
    /// An operator's act that is done once, and its answer.
    Idempotency,
}

impl TicketKind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::Login,
        Self::Connect,
        Self::BrowserSession,
        Self::AuthorizationCode,
        Self::Client,
        Self::RefreshFamily,
        Self::Replay,
        Self::RefreshLock,
        Self::Replica,
        Self::RotationLock,
        Self::VersionUse,
        Self::TakingBack,
        Self::Idempotency,
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
            Self::RotationLock => "rotation_lock",
            Self::VersionUse => "version_use",
            Self::TakingBack => "taking_back",
            Self::Idempotency => "idempotency",
        }
    }
}
