//! The authorization endpoint and the consent.

use super::*;

#[tokio::test]
async fn nothing_goes_to_the_identity_provider_before_the_person_agreed() {
    let site = Site::start();
    let client = site.register().await;
    let mut browser = Browser::default();
    let page = site.get(&mut browser, &authorization(&client, &[])).await;
    assert_eq!(page.status, StatusCode::OK);
    for shown in
        ["Editor", "nobody checked its name", "app.example", "<strong>tools</strong>", "<strong>dev</strong>"]
    {
        assert!(page.text.contains(shown), "{shown}: {}", page.text);
    }
    assert!(site.provider.departures.lock().unwrap().is_empty());
    let page = site.allow(&mut browser, &page).await;
    assert_eq!(page.leads_to().host_str(), Some("idp.example"));
}

#[tokio::test]
async fn a_session_remembers_a_consent_for_that_client_and_redirect_uri_alone() {
    let site = Site::start();
    let (first, second) = (site.register().await, site.register().await);
    let mut browser = Browser::default();
    site.code(&mut browser, &first).await;
    let again = site.get(&mut browser, &authorization(&first, &[])).await;
    assert!(parameter(&again.location(), "code").is_some(), "the same client is not asked again");
    for other in [
        authorization(&second, &[]),
        authorization(&first, &[("redirect_uri", "http://127.0.0.1:4000/cb")]),
        authorization(&first, &[("resource", "https://mcp.example/mcp/production/tools")]),
        authorization(&first, &[("prompt", "consent")]),
    ] {
        let page = site.get(&mut browser, &other).await;
        assert_eq!(page.status, StatusCode::OK, "{other}");
        assert!(page.text.contains("Allow this application?"), "{other}");
    }
    let page = site.get(&mut browser, &authorization(&second, &[])).await;
    let place = site.allow(&mut browser, &page).await.leads_to();
    assert!(parameter(&place, "code").is_some(), "no second login: {place}");
    // Another login is another session.
    let place = site.get(&mut browser, "/login?again=1").await.location();
    site.come_back(&mut browser, &place).await;
    assert_eq!(site.get(&mut browser, &authorization(&first, &[])).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_login_without_consent_gives_no_code() {
    let site = Site::start();
    let client = site.register().await;
    let mut browser = Browser::default();
    site.sign_in(&mut browser).await;
    let page = site.get(&mut browser, &authorization(&client, &[])).await;
    assert!(page.headers.get(header::LOCATION).is_none());
    // The request that led back from a login is none that stands for a consent.
    let way = encoded(&[("return_to", &authorization(&client, &[]))]);
    let mut other = Browser::default();
    let place = site.get(&mut other, &format!("/login?{way}")).await.location();
    let back = site.come_back(&mut other, &place).await.location();
    let page = site.get(&mut other, &format!("{}?{}", back.path(), back.query().unwrap())).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("Allow this application?"));
}

#[tokio::test]
async fn a_person_who_says_no_is_led_back_with_that() {
    let site = Site::start();
    let client = site.register().await;
    let mut browser = Browser::default();
    let page = site.get(&mut browser, &authorization(&client, &[])).await;
    let mut form = page.form("/oauth/consent");
    form.push(("decision".to_owned(), "deny".to_owned()));
    let place = site.post(&mut browser, "/oauth/consent", &form).await.leads_to();
    assert_eq!(parameter(&place, "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(&place, "iss").as_deref(), Some(ORIGIN));
    assert_eq!(parameter(&place, "state").as_deref(), Some("client-state"));
    assert_eq!(site.last_reason(), "oauth.consent_denied");
    assert!(site.provider.departures.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_consent_is_judged_anew_when_it_comes_back() {
    let site = Site::start();
    let client = site.register().await;
    let mut browser = Browser::default();
    let form = site.get(&mut browser, &authorization(&client, &[])).await.form("/oauth/consent");
    for (name, value, code) in [
        ("redirect_uri", "https://evil.example/", "client.redirect_refused"),
        ("client_id", "mcpgw-client-invented", "client.unknown"),
        ("resource", "https://evil.example/mcp/dev/tools", "oauth.resource"),
        ("code_challenge_method", "plain", "oauth.pkce"),
        ("decision", "perhaps", "oauth.request_malformed"),
    ] {
        let mut changed: Vec<_> = form.iter().filter(|(field, _)| field != name).cloned().collect();
        changed.push((name.to_owned(), value.to_owned()));
        if name != "decision" {
            changed.push(("decision".to_owned(), "allow".to_owned()));
        }
        assert_eq!(site.post(&mut browser, "/oauth/consent", &changed).await.code(), code, "{name}");
    }
    assert!(site.provider.departures.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_request_that_does_not_hold_is_refused_on_our_own_page() {
    let site = Site::start();
    let client = site.register().await;
    let mut browser = Browser::default();
    for (changed, code) in [
        (&[("client_id", "")][..], "oauth.request_malformed"),
        (&[("client_id", "mcpgw-client-invented")], "client.unknown"),
        (&[("redirect_uri", "")], "oauth.request_malformed"),
        (&[("redirect_uri", "https://app.example/callback")], "client.redirect_refused"),
        (&[("redirect_uri", "https://app.example/callback?x=1&y=2")], "client.redirect_refused"),
        (&[("redirect_uri", "https://app.example:444/callback?x=1")], "client.redirect_refused"),
        (&[("redirect_uri", "https://app.example.evil.example/callback?x=1")], "client.redirect_refused"),
        (&[("redirect_uri", "https://app.example@evil.example/callback?x=1")], "client.redirect_refused"),
        (&[("redirect_uri", "http://127.0.0.1:80@evil.example/cb")], "client.redirect_refused"),
        (&[("redirect_uri", "http://127.0.0.1:4000/cb/")], "client.redirect_refused"),
        (&[("redirect_uri", "http://localhost:4000/cb")], "client.redirect_refused"),
        (&[("response_type", "token")], "oauth.response_type"),
        (&[("response_type", "")], "oauth.response_type"),
        (&[("response_mode", "fragment")], "oauth.request_malformed"),
        (&[("request", "eyJ")], "oauth.request_malformed"),
        (&[("code_challenge", "")], "oauth.pkce"),
        (&[("code_challenge_method", "")], "oauth.pkce"),
        (&[("code_challenge_method", "plain")], "oauth.pkce"),
        (&[("code_challenge", "short")], "oauth.pkce"),
        (&[("resource", "")], "oauth.resource"),
        (&[("resource", "https://mcp.example/mcp/dev")], "oauth.resource"),
        (&[("resource", "https://mcp.example/mcp/dev/tools/")], "oauth.resource"),
        (&[("resource", "https://mcp.example.evil.example/mcp/dev/tools")], "oauth.resource"),
        (&[("resource", "https://other.example/mcp/dev/tools")], "oauth.resource"),
        (&[("resource", "https://mcp.example/mcp/DEV/tools")], "oauth.resource"),
        (&[("prompt", "none")], "oauth.interaction_required"),
    ] {
        let page = site.get(&mut browser, &authorization(&client, changed)).await;
        assert_eq!(page.code(), code, "{changed:?}");
        assert!(page.headers.get(header::LOCATION).is_none(), "{changed:?}");
        assert!(!page.text.contains("evil.example"), "{changed:?}");
    }
    for twice in ["resource", "redirect_uri", "client_id", "code_challenge"] {
        let path = format!("{}&{twice}=x", authorization(&client, &[]));
        assert_eq!(site.get(&mut browser, &path).await.code(), "oauth.request_malformed", "{twice}");
    }
}

#[tokio::test]
async fn the_metadata_says_what_is_there() {
    let site = Site::start();
    let document = site.get(&mut Browser::default(), "/.well-known/oauth-authorization-server").await.json();
    assert_eq!(document["issuer"], ORIGIN);
    assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(document["authorization_response_iss_parameter_supported"], true);
    assert_eq!(document["client_id_metadata_document_supported"], true);
    assert_eq!(document["registration_endpoint"], "https://mcp.example/oauth/register");
    assert_eq!(document["token_endpoint_auth_methods_supported"], json!(["none"]));
    let closed = Site::with(ORIGIN, |settings| {
        settings.registration = false;
        settings.metadata_domains.clear();
    });
    let document =
        closed.get(&mut Browser::default(), "/.well-known/oauth-authorization-server").await.json();
    assert_eq!(document["client_id_metadata_document_supported"], false);
    assert!(document.get("registration_endpoint").is_none());
}
