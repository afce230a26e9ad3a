//! The bounded cache in front of a store: one load per place at a time, and nothing that was loaded
//! before a `forget` survives it.
//!
//! A load runs as a task of its own, so a caller that goes away fails nobody else. The map holds the
//! load's ticket; `forget` takes the ticket out, and a finishing load keeps its value only where its
//! own ticket is still in the map. Callers that come after the `forget` find no ticket and start a new
//! load. That is the whole generation check.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::lease::SecretVersion;
use gateway_core::ports::{SecretCache, SecretStore, StoreError, StoreErrorKind, StoreFigures};
use gateway_core::reference::ResolvedReference;
use gateway_core::time::{Clock, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

type Outcome = Result<Arc<SecretVersion>, StoreError>;

/// The cache's numbers.
#[derive(Clone, Copy, Debug)]
pub struct CacheLimits {
    /// How long a value serves, unless it expires earlier. Zero switches the cache off.
    pub time_to_live: Duration,
    /// How long a store's refusal (missing, empty, denied, malformed) serves.
    pub negative: Duration,
    /// How long a failure to reach the store serves: just enough to stop a stampede.
    pub outage: Duration,
    /// The most entries held.
    pub capacity: usize,
}

impl CacheLimits {
    /// The defaults with another time to live.
    pub fn with_time_to_live(time_to_live: Duration) -> Self {
        Self {
            time_to_live,
            negative: Duration::from_secs(5).min(time_to_live),
            outage: Duration::from_secs(1).min(time_to_live),
            capacity: 10_000,
        }
    }
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self::with_time_to_live(Duration::from_secs(60))
    }
}

/// A store with a cache in front of it.
pub struct Cached {
    shared: Arc<Shared>,
    inner: Arc<dyn SecretStore>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    limits: CacheLimits,
    hasher: RandomState,
    /// All versions of one place are in the same shard.
    shards: Vec<Mutex<Shard>>,
    hits: AtomicU64,
}

#[derive(Default)]
struct Shard {
    slots: HashMap<ResolvedReference, Slot>,
    tickets: u64,
}

enum Slot {
    Ready { outcome: Outcome, since: Timestamp, until: Timestamp, born: Instant },
    Loading { ticket: u64, done: watch::Receiver<Option<Outcome>> },
}

impl Slot {
    /// Whether it is over, by either clock: a wall's clock that was set back must not let a value live longer.
    fn is_over(&self, now: Timestamp) -> bool {
        match self {
            Self::Ready { since, until, born, .. } => *until <= now || born.elapsed() >= until.since(*since),
            Self::Loading { .. } => false,
        }
    }
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("limits", &self.shared.limits).field("inner", &self.inner).finish()
    }
}

impl Cached {
    /// Puts a cache in front of the store.
    pub fn new(inner: Arc<dyn SecretStore>, limits: CacheLimits, clock: Arc<dyn Clock>) -> Self {
        // Small caches get one shard, so that the oldest entry of all is the one that goes.
        let shards = if limits.capacity >= 1024 { 16 } else { 1 };
        let shards = (0..shards).map(|_| Mutex::default()).collect();
        let shared = Shared { clock, limits, hasher: RandomState::new(), shards, hits: AtomicU64::new(0) };
        Self { shared: Arc::new(shared), inner }
    }

    /// How many values and refusals it holds, expired ones included.
    pub fn len(&self) -> usize {
        self.shared.shards.iter().map(|shard| lock(shard).slots.len()).sum()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a ticket under the shard's lock and loads in a task of its own.
    fn start(&self, shard: &mut Shard, reference: &ResolvedReference) -> watch::Receiver<Option<Outcome>> {
        shard.make_room(self.shared.shard_capacity());
        shard.tickets = shard.tickets.wrapping_add(1);
        let ticket = shard.tickets;
        let (sender, done) = watch::channel(None);
        shard.slots.insert(reference.clone(), Slot::Loading { ticket, done: done.clone() });
        let (shared, inner, reference) = (self.shared.clone(), self.inner.clone(), reference.clone());
        tokio::spawn(async move {
            let (since, born) = (shared.clock.now(), Instant::now());
            // A panic or a dropped runtime drops the guard, which takes the ticket out of the map.
            let guard = Ticket { shared: &shared, reference: &reference, ticket };
            let outcome = inner.fetch(&reference).await;
            let outcome = outcome.and_then(|version| not_expired(version, shared.clock.now()));
            guard.keep(&outcome, since, born);
            let _nobody_waits = sender.send(Some(outcome));
        });
        done
    }
}

/// A load under way.
struct Ticket<'a> {
    shared: &'a Shared,
    reference: &'a ResolvedReference,
    ticket: u64,
}

impl Ticket<'_> {
    /// Keeps the outcome where the ticket is still valid.
    fn keep(self, outcome: &Outcome, since: Timestamp, born: Instant) {
        let now = self.shared.clock.now();
        // A value's age counts from before it was read; a failure's from when it was known.
        let (since, until, born) = match outcome {
            Ok(version) => {
                let until = since.plus(self.shared.limits.time_to_live);
                (since, version.expires_at.map_or(until, |end| end.min(until)), born)
            }
            Err(error) => (now, now.plus(self.shared.limits.for_failure(error)), Instant::now()),
        };
        let mut shard = lock(self.shared.shard_of(self.reference));
        if shard.holds(self.reference, self.ticket) && until > now {
            let ready = Slot::Ready { outcome: outcome.clone(), since, until, born };
            shard.slots.insert(self.reference.clone(), ready);
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut shard = lock(self.shared.shard_of(self.reference));
        if shard.holds(self.reference, self.ticket) {
            shard.slots.remove(self.reference);
        }
    }
}

