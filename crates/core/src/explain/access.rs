//! Who can reach a tool, what a caller can reach, and how a change moves both: over the declared callers, each
//! decided as a call is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::caller::{DeclaredCaller, Person, callers};
use super::way::{Barred, Door, Outcome, Parts, Sight, Way};
use crate::id::{AgentName, EnvironmentName, Epoch, GroupName, ServerName, ToolName, WorkloadName};
use crate::manifest::{Risk, ToolSelector};
use crate::snapshot::{EnvironmentView, ServerView, Snapshot};
use crate::time::Timestamp;

/// Stands for every tool that no manifest names: no list covers it, and it has the server's default risk.
const OTHER: &str = "*";

/// Who can reach one tool.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct WhoReaches {
    /// The epoch it holds for.
    pub epoch: Epoch,
    /// The environment.
    pub environment: EnvironmentName,
    /// The server.
    pub server: ServerName,
    /// The tool.
    pub tool: ToolName,
    /// The risk that the server's owner gives it.
    pub risk: Risk,
    /// Whether any manifest names the tool; otherwise it is one of those that have the default risk.
    pub named: bool,
    /// Those that get through.
    pub reaches: Vec<Way>,
    /// Those that a binding serves, and something stands in the way of.
    pub nearly: Vec<Barred>,
    /// Agents and workloads of the environment that no binding of the server serves.
    pub nobody: Vec<NoWay>,
    /// What the lists do not say.
    pub words: Vec<&'static str>,
    /// Whether there are more declared callers than were looked at.
    pub more: bool,
}

/// A declared caller without any way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct NoWay {
    /// Who, in words.
    pub who: String,
    /// Who, part by part.
    #[serde(flatten)]
    pub caller: Parts,
}

/// Of whom is asked what they can reach.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    /// An agent, alone and with whomever bindings ask for besides.
    Agent(AgentName),
    /// A workload, likewise.
    Workload(WorkloadName),
    /// The persons of a group.
    Group(GroupName),
    /// One person, as `iss|sub`.
    User(String),
}

impl Subject {
    fn person(&self) -> Option<Person> {
        match self {
            Self::Group(group) => Some(Person { user: None, group: Some(group.clone()) }),
            Self::User(user) => Some(Person { user: Some(user.clone()), group: None }),
            Self::Agent(_) | Self::Workload(_) => None,
        }
    }

    fn is_in(&self, caller: &DeclaredCaller) -> bool {
        let person = caller.person.as_ref();
        match self {
            Self::Agent(name) => caller.agent.as_ref().is_some_and(|agent| agent.name == *name),
            Self::Workload(name) => caller.workload.as_ref() == Some(name),
            Self::Group(group) => person.is_some_and(|person| person.group.as_ref() == Some(group)),
            Self::User(user) => person.is_some_and(|person| person.user.as_ref() == Some(user)),
        }
    }
}

/// What one caller can reach.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Reaches {
    /// The epoch it holds for.
    pub epoch: Epoch,
    /// What gets through.
    pub reaches: Vec<Reached<Way>>,
    /// What something stands in the way of, though a binding serves the caller at the server.
    pub nearly: Vec<Reached<Barred>>,
    /// What the lists do not say.
    pub words: Vec<&'static str>,
    /// Whether there are more declared callers than were looked at.
    pub more: bool,
}

/// Tools of one server that are decided alike.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Reached<T> {
    /// The environment.
    pub environment: EnvironmentName,
    /// The server.
    pub server: ServerName,
    /// The tools that manifests name.
    pub tools: Vec<ToolName>,
    /// Whether every tool is among them that no manifest names.
    pub every_other: bool,
    /// How, or why not.
    #[serde(flatten)]
    pub how: T,
}

/// What a change does to who can reach what in one environment.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct AccessChanges {
    /// Reached only with the change.
    pub gains: Vec<AccessChange>,
    /// Reached only without it.
    pub losses: Vec<AccessChange>,
    /// Reached with both, under another binding.
    pub moves: Vec<AccessChange>,
    /// Whether there are more declared callers than were looked at.
    pub more: bool,
}

/// Tools of one server whose decision changes alike for one declared caller.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AccessChange {
    /// Who, in words.
    pub who: String,
    /// Who, part by part.
    #[serde(flatten)]
    pub caller: Parts,
    /// The server.
    pub server: ServerName,
    /// The tools that manifests name.
    pub tools: Vec<ToolName>,
    /// Whether every tool is among them that no manifest names.
    pub every_other: bool,
    /// The binding without the change.
    pub before: Option<String>,
    /// The binding with it.
    pub after: Option<String>,
}

