//! `apply`: from manifests to revisions.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Context;
use super::draft::{Draft, NewRevision};
use super::fields::{Effect, effect};
use super::repin::{pins_for, repin};
use super::rule::{self, Finding};
use super::signatures::{Requirement, may_touch, requirements};
use super::validate::Judge;
use super::world::{World, pending};
use crate::audit::EventKind;
use crate::id::{EnvironmentName, Revision};
use crate::manifest::{BindingSpec, Kind, ObjectKey, Spec};
use crate::operator::Role;
use crate::state::{Approval, Change, Lifecycle, Pins, RevisionRecord, State};

/// What an operator declares.
#[derive(Clone, Copy, Debug)]
pub struct Manifests<'a> {
    /// The objects, in any order.
    pub specs: &'a [Spec],
    /// The environments in which servers and bindings that are not declared here are disabled.
    pub prune: &'a [EnvironmentName],
}

/// What came of one object.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Written {
    /// The object.
    #[serde(serialize_with = "super::key_text")]
    pub object: ObjectKey,
    /// The revision that holds the declared content.
    pub revision: Revision,
    /// Where it stands.
    pub status: Lifecycle,
    /// What was done.
    pub outcome: WrittenAs,
    /// The signatures it waits for.
    pub missing: Vec<Requirement>,
}

/// What was done with one object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WrittenAs {
    /// The content is already there.
    Unchanged,
    /// A first revision.
    Created,
    /// A further revision.
    Changed,
    /// Its server or policy changed, so its approval is asked for again.
    Repinned,
    /// Disabled, because it was pruned.
    Pruned,
}

/// A whole apply, decided.
#[derive(Clone, Debug)]
pub struct Applied {
    /// What to commit; absent where nothing changes.
    pub change: Option<Change>,
    /// What came of each object.
    pub written: Vec<Written>,
    /// The state as it will be.
    pub after: State,
}

/// Decides what the manifests change.
///
/// # Errors
/// Every finding at once; nothing is written then.
pub fn apply(context: &Context<'_>, manifests: &Manifests<'_>) -> Result<Applied, Vec<Finding>> {
    let mut specs: Vec<&Spec> = manifests.specs.iter().collect();
    specs.sort_by_key(|spec| spec.key());
    let findings = judge(context, manifests, &specs);
    if !findings.is_empty() {
        return Err(findings);
    }
    let mut draft = Draft::new(context.state, Some(&context.operator.name), context.now);
    let mut written = Vec::new();
    for spec in specs {
        written.push(write(&mut draft, context, spec)?);
    }
    prune(&mut draft, context, manifests, &mut written)?;
    written.extend(repinned(context.state, &draft.state, context, &written));
    let after = draft.state.clone();
    let change = (!draft.is_empty()).then(|| draft.finish());
    Ok(Applied { change, written, after })
}

fn judge(context: &Context<'_>, manifests: &Manifests<'_>, specs: &[&Spec]) -> Vec<Finding> {
    let world = World::new(context.state, manifests.specs);
    let mut judge = Judge::new(context, &world);
    let mut seen = BTreeSet::new();
    for spec in specs {
        let key = spec.key();
        if !seen.insert(key.clone()) {
            judge.findings.push(Finding::of(&rule::MANIFEST_DUPLICATE, &key, "declared twice"));
        }
        if is_unchanged(context.state, spec) {
            // Nothing is written, and yet it tells that the guess was right.
            if !may_touch(context.operator, Role::Viewer, spec) {
                judge.findings.push(forbidden(&key));
            }
            continue;
        }
        if context.state.history(&key).any(|record| record.status == Lifecycle::Revoked) {
            judge.findings.push(Finding::of(&rule::BINDING_REVOKED_NAME, &key, "this name was revoked"));
        }
        let owned = context.state.standing(&key).is_none_or(|old| may_write(context, &old.spec));
        if !owned || !may_write(context, spec) {
            judge.findings.push(forbidden(&key));
        }
        judge.spec(spec);
        if let Spec::Binding(binding) = spec
            && let Some(finding) = drift(context.state, &key, binding)
        {
            judge.findings.push(finding);
        }
    }
    judge.findings
}

