//! Housekeeping beside the calls, once a second.

use std::sync::Arc;
use std::time::Duration;

use gateway_adapters::identity::{OidcOperators, OidcVerifier};
use gateway_adapters::signing::Signer;
use gateway_core::lifecycle::{expire, expire_locks};
use gateway_core::ports::{Publisher as _, StateError, StateWriter, Tickets};
use gateway_core::state::Change;
use gateway_core::stores::Stores;
use gateway_core::time::{Clock as _, Timestamp};
use gateway_proxy::gateway::Gateway;

use super::publish::StatePublisher;
use super::system::SystemClock;

/// How often expired tickets are deleted: a matter of space alone, each replica does it.
const TICKETS: Duration = Duration::from_secs(30);

/// What is kept in order.
pub(super) struct House {
    pub(super) gateway: Arc<Gateway>,
    pub(super) stores: Arc<Stores>,
    pub(super) state: Arc<dyn StateWriter>,
    pub(super) tickets: Arc<dyn Tickets>,
    pub(super) publisher: Arc<StatePublisher>,
}

impl House {
    /// Ends what is over and drops values whose time has passed, for ever.
    pub(super) async fn keep(self) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let mut swept = SystemClock.now();
        loop {
            tick.tick().await;
            let now = SystemClock.now();
            if now >= swept.plus(TICKETS) {
                swept = now;
                self.sweep_tickets(now).await;
            }
            self.gateway.sweep();
            for (_, entry) in self.stores.entries() {
                entry.cache.sweep(now);
            }
            if self.has_expired(now)
                && let Err(error) = self.expire(now).await
            {
                tracing::warn!(%error, "expired bindings could not be marked; they do not decide all the same");
            }
            if self.gateway.world.current().snapshot.locks().has_expired(now)
                && let Err(error) = self.expire_locks(now).await
            {
                tracing::warn!(%error, "locks that are over could not be marked; they stop nothing all the same");
            }
            if let Err(refusal) = self.publisher.drain_waiting().await {
                tracing::debug!(inside = refusal.inside().unwrap_or(""), "evidence waits in the outbox");
            }
        }
    }

    async fn sweep_tickets(&self, now: Timestamp) {
        if let Err(error) = self.tickets.sweep(now).await {
            tracing::warn!(%error, "expired tickets could not be deleted; they count for nothing all the same");
        }
    }

    fn has_expired(&self, now: Timestamp) -> bool {
        let world = self.gateway.world.current();
        let mut servers = world.snapshot.environments().flat_map(|environment| environment.servers());
        servers.any(|server| server.bindings.iter().any(|binding| !binding.holds_at(now)))
    }

    /// A binding past its end decides nothing from that moment on; this makes the state say so.
    async fn expire(&self, now: Timestamp) -> Result<(), StateError> {
        let state = self.state.load().await?;
        let Some(change) = expire(&state, now) else { return Ok(()) };
        self.take_over(change).await
    }

    /// A lock stops nothing from its time on; this makes the state and the evidence say so.
    async fn expire_locks(&self, now: Timestamp) -> Result<(), StateError> {
        let state = self.state.load().await?;
        let Some(change) = expire_locks(&state, now) else { return Ok(()) };
        match self.take_over(change).await {
            // Another replica was faster.
            Err(StateError::Conflict) => Ok(()),
            done => done,
        }
    }

    async fn take_over(&self, change: Change) -> Result<(), StateError> {
        let epoch = self.state.commit(change).await?;
        if let Err(refusal) = self.publisher.publish(epoch).await {
            tracing::warn!(inside = refusal.inside().unwrap_or(""), "the expiry is not published yet");
        }
        Ok(())
    }
}

/// Fetches issuers' keys before a call has to wait for them, for ever.
pub(super) async fn refresh_keys(verifier: Arc<OidcVerifier>, operators: Arc<OidcOperators>) {
    let mut tick = tokio::time::interval(Duration::from_secs(60));
    loop {
        tick.tick().await;
        verifier.refresh_stale(SystemClock.now()).await;
        operators.refresh_stale(SystemClock.now()).await;
    }
}

/// Rotates the gateway's signing keys, and takes over what other replicas rotated, for ever.
pub(super) async fn tend_signing_keys(signer: Arc<Signer>) {
    let mut tick = tokio::time::interval(Duration::from_secs(10));
    loop {
        tick.tick().await;
        let signer = Arc::clone(&signer);
        match tokio::task::spawn_blocking(move || signer.tend(SystemClock.now())).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the signing keys could not be looked after"),
            Err(error) => tracing::error!(%error, "looking after the signing keys failed"),
        }
    }
}

/// Fetches trust bundles before a handshake needs them, for ever.
pub(super) async fn refresh_bundles(verifier: Arc<OidcVerifier>) {
    let mut tick = tokio::time::interval(Duration::from_secs(10));
    loop {
        tick.tick().await;
        verifier.refresh_bundles(SystemClock.now()).await;
    }
}
