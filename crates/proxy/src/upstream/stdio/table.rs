//! Which processes there are, and how the last ones of a binding ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway_core::manifest::ContentHash;
use tokio::time::Instant;

use super::child::Child;
use crate::live::BindingKey;

/// The wait after the first failure; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A process that lived this long came up; one that ended earlier by itself has failed.
pub(super) const SETTLED: Duration = Duration::from_secs(10);
/// How long a server counts as one of an older generation before it is asked again.
const LEGACY_FOR: Duration = Duration::from_secs(300);

/// Whose processes under which binding: one caller's crashes make no other wait.
pub(super) type Holder = (String, BindingKey);

/// An actor's process of 2026-07-28 under one binding.
pub(super) type Slot = Arc<tokio::sync::Mutex<Option<Arc<Child>>>>;

#[derive(Debug, Default)]
pub(super) struct Table {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    all: Vec<Arc<Child>>,
    sessions: HashMap<String, Arc<Child>>,
    slots: HashMap<Holder, Slot>,
    failures: HashMap<Holder, Failures>,
    legacy: HashMap<ContentHash, Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    until: Instant,
}

impl Table {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the process in; `false` where there are too many.
    pub(super) fn add(&self, child: &Arc<Child>, limit: usize) -> bool {
        let mut inner = self.inner();
        inner.all.retain(|known| !known.has_ended());
        let fits = inner.all.len() < limit;
        if fits {
            inner.all.push(Arc::clone(child));
        }
        fits
    }

    pub(super) fn all(&self, which: impl Fn(&Child) -> bool) -> Vec<Arc<Child>> {
        let inner = self.inner();
        inner.all.iter().filter(|child| !child.has_ended() && which(child)).cloned().collect()
    }

    pub(super) fn session(&self, id: &str) -> Option<Arc<Child>> {
        self.inner().sessions.get(id).cloned()
    }

    pub(super) fn open_session(&self, id: String, child: Arc<Child>) {
        self.inner().sessions.insert(id, child);
    }

    pub(super) fn forget_session(&self, id: &str) -> Option<Arc<Child>> {
        self.inner().sessions.remove(id)
    }

    pub(super) fn slot(&self, holder: Holder) -> Slot {
        Arc::clone(self.inner().slots.entry(holder).or_default())
    }

    /// How long the holder's next process must wait.
    pub(super) fn backoff(&self, key: &Holder, now: Instant) -> Option<Duration> {
        let until = self.inner().failures.get(key)?.until;
        let wait = until.saturating_duration_since(now);
        (!wait.is_zero()).then_some(wait)
    }

    pub(super) fn failed(&self, key: &Holder, now: Instant) {
        let mut inner = self.inner();
        let count = inner.failures.get(key).map_or(0, |known| known.count);
        let wait = FIRST_WAIT.saturating_mul(1 << count.min(10)).min(LONGEST_WAIT);
        let failures = Failures { count: count.saturating_add(1), until: now + wait };
        inner.failures.insert(key.clone(), failures);
    }

    pub(super) fn is_legacy(&self, route: ContentHash) -> bool {
        self.inner().legacy.get(&route).is_some_and(|since| since.elapsed() < LEGACY_FOR)
    }

    pub(super) fn note_legacy(&self, route: ContentHash) {
        self.inner().legacy.insert(route, Instant::now());
    }

    /// Forgets what is gone.
    pub(super) fn sweep(&self, now: Instant) {
        let mut inner = self.inner();
        inner.all.retain(|child| !child.has_ended());
        let Inner { all, failures, .. } = &mut *inner;
        for child in all.iter().filter(|child| now.saturating_duration_since(child.started) > SETTLED) {
            failures.remove(&child.holder());
        }
        // A replaced one is known until its session has gone on to the next.
        inner.sessions.retain(|_, child| !child.has_ended() || child.is_draining());
        // A slot that somebody holds is being filled just now.
        inner.slots.retain(|_, slot| {
            slot.try_lock().map_or(true, |held| held.as_ref().is_some_and(|child| !child.has_ended()))
        });
        inner.legacy.retain(|_, since| now.saturating_duration_since(*since) < LEGACY_FOR);
        inner.failures.retain(|_, known| now < known.until + LONGEST_WAIT);
    }
}

#[cfg(test)]
mod tests {
    use gateway_core::id::{BindingName, EnvironmentName};

    use super::*;

    #[test]
    fn a_binding_whose_processes_fail_waits_longer_each_time_and_not_for_ever() {
        let binding = (EnvironmentName::parse("dev").unwrap(), BindingName::parse("b").unwrap());
        let key = ("agent".to_owned(), binding.clone());
        let table = Table::default();
        let mut now = Instant::now();
        assert_eq!(table.backoff(&key, now), None);
        let mut last = Duration::ZERO;
        for _ in 0..12 {
            table.failed(&key, now);
            let wait = table.backoff(&key, now).unwrap();
            assert!(wait >= last && wait <= LONGEST_WAIT, "{wait:?}");
            last = wait;
            now += wait;
            assert_eq!(table.backoff(&key, now), None);
        }
        assert_eq!(last, LONGEST_WAIT);
        table.failed(&key, now);
        assert_eq!(table.backoff(&("another".to_owned(), binding), now), None);
        now += LONGEST_WAIT * 3;
        table.sweep(now);
        table.failed(&key, now);
        assert_eq!(table.backoff(&key, now), Some(FIRST_WAIT));
    }
}
