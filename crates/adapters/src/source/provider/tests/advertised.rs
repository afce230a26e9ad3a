//! What servers advertise, honest and not.

use gateway_core::manifest::AddressScope;

use super::*;
use crate::source::provider::advertised::{Advertised, AdvertisedError, Reach, advertised};

const RESOURCE: &str = "/.well-known/oauth-protected-resource/mcp";

fn reach() -> Reach {
    Reach { addresses: vec![AddressScope::Loopback], ca_file: None }
}

fn at(provider: &FakeProvider, path: &str) -> Url {
    Url::parse(&format!("{}{path}", provider.issuer())).unwrap()
}

/// Reads a challenge as the tests write it.
fn pointer(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("www-authenticate")?.to_str().ok()?;
    Some(text.split_once("resource_metadata=\"")?.1.trim_end_matches('"').to_owned())
}

/// A server at `/mcp` whose metadata names itself as its authorization server, changed so.
async fn server(change: Value) -> FakeProvider {
    let provider = FakeProvider::start().await;
    let mut body = json!({
        "resource": format!("{}/mcp", provider.issuer()), "authorization_servers": [provider.issuer()],
        "scopes_supported": ["notes.read", "notes.write", "bad scope", ""],
    });
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    provider.answer(RESOURCE, 200, &[], &body.to_string());
    provider
}

async fn ask(provider: &FakeProvider) -> Result<Advertised, AdvertisedError> {
    advertised(&at(provider, "/mcp"), &reach(), pointer).await
}

#[tokio::test]
async fn tells_issuer_scopes_and_what_the_issuer_offers() {
    let provider = server(json!({})).await;
    let told = ask(&provider).await.unwrap();
    assert_eq!(told.resource, format!("{}/mcp", provider.issuer()));
    assert_eq!(told.scopes, ["notes.read", "notes.write"]);
    let (issuer, said) = &told.authorization_servers[0];
    let said = said.as_ref().unwrap();
    assert_eq!((issuer.as_str(), said.issuer.as_str()), (provider.issuer(), provider.issuer()));
    assert!(said.offers_s256 && said.sends_issuer && said.revokes);
    assert!(!said.reads_documents && !said.registers && said.origins.is_empty());
    let other = FakeProvider::start().await;
    let mut document = provider.metadata();
    document["registration_endpoint"] = format!("{}/register", other.issuer()).into();
    document["client_id_metadata_document_supported"] = json!(true);
    provider.answer(METADATA, 200, &[], &document.to_string());
    let told = ask(&provider).await.unwrap();
    let said = told.authorization_servers[0].1.as_ref().unwrap();
    assert!(said.reads_documents && said.registers);
    assert_eq!(said.origins, [other.issuer()]);
    assert!(provider.asked("/token").is_empty() && other.asked("/register").is_empty());
}

