//! The API's answers, as far as pages show them.

use serde::Deserialize;
use serde_json::{Map, Value};

/// Some cards.
#[derive(Debug, Deserialize)]
pub(crate) struct Cards {
    pub(crate) items: Vec<Card>,
    pub(crate) next: Option<String>,
}

/// A binding. What is shown as it is declared stays a JSON value.
#[derive(Debug, Deserialize)]
pub(crate) struct Card {
    /// What of it was read.
    pub(crate) etag: String,
    pub(crate) name: String,
    pub(crate) environment: String,
    pub(crate) revision: u64,
    pub(crate) status: String,
    pub(crate) who: String,
    pub(crate) server: String,
    pub(crate) destination: Option<String>,
    pub(crate) tools: Vec<String>,
    pub(crate) methods: Vec<String>,
    pub(crate) risk: String,
    pub(crate) mode: String,
    pub(crate) reference: Option<String>,
    pub(crate) source: Value,
    pub(crate) store: Option<String>,
    pub(crate) path_owners: Vec<String>,
    pub(crate) how: Option<String>,
    pub(crate) policy: Policy,
    pub(crate) owner: String,
    pub(crate) limits: Value,
    pub(crate) review_by: Option<String>,
    pub(crate) expires_at: Option<String>,
    pub(crate) exceptions: Value,
    pub(crate) author: String,
    pub(crate) created_at: String,
    pub(crate) approvals: Vec<Approval>,
    pub(crate) shadows: Vec<String>,
    pub(crate) pending: Option<Pending>,
    #[serde(default)]
    pub(crate) locks: Vec<CardLock>,
    #[serde(default)]
    pub(crate) rotation: Option<Rotation>,
    #[serde(default)]
    pub(crate) review: Option<Review>,
}

/// When somebody looks at a binding again.
#[derive(Debug, Deserialize)]
pub(crate) struct Review {
    pub(crate) due_at: String,
    pub(crate) last_at: String,
    pub(crate) by: Vec<String>,
    pub(crate) signed_by: Vec<String>,
    pub(crate) stage: Option<String>,
    pub(crate) disabled_at: Option<String>,
    pub(crate) disables_at: Option<String>,
}

/// A lock that stops calls under a binding.
#[derive(Debug, Deserialize)]
pub(crate) struct CardLock {
    pub(crate) stops: String,
    pub(crate) until: String,
}

/// How a secret is kept fresh.
#[derive(Debug, Deserialize)]
pub(crate) struct Rotation {
    pub(crate) version: Option<String>,
    pub(crate) active_since: Option<String>,
    pub(crate) next_due: Option<String>,
    pub(crate) held: bool,
    pub(crate) overdue: Option<bool>,
    pub(crate) versions: Vec<SecretVersion>,
}

/// One version of a secret; never its value.
#[derive(Debug, Deserialize)]
pub(crate) struct SecretVersion {
    pub(crate) version: String,
    pub(crate) state: String,
    pub(crate) since: String,
    pub(crate) reason: Option<String>,
}

/// A time-limited emergency stop.
#[derive(Debug, Deserialize)]
pub(crate) struct Lock {
    pub(crate) id: String,
    pub(crate) stops: String,
    pub(crate) reason: String,
    pub(crate) author: String,
    pub(crate) until: String,
    pub(crate) stands: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Policy {
    pub(crate) name: String,
    pub(crate) revision: Option<u64>,
    pub(crate) current: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Approval {
    pub(crate) approver: String,
    pub(crate) at: String,
}

/// A revision that waits for signatures.
#[derive(Debug, Deserialize)]
pub(crate) struct Pending {
    pub(crate) revision: u64,
    pub(crate) author: String,
    #[serde(default)]
    pub(crate) created_at: String,
    pub(crate) approvals: Vec<Approval>,
    pub(crate) missing: Vec<Requirement>,
    #[serde(default)]
    pub(crate) changes: Vec<Change>,
    /// Whether the operator can sign it now.
    #[serde(default)]
    pub(crate) yours: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Requirement {
    pub(crate) any_of: Vec<Value>,
    pub(crate) count: u8,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Change {
    pub(crate) field: String,
    pub(crate) effect: String,
    pub(crate) before: Value,
    pub(crate) after: Value,
}

/// What a pending revision would do to the calls of late.
#[derive(Debug, Deserialize)]
pub(crate) struct Effect {
    pub(crate) calls: u64,
    pub(crate) unchanged: u64,
    pub(crate) untold: u64,
    pub(crate) gains: Vec<Replayed>,
    pub(crate) losses: Vec<Replayed>,
    pub(crate) moves: Vec<Replayed>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Replayed {
    pub(crate) user: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) workload: Option<String>,
    pub(crate) server: String,
    pub(crate) tool: Option<String>,
    pub(crate) method: String,
    pub(crate) calls: u64,
    pub(crate) last: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

/// A list, or a page of one.
#[derive(Debug, Deserialize)]
pub(crate) struct Items<T> {
    pub(crate) items: Vec<T>,
    #[serde(default = "Option::default")]
    pub(crate) next: Option<String>,
}

/// A server, an agent, a policy, an environment.
#[derive(Debug, Deserialize)]
pub(crate) struct Object {
    pub(crate) name: String,
    pub(crate) environment: Option<String>,
    pub(crate) revision: u64,
    pub(crate) status: String,
    pub(crate) author: String,
    pub(crate) spec: Value,
    pub(crate) pending: Option<Pending>,
}

/// A session, a stream or a process.
#[derive(Debug, Deserialize)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) environment: String,
    pub(crate) server: String,
    pub(crate) actor: Value,
    pub(crate) bindings: Vec<String>,
    pub(crate) opened_at: String,
    pub(crate) method: Option<String>,
    pub(crate) tool: Option<String>,
}

/// A user's grant, without its tokens.
#[derive(Debug, Deserialize)]
pub(crate) struct Grant {
    pub(crate) id: String,
    pub(crate) environment: String,
    pub(crate) provider: String,
    pub(crate) user: String,
    pub(crate) account: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) created_at: String,
    pub(crate) end_reason: Option<String>,
}

/// Some records of the chain.
#[derive(Debug, Deserialize)]
pub(crate) struct Records {
    pub(crate) records: Vec<Record>,
    #[serde(default)]
    pub(crate) next: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Record {
    pub(crate) sequence: u64,
    pub(crate) event: Map<String, Value>,
}

impl Record {
    /// A field of the event as text; empty where it is absent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.event.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}
