//! Carrying out a change on a state in memory, with the rules that every backend enforces.

use crate::lock::{self, LockRecord};
use crate::ports::StateError;
use crate::review::ReviewRecord;
use crate::rotation::{VersionRecord, VersionState};
use crate::state::{Change, GrantRecord, Lifecycle, Operation, RevisionRecord, State};

/// Applies the whole change and moves the epoch by one.
///
/// # Errors
/// [`StateError::Conflict`] for another epoch, [`StateError::Constraint`] for a step that does not
/// exist; the state is then only fit to be dropped.
pub fn commit(state: &mut State, change: &Change) -> Result<(), StateError> {
    if state.epoch != change.expected {
        return Err(StateError::Conflict);
    }
    for operation in &change.operations {
        perform(state, operation)?;
    }
    state.epoch.0 = state.epoch.0.saturating_add(1);
    Ok(())
}

/// Applies one step.
///
/// # Errors
/// [`StateError::Constraint`] for a step that does not exist.
pub fn perform(state: &mut State, operation: &Operation) -> Result<(), StateError> {
    match operation {
        Operation::InsertRevision(record) => insert(state, record),
        Operation::SetStatus { key, revision, status, at } => {
            let blocked =
                stands(*status) && state.standing(key).is_some_and(|standing| standing.revision != *revision);
            let record = revision_mut(state, key, *revision)?;
            if !record.status.may_become(*status) || blocked {
                return refuse(format!("{key}@{revision}: {} cannot become {status}", record.status));
            }
            (record.status, record.changed_at) = (*status, *at);
            Ok(())
        }
        Operation::AddApproval { key, revision, approval } => {
            let record = revision_mut(state, key, *revision)?;
            if record.author == approval.approver {
                return refuse(format!("{key}@{revision}: the author cannot approve"));
            }
            record.approvals.push(approval.clone());
            Ok(())
        }
        Operation::SetPins { key, revision, pins } => {
            revision_mut(state, key, *revision)?.pins = Some(pins.clone());
            Ok(())
        }
        Operation::InsertAgentToken(token) => {
            state.agent_tokens.push(token.clone());
            Ok(())
        }
        Operation::RevokeAgentToken { id, at } => {
            let token = state.agent_tokens.iter_mut().find(|t| t.id == *id && t.revoked_at.is_none());
            token.ok_or_else(|| missing(id))?.revoked_at = Some(*at);
            Ok(())
        }
        Operation::InsertGrant(grant) => insert_grant(state, grant),
        Operation::EndGrant { id, end } => {
            let grant = state.grants.iter_mut().find(|grant| grant.id == *id && grant.ended.is_none());
            grant.ok_or_else(|| missing(id))?.ended = Some(*end);
            Ok(())
        }
        Operation::PutVersion(version) => put_version(state, version),
        Operation::DropVersion { environment, binding, place, version } => {
            state.versions.retain(|known| {
                known.environment != *environment || known.binding != *binding || !known.is(place, version)
            });
            Ok(())
        }
        Operation::PutReview(review) => {
            put_review(state, review);
            Ok(())
        }
        Operation::InsertLock(lock) => insert_lock(state, lock),
        Operation::EndLock { id, end } => {
            let lock = state.locks.iter_mut().find(|lock| lock.id == *id && lock.ended.is_none());
            lock.ok_or_else(|| missing(id))?.ended = Some(end.clone());
            Ok(())
        }
        // These stand beside the state, and decide nothing.
        Operation::AskRevocation(_) | Operation::FileReturn(_) | Operation::DropReturn { .. } => Ok(()),
        Operation::InsertOperatorToken(token) => {
            state.operator_tokens.push(token.clone());
            Ok(())
        }
        Operation::EndOperatorToken { id, at } => {
            let token = state.operator_tokens.iter_mut().find(|t| t.id == *id && t.ended_at.is_none());
            token.ok_or_else(|| missing(id))?.ended_at = Some(*at);
            Ok(())
        }
    }
}

