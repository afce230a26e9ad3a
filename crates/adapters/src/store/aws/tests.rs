use std::os::unix::fs::PermissionsExt;

use gateway_core::id::StoreName;
use gateway_core::ports::SecretStore;
use gateway_core::reference::ResolvedReference;
use gateway_testkit::clock::ManualClock;
use gateway_testkit::gate::{Answer as Canned, Gate, Mode};
use serde_json::{Value, json};

use super::*;

/// A store with a key from a file, in front of which nothing but a gate stands. What AWS answers when all
/// is well is tested against a real server; here are the answers that one cannot be brought to.
struct Setup {
    gate: Gate,
    secrets: SecretsManager,
    parameters: ParameterStore,
    _file: tempfile::NamedTempFile,
}

fn settings(gate: &Gate, login: AwsLogin) -> AwsSettings {
    AwsSettings {
        region: "eu-west-1".to_owned(),
        login,
        endpoint: Some(gate.address().parse().unwrap()),
        ca_file: None,
        proxy: None,
        timeout: Duration::from_secs(10),
    }
}

async fn setup() -> Setup {
    let gate = Gate::open("127.0.0.1:1").await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let profile = "[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = canary-key\n";
    std::fs::write(file.path(), profile).unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
    let login = CredentialsFile { file: file.path().to_owned(), profile: "default".to_owned() };
    let settings = settings(&gate, AwsLogin::CredentialsFile(login));
    let clock = Arc::new(ManualClock::default());
    let secrets = SecretsManager::new(settings.clone(), clock.clone()).unwrap();
    Setup { gate, secrets, parameters: ParameterStore::new(settings, clock).unwrap(), _file: file }
}

impl Setup {
    fn answer(&self, status: u16, headers: &str, body: &Value) {
        let answer = Canned { status, headers: headers.to_owned(), body: body.to_string() };
        self.gate.set(Mode::Answer(answer));
    }
}

fn reference(path: &str) -> ResolvedReference {
    let store = StoreName::parse("aws").unwrap();
    ResolvedReference { store, path: path.to_owned(), field: None, version: None }
}

async fn refused(store: &dyn SecretStore, wanted: &ResolvedReference) -> StoreError {
    let error = store.fetch(wanted).await.unwrap_err();
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    error
}

#[tokio::test]
async fn errors_have_their_kinds_and_their_texts_are_left_out() {
    let setup = setup().await;
    for (status, code, expected) in [
        (400, "ResourceNotFoundException", StoreErrorKind::NotFound),
        (400, "ParameterNotFound", StoreErrorKind::NotFound),
        (400, "ParameterVersionNotFound", StoreErrorKind::NotFound),
        (400, "InvalidRequestException", StoreErrorKind::NotFound),
        (400, "com.amazonaws.secretsmanager#AccessDeniedException", StoreErrorKind::Denied),
        (400, "DecryptionFailure", StoreErrorKind::Denied),
        (400, "InvalidKeyId", StoreErrorKind::Denied),
        (400, "InvalidSignatureException", StoreErrorKind::Denied),
        (400, "UnrecognizedClientException", StoreErrorKind::Denied),
        (400, "ExpiredTokenException", StoreErrorKind::Denied),
        (403, "SomethingNew", StoreErrorKind::Denied),
        (400, "ThrottlingException", StoreErrorKind::Throttled),
        (400, "RequestThrottled", StoreErrorKind::Throttled),
        (429, "SomethingNew", StoreErrorKind::Throttled),
        (400, "InternalServiceError", StoreErrorKind::Unavailable),
        (500, "InternalServerError", StoreErrorKind::Unavailable),
        (503, "", StoreErrorKind::Unavailable),
        (400, "InvalidParameterException", StoreErrorKind::Malformed),
        (400, "ValidationException", StoreErrorKind::Malformed),
        (302, "", StoreErrorKind::Malformed),
    ] {
        let headers = "Retry-After: 7\r\nx-amzn-RequestId: request-9\r\n";
        setup.answer(status, headers, &json!({ "__type": code, "message": "canary" }));
        for store in [&setup.secrets as &dyn SecretStore, &setup.parameters] {
            let error = refused(store, &reference("team/bot")).await;
            assert_eq!(error.kind, expected, "{status} {code}");
            assert!(error.inside.contains("request-9"), "{error}");
            let wait = (expected == StoreErrorKind::Throttled).then_some(Duration::from_secs(7));
            assert_eq!(error.retry_after, wait, "{status} {code}");
        }
    }
}

