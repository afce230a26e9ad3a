//! The stores at AWS against a real moto server: what it plays it plays faithfully, and what it cannot be
//! brought to (throttling, an outage, a session that has ended) a gate in front of it plays.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null, it never panics")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway_adapters::store::{
    AwsLogin, AwsSettings, Breaker, BreakerLimits, CacheLimits, Cached, CredentialsFile, ParameterStore,
    SecretsManager, WebIdentity,
};
use gateway_core::id::StoreName;
use gateway_core::lease::SecretVersion;
use gateway_core::ports::{SecretStore, StoreErrorKind};
use gateway_core::reference::{ResolvedReference, VersionSelector};
use gateway_core::time::Timestamp;
use gateway_testkit::clock::ManualClock;
use gateway_testkit::contract::store::{
    Misbehaviour, RETRY_AFTER, StoreWorld, Trouble, battery, one_fetch_for_a_thousand, pressure,
};
use gateway_testkit::gate::{Answer, Gate, Mode};
use gateway_testkit::moto::{Moto, REGION};
use serde_json::{Value, json};

/// What the platform gives the gateway to prove who it is.
const WEB_IDENTITY: &str = "header.canary-web-identity.signature";
/// All that the gateway needs.
const ACTIONS: [&str; 2] = ["secretsmanager:GetSecretValue", "ssm:GetParameter"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Secrets,
    Parameters,
}

/// A store that logs in with a web identity; it and STS have a gate each.
struct World {
    kind: Kind,
    moto: Moto,
    gate: Gate,
    sts: Gate,
    clock: Arc<ManualClock>,
    store: Arc<dyn SecretStore>,
}

fn open(kind: Kind, settings: AwsSettings, clock: &Arc<ManualClock>) -> Arc<dyn SecretStore> {
    match kind {
        Kind::Secrets => Arc::new(SecretsManager::new(settings, clock.clone()).unwrap()),
        Kind::Parameters => Arc::new(ParameterStore::new(settings, clock.clone()).unwrap()),
    }
}

fn settings(gate: &Gate, login: AwsLogin) -> AwsSettings {
    AwsSettings {
        region: REGION.to_owned(),
        login,
        endpoint: Some(gate.address().parse().unwrap()),
        ca_file: None,
        proxy: None,
        timeout: Duration::from_secs(30),
    }
}

impl World {
    async fn start(kind: Kind) -> Self {
        let moto = Moto::start().await;
        let (gate, sts) = (Gate::open(moto.host()).await, Gate::open(moto.host()).await);
        let login = AwsLogin::WebIdentity(WebIdentity {
            role_arn: moto.role("gateway", &ACTIONS).await,
            token_file: moto.private_file("web-identity", WEB_IDENTITY),
            session_name: "mcp-gateway".to_owned(),
            sts_endpoint: Some(sts.address().parse().unwrap()),
        });
        // Sessions end by the real clock.
        let clock = Arc::new(ManualClock::at(now()));
        let store = open(kind, settings(&gate, login), &clock);
        Self { kind, moto, gate, sts, clock, store }
    }
}

fn now() -> Timestamp {
    Timestamp::from_seconds(time::OffsetDateTime::now_utc().unix_timestamp())
}

fn reference(path: &str) -> ResolvedReference {
    let store = StoreName::parse("aws").unwrap();
    ResolvedReference { store, path: path.to_owned(), field: Some("token".to_owned()), version: None }
}

fn stage(path: &str, stage: &str) -> ResolvedReference {
    ResolvedReference { version: Some(VersionSelector::Stage(stage.to_owned())), ..reference(path) }
}

#[expect(clippy::disallowed_methods, reason = "the tests compare values")]
fn text(version: &SecretVersion) -> &str {
    std::str::from_utf8(version.secret.expose()).unwrap()
}

async fn kind_of(store: &dyn SecretStore, wanted: &ResolvedReference) -> StoreErrorKind {
    store.fetch(wanted).await.unwrap_err().kind
}

fn refusal(status: u16, code: &str) -> Answer {
    let body = json!({ "__type": code, "message": "canary" }).to_string();
    Answer { status, headers: String::new(), body }
}

#[async_trait]
impl StoreWorld for World {
    fn store(&self) -> &dyn SecretStore {
        self.store.as_ref()
    }

