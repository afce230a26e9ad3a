//! Tokens that were verified, by digest: what makes the second call of a token cheap.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use gateway_core::identity::{TokenDigest, VerifiedIdentity};
use gateway_core::time::Timestamp;

const SHARDS: usize = 16;
/// Tokens kept in one shard.
const SHARD_LIMIT: usize = 2048;
/// A token is verified anew after this time even if it still holds, so that a withdrawn key is missed.
const KEEP: Duration = Duration::from_secs(300);

/// The bounded cache. Reading takes one shared lock of one shard.
#[derive(Debug, Default)]
pub(super) struct VerifiedCache {
    shards: [RwLock<HashMap<TokenDigest, Kept>>; SHARDS],
    /// Moves when everything is forgotten, so that what was under way is forgotten too.
    epoch: AtomicU64,
}

#[derive(Debug)]
struct Kept {
    identity: Arc<VerifiedIdentity>,
    until: Timestamp,
    stamp: Stamp,
}

/// What a verification was based on. It no longer counts once either has moved.
#[derive(Debug)]
pub(super) struct Stamp {
    epoch: u64,
    withdrawals: Arc<AtomicU64>,
    at: u64,
}

impl Stamp {
    fn holds(&self, epoch: u64) -> bool {
        self.epoch == epoch && self.withdrawals.load(Ordering::Acquire) == self.at
    }
}

impl VerifiedCache {
    /// Notes where things stand before a verification begins.
    pub(super) fn stamp(&self, withdrawals: &Arc<AtomicU64>) -> Stamp {
        Stamp {
            epoch: self.epoch.load(Ordering::Acquire),
            withdrawals: Arc::clone(withdrawals),
            at: withdrawals.load(Ordering::Acquire),
        }
    }

    /// The identity, where the token was verified lately and still holds.
    pub(super) fn find(&self, digest: TokenDigest, now: Timestamp) -> Option<Arc<VerifiedIdentity>> {
        let shard = self.shard(digest)?.read().unwrap_or_else(PoisonError::into_inner);
        let kept = shard.get(&digest)?;
        let holds = now < kept.until && kept.stamp.holds(self.epoch.load(Ordering::Acquire));
        holds.then(|| Arc::clone(&kept.identity))
    }

    /// Keeps what was verified at `now`.
    pub(super) fn keep(&self, identity: &Arc<VerifiedIdentity>, stamp: Stamp, now: Timestamp) {
        let digest = identity.digest();
        let until = identity.claims().expires_at.min(now.plus(KEEP));
        let epoch = self.epoch.load(Ordering::Acquire);
        let Some(shard) = self.shard(digest) else { return };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= SHARD_LIMIT {
            shard.retain(|_, kept| now < kept.until && kept.stamp.holds(epoch));
        }
        if shard.len() >= SHARD_LIMIT {
            // Full of tokens that hold: any one makes place, and is verified anew when it comes back.
            if let Some(any) = shard.keys().next().copied() {
                shard.remove(&any);
            }
        }
        shard.insert(digest, Kept { identity: Arc::clone(identity), until, stamp });
    }

    /// Forgets everything, verifications under way included.
    pub(super) fn forget_all(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        for shard in &self.shards {
            shard.write().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    fn shard(&self, digest: TokenDigest) -> Option<&RwLock<HashMap<TokenDigest, Kept>>> {
        let [first, ..] = *digest.bytes();
        self.shards.get(usize::from(first) % SHARDS)
    }
}