fn may_write(context: &Context<'_>, spec: &Spec) -> bool {
    may_touch(context.operator, Role::Editor, spec)
}

pub(super) fn forbidden(key: &ObjectKey) -> Finding {
    Finding::of(&rule::OPERATOR_FORBIDDEN, key, "your roles do not cover this team and environment")
}

/// The revision whose content counts as what was last declared.
fn current<'a>(state: &'a State, key: &ObjectKey) -> Option<&'a RevisionRecord> {
    let ended = || state.history(key).filter(|record| record.status == Lifecycle::Expired).last();
    state.standing(key).or_else(ended)
}

fn is_unchanged(state: &State, spec: &Spec) -> bool {
    let (key, content) = (spec.key(), spec.content_hash());
    pending(state, &key).or_else(|| current(state, &key)).is_some_and(|record| record.content == content)
}

/// A manifest that still names the reference from before a rotation would silently undo it.
fn drift(state: &State, key: &ObjectKey, declared: &BindingSpec) -> Option<Finding> {
    let standing = state.standing(key)?;
    let Spec::Binding(now) = &standing.spec else { return None };
    if now.secret == declared.secret {
        return None;
    }
    let mut older: Vec<_> =
        state.history(key).filter(|record| record.status == Lifecycle::Superseded).collect();
    older.sort_by_key(|record| std::cmp::Reverse(record.revision));
    for record in older {
        let Spec::Binding(before) = &record.spec else { return None };
        let rotated = BindingSpec { secret: now.secret.clone(), ..before.clone() } == *now;
        if !rotated {
            return None;
        }
        if before.secret == declared.secret {
            let message = format!("revision {} was rotated to another reference", standing.revision);
            return Some(Finding::of(&rule::BINDING_DRIFT, key, message));
        }
    }
    None
}

fn write(draft: &mut Draft, context: &Context<'_>, spec: &Spec) -> Result<Written, Vec<Finding>> {
    let (key, content) = (spec.key(), spec.content_hash());
    let waiting = pending(&draft.state, &key).cloned();
    if let Some(record) = waiting.as_ref().filter(|record| record.content == content) {
        return Ok(unchanged(draft, context, record));
    }
    if let Some(record) = &waiting {
        draft.status(&key, record.revision, Lifecycle::Withdrawn, Some(EventKind::ObjectStatus))?;
    }
    let old = current(&draft.state, &key).cloned();
    if let Some(record) = old.as_ref().filter(|record| record.content == content) {
        return Ok(unchanged(draft, context, record));
    }
    let outcome = if old.is_some() || waiting.is_some() { WrittenAs::Changed } else { WrittenAs::Created };
    let standing = old.filter(|record| record.status != Lifecycle::Expired);
    let at_once = effect(standing.as_ref().map(|record| &record.spec), spec) == Effect::Tightening;
    let missing = if at_once { Vec::new() } else { requirements(&draft.state, context.stores, spec) };
    // A tightening keeps what was approved; anything else is approved anew.
    let kept = standing.filter(|_| at_once);
    let approvals = kept.as_ref().map(|record| record.approvals.clone()).unwrap_or_default();
    let pins = match spec {
        Spec::Binding(binding) => {
            kept.and_then(|record| record.pins).or_else(|| pins_for(&draft.state, binding))
        }
        _ => None,
    };
    let revision = if missing.is_empty() {
        replace(draft, spec, approvals, pins, EventKind::ObjectWritten)?
    } else {
        let author = &context.operator.name;
        let evidence = EventKind::ObjectWritten;
        let status = Lifecycle::Pending;
        draft.insert(NewRevision { spec, status, author, pins, approvals: Vec::new(), evidence })?
    };
    let status = draft.state.exact(&key, revision).map_or(Lifecycle::Pending, |record| record.status);
    Ok(Written { object: key, revision, status, outcome, missing })
}