    async fn put(&self, name: &str, value: &[u8]) -> Option<ResolvedReference> {
        let document = std::str::from_utf8(value).ok();
        let document = document.map(|value| json!({ "other": 1, "token": value }).to_string());
        if self.kind == Kind::Parameters {
            let path = format!("battery/{name}");
            let body = json!({ "Name": format!("/{path}"), "Value": document?, "Type": "SecureString", "Overwrite": true });
            let (status, _) = self.moto.call("ssm", "AmazonSSM.PutParameter", &body).await;
            return (status == 200).then(|| reference(&path));
        }
        let (wanted, content) = match document {
            Some(text) => (reference(name), ("SecretString", text)),
            None => {
                let whole = ResolvedReference { field: None, ..reference(name) };
                (whole, ("SecretBinary", STANDARD.encode(value)))
            }
        };
        let made = json!({ "Name": name, content.0: &content.1 });
        let (status, _) = self.moto.call("secretsmanager", "secretsmanager.CreateSecret", &made).await;
        if status != 200 {
            let next = json!({ "SecretId": name, content.0: &content.1 });
            self.moto.secrets_manager("PutSecretValue", &next).await;
        }
        Some(wanted)
    }

    fn absent(&self) -> ResolvedReference {
        reference("absent/secret")
    }

    fn keeps_versions(&self) -> bool {
        true
    }

    fn requests(&self) -> Option<u32> {
        Some(self.gate.count())
    }

    async fn misbehave(&self, how: Misbehaviour) -> bool {
        self.gate.set(how.as_mode());
        true
    }

    async fn delete(&self, wanted: &ResolvedReference) -> bool {
        match self.kind {
            Kind::Secrets => {
                self.moto.secrets_manager("DeleteSecret", &json!({ "SecretId": wanted.path })).await
            }
            Kind::Parameters => {
                let name = format!("/{}", wanted.path);
                self.moto.parameter_store("DeleteParameter", &json!({ "Name": name })).await
            }
        };
        true
    }

    async fn bring(&self, trouble: Trouble) -> bool {
        match trouble {
            Trouble::None => {
                self.gate.set(Mode::Open);
                self.sts.set(Mode::Open);
            }
            Trouble::Slow => self.gate.set(Mode::Stuck),
            Trouble::Down => self.gate.set(Mode::Shut),
            Trouble::Throttled => {
                let headers = format!("Retry-After: {}\r\n", RETRY_AFTER.as_secs());
                let answer = Answer { headers, ..refusal(400, "ThrottlingException") };
                self.gate.set(Mode::Answer(answer));
            }
            Trouble::SessionOver => self.gate.set(Mode::AnswerOnce(refusal(400, "ExpiredTokenException"))),
            Trouble::LoginRefused => {
                self.gate.set(Mode::Answer(refusal(400, "UnrecognizedClientException")));
                let body = "<ErrorResponse><Error><Code>InvalidIdentityToken</Code></Error></ErrorResponse>";
                let answer = Answer { status: 400, headers: String::new(), body: body.to_owned() };
                self.sts.set(Mode::Answer(answer));
            }
        }
        true
    }
}

#[tokio::test]
async fn secrets_manager_keeps_the_contract() {
    let world = World::start(Kind::Secrets).await;
    battery(&world).await;
    let logins = world.sts.count();
    assert_eq!(logins, 3, "the first, one in place of a session that had ended, and one that was refused");
}

#[tokio::test]
async fn parameter_store_keeps_the_contract() {
    battery(&World::start(Kind::Parameters).await).await;
}

#[tokio::test]
async fn both_keep_the_contract_under_pressure() {
    for kind in [Kind::Secrets, Kind::Parameters] {
        let world = World::start(kind).await;
        pressure(&world, &world.clock, || {
            let limits = BreakerLimits::default();
            let circuit = Arc::new(Breaker::new(world.store.clone(), limits, world.clock.clone()));
            Arc::new(Cached::new(circuit, CacheLimits::default(), world.clock.clone()))
        })
        .await;
    }
}

#[tokio::test]
async fn a_thousand_callers_make_one_request_and_one_login() {
    for kind in [Kind::Secrets, Kind::Parameters] {
        let world = World::start(kind).await;
        let wanted = world.put("shared", b"canary-shared").await.unwrap();
        one_fetch_for_a_thousand(world.store.clone(), &wanted, |store| {
            Arc::new(Cached::new(store, CacheLimits::default(), world.clock.clone()))
        })
        .await;
        assert_eq!((world.gate.count(), world.sts.count()), (1, 1), "on the wire too");
    }
}

#[tokio::test]
async fn many_at_once_share_one_login() {
    let world = World::start(Kind::Secrets).await;
    let mut places = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        places.push(world.put(name, b"canary-many").await.unwrap());
    }
    let all = futures::future::join_all(places.iter().map(|place| world.store.fetch(place))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(world.sts.count(), 1);
}

