use super::*;

const WISH: AuthorizationWish<'_> = AuthorizationWish {
    redirect_uri: "http://127.0.0.1:8080/connect/callback",
    scopes: &["notes.read", "offline_access"],
    state: "st&te",
    challenge: "challenge",
    resource: Some("https://notes.example/mcp"),
    audience: None,
    nonce: None,
    prompt: Some("consent"),
    login_hint: None,
};

#[tokio::test]
async fn the_authorization_request_has_what_the_standards_ask_for_and_no_secret() {
    let world = World::new().await;
    let mut document = world.provider.metadata();
    document["authorization_endpoint"] = format!("{}/authorize?tenant=7", world.provider.issuer()).into();
    world.provider.answer(METADATA, 200, &[], &document.to_string());
    let request = world.client.authorization_request(&world.spec(|_| {}), &WISH).await.unwrap();
    let pairs: Vec<(String, String)> = request.url.query_pairs().into_owned().collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(
        pairs,
        [
            ("tenant", "7"),
            ("response_type", "code"),
            ("client_id", "the gateway"),
            ("redirect_uri", "http://127.0.0.1:8080/connect/callback"),
            ("state", "st&te"),
            ("code_challenge", "challenge"),
            ("code_challenge_method", "S256"),
            ("scope", "notes.read offline_access"),
            ("resource", "https://notes.example/mcp"),
            ("prompt", "consent"),
        ]
    );
    assert!(request.expects_issuer);
    assert_eq!(world.store.fetches(), 0, "no secret is fetched for it");
}

#[tokio::test]
async fn a_provider_without_s256_or_authorization_endpoint_is_refused() {
    for (member, value) in [
        ("code_challenge_methods_supported", json!(["plain"])),
        ("code_challenge_methods_supported", json!([])),
        ("authorization_endpoint", json!(null)),
    ] {
        let world = World::new().await;
        let mut document = world.provider.metadata();
        document[member] = value;
        world.provider.answer(METADATA, 200, &[], &document.to_string());
        let outcome = world.client.authorization_request(&world.spec(|_| {}), &WISH).await;
        assert_eq!(code(outcome), Code::ProviderRefused, "{member}");
    }
}

#[tokio::test]
async fn a_mixed_up_or_missing_issuer_is_refused() {
    let world = World::new().await;
    let spec = world.spec(|_| {});
    world.client.accept_issuer(&spec, Some(world.provider.issuer())).await.unwrap();
    let slash = format!("{}/", world.provider.issuer());
    for (issuer, answer) in [(Some(slash.as_str()), "issuer_mixed_up"), (None, "issuer_missing")] {
        let error = world.client.accept_issuer(&spec, issuer).await.unwrap_err();
        assert_eq!(error.refusal().code(), Code::ProviderRefused);
        assert_eq!(error.answer(), Some(answer));
    }
    let mut document = world.provider.metadata();
    document["authorization_response_iss_parameter_supported"] = json!(false);
    world.provider.answer(METADATA, 200, &[], &document.to_string());
    world.clock.advance(Duration::from_secs(3600));
    world.client.accept_issuer(&spec, None).await.unwrap();
    assert_eq!(code(world.client.accept_issuer(&spec, Some(&slash)).await), Code::ProviderRefused);
}

#[tokio::test]
async fn a_code_is_exchanged_with_its_verifier_and_a_token_refreshed() {
    let world = World::new().await;
    let spec = world.spec(|_| {});
    let key = ProofKey::new(&CountingRandom::default());
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(key.verifier().expose()));
    assert_eq!(key.challenge(), challenge);
    assert_eq!(key.verifier().len(), 43, "RFC 7636, section 4.1");
    let body = json!({"access_token": "at", "token_type": "Bearer", "refresh_token": "rt", "id_token": "id",
        "scope": "notes.read"});
    world.provider.answer("/token", 200, &[], &body.to_string());
    let one_code = Secret::copy_from(b"the code");
    let answer = CodeAnswer {
        code: &one_code,
        verifier: key.verifier(),
        redirect_uri: WISH.redirect_uri,
        scopes: WISH.scopes,
        resource: WISH.resource,
    };
    let tokens = world.client.exchange_code(&spec, &answer).await.unwrap();
    assert_eq!(tokens.access_token.expose(), b"at");
    assert_eq!(tokens.refresh_token.as_ref().unwrap().expose(), b"rt");
    assert!(tokens.id_token.is_some() && !tokens.covers(WISH.scopes));
    let refreshed = tokens.refresh_token.unwrap();
    world.client.refresh(&spec, &refreshed, &["notes.read"], WISH.resource).await.unwrap();
    let asked = world.provider.asked("/token");
    let grants: Vec<_> = asked.iter().map(|asked| asked.parameter("grant_type").unwrap()).collect();
    assert_eq!(grants, ["authorization_code", "refresh_token"]);
    assert_eq!(asked[0].parameter("code"), Some("the code"));
    assert_eq!(asked[0].parameter("code_verifier").unwrap().as_bytes(), key.verifier().expose());
    assert_eq!(asked[0].parameter("redirect_uri"), Some(WISH.redirect_uri));
    assert_eq!(asked[1].parameter("refresh_token"), Some("rt"));
    assert_eq!(asked[1].parameter("scope"), Some("notes.read"));
    assert!(asked.iter().all(|asked| asked.parameter("resource") == WISH.resource));
}

#[tokio::test]
async fn a_stale_refresh_token_ends_the_grant_and_an_outage_does_not() {
    let world = World::new().await;
    let (spec, token) = (world.spec(|_| {}), Secret::copy_from(b"rt"));
    world.provider.answer("/token", 400, &[], r#"{"error":"invalid_grant"}"#);
    let error = world.client.refresh(&spec, &token, &[], None).await.unwrap_err();
    assert!(error.ends_grant() && !error.is_transient());
    world.provider.answer("/token", 502, &[], "");
    let error = world.client.refresh(&spec, &token, &[], None).await.unwrap_err();
    assert!(!error.ends_grant() && error.is_transient());
}

#[tokio::test]
async fn revocation_says_what_the_provider_answered() {
    let world = World::new().await;
    let (spec, token) = (world.spec(|_| {}), Secret::copy_from(b"rt"));
    let revoked = world.client.revoke(&spec, &token, TokenHint::RefreshToken).await;
    assert!(revoked.is_revoked() && revoked.answer() == "revoked");
    let asked = &world.provider.asked("/revoke")[0];
    assert_eq!(asked.parameter("token"), Some("rt"));
    assert_eq!(asked.parameter("token_type_hint"), Some("refresh_token"));
    assert!(asked.headers.contains_key("authorization"));
    for (status, body, answer) in [
        (400, r#"{"error":"unsupported_token_type"}"#, "unsupported_token_type"),
        (401, "", "http_401"),
        (302, "", "http_302"),
        (503, "", "http_503"),
    ] {
        world.provider.answer("/revoke", status, &[], body);
        let revocation = world.client.revoke(&spec, &token, TokenHint::AccessToken).await;
        assert_eq!(revocation.answer(), answer);
        assert_eq!(matches!(revocation, Revocation::Unavailable(_)), status == 503);
    }
    let endpoints = json!({"token": format!("{}/token", world.provider.issuer())});
    let without = world.spec(|spec| spec["endpoints"] = endpoints);
    assert_eq!(world.client.revoke(&without, &token, TokenHint::AccessToken).await.answer(), "not_offered");
}