fn unchanged(draft: &Draft, context: &Context<'_>, record: &RevisionRecord) -> Written {
    let missing = super::approve::still_missing(&draft.state, context.stores, record);
    let (object, revision, status) = (record.key.clone(), record.revision, record.status);
    Written { object, revision, status, outcome: WrittenAs::Unchanged, missing }
}

/// Puts a new revision in the place of the one that stands. What was disabled stays disabled.
pub(super) fn replace(
    draft: &mut Draft,
    spec: &Spec,
    approvals: Vec<Approval>,
    pins: Option<Pins>,
    evidence: EventKind,
) -> Result<Revision, Vec<Finding>> {
    let key = spec.key();
    let old = supersede(draft, &key)?;
    let disabled = old.as_ref().is_some_and(|record| record.status == Lifecycle::Disabled);
    let status = Lifecycle::Active;
    let Some(author) = draft.operator.clone() else {
        return Err(vec![Finding::of(&rule::STATE_STEP, &key, "a revision has no author")]);
    };
    // Whoever signed the old content and now writes the new one is its author, not its approver.
    let approvals = approvals.into_iter().filter(|approval| approval.approver != author).collect();
    let revision = draft.insert(NewRevision { spec, status, author: &author, pins, approvals, evidence })?;
    if disabled {
        draft.status(&key, revision, Lifecycle::Disabled, Some(EventKind::ObjectStatus))?;
    }
    let effect = effect(old.as_ref().map(|record| &record.spec), spec);
    repin(draft, &key, revision, effect, &author)?;
    Ok(revision)
}

/// Takes the standing or expired revision out of the way and hands it back as it was.
pub(super) fn supersede(draft: &mut Draft, key: &ObjectKey) -> Result<Option<RevisionRecord>, Vec<Finding>> {
    let old = current(&draft.state, key).cloned();
    if let Some(record) = &old {
        draft.status(key, record.revision, Lifecycle::Superseded, None)?;
    }
    Ok(old)
}

fn prune(
    draft: &mut Draft,
    context: &Context<'_>,
    manifests: &Manifests<'_>,
    written: &mut Vec<Written>,
) -> Result<(), Vec<Finding>> {
    let declared: BTreeSet<ObjectKey> = manifests.specs.iter().map(Spec::key).collect();
    let gone = |record: &&RevisionRecord| {
        let prunable = matches!(record.key.kind, Kind::Server | Kind::Binding);
        let here = record.key.environment.as_ref().is_some_and(|name| manifests.prune.contains(name));
        prunable && here && record.status == Lifecycle::Active && !declared.contains(&record.key)
    };
    let gone: Vec<RevisionRecord> = draft.state.revisions.iter().filter(gone).cloned().collect();
    let refused: Vec<Finding> = gone
        .iter()
        .filter(|record| !may_write(context, &record.spec))
        .map(|record| forbidden(&record.key))
        .collect();
    if !refused.is_empty() {
        return Err(refused);
    }
    for record in gone {
        draft.status(&record.key, record.revision, Lifecycle::Disabled, Some(EventKind::ObjectStatus))?;
        written.push(Written {
            object: record.key,
            revision: record.revision,
            status: Lifecycle::Disabled,
            outcome: WrittenAs::Pruned,
            missing: Vec::new(),
        });
    }
    Ok(())
}

/// The bindings that wait again because a server or policy under them changed.
fn repinned(before: &State, after: &State, context: &Context<'_>, written: &[Written]) -> Vec<Written> {
    let new = |record: &&RevisionRecord| {
        record.key.kind == Kind::Binding
            && record.status == Lifecycle::Pending
            && before.exact(&record.key, record.revision).is_none()
            && !written.iter().any(|w| w.object == record.key && w.revision == record.revision)
    };
    let show = |record: &RevisionRecord| Written {
        object: record.key.clone(),
        revision: record.revision,
        status: record.status,
        outcome: WrittenAs::Repinned,
        missing: super::approve::still_missing(after, context.stores, record),
    };
    after.revisions.iter().filter(new).map(show).collect()
}
