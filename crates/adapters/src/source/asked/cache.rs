//! The bounded memory of issued tokens: one load per key at a time, and nothing that was asked for before
//! the end of its binding survives it.
//!
//! The map holds a load's number; the end of a binding takes it out, and a finishing load keeps its token
//! only where its own number is still in the map. That is the whole generation check.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gateway_core::id::{AgentName, BindingName, EnvironmentName, Epoch, ProviderName, Revision};
use gateway_core::identity::TokenDigest;
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::manifest::ProviderSpec;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::time::Timestamp;
use tokio::sync::watch;

use super::REFUSAL_SERVES;

const SHARDS: usize = 16;

/// The most entries of one shard: 10,000 in all.
const SHARD_CAPACITY: usize = 625;

/// What makes one token differ from another.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key {
    pub(super) environment: EnvironmentName,
    pub(super) binding: BindingName,
    pub(super) revision: Revision,
    pub(super) provider: ProviderName,
    /// Sorted.
    pub(super) scopes: Vec<String>,
    /// The caller, where the material differs from caller to caller.
    pub(super) caller: Option<String>,
    /// The token that is exchanged: another one, or none any more, never gets its result.
    pub(super) presented: Option<TokenDigest>,
}

/// An issued token, with what is needed to give it back.
pub(super) struct Held {
    pub(super) version: Arc<SecretVersion>,
    pub(super) provider: Arc<ProviderSpec>,
    /// The agent that it was first asked for.
    pub(super) agent: Option<AgentName>,
    /// The source's word.
    pub(super) source: &'static str,
    /// Until when it is handed out.
    pub(super) until: Timestamp,
}

type Outcome = Result<Arc<SecretVersion>, Refusal>;

/// Where a load's outcome will be.
pub(super) type Place = watch::Receiver<Option<Outcome>>;

/// What somebody who comes finds.
pub(super) enum Seat {
    Ready(Arc<SecretVersion>),
    Refused(Refusal),
    Waiting(Place),
    Loading(Ticket),
}

/// A load under way, in the hands of who loads.
pub(super) struct Ticket {
    number: u64,
    outcome: watch::Sender<Option<Outcome>>,
}

impl Ticket {
    pub(super) fn place(&self) -> Place {
        self.outcome.subscribe()
    }
}

enum Slot {
    Held(Held),
    Refused { refusal: Refusal, until: Timestamp },
    Loading { number: u64, place: Place, agent: Option<AgentName> },
}

#[derive(Default)]
pub(super) struct Cache {
    hasher: RandomState,
    shards: [Mutex<HashMap<Key, Slot>>; SHARDS],
    loads: AtomicU64,
    /// The newest epoch of any permit seen.
    newest: AtomicU64,
    /// Bindings that ended, with the newest epoch seen until then: what was decided by then is over.
    ended: Mutex<HashMap<(EnvironmentName, BindingName), Epoch>>,
}

impl Cache {
    /// What there is for the key; where there is nothing, who comes first gets the ticket.
    pub(super) fn seat(
        &self,
        key: &Key,
        agent: Option<&AgentName>,
        epoch: Epoch,
        now: Timestamp,
    ) -> Result<Seat, Refusal> {
        self.newest.fetch_max(epoch.0, Ordering::SeqCst);
        let mut shard = self.shard(key);
        // Under the shard's lock: the end of a binding marks it first and empties the shards after.
        self.check_ended(key, epoch)?;
        match shard.get(key) {
            Some(Slot::Held(held)) if held.until > now => return Ok(Seat::Ready(Arc::clone(&held.version))),
            Some(Slot::Refused { refusal, until }) if until.holds_at(now, REFUSAL_SERVES) => {
                return Ok(Seat::Refused(refusal.clone()));
            }
            Some(Slot::Loading { place, .. }) => {
                // A load whose task died without a word is no load any more.
                if place.has_changed().is_ok() {
                    return Ok(Seat::Waiting(place.clone()));
                }
            }
            Some(_) | None => {}
        }
        make_room(&mut shard);
        let number = self.loads.fetch_add(1, Ordering::SeqCst);
        let (outcome, place) = watch::channel(None);
        shard.insert(key.clone(), Slot::Loading { number, place, agent: agent.cloned() });
        Ok(Seat::Loading(Ticket { number, outcome }))
    }

