//! Signing a pending revision.

use serde::Serialize;

use super::Context;
use super::apply::{forbidden, supersede};
use super::draft::Draft;
use super::fields::effect;
use super::repin::repin;
use super::rule::{self, Finding};
use super::signatures::{Requirement, may_sign, may_touch, missing, requirements};
use super::validate::validate;
use super::world::{policy_key, provider_key, server_key};
use crate::audit::EventKind;
use crate::id::Revision;
use crate::manifest::{ObjectKey, Spec};
use crate::operator::Role;
use crate::state::{Approval, Capacity, Change, Lifecycle, RevisionRecord, State};
use crate::stores::Stores;

/// A signature, decided.
#[derive(Clone, Debug)]
pub struct Signed {
    /// What to commit.
    pub change: Change,
    /// The signed revision.
    pub revision: Revision,
    /// Where it stands now.
    pub status: Lifecycle,
    /// In which capacities the signature counts.
    pub capacities: Vec<Capacity>,
    /// The signatures still missing.
    pub missing: Vec<Requirement>,
    /// Bindings that wait for approval because of it.
    pub repinned: Vec<PendingBinding>,
}

/// A pending revision that an approval brought about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PendingBinding {
    /// The binding.
    #[serde(serialize_with = "super::key_text")]
    pub object: ObjectKey,
    /// Its pending revision.
    pub revision: Revision,
}

/// The signatures that a pending revision still waits for.
pub fn still_missing(state: &State, stores: &Stores, record: &RevisionRecord) -> Vec<Requirement> {
    if record.status != Lifecycle::Pending {
        return Vec::new();
    }
    missing(&requirements(state, stores, &record.spec), &record.approvals)
}

/// Signs a pending revision; with the last signature it takes its place.
///
/// # Errors
/// `object.unknown`, also where the operator has no role for it; `approval.own_work`, `approval.already`,
/// `approval.not_pending`, `approval.dependency`, `operator.forbidden`, or what has become wrong with the content
/// since it was written.
pub fn approve(context: &Context<'_>, key: &ObjectKey, revision: Revision) -> Result<Signed, Vec<Finding>> {
    let state = context.state;
    let Some(record) = state.exact(key, revision).filter(|record| concerns(context, record)) else {
        return Err(vec![Finding::of(&rule::OBJECT_UNKNOWN, key, "no such revision")]);
    };
    refuse_unsuitable(context, record)?;
    let open = still_missing(state, context.stores, record);
    let capacities = signable(context, record, &open);
    if capacities.is_empty() {
        return Err(vec![forbidden(key)]);
    }
    let mut draft = Draft::new(state, Some(&context.operator.name), context.now);
    let approver = context.operator.name.clone();
    let approval = Approval { approver, capacities: capacities.clone(), at: context.now };
    draft.sign(key, revision, approval)?;
    let signed = draft.state.exact(key, revision).cloned().unwrap_or_else(|| record.clone());
    let missing = still_missing(&draft.state, context.stores, &signed);
    if missing.is_empty() {
        complete(&mut draft, context, &signed)?;
    }
    let status = draft.state.exact(key, revision).map_or(record.status, |record| record.status);
    let repinned = newly_pending(state, &draft.state);
    Ok(Signed { change: draft.finish(), revision, status, capacities, missing, repinned })
}

/// Whether the operator sees the object, or could sign it for the path's or the server's team. To everybody else it
/// does not exist, in whatever state it is.
fn concerns(context: &Context<'_>, record: &RevisionRecord) -> bool {
    let needed = requirements(context.state, context.stores, &record.spec);
    let mut capacities = needed.iter().flat_map(|requirement| &requirement.any_of);
    may_touch(context.operator, Role::Viewer, &record.spec)
        || capacities.any(|capacity| may_sign(context.operator, &record.spec, capacity))
}

