//! The gateway as a client that registered itself.

use gateway_core::audit::EventKind;
use gateway_core::manifest::ClientAuthentication;
use gateway_core::ports::StoreErrorKind;

use super::own::{House, REDIRECT};
use super::*;

const KEY_SET: &str = "https://mcp.example/.well-known/jwks/assertion.json";
const CLIENT_SECRET: &str = "a secret that the provider made";

async fn house() -> House {
    let house = House::new(json!({})).await;
    offers(&house, json!({}));
    registers(&house, "client-1", json!({}));
    house
}

/// The provider has a registration endpoint, and these members more.
fn offers(house: &House, more: Value) {
    let mut document = json!({"registration_endpoint": house.at("/register")});
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    house.says(document);
}

/// Registrations are answered with this client, changed so.
fn registers(house: &House, id: &str, change: Value) {
    let mut body = json!({
        "client_id": id, "client_secret": CLIENT_SECRET, "client_secret_expires_at": 0,
        "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "client_secret_basic",
        "registration_access_token": "for changes that the gateway never makes",
    });
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    body.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    house.provider.answer("/register", 201, &[], &body.to_string());
}

fn dynamic(house: &House) -> ProviderSpec {
    house.spec("dynamic", ClientAuthentication::None)
}

fn registrations(house: &House) -> usize {
    house.provider.asked("/register").len()
}

fn clients(house: &House) -> Vec<String> {
    let asked = house.provider.asked("/token");
    let of = |asked: &gateway_testkit::provider::Asked| {
        let plain = asked.headers["authorization"].strip_prefix("Basic ").unwrap().to_owned();
        String::from_utf8(STANDARD.decode(plain).unwrap()).unwrap().split(':').next().unwrap().to_owned()
    };
    asked.iter().map(of).collect()
}

#[tokio::test]
async fn registers_once_for_all_replicas_and_keeps_it_in_the_store() {
    let house = house().await;
    let spec = dynamic(&house);
    let (one, other) = (house.replica(), house.replica());
    house.ask(&one, &spec).await.unwrap();
    house.ask(&one, &spec).await.unwrap();
    house.ask(&other, &spec).await.unwrap();
    assert_eq!(registrations(&house), 1);
    assert_eq!(clients(&house), ["client-1"; 3]);
    let paths = house.store.paths();
    assert_eq!(paths.len(), 1);
    assert!(paths[0].starts_with("grants/client-"), "{paths:?}");
    let kept: Value = serde_json::from_slice(&house.store.newest(&paths[0], "client").unwrap()).unwrap();
    assert_eq!((&kept["client_id"], &kept["client_secret"]), (&json!("client-1"), &json!(CLIENT_SECRET)));
    let body: Value = serde_json::from_str(&house.provider.asked("/register")[0].body).unwrap();
    assert_eq!(
        body,
        json!({
            "client_name": "MCP gateway (dev)", "application_type": "web", "redirect_uris": [REDIRECT],
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
            "token_endpoint_auth_method": "client_secret_basic",
        })
    );
    let events = house.chain.events();
    let kinds: Vec<EventKind> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::CredentialRequested, EventKind::CredentialIssued]);
    let told = serde_json::to_string(&events).unwrap();
    assert!(told.contains("registration") && !told.contains(CLIENT_SECRET), "{told}");
}

#[tokio::test]
async fn many_callers_of_two_replicas_cause_one_registration() {
    let house = house().await;
    let spec = dynamic(&house);
    let replicas = [house.replica(), house.replica()];
    let asking = (0..64_usize).map(|number| house.ask(&replicas[number % 2], &spec));
    let outcomes = futures::future::join_all(asking).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(registrations(&house), 1);
}

