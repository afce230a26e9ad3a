//! Clients that register themselves.

use super::*;

#[tokio::test]
async fn a_registration_becomes_a_public_client() {
    let site = Site::start();
    let answer = site
        .register_as(&json!({
            "client_name": "Editor", "redirect_uris": ["http://127.0.0.1/cb"], "scope": "everything",
            "grant_types": ["authorization_code", "refresh_token", "password"],
            "token_endpoint_auth_method": "client_secret_basic", "software_id": "x"
        }))
        .await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let json = answer.json();
    assert_eq!(json["token_endpoint_auth_method"], "none");
    assert_eq!(json["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert!(json.get("client_secret").is_none());
    assert_eq!(site.kinds(), [EventKind::ClientRegistered]);
}

#[tokio::test]
async fn a_registration_that_does_not_hold_is_refused() {
    let site = Site::start();
    let many: Vec<String> = (0..11).map(|number| format!("https://app.example/{number}")).collect();
    for (metadata, error) in [
        (json!({}), "invalid_client_metadata"),
        (json!([]), "invalid_client_metadata"),
        (json!({"redirect_uris": []}), "invalid_client_metadata"),
        (json!({"redirect_uris": many}), "invalid_client_metadata"),
        (
            json!({"redirect_uris": ["https://app.example/"], "client_name": "a".repeat(9_000)}),
            "invalid_client_metadata",
        ),
        (json!({"redirect_uris": ["http://app.example/"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["https://app.example/#x"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["https://user@app.example/"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["https://app.example/", "javascript:alert(1)"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["app:/cb"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["http://127.0.0.1.evil.example/"]}), "invalid_redirect_uri"),
    ] {
        let answer = site.register_as(&metadata).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["error"].as_str()),
            (400, Some(error)),
            "{metadata}"
        );
    }
    let closed = Site::with(ORIGIN, |settings| settings.registration = false);
    let answer = closed.register_as(&json!({"redirect_uris": [CALLBACK]})).await;
    assert_eq!((answer.status.as_u16(), answer.json()["error"].as_str()), (403, Some("access_denied")));
}

#[tokio::test]
async fn one_address_registers_a_limited_number_an_hour() {
    let site = Site::start();
    for _ in 0..30 {
        site.register().await;
    }
    let metadata = json!({"redirect_uris": [CALLBACK]});
    assert_eq!(site.register_as(&metadata).await.status, StatusCode::TOO_MANY_REQUESTS);
    site.clock.advance(Duration::from_secs(3_600));
    assert_eq!(site.register_as(&metadata).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_registration_that_nobody_uses_ends_and_one_in_use_stays() {
    let site = Site::start();
    let (used, unused) = (site.register().await, site.register().await);
    let mut browser = Browser::default();
    site.clock.advance(Duration::from_secs(20 * 86_400));
    assert_eq!(site.get(&mut browser, &authorization(&used, &[])).await.status, StatusCode::OK);
    site.clock.advance(Duration::from_secs(11 * 86_400));
    assert_eq!(site.get(&mut browser, &authorization(&used, &[])).await.status, StatusCode::OK);
    assert_eq!(site.get(&mut browser, &authorization(&unused, &[])).await.code(), "client.unknown");
}

#[tokio::test]
async fn a_name_that_is_markup_is_shown_as_text() {
    let site = Site::start();
    let answer = site
        .register_as(&json!({"client_name": "<img src=x onerror=alert(1)>", "redirect_uris": [CALLBACK]}))
        .await
        .json();
    let client = answer["client_id"].as_str().unwrap();
    let page = site.get(&mut Browser::default(), &authorization(client, &[])).await;
    assert!(!page.text.contains("<img") && page.text.contains("&lt;img"), "{}", page.text);
}
