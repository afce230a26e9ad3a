//! The store, opened as whoever calls: its own policy decides too.
//!
//! The gateway signs who calls, and the store answers with a token for that actor alone. Tokens and values
//! are held by actor, shared with nobody, and given up with the agent, or when the actor has been away.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::actor::Actor;
use gateway_core::id::{AgentName, EnvironmentName};
use gateway_core::lease::SecretVersion;
use gateway_core::ports::{CallerStore, SecretCache, SecretStore, StoreError, StoreErrorKind};
use gateway_core::reference::ResolvedReference;
use gateway_core::time::{Clock, Timestamp};
use http::Method;

use super::door::Door;
use super::token::Tokens;
use super::wire::Wire;
use super::{Asserted, Mounts, SignedLogin, StoreAssertions, VaultLogin, VaultSettings, VaultStore, wire};
use crate::https::OutboundBuildError;
use crate::store::breaker::{Breaker, BreakerLimits};
use crate::store::cached::{CacheLimits, Cached};
use crate::store::deadline::Deadline;

/// How many actors have a place at most; the one that called longest ago makes room.
const MOST: usize = 10_000;
/// How long an actor keeps its place without a call.
const AWAY: Duration = Duration::from_secs(15 * 60);

/// An OpenBao or Vault cluster that every caller opens as itself.
pub struct CallerVault {
    wire: Arc<Wire>,
    mounts: Arc<Mounts>,
    login: SignedLogin,
    assertions: Arc<StoreAssertions>,
    limits: CacheLimits,
    timeout: Duration,
    clock: Arc<dyn Clock>,
    places: Mutex<HashMap<String, Place>>,
}

/// One actor's.
#[derive(Clone)]
struct Place {
    agent: Option<AgentName>,
    vault: VaultStore,
    store: Arc<Cached>,
    used: Timestamp,
}

impl fmt::Debug for CallerVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerVault").field("wire", &self.wire).finish_non_exhaustive()
    }
}

impl CallerVault {
    /// Makes the store. Reads the certificate authorities, touches no network.
    ///
    /// # Errors
    /// The certificate authorities or the addresses cannot be used.
    pub fn new(
        settings: VaultSettings,
        login: SignedLogin,
        assertions: Arc<StoreAssertions>,
        limits: CacheLimits,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OutboundBuildError> {
        let wire = Arc::new(wire(&settings)?);
        let mounts = Arc::new(Mounts::new(settings.mounts, settings.kv)?);
        let (timeout, places) = (settings.timeout, Mutex::default());
        Ok(Self { wire, mounts, login, assertions, limits, timeout, clock, places })
    }

    fn places(&self) -> MutexGuard<'_, HashMap<String, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The actor's own store.
    fn place(&self, actor: &Actor, about: Asserted) -> Arc<Cached> {
        let (key, now) = (about.key(), self.clock.now());
        let mut places = self.places();
        if let Some(place) = places.get_mut(&key) {
            place.used = now;
            return Arc::clone(&place.store);
        }
        if places.len() >= MOST
            && let Some(oldest) =
                places.iter().min_by_key(|(_, place)| place.used).map(|(key, _)| key.clone())
        {
            leave(places.remove(&oldest));
        }
        let door = Door::new(VaultLogin::Caller(self.login.clone()), Some(self.assertions.clone()), about);
        let vault = VaultStore {
            tokens: Arc::new(Tokens::new(self.wire.clone(), door)),
            wire: self.wire.clone(),
            mounts: self.mounts.clone(),
            clock: self.clock.clone(),
        };
        let limited = Arc::new(Deadline::new(Arc::new(vault.clone()), self.timeout));
        let limited = Arc::new(Breaker::new(limited, BreakerLimits::default(), self.clock.clone()));
        let store = Arc::new(Cached::new(limited, self.limits, self.clock.clone()));
        let place = Place { agent: actor.agent.clone(), vault, store: Arc::clone(&store), used: now };
        places.insert(key, place);
        store
    }

    fn of_all(&self, forget: impl Fn(&Cached) -> u32) -> u32 {
        let stores: Vec<Arc<Cached>> = self.places().values().map(|place| Arc::clone(&place.store)).collect();
        stores.iter().map(|store| forget(store)).fold(0, u32::saturating_add)
    }
}

/// Gives the tokens up, if there is anything to do it on; they end with their time otherwise.
fn leave(places: impl IntoIterator<Item = Place>) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    for place in places {
        runtime.spawn(async move { log_out(&place).await });
    }
}

async fn log_out(place: &Place) {
    if let Err(error) = place.vault.log_out().await {
        tracing::warn!(%error, "a caller's token was not given up; it ends with its time");
    }
}

#[async_trait]
impl CallerStore for CallerVault {
    async fn fetch_as(
        &self,
        actor: &Actor,
        environment: &EnvironmentName,
        reference: &ResolvedReference,
    ) -> Result<Arc<SecretVersion>, StoreError> {
        let nobody = || StoreError::new(StoreErrorKind::Denied, "the caller has no part that can log in");
        let about = Asserted::caller(actor, environment).ok_or_else(nobody)?;
        let store = self.place(actor, about);
        store.fetch(reference).await
    }

    async fn end_agent(&self, agent: &AgentName) -> u32 {
        let ended: Vec<Place> = {
            let mut places = self.places();
            places
                .extract_if(|_, place| place.agent.as_ref() == Some(agent))
                .map(|(_, place)| place)
                .collect()
        };
        let values: u32 = ended.iter().map(|place| place.store.forget_all()).fold(0, u32::saturating_add);
        futures::future::join_all(ended.iter().map(log_out)).await;
        values
    }
}

#[async_trait]
impl SecretStore for CallerVault {
    async fn fetch(&self, _reference: &ResolvedReference) -> Result<Arc<SecretVersion>, StoreError> {
        let inside = "this store is opened as the caller, and nobody calls: only a call shows what it gives";
        Err(StoreError::new(StoreErrorKind::Denied, inside))
    }

    /// Nobody logs in: the store tells whether it is there and open.
    async fn probe(&self) -> Result<(), StoreError> {
        let answer = self.wire.call(Method::GET, &["sys", "health"], None, None, None).await?;
        match answer.status {
            // 429, 472, 473: standbys of a cluster that is open.
            200 | 429 | 472 | 473 => Ok(()),
            _ => Err(answer.error(StoreErrorKind::Unavailable, "the store is sealed, or not set up")),
        }
    }

    fn for_callers(&self) -> Option<&dyn CallerStore> {
        Some(self)
    }
}

impl SecretCache for CallerVault {
    fn forget(&self, reference: &ResolvedReference) -> u32 {
        self.of_all(|store| store.forget(reference))
    }

    fn forget_all(&self) -> u32 {
        self.of_all(Cached::forget_all)
    }

    fn forget_path(&self, path: &str) -> u32 {
        self.of_all(|store| store.forget_path(path))
    }

    fn sweep(&self, now: Timestamp) -> u32 {
        let away: Vec<Place> = {
            let mut places = self.places();
            places.extract_if(|_, place| now.since(place.used) > AWAY).map(|(_, place)| place).collect()
        };
        leave(away);
        self.of_all(|store| store.sweep(now))
    }
}
