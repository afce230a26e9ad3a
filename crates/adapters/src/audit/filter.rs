//! Which records a search is after.

use gateway_core::audit::{Decision, Event, EventKind};
use gateway_core::ports::Sequence;
use gateway_core::time::Timestamp;
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

/// Conditions; all that are set must hold.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// The request's id.
    pub request_id: Option<String>,
    /// The binding, as `name` or `name@revision`.
    pub binding: Option<String>,
    /// The agent.
    pub agent: Option<String>,
    /// The user, as `iss|sub`.
    pub user: Option<String>,
    /// The operator.
    pub operator: Option<String>,
    /// The server.
    pub server: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// The tool.
    pub tool: Option<String>,
    /// What happened.
    pub kind: Option<EventKind>,
    /// Allowed or refused.
    pub decision: Option<Decision>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Only records after this one.
    pub after: Option<Sequence>,
}

/// In which order records are given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The newest first.
    #[default]
    NewestFirst,
    /// The oldest first.
    OldestFirst,
}

impl Filter {
    pub(super) fn matches(&self, event: &Event) -> bool {
        let same = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let binding = self.binding.as_deref().is_none_or(|wanted| {
            let found = event.binding.as_ref();
            found.is_some_and(|found| found.name.as_str() == wanted || found.to_string() == wanted)
        });
        let object_environment = event.object.as_ref().and_then(|object| object.environment.as_ref());
        let environment = event.environment.as_ref().or(object_environment);
        binding
            && same(&self.request_id, event.request_id.as_ref().map(|id| id.as_str()))
            && same(&self.agent, event.agent.as_ref().map(|name| name.as_str()))
            && same(&self.user, event.user.as_deref())
            && same(&self.operator, event.operator.as_ref().map(|name| name.as_str()))
            && same(&self.server, event.server.as_ref().map(|name| name.as_str()))
            && same(&self.environment, environment.map(|name| name.as_str()))
            && same(&self.tool, event.tool.as_ref().map(|name| name.as_str()))
            && self.kind.is_none_or(|kind| kind == event.kind)
            && self.decision.is_none_or(|decision| event.decision == Some(decision))
            && self.from.is_none_or(|from| event.time >= from)
            && self.until.is_none_or(|until| event.time < until)
    }

    /// Texts that a matching line must hold as they are: lines without them are not even parsed.
    pub(super) fn finders(&self) -> Vec<Finder<'_>> {
        [
            &self.request_id,
            &self.binding,
            &self.agent,
            &self.user,
            &self.operator,
            &self.server,
            &self.environment,
            &self.tool,
        ]
        .into_iter()
        .flatten()
        .filter(|text| text.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\'))
        .map(|text| Finder::new(text.as_bytes()))
        .collect()
    }
}
