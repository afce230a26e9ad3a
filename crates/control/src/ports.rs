//! What the control plane needs beyond the ports of `core`; the binary wires each to an adapter.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::audit::{Decision, Event, EventKind};
use gateway_core::identity::{IdentityError, Presented, TokenDigest};
use gateway_core::lifecycle::operator_by_token;
use gateway_core::operator::Operator;
use gateway_core::ports::{Sequence, StateReader};
use gateway_core::secret::Secret;
use gateway_core::snapshot::Snapshot;
use gateway_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Authenticates an operator by a bearer token.
#[async_trait]
pub trait OperatorVerifier: Send + Sync + fmt::Debug {
    /// The operator behind the token.
    ///
    /// # Errors
    /// Why the token is not accepted; [`IdentityError::KeysUnavailable`] where the fault is not the caller's.
    async fn verify(&self, presented: &Presented, now: Timestamp) -> Result<Operator, IdentityError>;
}

/// Authenticates by the operators' tokens that the state holds.
#[derive(Debug)]
pub struct StoredOperators(
    /// Where they are kept.
    pub Arc<dyn StateReader>,
);

#[async_trait]
impl OperatorVerifier for StoredOperators {
    async fn verify(&self, presented: &Presented, now: Timestamp) -> Result<Operator, IdentityError> {
        let state = self.0.load().await.map_err(|_| IdentityError::KeysUnavailable)?;
        operator_by_token(&state, presented.digest(), now).ok_or(IdentityError::Revoked)
    }
}

/// What a token is made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenKind {
    /// An agent's, on the data plane.
    Agent,
    /// An operator's, on the control plane.
    Operator,
}

/// Makes tokens with the prefix and checksum of their kind.
pub trait TokenMinter: Send + Sync + fmt::Debug {
    /// A fresh token and the digest to store in its place.
    fn mint(&self, kind: TokenKind) -> (Secret, TokenDigest);
}

/// The newest snapshot.
pub trait SnapshotSource: Send + Sync + fmt::Debug {
    /// What decides now on this replica.
    fn current(&self) -> Arc<Snapshot>;
}

/// The pages that tell machines how the gateway is.
#[async_trait]
pub trait StatusPages: Send + Sync + fmt::Debug {
    /// Whether it may be sent traffic.
    async fn readiness(&self) -> Readiness;
    /// The metrics in the Prometheus text format.
    fn metrics(&self) -> String;
    /// The public keys of the evidence's checkpoints, as a JWK set (RFC 7517).
    fn jwks(&self) -> serde_json::Value;
}

/// Whether the gateway may be sent traffic, and what stands in the way.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Readiness {
    /// The parts that are not ready, in words for the operator; empty means ready.
    pub waiting_for: Vec<String>,
    /// The receivers of the evidence. One that is down delays evidence and keeps nothing else waiting.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<SinkReadiness>,
}

/// How a receiver of the evidence is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SinkReadiness {
    /// Its name in the configuration.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The last record that it has taken.
    pub delivered: u64,
    /// How many records it does not have yet.
    pub lag: u64,
    /// Whether the last try failed.
    pub failing: bool,
}

