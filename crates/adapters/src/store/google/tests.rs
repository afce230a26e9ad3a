//! On a stub: no real Google was available (`gateway_testkit::stubs`).

use std::time::Duration;

use gateway_testkit::contract::store::battery;
use gateway_testkit::gate::{Answer as Canned, Mode};
use gateway_testkit::stubs::{CloudStub, GoogleStub};
use serde_json::{Value, json};

use super::*;
use crate::store::cloud::tests::world::{World, pinned, reach, real_clock, reference, staged};

fn federation(stub: &GoogleStub, account: Option<&str>) -> GoogleLogin {
    GoogleLogin::Federation(Federation {
        audience: GoogleStub::AUDIENCE.to_owned(),
        token_file: stub.token_file(),
        subject_token_type: "urn:ietf:params:oauth:token-type:jwt".to_owned(),
        service_account: account.map(str::to_owned),
        sts_endpoint: Some(stub.login().address().parse().unwrap()),
        iam_endpoint: Some(stub.login().address().parse().unwrap()),
    })
}

fn metadata(stub: &GoogleStub) -> GoogleLogin {
    let endpoint = Some(stub.login().address().parse().unwrap());
    GoogleLogin::Metadata(Metadata { account: "default".to_owned(), endpoint })
}

async fn world(login: impl Fn(&GoogleStub) -> GoogleLogin) -> World<GoogleStub> {
    let (stub, clock) = (GoogleStub::start().await, real_clock());
    let settings = GoogleSettings {
        projects: vec![GoogleStub::PROJECT.to_owned()],
        location: None,
        login: login(&stub),
        endpoint: Some(stub.gate().address().parse().unwrap()),
        reach: reach(),
    };
    let store = Arc::new(GoogleSecretManager::new(settings, clock.clone()).unwrap());
    World { stub, store, clock, root: GoogleStub::PROJECT, keeps_versions: true }
}

fn impersonating(stub: &GoogleStub) -> GoogleLogin {
    federation(stub, Some(GoogleStub::ACCOUNT))
}

#[tokio::test]
async fn google_secret_manager_keeps_the_contract_on_a_stub() {
    battery(&world(impersonating).await).await;
    battery(&world(metadata).await).await;
}

#[tokio::test]
async fn google_misbehaving_is_a_refusal() {
    world(metadata).await.survives_misbehaviour().await;
}

#[tokio::test]
async fn a_thousand_callers_make_one_request_to_google_and_one_login() {
    world(metadata).await.shares_what_it_fetches(1, 1).await;
    // Impersonation takes two tokens: one of the pool's, one of the account's.
    world(impersonating).await.shares_what_it_fetches(1, 2).await;
}

#[tokio::test]
async fn versions_are_chosen_by_number_and_alias_and_must_be_enabled() {
    let world = world(metadata).await;
    let wanted = world.there("bot", "canary-first").await;
    world.there("bot", "canary-second").await;
    world.stub.alias(&wanted.path, "proven", 1);
    for (wanted, value) in [
        (wanted.clone(), "canary-second"),
        (staged(&wanted, "latest"), "canary-second"),
        (staged(&wanted, "proven"), "canary-first"),
        (pinned(&wanted, "1"), "canary-first"),
    ] {
        assert_eq!(world.value(&wanted).await, value, "{wanted}");
    }
    let found = world.store.fetch(&staged(&wanted, "proven")).await.unwrap();
    assert_eq!(found.version.as_str(), "1", "an alias is shown by its number");
    world.stub.enable(&wanted.path, 2, false);
    for disabled in [wanted.clone(), pinned(&wanted, "2")] {
        let error = world.refused(&disabled).await;
        assert_eq!(error.kind, StoreErrorKind::NotFound, "{disabled}");
        assert!(error.inside.contains("disabled") && error.inside.contains("FAILED_PRECONDITION"), "{error}");
    }
    assert_eq!(world.value(&pinned(&wanted, "1")).await, "canary-first");
    world.stub.enable(&wanted.path, 2, true);
    assert_eq!(world.value(&wanted).await, "canary-second");
}

#[tokio::test]
async fn a_payload_that_does_not_match_its_checksum_is_refused() {
    let world = world(metadata).await;
    let wanted = world.there("bot", "canary-value").await;
    world.stub.damage(true);
    let error = world.refused(&wanted).await;
    assert_eq!(error.kind, StoreErrorKind::Malformed);
    assert!(error.inside.contains("checksum"), "{error}");
    world.stub.damage(false);
    assert_eq!(world.value(&wanted).await, "canary-value");
}

