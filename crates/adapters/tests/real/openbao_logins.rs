//! The ways to log in at a real OpenBao that leave no long-lived secret with the gateway: a certificate, a
//! secret id in a wrapping, a token that the gateway signs.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gateway_adapters::signing::{Purpose, Signer};
use gateway_adapters::store::{
    CertLogin, SignedLogin, StoreAssertions, VaultLogin, VaultSettings, VaultStore, WrappedAppRole,
};
use gateway_core::ports::{SecretStore, StoreErrorKind};
use gateway_core::time::Timestamp;
use gateway_testkit::clock::ManualClock;
use gateway_testkit::gate::{Answer, Gate, Mode};
use gateway_testkit::openbao::OpenBao;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::Counting;
use crate::openbao::{kind, open, reference, revoke_all, settings, text, tokens};

const PUBLIC_URL: &str = "https://mcp.example";

pub(crate) fn now() -> Timestamp {
    Timestamp::from_seconds(time::OffsetDateTime::now_utc().unix_timestamp())
}

/// What the gateway signs, and a place on the network that shows the keys.
pub(crate) async fn signing() -> (Arc<StoreAssertions>, Gate) {
    let signer = Arc::new(Signer::ephemeral(now()).unwrap());
    let body = signer.jwks(Some(Purpose::StoreLogin)).to_string();
    let keys = Gate::open("127.0.0.1:1").await;
    let headers = "Content-Type: application/json\r\n".to_owned();
    keys.set(Mode::Answer(Answer { status: 200, headers, body }));
    let (clock, random) = (Arc::new(ManualClock::at(now())), Arc::new(Counting::default()));
    (Arc::new(StoreAssertions::new(signer, PUBLIC_URL, clock, random)), keys)
}

/// An auth mount that trusts these keys.
pub(crate) async fn trust(server: &OpenBao, keys: &Gate) {
    server.write("sys/auth/jwt", &json!({ "type": "jwt" })).await;
    let trust = json!({ "jwks_url": format!("{}/jwks", keys.address()), "bound_issuer": PUBLIC_URL,
        "jwt_supported_algs": ["ES256"] });
    server.write("auth/jwt/config", &trust).await;
}

/// A certificate authority of people's own, and what it signs for the gateway.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes a certificate for the name beside the server's data, over the former one.
    fn sign(&self, server: &OpenBao, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (
            server.private_file("client.pem", &certificate.pem()),
            server.private_file("client.key", &key.serialize_pem()),
        )
    }
}

