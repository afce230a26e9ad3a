//! The lock that all replicas share, and the mark that outlives whoever held it.
//!
//! The mark is written before the provider is asked and taken away when the new tokens are stored. One that is
//! found later says: the refresh token of this version may have been spent by somebody who did not get to
//! store what it was spent for.

use std::time::Duration;

use gateway_core::lease::VersionId;
use gateway_core::ports::{StateError, Ticket, TicketKind};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::time::Timestamp;

use super::Inner;

/// Longer than the holder may need: asking, and storing with all its tries.
pub(super) const HELD_FOR: Duration = Duration::from_secs(75);
/// How long a mark is remembered.
const MARKED_FOR: Duration = Duration::from_hours(24 * 90);

/// A lock that is held.
pub(super) struct Lock {
    grant: String,
    owner: String,
    /// When others may take it.
    pub(super) until: Timestamp,
}

fn mark_key(grant: &str) -> String {
    format!("mark:{grant}")
}

fn unavailable(error: StateError) -> Refusal {
    Refusal::new(Code::StateStale).because(error)
}

impl Inner {
    /// Takes the lock, where nobody holds it.
    pub(super) async fn lock(&self, grant: &str) -> Result<Option<Lock>, Refusal> {
        let mut owner = [0_u8; 16];
        self.parts.random.fill(&mut owner);
        let (owner, now) = (hex::encode(owner), self.parts.clock.now());
        let until = now.plus(HELD_FOR);
        let ticket = Ticket {
            kind: TicketKind::RefreshLock,
            key: grant.to_owned(),
            content: owner.clone(),
            expires_at: until,
        };
        let taken = self.parts.tickets.insert(&ticket, now).await.map_err(unavailable)?;
        Ok(taken.then(|| Lock { grant: grant.to_owned(), owner, until }))
    }

    /// Gives the lock back, if it is still ours: it ends by itself otherwise.
    pub(super) async fn unlock(&self, lock: Lock) {
        let now = self.parts.clock.now();
        let over = Ticket {
            kind: TicketKind::RefreshLock,
            key: lock.grant,
            content: lock.owner.clone(),
            expires_at: now,
        };
        if let Err(error) = self.parts.tickets.replace(&lock.owner, &over, now).await {
            tracing::warn!(%error, "a refresh lock was not given back; it ends by itself");
        }
    }

    /// Marks the version as being spent. Says whether it was marked already.
    pub(super) async fn mark(&self, grant: &str, version: &VersionId) -> Result<bool, Refusal> {
        let (tickets, now) = (&self.parts.tickets, self.parts.clock.now());
        let mark = Ticket {
            kind: TicketKind::RefreshLock,
            key: mark_key(grant),
            content: version.to_string(),
            expires_at: now.plus(MARKED_FOR),
        };
        if tickets.insert(&mark, now).await.map_err(unavailable)? {
            return Ok(false);
        }
        let key = mark_key(grant);
        let old = tickets.read(TicketKind::RefreshLock, &key, now).await.map_err(unavailable)?;
        let Some(old) = old.filter(|old| old.content != mark.content) else { return Ok(true) };
        // Of an earlier version, whose new tokens were stored: only the mark was left.
        if tickets.replace(&old.content, &mark, now).await.map_err(unavailable)? {
            return Ok(false);
        }
        Err(Refusal::new(Code::StateStale).because("somebody else marked the grant meanwhile"))
    }

    /// Takes the mark away.
    pub(super) async fn unmark(&self, grant: &str) {
        let now = self.parts.clock.now();
        if let Err(error) = self.parts.tickets.take(TicketKind::RefreshLock, &mark_key(grant), now).await {
            tracing::warn!(%error, "a refresh mark was left; the next refresh sees that it is of an older version");
        }
    }
}
