//! The gateway as a client that nobody registered by hand, against the real npm `oidc-provider`: a person goes
//! through its pages, and the code is exchanged and refreshed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]
#![expect(clippy::disallowed_methods, reason = "real servers judge real times")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use gateway_adapters::signing::Signer;
use gateway_adapters::source::provider::{AuthorizationWish, CodeAnswer, ProofKey, ProviderClient, Tokens};
use gateway_adapters::source::{SourceParts, Sources};
use gateway_core::audit::{Event, EventKind};
use gateway_core::client::{ClientDocument, KEYS_PATH, redirect_uri};
use gateway_core::manifest::ProviderSpec;
use gateway_core::ports::{AuditError, AuditSink, OwnKeys as _, Random, Sequence};
use gateway_core::secret::Secret;
use gateway_core::stores::{StoreClass, StoreEntry, Stores};
use gateway_core::time::{Clock as _, Timestamp};
use gateway_testkit::clock::ManualClock;
use gateway_testkit::memory_state::MemoryState;
use gateway_testkit::oidc::OidcServer;
use gateway_testkit::provider::FakeProvider;
use gateway_testkit::store::MemoryStore;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

const RESOURCE: &str = "https://notes.example/mcp";
const SCOPES: &[&str] = &["notes.read", "offline_access"];
const PEOPLE: (&str, &str) = ("OIDC_ACCOUNTS", r#"{"alice":{}}"#);

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

#[derive(Debug)]
struct Entropy;

impl Random for Entropy {
    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).unwrap();
    }
}

/// What all replicas of a gateway share.
struct House {
    store: Arc<MemoryStore>,
    signer: Arc<Signer>,
    clock: Arc<ManualClock>,
    chain: Arc<Chain>,
    state: Arc<MemoryState>,
}

impl House {
    fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(0).plus(now)));
        Self {
            store: MemoryStore::new(),
            signer: Arc::new(Signer::ephemeral(clock.now()).unwrap()),
            clock,
            chain: Arc::default(),
            state: Arc::default(),
        }
    }

    fn replica(&self, public_url: &str) -> Arc<ProviderClient> {
        let entry = StoreEntry {
            store: self.store.clone(),
            uncached: self.store.clone(),
            cache: self.store.clone(),
            leasing: None,
            writer: Some(self.store.clone()),
            class: StoreClass::External,
            environments: vec!["dev".parse().unwrap()],
            paths: Vec::new(),
        };
        let sources = Sources::new(SourceParts {
            signer: self.signer.clone(),
            public_url: public_url.to_owned(),
            stores: Arc::new(Stores::new([("memory".parse().unwrap(), entry)])),
            state: self.state.clone(),
            tickets: self.state.clone(),
            revocations: self.state.clone(),
            audit: self.chain.clone(),
            clock: self.clock.clone(),
            random: Arc::new(Entropy),
        });
        Arc::clone(sources.providers())
    }

    fn kinds(&self) -> Vec<EventKind> {
        self.chain.0.lock().unwrap().iter().map(|event| event.kind).collect()
    }
}

fn provider(issuer: &str, client: Value) -> ProviderSpec {
    serde_json::from_value(json!({
        "name": "notes", "environment": "dev", "owner": "team", "issuer": issuer,
        "client": client, "grants": "memory://grants", "addresses": ["loopback"]
    }))
    .unwrap()
}

