//! The vault store against a real OpenBao server.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null, it never panics")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gateway_adapters::store::{
    AppRole, Breaker, BreakerLimits, CacheLimits, Cached, Deadline, JwtLogin, KvVersion, VaultLogin,
    VaultSettings, VaultStore, VaultWriter,
};
use gateway_core::id::StoreName;
use gateway_core::lease::SecretVersion;
use gateway_core::ports::{SecretStore, SecretWriter as _, StoreErrorKind};
use gateway_core::reference::{ResolvedReference, VersionSelector};
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use gateway_testkit::clock::ManualClock;
use gateway_testkit::contract;
use gateway_testkit::contract::store::{
    Misbehaviour, RETRY_AFTER, StoreWorld, Trouble, battery, one_fetch_for_a_thousand, pressure,
};
use gateway_testkit::gate::{Answer, Gate, Mode};
use gateway_testkit::openbao::OpenBao;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};

pub(crate) fn settings(server: &OpenBao, login: VaultLogin) -> VaultSettings {
    VaultSettings {
        addresses: vec![server.address().parse().unwrap()],
        login,
        namespace: None,
        mounts: Vec::new(),
        kv: KvVersion::V2,
        ca_file: None,
        proxy: None,
        timeout: Duration::from_secs(5),
    }
}

pub(crate) fn root(server: &OpenBao) -> VaultLogin {
    VaultLogin::TokenFile(server.private_file("root-token", server.root_token()))
}

pub(crate) fn open(settings: VaultSettings) -> VaultStore {
    VaultStore::new(settings, Arc::new(ManualClock::default())).unwrap()
}

pub(crate) fn reference(path: &str) -> ResolvedReference {
    let store = StoreName::parse("vault-prod").unwrap();
    ResolvedReference { store, path: path.to_owned(), field: Some("token".to_owned()), version: None }
}

pub(crate) fn pinned(path: &str, version: u64) -> ResolvedReference {
    ResolvedReference { version: Some(VersionSelector::Version(version.to_string())), ..reference(path) }
}

#[expect(clippy::disallowed_methods, reason = "the tests compare values")]
pub(crate) fn text(version: &SecretVersion) -> &str {
    std::str::from_utf8(version.secret.expose()).unwrap()
}

pub(crate) async fn kind(store: &impl SecretStore, wanted: &ResolvedReference) -> StoreErrorKind {
    store.fetch(wanted).await.unwrap_err().kind
}

/// A store that logs in by AppRole, through a gate.
struct World {
    server: OpenBao,
    gate: Gate,
    store: Arc<VaultStore>,
    secret_id: String,
}

impl World {
    async fn start() -> Self {
        let server = OpenBao::start().await;
        let gate = Gate::open(server.address().trim_start_matches("http://")).await;
        server.read_policy("reader", "kv").await;
        server.mount("other").await;
        let (role_id, secret_id) = server.approle("gateway", &json!({ "token_policies": "reader" })).await;
        let secret_id_file = server.private_file("secret-id", &secret_id);
        let login = VaultLogin::Approle(AppRole { mount: "approle".to_owned(), role_id, secret_id_file });
        let addresses = vec![gate.address().parse().unwrap()];
        let timeout = Duration::from_secs(30);
        let store = Arc::new(open(VaultSettings { addresses, timeout, ..settings(&server, login) }));
        Self { server, gate, store, secret_id }
    }
}

#[async_trait]
impl StoreWorld for World {
    fn store(&self) -> &dyn SecretStore {
        self.store.as_ref()
    }

    async fn put(&self, name: &str, value: &[u8]) -> Option<ResolvedReference> {
        let value = std::str::from_utf8(value).ok()?;
        self.server.put(&format!("kv/{name}"), &json!({ "other": 1, "token": value })).await;
        Some(reference(&format!("kv/{name}")))
    }

    fn absent(&self) -> ResolvedReference {
        reference("kv/absent")
    }

    fn keeps_versions(&self) -> bool {
        true
    }

    fn requests(&self) -> Option<u32> {
        Some(self.gate.count())
    }

    async fn delete_version(&self, pinned: &ResolvedReference) -> bool {
        let path = pinned.path.replacen("kv/", "kv/delete/", 1);
        let Some(VersionSelector::Version(version)) = &pinned.version else { return false };
        let version: u64 = version.parse().unwrap();
        self.server.write(&path, &json!({ "versions": [version] })).await;
        true
    }

    async fn misbehave(&self, how: Misbehaviour) -> bool {
        self.gate.set(how.as_mode());
        true
    }

