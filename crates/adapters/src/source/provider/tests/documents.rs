//! The gateway as a client that a document of its own describes.

use gateway_core::manifest::ClientAuthentication;

use super::own::{House, PUBLIC, REDIRECT};
use super::*;

const DOCUMENT: &str = "https://mcp.example/.well-known/oauth-client/dev/notes.json";
const SIGNED: &str = "https://mcp.example/.well-known/oauth-client/dev/notes/signed.json";

fn supported() -> Value {
    json!({"client_id_metadata_document_supported": true})
}

#[tokio::test]
async fn the_client_id_is_the_documents_address_at_both_endpoints_and_nothing_else_is_sent() {
    let house = House::new(supported()).await;
    let (client, spec) = (house.replica(), house.spec("metadata_document", ClientAuthentication::None));
    house.ask(&client, &spec).await.unwrap();
    let asked = &house.provider.asked("/token")[0];
    assert_eq!(asked.parameter("client_id"), Some(DOCUMENT));
    assert_eq!(asked.parameter("client_assertion"), None);
    assert!(!asked.headers.contains_key("authorization"));
    let wish = AuthorizationWish {
        redirect_uri: REDIRECT,
        scopes: &[],
        state: "state",
        challenge: "challenge",
        resource: None,
        audience: None,
        nonce: None,
        prompt: None,
        login_hint: None,
    };
    let request = client.authorization_request(&spec, &wish).await.unwrap();
    let sent = |name: &str| request.url.query_pairs().find(|(n, _)| n == name).unwrap().1.into_owned();
    assert_eq!((sent("client_id").as_str(), sent("redirect_uri").as_str()), (DOCUMENT, REDIRECT));
    assert_eq!(house.store.paths(), [""; 0], "nothing is kept of it");
}

#[tokio::test]
async fn a_signed_document_is_proven_by_the_gateways_own_key() {
    let house = House::new(supported()).await;
    let spec = house.spec("metadata_document", ClientAuthentication::GatewayKey);
    let client = house.replica();
    house.ask(&client, &spec).await.unwrap();
    house.ask(&client, &spec).await.unwrap();
    let asked = house.provider.asked("/token");
    for asked in &asked {
        assert_eq!(asked.parameter("client_id"), Some(SIGNED));
        house.verify(asked.parameter("client_assertion").unwrap(), SIGNED);
    }
    assert_ne!(asked[0].parameter("client_assertion"), asked[1].parameter("client_assertion"));
}

#[tokio::test]
async fn a_client_that_somebody_registered_may_prove_itself_by_the_gateways_key_too() {
    let house = House::new(json!({})).await;
    let mut spec = house.spec("registered", ClientAuthentication::GatewayKey);
    spec.client.id = Some("the gateway".to_owned());
    house.ask(&house.replica(), &spec).await.unwrap();
    let asked = &house.provider.asked("/token")[0];
    house.verify(asked.parameter("client_assertion").unwrap(), "the gateway");
    let world = World::new().await;
    let spec = world.spec(|spec| spec["client"]["authentication"] = json!("gateway_key"));
    assert_eq!(code(world.ask(&spec).await), Code::ProviderRefused, "a client without keys of its own");
}

#[tokio::test]
async fn a_provider_that_does_not_read_documents_is_asked_for_nothing() {
    for more in [json!({}), json!({"client_id_metadata_document_supported": false})] {
        let house = House::new(more).await;
        let spec = house.spec("metadata_document", ClientAuthentication::None);
        let error = house.ask(&house.replica(), &spec).await.unwrap_err();
        assert_eq!(error.refusal().code(), Code::ProviderRefused);
        assert!(error.refusal().inside().unwrap().contains("metadata documents"), "{error:?}");
        assert!(house.provider.asked("/token").is_empty());
    }
}

#[tokio::test]
async fn a_gateway_without_https_has_no_document() {
    let house = House::new(supported()).await;
    let spec = house.spec("metadata_document", ClientAuthentication::None);
    let client = house.replica_at("http://127.0.0.1:8080/", true);
    let error = house.ask(&client, &spec).await.unwrap_err();
    assert_eq!(error.refusal().code(), Code::ProviderRefused);
    assert!(error.refusal().inside().unwrap().contains("not https"), "{error:?}");
    assert!(house.provider.asked("/token").is_empty());
    assert!(PUBLIC.starts_with("https://"));
}
