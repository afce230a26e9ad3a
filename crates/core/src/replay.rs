//! What a change would do to calls that were made of late: each is decided anew, without and with the change.
//!
//! Evidence names who called and what, and not every fact that decides: groups are not in it, except that a person
//! whom a binding for groups served was in one of them. Where the state without the change decides a call otherwise than
//! the evidence says it was, nothing is claimed about that call, and why is said.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use crate::actor::{Actor, Groups, UserIdentity};
use crate::audit::{BindingRevision, Decision, Event, EventKind};
use crate::explain::{Asked, Call, decide};
use crate::id::{AgentName, EnvironmentName, GroupName, RequestId, ServerName, ToolName, WorkloadName};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// How many request ids are kept as examples.
const EXAMPLES: usize = 3;

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
    /// Why the untold cannot be told.
    pub unknown: Vec<Untold>,
}

/// Calls of which nothing is claimed, for one reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Untold {
    /// Why.
    pub because: &'static str,
    /// How many.
    pub calls: u64,
    /// Some of them.
    pub examples: Vec<RequestId>,
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
    /// Groups one of which the person was in, by the binding that served; its other groups are not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupName>,
    /// The request ids of some of them.
    pub examples: Vec<RequestId>,
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
    /// Those one of which the person was in.
    groups: Vec<GroupName>,
}

/// How often, when last, and how it was decided then.
struct Seen {
    calls: u64,
    last: Timestamp,
    allowed: bool,
    examples: Vec<RequestId>,
}

/// The bindings that decide without and with a change.
type Both = (Option<BindingRevision>, Option<BindingRevision>);

impl Line {
    /// The call that an event is about, and whether it was let through.
    fn of(event: &Event, before: &Snapshot) -> Option<(Self, bool)> {
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
            groups: groups_of(event, before),
        };
        // A `tools/call` that names no tool was no call, and what the gateway does by itself is nobody's.
        let nobody = line.user.is_none() && line.agent.is_none() && line.workload.is_none();
        let nothing = line.method == "tools/call" && line.tool.is_none();
        (!nobody && !nothing).then_some((line, allowed))
    }

    fn actor(&self, groups: Groups) -> Actor {
        let user = self.user.as_deref().and_then(|user| user.rsplit_once('|'));
        Actor {
            user: user
                .map(|(issuer, subject)| UserIdentity { issuer: issuer.into(), subject: subject.into() }),
            groups,
            agent: self.agent.clone(),
            workload: self.workload.clone(),
            surface: self.surface.as_deref().map(Into::into),
        }
    }

    /// What decides without and with the change, where that is the same for every group the person may have been in.
    fn both(&self, before: &Snapshot, after: &Snapshot, now: Timestamp) -> Option<Both> {
        let mut supposed: Vec<Groups> =
            self.groups.iter().map(|group| Groups::Known(BTreeSet::from([group.clone()]))).collect();
        if supposed.is_empty() {
            supposed.push(Groups::Unknown);
        }
        let mut told = supposed.into_iter().map(|groups| {
            let actor = self.actor(groups);
            (self.decide(before, &actor, now), self.decide(after, &actor, now))
        });
        let first = told.next()?;
        told.all(|other| other == first).then_some(first)
    }

    /// The binding that would decide, where the call would be let through.
    fn decide(&self, snapshot: &Snapshot, actor: &Actor, now: Timestamp) -> Option<BindingRevision> {
        let wanted = self.tool.as_ref().map_or(Asked::Method(&self.method), Asked::Tool);
        let call = Call { actor, environment: &self.environment, server: &self.server, wanted };
        let story = decide(snapshot, &call, now);
        story.winner.filter(|_| story.allowed)
    }

    /// Whether bindings of the server ask for groups of a person of whom none is known.
    fn hangs_on_groups(&self, snapshot: &Snapshot) -> bool {
        let environment = snapshot.environment(self.environment.as_str());
        let server = environment.and_then(|environment| environment.server(self.server.as_str()));
        let asks = server.is_some_and(|server| {
            server.bindings.iter().any(|binding| !binding.spec.actor.groups.is_empty())
        });
        asks && self.user.is_some() && self.groups.is_empty()
    }

    /// Why the state without the change does not decide as it was decided.
    fn why(&self, allowed: bool) -> &'static str {
        match (allowed, self.user.is_some()) {
            (true, false) => "it was let through, and would be refused now even without the change",
            (true, true) => {
                "it was let through, and what is known of the person does not suffice now: groups are not evidence"
            }
            (false, _) => "it was refused, and would be let through now even without the change",
        }
    }

    fn replayed(self, seen: &Seen, (before, after): Both) -> Replayed {
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
            groups: self.groups,
            examples: seen.examples.clone(),
        }
    }
}