    async fn denied(&self) -> Option<ResolvedReference> {
        self.server.put("other/denied", &json!({ "token": "canary-denied" })).await;
        Some(reference("other/denied"))
    }

    async fn delete(&self, wanted: &ResolvedReference) -> bool {
        let path = wanted.path.replacen("kv/", "kv/metadata/", 1);
        self.server.call(Method::DELETE, &path, &Value::Null).await.0 == 204
    }

    async fn bring(&self, trouble: Trouble) -> bool {
        match trouble {
            Trouble::None => {
                self.server.private_file("secret-id", &self.secret_id);
                self.gate.set(Mode::Open);
            }
            Trouble::Slow => self.gate.set(Mode::Stuck),
            Trouble::Down => self.gate.set(Mode::Shut),
            Trouble::Throttled => {
                let headers = format!("Retry-After: {}\r\n", RETRY_AFTER.as_secs());
                let body = r#"{"errors":["canary"]}"#.to_owned();
                self.gate.set(Mode::Answer(Answer { status: 429, headers, body }));
            }
            Trouble::SessionOver => revoke_all(&self.server, "approle").await,
            Trouble::LoginRefused => {
                self.server.private_file("secret-id", "00000000-0000-0000-0000-000000000000");
                revoke_all(&self.server, "approle").await;
            }
        }
        true
    }
}

#[tokio::test]
async fn keeps_the_contract() {
    battery(&World::start().await).await;
}

#[tokio::test]
async fn keeps_the_contract_under_pressure() {
    let (world, clock) = (World::start().await, Arc::new(ManualClock::default()));
    pressure(&world, &clock, || {
        let circuit = Arc::new(Breaker::new(world.store.clone(), BreakerLimits::default(), clock.clone()));
        Arc::new(Cached::new(circuit, CacheLimits::default(), clock.clone()))
    })
    .await;
}

#[tokio::test]
async fn a_thousand_callers_make_one_request() {
    let world = World::start().await;
    let wanted = world.put("shared", b"canary-shared").await.unwrap();
    world.store.probe().await.unwrap();
    let before = world.gate.count();
    one_fetch_for_a_thousand(world.store.clone(), &wanted, |store| {
        Arc::new(Cached::new(store, CacheLimits::default(), Arc::new(ManualClock::default())))
    })
    .await;
    assert_eq!(world.gate.count(), before + 1, "on the wire too");
}

#[tokio::test]
async fn tells_versions_times_and_request_ids_and_refuses_deleted_ones() {
    let server = OpenBao::start().await;
    let store = open(settings(&server, root(&server)));
    for number in 1..=3 {
        server.put("kv/team/bot", &json!({ "token": format!("v{number}"), "port": 443 })).await;
    }
    let newest = store.fetch(&reference("kv/team/bot")).await.unwrap();
    assert_eq!((text(&newest), newest.version.as_str()), ("v3", "3"));
    assert!(newest.created_at.is_some() && newest.store_request_id.is_some());
    assert_eq!(text(&store.fetch(&pinned("kv/team/bot", 1)).await.unwrap()), "v1");
    server.write("kv/delete/team/bot", &json!({ "versions": [2] })).await;
    server.write("kv/destroy/team/bot", &json!({ "versions": [1] })).await;
    for (gone, why) in [(1, "version 1 is destroyed for good"), (2, "version 2 is deleted since 20")] {
        let error = store.fetch(&pinned("kv/team/bot", gone)).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::NotFound);
        assert!(error.inside.contains(why), "{error}");
    }
    server.write("kv/undelete/team/bot", &json!({ "versions": [2] })).await;
    assert_eq!(text(&store.fetch(&pinned("kv/team/bot", 2)).await.unwrap()), "v2");
    let port = ResolvedReference { field: Some("port".to_owned()), ..reference("kv/team/bot") };
    assert_eq!(kind(&store, &port).await, StoreErrorKind::Malformed);
    assert_eq!(kind(&store, &reference("no-such-mount/a")).await, StoreErrorKind::NotFound);
}

fn writer(server: &OpenBao, login: VaultLogin, writable: &[&str]) -> VaultWriter {
    VaultWriter::new(
        open(settings(server, login)),
        writable.iter().map(|&prefix| prefix.to_owned()).collect(),
    )
}

#[tokio::test]
async fn writes_by_check_and_set_and_deletes_every_version() {
    let server = OpenBao::start().await;
    let writer = writer(&server, root(&server), &["kv/grants/"]);
    contract::writer::battery(&open(settings(&server, root(&server))), &writer, "kv/grants/").await;
    let (status, answer) = server.call(Method::GET, "kv/metadata/grants/one", &Value::Null).await;
    assert_eq!(status, 404, "no version is left to be undeleted: {answer}");
}

