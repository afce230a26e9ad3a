//! The lock that all replicas share, and the mark of the last renewal.

use std::time::Duration;

use gateway_core::ports::{StateError, Ticket, TicketKind};
use gateway_core::refusal::{Code, Refusal};

use super::Registrar;
use crate::source::provider::error::ProviderError;

/// Longer than the holder may need: asking, and storing.
const HELD_FOR: Duration = Duration::from_secs(45);
/// A registration that the provider does not know is renewed once within this time.
const RENEWAL: Duration = Duration::from_hours(1);

/// A lock that is held.
pub(super) struct Lock {
    key: String,
    owner: String,
}

fn unavailable(error: StateError) -> ProviderError {
    Refusal::new(Code::StateStale).because(error).into()
}

impl Registrar {
    /// Takes the lock, where nobody holds it.
    pub(super) async fn lock(&self, name: &str) -> Result<Option<Lock>, ProviderError> {
        let mut owner = [0_u8; 16];
        self.random.fill(&mut owner);
        let lock = Lock { key: format!("registration:{name}"), owner: hex::encode(owner) };
        let now = self.clock.now();
        let ticket = Ticket {
            kind: TicketKind::RefreshLock,
            key: lock.key.clone(),
            content: lock.owner.clone(),
            expires_at: now.plus(HELD_FOR),
        };
        let taken = self.own.tickets.insert(&ticket, now).await.map_err(unavailable)?;
        Ok(taken.then_some(lock))
    }

    /// Gives the lock back, if it is still ours: it ends by itself otherwise.
    pub(super) async fn unlock(&self, lock: Lock) {
        let now = self.clock.now();
        let over = Ticket {
            kind: TicketKind::RefreshLock,
            key: lock.key,
            content: lock.owner.clone(),
            expires_at: now,
        };
        if let Err(error) = self.own.tickets.replace(&lock.owner, &over, now).await {
            tracing::warn!(%error, "a registration's lock was not given back; it ends by itself");
        }
    }

    /// Whether the client may be replaced now: of many who ask, one hears yes.
    pub(super) async fn may_renew(&self, name: &str, disowned: &str) -> Result<bool, ProviderError> {
        let now = self.clock.now();
        let mark = Ticket {
            kind: TicketKind::RefreshLock,
            key: format!("renewal:{name}"),
            content: disowned.to_owned(),
            expires_at: now.plus(RENEWAL),
        };
        self.own.tickets.insert(&mark, now).await.map_err(unavailable)
    }

    /// The renewal met trouble that passes: it may be tried again before its time.
    pub(super) async fn forget_renewal(&self, name: &str) {
        let key = format!("renewal:{name}");
        if let Err(error) = self.own.tickets.take(TicketKind::RefreshLock, &key, self.clock.now()).await {
            tracing::warn!(%error, "a mark was left: the next renewal waits for its end");
        }
    }
}
