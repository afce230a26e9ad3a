//! Which records a search is after.

use gateway_core::audit::{Decision, EventKind};
use gateway_core::ports::Sequence;
use gateway_core::time::Timestamp;
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::terms;

macro_rules! filter {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Conditions; all that are set must hold.
        #[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Filter {
            $($(#[$doc])* pub $name: Option<String>,)+
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
            /// Only records before this one.
            pub before: Option<Sequence>,
        }

        impl Filter {
            /// The conditions that a text must equal, by the field's name.
            fn texts(&self) -> Vec<(&'static str, &str)> {
                let all = [$((stringify!($name), self.$name.as_deref()),)+];
                all.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
            }
        }
    };
}

filter! {
    /// The request's id.
    request_id,
    /// The W3C trace id.
    trace_id,
    /// The user, as `iss|sub`.
    user,
    /// The agent.
    agent,
    /// The workload.
    workload,
    /// The client application.
    surface,
    /// The operator.
    operator,
    /// Where the caller connected from.
    source_address,
    /// The public id of a protocol session.
    session,
    /// The environment.
    environment,
    /// The server.
    server,
    /// The JSON-RPC method.
    method,
    /// The tool.
    tool,
    /// The risk of the call.
    risk,
    /// The code of a refusal.
    reason,
    /// The hash of the policy set.
    policy_version,
    /// A policy that decided.
    policy,
    /// The credential mode.
    mode,
    /// The binding, as `name` or `name@revision`.
    binding,
    /// The place in a store.
    reference,
    /// The store's id of the version used.
    secret_version,
    /// The keyed fingerprint of a value.
    fingerprint,
    /// The store's id of a fetch.
    store_request_id,
    /// The hash of the route.
    route_id,
    /// The epoch of the decision.
    epoch,
    /// The object of an act, as `name` or `kind/environment/name`.
    object,
    /// The object's revision.
    revision,
    /// The hash of the object's content.
    content,
    /// The object's new status.
    status,
    /// How a credential was obtained.
    source,
    /// The provider.
    provider,
    /// The public id of a grant.
    grant,
    /// A scope asked for or granted.
    scope,
    /// What a provider or store answered.
    answer,
    /// The upstream's HTTP status.
    upstream_status,
    /// The public id of a revocation.
    revocation,
    /// The id of a lock.
    lock,
    /// The row of the state's outbox.
    outbox_id,
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
    /// The filter, made ready to compare.
    pub(super) fn wanted(&self) -> Wanted {
        let mut terms: Vec<(&'static str, String)> =
            self.texts().into_iter().map(|(name, text)| (name, spelled(name, text))).collect();
        let mut word = |name, value: Option<Value>| {
            if let Some(Value::String(text)) = value {
                terms.push((name, text));
            }
        };
        word("kind", self.kind.and_then(|kind| serde_json::to_value(kind).ok()));
        word("decision", self.decision.and_then(|decision| serde_json::to_value(decision).ok()));
        let finders = terms.iter().filter_map(|(name, text)| finder(name, text)).collect();
        let (from, until) = (self.from, self.until);
        Wanted { terms, finders, from, until, after: self.after, before: self.before }
    }
}

/// The kind of an object is written in any case.
fn spelled(name: &str, text: &str) -> String {
    match text.split_once('/').filter(|_| name == "object") {
        Some((kind, rest)) => format!("{}/{rest}", kind.to_ascii_lowercase()),
        None => text.to_owned(),
    }
}

/// Text that a matching line must hold as it is: lines without it are not even parsed.
fn finder(name: &str, text: &str) -> Option<Finder<'static>> {
    let plain = text.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\');
    if !plain {
        return None;
    }
    let fragment = match name {
        "binding" => format!("\"binding\":\"{text}"),
        "object" => format!("\"name\":\"{}\"", text.rsplit('/').next().unwrap_or(text)),
        "policy" | "scope" => format!("\"{text}\""),
        "epoch" | "revision" | "upstream_status" => format!("\"{name}\":{text}"),
        _ => format!("\"{name}\":\"{text}\""),
    };
    Some(Finder::new(&fragment).into_owned())
}

/// A filter, ready to compare.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) terms: Vec<(&'static str, String)>,
    finders: Vec<Finder<'static>>,
    pub(super) from: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
    pub(super) after: Option<Sequence>,
    pub(super) before: Option<Sequence>,
}

impl Wanted {
    /// Whether the line may be of a record that is wanted; cheap.
    pub(super) fn may_be(&self, line: &[u8]) -> bool {
        self.finders.iter().all(|finder| finder.find(line).is_some())
    }

    /// Whether the time is wanted.
    pub(super) fn is_in_time(&self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| time >= from) && self.until.is_none_or(|until| time < until)
    }

    /// Whether the number is wanted.
    pub(super) fn is_in_reach(&self, sequence: Sequence) -> bool {
        self.after.is_none_or(|after| sequence > after) && self.before.is_none_or(|before| sequence < before)
    }

    /// Whether every condition but time and number holds for the event.
    pub(super) fn holds(&self, event: &Value) -> bool {
        let mut met = vec![false; self.terms.len()];
        terms::each(event, &mut |name, text| {
            for (met, (wanted, value)) in met.iter_mut().zip(&self.terms) {
                *met |= *wanted == name && value == text;
            }
        });
        met.into_iter().all(|met| met)
    }
}
