//! One lease, and the place where it is held.

use std::sync::Arc;
use std::time::Duration;

use gateway_core::audit::Event;
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::ports::StoreLease;
use gateway_core::revocation::{Return, ReturnSubject, Way};
use gateway_core::time::Timestamp;

use super::{Slot, YOUNG, locked};

/// A lease that was made.
pub(in crate::source) struct Kept {
    pub(in crate::source) id: String,
    pub(in crate::source) material: Arc<SecretVersion>,
    /// What was granted at first.
    pub(in crate::source) duration: Duration,
    pub(super) renewable: bool,
    made: Timestamp,
    ends: Timestamp,
    /// From here on it is renewed.
    due: Timestamp,
}

/// What a slot holds.
#[derive(Default)]
pub(super) struct Held {
    current: Option<Arc<Kept>>,
    /// Replaced, and still good for the calls that began with it.
    draining: Vec<Arc<Kept>>,
    /// Set once its binding or agent has ended.
    over: bool,
}

impl Kept {
    pub(super) fn new(lease: StoreLease, now: Timestamp) -> Self {
        let (made, ends, due) = (now, now.plus(lease.duration), now.plus(lease.duration / 3 * 2));
        let StoreLease { id, material, duration, renewable, .. } = lease;
        Self { id, material: Arc::new(material), duration, renewable, made, ends, due }
    }

    /// The same secret, for longer.
    pub(super) fn renewed(&self, now: Timestamp, granted: Duration) -> Self {
        let former = &self.material;
        let ends = now.plus(granted);
        let material = SecretVersion {
            secret: former.secret.duplicate(),
            version: former.version.clone(),
            created_at: former.created_at,
            expires_at: Some(ends),
            store_request_id: former.store_request_id.clone(),
        };
        Self {
            id: self.id.clone(),
            material: Arc::new(material),
            duration: self.duration,
            renewable: self.renewable,
            made: self.made,
            ends,
            due: now.plus(granted / 3 * 2),
        }
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.due <= now
    }

    pub(super) fn holds_at(&self, now: Timestamp) -> bool {
        now < self.ends
    }
}

impl Slot {
    /// The lease that serves, if it holds.
    pub(super) fn usable(&self, now: Timestamp) -> Option<Arc<Kept>> {
        let held = locked(&self.held);
        held.current.as_ref().filter(|kept| !held.over && kept.holds_at(now)).cloned()
    }

    pub(super) fn is_over(&self) -> bool {
        locked(&self.held).over
    }

    /// Lets the new lease serve; `false` where the slot is over, and the lease has to go back.
    pub(super) fn keep(&self, kept: &Arc<Kept>, now: Timestamp) -> bool {
        let mut held = locked(&self.held);
        if held.over {
            return false;
        }
        let former = held.current.replace(Arc::clone(kept));
        held.draining.extend(former.filter(|former| former.holds_at(now)));
        true
    }

    /// Puts the renewed lease in its own place; `false` where the slot is over or holds another one.
    pub(super) fn keep_renewed(&self, renewed: &Arc<Kept>) -> bool {
        let mut held = locked(&self.held);
        let same = held.current.as_ref().is_some_and(|kept| kept.id == renewed.id);
        if held.over || !same {
            return false;
        }
        held.current = Some(Arc::clone(renewed));
        true
    }

    /// Lets the lease of this version serve no more, unless it is too young; says whether it did.
    pub(super) fn retire(&self, version: &VersionId, now: Timestamp) -> bool {
        let mut held = locked(&self.held);
        let known = held.current.as_ref().is_some_and(|kept| kept.material.version == *version);
        if !known || held.current.as_ref().is_some_and(|kept| now.since(kept.made) < YOUNG) {
            return false;
        }
        let former = held.current.take();
        held.draining.extend(former);
        true
    }

    /// Hands nothing out from now on.
    pub(super) fn close(&self) {
        locked(&self.held).over = true;
    }

    /// Takes every lease out that still holds.
    pub(super) fn take(&self, now: Timestamp) -> Vec<Arc<Kept>> {
        let mut held = locked(&self.held);
        let mut all = std::mem::take(&mut held.draining);
        all.extend(held.current.take());
        all.retain(|kept| kept.holds_at(now));
        all
    }

    /// Drops leases past their end; says whether any is left.
    pub(super) fn forget_expired(&self, now: Timestamp) -> bool {
        let mut held = locked(&self.held);
        held.draining.retain(|kept| kept.holds_at(now));
        held.current = held.current.take().filter(|kept| kept.holds_at(now));
        held.current.is_some() || !held.draining.is_empty()
    }

    /// What is filed of a lease that goes back.
    pub(super) fn owed(&self, kept: &Kept, now: Timestamp) -> Return {
        let subject = ReturnSubject {
            environment: self.key.environment.clone(),
            binding: Some(self.key.binding.clone()),
            agent: self.key.agent.clone(),
            grant: None,
        };
        let (kind, party) = self.subject.kind();
        let one = Return::new(subject, kind, party, Way::Nobody, now);
        let one = Return { expires_at: Some(kept.ends), ..one };
        one.identified("lease", kept.material.version.as_str())
    }

    /// What is filed of a lease that serves; nothing where it takes more than a record to take it back.
    pub(super) fn standing(&self, kept: &Kept, now: Timestamp) -> Option<Return> {
        let way = self.lessor.known_way(kept)?;
        Some(Return { way, ..self.owed(kept, now) }.standing(kept.ends))
    }

    /// Adds what the lease is for.
    pub(super) fn describe(&self, mut event: Event) -> Event {
        event.environment = Some(self.key.environment.clone());
        event.server = Some(self.server.clone());
        event.binding = Some(self.key.binding.clone());
        event.source = Some(self.subject.source.to_owned());
        event.reference.clone_from(&self.subject.reference);
        event.provider.clone_from(&self.subject.provider);
        event.scopes.clone_from(&self.subject.scopes);
        event
    }
}
