//! Locks: time-limited emergency stops (DESIGN, section 10.8). A lock says whom or what it stops and until
//! when; while it stands, nothing that it matches begins or goes on.

mod selector;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::OperatorName;
use crate::login::Fault;
use crate::time::Timestamp;

pub use selector::{LockFacts, LockSelector};

/// The longest that a lock may stand: 30 days. What has to last longer is revoked.
pub const LONGEST: Duration = Duration::from_secs(30 * 86_400);

/// The most characters of a reason.
pub const REASON_CHARACTERS: usize = 500;

/// One lock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LockRecord {
    /// Its public id, which is never used again.
    pub id: String,
    /// What it stops.
    pub selector: LockSelector,
    /// Why, for operators alone: no caller is told, and evidence does not repeat it.
    pub reason: String,
    /// Who made it.
    pub author: OperatorName,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub until: Timestamp,
    /// When and by whom it ended.
    pub ended: Option<LockEnd>,
}

/// The end of a lock.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LockEnd {
    /// When.
    pub at: Timestamp,
    /// Who lifted it; absent where its time had run out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<OperatorName>,
}

impl LockRecord {
    /// Whether it stops anything at this time.
    pub fn stands_at(&self, now: Timestamp) -> bool {
        self.ended.is_none() && now < self.until
    }
}

/// The locks of one epoch; each stands until its own time.
#[derive(Clone, Debug, Default)]
pub struct Locks(Vec<Arc<LockRecord>>);

impl Locks {
    /// Those of the records that have not ended.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a LockRecord>) -> Self {
        Self(records.into_iter().filter(|lock| lock.ended.is_none()).cloned().map(Arc::new).collect())
    }

    /// The first lock that stops this.
    pub fn stopping(&self, facts: &LockFacts<'_>, now: Timestamp) -> Option<&Arc<LockRecord>> {
        self.0.iter().find(|lock| lock.stands_at(now) && lock.selector.matches(facts))
    }

    /// All of them, those whose time is over included.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<LockRecord>> {
        self.0.iter()
    }

    /// Whether this one is among them.
    pub fn has(&self, id: &str) -> bool {
        self.0.iter().any(|lock| lock.id == id)
    }

    /// Whether the time of one is over that nobody has marked as ended yet.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.0.iter().any(|lock| !lock.stands_at(now))
    }
}

/// Asks for locks where no call is under way: pages for people, and tokens that are issued.
pub trait LockWatch: Send + Sync + fmt::Debug {
    /// The id of a lock that stops this now.
    ///
    /// # Errors
    /// [`Fault::Unavailable`] where nobody can tell.
    fn stopping(&self, facts: &LockFacts<'_>) -> Result<Option<String>, Fault>;
}

/// For pages that no lock reaches: those of operators, who must be able to act.
#[derive(Clone, Copy, Debug)]
pub struct OutOfReach;

impl LockWatch for OutOfReach {
    fn stopping(&self, _: &LockFacts<'_>) -> Result<Option<String>, Fault> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