#[tokio::test]
async fn writes_only_where_the_configuration_says_and_never_over_other_fields() {
    let server = OpenBao::start().await;
    server.put("kv/grants/shared", &json!({ "token": "a", "user": "kept" })).await;
    let writer = writer(&server, root(&server), &["kv/grants/", "kv/exact"]);
    let value = || Secret::copy_from(b"value-of-the-gateway");
    let put = async |path: &str| {
        writer.put(path, "token", value(), Timestamp::from_seconds(0)).await.map_err(|error| error.kind)
    };
    for path in ["kv/other", "kv/grants", "kv/grantsx/a", "kv/grants/../other", "kv/grants//a", "kv/exact/a"]
    {
        assert!(!writer.takes(path), "{path}");
        assert_eq!(put(path).await, Err(StoreErrorKind::Denied), "{path}");
        assert_eq!(
            writer.delete(path).await.map_err(|error| error.kind),
            Err(StoreErrorKind::Denied),
            "{path}"
        );
    }
    assert!(put("kv/exact").await.is_ok());
    assert_eq!(put("kv/grants/shared").await, Err(StoreErrorKind::Malformed));
    let store = open(settings(&server, root(&server)));
    let user = ResolvedReference { field: Some("user".to_owned()), ..reference("kv/grants/shared") };
    assert_eq!(text(&store.fetch(&user).await.unwrap()), "kept");
    // Somebody else's version in between is written over only by a plain put.
    let first = put("kv/grants/a").await.unwrap();
    server.put("kv/grants/a", &json!({ "token": "of somebody else" })).await;
    let replaced = writer.replace("kv/grants/a", "token", value(), &first, Timestamp::from_seconds(0)).await;
    assert_eq!(replaced.unwrap(), None);
    assert_eq!(text(&store.fetch(&reference("kv/grants/a")).await.unwrap()), "of somebody else");
    // A deleted version is written over, and its number is not used again.
    server.call(Method::DELETE, "kv/data/grants/a", &Value::Null).await;
    assert_eq!(put("kv/grants/a").await.unwrap().as_str(), "3");
}

#[tokio::test]
async fn a_login_that_may_only_read_cannot_write() {
    let server = OpenBao::start().await;
    server.read_policy("reader", "kv").await;
    let (role_id, secret_id) = server.approle("gateway", &json!({ "token_policies": "reader" })).await;
    let secret_id_file = server.private_file("secret-id", &secret_id);
    let login = VaultLogin::Approle(AppRole { mount: "approle".to_owned(), role_id, secret_id_file });
    let writer = writer(&server, login, &["kv/grants/"]);
    let value = Secret::copy_from(b"value-of-the-gateway");
    let refusal = writer.put("kv/grants/a", "token", value, Timestamp::from_seconds(0)).await.unwrap_err();
    assert_eq!(refusal.kind, StoreErrorKind::Denied);
    assert!(!refusal.to_string().contains("value-of-the-gateway"), "{refusal}");
    assert_eq!(writer.delete("kv/grants/a").await.unwrap_err().kind, StoreErrorKind::Denied);
}

#[tokio::test]
async fn many_writers_of_one_place_lose_nothing() {
    let server = OpenBao::start().await;
    let writer = Arc::new(writer(&server, root(&server), &["kv/grants/"]));
    let first = put_text(&writer, "first").await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let (writer, first) = (Arc::clone(&writer), first.clone());
            let value = Secret::new(format!("value {number}").into_bytes());
            tokio::spawn(async move {
                let now = Timestamp::from_seconds(0);
                writer.replace("kv/grants/a", "token", value, &first, now).await.unwrap()
            })
        })
        .collect();
    let mut written = Vec::new();
    for task in tasks {
        written.extend(task.await.unwrap());
    }
    assert_eq!(written.len(), 1, "one of them replaced the first version");
}

async fn put_text(
    writer: &VaultWriter,
    text: &str,
) -> Result<gateway_core::lease::VersionId, gateway_core::ports::StoreError> {
    let value = Secret::copy_from(text.as_bytes());
    writer.put("kv/grants/a", "token", value, Timestamp::from_seconds(0)).await
}

