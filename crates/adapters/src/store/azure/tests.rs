//! On a stub: no real Azure was available (`gateway_testkit::stubs`).

use gateway_testkit::contract::store::battery;
use gateway_testkit::gate::{Answer as Canned, Mode};
use gateway_testkit::stubs::{AzureStub, CloudStub, Validity};
use serde_json::json;

use super::*;
use crate::store::cloud::tests::world::{World, pinned, reach, real_clock, reference, staged};

fn federation(stub: &AzureStub) -> AzureLogin {
    AzureLogin::Federation(ClientAssertion {
        tenant_id: AzureStub::TENANT.to_owned(),
        client_id: AzureStub::CLIENT.to_owned(),
        token_file: stub.token_file(),
        authority: Some(stub.login().address().parse().unwrap()),
    })
}

fn managed(stub: &AzureStub) -> AzureLogin {
    let endpoint = Some(stub.login().address().parse().unwrap());
    AzureLogin::ManagedIdentity(ManagedIdentity { client_id: Some(AzureStub::CLIENT.to_owned()), endpoint })
}

fn settings(login: AzureLogin, endpoint: Option<&str>) -> AzureSettings {
    AzureSettings {
        vaults: vec![AzureStub::VAULT.to_owned()],
        login,
        endpoint: endpoint.map(|address| address.parse().unwrap()),
        resource: None,
        reach: reach(),
    }
}

async fn world(login: fn(&AzureStub) -> AzureLogin) -> World<AzureStub> {
    let (stub, clock) = (AzureStub::start().await, real_clock());
    let settings = settings(login(&stub), Some(stub.gate().address()));
    let store = Arc::new(AzureKeyVault::new(settings, clock.clone()).unwrap());
    World { stub, store, clock, root: AzureStub::VAULT, keeps_versions: true }
}

#[tokio::test]
async fn azure_key_vault_keeps_the_contract_on_a_stub() {
    battery(&world(federation).await).await;
    battery(&world(managed).await).await;
}

#[tokio::test]
async fn azure_misbehaving_is_a_refusal() {
    world(federation).await.survives_misbehaviour().await;
}

#[tokio::test]
async fn a_thousand_callers_make_one_request_to_azure_and_one_login() {
    for login in [federation, managed] {
        world(login).await.shares_what_it_fetches(1, 1).await;
    }
}

#[tokio::test]
async fn a_vault_is_addressed_by_its_name_in_the_public_cloud() {
    let stub = AzureStub::start().await;
    let mut settings = settings(federation(&stub), None);
    settings.vaults.push("tools-test".to_owned());
    let store = AzureKeyVault::new(settings, real_clock()).unwrap();
    assert_eq!(store.vault("tools-prod").unwrap().as_str(), "https://tools-prod.vault.azure.net/");
    assert_eq!(store.vault("tools-test").unwrap().as_str(), "https://tools-test.vault.azure.net/");
    assert!(store.vault("elsewhere").is_err());
}

#[tokio::test]
async fn versions_that_are_disabled_expired_or_not_valid_yet_are_refused() {
    let world = world(federation).await;
    let wanted = world.there("bot", "canary-value").await;
    let now = world.clock.now().seconds();
    let validity = |enabled: bool, nbf: Option<i64>, exp: Option<i64>| Validity { enabled, nbf, exp };
    for (validity, word) in [
        (validity(false, None, None), "disabled"),
        (validity(true, Some(now + 60), None), "not valid yet"),
        (validity(true, None, Some(now)), "expired"),
        (validity(true, Some(now - 60), Some(now - 1)), "expired"),
    ] {
        world.stub.judge(&wanted.path, validity);
        let error = world.refused(&wanted).await;
        assert_eq!(error.kind, StoreErrorKind::NotFound, "{validity:?}");
        assert!(error.inside.contains(word) && error.inside.contains("request-7"), "{error}");
    }
    world.stub.judge(&wanted.path, validity(true, Some(now), Some(now + 60)));
    let found = world.store.fetch(&wanted).await.unwrap();
    assert_eq!(found.expires_at, Some(Timestamp::from_seconds(now + 60)), "the cache lets it go then");
    assert_eq!(found.created_at, Some(Timestamp::from_seconds(1_795_683_600)));
    assert_eq!(found.store_request_id.as_ref().unwrap().as_str(), "request-7");
}