/// A person's browser: follows redirects and fills in pages until it is sent back to the gateway.
async fn walk(from: Url, home: &str) -> Url {
    let browser = reqwest::Client::builder()
        .no_proxy()
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let mut cookies: HashMap<String, String> = HashMap::new();
    let (mut at, mut form) = (from, None);
    for _ in 0..16 {
        let pairs: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = match form.take() {
            None => browser.get(at.clone()),
            Some(fields) => browser.post(at.clone()).form::<Vec<(&str, String)>>(&fields),
        };
        let answer = request.header("cookie", pairs.join("; ")).send().await.unwrap();
        for line in answer.headers().get_all("set-cookie") {
            let pair = line.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            match value {
                "" => drop(cookies.remove(name)),
                _ => drop(cookies.insert(name.to_owned(), value.to_owned())),
            }
        }
        if let Some(location) = answer.headers().get("location") {
            at = at.join(location.to_str().unwrap()).unwrap();
            if at.as_str().starts_with(home) {
                return at;
            }
            continue;
        }
        let page = answer.text().await.unwrap();
        let between = |start: &str| {
            let found = page.split_once(start).and_then(|(_, rest)| rest.split_once('"'));
            found.unwrap_or_else(|| panic!("no page of the provider's: {page}")).0.to_owned()
        };
        let prompt = between("name=\"prompt\" value=\"");
        at = at.join(&between(" action=\"")).unwrap();
        let person = [("login", "alice".to_owned()), ("password", "any".to_owned())];
        form = Some([("prompt", prompt)].into_iter().chain(person).collect());
    }
    panic!("the way through the pages has no end")
}

/// Sends somebody through the provider's pages, exchanges the code, and refreshes.
async fn connect(client: &ProviderClient, spec: &ProviderSpec, public_url: &str) -> (String, Tokens) {
    let home = redirect_uri(public_url);
    let key = ProofKey::new(&Entropy);
    let wish = AuthorizationWish {
        redirect_uri: &home,
        scopes: SCOPES,
        state: "some-state",
        challenge: key.challenge(),
        resource: Some(RESOURCE),
        audience: None,
        nonce: None,
        prompt: Some("consent"),
        login_hint: None,
    };
    let request = client.authorization_request(spec, &wish).await.unwrap();
    let sent =
        |url: &Url, name: &str| url.query_pairs().find(|(n, _)| n == name).map(|(_, v)| v.into_owned());
    let id = sent(&request.url, "client_id").unwrap();
    let back = walk(request.url, &home).await;
    assert_eq!(sent(&back, "state").as_deref(), Some("some-state"), "{back}");
    client.accept_issuer(spec, sent(&back, "iss").as_deref()).await.unwrap();
    let code = Secret::new(sent(&back, "code").unwrap().into_bytes());
    let answer = CodeAnswer {
        code: &code,
        verifier: key.verifier(),
        redirect_uri: &home,
        scopes: SCOPES,
        resource: Some(RESOURCE),
    };
    let first = client.exchange_code(spec, &answer).await.unwrap();
    let refresh_token = first.refresh_token.unwrap();
    let tokens = client.refresh(spec, &refresh_token, &["notes.read"], Some(RESOURCE)).await.unwrap();
    assert!(tokens.covers(&["notes.read"]));
    (id, tokens)
}

#[tokio::test(flavor = "multi_thread")]
async fn registers_itself_once_and_is_the_client_of_what_people_grant() {
    const PUBLIC: &str = "http://127.0.0.1:8080";
    let server = OidcServer::start_with(&json!([]), "jwt", &[PEOPLE, ("OIDC_REGISTRATION", "1")]).await;
    let house = House::new();
    let spec = provider(server.issuer(), json!({"registration": "dynamic"}));
    let (one, other) = (house.replica(PUBLIC), house.replica(PUBLIC));
    let (first, second) = tokio::join!(one.client_id(&spec), other.client_id(&spec));
    let id = first.unwrap();
    assert_eq!(id, second.unwrap(), "one registration serves both");
    assert_eq!(house.kinds(), [EventKind::CredentialRequested, EventKind::CredentialIssued]);
    let path = house.store.paths().remove(0);
    let kept: Value = serde_json::from_slice(&house.store.newest(&path, "client").unwrap()).unwrap();
    assert_eq!((&kept["client_id"], &kept["authentication"]), (&json!(id), &json!("client_secret_basic")));
    assert!(kept["client_secret"].as_str().unwrap().len() >= 16);
    let (used, _) = connect(&other, &spec, PUBLIC).await;
    assert_eq!(used, id);
    // A provider that has lost its memory says so; the gateway is another client then.
    let forgetful = json!({"client_id": "nobody", "authentication": "client_secret_basic",
        "registered_at": kept["registered_at"], "secret_expires_at": null, "client_secret": "not the secret of anybody"});
    house.store.insert(&path, "client", forgetful.to_string().as_bytes());
    let gone = Secret::copy_from(b"a refresh token of long ago");
    let error = one.refresh(&spec, &gone, &[], None).await.unwrap_err();
    assert_eq!(error.answer(), Some("invalid_client"));
    let renewed = one.client_id(&spec).await.unwrap();
    assert!(renewed != id && renewed != "nobody");
    connect(&one, &spec, PUBLIC).await;
}