/// moto recomputes the signature with botocore's own code and asks the role's policies.
#[tokio::test]
async fn its_signatures_hold_and_the_policies_decide() {
    for kind in [Kind::Secrets, Kind::Parameters] {
        let world = World::start(kind).await;
        let wanted = world.put("signed", b"canary-signed").await.unwrap();
        world.store.fetch(&wanted).await.unwrap();
        let (id, secret) = world.moto.user("reader", &ACTIONS).await;
        let (other_id, other_secret) = world.moto.user("stranger", &["s3:GetObject"]).await;
        world.moto.judge_signatures(true).await;
        assert_eq!(
            text(&world.store.fetch(&wanted).await.unwrap()),
            "canary-signed",
            "with a session's token"
        );
        world.store.probe().await.unwrap();
        let with = |name: &str, id: &str, secret: &str| {
            let profile = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
            let file = world.moto.private_file(name, &profile);
            let login = CredentialsFile { file, profile: "default".to_owned() };
            open(kind, settings(&world.gate, AwsLogin::CredentialsFile(login)), &world.clock)
        };
        let reader = with("reader", &id, &secret);
        assert_eq!(text(&reader.fetch(&wanted).await.unwrap()), "canary-signed");
        let forged = with("forged", &id, &other_secret);
        let error = forged.fetch(&wanted).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Denied);
        assert!(error.inside.contains("SignatureDoesNotMatch"), "{error}");
        assert_eq!(forged.probe().await.unwrap_err().kind, StoreErrorKind::Denied);
        let stranger = with("stranger", &other_id, &other_secret);
        let error = stranger.fetch(&wanted).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Denied);
        assert!(error.inside.contains("AccessDenied") && !error.inside.contains("canary"), "{error}");
        stranger.probe().await.expect("it is known, if not allowed");
        let unknown = with("unknown", "AKIANOBODY", &secret);
        assert_eq!(kind_of(unknown.as_ref(), &wanted).await, StoreErrorKind::Denied);
    }
}

#[tokio::test]
async fn a_replaced_credentials_file_is_read_when_its_old_key_is_refused() {
    let world = World::start(Kind::Secrets).await;
    let wanted = world.put("rotated", b"canary-rotated").await.unwrap();
    let (id, secret) = world.moto.user("reader", &ACTIONS).await;
    world.moto.judge_signatures(true).await;
    let write = |id: &str| {
        let profile = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
        world.moto.private_file("credentials", &profile)
    };
    let login = CredentialsFile { file: write("AKIANOBODY"), profile: "default".to_owned() };
    let store = open(Kind::Secrets, settings(&world.gate, AwsLogin::CredentialsFile(login)), &world.clock);
    assert_eq!(kind_of(store.as_ref(), &wanted).await, StoreErrorKind::Denied);
    write(&id);
    assert_eq!(text(&store.fetch(&wanted).await.unwrap()), "canary-rotated");
}

#[tokio::test]
async fn stages_and_versions_of_secrets_are_chosen_by_name() {
    let world = World::start(Kind::Secrets).await;
    let versions = |answer: Value| answer["VersionId"].as_str().unwrap().to_owned();
    let document = |value: &str| json!({ "token": value }).to_string();
    let first = json!({ "Name": "team/bot", "SecretString": document("first") });
    let first = versions(world.moto.secrets_manager("CreateSecret", &first).await);
    let second = json!({ "SecretId": "team/bot", "SecretString": document("second") });
    world.moto.secrets_manager("PutSecretValue", &second).await;
    let pending = json!({ "SecretId": "team/bot", "SecretString": document("pending"),
        "VersionStages": ["AWSPENDING"], "ClientRequestToken": "11111111-2222-3333-4444-555555555555" });
    world.moto.secrets_manager("PutSecretValue", &pending).await;
    for (wanted, value) in [
        (reference("team/bot"), "second"),
        (stage("team/bot", "AWSCURRENT"), "second"),
        (stage("team/bot", "AWSPREVIOUS"), "first"),
        (stage("team/bot", "AWSPENDING"), "pending"),
    ] {
        assert_eq!(text(&world.store.fetch(&wanted).await.unwrap()), value, "{wanted}");
    }
    let pinned =
        ResolvedReference { version: Some(VersionSelector::Version(first.clone())), ..reference("team/bot") };
    let found = world.store.fetch(&pinned).await.unwrap();
    assert_eq!((text(&found), found.version.as_str()), ("first", first.as_str()));
    assert!(found.created_at.is_some() && found.store_request_id.is_some());
}