#[tokio::test]
async fn answers_that_are_of_another_secret_or_make_no_sense_are_refused() {
    let world = world(federation).await;
    let wanted = reference("tools-prod/bot", None);
    let (version, other) = ("a".repeat(32), "b".repeat(32));
    let id = |rest: &str| format!("https://tools-prod.vault.azure.net/{rest}");
    let own = id(&format!("secrets/bot/{version}"));
    let enabled = json!({ "enabled": true });
    for (id, value, attributes) in [
        (id(&format!("secrets/other/{version}")), json!("canary"), enabled.clone()),
        (id(&format!("keys/bot/{version}")), json!("canary"), enabled.clone()),
        (id("secrets/bot"), json!("canary"), enabled.clone()),
        (id("secrets/bot/"), json!("canary"), enabled.clone()),
        (format!("https://other.vault.azure.net/secrets/bot/{version}"), json!("canary"), enabled.clone()),
        ("bot".to_owned(), json!("canary"), enabled.clone()),
        (own.clone(), json!({ "canary": 1 }), enabled.clone()),
        (own.clone(), json!("canary"), json!({})),
    ] {
        let body = json!({ "id": id, "value": value, "attributes": attributes }).to_string();
        let error = world.answered(&wanted, 200, "", &body).await;
        assert_eq!(error.kind, StoreErrorKind::Malformed, "{body}");
    }
    let body = json!({ "id": own, "value": "canary", "attributes": enabled }).to_string();
    let error = world.answered(&pinned(&wanted, &other), 200, "", &body).await;
    assert_eq!(error.kind, StoreErrorKind::Malformed, "another version than the pinned one");
    let nothing = json!({ "id": own, "attributes": enabled }).to_string();
    assert_eq!(world.answered(&wanted, 200, "", &nothing).await.kind, StoreErrorKind::Empty);
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused_without_a_request() {
    let world = world(federation).await;
    let long = format!("tools-prod/{}", "a".repeat(128));
    for path in
        ["bot", "elsewhere/bot", "tools-prod/a/b", "tools-prod/Bot", "tools-prod/a_b", "tools-prod/", &long]
    {
        assert_eq!(world.kind(&reference(path, None)).await, StoreErrorKind::Malformed, "{path}");
    }
    let wanted = reference("tools-prod/bot", None);
    for version in ["1", "../other", &"A".repeat(32), &"g".repeat(32)] {
        assert_eq!(world.kind(&pinned(&wanted, version)).await, StoreErrorKind::NotFound, "{version}");
    }
    assert_eq!(world.kind(&staged(&wanted, "latest")).await, StoreErrorKind::Malformed);
    assert_eq!((world.stub.gate().count(), world.stub.logins()), (0, 0));
}

#[tokio::test]
async fn the_platforms_token_goes_to_entra_id_and_nowhere_else() {
    let world = world(federation).await;
    let wanted = world.there("bot", "canary-value").await;
    world.value(&wanted).await;
    let reads = world.stub.gate().take_requests().concat();
    assert!(
        !reads.contains(AzureStub::ASSERTION) && reads.contains("Bearer canary-azure-token-1"),
        "{reads}"
    );
    assert!(reads.starts_with("GET /secrets/bot?api-version=7.4 HTTP"), "{reads}");
    let [login] = &world.stub.login().take_requests()[..] else { panic!("one login") };
    assert!(
        login.contains(AzureStub::ASSERTION) && !login.to_lowercase().contains("authorization:"),
        "{login}"
    );
}

#[tokio::test]
async fn a_refused_login_is_a_denial_and_a_new_assertion_helps() {
    let world = world(federation).await;
    let wanted = world.there("bot", "canary-value").await;
    std::fs::write(world.stub.token_file(), "canary.stale").unwrap();
    let error = world.refused(&wanted).await;
    assert_eq!(error.kind, StoreErrorKind::Denied);
    assert!(error.inside.contains("invalid_client"), "{error}");
    std::fs::write(world.stub.token_file(), AzureStub::ASSERTION).unwrap();
    assert_eq!(world.value(&wanted).await, "canary-value");
}

#[tokio::test]
async fn odd_answers_of_the_machines_service_get_no_further() {
    let world = world(managed).await;
    let wanted = world.there("bot", "canary-value").await;
    let token = |kind: &str, life: Value| {
        json!({ "access_token": "canary-token", "expires_in": life, "token_type": kind }).to_string()
    };
    for (status, body, expected) in [
        (400, json!({ "error": "invalid_request" }).to_string(), StoreErrorKind::Denied),
        (404, "<html>canary</html>".to_owned(), StoreErrorKind::Denied),
        (200, token("pop", json!("3600")), StoreErrorKind::Malformed),
        (200, token("Bearer", json!("soon")), StoreErrorKind::Malformed),
        (200, "<html>canary</html>".to_owned(), StoreErrorKind::Malformed),
        (500, String::new(), StoreErrorKind::Unavailable),
        (429, String::new(), StoreErrorKind::Throttled),
    ] {
        world.stub.login().set(Mode::Answer(Canned { status, headers: String::new(), body }));
        assert_eq!(world.kind(&wanted).await, expected, "{status}");
    }
    assert_eq!(world.stub.gate().count(), 0);
}

#[tokio::test]
async fn a_probe_reads_no_value_and_tells_a_vault_behind_a_firewall() {
    let world = world(federation).await;
    world.store.probe().await.unwrap();
    let asked = world.stub.gate().take_requests().concat();
    assert!(asked.starts_with("GET /secrets?api-version=7.4&maxresults=1 HTTP"), "{asked}");
    let body = json!({ "error": { "code": "Forbidden", "innererror": { "code": "ForbiddenByFirewall" } } });
    let answer = Canned { status: 403, headers: String::new(), body: body.to_string() };
    world.stub.gate().set(Mode::Answer(answer));
    let error = world.store.probe().await.unwrap_err();
    assert!(error.kind == StoreErrorKind::Denied && error.inside.contains("network rules"), "{error}");
    world.stub.gate().set(Mode::Open);
    world.stub.refuse_logins(true);
    assert_eq!(world.store.probe().await.unwrap_err().kind, StoreErrorKind::Denied);
}