const UNLISTED: &[&str] = &[
    "a person is declared nowhere: a row with a group, or for anybody, stands for everyone whom the identity \
     provider says that of; a policy that names single users, issuers or client applications may decide otherwise \
     for them",
    "every caller also needs a token whose audience opens this door",
    "a tool that no manifest names has the server's default risk; a policy that names it may decide otherwise",
];

/// Who can reach a tool; nothing where there is no such server, or the operator may not see it.
pub fn who_reaches(
    snapshot: &Snapshot,
    place: (&EnvironmentName, &ServerName, &ToolName),
    sight: Sight<'_>,
    now: Timestamp,
) -> Option<WhoReaches> {
    let (environment, server, tool) = place;
    let environment = snapshot.environment(environment.as_str())?;
    let server = environment.server(server.as_str()).filter(|server| sight.server(server))?;
    let (found, more) = callers(snapshot, environment, server, None);
    let door = Door { snapshot, environment, server, now };
    let mut story = WhoReaches {
        epoch: snapshot.epoch,
        environment: environment.spec.name.clone(),
        server: server.spec.name.clone(),
        tool: tool.clone(),
        risk: server.spec.tools.of(tool.as_str()),
        named: tools(server, &[]).contains(tool),
        reaches: Vec::new(),
        nearly: Vec::new(),
        nobody: Vec::new(),
        words: UNLISTED.to_vec(),
        more,
    };
    for caller in found.iter().filter(|caller| sight.caller(snapshot, caller)) {
        match door.knock(caller, tool, sight) {
            Outcome::Reaches(way) if sees(server, &way, sight) => story.reaches.push(*way),
            Outcome::Barred(barred) => story.nearly.push(*barred),
            Outcome::NoWay => {
                story.nobody.push(NoWay { who: caller.to_string(), caller: caller.into() });
            }
            Outcome::Reaches(_) => {}
        }
    }
    Some(story)
}

/// A way by a binding that the operator may not see is not told.
fn sees(server: &ServerView, way: &Way, sight: Sight<'_>) -> bool {
    server.binding(&way.binding.name).is_some_and(|binding| sight.binding(&binding.spec))
}

/// What a caller can reach, in all environments or in one; nothing where no such agent or workload is declared, or
/// the operator may not see it.
pub fn what_reaches(
    snapshot: &Snapshot,
    subject: &Subject,
    within: Option<&EnvironmentName>,
    sight: Sight<'_>,
    now: Timestamp,
) -> Option<Reaches> {
    let known = match subject {
        Subject::Agent(name) => snapshot.agent(name).is_some_and(|agent| sight.agent(agent)),
        Subject::Workload(name) => {
            snapshot.workloads().any(|workload| workload.name == *name && sight.workload(workload))
        }
        Subject::Group(_) | Subject::User(_) => true,
    };
    if !known {
        return None;
    }
    let mut story = Reaches {
        epoch: snapshot.epoch,
        reaches: Vec::new(),
        nearly: Vec::new(),
        words: UNLISTED.to_vec(),
        more: false,
    };
    let person = subject.person();
    for (environment, server) in servers(snapshot) {
        if within.is_some_and(|wanted| environment.spec.name != *wanted) || !sight.server(server) {
            continue;
        }
        let (found, more) = callers(snapshot, environment, server, person.as_ref());
        story.more |= more;
        let door = Door { snapshot, environment, server, now };
        let mine = found.iter().filter(|caller| subject.is_in(caller) && sight.caller(snapshot, caller));
        for caller in mine {
            gather(&mut story, &door, caller, sight);
        }
    }
    Some(story)
}

fn servers(snapshot: &Snapshot) -> Vec<(&EnvironmentView, &Arc<ServerView>)> {
    let mut found: Vec<(&EnvironmentView, &Arc<ServerView>)> = snapshot
        .environments()
        .flat_map(|environment| environment.servers().map(move |server| (environment, server)))
        .collect();
    found.sort_by_key(|(environment, server)| (&environment.spec.name, &server.spec.name));
    found
}

fn gather(story: &mut Reaches, door: &Door<'_>, caller: &DeclaredCaller, sight: Sight<'_>) {
    let (environment, server) = (&door.environment.spec.name, door.server);
    let owned = caller.agent.as_ref().and_then(|agent| door.snapshot.agent(&agent.name));
    let owned: Vec<ToolName> = owned
        .map(|agent| {
            let here = agent.tools.iter().filter(|entry| entry.server == server.spec.name);
            here.flat_map(|entry| entry.tools.iter().cloned()).collect()
        })
        .unwrap_or_default();
    for tool in every_tool(server, &owned) {
        match door.knock(caller, &tool, sight) {
            Outcome::Reaches(way) if sees(server, &way, sight) => {
                add(&mut story.reaches, environment, server, &tool, *way);
            }
            Outcome::Barred(barred) => add(&mut story.nearly, environment, server, &tool, *barred),
            Outcome::Reaches(_) | Outcome::NoWay => {}
        }
    }
}

