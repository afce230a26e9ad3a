//! Switching off and on, ending for ever, and running out.

use super::Context;
use super::apply::forbidden;
use super::draft::Draft;
use super::reach::{Reach, alive, end_contents, main_of};
use super::reviews::refuse_overdue;
use super::rule::{self, Finding};
use super::signatures::{approvals_for, may_touch};
use crate::audit::{Decision, Event, EventKind};
use crate::id::{OperatorName, Revision};
use crate::manifest::{Kind, ObjectKey, Spec};
use crate::operator::Role;
use crate::state::{AgentTokenRecord, Change, Lifecycle, Operation, RevisionRecord, State};
use crate::time::Timestamp;

/// A change of status, decided.
#[derive(Clone, Debug)]
pub struct Switched {
    /// What to commit.
    pub change: Change,
    /// The revision it is about.
    pub revision: Revision,
    /// How many agent tokens end with it.
    pub tokens: u32,
    /// What is to be ended once it is committed.
    pub reach: Reach,
}

/// Switches an object off. Never needs approval, for it only takes away; a policy cannot be switched
/// off, for that would also take away what it forbids, and an environment is the frame of the rest.
///
/// # Errors
/// `operator.forbidden`, `object.state`, `object.kind`.
pub fn disable(context: &Context<'_>, key: &ObjectKey) -> Result<Switched, Vec<Finding>> {
    let record = standing(context, key, "switched off", |_| Role::Editor)?;
    switch(context, record, Lifecycle::Disabled)
}

/// Switches a disabled object on again: an approver's act where the environment asks for approvals. A binding whose
/// environment switches off what nobody reviews is reviewed first.
///
/// # Errors
/// `operator.forbidden`, `object.state`, `object.kind`, `review.overdue`.
pub fn enable(context: &Context<'_>, key: &ObjectKey) -> Result<Switched, Vec<Finding>> {
    let role = |record: &RevisionRecord| match approvals_for(context.state, &record.spec) {
        0 => Role::Editor,
        _ => Role::Approver,
    };
    let record = standing(context, key, "switched on", role)?;
    refuse_overdue(context, key)?;
    switch(context, record, Lifecycle::Active)
}

/// What stands, for an operator who holds the role; who may not act learns nothing more.
fn standing<'a>(
    context: &Context<'a>,
    key: &ObjectKey,
    verb: &str,
    role: impl Fn(&RevisionRecord) -> Role,
) -> Result<&'a RevisionRecord, Vec<Finding>> {
    if matches!(key.kind, Kind::Policy | Kind::Environment) {
        let message = format!("a {} cannot be {verb}", key.kind.word());
        return Err(vec![Finding::of(&rule::OBJECT_KIND, key, message)]);
    }
    let Some(record) = context.state.standing(key) else {
        return Err(vec![Finding::of(&rule::OBJECT_UNKNOWN, key, "nothing of this name stands")]);
    };
    if !may_touch(context.operator, role(record), &record.spec) {
        return Err(vec![forbidden(key)]);
    }
    Ok(record)
}

fn switch(
    context: &Context<'_>,
    record: &RevisionRecord,
    status: Lifecycle,
) -> Result<Switched, Vec<Finding>> {
    if record.status == status {
        let message = format!("it is {status} already");
        return Err(vec![Finding::of(&rule::OBJECT_STATE, &record.key, message)]);
    }
    let mut draft = Draft::new(context.state, Some(&context.operator.name), context.now);
    draft.status(&record.key, record.revision, status, Some(EventKind::ObjectStatus))?;
    let tokens = match status {
        Lifecycle::Disabled => end_tokens(&mut draft, of_agent(&record.key))?,
        _ => 0,
    };
    Ok(Switched { change: draft.finish(), revision: record.revision, tokens, reach: Reach::of(record) })
}

/// The tokens of an agent; of another object there are none.
fn of_agent(key: &ObjectKey) -> impl Fn(&AgentTokenRecord) -> bool {
    let name = (key.kind == Kind::Agent).then(|| key.name.clone());
    move |token| name.as_deref() == Some(token.agent.as_str())
}

