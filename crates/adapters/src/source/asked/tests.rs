//! The sources against a provider that does what a test wants.

use std::sync::Mutex;

use async_trait::async_trait;
use gateway_core::actor::UserIdentity;
use gateway_core::audit::{Event, EventKind};
use gateway_core::id::{Epoch, Revision};
use gateway_core::identity::{Presented, ProofKind, TokenDigest, VerifiedClaims, VerifiedIdentity};
use gateway_core::manifest::{ContentHash, Risk, Spec};
use gateway_core::policy::{
    Action, PolicyCompiler, PolicyEngine, PolicyIssue, PolicySource, Question, Use, Verdict, authorize,
};
use gateway_core::ports::{AuditError, CredentialIssuer, Sequence};
use gateway_core::secret::Secret;
use gateway_core::snapshot::Snapshot;
use gateway_core::state::{Lifecycle, Pins, RevisionRecord, State};
use gateway_core::stores::{StoreClass, StoreEntry, Stores};
use gateway_testkit::clock::ManualClock;
use gateway_testkit::provider::FakeProvider;
use gateway_testkit::store::MemoryStore;
use serde_json::{Value, json};

use super::*;
use crate::source::{SourceParts, Sources};

mod endings;
mod flows;
mod memory;

/// Keeps the events, or refuses them.
#[derive(Debug, Default)]
struct Chain(Mutex<Vec<Event>>, std::sync::atomic::AtomicBool);

impl Chain {
    fn of(&self, kind: EventKind) -> Vec<Event> {
        self.0.lock().unwrap().iter().filter(|event| event.kind == kind).cloned().collect()
    }
}

#[async_trait]
impl AuditSink for Chain {
    async fn record(&self, event: Event) -> Result<Sequence, AuditError> {
        self.note(event)
    }

    fn note(&self, event: Event) -> Result<Sequence, AuditError> {
        if self.1.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(AuditError("the test wants it so".to_owned()));
        }
        self.0.lock().unwrap().push(event);
        Ok(Sequence(1))
    }
}

#[derive(Debug, Default)]
struct Counting(std::sync::atomic::AtomicU8);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
    }
}

/// Permits everything: policies are not under test here.
#[derive(Debug)]
struct Permitting;

impl PolicyEngine for Permitting {
    fn decide(&self, _question: &Question<'_>) -> Verdict {
        Verdict { allowed: true, policies: Vec::new(), reasons: Vec::new() }
    }

    fn version(&self) -> ContentHash {
        ContentHash::of(b"")
    }
}

impl PolicyCompiler for Permitting {
    fn compile(&self, _sources: &[PolicySource]) -> Result<Arc<dyn PolicyEngine>, Vec<PolicyIssue>> {
        Ok(Arc::new(Self))
    }
}

struct World {
    provider: FakeProvider,
    enterprise: FakeProvider,
    clock: Arc<ManualClock>,
    chain: Arc<Chain>,
    sources: Arc<Sources>,
    snapshot: Snapshot,
    records: Arc<gateway_testkit::memory_state::MemoryState>,
    store: Arc<MemoryStore>,
}

/// One call.
struct Call {
    permit: Permit,
    actor: Option<Actor>,
    request_id: RequestId,
    now: Timestamp,
}

impl Call {
    fn wish(&self) -> CredentialWish<'_> {
        CredentialWish {
            permit: &self.permit,
            actor: self.actor.as_ref(),
            agent: None,
            grant: None,
            request_id: &self.request_id,
            now: self.now,
        }
    }
}

const PERSON: &str = "https://idp|alice";

impl World {
    async fn new(mode: &str, source: Value) -> Self {
        let store = MemoryStore::new();
        store.insert("provider", "secret", b"the client secret");
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        store.insert("provider", "key", pair.serialize_pem().as_bytes());
        let held = store.clone();
        let entry = StoreEntry {
            store: store.clone(),
            uncached: store.clone(),
            cache: store.clone(),
            leasing: None,
            writer: Some(store.clone()),
            class: StoreClass::External,
            environments: vec![EnvironmentName::parse("dev").unwrap()],
            paths: Vec::new(),
        };
        let (clock, chain) = (Arc::new(ManualClock::default()), Arc::new(Chain::default()));
        let database = Arc::new(gateway_testkit::memory_state::MemoryState::default());
        let sources = Arc::new(Sources::new(SourceParts {
            state: database.clone(),
            revocations: database.clone(),
            tickets: database.clone(),
            signer: Arc::new(Signer::ephemeral(clock.now()).unwrap()),
            public_url: "http://127.0.0.1:8080/".to_owned(),
            stores: Arc::new(Stores::new([("memory".parse().unwrap(), entry)])),
            audit: chain.clone(),
            clock: clock.clone(),
            random: Arc::new(Counting::default()),
        }));
        let (provider, enterprise) = (FakeProvider::start().await, FakeProvider::start().await);
        let snapshot = snapshot(1, &provider, &enterprise, mode, &source);
        Self { provider, enterprise, clock, chain, sources, snapshot, records: database, store: held }
    }

