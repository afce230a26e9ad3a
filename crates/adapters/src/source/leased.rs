//! Secrets that a store makes on demand and takes back.
//!
//! One lease serves every call of its slot (binding revision, role, agent). It is renewed when two thirds
//! of its time are over; where the store grants no more, another one is made and the old one drains until
//! its end. What ends a binding or an agent takes its leases back before it answers.

mod lease;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway_core::audit::{BindingRevision, Decision, Event, EventKind};
use gateway_core::id::{AgentName, BindingName, EnvironmentName, RequestId, ServerName};
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::manifest::LeasedSecret;
use gateway_core::ports::{AuditSink, CredentialWish, LeasingStore, StoreError, StoreErrorKind};
use gateway_core::reference::{ResolvedReference, SecretReference, TemplateValues};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::stores::Stores;
use gateway_core::time::{Clock, Timestamp};
use tokio::sync::OwnedMutexGuard;

use self::lease::{Held, Kept, Owed};

/// A lease that the server refuses is replaced only when it is older than this: a server that refuses
/// every credential must not have a new account made for each call.
const YOUNG: Duration = Duration::from_secs(30);
/// How long to wait before a lease that the store did not take back is given back again.
const AGAIN: Duration = Duration::from_secs(5);

/// Leases, by what they serve.
pub(super) struct Leases {
    stores: Arc<Stores>,
    audit: Arc<dyn AuditSink>,
    clock: Arc<dyn Clock>,
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    owed: Mutex<Vec<Owed>>,
}

/// What one lease serves.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Key {
    environment: EnvironmentName,
    binding: BindingRevision,
    role: ResolvedReference,
    /// The agent whose lease it is; absent where callers share it.
    agent: Option<AgentName>,
}

