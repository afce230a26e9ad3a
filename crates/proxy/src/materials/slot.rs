//! The versions of one value: the one in use, one on trial, and those that answers may still bring back.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::manifest::BindingSpec;
use gateway_core::refusal::Refusal;
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;

use super::{Material, Place, prepare};

/// How many former values that nothing uses any more the scrubber still knows, and for how long after they were
/// replaced. One that something uses it knows for as long as that takes.
const FORMER_VALUES: usize = 3;
const FORMER_TIME: Duration = Duration::from_secs(15 * 60);
/// For how long the call that tries a new version may leave the others with the former one.
const TRIAL_TIME: Duration = Duration::from_secs(10);
/// A version that worked within this time is one to go back to.
const GRACE: Duration = Duration::from_secs(15 * 60);

/// What a server has said to a version.
#[derive(Debug, Default)]
pub struct Marks {
    /// When it last took it, in microseconds since the Unix epoch; zero for never.
    worked: AtomicI64,
    refused: AtomicBool,
}

impl Marks {
    /// The server took it.
    pub fn note_worked(&self, now: Timestamp) {
        self.worked.store(now.micros(), Ordering::Relaxed);
        if self.refused.load(Ordering::Relaxed) {
            self.refused.store(false, Ordering::Relaxed);
        }
    }