    /// Keeps the outcome where the ticket is still valid, and tells those who wait. Returns the token that
    /// nobody may have any more.
    pub(super) fn keep(
        &self,
        ticket: Ticket,
        key: &Key,
        outcome: Result<Held, Refusal>,
        until: Timestamp,
    ) -> Option<Held> {
        let mut shard = self.shard(key);
        let valid = matches!(shard.get(key), Some(Slot::Loading { number, .. }) if *number == ticket.number);
        if !valid {
            drop(shard);
            ticket.outcome.send_replace(Some(Err(Code::BindingEnded.into())));
            return outcome.ok();
        }
        let told = match outcome {
            Ok(held) => {
                let version = Arc::clone(&held.version);
                shard.insert(key.clone(), Slot::Held(held));
                Ok(version)
            }
            Err(refusal) => {
                shard.insert(key.clone(), Slot::Refused { refusal: refusal.clone(), until });
                Err(refusal)
            }
        };
        drop(shard);
        ticket.outcome.send_replace(Some(told));
        None
    }

    /// Forgets the version; says whether it was there.
    pub(super) fn drop_version(&self, version: &VersionId) -> bool {
        let is_it = |slot: &Slot| matches!(slot, Slot::Held(held) if held.version.version == *version);
        self.shards.iter().any(|shard| {
            let mut shard = lock(shard);
            let key = shard.iter().find(|(_, slot)| is_it(slot)).map(|(key, _)| key.clone());
            key.is_some_and(|key| shard.remove(&key).is_some())
        })
    }

    /// Takes out everything of the binding, loads under way included.
    pub(super) fn end_binding(
        &self,
        environment: &EnvironmentName,
        binding: &BindingName,
    ) -> Vec<(Key, Held)> {
        let mark = Epoch(self.newest.load(Ordering::SeqCst));
        lock(&self.ended).insert((environment.clone(), binding.clone()), mark);
        self.take_out(|key, _| key.environment == *environment && key.binding == *binding)
    }

    /// Takes out everything that was asked for the agent, loads under way included.
    pub(super) fn end_agent(&self, agent: &AgentName) -> Vec<(Key, Held)> {
        self.take_out(|_, slot| match slot {
            Slot::Held(held) => held.agent.as_ref() == Some(agent),
            Slot::Loading { agent: asks, .. } => asks.as_ref() == Some(agent),
            Slot::Refused { .. } => false,
        })
    }

    /// Drops what is over; the values are zeroed with their last user.
    pub(super) fn sweep(&self, now: Timestamp) {
        for shard in &self.shards {
            lock(shard).retain(|_, slot| match slot {
                Slot::Held(held) => held.until > now,
                Slot::Refused { until, .. } => *until > now,
                Slot::Loading { place, .. } => place.has_changed().is_ok(),
            });
        }
    }

    fn check_ended(&self, key: &Key, epoch: Epoch) -> Result<(), Refusal> {
        let ended = lock(&self.ended);
        let mark = ended.get(&(key.environment.clone(), key.binding.clone()));
        if mark.is_some_and(|mark| epoch <= *mark) { Err(Code::BindingEnded.into()) } else { Ok(()) }
    }

    fn take_out(&self, doomed: impl Fn(&Key, &Slot) -> bool) -> Vec<(Key, Held)> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let taken = lock(shard).extract_if(|key, slot| doomed(key, slot)).collect::<Vec<_>>();
            all.extend(taken.into_iter().filter_map(|(key, slot)| match slot {
                Slot::Held(held) => Some((key, held)),
                Slot::Refused { .. } | Slot::Loading { .. } => None,
            }));
        }
        all
    }

    #[expect(clippy::indexing_slicing, reason = "the index is taken modulo the length")]
    fn shard(&self, key: &Key) -> MutexGuard<'_, HashMap<Key, Slot>> {
        let hash = usize::try_from(self.hasher.hash_one(key) & 0xffff).unwrap_or(0);
        lock(&self.shards[hash % SHARDS])
    }
}

/// Makes room for one more entry, at the cost of what ends first. Loads stay: each has a caller.
fn make_room(shard: &mut HashMap<Key, Slot>) {
    while shard.len() >= SHARD_CAPACITY {
        let ends = |slot: &Slot| match slot {
            Slot::Held(held) => Some(held.until),
            Slot::Refused { until, .. } => Some(*until),
            Slot::Loading { .. } => None,
        };
        let first = shard.iter().filter_map(|(key, slot)| Some((ends(slot)?, key)));
        let Some(key) = first.min_by_key(|(until, _)| *until).map(|(_, key)| key.clone()) else { return };
        shard.remove(&key);
    }
}

/// A panic under a lock leaves a map that is whole: every change of it is one insert or remove.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