    fn call(&self, tool: &str, actor: Actor, presented: Option<&str>) -> Call {
        let view = self.snapshot.environment("dev").unwrap();
        let server = view.server("tools").unwrap();
        let binding = server.bindings.first().unwrap();
        let tool = tool.parse().unwrap();
        let question = Question {
            actor: &actor,
            agent: None,
            action: Action::CallTool,
            environment: view,
            server,
            tool: Some(&tool),
            method: "tools/call",
            risk: Risk::Read,
            binding,
        };
        let shared = Arc::new(actor.clone());
        let permit = authorize(
            &*view.engine,
            &question,
            Use::Call,
            &identity(),
            &shared,
            binding,
            self.snapshot.epoch,
        )
        .unwrap();
        let presented = presented.map(|text| Arc::new(Presented::new(Secret::copy_from(text.as_bytes()))));
        Call {
            permit: permit.presenting(presented),
            actor: Some(actor),
            request_id: RequestId::mint(Timestamp::from_seconds(0), [7; 10]),
            now: self.clock.now(),
        }
    }

    async fn issue(&self, tool: &str, actor: Actor, presented: Option<&str>) -> Result<String, Code> {
        let call = self.call(tool, actor, presented);
        let outcome = self.sources.issue(&call.wish()).await;
        outcome.map(|version| text(&version.secret)).map_err(|refusal| refusal.code())
    }
}

fn snapshot(
    epoch: u64,
    provider: &FakeProvider,
    enterprise: &FakeProvider,
    mode: &str,
    source: &Value,
) -> Snapshot {
    let declared = |name: &str, at: &FakeProvider| {
        let mut declared = json!({
            "kind": "Provider", "name": name, "environment": "dev", "owner": "team", "issuer": at.issuer(),
            "client": {"id": "gateway", "authentication": {"private_key_jwt": {"key": "memory://provider#key"}}},
            "addresses": ["loopback"]
        });
        if name == "notes" {
            declared["grants"] = json!("memory://tokens");
        }
        declared
    };
    let objects = [
        json!({"kind": "Environment", "name": "dev"}),
        json!({
            "kind": "Server", "name": "tools", "environment": "dev", "owner": "team",
            "route": {"url": "https://tools.internal/mcp"}, "tools": {"default_risk": "read"}
        }),
        json!({
            "kind": "Policy", "name": "p", "environment": "dev",
            "cedar": "permit (principal, action, resource);"
        }),
        declared("notes", provider),
        declared("enterprise", enterprise),
        json!({
            "kind": "Binding", "name": "main", "environment": "dev", "server": "tools",
            "actor": {"any": true}, "mode": mode, "source": source,
            "inject": {"header": "authorization", "format": "Bearer {secret}"},
            "policy": "p", "risk": "write", "owner": "team"
        }),
    ];
    let revisions = objects.into_iter().map(record).collect();
    let mut state = State { epoch: Epoch(epoch), revisions, ..State::default() };
    state.put_in_order();
    Snapshot::build(&state, &Permitting, &[]).unwrap()
}

fn record(spec: Value) -> RevisionRecord {
    let spec: Spec = serde_json::from_value(spec).unwrap();
    let pins = matches!(spec, Spec::Binding(_)).then(|| Pins {
        server: Revision(1),
        policy: Revision(1),
        policy_hash: ContentHash::of(b""),
        providers: ["notes", "enterprise"].map(|name| (name.parse().unwrap(), Revision(1))).into(),
    });
    RevisionRecord {
        key: spec.key(),
        revision: Revision(1),
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

#[expect(clippy::disallowed_methods, reason = "the permit of a test needs an identity")]
fn identity() -> Arc<VerifiedIdentity> {
    let claims = VerifiedClaims {
        proof: ProofKind::Jwt,
        issuer: "https://idp".into(),
        subject: "alice".into(),
        user: None,
        groups: gateway_core::actor::Groups::default(),
        client: None,
        act_subject: None,
        agent: None,
        attested: None,
        entries: Vec::new(),
        expires_at: Timestamp::from_seconds(4_000_000_000),
    };
    Arc::new(VerifiedIdentity::assert_verified(claims, TokenDigest::of(&Secret::copy_from(b"token"))))
}

fn user(subject: &str) -> Actor {
    let user = UserIdentity { issuer: "https://idp".into(), subject: subject.into() };
    Actor { user: Some(user), ..Actor::default() }
}

fn agent(name: &str) -> Actor {
    Actor { agent: Some(name.parse().unwrap()), ..Actor::default() }
}

fn own() -> Value {
    json!({"client_credentials": {
        "provider": "notes", "scopes": ["notes.read"], "resource": "https://notes.example",
        "tool_scopes": [{"tools": ["write_it"], "scopes": ["notes.write"]}]
    }})
}

fn exchange() -> Value {
    json!({"token_exchange": {"token": {
        "provider": "notes", "scopes": ["notes.read"], "audience": "notes",
        "tool_scopes": [{"tools": ["write_it"], "scopes": ["notes.write"]}]
    }}})
}

#[expect(clippy::disallowed_methods, reason = "the tests look at what would be injected")]
fn text(secret: &Secret) -> String {
    String::from_utf8(secret.expose().to_vec()).unwrap()
}
