//! The credential sources against the real npm `oidc-provider`.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null, it never panics")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests look at what was issued, and real servers judge real times"
)]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_adapters::signing::Signer;
use gateway_adapters::source::{SourceParts, Sources};
use gateway_core::actor::{Actor, UserIdentity};
use gateway_core::audit::{Event, EventKind};
use gateway_core::id::{Epoch, RequestId, Revision};
use gateway_core::identity::Presented;
use gateway_core::manifest::{BindingSpec, ContentHash, CredentialNeed, ProviderSpec, ServerSpec};
use gateway_core::policy::{Permit, SystemUse};
use gateway_core::ports::{AuditError, AuditSink, CredentialIssuer as _, CredentialWish, Random, Sequence};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::secret::Secret;
use gateway_core::snapshot::ActiveBinding;
use gateway_core::state::Pins;
use gateway_core::stores::{StoreClass, StoreEntry, Stores};
use gateway_core::time::{Clock as _, Timestamp};
use gateway_testkit::clock::ManualClock;
use gateway_testkit::oidc::OidcServer;
use gateway_testkit::store::MemoryStore;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use serde_json::{Value, json};

const RESOURCE: &str = "https://notes.example/mcp";
const BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// Has the characters that RFC 6749, section 2.3.1, is about.
const SECRET: &str = "s3cret+with/odd=characters%and more of them";

#[derive(Debug, Default)]
struct Chain(Mutex<Vec<Event>>);

#[async_trait]
impl AuditSink for Chain {
    async fn record(&self, event: Event) -> Result<Sequence, AuditError> {
        self.note(event)
    }