#[tokio::test]
async fn parameters_are_chosen_by_version_and_label_and_must_be_secure() {
    let world = World::start(Kind::Parameters).await;
    for value in ["first", "second"] {
        let body = json!({ "Name": "/team/bot", "Value": value, "Type": "SecureString", "Overwrite": true });
        world.moto.parameter_store("PutParameter", &body).await;
    }
    let label = json!({ "Name": "/team/bot", "ParameterVersion": 1, "Labels": ["proven"] });
    world.moto.parameter_store("LabelParameterVersion", &label).await;
    let whole = |wanted: ResolvedReference| ResolvedReference { field: None, ..wanted };
    let version = |number: &str| ResolvedReference {
        version: Some(VersionSelector::Version(number.to_owned())),
        ..whole(reference("/team/bot"))
    };
    for (wanted, value, number) in [
        (whole(reference("team/bot")), "second", "2"),
        (whole(reference("/team/bot")), "second", "2"),
        (version("1"), "first", "1"),
        (whole(stage("team/bot", "proven")), "first", "1"),
    ] {
        let found = world.store.fetch(&wanted).await.unwrap();
        assert_eq!((text(&found), found.version.as_str()), (value, number), "{wanted}");
        assert!(found.created_at.is_some() && found.store_request_id.is_some());
    }
    let plain = json!({ "Name": "plain", "Value": "canary-plain", "Type": "String" });
    world.moto.parameter_store("PutParameter", &plain).await;
    let error = world.store.fetch(&whole(reference("plain"))).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Malformed);
    assert!(error.inside.contains("SecureString") && !error.inside.contains("canary"), "{error}");
}

#[tokio::test]
async fn the_platforms_token_goes_to_sts_and_nowhere_else() {
    let world = World::start(Kind::Secrets).await;
    let wanted = world.put("a", b"canary-value").await.unwrap();
    world.store.fetch(&wanted).await.unwrap();
    let login = world.sts.take_requests();
    assert_eq!(login.len(), 1);
    assert!(login[0].contains("Action=AssumeRoleWithWebIdentity") && login[0].contains(WEB_IDENTITY));
    assert!(
        login[0].contains("RoleSessionName=mcp-gateway")
            && !login[0].to_lowercase().contains("authorization:")
    );
    let reads = world.gate.take_requests();
    assert_eq!(reads.len(), 1);
    assert!(!reads[0].contains("canary"), "no token where the secrets are");
    let head = reads[0].to_lowercase();
    assert!(
        head.contains("x-amz-target: secretsmanager.getsecretvalue")
            && head.contains("x-amz-security-token:")
    );
}

#[tokio::test]
async fn a_session_is_renewed_before_it_ends_and_serves_until_then() {
    let world = World::start(Kind::Secrets).await;
    let wanted = world.put("a", b"canary-value").await.unwrap();
    world.store.fetch(&wanted).await.unwrap();
    world.clock.advance(Duration::from_secs(54 * 60));
    world.store.fetch(&wanted).await.unwrap();
    assert_eq!(world.sts.count(), 1, "one session for its whole life but the last five minutes");
    world.sts.set(Mode::Shut);
    world.clock.advance(Duration::from_secs(2 * 60));
    world.store.fetch(&wanted).await.expect("it has not ended yet");
    assert_eq!(world.sts.count(), 2, "another one was asked for");
    world.clock.advance(Duration::from_secs(5 * 60));
    assert_eq!(kind_of(world.store.as_ref(), &wanted).await, StoreErrorKind::Unavailable);
    world.sts.set(Mode::Open);
    world.clock.set(now());
    world.store.fetch(&wanted).await.unwrap();
}

#[tokio::test]
async fn a_missing_token_file_is_a_denial_that_asks_nobody() {
    let world = World::start(Kind::Secrets).await;
    let wanted = world.put("a", b"canary-value").await.unwrap();
    let file = world.moto.private_file("web-identity", "");
    let error = world.store.fetch(&wanted).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Denied);
    std::fs::remove_file(file).unwrap();
    assert_eq!(kind_of(world.store.as_ref(), &wanted).await, StoreErrorKind::Denied);
    assert_eq!((world.gate.count(), world.sts.count()), (0, 0));
    world.moto.private_file("web-identity", WEB_IDENTITY);
    world.store.fetch(&wanted).await.expect("the file is read anew");
}
