//! What the pages work with.

use std::net::IpAddr;
use std::sync::Arc;

use gateway_core::connect::Connections;
use gateway_core::lock::{LockFacts, LockWatch};
use gateway_core::login::{AccessTokenSigner, ClientDocuments, Fault, PersonProvider};
use gateway_core::ports::{AuditSink, Random, Tickets};
use gateway_core::time::{Clock, Timestamp};

use crate::allowance::Allowance;
use crate::cookie::Jar;
use crate::evidence::Strangers;
use crate::oauth::{Facade, FacadeSettings};
use crate::realm::Realm;
use crate::seal::SealKey;
use crate::session::SessionSettings;
use crate::sign_in;

/// Where the browser connected from; the binary puts it among the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Source(pub IpAddr);

/// What the binary wires in.
#[derive(Debug)]
pub struct Wiring {
    /// The URL that people know: scheme, host and port, without a trailing slash.
    pub public_url: String,
    /// Whose sessions these are.
    pub realm: Realm,
    /// The identity provider.
    pub provider: Arc<dyn PersonProvider>,
    /// The records that all replicas share.
    pub tickets: Arc<dyn Tickets>,
    /// Where evidence goes.
    pub audit: Arc<dyn AuditSink>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The key of forms, logins and refresh tokens.
    pub key: SealKey,
    /// How long sessions last.
    pub sessions: SessionSettings,
    /// The authorization server, where there is one.
    pub facade: Option<FacadeWiring>,
    /// People's accounts at providers, where they can connect any.
    pub connections: Option<Arc<dyn Connections>>,
    /// Asked for locks before a person connects anything or a client gets a token.
    pub locks: Arc<dyn LockWatch>,
}

/// What the authorization server is wired to besides.
#[derive(Debug)]
pub struct FacadeWiring {
    /// Signs access tokens.
    pub signer: Arc<dyn AccessTokenSigner>,
    /// Fetches client ID metadata documents.
    pub documents: Arc<dyn ClientDocuments>,
    /// Its settings.
    pub settings: FacadeSettings,
}

/// Logins, sessions and the authorization server of one process.
#[derive(Debug)]
pub struct Login {
    public_url: String,
    jar: Jar,
    pub(crate) realm: Realm,
    pub(crate) provider: Arc<dyn PersonProvider>,
    pub(crate) tickets: Arc<dyn Tickets>,
    pub(crate) audit: Arc<dyn AuditSink>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) key: SealKey,
    pub(crate) sessions: SessionSettings,
    pub(crate) strangers: Strangers,
    pub(crate) logins: Allowance,
    pub(crate) facade: Option<Facade>,
    pub(crate) connections: Option<Arc<dyn Connections>>,
    locks: Arc<dyn LockWatch>,
}

impl Login {
    /// Puts it together.
    pub fn new(wiring: Wiring) -> Arc<Self> {
        let public_url = wiring.public_url.trim_end_matches('/').to_owned();
        Arc::new(Self {
            jar: Jar { secure: public_url.starts_with("https://"), realm: wiring.realm },
            realm: wiring.realm,
            facade: wiring.facade.map(Facade::new),
            connections: wiring.connections,
            locks: wiring.locks,
            public_url,
            provider: wiring.provider,
            tickets: wiring.tickets,
            audit: wiring.audit,
            clock: wiring.clock,
            random: wiring.random,
            key: wiring.key,
            sessions: wiring.sessions,
            strangers: Strangers::default(),
            logins: sign_in::allowance(),
        })
    }

    /// The origin of every page, and the issuer of the authorization server's tokens.
    pub fn origin(&self) -> &str {
        &self.public_url
    }

    /// The address of a path of ours.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.public_url)
    }

    /// The cookies.
    pub const fn jar(&self) -> Jar {
        self.jar
    }

    /// Stops what a lock stops.
    ///
    /// # Errors
    /// [`Fault::Locked`], and [`Fault::Unavailable`] where nobody can tell.
    pub(crate) fn heed_locks(&self, facts: &LockFacts<'_>) -> Result<(), Fault> {
        let Some(lock) = self.locks.stopping(facts)? else { return Ok(()) };
        tracing::info!(%lock, "a lock stops a login");
        Err(Fault::Locked)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