    fn note(&self, event: Event) -> Result<Sequence, AuditError> {
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

struct World {
    sources: Sources,
    chain: Arc<Chain>,
    key: KeyPair,
    clock: Arc<ManualClock>,
}

impl World {
    fn new() -> Self {
        let store = MemoryStore::new();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        store.insert("client", "secret", SECRET.as_bytes());
        store.insert("client", "wrong", b"another secret altogether");
        store.insert("client", "key", key.serialize_pem().as_bytes());
        let entry = StoreEntry {
            store: store.clone(),
            uncached: store.clone(),
            cache: store,
            leasing: None,
            writer: None,
            class: StoreClass::External,
            environments: vec!["dev".parse().unwrap()],
            paths: Vec::new(),
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(0).plus(now)));
        let chain = Arc::new(Chain::default());
        let database = Arc::new(gateway_testkit::memory_state::MemoryState::default());
        let sources = Sources::new(SourceParts {
            state: database.clone(),
            revocations: database.clone(),
            tickets: database,
            signer: Arc::new(Signer::ephemeral(clock.now()).unwrap()),
            public_url: "http://127.0.0.1:8080".to_owned(),
            stores: Arc::new(Stores::new([("memory".parse().unwrap(), entry)])),
            audit: chain.clone(),
            clock: clock.clone(),
            random: Arc::new(Counting::default()),
        });
        Self { sources, chain, key, clock }
    }

    /// The public half of the client's key, as a JWK set.
    fn jwks(&self) -> Value {
        let point = self.key.der_bytes();
        let (x, y) = point[1..65].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        json!({"keys": [{"kty": "EC", "crv": "P-256", "x": x, "y": y, "use": "sig", "alg": "ES256"}]})
    }

    async fn issue(&self, permit: &Permit) -> Result<String, Refusal> {
        let user = UserIdentity { issuer: "https://idp".into(), subject: "alice".into() };
        let actor = Actor { user: Some(user), agent: Some("bot".parse().unwrap()), ..Actor::default() };
        let request_id = RequestId::mint(Timestamp::from_seconds(0), [7; 10]);
        let wish = CredentialWish {
            permit,
            actor: Some(&actor),
            agent: None,
            grant: None,
            request_id: &request_id,
            now: self.clock.now(),
        };
        let version = self.sources.issue(&wish).await?;
        Ok(String::from_utf8(version.secret.expose().to_vec()).unwrap())
    }

    fn answers(&self, kind: EventKind) -> Vec<Option<String>> {
        let events = self.chain.0.lock().unwrap();
        events.iter().filter(|event| event.kind == kind).map(|event| event.answer.clone()).collect()
    }

    async fn end(&self) -> u32 {
        self.sources.end_binding(&"dev".parse().unwrap(), &"main".parse().unwrap()).await
    }
}

fn provider(name: &str, issuer: &str, client: &str, authentication: Value) -> ProviderSpec {
    serde_json::from_value(json!({
        "name": name, "environment": "dev", "owner": "team", "issuer": issuer,
        "client": {"id": client, "authentication": authentication}, "addresses": ["loopback"]
    }))
    .unwrap()
}

fn basic() -> Value {
    json!({"client_secret_basic": {"secret": "memory://client#secret"}})
}

fn by_key() -> Value {
    json!({"private_key_jwt": {"key": "memory://client#key"}})
}

/// A permit for the gateway's own use of the binding: selection and policy are not under test here.
fn permit(epoch: u64, mode: &str, source: Value, providers: Vec<ProviderSpec>) -> Permit {
    let spec: BindingSpec = serde_json::from_value(json!({
        "name": "main", "environment": "dev", "server": "tools", "actor": {"any": true}, "mode": mode,
        "source": source, "inject": {"header": "authorization", "format": "Bearer {secret}"},
        "policy": "p", "risk": "write", "owner": "team"
    }))
    .unwrap();
    let server: ServerSpec = serde_json::from_value(json!({
        "name": "tools", "environment": "dev", "owner": "team",
        "route": {"url": RESOURCE}, "tools": {"default_risk": "read"}
    }))
    .unwrap();
    let binding = ActiveBinding {
        spec,
        revision: Revision(1),
        route: server.route.clone(),
        route_id: ContentHash::of(b"route"),
        credential: CredentialNeed::Required,
        held: None,
        active_version: None,
        is_held_back: false,
        pinned_server: Arc::new(server),
        pins: Pins {
            server: Revision(1),
            policy: Revision(1),
            policy_hash: ContentHash::of(b""),
            providers: std::collections::BTreeMap::new(),
        },
        providers: providers.into_iter().map(Arc::new).collect(),
    };
    Permit::for_system(SystemUse::Probe, Arc::new(binding), Epoch(epoch))
}

fn asked(scopes: &[&str]) -> Value {
    json!({"provider": "notes", "scopes": scopes, "resource": RESOURCE})
}

fn presenting(permit: Permit, token: &str) -> Permit {
    permit.presenting(Some(Arc::new(Presented::new(Secret::copy_from(token.as_bytes())))))
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

fn client(id: &str, method: &str, grants: &[&str], more: &Value) -> Value {
    let mut client = json!({"client_id": id, "grant_types": grants, "token_endpoint_auth_method": method});
    if method.starts_with("client_secret") {
        client["client_secret"] = SECRET.into();
    }
    for (name, value) in more.as_object().into_iter().flatten() {
        client[name] = value.clone();
    }
    client
}

#[tokio::test]
async fn the_gateways_own_token_by_every_proof_is_active_until_its_binding_ends() {
    let world = World::new();
    let own = ["client_credentials"];
    let clients = json!([
        client("basic", "client_secret_basic", &own, &Value::Null),
        client("post", "client_secret_post", &own, &Value::Null),
        client("key", "private_key_jwt", &own, &json!({"jwks": world.jwks()})),
    ]);
    let server = OidcServer::start(&clients, "opaque").await;
    let post = json!({"client_secret_post": {"secret": "memory://client#secret"}});
    let proofs = [(1, "basic", basic()), (2, "post", post), (3, "key", by_key())];
    for (number, name, authentication) in proofs {
        let provider = provider("notes", server.issuer(), name, authentication);
        let source = json!({"client_credentials": asked(&["notes.read"])});
        let permit = permit(number, "service_account", source, vec![provider]);
        let token = world.issue(&permit).await.unwrap();
        assert_eq!(world.issue(&permit).await.unwrap(), token);
        assert_eq!(server.count("client_credentials").await, number, "one request for two uses");
        let seen = server.introspect("basic", SECRET, &token).await;
        assert_eq!((&seen["active"], &seen["client_id"]), (&json!(true), &json!(name)), "{seen}");
        assert_eq!((&seen["aud"], &seen["scope"]), (&json!(RESOURCE), &json!("notes.read")), "{seen}");
        assert_eq!(world.end().await, 1);
        let seen = server.introspect("basic", SECRET, &token).await;
        assert_eq!(seen, json!({"active": false}));
    }
    assert_eq!(server.count("revocation").await, 3);
    assert_eq!(world.answers(EventKind::CredentialReturned), vec![Some("revoked".to_owned()); 3]);
}

#[tokio::test]
async fn a_wrong_secret_and_a_scope_beyond_the_resource_are_refused_with_their_reason() {
    let clients = json!([client("basic", "client_secret_basic", &["client_credentials"], &Value::Null)]);
    let server = OidcServer::start(&clients, "jwt").await;
    let wrong = json!({"client_secret_basic": {"secret": "memory://client#wrong"}});
    // This server drops what the resource does not offer, and says so where something is left.
    let wide: &[&str] = &["notes.read", "notes.delete"];
    for (authentication, scopes, answer) in
        [(wrong, &["notes.read"] as &[&str], "invalid_client"), (basic(), wide, "scope_reduced")]
    {
        let world = World::new();
        let provider = provider("notes", server.issuer(), "basic", authentication);
        let source = json!({"client_credentials": asked(scopes)});
        let permit = permit(1, "service_account", source, vec![provider]);
        assert_eq!(world.issue(&permit).await.unwrap_err().code(), Code::ProviderRefused, "{answer}");
        assert_eq!(world.answers(EventKind::CredentialIssued), [Some(answer.to_owned())]);
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_given_back_is_said_to_be_so() {
    let world = World::new();
    let clients = json!([client("basic", "client_secret_basic", &["client_credentials"], &Value::Null)]);
    let server = OidcServer::start(&clients, "jwt").await;
    let provider = provider("notes", server.issuer(), "basic", basic());
    let source = json!({"client_credentials": asked(&["notes.read"])});
    let token = world.issue(&permit(1, "service_account", source, vec![provider])).await.unwrap();
    let said = claims(&token);
    assert_eq!((&said["aud"], &said["scope"]), (&json!(RESOURCE), &json!("notes.read")), "{said}");
    assert_eq!(world.end().await, 1);
    assert_eq!(world.answers(EventKind::CredentialReturned), [Some("unsupported_token_type".to_owned())]);
}

#[tokio::test]
async fn the_callers_token_is_exchanged_where_its_issuer_is_trusted_and_refused_where_not() {
    let world = World::new();
    let door = "http://127.0.0.1:8080/mcp/dev/tools";
    let caller = client("alice", "client_secret_basic", &["client_credentials"], &Value::Null);
    let idp = OidcServer::start(&json!([caller]), "jwt").await;
    let gateway = client("gateway", "private_key_jwt", &[EXCHANGE], &json!({"jwks": world.jwks()}));
    let server = OidcServer::start(&json!([gateway]), "jwt").await;
    server.trust(&json!({idp.issuer(): {"audiences": [door]}}));
    let provider = provider("notes", server.issuer(), "gateway", by_key());
    let source = json!({"token_exchange": {"token": asked(&["notes.read"])}});
    let permit = permit(1, "user_delegated", source, vec![provider]);
    let presented = idp.token("alice", SECRET, door).await;
    let token = world.issue(&presenting(permit.clone(), &presented)).await.unwrap();
    let said = claims(&token);
    assert_eq!(said["sub"], claims(&presented)["sub"]);
    assert_eq!((&said["aud"], &said["scope"]), (&json!(RESOURCE), &json!("notes.read")), "{said}");
    assert_eq!(said["act"], json!({"sub": "gateway"}));
    // A token for somebody else is none of the gateway's, and the result of another one is not its result.
    let foreign = idp.token("alice", SECRET, "https://elsewhere.example").await;
    let refused = world.issue(&presenting(permit.clone(), &foreign)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ProviderRefused);
    assert_eq!(world.answers(EventKind::CredentialIssued)[1].as_deref(), Some("invalid_grant"));
    assert_eq!(world.issue(&presenting(permit.clone(), &presented)).await.unwrap(), token);
    assert_eq!(world.issue(&permit).await.unwrap_err().code(), Code::SubjectTokenMissing);
}

#[tokio::test]
async fn an_assertion_of_the_client_is_redeemed() {
    let world = World::new();
    let gateway = client("gateway", "private_key_jwt", &[BEARER], &json!({"jwks": world.jwks()}));
    let server = OidcServer::start(&json!([gateway]), "jwt").await;
    let provider = provider("notes", server.issuer(), "gateway", by_key());
    let source = json!({"jwt_bearer": {"token": asked(&["notes.read"]), "subject": "agent"}});
    let permit = permit(1, "agent_scoped", source, vec![provider]);
    let said = claims(&world.issue(&permit).await.unwrap());
    assert_eq!((&said["sub"], &said["asserted_by"]), (&json!("bot"), &json!("gateway")), "{said}");
}

#[tokio::test]
async fn an_identity_assertion_of_the_enterprise_opens_another_authorization_server() {
    let world = World::new();
    let door = "http://127.0.0.1:8080/mcp/dev/tools";
    let jwks = json!({"jwks": world.jwks()});
    let enterprise = OidcServer::start(
        &json!([
            client("alice", "client_secret_basic", &["client_credentials"], &Value::Null),
            client("gateway", "private_key_jwt", &[EXCHANGE], &jwks),
        ]),
        "jwt",
    )
    .await;
    enterprise.trust(&json!({enterprise.issuer(): {"audiences": [door]}}));
    let target =
        OidcServer::start(&json!([client("gateway", "private_key_jwt", &[BEARER], &jwks)]), "jwt").await;
    target.trust(&json!({enterprise.issuer(): {}}));
    let providers = vec![
        provider("enterprise", enterprise.issuer(), "gateway", by_key()),
        provider("notes", target.issuer(), "gateway", by_key()),
    ];
    let source = json!({"identity_assertion": {
        "token": asked(&["notes.write"]), "identity_provider": "enterprise"
    }});
    let permit = permit(1, "user_delegated", source, providers);
    let presented = enterprise.token("alice", SECRET, door).await;
    let said = claims(&world.issue(&presenting(permit, &presented)).await.unwrap());
    assert_eq!(said["sub"], claims(&presented)["sub"]);
    assert_eq!(said["asserted_by"], enterprise.issuer());
    assert_eq!((&said["iss"], &said["scope"]), (&json!(target.issuer()), &json!("notes.write")), "{said}");
}

#[tokio::test]
async fn a_token_outlives_its_provider_and_no_more() {
    let world = World::new();
    let clients = json!([client("basic", "client_secret_basic", &["client_credentials"], &Value::Null)]);
    let mut server = OidcServer::start(&clients, "jwt").await;
    let provider = provider("notes", server.issuer(), "basic", basic());
    let source = json!({"client_credentials": asked(&["notes.read"])});
    let permit = permit(1, "service_account", source, vec![provider]);
    let token = world.issue(&permit).await.unwrap();
    server.stop().await;
    world.clock.advance(std::time::Duration::from_secs(569));
    assert_eq!(world.issue(&permit).await.unwrap(), token);
    world.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(world.issue(&permit).await.unwrap_err().code(), Code::ProviderUnavailable);
}
