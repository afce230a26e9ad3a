//! What a change would do to calls that were made of late: each is decided anew, without and with the change.
//!
//! Evidence names who called and what, and not every fact that decides: groups are not in it. Where the state without
//! the change decides a call otherwise than the evidence says it was, nothing is claimed about that call.

use std::collections::HashMap;

use serde::Serialize;

use crate::actor::{Actor, Groups, UserIdentity};
use crate::audit::{BindingRevision, Decision, Event, EventKind};
use crate::explain::{Asked, Call, explain};
use crate::id::{AgentName, EnvironmentName, ServerName, ToolName, WorkloadName};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// What a change would do to the calls.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Replay {
    /// How many calls were looked at.
    pub calls: u64,
    /// How many would be decided as they were, under the same binding.
    pub unchanged: u64,
    /// How many cannot be told: the evidence does not hold what decided them.
    pub untold: u64,
    /// Refused so far, and let through with the change.
    pub gains: Vec<Replayed>,
    /// Let through so far, and refused with the change.
    pub losses: Vec<Replayed>,
    /// Let through under another binding, and so with another credential.
    pub moves: Vec<Replayed>,
}

/// Calls of one caller to one tool or method, which a change decides otherwise.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Replayed {
    /// The user as `iss|sub`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// The workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadName>,
    /// The client application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surface: Option<String>,
    /// The environment.
    pub environment: EnvironmentName,
    /// The server.
    pub server: ServerName,
    /// The tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<ToolName>,
    /// The method.
    pub method: String,
    /// How many such calls there were.
    pub calls: u64,
    /// The last of them.
    pub last: Timestamp,
    /// The binding without the change.
    pub before: Option<BindingRevision>,
    /// The binding with it.
    pub after: Option<BindingRevision>,
}

/// Who called what: calls that are decided alike.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Line {
    user: Option<String>,
    agent: Option<AgentName>,
    workload: Option<WorkloadName>,
    surface: Option<String>,
    environment: EnvironmentName,
    server: ServerName,
    tool: Option<ToolName>,
    method: String,
}

/// How often, when last, and how it was decided then.
struct Seen {
    calls: u64,
    last: Timestamp,
    allowed: bool,
}

impl Line {
    /// The call that an event is about, and whether it was let through.
    fn of(event: &Event) -> Option<(Self, bool)> {
        let allowed = match event.kind {
            EventKind::Intent => true,
            EventKind::Refused => event.decision != Some(Decision::Deny),
            _ => return None,
        };
        let line = Self {
            user: event.user.clone(),
            agent: event.agent.clone(),
            workload: event.workload.clone(),
            surface: event.surface.clone(),
            environment: event.environment.clone()?,
            server: event.server.clone()?,
            tool: event.tool.clone(),
            method: event.method.clone()?,
        };
        // A `tools/call` that names no tool was no call, and what the gateway does by itself is nobody's.
        let nobody = line.user.is_none() && line.agent.is_none() && line.workload.is_none();
        let nothing = line.method == "tools/call" && line.tool.is_none();
        (!nobody && !nothing).then_some((line, allowed))
    }

    fn actor(&self) -> Actor {
        let user = self.user.as_deref().and_then(|user| user.rsplit_once('|'));
        Actor {
            user: user
                .map(|(issuer, subject)| UserIdentity { issuer: issuer.into(), subject: subject.into() }),
            groups: Groups::Unknown,
            agent: self.agent.clone(),
            workload: self.workload.clone(),
            surface: self.surface.as_deref().map(Into::into),
        }
    }

    /// The binding that would decide, where the call would be let through.
    fn decide(&self, snapshot: &Snapshot, actor: &Actor, now: Timestamp) -> Option<BindingRevision> {
        let wanted = self.tool.as_ref().map_or(Asked::Method(&self.method), Asked::Tool);
        let call = Call { actor, environment: &self.environment, server: &self.server, wanted };
        let story = explain(snapshot, &call, now);
        story.winner.filter(|_| story.allowed)
    }

    fn replayed(
        self,
        seen: &Seen,
        before: Option<BindingRevision>,
        after: Option<BindingRevision>,
    ) -> Replayed {
        Replayed {
            user: self.user,
            agent: self.agent,
            workload: self.workload,
            surface: self.surface,
            environment: self.environment,
            server: self.server,
            tool: self.tool,
            method: self.method,
            calls: seen.calls,
            last: seen.last,
            before,
            after,
        }
    }
}

/// Decides the calls of these events anew. Events of other kinds are passed over; the order does not matter.
pub fn replay<'a>(
    before: &Snapshot,
    after: &Snapshot,
    events: impl IntoIterator<Item = &'a Event>,
    now: Timestamp,
) -> Replay {
    let mut lines: HashMap<Line, Seen> = HashMap::new();
    for event in events {
        let Some((line, allowed)) = Line::of(event) else { continue };
        let seen = lines.entry(line).or_insert(Seen { calls: 0, last: event.time, allowed });
        seen.calls = seen.calls.saturating_add(1);
        if event.time >= seen.last {
            (seen.last, seen.allowed) = (event.time, allowed);
        }
    }
    let mut made = Replay::default();
    for (line, seen) in lines {
        compare(&mut made, before, after, line, &seen, now);
    }
    for list in [&mut made.gains, &mut made.losses, &mut made.moves] {
        // The most calls first; then by name, so that the same change tells the same.
        list.sort_by(|one, other| other.calls.cmp(&one.calls).then_with(|| key(one).cmp(&key(other))));
    }
    made
}

fn key(one: &Replayed) -> impl Ord + use<> {
    (
        one.user.clone(),
        one.agent.clone(),
        one.workload.clone(),
        one.server.clone(),
        one.tool.clone(),
        one.method.clone(),
    )
}

fn compare(made: &mut Replay, before: &Snapshot, after: &Snapshot, line: Line, seen: &Seen, now: Timestamp) {
    made.calls = made.calls.saturating_add(seen.calls);
    let actor = line.actor();
    let (old, new) = (line.decide(before, &actor, now), line.decide(after, &actor, now));
    if old.is_some() != seen.allowed {
        made.untold = made.untold.saturating_add(seen.calls);
        return;
    }
    let name = |binding: &Option<BindingRevision>| binding.as_ref().map(|binding| binding.name.clone());
    match (name(&old), name(&new)) {
        (one, other) if one == other => made.unchanged = made.unchanged.saturating_add(seen.calls),
        (None, Some(_)) => made.gains.push(line.replayed(seen, old, new)),
        (Some(_), None) => made.losses.push(line.replayed(seen, old, new)),
        _ => made.moves.push(line.replayed(seen, old, new)),
    }
}