    pub(super) fn refuse(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    fn has_worked(&self) -> bool {
        self.worked.load(Ordering::Relaxed) != 0
    }

    fn worked_lately(&self, now: Timestamp) -> bool {
        self.has_worked() && now.since(Timestamp::from_micros(self.worked.load(Ordering::Relaxed))) <= GRACE
    }

    fn take_over(&self, other: &Self) {
        self.worked.store(other.worked.load(Ordering::Relaxed), Ordering::Relaxed);
        self.refused.store(other.refused.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// A new version in the hands of one call.
#[derive(Debug)]
struct Trial {
    material: Arc<Material>,
    since: Timestamp,
}

/// One value of one binding across its versions.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) place: Place,
    pub(super) current: Arc<Material>,
    trial: Option<Trial>,
    former: Vec<(Timestamp, Arc<SecretVersion>)>,
    /// What former materials something may still hold.
    held: Vec<(VersionId, Weak<Material>)>,
}

impl Slot {
    pub(super) const fn new(place: Place, current: Arc<Material>) -> Self {
        Self { place, current, trial: None, former: Vec::new(), held: Vec::new() }
    }

    /// Takes another version, or the same one fetched again; or leaves the caller with the present one while
    /// another call tries the new one.
    pub(super) fn take(
        &mut self,
        place: Place,
        spec: &BindingSpec,
        version: Arc<SecretVersion>,
        trial: bool,
        now: Timestamp,
    ) -> Result<Arc<Material>, Refusal> {
        self.place = place;
        let present = self.current.version();
        if present.version == version.version && same_value(&present.secret, &version.secret) {
            return self.renew(spec, version, now);
        }
        if trial
            && let Some(tried) =
                self.trial.take_if(|tried| tried.material.version().version == version.version)
        {
            return Ok(self.judge(tried, now));
        }
        if let Some(overtaken) = self.trial.take() {
            self.held
                .push((overtaken.material.version().version.clone(), Arc::downgrade(&overtaken.material)));
        }
        let former = self.former_with_current(now);
        let material = Arc::new(prepare(spec, version, &former)?);
        let safe = self.current.marks().worked_lately(now) && !self.current.marks().is_refused();
        if trial && safe {
            self.trial = Some(Trial { material: Arc::clone(&material), since: now });
        } else {
            self.replace(Arc::clone(&material), now);
        }
        Ok(material)
    }

    /// The same version out of another fetch: its marks and its trial stay.
    fn renew(
        &mut self,
        spec: &BindingSpec,
        version: Arc<SecretVersion>,
        now: Timestamp,
    ) -> Result<Arc<Material>, Refusal> {
        self.forget_former(now);
        let former: Vec<_> = self.former.iter().map(|(_, former)| Arc::clone(former)).collect();
        let material = Arc::new(prepare(spec, version, &former)?);
        material.marks().take_over(self.current.marks());
        self.hold_current();
        self.current = Arc::clone(&material);
        Ok(material)
    }

    /// What a caller gets who asks for the version that is on trial.
    fn judge(&mut self, mut tried: Trial, now: Timestamp) -> Arc<Material> {
        let marks = tried.material.marks();
        if marks.has_worked() || self.current.marks().is_refused() {
            let material = tried.material;
            self.replace(Arc::clone(&material), now);
            return material;
        }
        let given = if marks.is_refused() || now.since(tried.since) < TRIAL_TIME {
            Arc::clone(&self.current)
        } else {
            // Whoever tried it has no answer yet, or went away.
            tried.since = now;
            Arc::clone(&tried.material)
        };
        self.trial = Some(tried);
        given
    }

    fn replace(&mut self, material: Arc<Material>, now: Timestamp) {
        if !same_value(&self.current.version().secret, &material.version().secret) {
            self.former.insert(0, (now, Arc::clone(self.current.version())));
        }
        self.hold_current();
        self.current = material;
        self.forget_former(now);
    }

    fn hold_current(&mut self) {
        self.held.retain(|(_, material)| material.strong_count() > 0);
        self.held.push((self.current.version().version.clone(), Arc::downgrade(&self.current)));
    }

    fn former_with_current(&mut self, now: Timestamp) -> Vec<Arc<SecretVersion>> {
        self.forget_former(now);
        let former = self.former.iter().map(|(_, former)| former);
        std::iter::once(self.current.version()).chain(former).cloned().collect()
    }

    fn forget_former(&mut self, now: Timestamp) {
        let held = &self.held;
        let mut idle = 0_usize;
        self.former.retain(|(since, former)| {
            if is_held(held, former) {
                return true;
            }
            idle = idle.saturating_add(1);
            idle <= FORMER_VALUES && now.since(*since) <= FORMER_TIME
        });
    }

    /// Whether no former value has outlived its time; one that has is in the needles until they are made anew.
    pub(super) fn keeps_its_former_values(&self, now: Timestamp) -> bool {
        let due = |(since, former): &(Timestamp, Arc<SecretVersion>)| {
            now.since(*since) > FORMER_TIME && !is_held(&self.held, former)
        };
        !self.former.iter().any(due)
    }

    /// The version that the server refused on trial, and the one that goes on.
    pub(super) fn rolled_back(&self) -> Option<(VersionId, VersionId)> {
        let tried = self.trial.as_ref().filter(|tried| tried.material.marks().is_refused())?;
        let kept = Some(&self.current).filter(|kept| !kept.marks().is_refused())?;
        Some((tried.material.version().version.clone(), kept.version().version.clone()))
    }

    /// The versions that something besides this slot holds.
    pub(super) fn in_use(&self) -> Vec<VersionId> {
        let former = self.held.iter().filter(|(_, material)| material.strong_count() > 0);
        let tried = self.trial.as_ref().map(|tried| &tried.material);
        let present = std::iter::once(&self.current).chain(tried);
        let present = present.filter(|material| Arc::strong_count(material) > 1);
        let mut versions: Vec<VersionId> = former
            .map(|(version, _)| version.clone())
            .chain(present.map(|material| material.version().version.clone()))
            .collect();
        versions.dedup();
        versions
    }
}

fn is_held(held: &[(VersionId, Weak<Material>)], former: &SecretVersion) -> bool {
    held.iter().any(|(version, material)| *version == former.version && material.strong_count() > 0)
}

#[expect(clippy::disallowed_methods, reason = "tells a new version from a new fetch of the same value")]
fn same_value(one: &Secret, other: &Secret) -> bool {
    one.expose() == other.expose()
}
