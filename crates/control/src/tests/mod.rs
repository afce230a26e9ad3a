mod access;
mod acts;
mod agents;
mod credentials;
mod effect;
mod entity;
mod fakes;
mod foresight;
mod grants;
mod idempotency;
mod locks;
mod looking;
mod masking;
mod pages;
mod promotion;
mod replicas;
mod reviews;
mod revocations;
mod rotation;
mod sessions;
mod sight;
mod surface;
mod workloads;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use gateway_core::audit::{Decision, Event, EventKind};
use gateway_core::lifecycle::Facts;
use gateway_core::operator::{Role, RoleGrant};
use gateway_core::secret::FingerprintKey;
use gateway_core::snapshot::Snapshot;
use gateway_core::state::State;
use gateway_core::stores::{PathDelegation, StoreClass, StoreEntry, Stores};
use gateway_core::time::Timestamp;
use gateway_testkit::memory_state::MemoryState;
use http::Request;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{ControlContext, Documents, OperatorRoutes, Presentation, control_router};
use fakes::{Chain, Compiler, Keeper, Live, People, Plain, Probe, VALUE, Vault, World};

const BINDING: &str = "/v1/bindings/production/bot-github";
const PERMIT: &str = "permit (principal, action, resource);";

struct Office {
    router: Router,
    routes: OperatorRoutes,
    state: Arc<MemoryState>,
    chain: Arc<Chain>,
    live: Arc<Live>,
    keeper: Arc<Keeper>,
    probe: Arc<Probe>,
    vault: Arc<Vault>,
    world: Arc<World>,
    people: Arc<People>,
    plain: Arc<Plain>,
    documents: Documents,
    context: Arc<ControlContext>,
}

struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: Value,
}

impl Answer {
    fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

fn store(vault: &Arc<Vault>, environments: &[&str], paths: &[(&str, &str)], writable: bool) -> StoreEntry {
    StoreEntry {
        store: Arc::clone(vault) as _,
        uncached: Arc::clone(vault) as _,
        cache: Arc::clone(vault) as _,
        leasing: None,
        writer: writable.then(|| Arc::clone(vault) as _),
        class: if writable { StoreClass::Local } else { StoreClass::External },
        environments: environments.iter().map(|name| name.parse().unwrap()).collect(),
        paths: paths
            .iter()
            .map(|(prefix, owner)| PathDelegation {
                prefix: (*prefix).to_owned(),
                owners: vec![owner.parse().unwrap()],
            })
            .collect(),
    }
}

fn stores(vault: &Arc<Vault>) -> Stores {
    let delegated = [("kv/support/", "support"), ("kv/platform/", "platform")];
    Stores::new([
        ("vault".parse().unwrap(), store(vault, &["production"], &delegated, false)),
        ("sealed".parse().unwrap(), store(vault, &["dev", "staging"], &[], true)),
    ])
}

impl Office {
    fn new() -> Self {
        Self::holding(State::default())
    }

    fn holding(state: State) -> Self {
        Self::showing(state, Presentation::default())
    }

    fn showing(state: State, presentation: Presentation) -> Self {
        Self::configured(state, presentation, Facts::default())
    }

