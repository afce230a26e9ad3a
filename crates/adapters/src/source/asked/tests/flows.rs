use super::*;

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn client_credentials_ask_for_what_the_tool_needs() {
    let world = World::new("service_account", own()).await;
    assert_eq!(world.issue("read_it", agent("bot"), None).await.unwrap(), "token-1");
    assert_eq!(world.issue("write_it", agent("bot"), None).await.unwrap(), "token-2");
    assert_eq!(world.issue("read_it", agent("other"), None).await.unwrap(), "token-1");
    let asked = world.provider.asked("/token");
    let scopes: Vec<_> = asked.iter().map(|asked| asked.parameter("scope").unwrap()).collect();
    assert_eq!(scopes, ["notes.read", "notes.read notes.write"]);
    assert!(asked.iter().all(|asked| asked.parameter("grant_type") == Some("client_credentials")));
    assert!(asked.iter().all(|asked| asked.parameter("resource") == Some("https://notes.example")));
    assert!(asked.iter().all(|asked| asked.parameter("subject_token").is_none()));
}

#[tokio::test]
async fn an_exchange_presents_the_callers_own_token_and_narrows_the_new_one() {
    let world = World::new("user_delegated", exchange()).await;
    world.issue("write_it", user("alice"), Some("alices token")).await.unwrap();
    let asked = &world.provider.asked("/token")[0];
    for (name, value) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", "alices token"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("audience", "notes"),
        ("scope", "notes.read notes.write"),
    ] {
        assert_eq!(asked.parameter(name), Some(value), "{name}");
    }
    assert_eq!(asked.parameter("actor_token"), None);
}

#[tokio::test]
async fn an_exchange_without_the_callers_token_is_refused_before_anything_is_asked() {
    for (source, mode) in [
        (exchange(), "user_delegated"),
        (
            json!({"identity_assertion": {"token": {"provider": "notes"}, "identity_provider": "enterprise"}}),
            "user_delegated",
        ),
    ] {
        let world = World::new(mode, source).await;
        let outcome = world.issue("read_it", user("alice"), None).await;
        assert_eq!(outcome.unwrap_err(), Code::SubjectTokenMissing);
        assert!(world.provider.asked("/token").is_empty() && world.enterprise.asked("/token").is_empty());
        assert!(world.chain.of(EventKind::CredentialRequested).is_empty());
    }
}

#[tokio::test]
async fn the_acting_agent_is_named_by_a_token_of_the_gateways_own() {
    let source = json!({"token_exchange": {"token": {"provider": "notes"}, "actor_token": true}});
    let world = World::new("user_delegated", source).await;
    let both = Actor { agent: Some("bot".parse().unwrap()), ..user("alice") };
    world.issue("read_it", both, Some("alices token")).await.unwrap();
    let asked = &world.provider.asked("/token")[0];
    assert_eq!(asked.parameter("actor_token_type"), Some("urn:ietf:params:oauth:token-type:jwt"));
    let said = claims(asked.parameter("actor_token").unwrap());
    assert_eq!((&said["iss"], &said["sub"]), (&json!("http://127.0.0.1:8080"), &json!("bot")));
    assert_eq!(said["aud"], world.provider.issuer());
    assert_eq!(said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(), 60);
    // Nobody acts: nothing is sent as if somebody did.
    let refused = world.issue("read_it", user("alice"), Some("another token")).await;
    assert_eq!(refused.unwrap_err(), Code::SubjectTokenMissing);
    assert_eq!(world.provider.asked("/token").len(), 1);
}

#[tokio::test]
async fn an_assertion_speaks_of_whom_the_binding_names() {
    let workload = Actor { workload: Some("builder".parse().unwrap()), ..Actor::default() };
    for (subject, mode, actor, expected) in [
        ("client", "service_account", agent("bot"), "gateway"),
        ("user", "user_delegated", user("alice"), "alice"),
        ("agent", "agent_scoped", agent("bot"), "bot"),
        ("workload", "workload_identity", workload, "builder"),
    ] {
        let issuer = if subject == "user" { json!("https://idp") } else { json!(null) };
        let token = json!({"provider": "notes", "scopes": ["a"]});
        let source = json!({"jwt_bearer": {"token": token, "subject": subject, "user_issuer": issuer}});
        let world = World::new(mode, source).await;
        world.issue("read_it", actor, None).await.unwrap();
        let asked = &world.provider.asked("/token")[0];
        assert_eq!(asked.parameter("grant_type"), Some("urn:ietf:params:oauth:grant-type:jwt-bearer"));
        assert_eq!(asked.parameter("scope"), Some("a"));
        let said = claims(asked.parameter("assertion").unwrap());
        assert_eq!((&said["iss"], &said["sub"]), (&json!("gateway"), &json!(expected)));
        assert_eq!(said["aud"], world.provider.issuer());
        let authenticated = claims(asked.parameter("client_assertion").unwrap());
        assert_ne!(said["jti"], authenticated["jti"], "each is used once");
        if subject != "client" {
            let nobody = world.issue("read_it", Actor::default(), None).await;
            assert_eq!(nobody.unwrap_err(), Code::SubjectTokenMissing);
        }
    }
}

