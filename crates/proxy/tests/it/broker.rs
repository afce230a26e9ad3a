//! A data plane in process. Dropping it is the leak canary: the injected value may occur in nothing
//! that was answered or recorded.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use gateway_core::actor::Groups;
use gateway_core::id::{EnvironmentName, Epoch, OperatorName, ProviderName, Revision, ServerName, StoreName};
use gateway_core::identity::{Entry, ProofKind, VerifiedClaims};
use gateway_core::manifest::{ContentHash, Spec};
use gateway_core::scrub::{Marker, NeedleSource, Needles};
use gateway_core::secret::Secret;
use gateway_core::snapshot::Snapshot;
use gateway_core::state::{Lifecycle, Pins, RevisionRecord, State};
use gateway_core::stores::{StoreClass, StoreEntry, Stores};
use gateway_core::time::{Clock, Timestamp};
use gateway_proxy::gateway::{Gateway, Wiring};
use gateway_proxy::settings::Settings;
use gateway_proxy::trace::Tracer;
use gateway_proxy::world::WorldCell;
use gateway_proxy::{server, world};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::fakes::{
    FakeAudit, FakeConnect, FakeIssuer, FakeKeys, FakePolicy, FakeStore, FakeVerifier, Outside,
};

pub const CANARY: &str = "canary-\"quoted\"/value+with%odd=chars-0123456789";

pub struct TestBroker {
    pub gateway: Arc<Gateway>,
    pub audit: Arc<FakeAudit>,
    pub store: Arc<FakeStore>,
    pub issuer: Arc<FakeIssuer>,
    pub connect: Arc<FakeConnect>,
    pub keys: Arc<FakeKeys>,
    pub verifier: Arc<FakeVerifier>,
    pub address: SocketAddr,
    pub outside: Arc<Outside>,
    pub state: State,
    pub transcript: Arc<Mutex<Vec<u8>>>,
    _stop: watch::Sender<bool>,
}

pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn code(&self) -> String {
        self.json()["error"]["data"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

pub fn record(spec: Value, revision: u32) -> RevisionRecord {
    let spec: Spec = serde_json::from_value(spec).unwrap();
    let pins = matches!(spec, Spec::Binding(_)).then_some(Pins {
        server: Revision(1),
        policy: Revision(1),
        policy_hash: ContentHash::of(b""),
        providers: [(ProviderName::parse("notes").unwrap(), Revision(1))].into(),
    });
    RevisionRecord {
        key: spec.key(),
        revision: Revision(revision),
        content: spec.content_hash(),
        spec,
        status: Lifecycle::Active,
        author: OperatorName::parse("test").unwrap(),
        created_at: Timestamp::from_seconds(0),
        changed_at: Timestamp::from_seconds(0),
        approvals: Vec::new(),
        pins,
    }
}

pub fn server_spec(upstream: SocketAddr) -> Value {
    json!({
        "kind": "Server", "name": "tools", "environment": "dev", "owner": "team",
        "route": {"url": format!("http://{upstream}/mcp"), "addresses": ["loopback"], "timeout_seconds": 5},
        "tools": {"default_risk": "read", "write_it": "write"}
    })
}

pub fn provider_spec() -> Value {
    json!({
        "kind": "Provider", "name": "notes", "environment": "dev", "owner": "team",
        "issuer": "https://notes.example", "client": {"id": "gateway"}, "grants": "local://grants"
    })
}

pub fn binding_spec() -> Value {
    json!({
        "kind": "Binding", "name": "main", "environment": "dev", "server": "tools",
        "tools": ["echo", "write_it", "forbidden_one"], "actor": {"users": ["https://idp|alice"]},
        "mode": "service_account", "secret": "local://a#b", "methods": ["resources/read"],
        "inject": {"header": "authorization", "format": "Bearer {secret}"},
        "policy": "p", "risk": "write", "owner": "team"
    })
}

impl TestBroker {
    pub async fn start(upstream: SocketAddr) -> Self {
        Self::with(upstream, |_| {}, |_| {}).await
    }

    pub async fn with(
        upstream: SocketAddr,
        bind: impl FnOnce(&mut Value),
        settle: impl FnOnce(&mut Settings),
    ) -> Self {
        Self::before(server_spec(upstream), bind, settle).await
    }

    /// In front of any server.
    pub async fn before(
        server: Value,
        bind: impl FnOnce(&mut Value),
        settle: impl FnOnce(&mut Settings),
    ) -> Self {
        Self::traced(server, bind, settle, None).await
    }

    /// The same, and calls may be recorded.
    pub async fn traced(
        server: Value,
        bind: impl FnOnce(&mut Value),
        settle: impl FnOnce(&mut Settings),
        tracer: Option<Arc<Tracer>>,
    ) -> Self {
        let mut binding = binding_spec();
        bind(&mut binding);
        let state = State {
            epoch: Epoch(1),
            revisions: vec![
                record(json!({"kind": "Environment", "name": "dev"}), 1),
                record(server, 1),
                record(json!({"kind": "Policy", "name": "p", "environment": "dev", "cedar": ""}), 1),
                record(binding, 1),
                record(provider_spec(), 1),
            ],
            ..State::default()
        };
        let outside = Arc::new(Outside::default());
        let store = Arc::new(FakeStore::default());
        *store.value.lock().unwrap() = CANARY.to_owned();
        let entry = StoreEntry {
            store: store.clone(),
            uncached: store.clone(),
            cache: store.clone(),
            leasing: None,
            writer: None,
            class: StoreClass::Local,
            environments: vec![EnvironmentName::parse("dev").unwrap()],
            paths: Vec::new(),
        };
        let listener = server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut settings = Settings::new(&format!("http://{address}"));
        settle(&mut settings);
        let (issuer, connect) = (Arc::new(FakeIssuer::default()), Arc::new(FakeConnect::default()));
        let keys = Arc::new(FakeKeys::default());
        let (audit, verifier) = (Arc::new(FakeAudit::default()), Arc::new(FakeVerifier::default()));
        let snapshot = Snapshot::build(&in_order(&state), &FakePolicy, &[]).unwrap();
        let gateway = Gateway::new(Wiring {
            world: WorldCell::new(snapshot, outside.now()),
            verifier: verifier.clone(),
            stores: Arc::new(Stores::new([(StoreName::parse("local").unwrap(), entry)])),
            issuer: issuer.clone(),
            keys: keys.clone(),
            audit: audit.clone(),
            clock: outside.clone(),
            random: outside.clone(),
            site: Some(Arc::new(crate::fakes::FakeSite)),
            connect: Some(connect.clone()),
            settings,
            tracer,
        });
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(server::serve(listener, gateway.clone(), None, stopped));
        let transcript = Arc::default();
        let broker = Self {
            gateway,
            audit,
            store,
            issuer,
            connect,
            keys,
            verifier,
            address,
            outside,
            state,
            transcript,
            _stop: stop,
        };
        broker.admit("alice-token", "alice");
        broker.admit("bob-token", "bob");
        broker
    }

    /// Makes a token of a user who may enter `dev/tools`.
    pub fn admit(&self, token: &str, subject: &str) {
        let claims = VerifiedClaims {
            proof: ProofKind::Jwt,
            issuer: "https://idp".into(),
            subject: subject.into(),
            user: Some(gateway_core::actor::UserIdentity {
                issuer: "https://idp".into(),
                subject: subject.into(),
            }),
            groups: Groups::default(),
            client: Some("surface".into()),
            act_subject: None,
            agent: None,
            attested: None,
            entries: vec![Entry {
                environment: EnvironmentName::parse("dev").unwrap(),
                servers: Some(vec![ServerName::parse("tools").unwrap()]),
            }],
            expires_at: Timestamp::from_seconds(4_000_000_000),
        };
        self.verifier.tokens.lock().unwrap().insert(token.to_owned(), claims);
    }

    /// Changes the state and lets it decide.
    pub fn publish(&mut self, change: impl FnOnce(&mut State)) {
        change(&mut self.state);
        self.state.epoch = Epoch(self.state.epoch.0 + 1);
        let snapshot = Snapshot::build(&in_order(&self.state), &FakePolicy, &[]).unwrap();
        self.gateway.world.install(snapshot);
        self.gateway.world.confirm(self.gateway.clock.now(), Instant::now());
        self.gateway.live.wake_all();
    }

    /// Lets time pass; the state stays proven to be current.
    pub fn put_forward(&self, span: std::time::Duration) {
        self.outside.put_forward(span);
        self.gateway.world.confirm(self.outside.now(), Instant::now());
    }

    /// Gives the server another route.
    pub fn reroute(&mut self, route: Value) {
        self.publish(|state| {
            let mut server = server_spec("127.0.0.1:1".parse().unwrap());
            server["route"] = route;
            state.revisions[1] = record(server, 1);
        });
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp/dev/tools", self.address)
    }

    /// A connection of its own to the server's door.
    pub fn knock(&self, token: &str, method: http::Method) -> reqwest::RequestBuilder {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        client.request(method, self.url()).bearer_auth(token)
    }

    pub fn request(&self, token: &str, body: impl Into<String>) -> reqwest::RequestBuilder {
        self.knock(token, http::Method::POST)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(body.into())
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let mut transcript = self.transcript.lock().unwrap();
        transcript.extend_from_slice(format!("{headers:?}").as_bytes());
        transcript.extend_from_slice(text.as_bytes());
        Answer { status, headers, text }
    }

    /// A modern `tools/call` by alice.
    pub async fn call(&self, tool: &str) -> Answer {
        self.send(self.modern("alice-token", "tools/call", Some(tool))).await
    }

    pub fn modern(&self, token: &str, method: &str, name: Option<&str>) -> reqwest::RequestBuilder {
        let mut params = json!({"_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {}
        }});
        if let Some(name) = name {
            params["name"] = name.into();
        }
        let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        let request = self
            .request(token, body.to_string())
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        match name {
            Some(name) => request.header("mcp-name", name),
            None => request,
        }
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        let secret = Secret::copy_from(CANARY.as_bytes());
        let binding = gateway_core::id::BindingName::parse("main").unwrap();
        let needles = Needles::build([NeedleSource::Value(&secret)], Marker::new(&binding)).unwrap();
        let events = serde_json::to_vec(&*self.audit.events.lock().unwrap()).unwrap();
        if std::thread::panicking() {
            return;
        }
        assert!(!needles.contains(&events), "the value is in the evidence");
        assert!(!needles.contains(&self.transcript.lock().unwrap()), "the value is in an answer");
        assert!(
            !needles.contains(self.gateway.figures().into_text().as_bytes()),
            "the value is in the metrics"
        );
        assert!(!needles.contains(format!("{:?}", self.gateway).as_bytes()), "the value is printed");
        let _: &world::WorldCell = &self.gateway.world;
    }
}

/// Tests name revisions by their place; lookups go by the order of keys.
fn in_order(state: &State) -> State {
    let mut state = state.clone();
    state.put_in_order();
    state
}
