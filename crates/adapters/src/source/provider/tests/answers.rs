use super::*;

async fn answered(status: u16, headers: &[(&str, &str)], body: &str) -> Result<Tokens, ProviderError> {
    let world = World::new().await;
    world.provider.answer("/token", status, headers, body);
    world.ask(&world.spec(|_| {})).await
}

#[tokio::test]
async fn every_error_answer_has_its_refusal_and_its_code_for_evidence() {
    let refused = [
        "invalid_grant",
        "invalid_scope",
        "unauthorized_client",
        "access_denied",
        "invalid_client",
        "invalid_request",
        "unsupported_grant_type",
        "invalid_target",
    ];
    for word in refused {
        let error = answered(400, &[], &json!({"error": word}).to_string()).await.unwrap_err();
        assert_eq!(error.refusal().code(), Code::ProviderRefused, "{word}");
        assert_eq!(error.answer(), Some(word));
        assert_eq!(error.ends_grant(), word == "invalid_grant");
        assert!(!error.is_transient());
    }
    for (status, body, answer) in [
        (500, "", "http_500"),
        (503, r#"{"error":"server_error"}"#, "server_error"),
        (429, "slow", "http_429"),
        (408, "", "http_408"),
        (400, r#"{"error":"temporarily_unavailable"}"#, "temporarily_unavailable"),
    ] {
        let error = answered(status, &[], body).await.unwrap_err();
        assert_eq!(error.refusal().code(), Code::ProviderUnavailable, "{status}");
        assert_eq!(error.answer(), Some(answer));
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn the_providers_wish_to_wait_reaches_the_caller_within_bounds() {
    for (text, wait) in
        [("7", Some(7)), ("999999999", Some(3600)), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None)]
    {
        let error = answered(429, &[("retry-after", text)], "").await.unwrap_err();
        assert_eq!(error.refusal().retry(), wait.map(Duration::from_secs), "{text}");
    }
}

#[tokio::test]
async fn nothing_of_an_error_body_is_repeated_but_a_plain_code() {
    for body in
        [r#"{"error":"Secret Value 123"}"#, r#"{"error":7}"#, "<html>secret</html>", r#"{"error":""}"#]
    {
        let error = answered(401, &[], body).await.unwrap_err();
        assert_eq!(error.answer(), Some("http_401"), "{body}");
        assert!(!format!("{error:?}").to_lowercase().contains("secret"), "{error:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_not_acceptable() {
    let world = World::new().await;
    let place = format!("{}/elsewhere", world.provider.issuer());
    world.provider.answer("/token", 307, &[("location", &place)], "");
    assert_eq!(code(world.ask(&world.spec(|_| {})).await), Code::ProviderMalformed);
    assert!(world.provider.asked("/elsewhere").is_empty());
}

#[tokio::test]
async fn answers_that_make_no_sense_are_refused() {
    let huge = format!(r#"{{"access_token":"{}","token_type":"Bearer"}}"#, "x".repeat(40_000));
    let larger = "x".repeat(200_000);
    for body in [
        "",
        "[]",
        "null",
        "token=x",
        r#"{"token_type":"Bearer"}"#,
        r#"{"access_token":null,"token_type":"Bearer"}"#,
        r#"{"access_token":"","token_type":"Bearer"}"#,
        r#"{"access_token":7,"token_type":"Bearer"}"#,
        r#"{"access_token":"a\nb","token_type":"Bearer"}"#,
        r#"{"access_token":"t"}"#,
        r#"{"access_token":"t","token_type":"DPoP"}"#,
        r#"{"access_token":"t","token_type":"N_A"}"#,
        r#"{"access_token":"t","token_type":7}"#,
        r#"{"access_token":"t","token_type":"Bearer","expires_in":0}"#,
        r#"{"access_token":"t","token_type":"Bearer","expires_in":-5}"#,
        r#"{"access_token":"t","token_type":"Bearer","expires_in":1.5}"#,
        r#"{"access_token":"t","token_type":"Bearer","expires_in":"soon"}"#,
        r#"{"access_token":"t","token_type":"Bearer","scope":["a"]}"#,
        r#"{"access_token":"t","token_type":"Bearer","refresh_token":{}}"#,
        huge.as_str(),
        larger.as_str(),
    ] {
        let shown: String = body.chars().take(80).collect();
        assert_eq!(code(answered(200, &[], body).await), Code::ProviderMalformed, "{shown}");
    }
    assert_eq!(code(answered(204, &[], "").await), Code::ProviderMalformed);
}

#[tokio::test]
async fn lifetimes_have_a_default_and_a_ceiling() {
    for (member, seconds) in [("", 300), (r#","expires_in":60"#, 60), (r#","expires_in":99999999"#, 86_400)] {
        let body = format!(r#"{{"access_token":"t","token_type":"bearer"{member}}}"#);
        let tokens = answered(200, &[], &body).await.unwrap();
        assert_eq!(tokens.lifetime, Duration::from_secs(seconds));
    }
}

#[tokio::test]
async fn granted_scopes_are_those_asked_for_unless_the_answer_says_otherwise() {
    let tokens = answered(200, &[], r#"{"access_token":"t","token_type":"Bearer"}"#).await.unwrap();
    assert_eq!(tokens.scopes, ["a", "b"]);
    let narrow = r#"{"access_token":"t","token_type":"Bearer","scope":"b  c b"}"#;
    let tokens = answered(200, &[], narrow).await.unwrap();
    assert_eq!(tokens.scopes, ["b", "c"]);
    assert!(tokens.covers(&["c"]) && !tokens.covers(&["a", "b"]));
}

#[tokio::test]
async fn an_exchange_must_say_what_it_issued() {
    let world = World::new().await;
    let spec = world.spec(|_| {});
    let ask = |issued| world.client.ask(&spec, Form::grant("x"), &[], issued);
    world.provider.answer("/token", 200, &[], r#"{"access_token":"t","token_type":"Bearer"}"#);
    assert_eq!(code(ask(Issued::ExchangedToken).await), Code::ProviderMalformed);
    assert_eq!(code(ask(Issued::IdentityAssertion).await), Code::ProviderMalformed);
    let jag = json!({"access_token": "t", "token_type": "N_A", "issued_token_type": ID_JAG});
    world.provider.answer("/token", 200, &[], &jag.to_string());
    assert_eq!(code(ask(Issued::ExchangedToken).await), Code::ProviderMalformed);
    assert!(ask(Issued::IdentityAssertion).await.is_ok());
}

#[tokio::test]
async fn a_provider_that_is_gone_is_unavailable() {
    let world = World::new().await;
    let spec = world.spec(|_| {});
    world.ask(&spec).await.unwrap();
    let World { provider, client, .. } = world;
    drop(provider);
    let form = Form::grant("client_credentials");
    assert_eq!(code(client.ask(&spec, form, &[], Issued::AccessToken).await), Code::ProviderUnavailable);
}

#[tokio::test]
async fn a_provider_that_says_nothing_is_unavailable() {
    let mut world = World::new().await;
    world.client.settings.timeout = Duration::from_millis(100);
    let spec = world.spec(|_| {});
    world.client.metadata(&spec).await.unwrap();
    world.provider.hold();
    assert_eq!(code(world.ask(&spec).await), Code::ProviderUnavailable);
}
