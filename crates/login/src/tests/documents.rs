//! Clients that a document describes.

use super::*;

const ID: &str = "https://app.example/client.json";

fn publish(site: &Site, id: &str, document: &Value) {
    site.web.documents.lock().unwrap().insert(id.to_owned(), document.to_string());
}

fn honest() -> Value {
    json!({
        "client_id": ID, "client_name": "Editor", "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "none"
    })
}

#[tokio::test]
async fn a_client_is_known_by_its_document() {
    let site = Site::start();
    publish(&site, ID, &honest());
    let mut browser = Browser::default();
    let page = site.get(&mut browser, &authorization(ID, &[])).await;
    assert!(page.text.contains("described at <strong>app.example</strong>"), "{}", page.text);
    let code = site.code(&mut browser, ID).await;
    let answer = site.redeem(ID, &code).await;
    assert_eq!(claims(answer.json()["access_token"].as_str().unwrap())["client_id"], ID);
    assert_eq!(site.web.fetched.lock().unwrap().len(), 1, "and read once for a while");
}

#[tokio::test]
async fn a_document_that_lies_or_describes_no_public_client_is_refused() {
    for (name, value) in [
        ("client_id", json!("https://app.example/other.json")),
        ("client_id", json!("https://app.example/client.json?")),
        ("client_id", json!(null)),
        ("redirect_uris", json!([])),
        ("redirect_uris", json!(["http://app.example/"])),
        ("redirect_uris", json!("https://app.example/")),
        ("token_endpoint_auth_method", json!("private_key_jwt")),
        ("token_endpoint_auth_method", json!("client_secret_post")),
    ] {
        let site = Site::start();
        let mut document = honest();
        document[name] = value.clone();
        publish(&site, ID, &document);
        let page = site.get(&mut Browser::default(), &authorization(ID, &[])).await;
        assert_eq!(page.code(), "client.document_refused", "{name}: {value}");
    }
}

#[tokio::test]
async fn an_id_that_is_no_plain_url_of_an_allowed_host_is_never_fetched() {
    let site = Site::start();
    for (id, code) in [
        ("http://app.example/client.json", "client.unknown"),
        ("https://app.example", "client.unknown"),
        ("https://app.example/", "client.unknown"),
        ("https://app.example/client.json#x", "client.unknown"),
        ("https://user@app.example/client.json", "client.unknown"),
        ("https://APP.example/client.json", "client.unknown"),
        ("https://app.example/a/../client.json", "client.unknown"),
        ("https://app.example:443/client.json", "client.unknown"),
        ("https://evil.example/client.json", "client.domain_refused"),
        ("https://app.example.evil.example/client.json", "client.domain_refused"),
        ("https://127.0.0.1/client.json", "client.domain_refused"),
        ("https://[::1]/client.json", "client.domain_refused"),
        ("https://169.254.169.254/latest/meta-data", "client.domain_refused"),
    ] {
        let page = site.get(&mut Browser::default(), &authorization(id, &[])).await;
        assert_eq!(page.code(), code, "{id}");
    }
    assert!(site.web.fetched.lock().unwrap().is_empty());
    let page = site.get(&mut Browser::default(), &authorization(ID, &[])).await;
    assert_eq!(page.code(), "client.document_unavailable");
}

#[test]
fn domains_cover_what_they_say_and_no_more() {
    let covers = |domain: &str, host: &str| MetadataDomain::parse(domain).unwrap().covers(host);
    assert!(covers("*", "anything.example"));
    assert!(covers("app.example", "app.example") && !covers("app.example", "sub.app.example"));
    assert!(covers("*.app.example", "sub.app.example") && covers("*.app.example", "a.b.app.example"));
    assert!(!covers("*.app.example", "app.example") && !covers("*.app.example", "evilapp.example"));
    for bad in [
        "",
        "*.",
        "*app.example",
        "https://app.example",
        "app.example/",
        "app.example:1",
        "App.example",
        "example",
    ] {
        assert_eq!(MetadataDomain::parse(bad), None, "{bad}");
    }
}
