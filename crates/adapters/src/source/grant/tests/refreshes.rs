//! Refreshes that go well, and trouble that passes.

use super::*;

#[tokio::test]
async fn a_token_serves_until_a_minute_before_its_end_and_is_renewed_behind_the_calls() {
    let world = World::new().await;
    let grants = world.replica();
    let grant = world.granted(&grants, Some("r-1")).await;
    world.answers("second", "r-2");
    assert_eq!(world.token(&grants, &grant).await.unwrap(), "first");
    world.pass(239);
    assert_eq!(world.token(&grants, &grant).await.unwrap(), "first");
    assert_eq!(world.refreshes(), [""; 0]);
    world.pass(1);
    // It is due and still holds: this call does not wait.
    assert_eq!(world.token(&grants, &grant).await.unwrap(), "first");
    let begun = tokio::time::Instant::now();
    while world.token(&grants, &grant).await.unwrap() != "second" {
        assert!(begun.elapsed() < Duration::from_secs(10), "the renewal arrives");
        tokio::task::yield_now().await;
    }
    assert_eq!(world.refreshes(), ["r-1"]);
    let stored = world.stored(&grant).unwrap();
    assert_eq!((&stored["access_token"], &stored["refresh_token"]), (&json!("second"), &json!("r-2")));
    assert_eq!(
        stored["scopes"],
        json!(["notes.read"]),
        "an answer that says nothing about scopes changes none"
    );
    assert_eq!(world.kinds(), [EventKind::CredentialRequested, EventKind::GrantRefreshed]);
    assert_eq!(world.mark(&grant).await, None);
    let asked = world.provider.asked("/token");
    assert_eq!(asked[0].parameter("resource"), Some("https://notes.internal"));
    assert_eq!(asked[0].parameter("scope"), None, "what was granted is not narrowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_on_two_replicas_cause_one_refresh() {
    let world = Arc::new(World::new().await);
    let replicas = [world.replica(), world.replica()];
    let grant = world.granted(&replicas[0], Some("r-1")).await;
    world.answers("second", "r-2");
    world.pass(301);
    let tasks: Vec<_> = (0..64)
        .map(|number| {
            let (world, grant, grants) = (world.clone(), grant.clone(), replicas[number % 2].clone());
            tokio::spawn(async move { world.token(&grants, &grant).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), "second");
    }
    assert_eq!(world.refreshes(), ["r-1"]);
}

#[tokio::test]
async fn a_refresh_token_is_used_once_and_an_answer_without_one_keeps_it() {
    let world = World::new().await;
    let grants = world.replica();
    let grant = world.granted(&grants, Some("r-1")).await;
    world.answers("second", "r-2");
    world.pass(301);
    world.token(&grants, &grant).await.unwrap();
    world.provider.answer(
        "/token",
        200,
        &[],
        r#"{"access_token":"third","token_type":"Bearer","expires_in":300}"#,
    );
    world.pass(301);
    assert_eq!(world.token(&grants, &grant).await.unwrap(), "third");
    world.pass(301);
    world.token(&grants, &grant).await.unwrap();
    assert_eq!(world.refreshes(), ["r-1", "r-2", "r-2"]);
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_no_refresh_with_it() {
    let world = World::new().await;
    let grants = world.replica();
    let grant = world.granted(&grants, Some("r-1")).await;
    world.answers("second", "r-2");
    world.pass(301);
    world.provider.hold();
    let waiting = tokio::time::timeout(Duration::from_millis(50), world.token(&grants, &grant)).await;
    assert!(waiting.is_err(), "it waits for the provider");
    world.provider.release();
    assert_eq!(world.token(&grants, &grant).await.unwrap(), "second");
    assert_eq!(world.refreshes(), ["r-1"]);
}

#[tokio::test]
async fn trouble_at_the_provider_keeps_the_grant_and_serves_the_token_while_it_holds() {
    let world = World::new().await;
    let grants = world.replica();
    let grant = world.granted(&grants, Some("r-1")).await;
    world.refuses(503, "temporarily_unavailable");
    world.pass(295);
    // It would end while it is used, so the call waits, and gets it all the same.
    assert_eq!(world.token(&grants, &grant).await.unwrap(), "first");
    assert_eq!(world.token(&grants, &grant).await.unwrap(), "first");
    assert_eq!(world.refreshes().len(), 1, "nobody asks again at once");
    world.pass(6);
    assert_eq!(world.token(&grants, &grant).await.unwrap_err(), Code::ProviderUnavailable);
    assert_eq!(world.token(&grants, &grant).await.unwrap_err(), Code::ProviderUnavailable);
    assert_eq!(world.refreshes().len(), 2);
    assert_eq!(world.ended(&grant), None);
    let event = world.chain.0.lock().unwrap().last().unwrap().clone();
    assert_eq!(
        (event.kind, event.answer.as_deref()),
        (EventKind::CredentialIssued, Some("temporarily_unavailable"))
    );
    world.answers("second", "r-2");
    world.pass(6);
    assert_eq!(world.token(&grants, &grant).await.unwrap(), "second");
    // Our own client is refused: that is no word about the grant either.
    world.refuses(401, "invalid_client");
    world.pass(301);
    assert_eq!(world.token(&grants, &grant).await.unwrap_err(), Code::ProviderRefused);
    assert_eq!(world.ended(&grant), None);
}

#[tokio::test]
async fn tokens_that_the_store_does_not_take_are_not_used_and_not_lost() {
    let world = World::new().await;
    let grants = world.replica();
    let grant = world.granted(&grants, Some("r-1")).await;
    world.answers("second", "r-2");
    world.pass(301);
    world.provider.hold();
    let task = {
        let (grants, grant, spec) = (grants.clone(), grant.clone(), world.spec.clone());
        let event = Event::new(EventKind::GrantRefreshed, world.clock.now());
        tokio::spawn(async move { grants.access(&grant, &spec, event).await })
    };
    while world.refreshes().is_empty() {
        tokio::task::yield_now().await;
    }
    world.store.fail(Some(StoreErrorKind::Unavailable));
    world.provider.release();
    assert_eq!(code(task.await.unwrap()), Code::StoreUnavailable);
    assert_eq!(world.mark(&grant).await.as_deref(), Some("1"), "the mark tells others");
    world.store.fail(None);
    world.pass(6);
    assert_eq!(world.token(&grants, &grant).await.unwrap(), "second");
    assert_eq!(world.refreshes(), ["r-1"], "stored without asking again");
    assert_eq!(world.mark(&grant).await, None);
}

#[tokio::test]
async fn nothing_is_asked_where_evidence_cannot_be_written() {
    let world = World::new().await;
    let grants = world.replica();
    let grant = world.granted(&grants, Some("r-1")).await;
    world.pass(301);
    world.chain.1.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(world.token(&grants, &grant).await.unwrap_err(), Code::AuditUnavailable);
    assert_eq!(world.refreshes(), [""; 0]);
}

#[tokio::test]
async fn nothing_is_asked_without_the_lock_that_all_share() {
    let world = World::new().await;
    let grants = world.replica();
    let grant = world.granted(&grants, Some("r-1")).await;
    world.answers("second", "r-2");
    world.pass(290);
    let foreign = Ticket {
        kind: TicketKind::RefreshLock,
        key: grant.id.clone(),
        content: "another gateway".to_owned(),
        expires_at: world.clock.now().plus(Duration::from_secs(75)),
    };
    world.state.insert(&foreign, world.clock.now()).await.unwrap();
    assert_eq!(world.token(&grants, &grant).await.unwrap(), "first", "somebody else renews it");
    assert_eq!(world.refreshes(), [""; 0]);
    world.state.set_down(true);
    world.pass(1);
    let other = world.replica();
    assert_eq!(world.token(&other, &grant).await.unwrap_err(), Code::StateStale);
    world.state.set_down(false);
    // Whoever held the lock died before it asked.
    world.pass(75);
    assert_eq!(world.token(&other, &grant).await.unwrap(), "second");
}

#[tokio::test]
async fn a_token_that_the_upstream_refuses_is_renewed_once_a_minute() {
    let world = World::new().await;
    let grants = world.replica();
    let grant = world.granted(&grants, Some("r-1")).await;
    world.answers("second", "r-2");
    let event = || Event::new(EventKind::GrantRefreshed, world.clock.now());
    let first = grants.access(&grant, &world.spec, event()).await.unwrap();
    world.pass(1);
    assert!(grants.refused(&first.version, world.clock.now()));
    world.pass(1);
    let second = grants.access(&grant, &world.spec, event()).await.unwrap();
    assert_eq!(text(&second), "second");
    assert_ne!(first.version, second.version);
    assert!(!grants.refused(&second.version, world.clock.now()), "not for every refusal");
    assert!(!grants.refused(&first.version, world.clock.now()), "not in use any more");
    assert_eq!(world.refreshes(), ["r-1"]);
}