#[tokio::test]
async fn the_same_subject_of_another_issuer_is_nobody_the_provider_knows() {
    let token = json!({"provider": "notes", "scopes": ["a"]});
    let source = json!({"jwt_bearer": {"token": token, "subject": "user", "user_issuer": "https://other"}});
    let world = World::new("user_delegated", source).await;
    let refused = world.issue("read_it", user("alice"), None).await;
    assert_eq!(refused.unwrap_err(), Code::SubjectTokenMissing);
    assert_eq!(world.provider.asked("/token").len(), 0, "nothing was asked in the other's name");
}

#[tokio::test]
async fn an_identity_assertion_is_got_from_the_enterprise_and_redeemed_at_the_servers_own() {
    let source = json!({"identity_assertion": {
        "token": {"provider": "notes", "scopes": ["a"], "resource": "https://notes.example"},
        "identity_provider": "enterprise"
    }});
    let world = World::new("user_delegated", source).await;
    let jag = json!({"access_token": "the-assertion", "token_type": "N_A",
        "issued_token_type": "urn:ietf:params:oauth:token-type:id-jag", "expires_in": 300});
    world.enterprise.answer("/token", 200, &[], &jag.to_string());
    world.issue("read_it", user("alice"), Some("alices token")).await.unwrap();
    let first = &world.enterprise.asked("/token")[0];
    for (name, value) in [
        ("requested_token_type", "urn:ietf:params:oauth:token-type:id-jag"),
        ("subject_token", "alices token"),
        ("audience", world.provider.issuer()),
        ("resource", "https://notes.example"),
        ("scope", "a"),
    ] {
        assert_eq!(first.parameter(name), Some(value), "{name}");
    }
    let second = &world.provider.asked("/token")[0];
    assert_eq!(second.parameter("assertion"), Some("the-assertion"));
    assert!(second.form.iter().all(|(_, value)| value != "alices token"), "only the enterprise sees it");
    let asked: Vec<String> = world
        .chain
        .of(EventKind::CredentialRequested)
        .iter()
        .map(|event| event.provider.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(asked, ["enterprise", "notes"]);
}

#[tokio::test]
async fn fewer_scopes_than_asked_for_are_a_refusal() {
    let world = World::new("service_account", own()).await;
    let narrow = json!({"access_token": "t", "token_type": "Bearer", "scope": "notes.read"});
    world.provider.answer("/token", 200, &[], &narrow.to_string());
    assert_eq!(world.issue("write_it", agent("bot"), None).await.unwrap_err(), Code::ProviderRefused);
    let said = &world.chain.of(EventKind::CredentialIssued)[0];
    assert_eq!(said.answer.as_deref(), Some("scope_reduced"));
    assert_eq!(said.reason.as_deref(), Some("provider.refused"));
}

#[tokio::test]
async fn evidence_says_who_asked_whom_for_what_and_what_came_of_it() {
    let world = World::new("user_delegated", exchange()).await;
    world.issue("write_it", user("alice"), Some("alices token")).await.unwrap();
    world.provider.answer("/token", 400, &[], r#"{"error":"invalid_grant"}"#);
    world.issue("write_it", user("alice"), Some("a revoked token")).await.unwrap_err();
    let requested = &world.chain.of(EventKind::CredentialRequested)[0];
    assert_eq!(requested.user.as_deref(), Some(PERSON));
    assert_eq!(requested.source.as_deref(), Some("token_exchange"));
    assert_eq!(requested.provider.as_ref().unwrap().as_str(), "notes");
    assert_eq!(requested.binding.as_ref().unwrap().to_string(), "main@1");
    assert_eq!(requested.scopes, ["notes.read", "notes.write"]);
    let issued = world.chain.of(EventKind::CredentialIssued);
    assert_eq!(issued[0].scopes, ["notes.read", "notes.write"]);
    assert!(issued[0].secret_version.is_some());
    assert_eq!(issued[1].answer.as_deref(), Some("invalid_grant"));
    assert_eq!(issued[1].reason.as_deref(), Some("provider.refused"));
    assert!(issued[1].secret_version.is_none());
    let all = serde_json::to_string(&*world.chain.0.lock().unwrap()).unwrap();
    assert!(!all.contains("token-1") && !all.contains("alices") && !all.contains("revoked token"), "{all}");
}

#[tokio::test]
async fn nothing_is_asked_that_cannot_be_recorded() {
    let world = World::new("service_account", own()).await;
    world.chain.1.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(world.issue("read_it", agent("bot"), None).await.unwrap_err(), Code::AuditUnavailable);
    assert!(world.provider.asked("/token").is_empty());
    world.chain.1.store(false, std::sync::atomic::Ordering::SeqCst);
    world.issue("read_it", agent("bot"), None).await.unwrap();
}
