//! Material that somebody makes on demand and takes back: secrets of a store, tokens of an application's
//! installation.
//!
//! One lease serves every call of its slot (binding revision, place, agent). It is renewed when two thirds
//! of its time are over; where its maker grants no more, another one is made and the old one drains until
//! its end. What ends a binding or an agent takes its leases back before it answers.

mod lease;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::audit::{BindingRevision, Decision, Event, EventKind};
use gateway_core::id::{AgentName, BindingName, EnvironmentName, ProviderName, RequestId, ServerName};
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::ports::{AuditSink, CredentialWish, StoreLease};
use gateway_core::reference::SecretReference;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::revocation::{Attempt, Return, ReturnKind, ReturnState, Way};
use gateway_core::time::{Clock, Timestamp};
use tokio::sync::OwnedMutexGuard;

use self::lease::Held;
use super::ledger::{Ledger, attempt, latest};

pub(super) use self::lease::Kept;

/// A lease that the server refuses is replaced only when it is older than this: a server that refuses
/// every credential must not have a new account made for each call.
const YOUNG: Duration = Duration::from_secs(30);

/// Who makes what is leased, and takes it back.
#[async_trait]
pub(super) trait Lessor: Send + Sync {
    /// Makes another one.
    async fn lease(&self) -> Result<StoreLease, Refusal>;
    /// Lets it hold as long as it did at first, from now on; says how long it does.
    async fn renew(&self, kept: &Kept) -> Result<Duration, Refusal>;
    /// Takes it back. One that is gone is taken back.
    async fn take_back(&self, kept: &Kept) -> Result<(), Refusal>;
    /// How another process takes it back, where that needs nothing but to know of it: then it is filed when it is
    /// made, and outlives whoever holds it.
    fn known_way(&self, _: &Kept) -> Option<Way> {
        None
    }
    /// How it is taken back later, by whichever process; puts what that needs where it waits.
    ///
    /// # Errors
    /// Nobody can, then.
    async fn way_back(&self, id: &str, kept: &Kept) -> Result<Way, Refusal>;
}

/// What is asked for.
pub(super) struct Ask {
    /// Tells what is leased apart within one binding revision.
    pub(super) place: String,
    /// The agent whose alone it is; absent where callers share it.
    pub(super) agent: Option<AgentName>,
    /// What evidence says of it.
    pub(super) subject: Subject,
    pub(super) lessor: Arc<dyn Lessor>,
}

/// What evidence says of a lease.
pub(super) struct Subject {
    pub(super) source: &'static str,
    pub(super) reference: Option<SecretReference>,
    pub(super) provider: Option<ProviderName>,
    /// What it may do, where that is asked for.
    pub(super) scopes: Vec<String>,
}

impl Subject {
    /// What evidence calls it, and who is asked to take it back.
    fn kind(&self) -> (ReturnKind, String) {
        match (&self.provider, &self.reference) {
            (Some(provider), _) => (ReturnKind::InstallationToken, format!("provider {provider}")),
            (None, Some(reference)) => (ReturnKind::Lease, format!("store {}", reference.store())),
            (None, None) => (ReturnKind::Lease, "store".to_owned()),
        }
    }
}

/// Leases, by what they serve.
pub(super) struct Leases {
    audit: Arc<dyn AuditSink>,
    clock: Arc<dyn Clock>,
    ledger: Arc<Ledger>,
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
}

/// What one lease serves.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Key {
    environment: EnvironmentName,
    binding: BindingRevision,
    place: String,
    /// The agent whose lease it is; absent where callers share it.
    agent: Option<AgentName>,
}

/// The place of a lease.
pub(super) struct Slot {
    key: Key,
    subject: Subject,
    server: ServerName,
    lessor: Arc<dyn Lessor>,
    /// Held by whoever has one made.
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
    pub(super) fn new(audit: Arc<dyn AuditSink>, clock: Arc<dyn Clock>, ledger: Arc<Ledger>) -> Self {
        Self { audit, clock, ledger, slots: Mutex::default() }
    }

