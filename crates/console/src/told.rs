//! The API's answers about how things are: objects with their past, what waits and ends, calls, stores, revocations.

use serde::Deserialize;
use serde_json::Value;

use crate::shapes::{Approval, Change, Pending, Requirement};

/// An object with every revision of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Whole {
    /// What of it was read.
    pub(crate) etag: String,
    pub(crate) name: String,
    pub(crate) environment: Option<String>,
    pub(crate) revision: u64,
    pub(crate) status: String,
    pub(crate) author: String,
    pub(crate) approvals: Vec<Approval>,
    pub(crate) spec: Value,
    pub(crate) pending: Option<Pending>,
    pub(crate) history: Vec<Past>,
}

impl Whole {
    /// A declared field in words; empty where it is absent.
    pub(crate) fn said(&self, field: &str) -> String {
        self.spec.get(field).map(crate::parts::words).unwrap_or_default()
    }
}

/// One revision, and what it changed against the one before.
#[derive(Debug, Deserialize)]
pub(crate) struct Past {
    pub(crate) revision: u64,
    pub(crate) status: String,
    pub(crate) author: String,
    pub(crate) created_at: String,
    pub(crate) changed_at: String,
    pub(crate) approvals: Vec<Approval>,
    pub(crate) spec: Value,
    pub(crate) changes: Vec<Change>,
}

/// A pending revision of any kind.
#[derive(Debug, Deserialize)]
pub(crate) struct Waits {
    pub(crate) kind: String,
    pub(crate) environment: Option<String>,
    pub(crate) name: String,
    pub(crate) yours: bool,
    pub(crate) revision: u64,
    pub(crate) author: String,
    pub(crate) created_at: String,
    pub(crate) spec: Value,
    pub(crate) missing: Vec<Requirement>,
    pub(crate) changes: Vec<Change>,
}

/// What ends or is due soon.
#[derive(Debug, Deserialize)]
pub(crate) struct Soon {
    pub(crate) at: String,
    pub(crate) due: String,
    pub(crate) environment: Option<String>,
    pub(crate) name: String,
    pub(crate) overdue: bool,
}

/// How many there are, by kind and status.
#[derive(Debug, Deserialize)]
pub(crate) struct Summary {
    pub(crate) bindings: Counts,
    #[serde(default)]
    pub(crate) servers: Counts,
    #[serde(default)]
    pub(crate) agents: Counts,
    #[serde(default)]
    pub(crate) workloads: Counts,
    #[serde(default)]
    pub(crate) providers: Counts,
    #[serde(default)]
    pub(crate) policies: Counts,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    pub(crate) active: u64,
    pub(crate) disabled: u64,
    pub(crate) pending: u64,
}

/// Calls of late.
#[derive(Debug, Deserialize)]
pub(crate) struct Calls {
    pub(crate) since: String,
    pub(crate) uses: u64,
    pub(crate) refusals: u64,
    pub(crate) more: bool,
    pub(crate) by: Vec<Line>,
    pub(crate) latest: Vec<Latest>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Line {
    pub(crate) who: String,
    pub(crate) environment: String,
    pub(crate) server: String,
    pub(crate) mode: String,
    pub(crate) outcome: String,
    pub(crate) detail: String,
    pub(crate) calls: u64,
    pub(crate) last: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Latest {
    pub(crate) time: String,
    pub(crate) request_id: Option<String>,
    pub(crate) who: String,
    pub(crate) environment: String,
    pub(crate) server: String,
    pub(crate) tool: Option<String>,
    pub(crate) binding: Option<String>,
    pub(crate) outcome: String,
    pub(crate) detail: String,
}

/// A configured store.
#[derive(Debug, Deserialize)]
pub(crate) struct Store {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) kind: Option<String>,
    pub(crate) class: String,
    pub(crate) environments: Vec<String>,
    pub(crate) takes_values: bool,
    pub(crate) per_caller: bool,
    pub(crate) references: u64,
    #[serde(flatten)]
    pub(crate) health: StoreHealth,
}

#[derive(Debug, Deserialize)]
pub(crate) struct StoreHealth {
    pub(crate) reachable: Option<bool>,
    pub(crate) resting: bool,
    #[serde(default)]
    pub(crate) answered_at: Option<String>,
    #[serde(default)]
    pub(crate) last_refusal: Option<Refused>,
    pub(crate) fetches: u64,
    pub(crate) failures: u64,
    pub(crate) served_from_memory: u64,
}

impl StoreHealth {
    /// Whether somebody should look at it.
    pub(crate) fn is_ill(&self) -> bool {
        self.resting || self.reachable == Some(false)
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Refused {
    pub(crate) code: String,
    pub(crate) at: String,
}

/// How a binding has been of late.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct BindingHealth {
    pub(crate) store: Option<NamedStore>,
    pub(crate) last_used: Option<String>,
    pub(crate) last_refusal: Option<Refused>,
    pub(crate) last_rotated: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct NamedStore {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) health: StoreHealth,
}

/// A revocation by its newest document.
#[derive(Debug, Deserialize)]
pub(crate) struct Revocation {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) subject: String,
    pub(crate) requested_by: String,
    pub(crate) requested_at: String,
    pub(crate) signed_at: String,
    pub(crate) outstanding: u64,
    #[serde(default)]
    pub(crate) claims: Value,
    /// Absent for those who do not see the paths of secrets.
    #[serde(default)]
    pub(crate) documents: Option<Vec<String>>,
}

/// An agent's token, without the token.
#[derive(Debug, Deserialize)]
pub(crate) struct AgentToken {
    pub(crate) id: String,
    pub(crate) entries: Value,
    pub(crate) created_at: String,
    pub(crate) expires_at: String,
    pub(crate) revoked_at: Option<String>,
    pub(crate) issued_by: String,
}
