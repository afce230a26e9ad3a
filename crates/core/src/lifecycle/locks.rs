//! Locks: made by whoever may edit what they stop, without approval, and lifted by somebody else where the
//! environment asks for approvals.

use super::Context;
use super::draft::Draft;
use super::rule::{self, Finding};
use super::signatures::environment_approvals;
use super::world::declared;
use crate::audit::{Decision, Event, EventKind};
use crate::id::{EnvironmentName, TeamName, ToolName};
use crate::lock::{LONGEST, LockEnd, LockRecord, LockSelector, REASON_CHARACTERS};
use crate::manifest::{Kind, ObjectKey, Spec};
use crate::operator::{Operator, Role, Scope};
use crate::state::{Change, Operation, State};
use crate::time::Timestamp;

/// What is to be stopped.
#[derive(Clone, Debug)]
pub struct LockWish {
    /// Which uses.
    pub selector: LockSelector,
    /// Why.
    pub reason: String,
    /// Until when.
    pub until: Timestamp,
}

/// Decides a new lock. Never needs approval, for it only takes away. One that reaches beyond one environment is
/// an administrator's act.
///
/// # Errors
/// `operator.forbidden`, `lock.selector`, `lock.undeclared`, `lock.reason`, `lock.until`.
pub fn create_lock(
    context: &Context<'_>,
    wish: LockWish,
    id: String,
) -> Result<(LockRecord, Change), Vec<Finding>> {
    if !may_lock(context.state, context.operator, Role::Editor, &wish.selector) {
        return Err(vec![forbidden("your roles do not cover what this lock would stop")]);
    }
    let findings = judge(context, &wish);
    if !findings.is_empty() {
        return Err(findings);
    }
    let LockWish { selector, reason, until } = wish;
    let author = context.operator.name.clone();
    let record = LockRecord { id, selector, reason, author, created_at: context.now, until, ended: None };
    let mut draft = Draft::new(context.state, Some(&context.operator.name), context.now);
    draft.step(Operation::InsertLock(Box::new(record.clone())))?;
    draft.note(by(context.operator, about(EventKind::LockCreated, &record, context.now)));
    Ok((record, draft.finish()))
}

/// Decides that a lock is lifted before its time. Where an environment that it reaches asks for approvals, that
/// takes an approver who is not its author.
///
/// # Errors
/// `object.unknown`, `operator.forbidden`, `lock.own`, `lock.ended`.
pub fn lift_lock(context: &Context<'_>, id: &str) -> Result<(LockRecord, Change), Vec<Finding>> {
    let found = context.state.locks.iter().find(|lock| lock.id == id);
    let lock = found
        .filter(|lock| may_see_lock(context.operator, lock))
        .ok_or_else(|| vec![Finding::general(&rule::OBJECT_UNKNOWN, "no such lock")])?;
    let approved = asks_approval(context.state, &lock.selector);
    let role = if approved { Role::Approver } else { Role::Editor };
    if !may_lock(context.state, context.operator, role, &lock.selector) {
        return Err(vec![forbidden(&format!("lifting this lock takes the role `{role}` for what it stops"))]);
    }
    if approved && lock.author == context.operator.name {
        return Err(vec![Finding::general(&rule::LOCK_OWN, "nobody lifts their own lock here")]);
    }
    if !lock.stands_at(context.now) {
        return Err(vec![Finding::general(&rule::LOCK_ENDED, "the lock has ended")]);
    }
    let end = LockEnd { at: context.now, by: Some(context.operator.name.clone()) };
    let record = LockRecord { ended: Some(end.clone()), ..lock.clone() };
    let mut draft = Draft::new(context.state, Some(&context.operator.name), context.now);
    draft.step(Operation::EndLock { id: id.to_owned(), end })?;
    draft.note(by(context.operator, about(EventKind::LockLifted, &record, context.now)));
    Ok((record, draft.finish()))
}

/// Marks every lock whose time is over as ended; absent where there is none. It stops nothing from that time on,
/// marked or not.
pub fn expire_locks(state: &State, now: Timestamp) -> Option<Change> {
    let over = state.locks.iter().filter(|lock| lock.ended.is_none() && lock.until <= now);
    let (mut operations, mut events) = (Vec::new(), Vec::new());
    for lock in over {
        operations
            .push(Operation::EndLock { id: lock.id.clone(), end: LockEnd { at: lock.until, by: None } });
        events.push(about(EventKind::LockExpired, lock, now));
    }
    (!operations.is_empty()).then_some(Change { expected: state.epoch, operations, events })
}

/// Whether the operator sees the lock: whoever has a role in its environment does, and a lock on all of them is
/// everybody's affair.
pub fn may_see_lock(operator: &Operator, lock: &LockRecord) -> bool {
    operator.grants.iter().any(|grant| match (&lock.selector.environment, &grant.environments) {
        (Some(environment), Some(own)) => own.contains(environment),
        _ => true,
    })
}

