use super::*;

#[tokio::test]
async fn a_thousand_callers_at_once_cause_one_request() {
    let world = World::new("service_account", own()).await;
    world.provider.hold();
    let calls: Vec<Call> = (0..1_000).map(|_| world.call("read_it", agent("bot"), None)).collect();
    let wishes: Vec<_> = calls.iter().map(Call::wish).collect();
    let all = futures::future::join_all(wishes.iter().map(|wish| world.sources.issue(wish)));
    let release = async {
        world.provider.release();
    };
    let (all, ()) = tokio::join!(all, release);
    let values: std::collections::BTreeSet<String> =
        all.into_iter().map(|version| text(&version.unwrap().secret)).collect();
    assert_eq!(values.len(), 1);
    assert_eq!(world.provider.asked("/token").len(), 1);
    assert_eq!(world.chain.of(EventKind::CredentialRequested).len(), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_fails_nobody_else() {
    let world = World::new("service_account", own()).await;
    world.provider.hold();
    let (first, second) =
        (world.call("read_it", agent("bot"), None), world.call("read_it", agent("bot"), None));
    let (one, two) = (first.wish(), second.wish());
    let mut gone = Box::pin(world.sources.issue(&one));
    let polled = futures::poll!(&mut gone);
    assert!(polled.is_pending());
    drop(gone);
    world.provider.release();
    world.sources.issue(&two).await.unwrap();
    assert_eq!(world.provider.asked("/token").len(), 1);
}

#[tokio::test]
async fn a_token_is_replaced_ahead_of_its_end_and_never_served_beyond_it() {
    for (lifetime, serves) in [(600, 570), (100, 90)] {
        let world = World::new("service_account", own()).await;
        let body = json!({"access_token": "t", "token_type": "Bearer", "expires_in": lifetime});
        world.provider.answer("/token", 200, &[], &body.to_string());
        let call = world.call("read_it", agent("bot"), None);
        let version = world.sources.issue(&call.wish()).await.unwrap();
        assert_eq!(version.expires_at, Some(world.clock.now().plus(Duration::from_secs(lifetime))));
        world.clock.advance(Duration::from_secs(serves - 1));
        world.issue("read_it", agent("bot"), None).await.unwrap();
        assert_eq!(world.provider.asked("/token").len(), 1);
        world.clock.advance(Duration::from_secs(1));
        world.provider.answer("/token", 503, &[], "");
        let outcome = world.issue("read_it", agent("bot"), None).await;
        assert_eq!(outcome.unwrap_err(), Code::ProviderUnavailable, "no stale token in an outage");
    }
}

#[tokio::test]
async fn another_caller_or_another_presented_token_never_gets_the_result() {
    let world = World::new("user_delegated", exchange()).await;
    let first = world.issue("read_it", user("alice"), Some("one")).await.unwrap();
    assert_eq!(world.issue("read_it", user("alice"), Some("one")).await.unwrap(), first);
    let second = world.issue("read_it", user("alice"), Some("two")).await.unwrap();
    let third = world.issue("read_it", user("bob"), Some("one")).await.unwrap();
    assert!(first != second && second != third && first != third);
    assert_eq!(world.provider.asked("/token").len(), 3);
}

#[tokio::test]
async fn refusals_serve_five_seconds_and_outages_one() {
    for (status, code, seconds) in [(400, Code::ProviderRefused, 5), (503, Code::ProviderUnavailable, 1)] {
        let world = World::new("service_account", own()).await;
        world.provider.answer("/token", status, &[], r#"{"error":"invalid_scope"}"#);
        for _ in 0..3 {
            assert_eq!(world.issue("read_it", agent("bot"), None).await.unwrap_err(), code);
        }
        assert_eq!(world.provider.asked("/token").len(), 1);
        world.clock.advance(Duration::from_secs(seconds));
        world.provider.heal("/token");
        world.issue("read_it", agent("bot"), None).await.unwrap();
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_ends_what_is_remembered_of_an_outage() {
    let world = World::new("service_account", own()).await;
    world.provider.answer("/token", 503, &[], "");
    assert_eq!(world.issue("read_it", agent("bot"), None).await.unwrap_err(), Code::ProviderUnavailable);
    world.provider.heal("/token");
    world.clock.set(Timestamp::from_seconds(world.clock.now().seconds() - 7200));
    world.issue("read_it", agent("bot"), None).await.unwrap();
}

#[tokio::test]
async fn a_refused_version_is_dropped_and_worth_another_try_once() {
    let world = World::new("service_account", own()).await;
    let call = world.call("read_it", agent("bot"), None);
    let version = world.sources.issue(&call.wish()).await.unwrap().version.clone();
    assert!(world.sources.refused(&call.wish(), &version));
    assert!(!world.sources.refused(&call.wish(), &version));
    let next = world.sources.issue(&call.wish()).await.unwrap();
    assert_ne!(next.version, version);
    assert!(!world.sources.refused(&call.wish(), &version), "the next one stays");
    assert_eq!(world.provider.asked("/token").len(), 2);
}

#[tokio::test]
async fn the_memory_is_bounded_and_swept() {
    let world = World::new("user_delegated", exchange()).await;
    let body = json!({"access_token": "t", "token_type": "Bearer", "expires_in": 600,
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"});
    world.provider.answer("/token", 200, &[], &body.to_string());
    let cache = Cache::default();
    let binding = world.call("read_it", user("alice"), Some("x"));
    let permit = &binding.permit;
    let source = permit.binding().spec.source.as_ref().unwrap();
    let spec = Arc::clone(&permit.binding().providers[0]);
    let now = world.clock.now();
    for number in 0..12_000_i64 {
        let mut key = key(&binding.wish(), source, source.request().unwrap()).unwrap();
        key.caller = Some(number.to_string());
        let Ok(Seat::Loading(ticket)) = cache.seat(&key, None, Epoch(1), now) else { panic!("a new key") };
        let version = SecretVersion {
            secret: Secret::copy_from(b"t"),
            version: VersionId::new(&number.to_string()),
            created_at: None,
            expires_at: None,
            store_request_id: None,
        };
        let until = now.plus(Duration::from_secs(600));
        let held = Held {
            version: Arc::new(version),
            provider: Arc::clone(&spec),
            agent: None,
            source: "token_exchange",
            until,
        };
        assert!(cache.keep(ticket, &key, Ok(held), until).is_none());
    }
    let (environment, name) = ("dev".parse().unwrap(), "main".parse().unwrap());
    cache.sweep(now);
    let kept = cache.end_binding(&environment, &name).len();
    assert!((5_000..=10_000).contains(&kept), "{kept}");
    assert_eq!(cache.end_binding(&environment, &name).len(), 0);
}
