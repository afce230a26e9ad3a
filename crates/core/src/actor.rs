//! The actor: the composite principal of a call, and the selector that asks for parts of it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{AgentName, GroupName, WorkloadName};

/// A user: the pair that stays the same when names change. Shown as `iss|sub`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserIdentity {
    /// The issuer exactly as configured (RFC 7519 `iss`).
    pub issuer: Arc<str>,
    /// The subject within that issuer, by the issuer's subject claim.
    pub subject: Arc<str>,
}

impl fmt::Display for UserIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}", self.issuer, self.subject)
    }
}

impl fmt::Debug for UserIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The user's groups. An overage (the token says that there are too many to list) is *unknown*,
/// and unknown never matches.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Groups {
    /// Exactly these.
    Known(BTreeSet<GroupName>),
    /// Not told.
    #[default]
    Unknown,
}

impl Groups {
    /// Whether the user is known to be in the group.
    pub fn contains(&self, group: &GroupName) -> bool {
        matches!(self, Self::Known(groups) if groups.contains(group))
    }
}

/// The composite principal of a call. Absent parts never match a selector that asks for them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Actor {
    /// The person on whose behalf the call runs.
    pub user: Option<UserIdentity>,
    /// That person's groups.
    pub groups: Groups,
    /// The registered agent, proven (DESIGN, section 11.3), never merely claimed.
    pub agent: Option<AgentName>,
    /// The attested runtime.
    pub workload: Option<WorkloadName>,
    /// The client application the token was issued to; unproven, so it never selects an agent.
    pub surface: Option<Arc<str>>,
}

impl Actor {
    /// Whom a token is about, and who acts for them (RFC 8693, section 4.1): the user where there is one,
    /// else the agent, else the workload.
    pub fn parties(&self) -> Option<(String, Option<String>)> {
        let user = self.user.as_ref().map(ToString::to_string);
        let agent = self.agent.as_ref().map(|agent| format!("agent:{agent}"));
        let workload = self.workload.as_ref().map(|workload| format!("workload:{workload}"));
        let mut parts = [user, agent, workload].into_iter().flatten();
        parts.next().map(|subject| (subject, parts.next()))
    }

    /// The stable identity that sessions are bound to: who acts, not which token said so.
    pub fn stable_id(&self) -> String {
        let user = self.user.as_ref().map(ToString::to_string).unwrap_or_default();
        let agent = self.agent.as_ref().map(AgentName::as_str).unwrap_or_default();
        let workload = self.workload.as_ref().map(WorkloadName::as_str).unwrap_or_default();
        format!("{user};{agent};{workload};{}", self.surface.as_deref().unwrap_or_default())
    }
}

/// Which actors a binding serves. Parts are AND, the entries of one part OR (DESIGN, 12.9).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActorSelector {
    /// Registered agents.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<AgentName>,
    /// Workload mappings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<WorkloadName>,
    /// Users as `iss|sub`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Groups of the identity provider.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupName>,
    /// Everyone who may enter the environment; refused in production.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub any: bool,
}

/// How specific a selector is: compared from left to right, equal is ambiguous.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Specificity {
    agent: bool,
    workload: bool,
    user: bool,
    group: bool,
    tools: bool,
}

impl ActorSelector {
    /// Whether nothing is asked for at all, which selects nobody.
    pub fn is_empty(&self) -> bool {
        let named = self.agents.len() + self.workloads.len() + self.users.len() + self.groups.len();
        named == 0 && !self.any
    }

    /// Whether the actor has every part that the selector asks for.
    pub fn matches(&self, actor: &Actor) -> bool {
        if self.is_empty() {
            return false;
        }
        let agent = self.agents.is_empty() || actor.agent.as_ref().is_some_and(|a| self.agents.contains(a));
        let workload =
            self.workloads.is_empty() || actor.workload.as_ref().is_some_and(|w| self.workloads.contains(w));
        let user = self.users.is_empty()
            || actor.user.as_ref().is_some_and(|user| self.users.contains(&user.to_string()));
        let group = self.groups.is_empty() || self.groups.iter().any(|group| actor.groups.contains(group));
        agent && workload && user && group
    }

    /// Whether it may match calls of this person, made with the right agent or workload.
    pub fn admits_person(&self, user: &UserIdentity, groups: &Groups) -> bool {
        let named = self.users.is_empty() || self.users.contains(&user.to_string());
        let member = self.groups.is_empty() || self.groups.iter().any(|group| groups.contains(group));
        !self.is_empty() && named && member
    }

    /// The place of this selector in the order of specificity.
    pub fn specificity(&self, has_tool_list: bool) -> Specificity {
        Specificity {
            agent: !self.agents.is_empty(),
            workload: !self.workloads.is_empty(),
            user: !self.users.is_empty(),
            group: !self.groups.is_empty(),
            tools: has_tool_list,
        }
    }
}

impl fmt::Display for ActorSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut part = |word: &str, names: Vec<&str>| {
            if !names.is_empty() {
                parts.push(format!("{word} {}", names.join(" or ")));
            }
        };
        part("agent", self.agents.iter().map(AgentName::as_str).collect());
        part("workload", self.workloads.iter().map(WorkloadName::as_str).collect());
        part("user", self.users.iter().map(String::as_str).collect());
        part("group", self.groups.iter().map(GroupName::as_str).collect());
        match (parts.is_empty(), self.any) {
            (true, true) => f.write_str("anyone who may enter the environment"),
            (true, false) => f.write_str("nobody"),
            (false, _) => f.write_str(&parts.join(" and ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str) -> AgentName {
        AgentName::parse(name).unwrap()
    }

    #[test]
    fn parts_are_and_lists_are_or_and_absent_parts_never_match() {
        let selector = ActorSelector {
            agents: vec![agent("a"), agent("b")],
            groups: vec![GroupName::parse("support").unwrap()],
            ..ActorSelector::default()
        };
        let known = Groups::Known([GroupName::parse("support").unwrap()].into());
        let mut actor = Actor { agent: Some(agent("b")), groups: known, ..Actor::default() };
        assert!(selector.matches(&actor));
        actor.groups = Groups::Unknown;
        assert!(!selector.matches(&actor), "an overage never matches");
        assert!(!ActorSelector::default().matches(&actor), "an empty selector selects nobody");
    }

    #[test]
    fn named_agent_beats_workload_user_group_and_tool_list() {
        let by_agent = ActorSelector { agents: vec![agent("a")], ..ActorSelector::default() };
        let by_user = ActorSelector { users: vec!["i|s".into()], ..ActorSelector::default() };
        assert!(by_agent.specificity(false) > by_user.specificity(true));
        assert!(by_user.specificity(true) > by_user.specificity(false));
    }
}
