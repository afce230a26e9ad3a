use gateway_core::ports::{Revocations as _, TakesBack as _};
use gateway_core::revocation::{Return, ReturnState, Way};

use super::*;

fn main_binding() -> (EnvironmentName, BindingName) {
    ("dev".parse().unwrap(), "main".parse().unwrap())
}

fn answers(world: &World) -> Vec<(String, u64)> {
    let returned = world.chain.of(EventKind::CredentialReturned);
    returned.iter().map(|event| (event.answer.clone().unwrap(), event.count.unwrap())).collect()
}

#[tokio::test]
async fn the_end_of_a_binding_gives_its_tokens_back_and_says_what_the_provider_answered() {
    let world = World::new("user_delegated", exchange()).await;
    for (who, token) in [("alice", "one"), ("bob", "two")] {
        world.issue("read_it", user(who), Some(token)).await.unwrap();
    }
    let (environment, binding) = main_binding();
    assert_eq!(world.sources.end_binding(&environment, &binding).await, 2);
    let given_back = world.provider.asked("/revoke");
    let mut tokens: Vec<_> = given_back.iter().map(|asked| asked.parameter("token").unwrap()).collect();
    tokens.sort_unstable();
    assert_eq!(tokens, ["token-1", "token-2"]);
    assert_eq!(answers(&world), [("revoked".to_owned(), 2)]);
    let returned = &world.chain.of(EventKind::CredentialReturned)[0];
    assert_eq!(returned.binding.as_ref().unwrap().to_string(), "main@1");
    assert_eq!(returned.source.as_deref(), Some("token_exchange"));
    assert_eq!(world.sources.end_binding(&environment, &binding).await, 0);
}