    /// The material of the slot's lease; has one made where there is none, or where it nears its end.
    pub(super) async fn issue(
        self: &Arc<Self>,
        wish: &CredentialWish<'_>,
        ask: Ask,
    ) -> Result<Arc<SecretVersion>, Refusal> {
        let slot = self.slot(wish, ask);
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
        // A caller that leaves must not lose a lease that was made.
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

    fn slot(&self, wish: &CredentialWish<'_>, ask: Ask) -> Arc<Slot> {
        let binding = wish.permit.binding();
        let Ask { place, agent, subject, lessor } = ask;
        let environment = binding.spec.environment.clone();
        let key = Key { environment, binding: binding.name_at_revision(), place, agent };
        let mut slots = locked(&self.slots);
        let slot = slots.entry(key).or_insert_with_key(|key| {
            let server = binding.spec.server.clone();
            let (key, turn) = (key.clone(), Arc::default());
            Arc::new(Slot { key, subject, server, lessor, turn, held: Mutex::default() })
        });
        Arc::clone(slot)
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
        if let Some(kept) = slot.usable(self.clock.now())
            && let Some(renewed) = self.renew(slot, &kept).await
        {
            return Ok(renewed);
        }
        // It exists outside from then on, so the record comes first (DESIGN, section 12.1).
        let requested = slot.describe(Event { request_id: Some(request_id), ..event });
        let recorded = self.audit.record(requested.clone()).await;
        recorded.map_err(|error| Refusal::new(Code::AuditUnavailable).because(error))?;
        let answer = slot.lessor.lease().await;
        let now = self.clock.now();
        let mut issued = Event { kind: EventKind::CredentialIssued, time: now, ..requested };
        match answer {
            Ok(lease) => {
                issued.decision = Some(Decision::Allow);
                issued.secret_version = Some(lease.material.version.clone());
                issued.store_request_id.clone_from(&lease.material.store_request_id);
                self.note(issued);
                let kept = Arc::new(Kept::new(lease, now));
                // Before anybody uses it: a process that dies must not leave an account that nobody knows of.
                self.ledger.file(slot.standing(&kept, now).into_iter().collect()).await;
                if slot.keep(&kept, now) {
                    return Ok(Arc::clone(&kept.material));
                }
                let filed = self.give_back(slot, &kept).await;
                self.ledger.file(vec![filed]).await;
                Err(Code::BindingEnded.into())
            }
            Err(refusal) => {
                issued.decision = Some(Decision::Deny);
                issued.reason = Some(refusal.code().as_str().to_owned());
                self.note(issued);
                Err(refusal)
            }
        }
    }

    /// The renewed material; `None` where another lease is needed.
    async fn renew(&self, slot: &Slot, kept: &Arc<Kept>) -> Option<Arc<SecretVersion>> {
        if !kept.renewable {
            return None;
        }
        let granted = match slot.lessor.renew(kept).await {
            Ok(granted) => granted,
            Err(refusal) => {
                tracing::info!(%refusal, inside = refusal.inside().unwrap_or(""), "a lease was not renewed");
                return None;
            }
        };
        let now = self.clock.now();
        // Close to its maximal life a lease is granted less and less.
        let lasts = granted.saturating_mul(2) >= kept.duration;
        let renewed = Arc::new(kept.renewed(now, granted));
        self.ledger.file(slot.standing(&renewed, now).into_iter().collect()).await;
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

    /// Takes every lease back: the gateway stops. Says how many.
    pub(super) async fn end_all(&self) -> u32 {
        self.end(|_| true).await
    }

    async fn end(&self, which: impl Fn(&Key) -> bool) -> u32 {
        let ended: Vec<Arc<Slot>> =
            locked(&self.slots).extract_if(|key, _| which(key)).map(|(_, slot)| slot).collect();
        let endings = ended.iter().map(|slot| async move {
            slot.close();
            // Whoever has one made now is waited for: what it gets is taken back too.
            let _turn = slot.turn.lock().await;
            let leases = slot.take(self.clock.now());
            let returned = leases.iter().map(|kept| self.give_back(slot, kept));
            futures::future::join_all(returned).await
        });
        let all: Vec<Return> = futures::future::join_all(endings).await.into_iter().flatten().collect();
        let count = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let (over, open): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.state == ReturnState::Ended);
        // They stand no more: the sum takes the place of each.
        let dropped = over.iter().map(|one| one.id.clone()).collect();
        self.ledger.settle(self.summed(over, open), dropped).await;
        count
    }

    /// What was taken back at once is filed in sum, by binding; the rest one by one.
    fn summed(&self, over: Vec<Return>, mut filed: Vec<Return>) -> Vec<Return> {
        let mut sums: Vec<Return> = Vec::new();
        for one in over {
            match sums.iter_mut().find(|sum| sum.subject == one.subject && sum.party == one.party) {
                Some(sum) => {
                    sum.count = sum.count.saturating_add(1);
                    sum.expires_at = latest([sum.expires_at, one.expires_at]);
                }
                None => sums.push(Return { id: self.ledger.fresh_id(), ..one }),
            }
        }
        filed.extend(sums);
        filed
    }

    /// Gives one lease back; says what became of it, to be filed.
    async fn give_back(&self, slot: &Arc<Slot>, kept: &Arc<Kept>) -> Return {
        let answer = slot.lessor.take_back(kept).await;
        let now = self.clock.now();
        let mut event = slot.describe(Event::new(EventKind::CredentialReturned, now));
        event.agent.clone_from(&slot.key.agent);
        event.secret_version = Some(kept.material.version.clone());
        event.decision = Some(Decision::Allow);
        let one = slot.owed(kept, now);
        let Err(refusal) = answer else {
            self.note(event);
            return self.ledger.tried(one, Attempt::new(ReturnState::Ended, "revoked"));
        };
        tracing::warn!(%refusal, inside = refusal.inside().unwrap_or(""), "a lease was not taken back");
        event.decision = Some(Decision::Deny);
        event.reason = Some(refusal.code().as_str().to_owned());
        self.note(event);
        let attempt = attempt(&refusal);
        match slot.lessor.way_back(&one.id, kept).await {
            Ok(way) => self.ledger.tried(Return { way, ..one }, attempt),
            Err(_) => self.ledger.tried(one, Attempt { state: ReturnState::Irrevocable, ..attempt }),
        }
    }

    /// Forgets what has expired.
    pub(super) fn sweep(&self, now: Timestamp) {
        locked(&self.slots).retain(|_, slot| slot.forget_expired(now) || Arc::strong_count(slot) > 1);
    }

    fn note(&self, event: Event) {
        if let Err(error) = self.audit.note(event) {
            tracing::error!(%error, "what became of a lease could not be recorded");
        }
    }
}

#[cfg(test)]
mod tests;
