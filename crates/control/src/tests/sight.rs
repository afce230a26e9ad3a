//! What somebody learns of things that are not theirs to see: nothing, by whichever door they ask.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::revocation::{RevocationDocument, SignedRevocation};

use super::*;

fn of_team(role: Role, team: &str) -> RoleGrant {
    RoleGrant { teams: Some(vec![team.parse().unwrap()]), ..RoleGrant::everywhere(role) }
}

fn in_environment(role: Role, environment: &str) -> RoleGrant {
    RoleGrant { environments: Some(vec![environment.parse().unwrap()]), ..RoleGrant::everywhere(role) }
}

#[tokio::test]
async fn a_candidate_that_claims_another_teams_policy_is_not_told_its_text() {
    let office = Office::production().await;
    office.people.add("finance", vec![of_team(Role::Editor, "finance")]);
    let mut claimed = policy("forbid (principal, action, resource);");
    claimed["owner"] = json!("finance");
    let told = office.post("finance", "/v1/policies/diff", json!({ "specs": [claimed.clone()] })).await;
    assert_eq!((told.status, told.code()), (403, "operator.forbidden"), "{}", told.body);
    assert!(!told.body.to_string().contains("permit"), "{}", told.body);
    claimed["name"] = json!("of-their-own");
    let told = office.post("finance", "/v1/policies/diff", json!({ "specs": [claimed] })).await;
    assert_eq!(told.status, 200, "a new name is nobody's: {}", told.body);
}

#[tokio::test]
async fn a_signature_under_what_one_may_not_see_is_answered_as_under_nothing() {
    let office = Office::production().await;
    assert_eq!(office.apply("alice", &[binding("tools", json!(["list"]))]).await.status, 200);
    assert_eq!(office.apply("alice", &[binding("tools", json!(["close"]))]).await.status, 202);
    office.people.add("finance", vec![of_team(Role::Approver, "finance")]);
    office.people.add("dev", vec![in_environment(Role::Approver, "dev")]);
    for who in ["finance", "dev", "nobody"] {
        for (path, revision) in [(BINDING, 1), (BINDING, 3), (BINDING, 9), ("/v1/objects/agent/-/bot", 1)] {
            let answer = office.post(who, &format!("{path}/approve"), json!({ "revision": revision })).await;
            assert_eq!((answer.status, answer.code()), (404, "object.unknown"), "{who} {path} {revision}");
        }
    }
    let seen = office.post("carol", &format!("{BINDING}/approve"), json!({"revision": 3})).await;
    assert_eq!(seen.status, 403, "who sees it is told what is missing: {}", seen.body);
    let old = office.post("carol", &format!("{BINDING}/approve"), json!({"revision": 1})).await;
    assert_eq!(old.code(), "approval.not_pending");
}

#[tokio::test]
async fn a_card_says_whether_what_waits_on_it_is_yours_to_sign() {
    let office = Office::production().await;
    assert_eq!(office.apply("alice", &[binding("tools", json!(["list"]))]).await.status, 200);
    assert_eq!(office.apply("alice", &[binding("tools", json!(["close"]))]).await.status, 202);
    for (who, yours) in [("alice", false), ("bob", true), ("carol", false)] {
        let card = office.get(who, BINDING).await.body;
        assert_eq!(card["pending"]["yours"], json!(yours), "{who}: {card}");
        let listed = office.get(who, "/v1/bindings").await.body;
        assert_eq!(listed["items"][0]["pending"]["yours"], json!(yours), "{who}: {listed}");
    }
}

#[tokio::test]
async fn declaring_the_right_guess_is_answered_as_declaring_a_wrong_one() {
    let right = binding("risk", json!("write"));
    let wrong = binding("secret", json!("vault://kv/support/other#token"));
    let masked = Presentation { masked: [Role::Viewer].into(), ..Presentation::default() };
    let asking: [(Presentation, &[&str]); 2] =
        [(masked, &["carol", "finance", "nobody"]), (Presentation::default(), &["finance", "nobody"])];
    for (presentation, people) in asking {
        let office = Office::showing(State::default(), presentation).founded().await;
        office.people.add("finance", vec![of_team(Role::Editor, "finance")]);
        for (who, path) in people.iter().flat_map(|who| [(who, "/v1/apply"), (who, "/v1/apply?dry_run=true")])
        {
            let [right, wrong] = [&right, &wrong].map(|guess| json!({ "specs": [guess] }));
            let (right, wrong) = (office.post(who, path, right).await, office.post(who, path, wrong).await);
            assert_eq!((right.status, right.code()), (403, "operator.forbidden"), "{who} {path}");
            assert_eq!(right.body, wrong.body, "{who} {path}");
        }
        let known = office.apply("alice", std::slice::from_ref(&right)).await;
        assert_eq!((known.status, &known.body["objects"][0]["outcome"]), (200, &json!("unchanged")));
    }
}