#[tokio::test]
async fn an_error_is_named_by_a_header_or_by_xml_where_it_has_no_document() {
    let setup = setup().await;
    let body = "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>".to_owned();
    setup.gate.set(Mode::Answer(Canned { status: 400, headers: String::new(), body }));
    let error = refused(&setup.secrets, &reference("a")).await;
    assert_eq!(error.kind, StoreErrorKind::Denied);
    assert!(error.inside.contains("AccessDenied"), "{error}");
    setup.answer(400, "x-amzn-ErrorType: ResourceNotFoundException:http://a/\r\n", &json!({}));
    let error = refused(&setup.secrets, &reference("a")).await;
    assert_eq!(error.kind, StoreErrorKind::NotFound);
    assert!(error.inside.contains("ResourceNotFoundException"), "{error}");
}

#[tokio::test]
async fn answers_that_make_no_sense_are_refused() {
    let setup = setup().await;
    let document = |value: Value| {
        setup.answer(200, "", &value);
        &setup
    };
    let wanted = reference("a");
    for answer in [
        json!({}),
        json!({ "SecretString": "canary" }),
        json!({ "VersionId": "", "SecretString": "canary" }),
        json!({ "VersionId": "v", "SecretString": { "canary": 1 } }),
        json!({ "VersionId": "v", "SecretBinary": "canary!" }),
    ] {
        let error = refused(&document(answer.clone()).secrets, &wanted).await;
        assert_eq!(error.kind, StoreErrorKind::Malformed, "{answer}");
    }
    let nothing = document(json!({ "VersionId": "v" }));
    assert_eq!(refused(&nothing.secrets, &wanted).await.kind, StoreErrorKind::Empty);
    let binary = document(json!({ "VersionId": "v", "SecretBinary": "Y2FuYXJ5" }));
    let field = ResolvedReference { field: Some("token".to_owned()), ..wanted.clone() };
    assert_eq!(refused(&binary.secrets, &field).await.kind, StoreErrorKind::Malformed);
    let other = document(json!({ "VersionId": "a".repeat(32), "SecretString": "canary" }));
    let pinned =
        ResolvedReference { version: Some(VersionSelector::Version("b".repeat(32))), ..wanted.clone() };
    assert_eq!(refused(&other.secrets, &pinned).await.kind, StoreErrorKind::Malformed);
    let parameter = |version: Value, kind: &str| json!({ "Parameter": { "Type": kind, "Value": "canary", "Version": version } });
    for answer in [json!({}), parameter(json!("1"), "SecureString"), parameter(json!(1), "StringList")] {
        let error = refused(&document(answer.clone()).parameters, &wanted).await;
        assert_eq!(error.kind, StoreErrorKind::Malformed, "{answer}");
    }
    let other = document(parameter(json!(2), "SecureString"));
    let pinned = ResolvedReference { version: Some(VersionSelector::Version("1".to_owned())), ..wanted };
    assert_eq!(refused(&other.parameters, &pinned).await.kind, StoreErrorKind::Malformed);
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused_without_a_request() {
    let setup = setup().await;
    let long = "a".repeat(513);
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a";
    for path in [arn, "a b", "a:1", long.as_str()] {
        let error = refused(&setup.secrets, &reference(path)).await;
        assert_eq!(error.kind, StoreErrorKind::Malformed, "{path}");
    }
    for path in [
        "arn:aws:ssm:eu-west-1:123456789012:parameter/a",
        "a:1",
        "aws/reference/secretsmanager/a",
        "/aws/reference/secretsmanager/a",
        "//AWS/x",
        "aws",
    ] {
        let error = refused(&setup.parameters, &reference(path)).await;
        assert_eq!(error.kind, StoreErrorKind::Malformed, "{path}");
    }
    let selected =
        |selector: VersionSelector| ResolvedReference { version: Some(selector), ..reference("a") };
    for version in ["0", "01", "latest", "-1"] {
        let wanted = selected(VersionSelector::Version(version.to_owned()));
        assert_eq!(refused(&setup.parameters, &wanted).await.kind, StoreErrorKind::Malformed, "{version}");
    }
    for label in ["1", "1a", "a:1", "a/b"] {
        let wanted = selected(VersionSelector::Stage(label.to_owned()));
        assert_eq!(refused(&setup.parameters, &wanted).await.kind, StoreErrorKind::Malformed, "{label}");
    }
    assert_eq!(setup.gate.count(), 0);
}

#[tokio::test]
async fn a_probe_asks_for_no_value_and_judges_the_login_alone() {
    let setup = setup().await;
    for (status, code, good) in [
        (400, "ResourceNotFoundException", true),
        (400, "AccessDeniedException", true),
        (400, "UnrecognizedClientException", false),
        (503, "", false),
    ] {
        setup.answer(status, "", &json!({ "__type": code }));
        assert_eq!(setup.secrets.probe().await.is_ok(), good, "{code}");
        assert_eq!(setup.parameters.probe().await.is_ok(), good, "{code}");
    }
    let asked = setup.gate.take_requests().concat().to_lowercase();
    assert!(!asked.contains("getsecretvalue") && !asked.contains("getparameter"), "{asked}");
}

#[tokio::test]
async fn a_session_beside_the_container_is_fetched_with_its_token_and_used() {
    let (gate, platform) = (Gate::open("127.0.0.1:1").await, Gate::open("127.0.0.1:1").await);
    let token_file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token_file.path(), "canary-pod-token\n").unwrap();
    let endpoint = format!("{}/v1/credentials", platform.address()).parse().unwrap();
    let login = Container { endpoint, token_file: Some(token_file.path().to_owned()) };
    let clock = Arc::new(ManualClock::default());
    let store = SecretsManager::new(settings(&gate, AwsLogin::Container(login)), clock.clone()).unwrap();
    let body = json!({ "AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "s", "Token": "session-token",
        "Expiration": clock.now().plus(Duration::from_secs(3_600)) });
    let answer = |status: u16, body: &Value| {
        Mode::Answer(Canned { status, headers: String::new(), body: body.to_string() })
    };
    platform.set(answer(200, &body));
    gate.set(answer(200, &json!({ "VersionId": "v", "SecretString": "value" })));
    for _ in 0..3 {
        store.fetch(&reference("a")).await.unwrap();
    }
    let asked = platform.take_requests();
    assert_eq!(asked.len(), 1, "one session for all");
    assert!(asked[0].starts_with("GET /v1/credentials HTTP"), "{}", asked[0]);
    assert!(asked[0].to_lowercase().contains("authorization: canary-pod-token\r\n"), "{}", asked[0]);
    let reads = gate.take_requests().concat();
    assert!(reads.contains("ASIAEXAMPLE") && reads.contains("session-token") && !reads.contains("canary"));
    clock.advance(Duration::from_secs(3_600));
    for (status, body, expected) in [
        (404, json!({}), StoreErrorKind::Denied),
        (200, json!({ "AccessKeyId": "canary" }), StoreErrorKind::Malformed),
        (503, json!({}), StoreErrorKind::Unavailable),
    ] {
        platform.set(answer(status, &body));
        assert_eq!(refused(&store, &reference("a")).await.kind, expected, "{status}");
    }
}

#[test]
fn regions_have_their_addresses() {
    let at = |region: &str| address("ssm", region).unwrap().to_string();
    assert_eq!(at("eu-west-1"), "https://ssm.eu-west-1.amazonaws.com/");
    assert_eq!(at("cn-north-1"), "https://ssm.cn-north-1.amazonaws.com.cn/");
}