/// What the last signature would do: for looking at a pending revision before anybody signs it. Never to be committed.
///
/// # Errors
/// As [`approve`], but for who signs.
pub fn prospect(context: &Context<'_>, key: &ObjectKey, revision: Revision) -> Result<Change, Vec<Finding>> {
    let Some(record) = context.state.exact(key, revision) else {
        return Err(vec![Finding::of(&rule::OBJECT_UNKNOWN, key, "no such revision")]);
    };
    if record.status != Lifecycle::Pending {
        let message = format!("revision {revision} is {}, not pending", record.status);
        return Err(vec![Finding::of(&rule::APPROVAL_NOT_PENDING, key, message)]);
    }
    let mut draft = Draft::new(context.state, None, context.now);
    complete(&mut draft, context, record)?;
    Ok(draft.finish())
}

/// Whether the operator's signature under the pending revision would count now.
pub fn signs(context: &Context<'_>, record: &RevisionRecord) -> bool {
    let open = still_missing(context.state, context.stores, record);
    refuse_unsuitable(context, record).is_ok() && !signable(context, record, &open).is_empty()
}

fn refuse_unsuitable(context: &Context<'_>, record: &RevisionRecord) -> Result<(), Vec<Finding>> {
    let refuse = |rule, message: &str| Err(vec![Finding::of(rule, &record.key, message)]);
    if record.status != Lifecycle::Pending {
        let message = format!("revision {} is {}, not pending", record.revision, record.status);
        return refuse(&rule::APPROVAL_NOT_PENDING, &message);
    }
    if record.author == context.operator.name {
        return refuse(&rule::APPROVAL_OWN_WORK, "you wrote this revision");
    }
    if record.approvals.iter().any(|approval| approval.approver == context.operator.name) {
        return refuse(&rule::APPROVAL_ALREADY, "you have already signed this revision");
    }
    Ok(())
}

/// The open capacities that the operator can fill. Where a rule was lowered meanwhile and nothing is
/// open any more, one signature of an approver still is what lets the revision through.
fn signable(context: &Context<'_>, record: &RevisionRecord, open: &[Requirement]) -> Vec<Capacity> {
    let mut wanted: Vec<Capacity> =
        open.iter().flat_map(|requirement| requirement.any_of.iter().cloned()).collect();
    if wanted.is_empty() {
        wanted.push(Capacity::Environment);
    }
    wanted.retain(|capacity| may_sign(context.operator, &record.spec, capacity));
    wanted
}

pub(super) fn complete(
    draft: &mut Draft,
    context: &Context<'_>,
    record: &RevisionRecord,
) -> Result<(), Vec<Finding>> {
    let findings = validate(context, &record.spec);
    if !findings.is_empty() {
        return Err(findings);
    }
    if let Spec::Binding(binding) = &record.spec {
        let server = server_key(&binding.environment, &binding.server);
        let policy = policy_key(&binding.environment, &binding.policy);
        let stands = |key: &ObjectKey, pinned| {
            draft.state.standing(key).is_some_and(|standing| Some(standing.revision) == pinned)
        };
        let pins = record.pins.as_ref();
        let providers_stand = pins
            .into_iter()
            .flat_map(|pins| &pins.providers)
            .all(|(name, revision)| stands(&provider_key(&binding.environment, name), Some(*revision)));
        if !stands(&server, pins.map(|pins| pins.server))
            || !stands(&policy, pins.map(|pins| pins.policy))
            || !providers_stand
        {
            let message =
                "its server, policy or provider is not active in the revision that was to be approved";
            return Err(vec![Finding::of(&rule::APPROVAL_DEPENDENCY, &record.key, message)]);
        }
    }
    let old = supersede(draft, &record.key)?;
    draft.status(&record.key, record.revision, Lifecycle::Active, Some(EventKind::ObjectStatus))?;
    if old.as_ref().is_some_and(|old| old.status == Lifecycle::Disabled) {
        draft.status(&record.key, record.revision, Lifecycle::Disabled, Some(EventKind::ObjectStatus))?;
    }
    let effect = effect(old.as_ref().map(|old| &old.spec), &record.spec);
    repin(draft, &record.key, record.revision, effect, &record.author)
}

fn newly_pending(before: &State, after: &State) -> Vec<PendingBinding> {
    let new = |record: &&RevisionRecord| {
        record.status == Lifecycle::Pending && before.exact(&record.key, record.revision).is_none()
    };
    let show =
        |record: &RevisionRecord| PendingBinding { object: record.key.clone(), revision: record.revision };
    after.revisions.iter().filter(new).map(show).collect()
}
