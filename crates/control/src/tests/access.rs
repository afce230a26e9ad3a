use super::*;

const WHO: &str = "/v1/access/who?environment=production&server=github&tool=";
const WHAT: &str = "/v1/access/what?agent=bot";

/// Production with a living token of the agent, and a second agent that no binding serves.
async fn office() -> Office {
    peopled(Office::production().await).await
}

async fn peopled(office: Office) -> Office {
    let body = json!({"entries": [{"environment": "production"}], "lifetime_seconds": 3600});
    let answer = office.post("alice", "/v1/agents/bot/tokens", body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let idle = json!({"kind": "Agent", "name": "idle", "environments": ["production"], "owner": "support",
        "risk_ceiling": "write", "proofs": [{"confidential_client": {"issuer": "https://idp", "client_id": "x"}}]});
    assert_eq!(office.apply("alice", &[idle]).await.status, 202);
    let path = "/v1/objects/agent/-/idle/approve";
    assert_eq!(office.post("bob", path, json!({"revision": 1})).await.status, 200);
    office
}

fn who(answer: &Answer, list: &str) -> Vec<String> {
    let rows = answer.body[list].as_array().unwrap_or_else(|| panic!("{}", answer.body)).iter();
    rows.map(|row| row["who"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn says_who_gets_through_by_which_binding_policy_and_place() {
    let office = office().await;
    let told = office.get("alice", &format!("{WHO}list")).await;
    assert_eq!(told.status, 200, "{}", told.body);
    assert_eq!(who(&told, "reaches"), ["agent bot by agent token"]);
    assert_eq!(who(&told, "nobody"), ["agent idle by client x of https://idp"]);
    assert_eq!(who(&told, "nearly"), Vec::<String>::new());
    let row = &told.body["reaches"][0];
    assert_eq!(
        (&row["binding"], &row["mode"], &row["policies"], &row["reference"], &row["agent"]),
        (
            &json!("bot-github@1"),
            &json!("service_account"),
            &json!(["triage"]),
            &json!("vault://kv/support/bot#token"),
            &json!("bot")
        )
    );
    assert_eq!((&told.body["named"], &told.body["risk"]), (&json!(true), &json!("write")));
}

#[tokio::test]
async fn a_masked_role_is_told_the_store_and_not_the_path() {
    let presentation = Presentation { masked: [Role::Viewer].into(), ..Presentation::default() };
    let office = peopled(Office::showing(State::default(), presentation).founded().await).await;
    let told = office.get("carol", &format!("{WHO}list")).await;
    assert_eq!(
        (told.status, &told.body["reaches"][0]["reference"]),
        (200, &json!("vault://(masked)")),
        "{}",
        told.body
    );
    assert!(!told.body.to_string().contains("kv/support"), "{}", told.body);
}

#[tokio::test]
async fn says_what_is_missing_where_it_is_nearly_reachable() {
    let office = office().await;
    let told = office.get("alice", &format!("{WHO}close")).await;
    assert_eq!(who(&told, "reaches"), Vec::<String>::new());
    assert_eq!(told.body["nearly"][0]["refusal"], "tool.unknown");
    assert_eq!(told.body["nearly"][0]["change"], json!(["binding `bot-github`: add `close` to its `tools`"]));
    assert_eq!(told.body["named"], false);
    assert_eq!(office.apply("alice", &[policy("DENY bot")]).await.status, 202);
    for path in ["/v1/objects/policy/production/triage/approve", "/v1/bindings/production/bot-github/approve"]
    {
        assert_eq!(office.post("bob", path, json!({"revision": 2})).await.status, 200);
    }
    let told = office.get("alice", &format!("{WHO}list")).await;
    assert_eq!(who(&told, "reaches"), Vec::<String>::new());
    assert_eq!(told.body["nearly"][0]["because"], "the policies deny");
}

#[tokio::test]
async fn an_agent_without_a_living_token_gets_nowhere_by_it() {
    let office = Office::production().await;
    let told = office.get("alice", &format!("{WHO}list")).await;
    assert_eq!(who(&told, "reaches"), Vec::<String>::new());
    assert_eq!(told.body["nearly"][0]["because"], "no living agent token opens this server");
}

#[tokio::test]
async fn a_lock_bars_whom_it_stops() {
    let office = office().await;
    let lock = json!({"selector": {"environment": "production", "agent": "bot"}, "reason": "it loops", "seconds": 600});
    let made = office.post("alice", "/v1/locks", lock).await;
    assert!(made.status < 300, "{}", made.body);
    let told = office.get("alice", &format!("{WHO}list")).await;
    assert_eq!(told.body["nearly"][0]["refusal"], "lock.active", "{}", told.body);
}

#[tokio::test]
async fn says_what_an_agent_reaches_and_what_it_nearly_does() {
    let office = office().await;
    let told = office.get("alice", WHAT).await;
    assert_eq!(told.status, 200, "{}", told.body);
    let row = &told.body["reaches"][0];
    assert_eq!((&row["tools"], &row["every_other"]), (&json!(["comment", "list"]), &json!(false)));
    assert_eq!(told.body["nearly"][0]["every_other"], true);
    let idle = office.get("alice", "/v1/access/what?agent=idle").await;
    assert_eq!((idle.status, &idle.body["reaches"], &idle.body["nearly"]), (200, &json!([]), &json!([])));
    let group = office.get("alice", "/v1/access/what?group=support").await;
    assert_eq!((group.status, &group.body["reaches"]), (200, &json!([])));
}

#[tokio::test]
async fn what_one_may_not_see_looks_like_what_is_not_there() {
    let office = office().await;
    for path in [
        format!("{WHO}list"),
        "/v1/access/who?environment=production&server=other&tool=list".to_owned(),
        "/v1/access/who?environment=elsewhere&server=github&tool=list".to_owned(),
        WHAT.to_owned(),
        "/v1/access/what?workload=none".to_owned(),
    ] {
        let told = office.get("nobody", &path).await;
        assert_eq!((told.status, told.code()), (404, "object.unknown"), "{path}: {}", told.body);
    }
    let teams = Some(vec!["platform".parse().unwrap()]);
    office.people.add("erin", vec![RoleGrant { role: Role::Viewer, teams, environments: None }]);
    assert_eq!(office.get("erin", &format!("{WHO}list")).await.status, 404);
    let support = Some(vec!["support".parse().unwrap()]);
    office.people.add("finn", vec![RoleGrant { role: Role::Viewer, teams: support, environments: None }]);
    let told = office.get("finn", &format!("{WHO}list")).await;
    assert_eq!(told.status, 200);
    assert!(told.body["limited"].is_string(), "a part is told to be one: {}", told.body);
    assert!(office.get("carol", &format!("{WHO}list")).await.body["limited"].is_null());
}

#[tokio::test]
async fn refuses_questions_that_ask_nothing_or_two_things() {
    let office = office().await;
    for path in ["/v1/access/what", "/v1/access/what?agent=bot&group=x", "/v1/access/what?user=nobody"] {
        let told = office.get("alice", path).await;
        assert_eq!((told.status, told.code()), (422, "request.contradictory"), "{path}: {}", told.body);
    }
    for path in [
        "/v1/access/what?agent=Not%20A%20Name",
        "/v1/access/who?environment=production&server=github",
        "/v1/access/who?environment=production&server=github&tool=list&more=1",
    ] {
        let told = office.get("alice", path).await;
        assert_eq!((told.status, told.code()), (400, "request.malformed"), "{path}: {}", told.body);
    }
    assert_eq!(office.get("", WHAT).await.status, 401);
}
