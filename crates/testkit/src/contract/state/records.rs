//! Everything that is written is read back, and nothing that has ended.

use std::collections::BTreeMap;
use std::time::Duration;

use gateway_core::audit::{Event, EventKind};
use gateway_core::id::{AgentName, EnvironmentName, Epoch, OperatorName, Revision, ServerName, TeamName};
use gateway_core::identity::{Entry, TokenDigest};
use gateway_core::manifest::{ContentHash, Spec};
use gateway_core::operator::{Role, RoleGrant};
use gateway_core::ports::StateError;
use gateway_core::secret::Secret;
use gateway_core::state::{
    AgentTokenRecord, Approval, Capacity, Change, Lifecycle, Operation, OperatorTokenRecord, Pins,
    RevisionRecord,
};
use gateway_core::time::Timestamp;
use serde_json::json;

use super::{StateDatabase, refuse, write};

/// The time at which every part of the battery plays.
pub const NOW: Timestamp = Timestamp::from_micros(1_795_683_600_123_456);

/// Samples of what the state holds.
pub mod sample {
    use super::*;

    /// A first active revision of the content.
    pub fn record(spec: serde_json::Value) -> RevisionRecord {
        let spec: Spec = serde_json::from_value(spec).unwrap();
        RevisionRecord {
            key: spec.key(),
            revision: Revision(1),
            content: spec.content_hash(),
            spec,
            status: Lifecycle::Active,
            author: OperatorName::parse("https://idp.internal|alice").unwrap(),
            created_at: NOW,
            changed_at: NOW,
            approvals: Vec::new(),
            pins: None,
        }
    }

    /// An environment.
    pub fn environment(name: &str) -> RevisionRecord {
        record(json!({ "kind": "Environment", "name": name, "tier": "dev", "approvals": 1 }))
    }

    /// A server.
    pub fn server(environment: &str, name: &str) -> RevisionRecord {
        record(json!({
            "kind": "Server", "name": name, "environment": environment, "owner": "platform",
            "route": { "url": "https://github-mcp.internal/mcp" },
            "tools": { "default_risk": "write", "list_issues": "read" },
        }))
    }

    /// A binding on that environment's server `github`.
    pub fn binding(environment: &str, name: &str) -> RevisionRecord {
        record(json!({
            "kind": "Binding", "name": name, "environment": environment, "server": "github",
            "tools": ["list_issues"], "actor": { "agents": ["triage-bot"], "groups": ["Büro 7"] },
            "mode": "service_account", "secret": "vault://kv/github#token",
            "inject": { "header": "Authorization", "format": "Bearer {secret}" },
            "policy": "triage", "risk": "write", "owner": "support",
        }))
    }

    /// An agent.
    pub fn agent(name: &str) -> RevisionRecord {
        record(json!({
            "kind": "Agent", "name": name, "environments": ["dev"], "owner": "support",
            "risk_ceiling": "write", "proofs": ["agent_token"],
        }))
    }

    /// A provider.
    pub fn provider(environment: &str, name: &str) -> RevisionRecord {
        record(json!({
            "kind": "Provider", "name": name, "environment": environment, "owner": "platform",
            "issuer": "https://login.github.internal",
            "client": { "id": "gateway" },
        }))
    }

    /// A workload mapping.
    pub fn workload(name: &str) -> RevisionRecord {
        record(json!({
            "kind": "Workload", "name": name, "environments": ["dev"], "owner": "support",
            "identities": [{ "issuer": "spiffe://support.internal", "subject": "spiffe://support.internal/a" }],
        }))
    }

    /// A policy.
    pub fn policy(environment: &str, name: &str) -> RevisionRecord {
        record(json!({
            "kind": "Policy", "name": name, "environment": environment,
            "cedar": "permit (principal, action, resource);\n// ü \u{0} \\ ' \"",
        }))
    }

    /// A signature of somebody who is not the author.
    pub fn approval() -> Approval {
        Approval {
            approver: OperatorName::parse("https://idp.internal|bob").unwrap(),
            capacities: vec![Capacity::Environment, Capacity::Path(TeamName::parse("support").unwrap())],
            at: NOW,
        }
    }

    /// Pins of a binding.
    pub fn pins() -> Pins {
        Pins {
            server: Revision(1),
            policy: Revision(1),
            policy_hash: ContentHash::of(b"policy"),
            providers: BTreeMap::new(),
        }
    }

