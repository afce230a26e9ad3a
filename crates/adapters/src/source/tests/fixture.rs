//! What the tests of sources share: bindings as the state gives them, agents, and an audit log to look at.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use gateway_core::actor::Actor;
use gateway_core::audit::{Event, EventKind};
use gateway_core::id::{AgentName, Epoch, RequestId, Revision};
use gateway_core::manifest::{AgentSpec, ContentHash, Spec};
use gateway_core::policy::{Permit, SystemUse};
use gateway_core::ports::{AuditError, AuditSink, CredentialWish, Random, Sequence};
use gateway_core::secret::Secret;
use gateway_core::snapshot::{ActiveBinding, Snapshot};
use gateway_core::state::{Lifecycle, Pins, RevisionRecord, State};
use gateway_core::time::Timestamp;
use serde_json::{Value, json};

use crate::policy::CedarCompiler;

fn record(spec: Value, revision: u32) -> RevisionRecord {
    let spec: Spec = serde_json::from_value(spec).unwrap();
    let pins = matches!(spec, Spec::Binding(_)).then_some(Pins {
        server: Revision(1),
        policy: Revision(1),
        policy_hash: ContentHash::of(b""),
        providers: std::collections::BTreeMap::new(),
    });
    RevisionRecord {
        key: spec.key(),
        revision: Revision(revision),
        content: spec.content_hash(),
        spec,
        status: Lifecycle::Active,
        author: "test".parse().unwrap(),
        created_at: Timestamp::from_seconds(0),
        changed_at: Timestamp::from_seconds(0),
        approvals: Vec::new(),
        pins,
    }
}

/// The binding `main` of `dev` on a server with tools of every risk.
pub(crate) fn binding(source: Value, revision: u32, change: impl FnOnce(&mut Value)) -> Arc<ActiveBinding> {
    let mut spec = json!({
        "kind": "Binding", "name": "main", "environment": "dev", "server": "tools",
        "actor": {"agents": ["planner", "writer"]}, "mode": "agent_scoped", "source": source,
        "inject": {"header": "authorization", "format": "Bearer {secret}"},
        "policy": "p", "risk": "write", "owner": "team"
    });
    change(&mut spec);
    active(vec![record(spec, revision)])
}

/// The same, with the provider that it asks.
pub(crate) fn binding_asking(source: Value, provider: Value) -> Arc<ActiveBinding> {
    let provider = record(provider, 1);
    let mut binding = record(
        json!({
            "kind": "Binding", "name": "main", "environment": "dev", "server": "tools",
            "actor": {"agents": ["planner"]}, "mode": "agent_scoped", "source": source,
            "inject": {"header": "authorization", "format": "Bearer {secret}"},
            "policy": "p", "risk": "write", "owner": "team"
        }),
        1,
    );
    if let Some(pins) = &mut binding.pins {
        pins.providers = [(provider.key.name.parse().unwrap(), Revision(1))].into();
    }
    active(vec![provider, binding])
}

fn active(more: Vec<RevisionRecord>) -> Arc<ActiveBinding> {
    let server = json!({
        "kind": "Server", "name": "tools", "environment": "dev", "owner": "team",
        "route": {"url": "https://tools.internal/mcp"},
        "tools": {"default_risk": "read", "write_it": "write", "drop_it": "destructive"}
    });
    let policy = json!({"kind": "Policy", "name": "p", "environment": "dev",
        "cedar": "permit (principal, action, resource);"});
    let mut revisions =
        vec![record(json!({"kind": "Environment", "name": "dev"}), 1), record(server, 1), record(policy, 1)];
    revisions.extend(more);
    let mut state = State { epoch: Epoch(1), revisions, ..State::default() };
    state.put_in_order();
    let snapshot = Snapshot::build(&state, &CedarCompiler::new().unwrap(), &[]).unwrap();
    let server = snapshot.environment("dev").unwrap().server("tools").unwrap();
    Arc::clone(server.bindings.first().unwrap())
}

/// An agent that owns these tools of the server.
pub(crate) fn agent(name: &str, tools: Value) -> Arc<AgentSpec> {
    let spec = json!({
        "name": name, "environments": ["dev"], "owner": "planning", "risk_ceiling": "destructive",
        "proofs": ["agent_token"], "tools": tools
    });
    Arc::new(serde_json::from_value(spec).unwrap())
}

pub(crate) fn actor(agent: &str) -> Actor {
    Actor { agent: Some(AgentName::parse(agent).unwrap()), ..Actor::default() }
}

/// One use, by an actor.
pub(crate) struct Use {
    pub(crate) permit: Permit,
    pub(crate) actor: Option<Actor>,
    pub(crate) agent: Option<Arc<AgentSpec>>,
    request_id: RequestId,
}

impl Use {
    pub(crate) fn new(binding: &Arc<ActiveBinding>, actor: Actor, agent: Arc<AgentSpec>) -> Self {
        let permit = Permit::for_system(SystemUse::Probe, Arc::clone(binding), Epoch(1));
        let request_id = RequestId::mint(Timestamp::from_seconds(0), [7; 10]);
        Self { permit, actor: Some(actor), agent: Some(agent), request_id }
    }

    pub(crate) fn wish(&self, now: Timestamp) -> CredentialWish<'_> {
        CredentialWish {
            permit: &self.permit,
            actor: self.actor.as_ref(),
            agent: self.agent.as_ref(),
            grant: None,
            request_id: &self.request_id,
            now,
        }
    }
}

/// Keeps the events, or refuses them.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    events: Mutex<Vec<Event>>,
    broken: AtomicBool,
}

impl Chain {
    pub(crate) fn break_down(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    pub(crate) fn kinds(&self) -> Vec<EventKind> {
        self.events().iter().map(|event| event.kind).collect()
    }
}

#[async_trait]
impl AuditSink for Chain {
    async fn record(&self, event: Event) -> Result<Sequence, AuditError> {
        self.note(event)
    }

    fn note(&self, event: Event) -> Result<Sequence, AuditError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(AuditError("the test wants it so".to_owned()));
        }
        let mut events = self.events.lock().unwrap();
        events.push(event);
        Ok(Sequence(events.len() as u64))
    }
}

/// Counts, where randomness is wanted.
#[derive(Debug, Default)]
pub(crate) struct Counting(std::sync::atomic::AtomicU8);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::SeqCst));
    }
}

#[expect(clippy::disallowed_methods, reason = "the tests look at what would be injected")]
pub(crate) fn text(secret: &Secret) -> String {
    String::from_utf8(secret.expose().to_vec()).unwrap()
}
