//! The pages on which people connect their accounts at providers, and how a caller is pointed at them.

use std::fmt;

use url::Url;

use crate::actor::UserIdentity;
use crate::id::{EnvironmentName, ProviderName, ServerName};
use crate::time::Timestamp;

/// What a call lacks: somebody's grant at a provider, or scopes of it.
#[derive(Clone, Copy, Debug)]
pub struct ConnectWish<'a> {
    /// Whose grant is missing; nobody else can use the address.
    pub user: &'a UserIdentity,
    /// The environment of the call.
    pub environment: &'a EnvironmentName,
    /// The server that was called.
    pub server: &'a ServerName,
    /// The provider that the person is sent to.
    pub provider: &'a ProviderName,
    /// The scopes that the call needs, sorted (RFC 6749, section 3.3).
    pub scopes: &'a [&'a str],
    /// The resource that tokens are for (RFC 8707).
    pub resource: Option<&'a str>,
    /// The time.
    pub now: Timestamp,
}

/// The connect pages, where the gateway has them.
pub trait ConnectPages: Send + Sync + fmt::Debug {
    /// The address that the person opens. It is sealed: what it asks for cannot be changed, and it ends.
    fn address(&self, wish: &ConnectWish<'_>) -> Option<Url>;
}
