//! The state as it would be once manifests were in force, every signature given: for looking ahead. It is never
//! committed, and nobody's rights are judged here.

use std::collections::BTreeSet;

use super::Context;
use super::apply::{Manifests, apply};
use super::approve::complete;
use super::draft::Draft;
use super::rule::Finding;
use crate::manifest::{ObjectKey, Spec};
use crate::operator::{Operator, Role, RoleGrant};
use crate::state::{Lifecycle, RevisionRecord, State};

/// A supposed state.
#[derive(Clone, Debug)]
pub struct Supposed {
    /// The state.
    pub state: State,
    /// What would keep other bindings, which only pin what changes, at what they pin now.
    pub left: Vec<Finding>,
}

/// Supposes that the manifests are applied and signed, and the bindings that pin what they change are signed anew.
///
/// # Errors
/// What `apply` would find, or what keeps one of these very objects from being signed.
pub fn suppose(context: &Context<'_>, specs: &[Spec]) -> Result<Supposed, Vec<Finding>> {
    let name = context.operator.name.clone();
    let anybody = Operator { name, grants: vec![RoleGrant::everywhere(Role::Admin)] };
    let context = Context { operator: &anybody, ..*context };
    let applied = apply(&context, &Manifests { specs, prune: &[] })?;
    let asked: BTreeSet<ObjectKey> = specs.iter().map(Spec::key).collect();
    let mut draft = Draft::new(&applied.after, None, context.now);
    let (mut left, mut tried) = (Vec::new(), BTreeSet::new());
    loop {
        let waits = waiting(context.state, &draft.state, &asked);
        let fresh: Vec<RevisionRecord> =
            waits.into_iter().filter(|one| tried.insert((one.key.clone(), one.revision))).collect();
        if fresh.is_empty() {
            return Ok(Supposed { state: draft.state, left });
        }
        for record in fresh {
            // An earlier signature may have withdrawn it.
            let now = draft.state.exact(&record.key, record.revision).cloned();
            let Some(record) = now.filter(|now| now.status == Lifecycle::Pending) else { continue };
            let judged = Context { state: &applied.after, ..context };
            match complete(&mut draft, &judged, &record) {
                Err(findings) if asked.contains(&record.key) => return Err(findings),
                Err(findings) => left.extend(findings),
                Ok(()) => {}
            }
        }
    }
}

/// What waits because of these manifests, what others rest on first.
fn waiting(before: &State, now: &State, asked: &BTreeSet<ObjectKey>) -> Vec<RevisionRecord> {
    let mine = |record: &&RevisionRecord| {
        record.status == Lifecycle::Pending
            && (asked.contains(&record.key) || before.exact(&record.key, record.revision).is_none())
    };
    let mut waits: Vec<RevisionRecord> = now.revisions.iter().filter(mine).cloned().collect();
    waits.sort_by(|one, other| one.key.cmp(&other.key).then(one.revision.cmp(&other.revision)));
    waits
}