/// The event about a lock: its parts by name, its reason not.
pub fn about(kind: EventKind, lock: &LockRecord, now: Timestamp) -> Event {
    let LockSelector { environment, server, tool, binding, provider, agent, user, workload, surface, .. } =
        &lock.selector;
    let mut event = Event::new(kind, now);
    event.lock = Some(lock.id.clone());
    event.environment.clone_from(environment);
    event.server.clone_from(server);
    event.tool = tool.as_ref().and_then(|tool| ToolName::parse(&tool.to_string()).ok());
    event.provider.clone_from(provider);
    event.agent.clone_from(agent);
    event.user.clone_from(user);
    event.workload.clone_from(workload);
    event.surface.clone_from(surface);
    event.object = binding.as_ref().map(|binding| ObjectKey {
        kind: Kind::Binding,
        environment: environment.clone(),
        name: binding.to_string(),
    });
    event
}

fn by(operator: &Operator, mut event: Event) -> Event {
    event.operator = Some(operator.name.clone());
    event.decision = Some(Decision::Allow);
    event
}

fn forbidden(why: &str) -> Finding {
    Finding::general(&rule::OPERATOR_FORBIDDEN, why)
}

/// Within one environment a lock is the affair of the team that owns what it names; what it names together with
/// something else is stopped in part only, so one of the owners will do.
fn may_lock(state: &State, operator: &Operator, role: Role, selector: &LockSelector) -> bool {
    let Some(environment) = &selector.environment else {
        return operator.may(Role::Admin, Scope { team: None, environment: None });
    };
    let may = |team: Option<&TeamName>| operator.may(role, Scope { team, environment: Some(environment) });
    let mut owned = named(selector).filter(|key| key.kind != Kind::Environment);
    may(None) || owned.any(|key| owner(state, &key).is_some_and(|team| may(Some(team))))
}

fn owner<'a>(state: &'a State, key: &ObjectKey) -> Option<&'a TeamName> {
    declared(state, key).and_then(|record| record.spec.owner())
}

fn asks_approval(state: &State, selector: &LockSelector) -> bool {
    let of = |name: &EnvironmentName| environment_approvals(state, name) > 0;
    match &selector.environment {
        Some(environment) => of(environment),
        None => state.all_active(Kind::Environment).any(|record| match &record.spec {
            Spec::Environment(spec) => of(&spec.name),
            _ => false,
        }),
    }
}

/// The objects that the selector names.
fn named(selector: &LockSelector) -> impl Iterator<Item = ObjectKey> {
    let environment = selector.environment.clone();
    let within = |kind, name: Option<String>| {
        name.map(|name| ObjectKey { kind, environment: environment.clone(), name })
    };
    let apart = |kind, name: Option<String>| name.map(|name| ObjectKey { kind, environment: None, name });
    [
        apart(Kind::Environment, selector.environment.as_ref().map(ToString::to_string)),
        within(Kind::Server, selector.server.as_ref().map(ToString::to_string)),
        within(Kind::Binding, selector.binding.as_ref().map(ToString::to_string)),
        within(Kind::Provider, selector.provider.as_ref().map(ToString::to_string)),
        apart(Kind::Agent, selector.agent.as_ref().map(ToString::to_string)),
        apart(Kind::Workload, selector.workload.as_ref().map(ToString::to_string)),
    ]
    .into_iter()
    .flatten()
}

fn judge(context: &Context<'_>, wish: &LockWish) -> Vec<Finding> {
    let mut findings = Vec::new();
    let selector = &wish.selector;
    let alone = LockSelector { everything: true, ..LockSelector::default() };
    let named_user = |user: &String| {
        user.split_once('|').is_some_and(|(issuer, subject)| !issuer.is_empty() && !subject.is_empty())
    };
    let user = selector.user.as_ref().is_none_or(named_user);
    if selector.is_empty() || (selector.everything && *selector != alone) || !user {
        findings.push(Finding::general(
            &rule::LOCK_SELECTOR,
            "the selector stops nothing, or says it in two ways",
        ));
    }
    for key in named(selector).filter(|key| !is_known(context.state, key)) {
        let message = format!("{} `{}` is not declared", key.kind.word(), key.name);
        findings.push(Finding::of(&rule::LOCK_NAME, &key, message));
    }
    if let Some(store) = selector.store.as_ref().filter(|store| context.stores.entry(store).is_none()) {
        findings.push(Finding::general(&rule::LOCK_NAME, format!("store `{store}` is not configured")));
    }
    let characters = wish.reason.trim().chars().count();
    if !(1..=REASON_CHARACTERS).contains(&characters) || wish.reason.chars().any(char::is_control) {
        findings
            .push(Finding::general(&rule::LOCK_REASON, "the reason is missing, too long or not one line"));
    }
    let span = wish.until.since(context.now);
    if span.is_zero() || span > LONGEST {
        findings.push(Finding::general(&rule::LOCK_UNTIL, "the end is past or more than 30 days away"));
    }
    findings
}

/// Whether something of this name was ever declared, here or, without an environment, in any. What is disabled
/// or revoked may still have to be locked.
fn is_known(state: &State, key: &ObjectKey) -> bool {
    let global = matches!(key.kind, Kind::Environment | Kind::Agent | Kind::Workload);
    state.of_kind(key.kind).iter().any(|record| {
        let place = global || key.environment.is_none() || record.key.environment == key.environment;
        record.key.name == key.name && place
    })
}
