//! A person's way to the identity provider and back.

use super::*;

#[tokio::test]
async fn a_login_opens_a_session_and_leads_back_to_where_it_began() {
    let site = Site::start();
    let mut browser = Browser::default();
    let page = site.get(&mut browser, "/login?return_to=/connect/notes%3Fa=b").await;
    let place = page.location();
    assert_eq!(place.host_str(), Some("idp.example"));
    let cookie = page.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("__Host-mcpgw-browser="), "{cookie}");
    let back = site.come_back(&mut browser, &place).await;
    assert_eq!(back.location().as_str(), "https://mcp.example/connect/notes?a=b");
    let cookies: Vec<_> =
        back.headers.get_all(header::SET_COOKIE).iter().map(|c| c.to_str().unwrap()).collect();
    let session = cookies.iter().find(|cookie| cookie.starts_with("__Host-mcpgw=")).unwrap();
    assert!(session.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{session}");
    let (departed, arrived) = (
        site.provider.departures.lock().unwrap()[0].clone(),
        site.provider.arrivals.lock().unwrap()[0].clone(),
    );
    assert_eq!((departed.1, departed.2), (arrived.2, arrived.3), "nonce and verifier come from the state");
    assert_eq!((arrived.0.as_deref(), arrived.1.as_deref()), (Some("idp-code"), Some("https://idp.example")));
    let page = site.get(&mut browser, "/login").await;
    assert!(page.text.contains("alice") && page.status == StatusCode::OK, "{}", page.text);
    assert_eq!(site.kinds(), [EventKind::PersonLogin]);
    let event = site.audit.events.lock().unwrap()[0].clone();
    assert_eq!(event.user.as_deref(), Some("https://idp.example|alice"));
    assert_eq!(event.source_address, Some("192.0.2.7".parse().unwrap()));
}

