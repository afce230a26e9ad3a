use gateway_core::operator::{Role, RoleGrant};
use gateway_core::session::{LiveSession, SessionActor, SessionKind};
use gateway_core::time::Timestamp;

use super::*;

fn session(id: &str, kind: SessionKind, user: &str) -> LiveSession {
    LiveSession {
        id: id.into(),
        kind,
        environment: "production".parse().unwrap(),
        server: "github".parse().unwrap(),
        actor: SessionActor { user: Some(user.into()), ..SessionActor::default() },
        bindings: vec!["bot-github@1".to_owned().try_into().unwrap()],
        protocol: Some("2025-11-25".into()),
        opened_at: Timestamp::from_seconds(1_795_000_000),
        last_used_at: None,
        streams: None,
        session: None,
        method: None,
        tool: None,
    }
}

async fn office() -> Office {
    let office = Office::production().await;
    let mut stream = session("stream-1", SessionKind::Stream, "https://idp|eve");
    stream.session = Some("s1".into());
    *office.live.sessions.lock().unwrap() = vec![
        session("s1", SessionKind::Session, "https://idp|eve"),
        stream,
        session("s2", SessionKind::Session, "https://idp|mallory"),
    ];
    let elsewhere =
        RoleGrant { teams: Some(vec!["billing".parse().unwrap()]), ..RoleGrant::everywhere(Role::Editor) };
    office.people.add("stranger", vec![elsewhere]);
    office
}

fn ids(answer: &Answer) -> Vec<&str> {
    answer.body["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn sessions_are_listed_by_what_one_may_see_and_asks_for() {
    let office = office().await;
    assert_eq!(ids(&office.get("carol", "/v1/sessions").await), ["s1", "s2", "stream-1"]);
    let eve = office.get("carol", "/v1/sessions?actor=https%3A%2F%2Fidp%7Ceve").await;
    assert_eq!(ids(&eve), ["s1", "stream-1"]);
    assert_eq!(ids(&office.get("carol", "/v1/sessions?binding=bot-github&server=github").await).len(), 3);
    assert!(ids(&office.get("carol", "/v1/sessions?environment=dev").await).is_empty());
    assert!(ids(&office.get("stranger", "/v1/sessions").await).is_empty(), "another team's server");
    assert_eq!(office.get("carol", "/v1/sessions?color=red").await.status, 400);
    assert_eq!(office.get("", "/v1/sessions").await.status, 401);
}

#[tokio::test]
async fn an_editor_ends_a_session_and_the_evidence_names_both_and_counts_the_streams() {
    let office = office().await;
    let answer = office.post("alice", "/v1/sessions/s1/terminate", Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        answer.body["ended"],
        json!({"calls": 0, "streams": 2, "sessions": 1, "children": 0, "cached_values": 0})
    );
    assert_eq!((&answer.body["kind"], &answer.body["complete"]), (&json!("session"), &json!(true)));
    let event =
        office.chain.all().into_iter().find(|event| event.kind == EventKind::SessionTerminated).unwrap();
    assert_eq!(event.operator.unwrap().as_str(), "idp|alice");
    assert_eq!((event.user.as_deref(), event.session.as_deref()), (Some("https://idp|eve"), Some("s1")));
    assert_eq!(
        (event.ended.unwrap().streams, event.binding.unwrap().to_string()),
        (2, "bot-github@1".into())
    );
    let again = office.post("alice", "/v1/sessions/s1/terminate", Value::Null).await;
    assert_eq!((again.status, again.code()), (404, "object.unknown"));
}

#[tokio::test]
async fn who_may_not_edit_the_server_ends_nothing() {
    let office = office().await;
    for (who, status, code) in [("carol", 403, "operator.forbidden"), ("stranger", 404, "object.unknown")] {
        let answer = office.post(who, "/v1/sessions/s1/terminate", Value::Null).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{who}");
    }
    let all = office.post("carol", "/v1/sessions/terminate", json!({"server": "github"})).await;
    assert_eq!((all.status, all.code()), (403, "operator.forbidden"));
    let none = office.post("stranger", "/v1/sessions/terminate", json!({"server": "github"})).await;
    assert_eq!((none.status, &none.body["terminated"]), (200, &json!([])));
    assert_eq!(office.live.sessions.lock().unwrap().len(), 3);
    assert!(!office.saw(EventKind::SessionTerminated) && office.saw(EventKind::OperatorRefused));
}

#[tokio::test]
async fn all_of_an_actor_are_ended_and_streams_go_with_their_session() {
    let office = office().await;
    let bare = office.post("alice", "/v1/sessions/terminate", json!({})).await;
    assert_eq!(bare.status, 422, "ending everything is never meant by saying nothing");
    let answer = office.post("alice", "/v1/sessions/terminate", json!({"actor": "https://idp|eve"})).await;
    let ended: Vec<_> = answer.body["terminated"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(ended, ["s1"]);
    assert_eq!(office.live.sessions.lock().unwrap().len(), 1, "the other actor's goes on");
}

#[tokio::test]
async fn with_the_log_down_the_session_ends_and_the_evidence_waits() {
    let office = office().await;
    office.chain.down.store(true, Ordering::SeqCst);
    let answer = office.post("alice", "/v1/sessions/s2/terminate", Value::Null).await;
    assert_eq!((answer.status, &answer.body["audit"]), (200, &Value::Null));
    let waiting = gateway_core::ports::StateWriter::outbox(&*office.state, 10).await.unwrap();
    assert!(waiting.iter().any(|entry| entry.event.kind == EventKind::SessionTerminated));
}

#[tokio::test]
async fn who_hangs_up_in_the_middle_of_an_act_leaves_its_evidence_all_the_same() {
    let office = office().await;
    office.chain.slow.store(true, Ordering::SeqCst);
    // The act is begun, and its connection is gone before it is written down.
    let mut act = Box::pin(office.post("alice", "/v1/sessions/s2/terminate", Value::Null));
    assert!(futures::poll!(&mut act).is_pending());
    drop(act);
    assert!(comes(&office, EventKind::SessionTerminated).await, "an act without evidence");
    assert_eq!(office.live.sessions.lock().unwrap().len(), 2, "and it was done");
    let mut refused = Box::pin(office.post("carol", "/v1/sessions/s1/terminate", Value::Null));
    assert!(futures::poll!(&mut refused).is_pending());
    drop(refused);
    assert!(comes(&office, EventKind::OperatorRefused).await, "a refusal without evidence");
}

/// Whether it is in the chain once everybody else has gone on as far as they can.
async fn comes(office: &Office, kind: EventKind) -> bool {
    for _ in 0..1_000 {
        if office.saw(kind) {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}