    /// An agent token that lives for another hour.
    pub fn agent_token(id: &str) -> AgentTokenRecord {
        AgentTokenRecord {
            id: id.to_owned(),
            digest: TokenDigest::of(&Secret::copy_from(id.as_bytes())),
            agent: AgentName::parse("triage-bot").unwrap(),
            entries: vec![
                Entry { environment: EnvironmentName::parse("dev").unwrap(), servers: None },
                Entry {
                    environment: EnvironmentName::parse("staging").unwrap(),
                    servers: Some(vec![ServerName::parse("github").unwrap()]),
                },
            ],
            created_at: NOW,
            expires_at: NOW.plus(Duration::from_secs(3600)),
            revoked_at: None,
            issued_by: OperatorName::parse("https://idp.internal|alice").unwrap(),
        }
    }

    /// An operator token that lives for another hour.
    pub fn operator_token(id: &str) -> OperatorTokenRecord {
        OperatorTokenRecord {
            id: id.to_owned(),
            digest: TokenDigest::of(&Secret::copy_from(id.as_bytes())),
            operator: OperatorName::parse("bootstrap").unwrap(),
            roles: vec![
                RoleGrant::everywhere(Role::Admin),
                RoleGrant {
                    role: Role::Approver,
                    teams: Some(vec![TeamName::parse("support").unwrap()]),
                    environments: Some(vec![EnvironmentName::parse("dev").unwrap()]),
                },
            ],
            expires_at: NOW.plus(Duration::from_secs(3600)),
            bootstrap: true,
            ended_at: None,
        }
    }

    /// Writes the revision.
    pub fn insert(record: RevisionRecord) -> Operation {
        Operation::InsertRevision(Box::new(record))
    }
}

pub(super) async fn everything_written_is_read_back(database: &dyn StateDatabase) {
    let state = database.open().await;
    let empty = state.load().await.unwrap();
    assert_eq!((empty.epoch, empty.revisions.len()), (Epoch(0), 0));
    let mut binding = RevisionRecord { status: Lifecycle::Pending, ..sample::binding("dev", "triage") };
    let mut records = vec![
        sample::environment("dev"),
        sample::server("dev", "github"),
        sample::provider("dev", "github"),
        sample::workload("triage-runner"),
        sample::agent("triage-bot"),
        sample::policy("dev", "triage"),
        RevisionRecord { status: Lifecycle::Draft, ..sample::binding("dev", "a-draft") },
        binding.clone(),
    ];
    let mut steps: Vec<_> = records.iter().cloned().map(sample::insert).collect();
    steps.push(Operation::InsertAgentToken(sample::agent_token("agent-1")));
    steps.push(Operation::InsertOperatorToken(sample::operator_token("operator-1")));
    write(&*state, steps).await.unwrap();
    // The approval, its pins and the step to active come later, in one batch.
    let later = NOW.plus(Duration::from_secs(60));
    let (key, revision) = (binding.key.clone(), binding.revision);
    let steps = vec![
        Operation::AddApproval { key: key.clone(), revision, approval: sample::approval() },
        Operation::AddApproval {
            key: key.clone(),
            revision,
            approval: Approval { approver: OperatorName::parse("i|carol").unwrap(), ..sample::approval() },
        },
        Operation::SetPins { key: key.clone(), revision, pins: sample::pins() },
        Operation::SetStatus { key, revision, status: Lifecycle::Active, at: later },
    ];
    write(&*state, steps).await.unwrap();
    binding.status = Lifecycle::Active;
    binding.changed_at = later;
    binding.pins = Some(sample::pins());
    binding.approvals = vec![
        sample::approval(),
        Approval { approver: OperatorName::parse("i|carol").unwrap(), ..sample::approval() },
    ];
    let _ = records.pop();
    records.push(binding);
    records.sort_by(|one, other| one.key.cmp(&other.key));
    // A second handle, and one that is opened after the first is gone, read the same.
    let second = database.open().await;
    drop(state);
    for handle in [second, database.open().await] {
        let read = handle.load().await.unwrap();
        assert_eq!(read.epoch, Epoch(2));
        assert_eq!(read.revisions, records);
        assert_eq!(read.agent_tokens, [sample::agent_token("agent-1")]);
        assert_eq!(read.operator_tokens, [sample::operator_token("operator-1")]);
        assert_eq!(handle.epoch().await.unwrap(), Epoch(2));
    }
}