#[tokio::test]
async fn a_viewer_who_sees_everything_may_apply_what_stands() {
    let office = Office::production().await;
    let answer = office.apply("carol", &world()).await;
    assert_eq!(answer.status, 200, "nothing is written: {}", answer.body);
}

/// Documents about two environments in turn, the latest first: `production`, `dev`, `production`, …
async fn ended(office: &Office, count: i64) {
    let answer = office.post("alice", &format!("{BINDING}/revoke"), Value::Null).await;
    let jws = answer.body["revocation"]["document"].as_str().unwrap();
    let claims = URL_SAFE_NO_PAD.decode(jws.split('.').nth(1).unwrap()).unwrap();
    let first: RevocationDocument = serde_json::from_slice(&claims).unwrap();
    for number in 0..count {
        let mut document = first.clone();
        let environment = if number % 2 == 0 { "dev" } else { "production" };
        document.revocation = format!("{environment}-{number}");
        document.jti = format!("{environment}-{number}.1");
        document.subject.environment = Some(environment.parse().unwrap());
        document.requested_at = Timestamp::from_seconds(1_700_000_000 + number);
        office.documents.write(&document).await.unwrap();
    }
    assert_eq!(office.state_documents().await.len(), usize::try_from(count).unwrap() + 1);
}

impl Office {
    async fn state_documents(&self) -> Vec<SignedRevocation> {
        use gateway_core::ports::Revocations as _;
        self.state.newest(None, 10_000).await.unwrap()
    }
}

#[tokio::test]
async fn pages_of_revocations_tell_nothing_of_those_of_other_environments() {
    let office = Office::production().await;
    ended(&office, 7).await;
    office.people.add("dev-auditor", vec![in_environment(Role::Auditor, "dev")]);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = office.get("dev-auditor", &format!("/v1/revocations?limit=2{cursor}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        let items = page.body["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        let Some(next) = page.body["next"].as_str() else { break };
        assert_eq!(items.len(), 2, "only the last page is short");
        let place = String::from_utf8(URL_SAFE_NO_PAD.decode(next).unwrap()).unwrap();
        assert!(place.ends_with(seen.last().unwrap().as_str()), "{place}");
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, ["dev-6", "dev-4", "dev-2", "dev-0"]);
    let none = office.get("alice", "/v1/revocations?limit=1").await;
    assert_eq!((&none.body["items"], &none.body["next"]), (&json!([]), &Value::Null));
    let all = office.get("dora", "/v1/revocations").await;
    assert_eq!((all.body["items"].as_array().unwrap().len(), &all.body["next"]), (8, &Value::Null));
}

#[tokio::test]
async fn an_effect_is_told_of_the_calls_that_the_signers_roles_cover() {
    let office = Office::production().await;
    for server in ["github", "payroll"] {
        let mut event = Event::new(EventKind::Intent, Timestamp::from_seconds(1_000));
        event.request_id = Some(format!("call-at-{server}").parse().unwrap());
        event.agent = Some("bot".parse().unwrap());
        event.environment = Some("production".parse().unwrap());
        event.server = Some(server.parse().unwrap());
        (event.method, event.tool) = (Some("tools/call".to_owned()), Some("list".parse().unwrap()));
        event.decision = Some(Decision::Allow);
        office.chain.events.lock().unwrap().push(event);
    }
    assert_eq!(office.apply("alice", &[policy("DENY bot")]).await.status, 202);
    office.people.add("support", vec![of_team(Role::Approver, "support")]);
    let path = "/v1/objects/policy/production/triage/effect?revision=2";
    let whole = office.get("bob", path).await;
    assert_eq!((&whole.body["calls"], &whole.body["limited"]), (&json!(2), &Value::Null), "{}", whole.body);
    let own = office.get("support", path).await;
    assert_eq!((own.status, &own.body["calls"]), (200, &json!(1)), "{}", own.body);
    assert!(own.body["limited"].is_string(), "{}", own.body);
    assert!(!own.body.to_string().contains("payroll"), "{}", own.body);
}