/// The place of a lease.
pub(super) struct Slot {
    key: Key,
    reference: SecretReference,
    server: ServerName,
    /// Held by whoever asks the store.
    turn: Arc<tokio::sync::Mutex<()>>,
    held: Mutex<Held>,
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases").field("slots", &locked(&self.slots).len()).finish_non_exhaustive()
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Leases {
    pub(super) fn new(stores: Arc<Stores>, audit: Arc<dyn AuditSink>, clock: Arc<dyn Clock>) -> Self {
        Self { stores, audit, clock, slots: Mutex::default(), owed: Mutex::default() }
    }

    /// The material of the slot's lease; asks the store where there is none, or where it nears its end.
    pub(super) async fn issue(
        self: &Arc<Self>,
        wish: &CredentialWish<'_>,
        leased: &LeasedSecret,
    ) -> Result<Arc<SecretVersion>, Refusal> {
        let slot = self.slot(wish, leased)?;
        let current = slot.usable(wish.now);
        let turn = match &current {
            Some(kept) if !kept.is_due(wish.now) => return Ok(Arc::clone(&kept.material)),
            // Somebody renews it already: it still holds.
            Some(kept) => match Arc::clone(&slot.turn).try_lock_owned() {
                Ok(turn) => turn,
                Err(_) => return Ok(Arc::clone(&kept.material)),
            },
            None => {
                let turn = Arc::clone(&slot.turn).lock_owned().await;
                if let Some(kept) = slot.usable(self.clock.now()) {
                    return Ok(Arc::clone(&kept.material));
                }
                turn
            }
        };
        let actor =
            wish.actor.map(|actor| Event::new(EventKind::CredentialRequested, wish.now).with_actor(actor));
        let event = actor.unwrap_or_else(|| Event::new(EventKind::CredentialRequested, wish.now));
        let (leases, request_id) = (Arc::clone(self), wish.request_id.clone());
        let asked = Arc::clone(&slot);
        // A caller that leaves must not lose a lease that the store has made.
        let asking = tokio::spawn(async move { leases.ask(&asked, turn, event, request_id).await });
        let answer = asking.await.unwrap_or_else(|error| Err(Refusal::new(Code::Internal).because(error)));
        match (answer, current) {
            (Err(refusal), Some(kept)) if !slot.is_over() => {
                tracing::warn!(%refusal, inside = refusal.inside().unwrap_or(""), "a lease was not renewed; it still holds");
                Ok(Arc::clone(&kept.material))
            }
            (answer, _) => answer,
        }
    }

    fn slot(&self, wish: &CredentialWish<'_>, leased: &LeasedSecret) -> Result<Arc<Slot>, Refusal> {
        let binding = wish.permit.binding();
        let agent = wish.actor.and_then(|actor| actor.agent.as_ref());
        let values = TemplateValues {
            agent: agent.map(AgentName::as_str),
            user: wish.actor.and_then(|actor| actor.user.as_ref()).map(|user| &*user.subject),
            environment: &binding.spec.environment,
        };
        let role = leased.role.resolve(&values);
        let role = role.map_err(|error| Refusal::new(Code::ReferenceRefused).because(error))?;
        let key = Key {
            environment: binding.spec.environment.clone(),
            binding: binding.name_at_revision(),
            role,
            agent: agent.filter(|_| leased.role.has_templates()).cloned(),
        };
        let mut slots = locked(&self.slots);
        let slot = slots.entry(key).or_insert_with_key(|key| {
            Arc::new(Slot {
                key: key.clone(),
                reference: leased.role.clone(),
                server: binding.spec.server.clone(),
                turn: Arc::default(),
                held: Mutex::default(),
            })
        });
        Ok(Arc::clone(slot))
    }

    fn store(&self, slot: &Slot) -> Result<Arc<dyn LeasingStore>, StoreError> {
        let entry = self.stores.open(&slot.key.environment, &slot.key.role.store)?;
        entry
            .leasing
            .clone()
            .ok_or_else(|| StoreError::new(StoreErrorKind::Malformed, "the store makes no secrets on demand"))
    }

    /// Renews the lease, or has another one made. The turn is held until the end.
    async fn ask(
        &self,
        slot: &Arc<Slot>,
        _turn: OwnedMutexGuard<()>,
        event: Event,
        request_id: RequestId,
    ) -> Result<Arc<SecretVersion>, Refusal> {
        if slot.is_over() {
            return Err(Code::BindingEnded.into());
        }
        let store = self.store(slot)?;
        if let Some(kept) = slot.usable(self.clock.now())
            && let Some(renewed) = self.renew(slot, &*store, &kept).await
        {
            return Ok(renewed);
        }
        // It exists outside from then on, so the record comes first (DESIGN, section 12.1).
        let requested = slot.describe(Event { request_id: Some(request_id), ..event });
        let recorded = self.audit.record(requested.clone()).await;
        recorded.map_err(|error| Refusal::new(Code::AuditUnavailable).because(error))?;
        let answer = store.lease(&slot.key.role).await;
        let now = self.clock.now();
        let mut issued = Event { kind: EventKind::CredentialIssued, time: now, ..requested };
        match answer {
            Ok(lease) => {
                issued.decision = Some(Decision::Allow);
                issued.secret_version = Some(lease.material.version.clone());
                issued.store_request_id.clone_from(&lease.material.store_request_id);
                self.note(issued);
                let kept = Arc::new(Kept::new(lease, now));
                if slot.keep(&kept, now) {
                    return Ok(Arc::clone(&kept.material));
                }
                self.give_back(slot, &kept).await;
                Err(Code::BindingEnded.into())
            }
            Err(error) => {
                let refusal = Refusal::from(error);
                issued.decision = Some(Decision::Deny);
                issued.reason = Some(refusal.code().as_str().to_owned());
                self.note(issued);
                Err(refusal)
            }
        }
    }

    /// The renewed material; `None` where another lease is needed.
    async fn renew(
        &self,
        slot: &Slot,
        store: &dyn LeasingStore,
        kept: &Arc<Kept>,
    ) -> Option<Arc<SecretVersion>> {
        if !kept.renewable {
            return None;
        }
        let granted = match store.renew(&kept.id, kept.duration).await {
            Ok(granted) => granted,
            Err(error) => {
                tracing::info!(kind = ?error.kind, inside = %error.inside, "a lease was not renewed");
                return None;
            }
        };
        let now = self.clock.now();
        // Close to its maximal life a lease is granted less and less.
        let lasts = granted.saturating_mul(2) >= kept.duration;
        let renewed = Arc::new(kept.renewed(now, granted));
        (lasts && slot.keep_renewed(&renewed)).then(|| Arc::clone(&renewed.material))
    }

    /// The server refuses the secret: another lease is made for the next use, if this one is not brand
    /// new.
    pub(super) fn refused(&self, version: &VersionId) -> bool {
        let now = self.clock.now();
        let slots: Vec<Arc<Slot>> = locked(&self.slots).values().cloned().collect();
        slots.iter().any(|slot| slot.retire(version, now))
    }

    /// Takes every lease of the binding back; says how many.
    pub(super) async fn end_binding(&self, environment: &EnvironmentName, binding: &BindingName) -> u32 {
        self.end(|key| key.environment == *environment && key.binding.name == *binding).await
    }

    /// Takes every lease back that is the agent's alone; says how many.
    pub(super) async fn end_agent(&self, agent: &AgentName) -> u32 {
        self.end(|key| key.agent.as_ref() == Some(agent)).await
    }

    async fn end(&self, which: impl Fn(&Key) -> bool) -> u32 {
        let ended: Vec<Arc<Slot>> =
            locked(&self.slots).extract_if(|key, _| which(key)).map(|(_, slot)| slot).collect();
        let endings = ended.iter().map(|slot| async move {
            slot.close();
            // Whoever asks the store now is waited for: what it gets is taken back too.
            let _turn = slot.turn.lock().await;
            let leases = slot.take(self.clock.now());
            let returned = leases.iter().map(|kept| self.give_back(slot, kept));
            futures::future::join_all(returned).await;
            leases.len()
        });
        let counts = futures::future::join_all(endings).await;
        u32::try_from(counts.iter().sum::<usize>()).unwrap_or(u32::MAX)
    }

    /// Gives one lease back, and remembers it where the store did not take it.
    async fn give_back(&self, slot: &Arc<Slot>, kept: &Arc<Kept>) {
        let answer = match self.store(slot) {
            Ok(store) => store.revoke(&kept.id).await,
            Err(error) => Err(error),
        };
        let now = self.clock.now();
        let mut event = slot.describe(Event::new(EventKind::CredentialReturned, now));
        event.agent.clone_from(&slot.key.agent);
        event.secret_version = Some(kept.material.version.clone());
        event.decision = Some(Decision::Allow);
        if let Err(error) = answer {
            tracing::warn!(kind = ?error.kind, inside = %error.inside, "a lease was not taken back");
            event.decision = Some(Decision::Deny);
            event.reason = Some(Refusal::from(error).code().as_str().to_owned());
            let owed = Owed { slot: Arc::clone(slot), kept: Arc::clone(kept), due: now.plus(AGAIN) };
            locked(&self.owed).push(owed);
        }
        self.note(event);
    }

    /// Forgets what has expired, and gives back again what the store has not taken.
    pub(super) fn sweep(self: &Arc<Self>, now: Timestamp) {
        locked(&self.slots).retain(|_, slot| slot.forget_expired(now) || Arc::strong_count(slot) > 1);
        let due: Vec<Owed> = locked(&self.owed).extract_if(.., |owed| owed.due <= now).collect();
        if due.is_empty() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            locked(&self.owed).extend(due);
            return;
        };
        let leases = Arc::clone(self);
        runtime.spawn(async move {
            for owed in due.iter().filter(|owed| owed.kept.holds_at(now)) {
                leases.give_back(&owed.slot, &owed.kept).await;
            }
        });
    }

    fn note(&self, event: Event) {
        if let Err(error) = self.audit.note(event) {
            tracing::error!(%error, "what became of a lease could not be recorded");
        }
    }
}

#[cfg(test)]
mod tests;