/// The groups that the binding asks for which served the person, as long as it stands as it stood.
fn groups_of(event: &Event, before: &Snapshot) -> Vec<GroupName> {
    let server = || {
        let environment = before.environment(event.environment.as_ref()?.as_str())?;
        environment.server(event.server.as_ref()?.as_str())
    };
    // A binding that was selected served the person, also where the call was refused by something else.
    let served = event.binding.as_ref().filter(|_| event.user.is_some());
    let binding =
        served.and_then(|served| server()?.binding(&served.name).filter(|b| b.revision == served.revision));
    binding.map(|binding| binding.spec.actor.groups.clone()).unwrap_or_default()
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
        let Some((line, allowed)) = Line::of(event, before) else { continue };
        let fresh = || Seen { calls: 0, last: event.time, allowed, examples: Vec::new() };
        let seen = lines.entry(line).or_insert_with(fresh);
        if seen.examples.len() < EXAMPLES {
            seen.examples.extend(event.request_id.clone());
        }
        seen.calls = seen.calls.saturating_add(1);
        if event.time >= seen.last {
            (seen.last, seen.allowed) = (event.time, allowed);
        }
    }
    let (mut made, mut unknown) = (Replay::default(), BTreeMap::new());
    for (line, seen) in lines {
        compare(&mut made, &mut unknown, [before, after], line, &seen, now);
    }
    made.unknown = unknown.into_values().collect();
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

fn compare(
    made: &mut Replay,
    unknown: &mut BTreeMap<&'static str, Untold>,
    [before, after]: [&Snapshot; 2],
    line: Line,
    seen: &Seen,
    now: Timestamp,
) {
    made.calls = made.calls.saturating_add(seen.calls);
    let both = line.both(before, after, now);
    let why = match &both {
        None => Some("it depends on which of several groups the person was in, and groups are not evidence"),
        Some((old, _)) if old.is_some() != seen.allowed => Some(line.why(seen.allowed)),
        Some((None, None)) if [before, after].into_iter().any(|side| line.hangs_on_groups(side)) => {
            Some("it was refused, bindings here ask for groups, and groups are not evidence")
        }
        Some(_) => None,
    };
    let Some((old, new)) = both.filter(|_| why.is_none()) else {
        made.untold = made.untold.saturating_add(seen.calls);
        let because = why.unwrap_or_default();
        let fresh = || Untold { because, calls: 0, examples: Vec::new() };
        let untold = unknown.entry(because).or_insert_with(fresh);
        untold.calls = untold.calls.saturating_add(seen.calls);
        let room = EXAMPLES.saturating_sub(untold.examples.len());
        untold.examples.extend(seen.examples.iter().take(room).cloned());
        return;
    };
    let name = |binding: &Option<BindingRevision>| binding.as_ref().map(|binding| binding.name.clone());
    match (name(&old), name(&new)) {
        (one, other) if one == other => made.unchanged = made.unchanged.saturating_add(seen.calls),
        (None, Some(_)) => made.gains.push(line.replayed(seen, (old, new))),
        (Some(_), None) => made.losses.push(line.replayed(seen, (old, new))),
        _ => made.moves.push(line.replayed(seen, (old, new))),
    }
}