#[tokio::test]
async fn a_challenge_leads_the_way_and_never_to_another_origin() {
    let (provider, other) = (server(json!({})).await, server(json!({})).await);
    let body = json!({"resource": at(&provider, "/mcp"), "authorization_servers": [provider.issuer()]});
    provider.answer("/its-own", 200, &[], &body.to_string());
    let challenge = |place: &str| format!("Bearer resource_metadata=\"{place}\"");
    let its_own = challenge(at(&provider, "/its-own").as_str());
    provider.answer("/mcp", 401, &[("www-authenticate", &its_own)], "");
    assert!(ask(&provider).await.unwrap().scopes.is_empty());
    assert!(provider.asked(RESOURCE).is_empty());
    assert_eq!(provider.asked("/mcp")[0].body, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    let foreign = format!("{}{RESOURCE}", other.issuer());
    for (place, expected) in [
        (foreign.clone(), AdvertisedError::Elsewhere(foreign)),
        ("nowhere".to_owned(), AdvertisedError::Url("nowhere".to_owned())),
    ] {
        provider.answer("/mcp", 401, &[("www-authenticate", &challenge(&place))], "");
        assert_eq!(ask(&provider).await.unwrap_err(), expected);
    }
    assert!(other.asked(RESOURCE).is_empty());
}

#[tokio::test]
async fn without_a_challenge_the_standard_places_are_asked_in_order() {
    let provider = FakeProvider::start().await;
    assert_eq!(ask(&provider).await.unwrap_err(), AdvertisedError::Nothing);
    let root = "/.well-known/oauth-protected-resource";
    assert_eq!((provider.asked(RESOURCE).len(), provider.asked(root).len()), (1, 1));
    let body = json!({"resource": at(&provider, "/mcp"), "authorization_servers": [provider.issuer()]});
    provider.answer(root, 200, &[], &body.to_string());
    ask(&provider).await.unwrap();
    for (status, body) in [(500, ""), (302, ""), (429, "")] {
        provider.answer(RESOURCE, status, &[("location", "https://evil.example/")], body);
        let place = at(&provider, RESOURCE).to_string();
        assert_eq!(ask(&provider).await.unwrap_err(), AdvertisedError::Status { place, status });
    }
}

#[tokio::test]
async fn metadata_of_another_resource_or_without_servers_is_refused() {
    for resource in ["https://evil.example/mcp", "", "http://127.0.0.1:1/mcp"] {
        let provider = server(json!({ "resource": resource })).await;
        let error = ask(&provider).await.unwrap_err();
        assert!(matches!(error, AdvertisedError::Resource { .. }), "{error:?}");
        assert!(provider.asked(METADATA).is_empty(), "nobody else is asked");
    }
    for suffix in ["", "/mcp/", "/mcp?x", "/MCP"] {
        let provider = FakeProvider::start().await;
        let body = json!({"resource": format!("{}{suffix}", provider.issuer()),
            "authorization_servers": [provider.issuer()]});
        provider.answer(RESOURCE, 200, &[], &body.to_string());
        let error = ask(&provider).await.unwrap_err();
        assert!(matches!(error, AdvertisedError::Resource { .. }), "{suffix} {error:?}");
    }
    for servers in [json!([]), json!(vec!["https://a.example"; 9])] {
        let count = servers.as_array().unwrap().len();
        let provider = server(json!({ "authorization_servers": servers })).await;
        assert_eq!(ask(&provider).await.unwrap_err(), AdvertisedError::Servers(count));
    }
    for body in ["", "[]", "{}", "<html>"] {
        let provider = server(json!({})).await;
        provider.answer(RESOURCE, 200, &[], body);
        let place = at(&provider, RESOURCE).to_string();
        assert_eq!(ask(&provider).await.unwrap_err(), AdvertisedError::Malformed(place));
    }
}

#[tokio::test]
async fn what_is_wrong_with_one_authorization_server_stands_beside_it() {
    let other = FakeProvider::start().await;
    let mut document = other.metadata();
    document["issuer"] = "https://evil.example".into();
    other.answer(METADATA, 200, &[], &document.to_string());
    let silent = FakeProvider::start().await;
    silent.answer(METADATA, 404, &[], "");
    let strange = FakeProvider::start().await;
    let mut document = strange.metadata();
    document["token_endpoint"] = "http://evil.example/token".into();
    strange.answer(METADATA, 200, &[], &document.to_string());
    let named = [other.issuer(), silent.issuer(), strange.issuer(), "http://evil.example", "issuer"];
    let provider = server(json!({ "authorization_servers": named })).await;
    let told = ask(&provider).await.unwrap();
    let errors: Vec<_> = told.authorization_servers.into_iter().map(|(_, said)| said.unwrap_err()).collect();
    assert_eq!(
        errors,
        [
            AdvertisedError::OtherIssuer("https://evil.example".to_owned()),
            AdvertisedError::NoMetadata,
            AdvertisedError::Url("http://evil.example/token".to_owned()),
            AdvertisedError::Issuer("http://evil.example".to_owned()),
            AdvertisedError::Issuer("issuer".to_owned()),
        ]
    );
}

#[tokio::test]
async fn addresses_that_were_not_named_are_not_connected_to_and_answers_are_bounded() {
    let provider = server(json!({})).await;
    let error = advertised(&at(&provider, "/mcp"), &Reach::default(), pointer).await.unwrap_err();
    assert!(matches!(&error, AdvertisedError::Unreachable(why) if why.contains("loopback")), "{error:?}");
    assert!(provider.asked("/mcp").is_empty());
    for url in ["http://mcp.example/mcp", "https://user@mcp.example/mcp", "https://mcp.example/mcp#a"] {
        let error = advertised(&Url::parse(url).unwrap(), &reach(), pointer).await.unwrap_err();
        assert_eq!(error, AdvertisedError::Url(url.to_owned()));
    }
    provider.answer(RESOURCE, 200, &[], &"a".repeat(300_000));
    let error = ask(&provider).await.unwrap_err();
    assert!(matches!(&error, AdvertisedError::Unreachable(why) if why.contains("larger")), "{error:?}");
}
