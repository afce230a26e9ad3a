use super::*;

#[tokio::test]
async fn asks_the_places_in_the_order_of_the_standards() {
    let world = World::new().await;
    let spec = world.spec(|spec| spec["issuer"] = format!("{}/realm", world.provider.issuer()).into());
    assert_eq!(code(world.client.metadata(&spec).await), Code::ProviderMalformed);
    let places = [
        "/.well-known/oauth-authorization-server/realm",
        "/.well-known/openid-configuration/realm",
        "/realm/.well-known/openid-configuration",
    ];
    for place in places {
        assert_eq!(world.provider.asked(place).len(), 1, "{place}");
        let mut document = world.provider.metadata();
        document["issuer"] = spec.issuer.clone().into();
        world.provider.answer(place, 200, &[], &document.to_string());
        world.clock.advance(Duration::from_secs(3600));
        assert_eq!(world.client.metadata(&spec).await.unwrap().issuer, spec.issuer);
        world.provider.heal(place);
    }
    assert!(world.provider.asked(METADATA).is_empty());
}

#[tokio::test]
async fn metadata_serves_until_its_time_is_over_and_then_the_outage_shows() {
    let world = World::new().await;
    let spec = world.spec(|_| {});
    world.client.metadata(&spec).await.unwrap();
    world.provider.answer(METADATA, 503, &[], "");
    world.clock.advance(Duration::from_secs(599));
    world.client.metadata(&spec).await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(code(world.client.metadata(&spec).await), Code::ProviderUnavailable);
    assert_eq!(code(world.client.metadata(&spec).await), Code::ProviderUnavailable);
    assert_eq!(world.provider.asked(METADATA).len(), 2, "the failure serves a moment");
    world.provider.heal(METADATA);
    world.clock.advance(Duration::from_secs(1));
    world.client.metadata(&spec).await.unwrap();
}

#[tokio::test]
async fn many_who_come_at_once_fetch_metadata_once() {
    let world = World::new().await;
    let spec = world.spec(|_| {});
    let all = futures::future::join_all((0..100).map(|_| world.client.metadata(&spec))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(world.provider.asked(METADATA).len(), 1);
}

#[tokio::test]
async fn metadata_that_is_malformed_or_leads_elsewhere_is_refused() {
    let changes: [(&str, Value); 14] = [
        ("issuer", json!("http://127.0.0.1:1")),
        ("issuer", json!(null)),
        ("token_endpoint", json!(null)),
        ("token_endpoint", json!("nowhere")),
        ("token_endpoint", json!("http://127.0.0.1:1/token")),
        ("token_endpoint", json!("https://evil.example/token")),
        ("token_endpoint", json!("http://evil.example/token")),
        ("token_endpoint", json!("ftp://127.0.0.1/token")),
        ("authorization_endpoint", json!("https://evil.example/authorize")),
        ("revocation_endpoint", json!("https://evil.example/revoke")),
        ("mtls_endpoint_aliases", json!({"token_endpoint": "https://evil.example/token"})),
        ("mtls_endpoint_aliases", json!([])),
        ("code_challenge_methods_supported", json!("S256")),
        ("authorization_response_iss_parameter_supported", json!("yes")),
    ];
    for (member, value) in changes {
        let world = World::new().await;
        let mut document = world.provider.metadata();
        document[member] = value.clone();
        world.provider.answer(METADATA, 200, &[], &document.to_string());
        let outcome = world.ask(&world.spec(|_| {})).await;
        assert_eq!(code(outcome), Code::ProviderMalformed, "{member} {value}");
        assert!(world.provider.asked("/token").is_empty());
    }
    for body in ["", "<html>", "[]", "{}"] {
        let world = World::new().await;
        world.provider.answer(METADATA, 200, &[], body);
        assert_eq!(code(world.client.metadata(&world.spec(|_| {})).await), Code::ProviderMalformed, "{body}");
    }
}

#[tokio::test]
async fn a_user_or_a_fragment_in_an_endpoint_is_refused() {
    let world = World::new().await;
    for (prefix, suffix) in [("user@", ""), ("", "#x")] {
        let token =
            world.provider.issuer().replace("http://", &format!("http://{prefix}")) + "/token" + suffix;
        let spec = world.spec(|spec| spec["endpoints"] = json!({"token": token}));
        assert_eq!(code(world.client.metadata(&spec).await), Code::ProviderMalformed, "{token}");
    }
}

#[tokio::test]
async fn an_approved_origin_is_another_place_for_endpoints() {
    let (world, other) = (World::new().await, FakeProvider::start().await);
    let mut document = world.provider.metadata();
    document["token_endpoint"] = format!("{}/token", other.issuer()).into();
    world.provider.answer(METADATA, 200, &[], &document.to_string());
    assert_eq!(code(world.ask(&world.spec(|_| {})).await), Code::ProviderMalformed);
    world.ask(&world.spec(|spec| spec["origins"] = json!([other.issuer()]))).await.unwrap();
    assert_eq!(other.asked("/token").len(), 1);
}

#[tokio::test]
async fn endpoints_written_out_are_asked_without_metadata_and_judged_alike() {
    let world = World::new().await;
    let token = format!("{}/token", world.provider.issuer());
    world.ask(&world.spec(|spec| spec["endpoints"] = json!({"token": token}))).await.unwrap();
    assert!(world.provider.asked(METADATA).is_empty());
    let away = world.spec(|spec| spec["endpoints"] = json!({"token": "https://evil.example/token"}));
    assert_eq!(code(world.ask(&away).await), Code::ProviderMalformed);
}

#[tokio::test]
async fn an_address_that_the_specification_does_not_name_is_not_connected_to() {
    let world = World::new().await;
    let spec = world.spec(|spec| spec["addresses"] = json!(["private"]));
    let error = world.client.metadata(&spec).await.unwrap_err();
    assert_eq!(error.refusal().code(), Code::ProviderMalformed);
    assert!(error.refusal().inside().unwrap().contains("loopback"), "{error:?}");
    let by_name = world.provider.issuer().replace("127.0.0.1", "localhost");
    let spec = world.spec(|spec| {
        spec["issuer"] = by_name.into();
        spec["addresses"] = json!([]);
    });
    let error = world.client.metadata(&spec).await.unwrap_err();
    assert_eq!(error.refusal().code(), Code::ProviderMalformed);
    assert!(error.refusal().inside().unwrap().contains("loopback"), "{error:?}");
    assert!(world.provider.asked(METADATA).is_empty());
}