pub(super) async fn expired_and_ended_tokens_are_not_loaded(database: &dyn StateDatabase) {
    let state = database.open().await;
    let early = Timestamp::from_micros(NOW.micros() - 10);
    let expired_agent =
        AgentTokenRecord { created_at: early, expires_at: NOW, ..sample::agent_token("expired") };
    let revoked_agent = AgentTokenRecord { revoked_at: Some(NOW), ..sample::agent_token("revoked") };
    let steps = vec![
        Operation::InsertAgentToken(expired_agent),
        Operation::InsertAgentToken(revoked_agent.clone()),
        Operation::InsertOperatorToken(OperatorTokenRecord {
            expires_at: NOW,
            ..sample::operator_token("expired")
        }),
        Operation::InsertOperatorToken(OperatorTokenRecord {
            ended_at: Some(early),
            ..sample::operator_token("ended")
        }),
    ];
    write(&*state, steps).await.unwrap();
    let read = state.load().await.unwrap();
    assert_eq!(read.agent_tokens, [revoked_agent], "a revoked token stays listed until it expires");
    assert_eq!(read.operator_tokens, []);
}

pub(super) async fn tokens_end_once(database: &dyn StateDatabase) {
    let state = database.open().await;
    let steps = vec![
        Operation::InsertAgentToken(sample::agent_token("agent-1")),
        Operation::InsertOperatorToken(sample::operator_token("operator-1")),
    ];
    write(&*state, steps).await.unwrap();
    let revoke = Operation::RevokeAgentToken { id: "agent-1".to_owned(), at: NOW };
    let end = Operation::EndOperatorToken { id: "operator-1".to_owned(), at: NOW };
    write(&*state, vec![revoke.clone(), end.clone()]).await.unwrap();
    let read = state.load().await.unwrap();
    assert_eq!(read.agent_tokens.first().and_then(|token| token.revoked_at), Some(NOW));
    assert_eq!(read.operator_tokens, []);
    refuse(&*state, "revoking twice", vec![revoke]).await;
    refuse(&*state, "a bootstrap token used twice", vec![end]).await;
    let again = AgentTokenRecord { id: "agent-2".to_owned(), ..sample::agent_token("agent-1") };
    refuse(&*state, "one digest under two ids", vec![Operation::InsertAgentToken(again)]).await;
}

pub(super) async fn the_outbox_keeps_its_order_and_drains_twice(database: &dyn StateDatabase) {
    let state = database.open().await;
    for round in 0..3_u64 {
        let event = |place: u64| {
            let mut event = Event::new(EventKind::ObjectWritten, NOW);
            event.count = Some(round * 10 + place);
            event
        };
        let change =
            Change { expected: Epoch(round), operations: Vec::new(), events: (0..10).map(event).collect() };
        state.commit(change).await.unwrap();
    }
    let counts = |entries: &[gateway_core::state::OutboxEntry]| {
        entries.iter().map(|entry| entry.event.count.unwrap()).collect::<Vec<_>>()
    };
    let first = state.outbox(25).await.unwrap();
    assert_eq!(counts(&first), (0..25).collect::<Vec<_>>());
    for entry in &first {
        assert_eq!(entry.event.outbox_id.as_ref(), Some(&entry.id), "the event carries its row's id");
    }
    assert_eq!(counts(&state.outbox(25).await.unwrap()), counts(&first), "reading takes nothing away");
    let ids: Vec<_> = first.into_iter().map(|entry| entry.id).collect();
    state.drained(&ids).await.unwrap();
    state.drained(&ids).await.unwrap();
    let rest = database.open().await.outbox(25).await.unwrap();
    assert_eq!(counts(&rest), (25..30).collect::<Vec<_>>());
    assert_eq!(state.epoch().await.unwrap(), Epoch(3), "draining is no change of the state");
    let stale = Change {
        expected: Epoch(0),
        operations: Vec::new(),
        events: vec![rest.first().unwrap().event.clone()],
    };
    assert_eq!(state.commit(stale).await, Err(StateError::Conflict));
    assert_eq!(state.outbox(25).await.unwrap().len(), 5, "a refused change files nothing");
}