    fn configured(state: State, presentation: Presentation, facts: Facts) -> Self {
        let snapshot = Snapshot::build(&state, &Compiler, &[]).unwrap();
        let state = Arc::new(MemoryState::holding(state));
        let (chain, live) = (Arc::new(Chain::default()), Arc::new(Live::default()));
        let (probe, vault) = (Arc::new(Probe::default()), Arc::new(Vault::default()));
        let keeper = Arc::new(Keeper::default());
        let (people, plain) = (Arc::new(People::default()), Arc::new(Plain::default()));
        for path in ["kv/support/bot", "kv/support/other", "kv/platform/root"] {
            vault.values.lock().unwrap().insert(path.into(), VALUE.into());
        }
        people.add("alice", vec![RoleGrant::everywhere(Role::Editor)]);
        people.add("bob", vec![RoleGrant::everywhere(Role::Approver)]);
        people.add("carol", vec![RoleGrant::everywhere(Role::Viewer)]);
        people.add("dora", vec![RoleGrant::everywhere(Role::Auditor)]);
        people.add("root", vec![RoleGrant::everywhere(Role::Admin)]);
        people.add("nobody", Vec::new());
        let world = Arc::new(World {
            state: Arc::clone(&state),
            chain: Arc::clone(&chain),
            snapshot: Mutex::new(Arc::new(snapshot)),
            awaited: Mutex::default(),
            others_lag: AtomicBool::new(false),
        });
        let stores = stores(&vault);
        let documents = Documents {
            records: Arc::clone(&state) as _,
            signer: Arc::clone(&plain) as _,
            publisher: Arc::clone(&world) as _,
            clock: Arc::clone(&plain) as _,
            issuer: "https://mcp.example".to_owned(),
        };
        let context = Arc::new(ControlContext {
            state: Arc::clone(&state) as _,
            stores: Arc::new(stores),
            facts,
            presentation,
            publisher: Arc::clone(&world) as _,
            live: Arc::clone(&live) as _,
            grants: Arc::clone(&keeper) as _,
            sessions: Arc::clone(&live) as _,
            probe: Arc::clone(&probe) as _,
            audit: Arc::clone(&chain) as _,
            audit_reader: Arc::clone(&chain) as _,
            tickets: Arc::clone(&state) as _,
            documents: documents.clone(),
            revoking: crate::Revoking::default(),
            compiler: Arc::new(Compiler),
            snapshots: Arc::clone(&world) as _,
            operators: Arc::clone(&people) as _,
            identities: Arc::clone(&plain) as _,
            tokens: Arc::clone(&plain) as _,
            pages: Arc::clone(&plain) as _,
            clock: Arc::clone(&plain) as _,
            random: Arc::clone(&plain) as _,
            fingerprints: FingerprintKey::new([5; 32]),
        });
        let (router, routes) = (control_router(Arc::clone(&context)), OperatorRoutes::new(&context));
        Self {
            router,
            routes,
            state,
            chain,
            live,
            world,
            keeper,
            probe,
            vault,
            people,
            plain,
            documents,
            context,
        }
    }

    async fn call(&self, who: &str, method: &str, path: &str, body: Value) -> Answer {
        self.with(who, method, path, &[], body).await
    }

    /// The same with further headers.
    async fn with(
        &self,
        who: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !who.is_empty() {
            request = request.header("authorization", format!("Bearer {who}"));
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 24).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(!text.contains(VALUE), "no answer ever holds a value: {text}");
        Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    }

    async fn post(&self, who: &str, path: &str, body: Value) -> Answer {
        self.call(who, "POST", path, body).await
    }

    async fn get(&self, who: &str, path: &str) -> Answer {
        self.call(who, "GET", path, Value::Null).await
    }

    async fn apply(&self, who: &str, specs: &[Value]) -> Answer {
        self.post(who, "/v1/apply", json!({ "specs": specs })).await
    }

    fn saw(&self, kind: EventKind) -> bool {
        self.chain.all().iter().any(|event| event.kind == kind)
    }

    /// Production, written by alice and signed by bob.
    async fn production() -> Self {
        Self::new().founded().await
    }

    async fn founded(self) -> Self {
        let office = self;
        assert_eq!(office.apply("alice", &world()).await.status, 202);
        for path in [
            "/v1/objects/server/production/github/approve",
            "/v1/objects/policy/production/triage/approve",
            "/v1/objects/agent/-/bot/approve",
            "/v1/bindings/production/bot-github/approve",
        ] {
            let answer = office.post("bob", path, json!({"revision": 1})).await;
            assert_eq!(
                (answer.status, &answer.body["status"]),
                (200, &json!("active")),
                "{path}: {}",
                answer.body
            );
        }
        office
    }
}

fn server(url: &str) -> Value {
    json!({
        "kind": "Server", "name": "github", "environment": "production", "owner": "support",
        "route": {"url": url}, "tools": {"default_risk": "write"}
    })
}

fn policy(cedar: &str) -> Value {
    json!({"kind": "Policy", "name": "triage", "environment": "production", "owner": "support", "cedar": cedar})
}

fn binding(field: &str, value: Value) -> Value {
    let mut binding = json!({
        "kind": "Binding", "name": "bot-github", "environment": "production", "server": "github",
        "tools": ["list", "comment"], "actor": {"agents": ["bot"]}, "mode": "service_account",
        "secret": "vault://kv/support/bot#token",
        "inject": {"header": "Authorization", "format": "Bearer {secret}"},
        "policy": "triage", "risk": "write", "owner": "support"
    });
    binding[field] = value;
    binding
}

fn world() -> [Value; 5] {
    [
        json!({"kind": "Environment", "name": "production", "tier": "production", "agent_tokens": true}),
        server("https://github.internal/mcp"),
        policy(PERMIT),
        json!({"kind": "Agent", "name": "bot", "environments": ["production"], "owner": "support",
            "risk_ceiling": "write", "proofs": ["agent_token"]}),
        binding("risk", json!("write")),
    ]
}
