use std::time::Duration;

use futures::FutureExt as _;
use gateway_core::ports::{TicketKind, Tickets as _};
use gateway_core::time::Clock as _;

use super::*;

const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

async fn keyed(office: &Office, who: &str, path: &str, key: &str, body: Value) -> Answer {
    office.with(who, "POST", path, &[("idempotency-key", key)], body).await
}

fn lock() -> Value {
    json!({"selector": {"environment": "production", "server": "github"}, "reason": "r", "seconds": 60})
}

#[tokio::test]
async fn an_act_that_is_sent_twice_is_done_once() {
    let office = Office::production().await;
    let first = keyed(&office, "alice", "/v1/locks", KEY, lock()).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let again = keyed(&office, "alice", "/v1/locks", &format!("\"{KEY}\""), lock()).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(office.state.now().locks.len(), 1);
    let other = keyed(&office, "alice", "/v1/locks", "another-key", lock()).await;
    assert_ne!(other.body["lock"]["id"], first.body["lock"]["id"]);
    let person = keyed(&office, "root", "/v1/locks", KEY, lock()).await;
    assert!(person.headers.get("idempotency-replayed").is_none(), "a key is its operator's own");
    assert_eq!(office.state.now().locks.len(), 3);
}

#[tokio::test]
async fn a_key_is_of_one_request() {
    let office = Office::production().await;
    assert_eq!(keyed(&office, "alice", "/v1/locks", KEY, lock()).await.status, 201);
    let mut other = lock();
    other["seconds"] = json!(61);
    for (path, body) in [("/v1/locks", other), ("/v1/apply?dry_run=true", json!({"specs": []}))] {
        let answer = keyed(&office, "alice", path, KEY, body).await;
        assert_eq!((answer.status, answer.code()), (422, "idempotency.other_request"), "{path}");
    }
    for wrong in ["short", "with space", "\"unclosed-key", &"x".repeat(129)] {
        let answer = keyed(&office, "alice", "/v1/locks", wrong, lock()).await;
        assert_eq!((answer.status, answer.code()), (400, "idempotency.key"), "{wrong}");
    }
    let answer = keyed(&office, "alice", "/v1/secrets", "another-key", json!({})).await;
    assert_eq!((answer.status, answer.code()), (422, "idempotency.unsupported"));
}

#[tokio::test]
async fn a_refused_request_leaves_its_key_free() {
    let office = Office::production().await;
    let mut body = lock();
    body["reason"] = json!("");
    assert_eq!(keyed(&office, "alice", "/v1/locks", KEY, body).await.code(), "lock.reason");
    assert_eq!(keyed(&office, "alice", "/v1/locks", KEY, lock()).await.status, 201);
}

#[tokio::test]
async fn an_answer_that_shows_a_token_is_kept_nowhere() {
    let office = Office::production().await;
    let wish = json!({"entries": [{"environment": "production"}], "lifetime_seconds": 60});
    let first = keyed(&office, "alice", "/v1/agents/bot/tokens", KEY, wish.clone()).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let token = first.body["token"].as_str().unwrap();
    let again = keyed(&office, "alice", "/v1/agents/bot/tokens", KEY, wish).await;
    assert_eq!((again.status, again.code()), (409, "idempotency.not_kept"));
    assert_eq!(office.state.now().agent_tokens.len(), 1, "and it was not issued twice");
    let now = office.plain.now();
    for kept in office.state.list(TicketKind::Idempotency, now).await.unwrap() {
        assert!(!kept.content.contains(token) && !kept.content.contains(KEY) && !kept.key.contains(KEY));
        assert!(kept.expires_at <= now.plus(Duration::from_secs(86_400)));
    }
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_again() {
    let office = Office::production().await;
    office.live.stuck.store(true, Ordering::SeqCst);
    let path = format!("{BINDING}/revoke");
    let first = keyed(&office, "root", &path, KEY, Value::Null).await;
    assert_eq!((first.status, first.code()), (503, "revocation.incomplete"), "{}", first.body);
    let again = keyed(&office, "root", &path, KEY, Value::Null).await;
    assert_eq!((again.status, again.code()), (409, "idempotency.unfinished"));
    assert_eq!(again.headers["retry-after"], "1");
}

#[tokio::test]
async fn an_act_whose_caller_goes_away_is_carried_to_its_end() {
    let office = Office::production().await;
    {
        let mut first = Box::pin(keyed(&office, "alice", "/v1/locks", KEY, lock()));
        assert!(first.as_mut().now_or_never().is_none(), "it cannot be answered at once");
        // And here the connection breaks.
    }
    let mut again = keyed(&office, "alice", "/v1/locks", KEY, lock()).await;
    for _ in 0..1_000 {
        if again.status != 409 {
            break;
        }
        tokio::task::yield_now().await;
        again = keyed(&office, "alice", "/v1/locks", KEY, lock()).await;
    }
    assert_eq!(again.status, 201, "{}", again.body);
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(office.state.now().locks.len(), 1);
}

#[tokio::test]
async fn twins_at_the_same_time_are_one_act() {
    let office = Office::production().await;
    let twins = (0..8).map(|_| keyed(&office, "alice", "/v1/locks", KEY, lock()));
    let answers = futures::future::join_all(twins).await;
    let made =
        answers.iter().filter(|one| one.status == 201 && !one.headers.contains_key("idempotency-replayed"));
    assert_eq!(made.count(), 1);
    for answer in &answers {
        let told = (answer.status, answer.code());
        assert!(matches!(told, (201, _) | (409, "idempotency.unfinished")), "{told:?}");
    }
    assert_eq!(office.state.now().locks.len(), 1);
}

#[tokio::test]
async fn a_rotation_that_is_written_keeps_its_key_whatever_is_answered() {
    let office = Office::production().await;
    let path = format!("{BINDING}/rotate");
    office.world.chain.down.store(true, Ordering::SeqCst);
    let first = keyed(&office, "alice", &path, KEY, json!({})).await;
    assert_eq!(first.status, 503, "{}", first.body);
    office.world.chain.down.store(false, Ordering::SeqCst);
    let again = keyed(&office, "alice", &path, KEY, json!({})).await;
    assert_eq!((again.status, again.code()), (409, "idempotency.unfinished"), "{}", again.body);
}

#[tokio::test]
async fn nobody_uses_up_the_keys_of_others() {
    let office = Office::production().await;
    let nothing = json!({"specs": []});
    for number in 0..1_000 {
        let key = format!("key-number-{number}");
        let answer = keyed(&office, "nobody", "/v1/apply?dry_run=true", &key, nothing.clone()).await;
        assert_eq!(answer.status, 200, "{number}: {}", answer.body);
    }
    let more = keyed(&office, "nobody", "/v1/apply?dry_run=true", KEY, nothing.clone()).await;
    assert_eq!((more.status, more.code()), (429, "idempotency.full"));
    let again = keyed(&office, "nobody", "/v1/apply?dry_run=true", "key-number-7", nothing).await;
    assert_eq!(again.headers["idempotency-replayed"], "true", "what is kept is still told");
    assert_eq!(keyed(&office, "alice", "/v1/locks", KEY, lock()).await.status, 201, "an emergency of others");
}
