//! The end of an agent: decided, carried out, and told in full.

use super::*;

async fn with_tokens() -> Office {
    let office = Office::production().await;
    for _ in 0..2 {
        let body = json!({"entries": [{"environment": "production"}], "lifetime_seconds": 3600});
        assert_eq!(office.post("alice", "/v1/agents/bot/tokens", body).await.status, 201);
    }
    office
}

#[tokio::test]
async fn revoking_an_agent_ends_everything_that_is_its_own_and_names_it_in_the_evidence() {
    let office = with_tokens().await;
    let answer = office.post("alice", "/v1/agents/bot/revoke", Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let ended =
        json!({"calls": 4, "streams": 1, "sessions": 2, "children": 0, "cached_values": 3, "tokens": 2});
    assert_eq!((&answer.body["agent"], &answer.body["status"]), (&json!("bot"), &json!("revoked")));
    assert_eq!(answer.body["ended"], ended);
    assert_eq!(*office.live.ended.lock().unwrap(), ["agent bot"]);
    assert!(office.state.now().agent_tokens.iter().all(|token| token.revoked_at.is_some()));
    let events = office.chain.all();
    let completed = &events[answer.body["audit"]["completed"].as_u64().unwrap() as usize - 1];
    assert_eq!(completed.kind, EventKind::RevocationCompleted);
    assert_eq!(completed.agent.as_ref().map(ToString::to_string).as_deref(), Some("bot"));
    assert_eq!(serde_json::to_value(completed.ended.unwrap()).unwrap(), ended);
    let tokens = events.iter().filter(|event| event.kind == EventKind::AgentTokenRevoked);
    assert_eq!(tokens.count(), 2);
    let again = office.apply("alice", &world()[3..4]).await;
    assert_eq!(again.code(), "binding.revoked_name");
    let body = json!({"entries": [{"environment": "production"}], "lifetime_seconds": 3600});
    assert_eq!(office.post("alice", "/v1/agents/bot/tokens", body).await.status, 404);
}

#[tokio::test]
async fn a_disabled_agent_comes_back_without_its_tokens() {
    let office = with_tokens().await;
    let answer = office.post("alice", "/v1/agents/bot/disable", Value::Null).await;
    assert_eq!((answer.status, &answer.body["ended"]["tokens"]), (200, &json!(2)), "{}", answer.body);
    assert_eq!(*office.live.ended.lock().unwrap(), ["agent bot"]);
    assert_eq!(office.post("alice", "/v1/agents/bot/enable", Value::Null).await.status, 403);
    let answer = office.post("bob", "/v1/agents/bot/enable", Value::Null).await;
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("active")), "{}", answer.body);
    assert!(office.live.ended.lock().unwrap().is_empty(), "it may start again");
    assert!(office.state.now().agent_tokens.iter().all(|token| token.revoked_at.is_some()));
}

#[tokio::test]
async fn with_the_audit_log_down_an_agents_end_still_blocks_and_says_that_evidence_is_pending() {
    let office = with_tokens().await;
    office.chain.down.store(true, Ordering::SeqCst);
    let answer = office.post("alice", "/v1/agents/bot/revoke", Value::Null).await;
    assert_eq!((answer.status, &answer.body["audit"]["pending"]), (200, &json!(true)), "{}", answer.body);
    assert_eq!(*office.live.ended.lock().unwrap(), ["agent bot"]);
}

#[tokio::test]
async fn an_agents_end_that_leaves_traffic_is_not_called_complete() {
    let office = with_tokens().await;
    office.live.stuck.store(true, Ordering::SeqCst);
    let answer = office.post("alice", "/v1/agents/bot/revoke", Value::Null).await;
    assert_eq!((answer.status, answer.code()), (503, "revocation.incomplete"));
    assert!(!office.saw(EventKind::RevocationCompleted));
}

#[tokio::test]
async fn who_may_not_touch_an_agent_ends_nothing() {
    let office = with_tokens().await;
    assert_eq!(office.post("carol", "/v1/agents/bot/revoke", Value::Null).await.status, 403);
    assert_eq!(office.post("nobody", "/v1/agents/bot/revoke", Value::Null).await.status, 404);
    assert_eq!(office.post("alice", "/v1/agents/other/revoke", Value::Null).await.status, 404);
    assert!(office.live.ended.lock().unwrap().is_empty());
}