fn insert_grant(state: &mut State, grant: &GrantRecord) -> Result<(), StateError> {
    let same = |old: &GrantRecord| {
        old.environment == grant.environment && old.provider == grant.provider && old.user == grant.user
    };
    if state.grants.iter().any(|old| old.id == grant.id || (old.ended.is_none() && same(old))) {
        return refuse(format!("grant {}: another one stands", grant.id));
    }
    state.grants.push(grant.clone());
    Ok(())
}

fn put_version(state: &mut State, version: &VersionRecord) -> Result<(), StateError> {
    let others = state.versions_of(&version.environment, &version.binding);
    let active = |known: &VersionRecord| {
        known.state == VersionState::Active && !known.is(&version.place, &version.version)
    };
    if version.state == VersionState::Active && others.iter().any(active) {
        return refuse(format!("{}: another version is active", version.binding));
    }
    let same = |known: &VersionRecord| {
        known.environment == version.environment
            && known.binding == version.binding
            && known.is(&version.place, &version.version)
    };
    if let Some(known) = state.versions.iter_mut().find(|known| same(known)) {
        *known = version.clone();
        return Ok(());
    }
    let wanted = (&version.environment, &version.binding);
    let place = state.versions.partition_point(|known| (&known.environment, &known.binding) <= wanted);
    state.versions.insert(place, version.clone());
    Ok(())
}

fn put_review(state: &mut State, review: &ReviewRecord) {
    let order = |known: &ReviewRecord| {
        (&known.environment, &known.binding).cmp(&(&review.environment, &review.binding))
    };
    match state.reviews.binary_search_by(order) {
        Ok(place) => {
            if let Some(known) = state.reviews.get_mut(place) {
                known.clone_from(review);
            }
        }
        Err(place) => state.reviews.insert(place, review.clone()),
    }
}

fn insert_lock(state: &mut State, lock: &LockRecord) -> Result<(), StateError> {
    let span = lock.until.since(lock.created_at);
    let bounded = !span.is_zero() && span <= lock::LONGEST;
    if lock.id.is_empty() || lock.reason.is_empty() || lock.selector.is_empty() || !bounded {
        return refuse(format!("lock {}: it stops nothing, has no reason or no bounded end", lock.id));
    }
    if state.locks.iter().any(|old| old.id == lock.id) {
        return refuse(format!("lock {}: an id is never used again", lock.id));
    }
    state.locks.push(lock.clone());
    Ok(())
}

fn insert(state: &mut State, record: &RevisionRecord) -> Result<(), StateError> {
    let key = &record.key;
    if state.history(key).any(|old| old.status == Lifecycle::Revoked) {
        return refuse(format!("{key}: a revoked name never comes back"));
    }
    if !matches!(record.status, Lifecycle::Draft | Lifecycle::Pending | Lifecycle::Active) {
        return refuse(format!("{key}: a revision does not begin as {}", record.status));
    }
    if record.revision != state.next_revision(key) {
        return refuse(format!("{key}: revision {} is not the next one", record.revision));
    }
    if stands(record.status) && state.standing(key).is_some() {
        return refuse(format!("{key}: another revision stands"));
    }
    let place =
        state.revisions.partition_point(|old| (&old.key, old.revision) <= (&record.key, record.revision));
    state.revisions.insert(place, record.clone());
    Ok(())
}

const fn stands(status: Lifecycle) -> bool {
    matches!(status, Lifecycle::Active | Lifecycle::Disabled)
}

fn revision_mut<'a>(
    state: &'a mut State,
    key: &crate::manifest::ObjectKey,
    revision: crate::id::Revision,
) -> Result<&'a mut RevisionRecord, StateError> {
    let wanted = (key, revision);
    let place = state.revisions.partition_point(|record| (&record.key, record.revision) < wanted);
    let found = state.revisions.get_mut(place).filter(|record| (&record.key, record.revision) == wanted);
    found.ok_or_else(|| missing(&format!("{key}@{revision}")))
}

fn missing(what: &str) -> StateError {
    StateError::Constraint(format!("{what} does not exist"))
}

fn refuse<T>(why: String) -> Result<T, StateError> {
    Err(StateError::Constraint(why))
}
