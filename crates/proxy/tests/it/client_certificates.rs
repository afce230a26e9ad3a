//! Callers that the connection's certificate identifies, with and without a token.

use std::sync::Arc;
use std::time::Duration;

use gateway_core::id::EnvironmentName;
use gateway_core::identity::{Attested, Entry, ProofKind, TokenDigest, VerifiedClaims};
use gateway_core::time::Timestamp;
use gateway_proxy::server;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::broker::{TestBroker, record};
use crate::certificates::{Authority, Leaf, Tls};
use crate::upstream::{Upstream, json};

const ID: &str = "spiffe://example.org/runner";

/// A broker whose listener takes certificates, a client that has one, and the workload that it is.
struct Door {
    broker: TestBroker,
    upstream: Upstream,
    address: std::net::SocketAddr,
    servers: Authority,
    client: Leaf,
    _stop: watch::Sender<bool>,
}

fn attested(subject: &str) -> Arc<Attested> {
    Arc::new(Attested {
        issuer: "spiffe://example.org".into(),
        subject: subject.into(),
        claims: Default::default(),
    })
}

impl Door {
    async fn open(bind: impl FnOnce(&mut serde_json::Value)) -> Self {
        let upstream = Upstream::start(|_| async { json(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#) }).await;
        let mut broker = TestBroker::with(upstream.address, bind, |_| {}).await;
        let workload = json!({
            "kind": "Workload", "name": "runner", "environments": ["dev"], "owner": "team",
            "identities": [{"issuer": "spiffe://example.org", "subject": ID}]
        });
        broker.publish(|state| state.revisions.push(record(workload, 1)));
        let (servers, clients) = (Authority::new(), Authority::new());
        let (leaf, client) = (servers.leaf("localhost"), clients.leaf("runner"));
        let config = Tls { leaf: &leaf, clients: Some(&clients), version: &rustls::version::TLS13 }.config();
        let listener = server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(server::serve(listener, broker.gateway.clone(), Some(config), stopped));
        let door = Self { broker, upstream, address, servers, client, _stop: stop };
        door.certify("dev", 4_000_000_000);
        door
    }

    fn certify(&self, environment: &str, ends_at: i64) {
        let claims = VerifiedClaims {
            proof: ProofKind::Certificate,
            issuer: "spiffe://example.org".into(),
            subject: ID.into(),
            user: None,
            groups: Default::default(),
            client: None,
            act_subject: None,
            agent: None,
            attested: Some(attested(ID)),
            entries: vec![Entry { environment: EnvironmentName::parse(environment).unwrap(), servers: None }],
            expires_at: Timestamp::from_seconds(ends_at),
        };
        let digest = TokenDigest::of_certificate(&self.client.der());
        self.broker.verifier.certificates.lock().unwrap().insert(digest, claims);
    }

    /// Lets a token attest a runtime too.
    fn attest(&self, token: &str, subject: &str) {
        let mut tokens = self.broker.verifier.tokens.lock().unwrap();
        tokens.get_mut(token).unwrap().attested = Some(attested(subject));
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.servers.root()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![self.client.der().into()], self.client.key())
            .unwrap();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    /// A whole call on a connection of its own; the whole answer.
    async fn call(&self, token: Option<&str>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(self.request(token, "Connection: close\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    fn request(&self, token: Option<&str>, more: &str) -> String {
        let body = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        format!(
            "POST /mcp/dev/tools HTTP/1.1\r\nHost: {}\r\n{token}Content-Type: application/json\r\nMCP-Protocol-Version: \
             2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n{more}Content-Length: {}\r\n\r\n{body}",
            self.broker.address,
            body.len()
        )
    }
}

/// The broker's one binding serves this actor.
fn serving(actor: serde_json::Value) -> impl FnOnce(&mut serde_json::Value) {
    move |binding| binding["actor"] = actor
}

#[tokio::test]
async fn a_certificate_alone_is_its_workload() {
    let door = Door::open(serving(json!({"workloads": ["runner"]}))).await;
    let answer = door.call(None).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let events = door.broker.audit.events.lock().unwrap().clone();
    let actor = serde_json::to_string(events.last().unwrap()).unwrap();
    assert!(actor.contains("\"runner\""), "{actor}");
}

#[tokio::test]
async fn a_certificate_alone_is_no_user() {
    let door = Door::open(serving(json!({"users": ["https://idp|alice"]}))).await;
    let answer = door.call(None).await;
    assert!(answer.contains("server.unknown"), "{answer}");
    assert_eq!(door.upstream.count(), 0);
}

#[tokio::test]
async fn with_a_token_the_token_says_who_and_the_certificate_what_runs() {
    let both = json!({"users": ["https://idp|alice"], "workloads": ["runner"]});
    let door = Door::open(serving(both)).await;
    assert!(door.call(Some("alice-token")).await.starts_with("HTTP/1.1 200"));
    assert!(door.call(Some("bob-token")).await.contains("server.unknown"), "another user");
    assert!(door.call(None).await.contains("server.unknown"), "no user");
    let plain = door.broker.call("echo").await;
    assert_eq!(plain.status, 404, "the token alone, on a connection without a certificate");
    // A decision for both is no decision for one of them, in whichever order they come.
    assert!(door.call(Some("alice-token")).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_token_that_attests_another_workload_is_refused_and_the_same_is_not() {
    let door = Door::open(serving(json!({"workloads": ["runner"]}))).await;
    door.attest("bob-token", "spiffe://example.org/other");
    let answer = door.call(Some("bob-token")).await;
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("identity.mixed"), "{answer}");
    door.attest("alice-token", ID);
    assert!(door.call(Some("alice-token")).await.starts_with("HTTP/1.1 200"));
    assert!(
        door.call(Some("nobodys-token")).await.contains("token.invalid"),
        "a bad token is never made good"
    );
}

#[tokio::test]
async fn a_certificate_of_another_environment_opens_nothing_even_beside_a_good_token() {
    let door = Door::open(|_| {}).await;
    door.certify("production", 4_000_000_000);
    assert!(door.call(None).await.contains("token.audience"));
    assert!(door.call(Some("alice-token")).await.contains("token.audience"));
    assert_eq!(door.upstream.count(), 0);
}

#[tokio::test]
async fn an_expired_certificate_ends_with_the_connections_next_request() {
    let door = Door::open(serving(json!({"workloads": ["runner"]}))).await;
    door.certify("dev", door.broker.gateway.clock.now().seconds() + 60);
    let mut stream = door.connect().await;
    stream.write_all(door.request(None, "").as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..read]));
    door.broker.put_forward(Duration::from_secs(61));
    stream.write_all(door.request(None, "").as_bytes()).await.unwrap();
    // The server closes: this returns, and holds the refusal alone.
    let mut rest = String::new();
    let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut rest)).await;
    assert!(closed.is_ok(), "the connection is kept: {rest}");
    assert!(rest.contains("HTTP/1.1 401") && rest.contains("certificate.expired"), "{rest}");
    assert!(door.call(None).await.contains("certificate.expired"), "on a new connection too");
    assert_eq!(door.upstream.count(), 1);
}

#[tokio::test]
async fn a_certificate_that_is_none_of_ours_any_more_is_refused_beside_a_good_token_too() {
    let door = Door::open(|_| {}).await;
    door.broker.verifier.certificates.lock().unwrap().clear();
    for token in [None, Some("alice-token")] {
        let answer = door.call(token).await;
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("certificate.invalid"), "{answer}");
    }
}