#[tokio::test]
async fn a_version_that_the_store_will_delete_says_when_it_ends() {
    let server = OpenBao::start().await;
    // The store judges by the gateway's clock: here one that is long before the deletion.
    let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(0)));
    let store = VaultStore::new(settings(&server, root(&server)), clock).unwrap();
    server.write("kv/metadata/short", &json!({ "delete_version_after": "1h" })).await;
    server.put("kv/short", &json!({ "token": "v" })).await;
    let version = store.fetch(&reference("kv/short")).await.unwrap();
    let span = version.expires_at.unwrap().since(version.created_at.unwrap());
    assert_eq!(span.as_secs(), 3600);
    let after = version.expires_at.unwrap();
    let store = VaultStore::new(settings(&server, root(&server)), Arc::new(ManualClock::at(after))).unwrap();
    assert_eq!(kind(&store, &reference("kv/short")).await, StoreErrorKind::NotFound);
}

#[tokio::test]
async fn logs_in_by_approle_and_again_when_the_token_dies() {
    let server = OpenBao::start().await;
    server.put("kv/a", &json!({ "token": "value" })).await;
    server.mount("other").await;
    server.put("other/a", &json!({ "token": "value" })).await;
    server.read_policy("reader", "kv").await;
    let (role_id, secret_id) = server.approle("gateway", &json!({ "token_policies": "reader" })).await;
    let secret_id_file = server.private_file("secret-id", &secret_id);
    let login = VaultLogin::Approle(AppRole { mount: "approle".to_owned(), role_id, secret_id_file });
    let store = open(settings(&server, login));
    store.probe().await.unwrap();
    assert_eq!(text(&store.fetch(&reference("kv/a")).await.unwrap()), "value");
    let tokens = tokens(&server).await;
    assert_eq!(kind(&store, &reference("other/a")).await, StoreErrorKind::Denied);
    assert_eq!(self::tokens(&server).await, tokens, "a denied path is no reason to log in again");
    revoke_all(&server, "approle").await;
    assert_eq!(text(&store.fetch(&reference("kv/a")).await.unwrap()), "value", "one new login");
    store.probe().await.unwrap();
    server.private_file("secret-id", "00000000-0000-0000-0000-000000000000");
    revoke_all(&server, "approle").await;
    assert_eq!(kind(&store, &reference("kv/a")).await, StoreErrorKind::Denied);
    server.private_file("secret-id", &secret_id);
    assert_eq!(text(&store.fetch(&reference("kv/a")).await.unwrap()), "value", "the file is read anew");
}

pub(crate) async fn tokens(server: &OpenBao) -> usize {
    let list = Method::from_bytes(b"LIST").unwrap();
    let (status, answer) = server.call(list, "auth/token/accessors", &Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    answer["data"]["keys"].as_array().unwrap().len()
}

pub(crate) async fn revoke_all(server: &OpenBao, mount: &str) {
    server.write(&format!("sys/leases/revoke-force/auth/{mount}"), &json!({})).await;
}

#[tokio::test]
async fn logs_in_by_jwt() {
    let server = OpenBao::start().await;
    server.put("kv/a", &json!({ "token": "value" })).await;
    server.read_policy("reader", "kv").await;
    let key = rcgen::KeyPair::generate().unwrap();
    server.write("sys/auth/jwt", &json!({ "type": "jwt" })).await;
    let trust = json!({ "jwt_validation_pubkeys": [key.public_key_pem()], "jwt_supported_algs": ["ES256"] });
    server.write("auth/jwt/config", &trust).await;
    let role = json!({ "role_type": "jwt", "bound_audiences": ["openbao"], "user_claim": "sub",
        "bound_subject": "gateway", "token_policies": "reader" });
    server.write("auth/jwt/role/gateway", &role).await;
    let sign = |subject: &str| {
        // The server judges the times by its own clock, so they only need to be far apart.
        let claims =
            json!({ "sub": subject, "aud": "openbao", "iat": 1, "nbf": 1, "exp": 4_000_000_000_u64 });
        let key = EncodingKey::from_ec_pem(key.serialize_pem().as_bytes()).unwrap();
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &key).unwrap()
    };
    let jwt_file = server.private_file("jwt", &sign("gateway"));
    let login = JwtLogin { mount: "jwt".to_owned(), role: "gateway".to_owned(), jwt_file };
    let store = open(settings(&server, VaultLogin::Jwt(login.clone())));
    assert_eq!(text(&store.fetch(&reference("kv/a")).await.unwrap()), "value");
    server.private_file("jwt", &sign("somebody-else"));
    let store = open(settings(&server, VaultLogin::Jwt(login)));
    assert_eq!(kind(&store, &reference("kv/a")).await, StoreErrorKind::Denied);
}