#[tokio::test]
async fn over_plain_http_cookies_have_no_prefix_and_are_not_marked_secure() {
    let site = Site::with("http://127.0.0.1:8080", |_| {});
    let page = site.get(&mut Browser::default(), "/oauth/authorize").await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    let jar = crate::cookie::Jar { secure: false, realm: crate::realm::Realm::People };
    let line = jar.set(crate::cookie::Kind::Session, &Secret::copy_from(&[b'a'; 43])).unwrap();
    let line = line.to_str().unwrap();
    assert!(line.starts_with("mcpgw=") && line.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{line}");
}

#[tokio::test]
async fn a_state_is_good_once_and_for_ten_minutes() {
    let site = Site::start();
    let mut browser = Browser::default();
    let place = site.get(&mut browser, "/login").await.location();
    // The cookie of the login is kept for the second try.
    let mut again = Browser(browser.0.clone());
    assert_eq!(site.come_back(&mut browser, &place).await.status, StatusCode::SEE_OTHER);
    assert_eq!(site.come_back(&mut again, &place).await.code(), "login.state_unknown");
    let place = site.get(&mut again, "/login").await.location();
    site.clock.advance(Duration::from_secs(601));
    assert_eq!(site.come_back(&mut again, &place).await.code(), "login.state_unknown");
    for query in ["", "?code=a&iss=b", "?state=invented&code=a", "?state=&code=a"] {
        let page = site.get(&mut again, &format!("/login/callback{query}")).await;
        assert_eq!(page.code(), "login.state_unknown", "{query}");
    }
    assert_eq!(
        site.get(&mut again, "/login/callback?state=a&state=b").await.code(),
        "oauth.request_malformed"
    );
    assert_eq!(site.last_reason(), "oauth.request_malformed");
}

#[tokio::test]
async fn a_login_that_another_browser_began_is_refused_and_used_up() {
    let site = Site::start();
    let (mut attacker, mut victim) = (Browser::default(), Browser::default());
    let place = site.get(&mut attacker, "/login").await.location();
    assert_eq!(site.come_back(&mut victim, &place).await.code(), "login.other_browser", "without a cookie");
    let place = site.get(&mut attacker, "/login").await.location();
    site.get(&mut victim, "/login").await;
    assert_eq!(site.come_back(&mut victim, &place).await.code(), "login.other_browser");
    assert!(!victim.0.contains_key("__Host-mcpgw"));
    assert_eq!(site.come_back(&mut attacker, &place).await.code(), "login.state_unknown");
    assert!(site.provider.arrivals.lock().unwrap().is_empty(), "no code was sent on");
}

#[tokio::test]
async fn what_the_provider_or_its_verifier_refuses_opens_no_session() {
    for fault in [
        Fault::IssuerMissing,
        Fault::IssuerMixedUp,
        Fault::ProviderRefused,
        Fault::ProviderUnavailable,
        Fault::CodeRefused,
        Fault::IdTokenRefused,
        Fault::NonceMismatch,
    ] {
        let site = Site::start();
        let mut browser = Browser::default();
        let place = site.get(&mut browser, "/login").await.location();
        *site.provider.fault.lock().unwrap() = Some(fault);
        let page = site.come_back(&mut browser, &place).await;
        assert_eq!((page.code().as_str(), page.status.as_u16()), (fault.as_str(), fault.row().status));
        assert!(!browser.0.contains_key("__Host-mcpgw"));
        assert_eq!(
            (site.kinds(), site.last_reason()),
            (vec![EventKind::LoginRefused], fault.as_str().to_owned())
        );
    }
}

#[tokio::test]
async fn a_login_ends_the_browsers_former_session() {
    let site = Site::start();
    let mut browser = Browser::default();
    site.sign_in(&mut browser).await;
    let mut former = Browser(browser.0.clone());
    let place = site.get(&mut browser, "/login?again=1").await.location();
    *site.provider.subject.lock().unwrap() = "bob".to_owned();
    site.come_back(&mut browser, &place).await;
    assert!(site.get(&mut browser, "/login").await.text.contains("bob"));
    assert_ne!(former.0["__Host-mcpgw"], browser.0["__Host-mcpgw"], "the secret is a new one");
    assert_eq!(site.get(&mut former, "/login").await.status, StatusCode::SEE_OTHER, "nobody is logged in");
}

#[tokio::test]
async fn a_session_ends_at_rest_and_at_its_limit() {
    let site = Site::start();
    let mut browser = Browser::default();
    site.sign_in(&mut browser).await;
    for _ in 0..6 {
        site.clock.advance(Duration::from_secs(500));
        assert_eq!(site.get(&mut browser, "/login").await.status, StatusCode::OK);
    }
    site.clock.advance(Duration::from_secs(601));
    assert_eq!(site.get(&mut browser, "/login").await.status, StatusCode::SEE_OTHER, "the limit");
    let mut browser = Browser::default();
    site.sign_in(&mut browser).await;
    site.clock.advance(Duration::from_secs(601));
    assert_eq!(site.get(&mut browser, "/login").await.status, StatusCode::SEE_OTHER, "at rest");
}

#[tokio::test]
async fn without_evidence_nobody_is_logged_in() {
    let site = Site::start();
    let mut browser = Browser::default();
    let place = site.get(&mut browser, "/login").await.location();
    site.audit.down.store(true, Ordering::SeqCst);
    let page = site.come_back(&mut browser, &place).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!browser.0.contains_key("__Host-mcpgw"));
}

#[tokio::test]
async fn a_login_leads_to_pages_of_this_gateway_only() {
    let site = Site::start();
    for place in [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/login//evil.example",
        "/login/../mcp/dev/tools",
        "/login/%2e%2e/x",
        "/loginx",
        "/mcp/dev/tools",
        "/connect/a\r\nset-cookie: a=b",
        "/connect/#x",
        "login",
        "javascript:alert(1)",
    ] {
        let query = encoded(&[("return_to", place)]);
        let page = site.get(&mut Browser::default(), &format!("/login?{query}")).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{place}");
    }
    assert!(site.provider.departures.lock().unwrap().is_empty());
}

#[tokio::test]
async fn two_logins_of_one_browser_at_the_same_time_do_not_end_each_other() {
    let site = Site::start();
    let mut browser = Browser::default();
    let first = site.get(&mut browser, "/login").await.location();
    let second = site.get(&mut browser, "/login?return_to=/connect/notes").await.location();
    assert_eq!(site.come_back(&mut browser, &first).await.status, StatusCode::SEE_OTHER);
    let back = site.come_back(&mut browser, &second).await;
    assert_eq!(back.location().path(), "/connect/notes");
}

#[tokio::test]
async fn strangers_who_begin_logins_without_end_are_held_up_for_a_minute() {
    let site = Site::start();
    for _ in 0..120 {
        assert_eq!(site.get(&mut Browser::default(), "/login").await.status, StatusCode::SEE_OTHER);
    }
    let page = site.get(&mut Browser::default(), "/login").await;
    assert_eq!((page.status, page.code().as_str()), (StatusCode::TOO_MANY_REQUESTS, "login.limit"));
    site.clock.advance(Duration::from_secs(60));
    let mut browser = Browser::default();
    site.sign_in(&mut browser).await;
}
