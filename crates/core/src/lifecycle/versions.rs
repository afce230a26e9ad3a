//! How the versions of a binding's secret move: staged → probing → active → draining → retired, or refused.
//!
//! Another version of the same place needs no approval (DESIGN, 10.6), so all of this is the gateway's own
//! doing, with its evidence.

use super::draft::Draft;
use super::rule::{self, Finding};
use crate::audit::{Decision, Event, EventKind};
use crate::id::OperatorName;
use crate::lease::VersionId;
use crate::manifest::{BindingSpec, ObjectKey, Spec};
use crate::reference::SecretReference;
use crate::rotation::{Reminded, VersionRecord, VersionState};
use crate::state::{Change, Lifecycle, Operation, RevisionRecord, State};
use crate::time::Timestamp;

/// How many retired versions of a binding are kept for looking at.
const RETIRED_KEPT: usize = 10;

/// A version as the store gave it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeenVersion {
    /// The store's name for it.
    pub version: VersionId,
    /// When the store made it, where it says so.
    pub created_at: Option<Timestamp>,
}

/// Moves of the versions of one active binding, in the making.
pub struct VersionMoves {
    draft: Draft,
    record: RevisionRecord,
    spec: BindingSpec,
    place: SecretReference,
}

impl VersionMoves {
    /// For the binding of this key.
    ///
    /// # Errors
    /// `object.state` where no binding of the name decides, or where it names no secret.
    pub fn of(
        state: &State,
        key: &ObjectKey,
        operator: Option<&OperatorName>,
        now: Timestamp,
    ) -> Result<Self, Vec<Finding>> {
        let gone = || vec![Finding::of(&rule::OBJECT_STATE, key, "there is no active binding with a secret")];
        let record = state.active(key).ok_or_else(gone)?;
        let Spec::Binding(spec) = &record.spec else { return Err(gone()) };
        let place = spec.secret.as_ref().ok_or_else(gone)?.without_version();
        let draft = Draft::new(state, operator, now);
        Ok(Self { draft, record: record.clone(), spec: spec.clone(), place })
    }

    /// The binding as it stands.
    pub const fn spec(&self) -> &BindingSpec {
        &self.spec
    }

    /// What is known of a version.
    pub fn known(&self, version: &VersionId) -> Option<&VersionRecord> {
        self.versions().iter().find(|known| known.is(&self.place, version))
    }

    /// The version that calls use.
    pub fn active(&self) -> Option<&VersionRecord> {
        self.versions().iter().find(|known| known.state == VersionState::Active)
    }

    fn versions(&self) -> &[VersionRecord] {
        self.draft.state.versions_of(&self.spec.environment, &self.spec.name)
    }

    fn put(&mut self, record: VersionRecord) -> Result<(), Vec<Finding>> {
        self.draft.step(Operation::PutVersion(Box::new(record)))
    }

    fn fresh(&self, seen: &SeenVersion, state: VersionState, reason: Option<&str>) -> VersionRecord {
        VersionRecord {
            environment: self.spec.environment.clone(),
            binding: self.spec.name.clone(),
            place: self.place.clone(),
            version: seen.version.clone(),
            state,
            created_at: seen.created_at,
            changed_at: self.draft.now,
            reason: reason.map(ToOwned::to_owned),
            reminded: Reminded::Nothing,
        }
    }

    /// Leaves evidence about a version.
    fn tell(&mut self, kind: EventKind, version: &VersionId, reason: Option<&str>) {
        let mut event: Event = self.draft.event(kind, &self.record);
        event.reference = Some(self.place.clone());
        event.secret_version = Some(version.clone());
        event.reason = reason.map(ToOwned::to_owned);
        event.decision = Some(if reason.is_some() { Decision::Deny } else { Decision::Allow });
        self.draft.note(event);
    }

    /// Whatever else was on its way to become active is overtaken.
    fn overtake(&mut self, version: &VersionId) -> Result<(), Vec<Finding>> {
        let waiting = |known: &&VersionRecord| {
            matches!(known.state, VersionState::Staged | VersionState::Probing)
                && !known.is(&self.place, version)
        };
        let waiting: Vec<VersionRecord> = self.versions().iter().filter(waiting).cloned().collect();
        for known in waiting {
            let now = self.draft.now;
            self.put(VersionRecord { state: VersionState::Retired, changed_at: now, ..known })?;
        }
        Ok(())
    }