/// Revokes these agent tokens. They are gone for good: an agent that is switched on again gets new ones.
pub(super) fn end_tokens(
    draft: &mut Draft,
    doomed: impl Fn(&AgentTokenRecord) -> bool,
) -> Result<u32, Vec<Finding>> {
    let held = |token: &&AgentTokenRecord| token.revoked_at.is_none() && doomed(token);
    let held: Vec<AgentTokenRecord> = draft.state.agent_tokens.iter().filter(held).cloned().collect();
    for token in &held {
        draft.step(Operation::RevokeAgentToken { id: token.id.clone(), at: draft.now })?;
        let key = ObjectKey { kind: Kind::Agent, environment: None, name: token.agent.to_string() };
        let revision = main_of(&draft.state, &key).map_or(Revision(0), |record| record.revision);
        let mut event = Event::new(EventKind::AgentTokenRevoked, draft.now).about(key, revision);
        event.agent = Some(token.agent.clone());
        event.operator.clone_from(&draft.operator);
        event.environment = token.entries.first().map(|entry| entry.environment.clone());
        draft.note(event);
    }
    Ok(u32::try_from(held.len()).unwrap_or(u32::MAX))
}

/// Ends an object for ever. Never needs approval; its name stays refused. An agent's tokens end with it, and
/// with a server or an environment everything that is in it. Providers and policies are not revoked: where no
/// binding names them they do nothing.
///
/// # Errors
/// `operator.forbidden`, `object.unknown`, `object.state`, `object.kind`.
pub fn revoke(context: &Context<'_>, key: &ObjectKey) -> Result<Switched, Vec<Finding>> {
    let (evidence, role) = match key.kind {
        Kind::Binding => (EventKind::BindingRevoked, Role::Editor),
        Kind::Agent | Kind::Workload | Kind::Server => (EventKind::ObjectStatus, Role::Editor),
        // The frame of many teams' work.
        Kind::Environment => (EventKind::ObjectStatus, Role::Admin),
        Kind::Provider | Kind::Policy => {
            let why = format!("a {} is not revoked", key.kind.word());
            return Err(vec![Finding::of(&rule::OBJECT_KIND, key, why)]);
        }
    };
    let Some(main) = main_of(context.state, key) else {
        let known = context.state.history(key).next().is_some();
        let rule = if known { &rule::OBJECT_STATE } else { &rule::OBJECT_UNKNOWN };
        return Err(vec![Finding::of(rule, key, "there is nothing left to revoke")]);
    };
    if !may_touch(context.operator, role, &main.spec) {
        return Err(vec![forbidden(key)]);
    }
    let mut draft = Draft::new(context.state, Some(&context.operator.name), context.now);
    for record in alive(context.state, key) {
        let evidence = (record.revision == main.revision).then_some(evidence);
        draft.status(key, record.revision, Lifecycle::Revoked, evidence)?;
    }
    let (reach, tokens) = match key.kind {
        Kind::Server | Kind::Environment => end_contents(context, &mut draft, key)?,
        _ => (Reach::of(main), end_tokens(&mut draft, of_agent(key))?),
    };
    Ok(Switched { change: draft.finish(), revision: main.revision, tokens, reach })
}

/// Moves every binding past its end to `expired`; absent where there is none.
pub fn expire(state: &State, now: Timestamp) -> Option<Change> {
    let over = |record: &&RevisionRecord| {
        let stands = matches!(record.status, Lifecycle::Active | Lifecycle::Disabled);
        stands && matches!(&record.spec, Spec::Binding(spec) if spec.expires_at.is_some_and(|end| end <= now))
    };
    let mut draft = Draft::new(state, None, now);
    for record in state.of_kind(Kind::Binding).iter().filter(over) {
        let evidence = Some(EventKind::ObjectStatus);
        draft.status(&record.key, record.revision, Lifecycle::Expired, evidence).ok()?;
    }
    (!draft.is_empty()).then(|| draft.finish())
}

/// The evidence that an operator's act was refused.
pub fn refused(
    operator: Option<&OperatorName>,
    code: &str,
    object: Option<&ObjectKey>,
    now: Timestamp,
) -> Event {
    let mut event = Event::new(EventKind::OperatorRefused, now);
    event.operator = operator.cloned();
    event.decision = Some(Decision::Deny);
    event.reason = Some(code.to_owned());
    event.environment = object.and_then(|object| object.environment.clone());
    event.object = object.cloned();
    event
}