impl CacheLimits {
    fn for_failure(&self, error: &StoreError) -> Duration {
        match error.kind {
            StoreErrorKind::Unavailable | StoreErrorKind::Timeout => self.outage,
            StoreErrorKind::Throttled => error.retry_after.unwrap_or(self.outage).min(self.negative),
            StoreErrorKind::NotFound
            | StoreErrorKind::Empty
            | StoreErrorKind::Denied
            | StoreErrorKind::Malformed
            | StoreErrorKind::NotForEnvironment => self.negative,
        }
    }
}

impl Shared {
    fn shard_capacity(&self) -> usize {
        (self.limits.capacity / self.shards.len().max(1)).max(1)
    }

    #[expect(clippy::indexing_slicing, reason = "the index is taken modulo the length, which is never zero")]
    fn shard_of(&self, reference: &ResolvedReference) -> &Mutex<Shard> {
        let shards = self.shards.len();
        if shards == 1 {
            return &self.shards[0];
        }
        let mut hasher = self.hasher.build_hasher();
        reference.path.hash(&mut hasher);
        reference.field.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() & 0xffff).unwrap_or(0);
        &self.shards[index % shards]
    }
}

impl Shard {
    fn holds(&self, reference: &ResolvedReference, mine: u64) -> bool {
        matches!(self.slots.get(reference), Some(Slot::Loading { ticket, .. }) if *ticket == mine)
    }

    /// Evicts the oldest entries until one more fits. Loads under way stay: each has a caller.
    fn make_room(&mut self, capacity: usize) {
        while self.slots.len() >= capacity {
            let ready = self.slots.iter().filter_map(|(reference, slot)| match slot {
                Slot::Ready { since, .. } => Some((*since, reference)),
                Slot::Loading { .. } => None,
            });
            let Some(oldest) = ready.min_by_key(|(since, _)| *since).map(|(_, reference)| reference.clone())
            else {
                return;
            };
            self.slots.remove(&oldest);
        }
    }

    /// Takes out what the predicate names; says how many values, not failures or loads, were among it.
    fn take_out(&mut self, mut doomed: impl FnMut(&ResolvedReference) -> bool) -> u32 {
        let mut values = 0_u32;
        self.slots.retain(|reference, slot| {
            let goes = doomed(reference);
            if goes && matches!(slot, Slot::Ready { outcome: Ok(_), .. }) {
                values = values.saturating_add(1);
            }
            !goes
        });
        values
    }
}

/// A panic under the lock leaves a map that is whole: every change of it is one insert or remove.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_expired(version: Arc<SecretVersion>, now: Timestamp) -> Outcome {
    if version.expires_at.is_some_and(|end| end <= now) {
        return Err(StoreError::new(StoreErrorKind::NotFound, "the version has expired at the store"));
    }
    Ok(version)
}

#[async_trait]
impl SecretStore for Cached {
    async fn fetch(&self, reference: &ResolvedReference) -> Outcome {
        if self.shared.limits.time_to_live.is_zero() {
            return self.inner.fetch(reference).await;
        }
        let mut done = {
            let now = self.shared.clock.now();
            let mut shard = lock(self.shared.shard_of(reference));
            match shard.slots.get(reference) {
                Some(slot @ Slot::Ready { outcome, .. }) if !slot.is_over(now) => {
                    self.shared.hits.fetch_add(u64::from(outcome.is_ok()), Ordering::Relaxed);
                    return outcome.clone();
                }
                Some(Slot::Loading { done, .. }) => done.clone(),
                Some(Slot::Ready { .. }) | None => {
                    shard.slots.remove(reference);
                    self.start(&mut shard, reference)
                }
            }
        };
        let finished = done.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        finished.unwrap_or_else(|| {
            Err(StoreError::new(StoreErrorKind::Unavailable, "the load was cut off before it finished"))
        })
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.inner.probe().await
    }

    fn keeps_versions(&self) -> bool {
        self.inner.keeps_versions()
    }

    fn figures(&self) -> StoreFigures {
        StoreFigures { hits: self.shared.hits.load(Ordering::Relaxed), ..self.inner.figures() }
    }
}

impl SecretCache for Cached {
    fn forget(&self, reference: &ResolvedReference) -> u32 {
        let same_place = |held: &ResolvedReference| {
            held.path == reference.path && held.field == reference.field && held.store == reference.store
        };
        lock(self.shared.shard_of(reference)).take_out(same_place)
    }

    fn forget_all(&self) -> u32 {
        self.shared.shards.iter().map(|shard| lock(shard).take_out(|_| true)).fold(0, u32::saturating_add)
    }

    fn forget_path(&self, path: &str) -> u32 {
        let of_path = |shard: &Mutex<Shard>| lock(shard).take_out(|held| held.path == path);
        self.shared.shards.iter().map(of_path).fold(0, u32::saturating_add)
    }

    fn sweep(&self, now: Timestamp) -> u32 {
        let sweep = |shard: &Mutex<Shard>| {
            let mut shard = lock(shard);
            let before = shard.slots.len();
            shard.slots.retain(|_, slot| !slot.is_over(now));
            u32::try_from(before - shard.slots.len()).unwrap_or(u32::MAX)
        };
        self.shared.shards.iter().map(sweep).fold(0, u32::saturating_add)
    }
}

#[cfg(test)]
mod tests;
