//! Refresh tokens, their families, and revocation.

use super::*;

async fn family(site: &Site) -> (String, String) {
    let client = site.register().await;
    let code = site.code(&mut Browser::default(), &client).await;
    let answer = site.redeem(&client, &code).await.json();
    (client, answer["refresh_token"].as_str().unwrap().to_owned())
}

fn code(answer: &Page) -> String {
    let json = answer.json();
    json["error_description"].as_str().unwrap_or("granted").split(": ").next().unwrap().to_owned()
}

fn next(answer: &Page) -> String {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()["refresh_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_refresh_brings_the_next_token_for_the_same_person_and_resource() {
    let site = Site::start();
    let (client, first) = family(&site).await;
    let answer = site.refresh(&client, &first).await;
    let second = next(&answer);
    assert_ne!(first, second);
    let claims = claims(answer.json()["access_token"].as_str().unwrap());
    assert_eq!(
        (claims["aud"].as_str(), claims["sub"].as_str()),
        (Some(RESOURCE), Some("https://idp.example|alice"))
    );
    next(&site.refresh(&client, &second).await);
}

#[tokio::test]
async fn a_used_token_ends_its_family() {
    let site = Site::start();
    let (client, first) = family(&site).await;
    let second = next(&site.refresh(&client, &first).await);
    assert_eq!(code(&site.refresh(&client, &first).await), "oauth.refresh_reused");
    assert_eq!(
        code(&site.refresh(&client, &second).await),
        "oauth.refresh_unknown",
        "the good one ended too"
    );
    let ended =
        site.audit.events.lock().unwrap().iter().find(|e| e.kind == EventKind::RefreshFamilyEnded).cloned();
    let ended = ended.unwrap();
    assert_eq!(ended.reason.as_deref(), Some("oauth.refresh_reused"));
    assert_eq!(ended.user.as_deref(), Some("https://idp.example|alice"));
}

#[tokio::test]
async fn of_many_who_bring_one_token_at_the_same_time_none_keeps_the_family() {
    let site = Site::start();
    let (client, first) = family(&site).await;
    let (one, two) = tokio::join!(site.refresh(&client, &first), site.refresh(&client, &first));
    let granted: Vec<_> = [&one, &two].into_iter().filter(|answer| answer.status == StatusCode::OK).collect();
    assert!(granted.len() <= 1, "{one:?} {two:?}");
    for answer in granted {
        assert_eq!(code(&site.refresh(&client, &next(answer)).await), "oauth.refresh_unknown");
    }
}

#[tokio::test]
async fn a_token_is_its_own_clients_and_resources() {
    let site = Site::start();
    let (client, token) = family(&site).await;
    let other = site.register().await;
    assert_eq!(code(&site.refresh(&other, &token).await), "oauth.refresh_mismatch");
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", client.as_str()),
        ("refresh_token", token.as_str()),
        ("resource", "https://mcp.example/mcp/dev/other"),
    ];
    assert_eq!(code(&site.ask("/oauth/token", &fields).await), "oauth.refresh_mismatch");
    next(&site.refresh(&client, &token).await);
}

#[tokio::test]
async fn an_invented_token_ends_nobodys_family() {
    let site = Site::start();
    let (client, token) = family(&site).await;
    let mut bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix("mcpgwr_").unwrap()).unwrap();
    bytes[20] ^= 1;
    let forged = format!("mcpgwr_{}", URL_SAFE_NO_PAD.encode(&bytes));
    for invented in
        [forged.as_str(), "mcpgwr_", "mcpgwr_AAAA", "anything", token.get(..token.len() - 1).unwrap()]
    {
        assert_eq!(code(&site.refresh(&client, invented).await), "oauth.refresh_unknown", "{invented}");
    }
    next(&site.refresh(&client, &token).await);
}

#[tokio::test]
async fn a_family_ends_at_rest_and_at_its_limit() {
    let site = Site::start();
    let (client, token) = family(&site).await;
    site.clock.advance(Duration::from_secs(3_000));
    let token = next(&site.refresh(&client, &token).await);
    site.clock.advance(Duration::from_secs(3_000));
    let token = next(&site.refresh(&client, &token).await);
    site.clock.advance(Duration::from_secs(1_200));
    assert_eq!(code(&site.refresh(&client, &token).await), "oauth.refresh_unknown", "the limit");
    let (client, token) = family(&site).await;
    site.clock.advance(Duration::from_secs(3_601));
    assert_eq!(code(&site.refresh(&client, &token).await), "oauth.refresh_unknown", "at rest");
}

#[tokio::test]
async fn a_client_gives_its_family_back_and_nobody_elses() {
    let site = Site::start();
    let (client, token) = family(&site).await;
    let other = site.register().await;
    let revoke = async |client: &str, token: &str| {
        site.ask("/oauth/revoke", &[("client_id", client), ("token", token)]).await
    };
    assert_eq!(code(&revoke(&other, &token).await), "oauth.refresh_mismatch");
    assert_eq!(code(&revoke(&client, "a.b.c").await), "oauth.token_kind");
    assert_eq!(revoke(&client, "unknown").await.status, StatusCode::OK, "RFC 7009, section 2.2");
    let token = next(&site.refresh(&client, &token).await);
    assert_eq!(revoke(&client, &token).await.status, StatusCode::OK);
    assert_eq!(code(&site.refresh(&client, &token).await), "oauth.refresh_unknown");
    assert_eq!(
        site.audit.events.lock().unwrap().iter().filter(|e| e.kind == EventKind::RefreshFamilyEnded).count(),
        1
    );
}

#[tokio::test]
async fn a_client_that_does_not_refresh_gets_no_refresh_token() {
    let site = Site::start();
    let answer = site.register_as(&json!({"redirect_uris": [CALLBACK]})).await.json();
    let client = answer["client_id"].as_str().unwrap();
    let code = site.code(&mut Browser::default(), client).await;
    let answer = site.redeem(client, &code).await.json();
    assert!(answer.get("refresh_token").is_none() && answer["access_token"].is_string(), "{answer}");
}

#[tokio::test]
async fn logging_out_of_the_browser_ends_no_clients_tokens() {
    let site = Site::start();
    let client = site.register().await;
    let mut browser = Browser::default();
    let code = site.code(&mut browser, &client).await;
    let answer = site.redeem(&client, &code).await;
    let form = site.get(&mut browser, "/login").await.form("/login/out");
    assert_eq!(site.post(&mut browser, "/login/out", &form).await.status, StatusCode::OK);
    next(&site.refresh(&client, &next(&answer)).await);
}

#[tokio::test]
async fn without_evidence_a_client_keeps_the_token_it_has() {
    let site = Site::start();
    let (client, token) = family(&site).await;
    site.audit.down.store(true, Ordering::SeqCst);
    assert_eq!(code(&site.refresh(&client, &token).await), "login.unavailable");
    site.audit.down.store(false, Ordering::SeqCst);
    next(&site.refresh(&client, &token).await);
}