#[tokio::test]
async fn a_provider_that_refuses_or_is_down_is_named_and_holds_nobody_up() {
    for (status, body, answer) in
        [(400, r#"{"error":"unsupported_token_type"}"#, "unsupported_token_type"), (503, "", "http_503")]
    {
        let world = World::new("service_account", own()).await;
        world.issue("read_it", agent("bot"), None).await.unwrap();
        world.provider.answer("/revoke", status, &[], body);
        let (environment, binding) = main_binding();
        assert_eq!(world.sources.end_binding(&environment, &binding).await, 1);
        assert_eq!(answers(&world), [(answer.to_owned(), 1)]);
    }
}

#[tokio::test]
async fn a_provider_that_does_not_answer_at_all_holds_nobody_up_beyond_the_deadline() {
    let world = World::new("service_account", own()).await;
    world.issue("read_it", agent("bot"), None).await.unwrap();
    world.provider.hold();
    let begun = tokio::time::Instant::now();
    let (environment, binding) = main_binding();
    assert_eq!(world.sources.end_binding(&environment, &binding).await, 1);
    assert!(begun.elapsed() < Duration::from_secs(8));
    assert_eq!(answers(&world), [("unavailable".to_owned(), 1)]);
}

#[tokio::test]
async fn what_was_asked_for_before_the_end_is_never_used_and_given_back() {
    let world = World::new("service_account", own()).await;
    // Known beforehand, so that only the token endpoint waits.
    let spec = Arc::clone(&world.call("read_it", agent("bot"), None).permit.binding().providers[0]);
    world.sources.providers().metadata(&spec).await.unwrap();
    world.provider.hold();
    let call = world.call("read_it", agent("bot"), None);
    let (sources, wish) = (Arc::clone(&world.sources), call.wish());
    let issuing = sources.issue(&wish);
    let ending = async {
        let asked = || world.provider.asked("/token").len() == 1;
        let waited = tokio::time::timeout(Duration::from_secs(10), async {
            while !asked() {
                tokio::task::yield_now().await;
            }
        });
        waited.await.unwrap();
        let (environment, binding) = main_binding();
        assert_eq!(world.sources.end_binding(&environment, &binding).await, 0);
        world.provider.release();
    };
    let (outcome, ()) = tokio::join!(issuing, ending);
    assert_eq!(outcome.unwrap_err().code(), Code::BindingEnded);
    let waited = tokio::time::timeout(Duration::from_secs(10), async {
        while world.chain.of(EventKind::CredentialReturned).is_empty() {
            tokio::task::yield_now().await;
        }
    });
    waited.await.unwrap();
    assert_eq!(world.provider.asked("/revoke")[0].parameter("token"), Some("token-1"));
    assert_eq!(answers(&world), [("revoked".to_owned(), 1)]);
}

#[tokio::test]
async fn a_decision_from_before_the_end_gets_nothing_and_one_from_after_it_does() {
    let mut world = World::new("service_account", own()).await;
    world.issue("read_it", agent("bot"), None).await.unwrap();
    let (environment, binding) = main_binding();
    world.sources.end_binding(&environment, &binding).await;
    assert_eq!(world.issue("read_it", agent("bot"), None).await.unwrap_err(), Code::BindingEnded);
    assert_eq!(world.provider.asked("/token").len(), 1);
    world.snapshot = snapshot(3, &world.provider, &world.enterprise, "service_account", &own());
    assert_eq!(world.issue("read_it", agent("bot"), None).await.unwrap(), "token-2");
}

#[tokio::test]
async fn the_end_of_an_agent_ends_what_was_asked_for_it_alone() {
    let source = json!({"jwt_bearer": {"token": {"provider": "notes"}, "subject": "agent"}});
    let world = World::new("agent_scoped", source).await;
    world.issue("read_it", agent("bot"), None).await.unwrap();
    world.issue("read_it", agent("other"), None).await.unwrap();
    assert_eq!(world.sources.end_agent(&"bot".parse().unwrap()).await, 1);
    assert_eq!(world.provider.asked("/revoke")[0].parameter("token"), Some("token-1"));
    world.issue("read_it", agent("other"), None).await.unwrap();
    assert_eq!(world.provider.asked("/token").len(), 2);
}

/// What was filed, and the tokens that wait for their provider.
async fn owed(world: &World) -> (Vec<Return>, Vec<String>) {
    let waiting = world.store.paths().into_iter().filter(|path| path.starts_with("tokens/")).collect();
    (world.records.unassigned().await.unwrap(), waiting)
}

#[tokio::test]
async fn a_token_that_a_silent_provider_did_not_take_back_outlives_the_process_and_is_taken_back_later() {
    let world = World::new("service_account", own()).await;
    world.issue("read_it", agent("bot"), None).await.unwrap();
    world.provider.answer("/revoke", 503, &[], "");
    let (environment, binding) = main_binding();
    world.sources.end_binding(&environment, &binding).await;
    let (filed, waiting) = owed(&world).await;
    assert_eq!((filed.len(), waiting.len()), (1, 1));
    let one = &filed[0];
    assert_eq!((one.state, one.party.as_str(), one.tries), (ReturnState::Unanswered, "provider notes", 1));
    assert!(one.due_at.is_some() && one.expires_at.is_some());
    let record = serde_json::to_string(one).unwrap();
    assert!(
        !record.contains("token-1"),
        "the record says where the token waits, and never the token: {record}"
    );
    // Another process finds the record, and with it the token.
    assert_eq!(world.sources.take_back(one).await.state, ReturnState::Unanswered);
    world.provider.answer("/revoke", 200, &[], "");
    let attempt = world.sources.take_back(one).await;
    assert_eq!((attempt.state, attempt.answer.as_str()), (ReturnState::Ended, "revoked"));
    assert_eq!(world.provider.asked("/revoke").last().unwrap().parameter("token"), Some("token-1"));
    assert!(owed(&world).await.1.is_empty(), "it waits no longer");
    let again = world.sources.take_back(one).await;
    assert_eq!((again.state, again.answer.as_str()), (ReturnState::Irrevocable, "secret.missing"));
}

#[tokio::test]
async fn a_token_without_a_place_to_wait_in_is_irrevocable_until_it_expires() {
    let world = World::new("service_account", own()).await;
    world.issue("read_it", agent("bot"), None).await.unwrap();
    world.provider.answer("/revoke", 503, &[], "");
    world.store.fail(Some(gateway_core::ports::StoreErrorKind::Unavailable));
    let (environment, binding) = main_binding();
    world.sources.end_binding(&environment, &binding).await;
    world.store.fail(None);
    let (filed, waiting) = owed(&world).await;
    assert!(waiting.is_empty());
    assert_eq!((filed[0].state, filed[0].way.clone()), (ReturnState::Irrevocable, Way::Nobody));
    assert_eq!(filed[0].due_at, filed[0].expires_at, "looked at again when it is over by itself");
}

#[tokio::test]
async fn what_a_provider_takes_back_or_cannot_is_filed_in_sum() {
    for (revocation, state) in [(true, ReturnState::Ended), (false, ReturnState::Irrevocable)] {
        let world = World::new("user_delegated", exchange()).await;
        for (who, token) in [("alice", "one"), ("bob", "two")] {
            world.issue("read_it", user(who), Some(token)).await.unwrap();
        }
        if !revocation {
            world.provider.answer("/revoke", 400, &[], r#"{"error":"unsupported_token_type"}"#);
        }
        let (environment, binding) = main_binding();
        world.sources.end_binding(&environment, &binding).await;
        let (filed, waiting) = owed(&world).await;
        if revocation {
            assert_eq!((filed.len(), filed[0].count, filed[0].state), (1, 2, state));
            assert!(waiting.is_empty());
        } else {
            assert_eq!((filed.len(), waiting.len()), (2, 2), "a refusal is asked about again");
            assert!(filed.iter().all(|one| one.state == ReturnState::Refused && one.asks()));
        }
    }
}
