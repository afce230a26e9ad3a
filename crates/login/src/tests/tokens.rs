//! The token endpoint and authorization codes.

use super::*;

fn error(answer: &Page) -> (u16, String, String) {
    let json = answer.json();
    let described = json["error_description"].as_str().unwrap();
    let code = described.split(": ").next().unwrap().to_owned();
    (answer.status.as_u16(), json["error"].as_str().unwrap().to_owned(), code)
}

#[tokio::test]
async fn a_code_becomes_a_short_token_for_one_resource_and_one_person() {
    let site = Site::start();
    let client = site.register().await;
    let code = site.code(&mut Browser::default(), &client).await;
    let answer = site.redeem(&client, &code).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.headers["cache-control"], "no-store");
    let json = answer.json();
    assert_eq!((json["token_type"].as_str(), json["expires_in"].as_u64()), (Some("Bearer"), Some(600)));
    assert!(json["refresh_token"].as_str().unwrap().starts_with("mcpgwr_"));
    let claims = claims(json["access_token"].as_str().unwrap());
    assert_eq!(claims["iss"], ORIGIN);
    assert_eq!(claims["aud"], RESOURCE);
    assert_eq!(claims["sub"], "https://idp.example|alice");
    assert_eq!(claims["client_id"], client.as_str());
    assert_eq!(claims["groups"], json!(["support"]));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
    assert!(claims["jti"].as_str().is_some_and(|id| id.len() == 22));
    let issued = site.audit.events.lock().unwrap().last().cloned().unwrap();
    assert_eq!(issued.kind, EventKind::AccessTokenIssued);
    assert_eq!(issued.surface.as_deref(), Some(client.as_str()));
    assert_eq!(issued.environment.unwrap().as_str(), "dev");
}

#[tokio::test]
async fn a_code_that_comes_twice_ends_what_it_led_to() {
    let site = Site::start();
    let client = site.register().await;
    let code = site.code(&mut Browser::default(), &client).await;
    let first = site.redeem(&client, &code).await.json();
    let second = site.redeem(&client, &code).await;
    assert_eq!(error(&second), (400, "invalid_grant".to_owned(), "oauth.code_replayed".to_owned()));
    let refresh = first["refresh_token"].as_str().unwrap();
    assert_eq!(error(&site.refresh(&client, refresh).await).2, "oauth.refresh_unknown");
    assert!(site.kinds().contains(&EventKind::RefreshFamilyEnded));
}

#[tokio::test]
async fn a_code_is_good_for_what_it_was_issued_for_and_used_up_by_the_first_try() {
    let other_verifier = "another-verifier-that-is-also-long-enough-00000001";
    for (name, value) in [
        ("code_verifier", other_verifier),
        ("code_verifier", ""),
        ("code_verifier", challenge().as_str()),
        ("redirect_uri", "http://127.0.0.1/cb"),
        ("redirect_uri", ""),
        ("resource", "https://mcp.example/mcp/dev/other"),
        ("client_id", "OTHER"),
    ] {
        let site = Site::start();
        let (client, other) = (site.register().await, site.register().await);
        let value = if value == "OTHER" { other.as_str() } else { value };
        let code = site.code(&mut Browser::default(), &client).await;
        let fields = redemption(&client, &code);
        let mut changed: Vec<(&str, &str)> =
            fields.iter().filter(|(field, _)| *field != name).map(|(a, b)| (*a, b.as_str())).collect();
        changed.push((name, value));
        let answer = site.ask("/oauth/token", &changed).await;
        assert_eq!(
            error(&answer),
            (400, "invalid_grant".to_owned(), "oauth.code_mismatch".to_owned()),
            "{name}"
        );
        assert_eq!(error(&site.redeem(&client, &code).await).2, "oauth.code_replayed", "{name}");
    }
}

#[tokio::test]
async fn a_code_waits_a_minute() {
    let site = Site::start();
    let client = site.register().await;
    let code = site.code(&mut Browser::default(), &client).await;
    site.clock.advance(Duration::from_secs(60));
    assert_eq!(error(&site.redeem(&client, &code).await).2, "oauth.code_unknown");
    assert_eq!(error(&site.redeem(&client, "invented").await).2, "oauth.code_unknown");
}

#[tokio::test]
async fn the_token_endpoint_refuses_what_it_does_not_know() {
    let site = Site::start();
    let client = site.register().await;
    for (fields, code) in [
        (&[][..], "oauth.request_malformed"),
        (&[("grant_type", "password"), ("client_id", &client)], "oauth.grant_type"),
        (&[("grant_type", "client_credentials"), ("client_id", &client)], "oauth.grant_type"),
        (&[("grant_type", "authorization_code"), ("code", "a")], "oauth.request_malformed"),
        (&[("grant_type", "authorization_code"), ("client_id", &client)], "oauth.request_malformed"),
        (
            &[
                ("grant_type", "authorization_code"),
                ("client_id", &client),
                ("client_secret", "s"),
                ("code", "a"),
            ],
            "oauth.client_authentication",
        ),
        (&[("grant_type", "refresh_token"), ("client_id", &client)], "oauth.request_malformed"),
    ] {
        assert_eq!(error(&site.ask("/oauth/token", fields).await).2, code, "{fields:?}");
    }
    let request = Request::post("/oauth/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", "Basic YTpi");
    let body = encoded(&[("grant_type", "refresh_token"), ("refresh_token", "a"), ("client_id", &client)]);
    let answer = site.send(&mut Browser::default(), request, body).await;
    assert_eq!(error(&answer).0, 401);
    let twice = "grant_type=refresh_token&client_id=a&refresh_token=a&refresh_token=b".to_owned();
    let request = Request::post("/oauth/token").header("content-type", "application/x-www-form-urlencoded");
    let answer = site.send(&mut Browser::default(), request, twice).await;
    assert_eq!(error(&answer).2, "oauth.request_malformed");
    let request = Request::post("/oauth/token").header("content-type", "application/json");
    let answer = site.send(&mut Browser::default(), request, "{}".to_owned()).await;
    assert_eq!(error(&answer).2, "oauth.request_malformed");
    assert_eq!(site.get(&mut Browser::default(), "/oauth/token").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn without_evidence_no_token_is_issued() {
    let site = Site::start();
    let client = site.register().await;
    let code = site.code(&mut Browser::default(), &client).await;
    site.audit.down.store(true, Ordering::SeqCst);
    let answer = site.redeem(&client, &code).await;
    assert_eq!(error(&answer), (503, "temporarily_unavailable".to_owned(), "login.unavailable".to_owned()));
    assert!(!answer.text.contains("access_token"));
}
