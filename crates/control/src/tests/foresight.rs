//! What candidate policies would change, told before anybody applies them.

use super::*;

const DIFF: &str = "/v1/policies/diff";

fn called(office: &Office, kind: EventKind, agent: &str, times: usize) {
    for number in 0..times {
        let mut event = Event::new(kind, Timestamp::from_seconds(1_000));
        event.request_id = Some(format!("{agent}-{number}").parse().unwrap());
        event.agent = Some(agent.parse().unwrap());
        event.environment = Some("production".parse().unwrap());
        event.server = Some("github".parse().unwrap());
        (event.method, event.tool) = (Some("tools/call".to_owned()), Some("list".parse().unwrap()));
        event.decision = Some(if kind == EventKind::Intent { Decision::Allow } else { Decision::Deny });
        office.chain.events.lock().unwrap().push(event);
    }
}

async fn office() -> Office {
    let office = Office::production().await;
    let body = json!({"entries": [{"environment": "production"}], "lifetime_seconds": 3600});
    assert_eq!(office.post("alice", "/v1/agents/bot/tokens", body).await.status, 201);
    called(&office, EventKind::Intent, "bot", 5);
    called(&office, EventKind::Refused, "ghost", 2);
    called(&office, EventKind::Intent, "gone", 1);
    office
}

fn candidate(cedar: &str) -> Value {
    json!({"specs": [policy(cedar)]})
}

#[tokio::test]
async fn tells_who_loses_what_by_declaration_and_by_record() {
    let office = office().await;
    let told = office.post("bob", DIFF, candidate("DENY bot")).await;
    assert_eq!(told.status, 200, "{}", told.body);
    let one = &told.body["policies"][0];
    assert_eq!((&one["kind"], &one["policy"]), (&json!("changed"), &json!("triage")));
    assert_eq!(one["statements"]["removed"][0]["effect"], "permit");
    let ahead = &told.body["environments"][0];
    let loses = &ahead["access"]["losses"][0];
    assert_eq!(
        (&loses["who"], &loses["tools"], &loses["before"]),
        (&json!("agent bot by agent token"), &json!(["comment", "list"]), &json!("bot-github"))
    );
    let replay = &ahead["replay"];
    let lost = &replay["losses"][0];
    assert_eq!((&lost["agent"], &lost["calls"]), (&json!("bot"), &json!(5)));
    assert_eq!(lost["examples"], json!(["bot-0", "bot-1", "bot-2"]));
    assert_eq!(
        (&replay["calls"], &replay["unchanged"], &replay["untold"]),
        (&json!(8), &json!(2), &json!(1))
    );
    assert_eq!(
        replay["unknown"][0]["because"],
        "it was let through, and would be refused now even without the change"
    );
    assert_eq!(replay["unknown"][0]["examples"], json!(["gone-0"]));
}

#[tokio::test]
async fn looking_changes_nothing_and_applying_does_what_was_said() {
    let office = office().await;
    let epoch = office.state.now().epoch;
    assert_eq!(office.post("alice", DIFF, candidate("DENY bot")).await.status, 200);
    assert_eq!(office.state.now().epoch, epoch, "nothing was written");
    assert_eq!(office.apply("alice", &[policy("DENY bot")]).await.status, 202);
    for path in ["/v1/objects/policy/production/triage/approve", "/v1/bindings/production/bot-github/approve"]
    {
        assert_eq!(office.post("bob", path, json!({"revision": 2})).await.status, 200);
    }
    let who = office.get("alice", "/v1/access/who?environment=production&server=github&tool=list").await;
    assert_eq!(who.body["reaches"], json!([]), "{}", who.body);
}

#[tokio::test]
async fn the_same_text_changes_nothing() {
    let office = office().await;
    let told = office.post("bob", DIFF, candidate(PERMIT)).await;
    assert_eq!(told.status, 200, "{}", told.body);
    assert_eq!(told.body["policies"][0]["kind"], "unchanged");
    let ahead = &told.body["environments"][0];
    for list in ["gains", "losses", "moves"] {
        assert_eq!((&ahead["access"][list], &ahead["replay"][list]), (&json!([]), &json!([])), "{list}");
    }
}

#[tokio::test]
async fn who_called_what_is_withheld_from_whoever_neither_signs_nor_audits() {
    let office = office().await;
    let told = office.post("alice", DIFF, candidate("DENY bot")).await;
    let ahead = &told.body["environments"][0];
    assert_eq!((told.status, ahead["replay"].is_null(), ahead["withheld"].is_string()), (200, true, true));
    assert!(!told.body.to_string().contains("bot-0"), "{}", told.body);
    assert_eq!(
        ahead["access"]["losses"][0]["agent"], "bot",
        "what is declared is told to whoever may see it"
    );
}

#[tokio::test]
async fn refuses_what_is_no_policy_does_not_compile_or_is_out_of_sight() {
    let office = office().await;
    for (who, body, status, code) in [
        ("bob", json!({"specs": []}), 400, "request.malformed"),
        ("bob", json!({"specs": [binding("risk", json!("read"))]}), 422, "object.kind"),
        ("bob", candidate("BAD"), 422, "policy.invalid"),
        ("bob", json!({"specs": [{"kind": "Policy", "name": "x"}]}), 422, "manifest.malformed"),
        ("nobody", candidate(PERMIT), 403, "operator.forbidden"),
        ("bob", json!({"specs": [policy(PERMIT)], "until": "yesterday"}), 400, "request.malformed"),
    ] {
        let told = office.post(who, DIFF, body.clone()).await;
        assert_eq!((told.status, told.code()), (status, code), "{body}: {}", told.body);
    }
    let mut elsewhere = policy(PERMIT);
    elsewhere["environment"] = json!("elsewhere");
    let told = office.post("bob", DIFF, json!({"specs": [elsewhere]})).await;
    assert_eq!((told.status, told.code()), (422, "environment.unknown"), "{}", told.body);
}