    /// A newer version was seen in the store, or could not be tried for this reason.
    ///
    /// # Errors
    /// `state.step`.
    pub fn stage(&mut self, seen: &SeenVersion, reason: Option<&str>) -> Result<(), Vec<Finding>> {
        self.overtake(&seen.version)?;
        let first = self
            .known(&seen.version)
            .is_none_or(|known| !matches!(known.state, VersionState::Staged | VersionState::Probing));
        let record = self.fresh(seen, VersionState::Staged, reason);
        self.put(record)?;
        if first {
            self.tell(EventKind::VersionStaged, &seen.version, None);
        }
        Ok(())
    }

    /// It is being tried.
    ///
    /// # Errors
    /// `state.step`.
    pub fn probing(&mut self, seen: &SeenVersion) -> Result<(), Vec<Finding>> {
        let record = self.fresh(seen, VersionState::Probing, None);
        self.put(record)
    }

    /// Calls use it from now on; the one before drains. Silent where `evidence` is absent, because a louder
    /// event tells it.
    ///
    /// # Errors
    /// `state.step`.
    pub fn activate(&mut self, seen: &SeenVersion, evidence: Option<EventKind>) -> Result<(), Vec<Finding>> {
        self.overtake(&seen.version)?;
        if let Some(former) = self.active().filter(|known| !known.is(&self.place, &seen.version)).cloned() {
            let now = self.draft.now;
            self.put(VersionRecord { state: VersionState::Draining, changed_at: now, ..former })?;
        }
        let record = self.fresh(seen, VersionState::Active, None);
        self.put(record)?;
        if let Some(kind) = evidence {
            self.tell(kind, &seen.version, None);
        }
        Ok(())
    }

    /// The server did not take it; the active one goes on.
    ///
    /// # Errors
    /// `state.step`.
    pub fn refuse(&mut self, seen: &SeenVersion, reason: &str) -> Result<(), Vec<Finding>> {
        let record = self.fresh(seen, VersionState::Refused, Some(reason));
        self.put(record)?;
        self.tell(EventKind::RotationRolledBack, &seen.version, Some(reason));
        Ok(())
    }

    /// People are reminded, once for each.
    ///
    /// # Errors
    /// `state.step`.
    pub fn remind(&mut self, of: Reminded) -> Result<(), Vec<Finding>> {
        let Some(active) = self.active().cloned() else { return Ok(()) };
        let version = active.version.clone();
        self.put(VersionRecord { reminded: of, ..active })?;
        let kind = if of == Reminded::Overdue { EventKind::RotationOverdue } else { EventKind::RotationDue };
        self.tell(kind, &version, None);
        Ok(())
    }

    /// The binding is switched off, because its secret is older than it may be.
    ///
    /// # Errors
    /// `state.step`.
    pub fn disable(&mut self) -> Result<(), Vec<Finding>> {
        let (key, revision) = (self.record.key.clone(), self.record.revision);
        self.draft.status(&key, revision, Lifecycle::Disabled, Some(EventKind::ObjectStatus))
    }

    /// What to commit; absent where nothing moves.
    pub fn finish(self) -> Option<Change> {
        (!self.draft.is_empty()).then(|| self.draft.finish())
    }
}

/// Marks draining versions that nothing uses any more as retired, and forgets the oldest retired ones.
///
/// # Errors
/// `state.step`.
pub fn retire(
    state: &State,
    spent: &[VersionRecord],
    now: Timestamp,
) -> Result<Option<Change>, Vec<Finding>> {
    let mut draft = Draft::new(state, None, now);
    for known in spent {
        let record = VersionRecord { state: VersionState::Retired, changed_at: now, ..known.clone() };
        draft.step(Operation::PutVersion(Box::new(record)))?;
        let mut event = Event::new(EventKind::VersionRetired, now);
        event.environment = Some(known.environment.clone());
        event.reference = Some(known.place.clone());
        event.secret_version = Some(known.version.clone());
        event.object = Some(binding_key(known));
        draft.note(event);
        for old in superfluous(&draft.state, known) {
            draft.step(Operation::DropVersion {
                environment: old.environment,
                binding: old.binding,
                place: old.place,
                version: old.version,
            })?;
        }
    }
    Ok((!draft.is_empty()).then(|| draft.finish()))
}

/// The key of the binding that a version belongs to.
pub fn binding_key(version: &VersionRecord) -> ObjectKey {
    ObjectKey {
        kind: crate::manifest::Kind::Binding,
        environment: Some(version.environment.clone()),
        name: version.binding.to_string(),
    }
}

fn superfluous(state: &State, of: &VersionRecord) -> Vec<VersionRecord> {
    let versions = state.versions_of(&of.environment, &of.binding);
    let mut retired: Vec<VersionRecord> =
        versions.iter().filter(|known| known.state == VersionState::Retired).cloned().collect();
    retired.sort_by_key(|known| std::cmp::Reverse(known.changed_at));
    retired.into_iter().skip(RETIRED_KEPT).collect()
}