/// Which records a search is after; all conditions that are set must hold.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditQuery {
    /// The request's id.
    pub request_id: Option<String>,
    /// The W3C trace id.
    pub trace_id: Option<String>,
    /// The user, as `iss|sub`.
    pub user: Option<String>,
    /// The agent.
    pub agent: Option<String>,
    /// The workload.
    pub workload: Option<String>,
    /// The client application.
    pub surface: Option<String>,
    /// The operator.
    pub operator: Option<String>,
    /// Where the caller connected from.
    pub source_address: Option<String>,
    /// The public id of a protocol session.
    pub session: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// The server.
    pub server: Option<String>,
    /// The JSON-RPC method.
    pub method: Option<String>,
    /// The tool.
    pub tool: Option<String>,
    /// The risk of the call.
    pub risk: Option<String>,
    /// The code of a refusal.
    pub reason: Option<String>,
    /// The hash of the policy set.
    pub policy_version: Option<String>,
    /// A policy that decided.
    pub policy: Option<String>,
    /// The credential mode.
    pub mode: Option<String>,
    /// The binding, as `name` or `name@revision`.
    pub binding: Option<String>,
    /// The place in a store.
    pub reference: Option<String>,
    /// The store's id of the version used.
    pub secret_version: Option<String>,
    /// The keyed fingerprint of a value.
    pub fingerprint: Option<String>,
    /// The store's id of a fetch.
    pub store_request_id: Option<String>,
    /// The hash of the route.
    pub route_id: Option<String>,
    /// The epoch of the decision.
    pub epoch: Option<String>,
    /// The object of an act, as `name` or `kind/environment/name`.
    pub object: Option<String>,
    /// The object's revision.
    pub revision: Option<String>,
    /// The hash of the object's content.
    pub content: Option<String>,
    /// The object's new status.
    pub status: Option<String>,
    /// How a credential was obtained.
    pub source: Option<String>,
    /// The provider.
    pub provider: Option<String>,
    /// The public id of a grant.
    pub grant: Option<String>,
    /// A scope asked for or granted.
    pub scope: Option<String>,
    /// What a provider or store answered.
    pub answer: Option<String>,
    /// The upstream's HTTP status.
    pub upstream_status: Option<String>,
    /// The public id of a revocation.
    pub revocation: Option<String>,
    /// The id of a lock.
    pub lock: Option<String>,
    /// The row of the state's outbox.
    pub outbox_id: Option<String>,
    /// What happened.
    pub kind: Option<EventKind>,
    /// Allowed or refused.
    pub decision: Option<Decision>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Only records after this one.
    pub after: Option<u64>,
    /// Only records before this one.
    pub before: Option<u64>,
    /// Where the last page ended, as it said in `next`; with the same conditions and order.
    pub cursor: Option<u64>,
    /// In which order.
    pub order: AuditOrder,
    /// How many at most; 100 where absent, 1,000 is the most.
    pub limit: Option<u32>,
}

/// In which order records are given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditOrder {
    /// The newest first.
    #[default]
    NewestFirst,
    /// The oldest first.
    OldestFirst,
}

/// One record of the chain.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct AuditEntry {
    /// Its place in the chain.
    pub sequence: Sequence,
    /// Its hash, in hex.
    pub hash: String,
    /// What happened.
    pub event: Event,
}

/// Some records.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct AuditPage {
    /// The records.
    pub records: Vec<AuditEntry>,
    /// Whether there are more.
    pub more: bool,
    /// Where the next page begins: its `cursor`. The chain only grows at its end, so pages never shift.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// The chain that they are of, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// Records that could not be read: run a verification.
    pub unreadable: u64,
}

/// What a verification found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct AuditVerdict {
    /// Whether the chain holds.
    pub holds: bool,
    /// Records read.
    pub records: u64,
    /// Segments read.
    pub segments: u64,
    /// Checkpoints whose signature holds.
    pub checkpoints: u64,
    /// The last record that was removed on purpose, where the chain does not begin at its first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begins_after: Option<u64>,
    /// The hash of the last record, in hex.
    pub last_hash: Option<String>,
    /// The first problem.
    pub problem: Option<AuditProblem>,
}

/// Where a chain breaks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AuditProblem {
    /// The segment.
    pub segment: u64,
    /// The record.
    pub sequence: u64,
    /// What is wrong.
    pub message: String,
}

/// The audit log cannot be read. The inside story is for the operator's log.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the audit log cannot be read: {0}")]
pub struct AuditReadError(pub String);

/// Reads evidence.
#[async_trait]
pub trait AuditReader: Send + Sync + fmt::Debug {
    /// Finds records.
    ///
    /// # Errors
    /// The log cannot be read.
    async fn search(&self, query: &AuditQuery) -> Result<AuditPage, AuditReadError>;

    /// The records after one, oldest first.
    ///
    /// # Errors
    /// The log cannot be read.
    async fn tail(&self, after: Sequence, limit: u32) -> Result<AuditPage, AuditReadError>;

    /// Verifies the whole chain.
    ///
    /// # Errors
    /// The log cannot be read at all; what is wrong with it is in the verdict.
    async fn verify(&self) -> Result<AuditVerdict, AuditReadError>;
}
