use super::*;

const EFFECT: &str = "/v1/bindings/production/bot-github/effect?revision=2";

fn called(office: &Office, kind: EventKind, agent: &str, tool: &str, times: usize) {
    for _ in 0..times {
        let mut event = Event::new(kind, Timestamp::from_seconds(1_000));
        event.agent = Some(agent.parse().unwrap());
        event.environment = Some("production".parse().unwrap());
        event.server = Some("github".parse().unwrap());
        (event.method, event.tool) = (Some("tools/call".to_owned()), Some(tool.parse().unwrap()));
        event.decision = Some(if kind == EventKind::Intent { Decision::Allow } else { Decision::Deny });
        office.chain.events.lock().unwrap().push(event);
    }
}

/// Calls of late, and a change that takes `list` away and adds `close`.
async fn office() -> Office {
    let office = Office::production().await;
    called(&office, EventKind::Intent, "bot", "list", 2);
    called(&office, EventKind::Intent, "bot", "comment", 4);
    called(&office, EventKind::Refused, "bot", "close", 3);
    called(&office, EventKind::Intent, "ghost", "comment", 1);
    let answer = office.apply("alice", &[binding("tools", json!(["comment", "close"]))]).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    office
}

#[tokio::test]
async fn an_approver_sees_who_gains_and_who_loses_before_signing() {
    let office = office().await;
    let told = office.get("bob", EFFECT).await;
    assert_eq!(told.status, 200, "{}", told.body);
    let lines = |list: &str| {
        let items = told.body[list].as_array().unwrap().iter();
        items.map(|one| (one["agent"].clone(), one["tool"].clone(), one["calls"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(lines("gains"), [(json!("bot"), json!("close"), json!(3))]);
    assert_eq!(lines("losses"), [(json!("bot"), json!("list"), json!(2))]);
    assert_eq!(lines("moves"), []);
    assert_eq!(told.body["gains"][0]["after"], "bot-github@2");
    assert_eq!(told.body["losses"][0]["before"], "bot-github@1");
    // Four calls stay as they were; of the ghost's nothing is claimed, for no binding of today would have let it in.
    assert_eq!(
        (&told.body["calls"], &told.body["unchanged"], &told.body["untold"]),
        (&json!(10), &json!(4), &json!(1))
    );
}

#[tokio::test]
async fn looking_changes_nothing_and_signing_does_what_was_said() {
    let office = office().await;
    let epoch = office.state.now().epoch;
    office.get("bob", EFFECT).await;
    assert_eq!(office.state.now().epoch, epoch);
    assert_eq!(office.get("bob", BINDING).await.body["revision"], 1);
    let signed = office.post("bob", &format!("{BINDING}/approve"), json!({"revision": 2})).await;
    assert_eq!(signed.status, 200, "{}", signed.body);
    assert_eq!(office.get("bob", BINDING).await.body["tools"], json!(["comment", "close"]));
}

#[tokio::test]
async fn who_called_what_is_for_signers_and_auditors_alone() {
    let office = office().await;
    let editor = office.get("alice", EFFECT).await;
    assert_eq!((editor.status, editor.code()), (403, "operator.forbidden"));
    let nobody = office.get("nobody", EFFECT).await;
    assert_eq!((nobody.status, nobody.code()), (404, "object.unknown"));
}

#[tokio::test]
async fn only_what_waits_has_an_effect_to_come() {
    let office = office().await;
    let standing = office.get("bob", EFFECT.replace("=2", "=1").as_str()).await;
    assert_eq!((standing.status, standing.code()), (409, "approval.not_pending"));
    let unknown = office.get("bob", EFFECT.replace("=2", "=9").as_str()).await;
    assert_eq!((unknown.status, unknown.code()), (404, "object.unknown"));
    let object = office.get("bob", "/v1/objects/spoon/production/x/effect?revision=1").await;
    assert_eq!(object.status, 404);
}

#[tokio::test]
async fn a_server_that_points_elsewhere_moves_nobody_until_the_bindings_are_signed() {
    let office = Office::production().await;
    called(&office, EventKind::Intent, "bot", "list", 2);
    assert_eq!(office.apply("alice", &[server("https://elsewhere.internal/mcp")]).await.status, 202);
    let told = office.get("bob", "/v1/objects/server/production/github/effect?revision=2").await;
    assert_eq!((told.status, &told.body["unchanged"]), (200, &json!(2)), "{}", told.body);
}