#[tokio::test]
async fn a_namespace_holds_its_own_secrets() {
    let server = OpenBao::start().await;
    server.write("sys/namespaces/team", &json!({})).await;
    server.mount_in(Some("team"), "kv").await;
    server.put("kv/a", &json!({ "token": "root" })).await;
    let body = json!({ "data": { "token": "team" } });
    let (status, answer) = server.call_in(Some("team"), Method::POST, "kv/data/a", &body).await;
    assert_eq!(status, 200, "{answer}");
    let in_root = open(settings(&server, root(&server)));
    let namespace = Some("team".to_owned());
    let in_team = open(VaultSettings { namespace, ..settings(&server, root(&server)) });
    assert_eq!(text(&in_root.fetch(&reference("kv/a")).await.unwrap()), "root");
    assert_eq!(text(&in_team.fetch(&reference("kv/a")).await.unwrap()), "team");
}

#[tokio::test]
async fn renews_its_token_before_it_ends_and_logs_in_before_the_last_renewal() {
    let server = OpenBao::start().await;
    server.put("kv/a", &json!({ "token": "value" })).await;
    server.read_policy("reader", "kv").await;
    let short = json!({ "token_policies": "reader", "token_ttl": "3s", "token_max_ttl": "7s" });
    let (role_id, secret_id) = server.approle("gateway", &short).await;
    let secret_id_file = server.private_file("secret-id", &secret_id);
    let login = VaultLogin::Approle(AppRole { mount: "approle".to_owned(), role_id, secret_id_file });
    let store = open(settings(&server, login));
    store.fetch(&reference("kv/a")).await.unwrap();
    let root_only = tokens(&server).await - 1;
    // A login at use would mean that the keeper failed, so none can happen: the credential is gone.
    let credential = server.private_file("secret-id", "");
    let begin = tokio::time::Instant::now();
    while begin.elapsed() < Duration::from_millis(4_500) {
        store.fetch(&reference("kv/a")).await.expect("the first token lives beyond its 3 s");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(tokens(&server).await, root_only + 1, "one token, renewed");
    std::fs::write(credential, &secret_id).unwrap();
    while begin.elapsed() < Duration::from_secs(10) {
        store.fetch(&reference("kv/a")).await.expect("another login came before the 7 s were over");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn trusts_the_named_authority_only() {
    let server = OpenBao::start_tls().await;
    server.put("kv/a", &json!({ "token": "value" })).await;
    let ca_file = Some(server.ca_file());
    let store = open(VaultSettings { ca_file, ..settings(&server, root(&server)) });
    assert_eq!(text(&store.fetch(&reference("kv/a")).await.unwrap()), "value");
    let stranger = open(settings(&server, root(&server)));
    let error = stranger.fetch(&reference("kv/a")).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.inside.contains("UnknownIssuer"), "{error}");
}

#[tokio::test]
async fn an_outage_is_bridged_until_the_time_to_live_and_over_by_itself() {
    let mut server = OpenBao::start().await;
    server.put("kv/a", &json!({ "token": "value" })).await;
    let clock = Arc::new(ManualClock::default());
    let store = Arc::new(VaultStore::new(settings(&server, root(&server)), clock.clone()).unwrap());
    let limited = Arc::new(Deadline::new(store, Duration::from_secs(3)));
    let cached = Cached::new(limited, CacheLimits::default(), clock.clone());
    cached.fetch(&reference("kv/a")).await.unwrap();
    server.stop();
    clock.advance(Duration::from_secs(59));
    assert_eq!(text(&cached.fetch(&reference("kv/a")).await.unwrap()), "value");
    assert_eq!(kind(&cached, &reference("kv/b")).await, StoreErrorKind::Unavailable);
    clock.advance(Duration::from_secs(1));
    assert_eq!(kind(&cached, &reference("kv/a")).await, StoreErrorKind::Unavailable);
    server.start_again().await;
    clock.advance(Duration::from_secs(1));
    assert_eq!(text(&cached.fetch(&reference("kv/a")).await.unwrap()), "value");
}

#[tokio::test]
async fn a_sealed_server_is_an_outage() {
    let server = OpenBao::start().await;
    server.put("kv/a", &json!({ "token": "value" })).await;
    let store = open(settings(&server, root(&server)));
    store.fetch(&reference("kv/a")).await.unwrap();
    server.write("sys/seal", &json!({})).await;
    assert_eq!(kind(&store, &reference("kv/a")).await, StoreErrorKind::Unavailable);
    assert_eq!(store.probe().await.unwrap_err().kind, StoreErrorKind::Unavailable);
}