#[tokio::test]
async fn asks_for_the_first_way_of_authentication_that_both_have() {
    for (offered, expected) in [
        (json!(["none", "client_secret_post", "client_secret_basic"]), "client_secret_basic"),
        (json!(["none", "client_secret_post"]), "client_secret_post"),
        (json!(["private_key_jwt", "none"]), "none"),
    ] {
        let house = house().await;
        offers(&house, json!({"token_endpoint_auth_methods_supported": offered}));
        registers(&house, "client-1", json!({"token_endpoint_auth_method": expected}));
        house.ask(&house.replica(), &dynamic(&house)).await.unwrap();
        let body: Value = serde_json::from_str(&house.provider.asked("/register")[0].body).unwrap();
        assert_eq!(body["token_endpoint_auth_method"], expected);
        let asked = &house.provider.asked("/token")[0];
        let secret = asked.parameter("client_secret");
        assert_eq!(secret.is_some(), expected == "client_secret_post");
        assert_eq!(asked.headers.contains_key("authorization"), expected == "client_secret_basic");
    }
    let house = house().await;
    offers(&house, json!({"token_endpoint_auth_methods_supported": ["tls_client_auth"]}));
    let outcome = house.ask(&house.replica(), &dynamic(&house)).await;
    assert_eq!(code(outcome), Code::ProviderRefused);
    assert_eq!(registrations(&house), 0);
}

#[tokio::test]
async fn a_client_without_a_secret_registers_the_gateways_keys() {
    let house = house().await;
    let spec = house.spec("dynamic", ClientAuthentication::GatewayKey);
    registers(
        &house,
        "client-1",
        json!({"token_endpoint_auth_method": "private_key_jwt", "client_secret": null}),
    );
    house.ask(&house.replica(), &spec).await.unwrap();
    let body: Value = serde_json::from_str(&house.provider.asked("/register")[0].body).unwrap();
    assert_eq!(
        (&body["jwks_uri"], &body["token_endpoint_auth_signing_alg"]),
        (&json!(KEY_SET), &json!("ES256"))
    );
    let asked = &house.provider.asked("/token")[0];
    house.verify(asked.parameter("client_assertion").unwrap(), "client-1");
    // A provider that makes a client with a secret of it has not done what was approved.
    let other = self::house().await;
    let spec = other.spec("dynamic", ClientAuthentication::GatewayKey);
    assert_eq!(code(other.ask(&other.replica(), &spec).await), Code::ProviderMalformed);
}

#[tokio::test]
async fn another_client_than_was_asked_for_is_refused_and_not_kept() {
    for change in [
        json!({"client_id": null}),
        json!({"client_id": ""}),
        json!({"client_id": "a\nb"}),
        json!({"client_id": 7}),
        json!({"redirect_uris": ["https://mcp.example/connect/callback", "https://evil.example/"]}),
        json!({"redirect_uris": ["https://evil.example/connect/callback"]}),
        json!({"redirect_uris": []}),
        json!({"client_secret": null}),
        json!({"client_secret": ""}),
        json!({"client_secret": "a\nb"}),
        json!({"client_secret_expires_at": "never"}),
        json!({"token_endpoint_auth_method": "client_secret_jwt"}),
        json!({"token_endpoint_auth_method": "private_key_jwt"}),
    ] {
        let house = house().await;
        registers(&house, "client-1", change.clone());
        let outcome = house.ask(&house.replica(), &dynamic(&house)).await;
        assert_eq!(code(outcome), Code::ProviderMalformed, "{change}");
        assert_eq!(house.store.paths(), [""; 0], "{change}");
        assert!(house.provider.asked("/token").is_empty());
    }
}

