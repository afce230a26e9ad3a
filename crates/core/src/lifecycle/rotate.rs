//! Rotation: another version of the same place needs no approval, another place does (DESIGN, 10.6).

use super::Context;
use super::apply::{forbidden, replace};
use super::draft::{Draft, NewRevision};
use super::fields::{Effect, effect};
use super::repin::pins_for;
use super::rule::{self, Finding};
use super::signatures::{Requirement, may_touch, requirements};
use super::validate::validate;
use super::world::pending;
use crate::audit::EventKind;
use crate::id::Revision;
use crate::manifest::{BindingSpec, ObjectKey, Spec};
use crate::operator::Role;
use crate::reference::SecretReference;
use crate::state::{Change, Lifecycle};

/// A rotation, decided but not yet probed.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// What to commit, once the new credential is known to work.
    pub change: Change,
    /// The binding as it will be.
    pub spec: BindingSpec,
    /// How it takes effect.
    pub step: RotationStep,
}

/// How a rotation takes effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RotationStep {
    /// The reference stays; the store holds a new value behind it.
    Refreshed(Revision),
    /// The new reference decides at once.
    Switched(Revision),
    /// The new reference waits for these signatures. It must not be fetched before.
    Waits(Revision, Vec<Requirement>),
}

/// Decides a rotation. Without a reference, or with the present one, the value is taken anew.
///
/// # Errors
/// Why the reference cannot be used, or the operator may not.
pub fn rotate(
    context: &Context<'_>,
    key: &ObjectKey,
    reference: Option<&SecretReference>,
) -> Result<Rotation, Vec<Finding>> {
    let standing = context.state.active(key);
    let Some((record, Spec::Binding(old))) = standing.map(|record| (record, &record.spec)) else {
        return Err(vec![Finding::of(&rule::OBJECT_STATE, key, "there is no active binding to rotate")]);
    };
    if !may_touch(context.operator, Role::Editor, &record.spec) {
        return Err(vec![forbidden(key)]);
    }
    let Some(present) = &old.secret else {
        return Err(vec![Finding::of(&rule::OBJECT_STATE, key, "the binding has no credential")]);
    };
    let mut draft = Draft::new(context.state, Some(&context.operator.name), context.now);
    let new = reference.unwrap_or(present);
    let spec = BindingSpec { secret: Some(new.clone()), ..old.clone() };
    let declared = Spec::Binding(spec.clone());
    let findings = validate(context, &declared);
    if !findings.is_empty() {
        return Err(findings);
    }
    if new == present {
        let event = draft.event(EventKind::BindingRotated, record);
        draft.note(event);
        let step = RotationStep::Refreshed(record.revision);
        return Ok(Rotation { change: draft.finish(), spec, step });
    }
    if let Some(waiting) = pending(&draft.state, key).map(|waiting| waiting.revision) {
        draft.status(key, waiting, Lifecycle::Withdrawn, Some(EventKind::ObjectStatus))?;
    }
    let same_place = effect(Some(&record.spec), &declared) == Effect::Tightening;
    let needed = if same_place { Vec::new() } else { requirements(&draft.state, context.stores, &declared) };
    let step = if needed.is_empty() {
        let approvals = if same_place { record.approvals.clone() } else { Vec::new() };
        let revision =
            replace(&mut draft, &declared, approvals, record.pins.clone(), EventKind::BindingRotated)?;
        RotationStep::Switched(revision)
    } else {
        let revision = draft.insert(NewRevision {
            spec: &declared,
            status: Lifecycle::Pending,
            author: &context.operator.name,
            pins: pins_for(context.state, &spec),
            approvals: Vec::new(),
            evidence: EventKind::ObjectWritten,
        })?;
        RotationStep::Waits(revision, needed)
    };
    Ok(Rotation { change: draft.finish(), spec, step })
}
