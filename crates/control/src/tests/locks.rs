//! Locks, from the outside.

use super::*;

fn lock(selector: Value) -> Value {
    json!({"selector": selector, "reason": "a key leaked", "seconds": 3_600})
}

#[tokio::test]
async fn a_lock_is_written_cut_published_and_waited_for_before_it_is_answered() {
    let office = Office::production().await;
    let answer = office
        .post("alice", "/v1/locks", lock(json!({"environment": "production", "server": "github"})))
        .await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let body = &answer.body;
    assert_eq!(
        (&body["lock"]["stops"], &body["lock"]["stands"]),
        (&json!("environment production, server github"), &json!(true))
    );
    assert_eq!(body["lock"]["remaining_seconds"], 3_600);
    // Once beside the publishing, and once after it.
    assert_eq!(*office.live.ended.lock().unwrap(), ["lock environment production, server github"; 2]);
    assert_eq!(
        (&body["ended"]["calls"], &body["ended"]["streams"], &body["ended"]["children"]),
        (&json!(6), &json!(2), &json!(2))
    );
    assert_eq!(office.world.awaited.lock().unwrap().last(), Some(&office.state.now().epoch));
    let events = office.chain.all();
    let made = events.iter().position(|event| event.kind == EventKind::LockCreated).unwrap();
    let holds = events.iter().position(|event| event.kind == EventKind::LockInForce).unwrap();
    assert!(made < holds);
    assert_eq!(events[holds].ended.unwrap().calls, 6);
    assert_eq!(events[made].lock.as_deref(), body["lock"]["id"].as_str());
    assert!(!serde_json::to_string(&events).unwrap().contains("leaked"), "the reason is no evidence");
}

#[tokio::test]
async fn locks_are_listed_shown_and_lifted_by_somebody_else() {
    let office = Office::production().await;
    let made = office.post("alice", "/v1/locks", lock(json!({"environment": "production"}))).await.body;
    let id = made["lock"]["id"].as_str().unwrap().to_owned();
    let listed = office.get("carol", "/v1/locks").await.body;
    assert_eq!(
        (&listed["items"][0]["id"], &listed["items"][0]["reason"]),
        (&json!(id), &json!("a key leaked"))
    );
    assert_eq!(office.get("carol", &format!("/v1/locks/{id}")).await.body["author"], made["lock"]["author"]);
    let lift = format!("/v1/locks/{id}/lift");
    assert_eq!(office.post("alice", &lift, Value::Null).await.code(), "operator.forbidden");
    assert_eq!(office.post("carol", &lift, Value::Null).await.code(), "operator.forbidden");
    let lifted = office.post("bob", &lift, Value::Null).await;
    assert_eq!((lifted.status, &lifted.body["lock"]["stands"]), (200, &json!(false)));
    assert_eq!(office.post("bob", &lift, Value::Null).await.code(), "lock.ended");
    assert!(office.get("carol", "/v1/locks").await.body["items"].as_array().unwrap().is_empty());
    assert_eq!(office.get("carol", "/v1/locks?ended=true").await.body["items"][0]["id"], json!(id));
    assert!(office.saw(EventKind::LockLifted));
    let own = office.post("root", "/v1/locks", lock(json!({"everything": true}))).await.body;
    let own = format!("/v1/locks/{}/lift", own["lock"]["id"].as_str().unwrap());
    assert_eq!(office.post("root", &own, Value::Null).await.code(), "lock.own");
}

#[tokio::test]
async fn refuses_locks_without_role_selector_or_end_and_shows_them_to_nobody_else() {
    let office = Office::production().await;
    let production = json!({"environment": "production"});
    for (who, body, code) in [
        ("carol", lock(production.clone()), "operator.forbidden"),
        ("alice", lock(json!({"everything": true})), "operator.forbidden"),
        ("alice", lock(json!({"environment": "production", "server": "gitlab"})), "lock.undeclared"),
        ("root", lock(json!({})), "lock.selector"),
        ("alice", json!({"selector": production, "reason": "", "seconds": 60}), "lock.reason"),
        ("alice", json!({"selector": production, "reason": "r", "seconds": 2_592_001}), "lock.until"),
        ("alice", json!({"selector": production, "reason": "r", "seconds": 0}), "lock.until"),
        ("alice", json!({"selector": production, "reason": "r"}), "request.contradictory"),
        ("alice", json!({"selector": {"sever": "x"}, "reason": "r", "seconds": 60}), "request.malformed"),
    ] {
        assert_eq!(office.post(who, "/v1/locks", body.clone()).await.code(), code, "{who} {body}");
    }
    assert!(office.state.now().locks.is_empty() && office.live.ended.lock().unwrap().is_empty());
    let made = office.post("alice", "/v1/locks", lock(production)).await.body;
    let path = format!("/v1/locks/{}", made["lock"]["id"].as_str().unwrap());
    assert_eq!(office.get("nobody", &path).await.code(), "object.unknown");
    assert!(office.get("nobody", "/v1/locks").await.body["items"].as_array().unwrap().is_empty());
    assert_eq!(office.get("carol", "/v1/locks/unknown").await.code(), "object.unknown");
}

#[tokio::test]
async fn a_lock_stands_though_something_did_not_end_or_a_replica_or_the_log_lags() {
    let office = Office::production().await;
    let body = || lock(json!({"environment": "production", "agent": "bot"}));
    office.live.stuck.store(true, Ordering::SeqCst);
    let answer = office.post("alice", "/v1/locks", body()).await;
    assert_eq!((answer.status, answer.code()), (503, "lock.incomplete"));
    office.live.stuck.store(false, Ordering::SeqCst);
    office.world.others_lag.store(true, Ordering::SeqCst);
    assert_eq!(office.post("alice", "/v1/locks", body()).await.code(), "lock.incomplete");
    office.world.others_lag.store(false, Ordering::SeqCst);
    office.chain.down.store(true, Ordering::SeqCst);
    let answer = office.post("alice", "/v1/locks", body()).await;
    assert_eq!(
        (answer.status, &answer.body["audit"]),
        (201, &Value::Null),
        "the block does not wait for the chain"
    );
    assert_eq!(office.state.now().locks.iter().filter(|lock| lock.ended.is_none()).count(), 3);
}

#[tokio::test]
async fn the_card_and_the_explanation_say_that_a_lock_stops_it() {
    let office = Office::production().await;
    let made = office
        .post("alice", "/v1/locks", lock(json!({"environment": "production", "tool": "com*"})))
        .await
        .body;
    let id = &made["lock"]["id"];
    let card = office.get("carol", BINDING).await.body;
    assert_eq!(
        (&card["locks"][0]["id"], &card["locks"][0]["stops"]),
        (id, &json!("environment production, tool com*"))
    );
    let ask = |tool: &str| json!({"actor": {"agent": "bot"}, "tool": tool});
    let stopped = office.post("carol", &format!("{BINDING}/explain"), ask("comment")).await.body;
    assert_eq!(
        (&stopped["allowed"], &stopped["refusal"], &stopped["lock"]),
        (&json!(false), &json!("lock.active"), id),
        "{stopped}"
    );
    let free = office.post("carol", &format!("{BINDING}/explain"), ask("list")).await.body;
    assert_eq!((&free["allowed"], free.get("lock")), (&json!(true), None), "{free}");
}
