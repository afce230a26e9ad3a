//! The current snapshot with the decisions made under it, swapped as one value.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use gateway_core::actor::Actor;
use gateway_core::id::{EnvironmentName, Epoch, ServerName};
use gateway_core::identity::{TokenDigest, VerifiedIdentity};
use gateway_core::policy::Permit;
use gateway_core::refusal::Refusal;
use gateway_core::snapshot::Snapshot;
use gateway_core::time::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

const SHARDS: usize = 16;
const ENTRIES_PER_SHARD: usize = 4096;

/// One truth for a request: the snapshot and what was decided under it. Decisions die with it.
#[derive(Debug)]
pub struct World {
    /// What decides.
    pub snapshot: Arc<Snapshot>,
    decisions: Sharded<DecisionKey, Result<Permit, Refusal>>,
    actors: Sharded<(TokenDigest, EnvironmentName), Arc<Actor>>,
}

/// What a decision was about.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct DecisionKey {
    /// Whose token.
    pub digest: TokenDigest,
    /// Which environment.
    pub environment: EnvironmentName,
    /// Which server.
    pub server: ServerName,
    /// Which kind of thing: `tool`, `method`, `session`, `list`, `resume`.
    pub kind: &'static str,
    /// Its name.
    pub name: Box<str>,
}

impl World {
    /// Starts with no decisions.
    pub fn new(snapshot: Snapshot) -> Self {
        Self { snapshot: Arc::new(snapshot), decisions: Sharded::default(), actors: Sharded::default() }
    }

    /// The decision under this snapshot, made at most once for equal keys.
    ///
    /// # Errors
    /// The refusal, cached like the permit.
    pub fn decision(
        &self,
        key: DecisionKey,
        identity: &Arc<VerifiedIdentity>,
        decide: impl FnOnce() -> Result<Permit, Refusal>,
    ) -> Result<Permit, Refusal> {
        if let Some(known) = self.decisions.read(&key) {
            return known.map(|permit| permit.again(Arc::clone(identity)));
        }
        let decided = decide();
        self.decisions.write(key, decided.clone());
        decided
    }

    /// The actor behind the identity in this environment.
    pub fn actor(&self, identity: &VerifiedIdentity, environment: &EnvironmentName) -> Arc<Actor> {
        let key = (identity.digest(), environment.clone());
        if let Some(actor) = self.actors.read(&key) {
            return actor;
        }
        let actor = Arc::new(self.snapshot.actor(identity, environment));
        self.actors.write(key, Arc::clone(&actor));
        actor
    }
}

/// A bounded map in shards; a full shard starts anew, for everything in it can be decided again.
#[derive(Debug)]
struct Sharded<K, V> {
    hasher: RandomState,
    shards: [Mutex<HashMap<K, V>>; SHARDS],
}

impl<K, V> Default for Sharded<K, V> {
    fn default() -> Self {
        Self { hasher: RandomState::new(), shards: std::array::from_fn(|_| Mutex::new(HashMap::new())) }
    }
}

impl<K: Hash + Eq, V: Clone> Sharded<K, V> {
    fn shard(&self, key: &K) -> Option<&Mutex<HashMap<K, V>>> {
        let hash = usize::try_from(self.hasher.hash_one(key) >> 60).unwrap_or(0);
        self.shards.get(hash % SHARDS)
    }

    fn read(&self, key: &K) -> Option<V> {
        self.shard(key)?.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn write(&self, key: K, value: V) {
        let Some(shard) = self.shard(&key) else { return };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= ENTRIES_PER_SHARD {
            shard.clear();
        }
        shard.insert(key, value);
    }
}

/// Holds the current world and the time it was last proven to be current.
#[derive(Debug)]
pub struct WorldCell {
    world: ArcSwap<World>,
    confirmed_at: AtomicI64,
    /// The same by a clock that nobody can set, in microseconds since `began`.
    seen_at: AtomicU64,
    began: Instant,
    moved: Notify,
}

impl WorldCell {
    /// Starts with a world that was just loaded.
    pub fn new(snapshot: Snapshot, now: Timestamp) -> Self {
        Self {
            world: ArcSwap::from_pointee(World::new(snapshot)),
            confirmed_at: AtomicI64::new(now.micros()),
            seen_at: AtomicU64::new(0),
            began: Instant::now(),
            moved: Notify::new(),
        }
    }

    /// The current world, cheaply; a request takes it once and keeps it.
    pub fn load(&self) -> Guard<Arc<World>> {
        self.world.load()
    }

    /// The current world to keep.
    pub fn current(&self) -> Arc<World> {
        self.world.load_full()
    }

    /// The epoch that decides now.
    pub fn epoch(&self) -> Epoch {
        self.world.load().snapshot.epoch
    }

    /// Installs a newer snapshot; an older one is dropped, so that nothing revoked comes back. How current this
    /// is says [`confirm`](Self::confirm) alone.
    pub fn install(&self, snapshot: Snapshot) {
        let fresh = Arc::new(World::new(snapshot));
        self.world.rcu(|current| {
            if current.snapshot.epoch < fresh.snapshot.epoch {
                Arc::clone(&fresh)
            } else {
                Arc::clone(current)
            }
        });
        self.wake();
    }

    /// Waits until this is true of the world that decides then.
    pub async fn until(&self, holds: impl Fn(&World) -> bool) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            // From here on no change is missed.
            moved.as_mut().enable();
            if holds(&self.load()) {
                return;
            }
            moved.await;
        }
    }

    /// Lets everybody who waits look again.
    pub fn wake(&self) {
        self.moved.notify_waiters();
    }

    /// Notes that the state was at the epoch that decides here, as of one moment by the wall's clock and by the
    /// one that only runs. The moment is that before the look: whoever slept since is not current.
    pub fn confirm(&self, now: Timestamp, seen: Instant) {
        self.confirmed_at.store(now.micros(), Ordering::Release);
        let elapsed = seen.saturating_duration_since(self.began).as_micros();
        self.seen_at.fetch_max(u64::try_from(elapsed).unwrap_or(u64::MAX), Ordering::AcqRel);
    }

    /// How long ago the state was last seen to be current, by both clocks: the wall's may be set back, and
    /// the other one stands still while the machine sleeps.
    pub fn age(&self, now: Timestamp) -> Duration {
        now.since(Timestamp::from_micros(self.confirmed_at.load(Ordering::Acquire))).max(self.unseen())
    }

    /// Whether the state was seen to be current within `bound`.
    pub fn is_fresh(&self, now: Timestamp, bound: Duration) -> bool {
        self.age(now) <= bound
    }

    /// How long ago the state was seen, however the wall's clock was set since.
    fn unseen(&self) -> Duration {
        let seen = Duration::from_micros(self.seen_at.load(Ordering::Acquire));
        self.began.elapsed().saturating_sub(seen)
    }
}