fn add<T: PartialEq>(
    into: &mut Vec<Reached<T>>,
    environment: &EnvironmentName,
    server: &ServerView,
    tool: &ToolName,
    how: T,
) {
    let same = |one: &&mut Reached<T>| {
        one.environment == *environment && one.server == server.spec.name && one.how == how
    };
    // Tools of one caller come one after the other, so that only the last rows can be the same.
    let known = into.iter_mut().rev().take(32).find(same);
    let other = tool.as_str() == OTHER;
    match known {
        Some(row) if other => row.every_other = true,
        Some(row) => row.tools.push(tool.clone()),
        None => into.push(Reached {
            environment: environment.clone(),
            server: server.spec.name.clone(),
            tools: if other { Vec::new() } else { vec![tool.clone()] },
            every_other: other,
            how,
        }),
    }
}

/// The tools that manifests name: with a risk, in a binding, or as an agent's own.
fn tools(server: &ServerView, owned: &[ToolName]) -> BTreeSet<ToolName> {
    let mut named: BTreeSet<ToolName> = server.spec.tools.named().keys().cloned().collect();
    for binding in &server.bindings {
        if let ToolSelector::Named(tools) = &binding.spec.tools {
            named.extend(tools.iter().cloned());
        }
    }
    named.extend(owned.iter().cloned());
    named
}

/// The same, and one that stands for every other.
fn every_tool(server: &ServerView, owned: &[ToolName]) -> BTreeSet<ToolName> {
    let mut named = tools(server, owned);
    named.extend(ToolName::parse(OTHER));
    named
}

/// How a change moves who can reach what in an environment, over the declared callers of both sides.
pub fn access_changes(
    before: &Snapshot,
    after: &Snapshot,
    environment: &EnvironmentName,
    sight: Sight<'_>,
    now: Timestamp,
) -> AccessChanges {
    let mut made = AccessChanges::default();
    let sides = [before, after].map(|snapshot| snapshot.environment(environment.as_str()));
    let mut names = BTreeSet::new();
    for side in sides.iter().flatten() {
        let seen = side.servers().filter(|server| sight.server(server));
        names.extend(seen.map(|server| server.spec.name.clone()));
    }
    for server in &names {
        let mut ways: BTreeMap<(DeclaredCaller, ToolName), [Option<String>; 2]> = BTreeMap::new();
        let all = sides.iter().flatten().filter_map(|side| side.server(server.as_str()));
        let named: BTreeSet<ToolName> = all.flat_map(|server| every_tool(server, &[])).collect();
        for (place, (snapshot, side)) in [before, after].into_iter().zip(sides).enumerate() {
            let Some(environment) = side else { continue };
            let Some(server) = environment.server(server.as_str()) else { continue };
            let (found, more) = callers(snapshot, environment, server, None);
            made.more |= more;
            let door = Door { snapshot, environment, server, now };
            for caller in found.iter().filter(|caller| sight.caller(snapshot, caller)) {
                for tool in &named {
                    let Outcome::Reaches(way) = door.knock(caller, tool, sight) else { continue };
                    if !sees(server, &way, sight) {
                        continue;
                    }
                    let key = (caller.clone(), tool.clone());
                    let sides = ways.entry(key).or_default();
                    if let Some(side) = sides.get_mut(place) {
                        *side = Some(way.binding.name.to_string());
                    }
                }
            }
        }
        for ((caller, tool), [old, new]) in ways {
            made.note(&caller, server, &tool, old, new);
        }
    }
    made
}

impl AccessChanges {
    fn note(
        &mut self,
        caller: &DeclaredCaller,
        server: &ServerName,
        tool: &ToolName,
        before: Option<String>,
        after: Option<String>,
    ) {
        let list = match (&before, &after) {
            (one, other) if one == other => return,
            (None, Some(_)) => &mut self.gains,
            (Some(_), None) => &mut self.losses,
            _ => &mut self.moves,
        };
        let (who, other) = (caller.to_string(), tool.as_str() == OTHER);
        let same = |one: &&mut AccessChange| {
            one.who == who && one.server == *server && one.before == before && one.after == after
        };
        match list.iter_mut().rev().take(32).find(same) {
            Some(row) if other => row.every_other = true,
            Some(row) => row.tools.push(tool.clone()),
            None => list.push(AccessChange {
                who,
                caller: caller.into(),
                server: server.clone(),
                tools: if other { Vec::new() } else { vec![tool.clone()] },
                every_other: other,
                before,
                after,
            }),
        }
    }
}
