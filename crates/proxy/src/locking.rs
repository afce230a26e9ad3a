//! What a lock ends on this replica. Nothing is sent to a server meanwhile: what its sessions are there ends at
//! their own limits.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use gateway_core::actor::Actor;
use gateway_core::audit::Ended;
use gateway_core::id::StoreName;
use gateway_core::lock::{LockRecord, LockSelector};
use gateway_core::refusal::Refusal;
use gateway_core::session::SessionActor;

use crate::gateway::Gateway;
use crate::live::BindingKey;

/// How many bindings give back what was issued under them at the same time.
const RETURNS_AT_ONCE: usize = 16;

/// Cuts what runs, then what could go on by itself, then what is kept for the next time.
///
/// # Errors
/// [`Code::Internal`](gateway_core::refusal::Code::Internal) where something did not end within `deadline`.
pub(crate) async fn end(
    gateway: &Gateway,
    record: &LockRecord,
    deadline: Duration,
) -> Result<Ended, Refusal> {
    let lock = &record.selector;
    if lock.tool.is_some() {
        // Sessions, processes and values serve the other tools as well.
        let (calls, streams) = gateway.live.stop_locked(record, deadline).await?;
        return Ok(Ended { calls, streams, ..Ended::default() });
    }
    let bindings = places(gateway, lock);
    let killing = gateway.children.end_locked(lock, &bindings, deadline);
    let (stopping, children) = tokio::join!(gateway.live.stop_locked(record, deadline), killing);
    // A call that was starting a process has started it by now.
    let late = gateway.children.end_locked(lock, &bindings, deadline).await;
    let shared = u32::try_from(gateway.shared.end_locked(lock, &bindings).len()).unwrap_or(u32::MAX);
    let sessions = gateway.sessions.end_locked(lock, &bindings).saturating_add(shared);
    let cached_values = forget(gateway, lock, bindings).await.saturating_add(log_out(gateway, lock).await);
    let (calls, streams) = stopping?;
    let children = children?.saturating_add(late?);
    Ok(Ended { calls, streams, sessions, children, cached_values, tokens: 0 })
}

/// The bindings that the lock names, whoever calls.
fn places(gateway: &Gateway, lock: &LockSelector) -> HashSet<BindingKey> {
    let world = gateway.world.current();
    let servers = world.snapshot.environments().flat_map(|environment| environment.servers());
    let bindings = servers.flat_map(|server| &server.bindings);
    let named = bindings.filter(|binding| lock.is_place(&binding.spec));
    named.map(|binding| (binding.spec.environment.clone(), binding.spec.name.clone())).collect()
}

/// Stores that were opened as these callers: their tokens there are given up. A lock on a place alone leaves them, for
/// the same token opens other places, unless it is on the store itself or on everything.
async fn log_out(gateway: &Gateway, lock: &LockSelector) -> u32 {
    let store = LockSelector { store: lock.store.clone(), ..LockSelector::default() };
    if !lock.asks_party() && !lock.everything && (lock.store.is_none() || *lock != store) {
        return 0;
    }
    let at = |name: &StoreName| lock.store.as_ref().is_none_or(|store| store == name);
    gateway.log_out(at, &|actor: &Actor| lock.is_party(&SessionActor::from(actor))).await
}

/// Values that others use as well stay: a lock on a user or a surface finds none that are theirs alone by name.
async fn forget(gateway: &Gateway, lock: &LockSelector, bindings: HashSet<BindingKey>) -> u32 {
    if !lock.asks_party() {
        let held = gateway.forget(&gateway.materials.forget_all(&bindings, None));
        let issuer = Arc::clone(&gateway.issuer);
        let returning = futures::stream::iter(bindings)
            .map(|(environment, binding)| {
                let issuer = Arc::clone(&issuer);
                async move { issuer.end_binding(&environment, &binding).await }
            })
            .buffer_unordered(RETURNS_AT_ONCE)
            .fold(held, |sum, count| async move { sum.saturating_add(count) });
        return returning.await;
    }
    let Some(agent) = &lock.agent else { return 0 };
    let held = gateway.forget(&gateway.materials.forget_all(&bindings, Some(agent)));
    match lock.agent_alone() {
        Some(agent) => held.saturating_add(gateway.issuer.end_agent(agent).await),
        None => held,
    }
}