#[tokio::test]
async fn a_refused_registration_is_told_and_not_tried_again_at_once() {
    for (status, body, expected, answer) in [
        (400, r#"{"error":"invalid_client_metadata"}"#, Code::ProviderRefused, "invalid_client_metadata"),
        (401, "", Code::ProviderRefused, "http_401"),
        (302, "", Code::ProviderMalformed, "http_302"),
        (201, "<html>", Code::ProviderMalformed, ""),
        (503, "", Code::ProviderUnavailable, "http_503"),
    ] {
        let house = house().await;
        house.provider.answer("/register", status, &[("location", "https://evil.example/")], body);
        let (client, spec) = (house.replica(), dynamic(&house));
        let error = house.ask(&client, &spec).await.unwrap_err();
        assert_eq!((error.refusal().code(), error.answer().unwrap_or("")), (expected, answer));
        assert_eq!(code(house.ask(&client, &spec).await), expected);
        assert_eq!(registrations(&house), 1, "{status}");
        registers(&house, "client-1", json!({}));
        house.clock.advance(Duration::from_secs(5));
        house.ask(&client, &spec).await.unwrap();
        assert_eq!(registrations(&house), 2);
    }
}

#[tokio::test]
async fn the_registration_endpoint_must_be_there_and_at_an_approved_origin() {
    let (house, other) = (house().await, FakeProvider::start().await);
    house.says(json!({}));
    assert_eq!(code(house.ask(&house.replica(), &dynamic(&house)).await), Code::ProviderRefused);
    let elsewhere = format!("{}/register", other.issuer());
    house.says(json!({"registration_endpoint": elsewhere}));
    assert_eq!(code(house.ask(&house.replica(), &dynamic(&house)).await), Code::ProviderMalformed);
    assert!(other.asked("/register").is_empty());
    let mut listed = dynamic(&house);
    listed.origins = vec![other.issuer().to_owned()];
    assert_eq!(code(house.ask(&house.replica(), &listed).await), Code::ProviderRefused, "404 there");
    assert_eq!(other.asked("/register").len(), 1);
    // Who was registered by hand does not care where others register.
    let mut registered = house.spec("registered", ClientAuthentication::None);
    registered.client.id = Some("gateway".to_owned());
    house.ask(&house.replica(), &registered).await.unwrap();
}

#[tokio::test]
async fn a_registration_that_the_provider_forgot_is_renewed_once_an_hour() {
    let house = house().await;
    let (one, other, spec) = (house.replica(), house.replica(), dynamic(&house));
    house.ask(&one, &spec).await.unwrap();
    house.ask(&other, &spec).await.unwrap();
    house.provider.answer("/token", 401, &[], r#"{"error":"invalid_client"}"#);
    registers(&house, "client-2", json!({}));
    let error = house.ask(&one, &spec).await.unwrap_err();
    assert_eq!(error.answer(), Some("invalid_client"), "codes and tokens of the old client are of no use");
    assert_eq!(registrations(&house), 2);
    house.provider.heal("/token");
    house.ask(&other, &spec).await.unwrap();
    assert_eq!(clients(&house).last().unwrap(), "client-2");
    house.provider.answer("/token", 401, &[], r#"{"error":"invalid_client"}"#);
    registers(&house, "client-3", json!({}));
    for replica in [&one, &other, &one] {
        assert_eq!(code(house.ask(replica, &spec).await), Code::ProviderRefused);
    }
    assert_eq!(registrations(&house), 2, "not again within the hour");
    house.clock.advance(Duration::from_hours(1));
    assert_eq!(code(house.ask(&one, &spec).await), Code::ProviderRefused);
    assert_eq!(registrations(&house), 3);
    house.provider.heal("/token");
    house.ask(&one, &spec).await.unwrap();
    assert_eq!(clients(&house).last().unwrap(), "client-3");
}

#[tokio::test]
async fn other_refusals_and_passing_trouble_cost_no_registration() {
    let house = house().await;
    let (client, spec) = (house.replica(), dynamic(&house));
    house.ask(&client, &spec).await.unwrap();
    for (status, error) in [(400, "invalid_grant"), (400, "unauthorized_client"), (503, "invalid_client")] {
        house.provider.answer("/token", status, &[], &json!({ "error": error }).to_string());
        house.ask(&client, &spec).await.unwrap_err();
    }
    assert_eq!(registrations(&house), 1);
    // A renewal that met an outage is tried again when it is over.
    house.provider.answer("/token", 401, &[], r#"{"error":"invalid_client"}"#);
    house.provider.answer("/register", 503, &[], "");
    house.ask(&client, &spec).await.unwrap_err();
    assert_eq!(registrations(&house), 2);
    registers(&house, "client-2", json!({}));
    house.clock.advance(Duration::from_secs(5));
    house.ask(&client, &spec).await.unwrap_err();
    assert_eq!(registrations(&house), 3);
    house.provider.heal("/token");
    house.ask(&client, &spec).await.unwrap();
    assert_eq!(clients(&house).last().unwrap(), "client-2");
}

#[tokio::test]
async fn a_secret_that_has_ended_leads_to_a_new_registration() {
    let house = house().await;
    let (client, spec) = (house.replica(), dynamic(&house));
    let ends = house.clock.now().plus(Duration::from_secs(100)).seconds();
    registers(&house, "client-1", json!({"client_secret_expires_at": ends}));
    house.ask(&client, &spec).await.unwrap();
    registers(&house, "client-2", json!({}));
    house.clock.advance(Duration::from_secs(99));
    house.ask(&client, &spec).await.unwrap();
    house.clock.advance(Duration::from_secs(1));
    house.ask(&client, &spec).await.unwrap();
    assert_eq!(clients(&house), ["client-1", "client-1", "client-2"]);
}

#[tokio::test]
async fn nothing_is_registered_that_could_not_be_kept_or_recorded() {
    let house = house().await;
    let spec = dynamic(&house);
    let read_only = house.replica_at("https://mcp.example", false);
    assert_eq!(code(house.ask(&read_only, &spec).await), Code::StoreDenied);
    let mut foreign = spec.clone();
    foreign.environment = EnvironmentName::parse("production").unwrap();
    assert_eq!(code(house.ask(&house.replica(), &foreign).await), Code::ReferenceRefused);
    let mut nowhere = spec.clone();
    nowhere.grants = None;
    assert_eq!(code(house.ask(&house.replica(), &nowhere).await), Code::ReferenceRefused);
    house.store.fail(Some(StoreErrorKind::Unavailable));
    assert_eq!(code(house.ask(&house.replica(), &spec).await), Code::StoreUnavailable);
    house.store.fail(None);
    house.chain.break_down();
    assert_eq!(code(house.ask(&house.replica(), &spec).await), Code::AuditUnavailable);
    assert_eq!(registrations(&house), 0);
    assert!(house.provider.asked("/token").is_empty());
}

#[tokio::test]
async fn what_somebody_else_put_in_the_place_is_not_used_and_not_overwritten() {
    let house = house().await;
    let (client, spec) = (house.replica(), dynamic(&house));
    house.ask(&client, &spec).await.unwrap();
    let path = house.store.paths().remove(0);
    house.store.insert(&path, "client", b"not a registration");
    assert_eq!(code(house.ask(&client, &spec).await), Code::SecretUnusable);
    assert_eq!(house.store.newest(&path, "client").unwrap(), b"not a registration");
    assert_eq!(registrations(&house), 1);
}

#[tokio::test]
async fn another_provider_issuer_or_address_of_the_gateway_is_another_registration() {
    let house = house().await;
    let spec = dynamic(&house);
    house.ask(&house.replica(), &spec).await.unwrap();
    let mut renamed = spec.clone();
    renamed.name = "other".parse().unwrap();
    house.ask(&house.replica(), &renamed).await.unwrap();
    let moved = house.replica_at("https://moved.example", true);
    registers(&house, "client-1", json!({"redirect_uris": ["https://moved.example/connect/callback"]}));
    house.ask(&moved, &spec).await.unwrap();
    assert_eq!((registrations(&house), house.store.paths().len()), (3, 3));
}

#[tokio::test]
async fn an_id_token_is_for_the_client_that_the_provider_was_asked_with() {
    let house = house().await;
    let (client, spec) = (house.replica(), dynamic(&house));
    let claims = json!({"iss": house.provider.issuer(), "aud": "client-1", "sub": "alice"}).to_string();
    let mut tokens = Tokens {
        access_token: Secret::copy_from(b"access"),
        refresh_token: None,
        id_token: Some(Secret::new(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(&claims)).into_bytes())),
        lifetime: Duration::from_secs(60),
        scopes: Vec::new(),
    };
    assert_eq!(code(client.account(&spec, &tokens)), Code::ProviderRefused, "nobody was asked yet");
    house.ask(&client, &spec).await.unwrap();
    // An outage of the store is no reason to think that they are somebody else's.
    house.store.fail(Some(StoreErrorKind::Unavailable));
    assert_eq!(client.account(&spec, &tokens).unwrap().as_deref(), Some("alice"));
    let claims = claims.replace("client-1", "client-2");
    let other = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(&claims));
    tokens.id_token = Some(Secret::new(other.into_bytes()));
    assert_eq!(code(client.account(&spec, &tokens)), Code::ProviderMalformed);
}