/// A server that shows what the gateway's data listener shows.
async fn listener(house: &House, folder: &TempDir) -> FakeProvider {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Of another name than the leaf's: OpenSSL would take that for its own authority.
    parameters.distinguished_name.push(DnType::CommonName, "authority");
    let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &authority).unwrap();
    let library = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(library)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(leaf.der().to_vec())],
            PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap(),
        )
        .unwrap();
    let listener = FakeProvider::start_tls(Arc::new(config)).await;
    for rest in ["dev/notes.json", "dev/notes/signed.json"] {
        let document = ClientDocument::parse(rest).unwrap();
        let address = document.address(listener.issuer());
        let path = address.strip_prefix(listener.issuer()).unwrap();
        let body = document.render(listener.issuer()).unwrap();
        listener.answer(path, 200, &[], std::str::from_utf8(&body).unwrap());
    }
    let keys = house.signer.key_set(Some("assertion")).unwrap();
    listener.answer(KEYS_PATH, 200, &[], std::str::from_utf8(&keys).unwrap());
    listener
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_alone_makes_it_a_client_public_or_with_the_gateways_own_key() {
    let (house, folder) = (House::new(), TempDir::new().unwrap());
    let listener = listener(&house, &folder).await;
    let public = listener.issuer().to_owned();
    let authorities = folder.path().join("ca.pem");
    let trust = ("NODE_EXTRA_CA_CERTS", authorities.to_str().unwrap());
    let server =
        OidcServer::start_with(&json!([]), "jwt", &[PEOPLE, ("OIDC_CLIENT_DOCUMENTS", "1"), trust]).await;
    let client = house.replica(&public);
    for (authentication, end) in [(json!("none"), ".json"), (json!("gateway_key"), "/signed.json")] {
        let document = json!({"registration": "metadata_document", "authentication": authentication});
        let spec = provider(server.issuer(), document);
        let (id, _) = connect(&client, &spec, &public).await;
        assert_eq!(id, format!("{public}/.well-known/oauth-client/dev/notes{end}"));
    }
    assert!(!listener.asked(KEYS_PATH).is_empty(), "the second client proved itself by the key set");
    assert_eq!(house.store.paths(), [""; 0], "nothing is kept of either");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_offers_neither_is_told_apart_from_one_that_is_down() {
    let mut server = OidcServer::start(&json!([]), "jwt").await;
    let house = House::new();
    let client = house.replica("https://mcp.example");
    for registration in ["metadata_document", "dynamic"] {
        let spec = provider(server.issuer(), json!({ "registration": registration }));
        let error = client.client_id(&spec).await.unwrap_err();
        assert_eq!(error.refusal().code(), gateway_core::refusal::Code::ProviderRefused, "{registration}");
    }
    server.stop().await;
    let spec = provider(server.issuer(), json!({"registration": "dynamic"}));
    let error = house.replica("https://mcp.example").client_id(&spec).await.unwrap_err();
    assert_eq!(error.refusal().code(), gateway_core::refusal::Code::ProviderUnavailable);
    assert!(house.kinds().is_empty() && house.store.paths().is_empty());
}