#[tokio::test]
async fn logs_in_by_certificate_renews_with_it_and_takes_up_the_next_one() {
    let server = OpenBao::start_tls().await;
    server.put("kv/a", &json!({ "token": "value" })).await;
    server.read_policy("reader", "kv").await;
    let authority = Authority::new();
    server.write("sys/auth/cert", &json!({ "type": "cert" })).await;
    let role = json!({ "certificate": authority.0.pem(), "allowed_common_names": ["gateway"],
        "token_policies": "reader", "token_ttl": "3s", "token_max_ttl": "60s" });
    server.write("auth/cert/certs/gateway", &role).await;
    let (certificate_file, key_file) = authority.sign(&server, "gateway");
    let login = CertLogin {
        mount: "cert".to_owned(),
        role: Some("gateway".to_owned()),
        certificate_file: certificate_file.clone(),
        key_file: key_file.clone(),
    };
    let ca_file = Some(server.ca_file());
    let settings = |login: CertLogin| VaultSettings {
        ca_file: ca_file.clone(),
        ..settings(&server, VaultLogin::Cert(login))
    };
    let store = open(settings(login.clone()));
    assert_eq!(text(&store.fetch(&reference("kv/a")).await.unwrap()), "value");
    let held = tokens(&server).await;
    // Beyond the token's three seconds only a renewal helps, and that needs the certificate too.
    let begin = tokio::time::Instant::now();
    while begin.elapsed() < Duration::from_millis(4_500) {
        store.fetch(&reference("kv/a")).await.expect("the token is renewed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(tokens(&server).await, held, "one token, renewed");
    // Another certificate: the next login shows it.
    authority.sign(&server, "gateway");
    revoke_all(&server, "cert").await;
    assert_eq!(text(&store.fetch(&reference("kv/a")).await.unwrap()), "value");
    // Of another name, and of another authority: refused by the store.
    for signer in [&authority, &Authority::new()] {
        signer.sign(&server, "somebody-else");
        revoke_all(&server, "cert").await;
        assert_eq!(kind(&store, &reference("kv/a")).await, StoreErrorKind::Denied);
    }
    let missing = CertLogin { certificate_file: PathBuf::from("/no/such/file"), ..login };
    assert_eq!(kind(&open(settings(missing)), &reference("kv/a")).await, StoreErrorKind::Denied);
}

struct Wrapped {
    server: OpenBao,
    login: WrappedAppRole,
}

impl Wrapped {
    async fn start() -> Self {
        let server = OpenBao::start().await;
        server.put("kv/a", &json!({ "token": "value" })).await;
        server.read_policy("reader", "kv").await;
        let (role_id, _) = server.approle("gateway", &json!({ "token_policies": "reader" })).await;
        let login = WrappedAppRole {
            mount: "approle".to_owned(),
            role: "gateway".to_owned(),
            role_id,
            wrapped_secret_id_file: server.private_file("wrapped", ""),
        };
        let wrapped = Self { server, login };
        wrapped.bring("auth/approle/role/gateway/secret-id", 60).await;
        wrapped
    }

    /// Has this wrapped and brings it to the gateway.
    async fn bring(&self, path: &str, seconds: u32) -> String {
        let token = self.server.wrapped(path, &json!({}), seconds).await;
        self.server.private_file("wrapped", &token);
        token
    }

    fn open(&self) -> VaultStore {
        open(settings(&self.server, VaultLogin::WrappedApprole(self.login.clone())))
    }

    async fn refusal(&self, store: &VaultStore) -> String {
        let error = store.fetch(&reference("kv/a")).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Denied, "{error}");
        error.inside
    }
}

#[tokio::test]
async fn a_wrapped_secret_id_is_opened_once_and_kept_in_memory_only() {
    let wrapped = Wrapped::start().await;
    let store = wrapped.open();
    assert_eq!(text(&store.fetch(&reference("kv/a")).await.unwrap()), "value");
    std::fs::remove_file(&wrapped.login.wrapped_secret_id_file).unwrap();
    revoke_all(&wrapped.server, "approle").await;
    assert_eq!(text(&store.fetch(&reference("kv/a")).await.unwrap()), "value", "another login, no file");
}

#[tokio::test]
async fn a_wrapping_that_somebody_else_opened_is_a_loud_refusal_until_another_one_comes() {
    let wrapped = Wrapped::start().await;
    let token = std::fs::read_to_string(&wrapped.login.wrapped_secret_id_file).unwrap();
    assert_eq!(wrapped.server.unwrap(&token).await, 200, "a thief was faster");
    let store = wrapped.open();
    let inside = wrapped.refusal(&store).await;
    assert!(inside.contains("wrapping.spent") && !inside.contains(&token), "{inside}");
    wrapped.bring("auth/approle/role/gateway/secret-id", 60).await;
    assert_eq!(text(&store.fetch(&reference("kv/a")).await.unwrap()), "value");
    // After a restart the same wrapping opens nothing: that is said, too.
    assert!(wrapped.refusal(&wrapped.open()).await.contains("wrapping.spent"));
    // Never opened, and too late.
    let token = wrapped.bring("auth/approle/role/gateway/secret-id", 1).await;
    let patience = tokio::time::Instant::now() + Duration::from_secs(10);
    let lookup = json!({ "token": token });
    while wrapped.server.call(Method::POST, "sys/wrapping/lookup", &lookup).await.0 == 200 {
        assert!(tokio::time::Instant::now() < patience);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(wrapped.refusal(&wrapped.open()).await.contains("wrapping.spent"));
}

#[tokio::test]
async fn a_wrapping_of_anything_else_stays_closed() {
    let wrapped = Wrapped::start().await;
    wrapped.server.approle("another", &json!({ "token_policies": "reader" })).await;
    for path in ["auth/approle/role/another/secret-id", "sys/wrapping/wrap"] {
        let token = wrapped.bring(path, 60).await;
        let inside = wrapped.refusal(&wrapped.open()).await;
        assert!(inside.contains("wrapping.swapped") && !inside.contains(&token), "{inside}");
        assert_eq!(wrapped.server.unwrap(&token).await, 200, "{path}: nobody had opened it");
    }
}

#[tokio::test]
async fn a_secret_id_that_was_destroyed_is_replaced_by_the_next_wrapping() {
    let wrapped = Wrapped::start().await;
    let store = wrapped.open();
    store.fetch(&reference("kv/a")).await.unwrap();
    let list = Method::from_bytes(b"LIST").unwrap();
    let (_, answer) = wrapped.server.call(list, "auth/approle/role/gateway/secret-id", &Value::Null).await;
    for accessor in answer["data"]["keys"].as_array().unwrap() {
        let body = json!({ "secret_id_accessor": accessor });
        wrapped.server.write("auth/approle/role/gateway/secret-id-accessor/destroy", &body).await;
    }
    revoke_all(&wrapped.server, "approle").await;
    let inside = wrapped.refusal(&store).await;
    assert!(inside.contains("put a new one there"), "{inside}");
    wrapped.bring("auth/approle/role/gateway/secret-id", 60).await;
    assert_eq!(text(&store.fetch(&reference("kv/a")).await.unwrap()), "value");
}

#[tokio::test]
async fn logs_in_with_a_token_that_the_gateway_signs_about_itself() {
    let server = OpenBao::start().await;
    server.put("kv/a", &json!({ "token": "value" })).await;
    server.read_policy("reader", "kv").await;
    let (assertions, keys) = signing().await;
    trust(&server, &keys).await;
    let role = json!({ "role_type": "jwt", "bound_audiences": ["https://bao.internal"], "user_claim": "sub",
        "bound_subject": "mcp-gateway", "token_policies": "reader" });
    server.write("auth/jwt/role/gateway", &role).await;
    let store = |audience: &str, assertions: Option<&Arc<StoreAssertions>>| {
        let login = SignedLogin {
            mount: "jwt".to_owned(),
            role: "gateway".to_owned(),
            audience: audience.to_owned(),
        };
        let settings = settings(&server, VaultLogin::SignedJwt(login));
        VaultStore::signing(settings, assertions.cloned(), Arc::new(ManualClock::default())).unwrap()
    };
    let good = store("https://bao.internal", Some(&assertions));
    assert_eq!(text(&good.fetch(&reference("kv/a")).await.unwrap()), "value");
    let elsewhere = store("https://another.internal", Some(&assertions));
    assert_eq!(kind(&elsewhere, &reference("kv/a")).await, StoreErrorKind::Denied);
    assert_eq!(kind(&store("https://bao.internal", None), &reference("kv/a")).await, StoreErrorKind::Denied);
    let (foreign, _keys) = signing().await;
    let forged = store("https://bao.internal", Some(&foreign));
    assert_eq!(
        kind(&forged, &reference("kv/a")).await,
        StoreErrorKind::Denied,
        "of keys that are not trusted"
    );
}