#[tokio::test]
async fn answers_that_are_of_another_secret_or_make_no_sense_are_refused() {
    let world = world(metadata).await;
    let wanted = reference("tools-prod/bot", None);
    let document = |name: &str, payload: Value| json!({ "name": name, "payload": payload }).to_string();
    let own = "projects/1/secrets/bot/versions/2";
    let good = json!({ "data": "Y2FuYXJ5", "dataCrc32c": crc32c(b"canary").to_string() });
    for (name, payload) in [
        ("projects/1/secrets/other/versions/2", good.clone()),
        ("projects/1/secrets/bot/versions/latest", good.clone()),
        ("projects/1/secrets/bot/versions/", good.clone()),
        ("versions/2", good.clone()),
        (own, json!({ "data": "Y2FuYXJ5" })),
        (own, json!({ "data": "Y2FuYXJ5", "dataCrc32c": "" })),
        (own, json!({ "data": "Y2FuYXJ5", "dataCrc32c": "1" })),
        (own, json!({ "data": "canary!", "dataCrc32c": "1" })),
        (own, json!({ "data": 7, "dataCrc32c": "1" })),
    ] {
        let body = document(name, payload);
        let error = world.answered(&wanted, 200, "", &body).await;
        assert_eq!(error.kind, StoreErrorKind::Malformed, "{body}");
    }
    let pinned = pinned(&wanted, "1");
    let error = world.answered(&pinned, 200, "", &document(own, good)).await;
    assert_eq!(error.kind, StoreErrorKind::Malformed, "another version than the pinned one");
    let nothing = document(own, json!({ "dataCrc32c": "0" }));
    assert_eq!(world.answered(&wanted, 200, "", &nothing).await.kind, StoreErrorKind::Empty);
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused_without_a_request() {
    let world = world(metadata).await;
    let long = format!("tools-prod/{}", "a".repeat(256));
    for path in [
        "bot",
        "other-project/bot",
        "tools-prod/a/b",
        "/tools-prod/bot",
        "tools-prod/a.b",
        "tools-prod/a b",
        &long,
    ] {
        assert_eq!(world.kind(&reference(path, None)).await, StoreErrorKind::Malformed, "{path}");
    }
    let wanted = reference("tools-prod/bot", None);
    for version in ["latest", "0", "01", "-1", "1/../2", "1234567890123456789"] {
        assert_eq!(world.kind(&pinned(&wanted, version)).await, StoreErrorKind::Malformed, "{version}");
    }
    for alias in ["1", "a:b", "a/b", "-a"] {
        assert_eq!(world.kind(&staged(&wanted, alias)).await, StoreErrorKind::Malformed, "{alias}");
    }
    assert_eq!((world.stub.gate().count(), world.stub.logins()), (0, 0));
}

#[tokio::test]
async fn regional_secrets_have_an_address_and_a_place_of_their_own() {
    let stub = GoogleStub::start().await;
    let settings = |location: Option<&str>| GoogleSettings {
        projects: vec!["tools-prod".to_owned()],
        location: location.map(str::to_owned),
        login: metadata(&stub),
        endpoint: None,
        reach: reach(),
    };
    let global = GoogleSecretManager::new(settings(None), real_clock()).unwrap();
    assert_eq!(global.endpoint.as_str(), "https://secretmanager.googleapis.com/");
    let regional = GoogleSecretManager::new(settings(Some("europe-west3")), real_clock()).unwrap();
    assert_eq!(regional.endpoint.as_str(), "https://secretmanager.europe-west3.rep.googleapis.com/");
    let place = below(&regional.endpoint, &regional.place("tools-prod", "bot")).unwrap();
    assert_eq!(place.path(), "/v1/projects/tools-prod/locations/europe-west3/secrets/bot");
}

#[tokio::test]
async fn the_platforms_token_goes_to_the_token_service_and_nowhere_else() {
    let world = world(impersonating).await;
    let wanted = world.there("bot", "canary-value").await;
    world.value(&wanted).await;
    let reads = world.stub.gate().take_requests().concat();
    assert!(
        !reads.contains(GoogleStub::SUBJECT) && reads.contains("Bearer canary-google-token-2"),
        "{reads}"
    );
    let [exchange, impersonation] = &world.stub.login().take_requests()[..] else { panic!("two requests") };
    assert!(exchange.contains(GoogleStub::SUBJECT) && !exchange.to_lowercase().contains("authorization:"));
    assert!(!impersonation.contains(GoogleStub::SUBJECT), "{impersonation}");
    assert!(impersonation.contains("Bearer canary-google-token-1"), "{impersonation}");
}

#[tokio::test]
async fn a_federated_identity_may_read_by_itself_where_no_account_is_named() {
    // The stub gives such a token no right of its own: what is refused is the read, after a good exchange.
    let world = world(|stub| federation(stub, None)).await;
    let wanted = world.there("bot", "canary-value").await;
    assert_eq!(world.kind(&wanted).await, StoreErrorKind::Denied);
    let asked = world.stub.login().take_requests();
    assert!(
        !asked.is_empty() && asked.iter().all(|request| request.starts_with("POST /v1/token ")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_and_serves_until_then() {
    let world = world(metadata).await;
    let wanted = world.there("bot", "canary-value").await;
    world.value(&wanted).await;
    world.clock.advance(Duration::from_secs(3_299));
    world.value(&wanted).await;
    assert_eq!(world.stub.login().count(), 1, "one for its whole life but the last five minutes");
    world.stub.login().set(Mode::Shut);
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(world.value(&wanted).await, "canary-value", "it has not ended yet");
    assert_eq!(world.stub.login().count(), 2, "another one was asked for");
    world.clock.advance(Duration::from_secs(300));
    assert_eq!(world.kind(&wanted).await, StoreErrorKind::Unavailable);
    world.stub.login().set(Mode::Open);
    assert_eq!(world.value(&wanted).await, "canary-value");
}

#[tokio::test]
async fn what_is_no_metadata_server_gets_no_further() {
    let world = world(metadata).await;
    let wanted = world.there("bot", "canary-value").await;
    let token = json!({ "access_token": "canary-token", "expires_in": 3600, "token_type": "Bearer" });
    for (status, headers, body, expected) in [
        (200, "", token.to_string(), StoreErrorKind::Denied),
        (302, "Location: http://127.0.0.1:1/\r\n", String::new(), StoreErrorKind::Denied),
        (404, "Metadata-Flavor: Google\r\n", "<html>canary</html>".to_owned(), StoreErrorKind::Denied),
        (200, "Metadata-Flavor: Google\r\n", "{}".to_owned(), StoreErrorKind::Malformed),
        (503, "", String::new(), StoreErrorKind::Unavailable),
        (429, "Retry-After: 1\r\n", String::new(), StoreErrorKind::Throttled),
    ] {
        world.stub.login().set(Mode::Answer(Canned { status, headers: headers.to_owned(), body }));
        assert_eq!(world.kind(&wanted).await, expected, "{status} {headers}");
    }
    assert_eq!(world.stub.gate().count(), 0);
}

#[tokio::test]
async fn a_login_that_google_refuses_is_a_denial_and_a_new_subject_token_helps() {
    let world = world(impersonating).await;
    let wanted = world.there("bot", "canary-value").await;
    world.stub.write_subject("header.canary-stale.signature");
    let error = world.refused(&wanted).await;
    assert_eq!(error.kind, StoreErrorKind::Denied);
    assert!(error.inside.contains("invalid_grant"), "{error}");
    std::fs::remove_file(world.stub.token_file()).unwrap();
    assert_eq!(world.kind(&wanted).await, StoreErrorKind::Denied, "no file, no request");
    assert_eq!((world.stub.gate().count(), world.stub.login().count()), (0, 1));
    world.stub.write_subject(GoogleStub::SUBJECT);
    assert_eq!(world.value(&wanted).await, "canary-value", "the file is read anew");
}

#[tokio::test]
async fn a_probe_reads_no_value_and_judges_the_login_alone() {
    let world = world(metadata).await;
    world.store.probe().await.unwrap();
    let asked = world.stub.gate().take_requests().concat();
    assert!(asked.starts_with("GET /v1/projects/tools-prod/secrets/mcp-gateway-probe HTTP"), "{asked}");
    world.stub.refuse_logins(true);
    assert_eq!(world.store.probe().await.unwrap_err().kind, StoreErrorKind::Denied);
    world.stub.gate().set(Mode::Shut);
    world.stub.refuse_logins(false);
    assert_eq!(world.store.probe().await.unwrap_err().kind, StoreErrorKind::Unavailable);
}
