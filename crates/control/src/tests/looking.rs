use gateway_core::audit::Outcome;

use super::*;

const CALLS: &str = "/v1/servers/production/github/calls";

/// How a call of the bot's ended, so many seconds ago.
fn ended(office: &Office, kind: EventKind, ago: u64, reason: Option<&str>) {
    use gateway_core::time::Clock as _;
    let time = Timestamp::from_seconds(office.plain.now().seconds() - i64::try_from(ago).unwrap());
    let mut event = Event::new(kind, time);
    event.agent = Some("bot".parse().unwrap());
    event.environment = Some("production".parse().unwrap());
    event.server = Some("github".parse().unwrap());
    event.reason = reason.map(str::to_owned);
    if kind == EventKind::Outcome {
        event.outcome = Some(Outcome { upstream_status: Some(200), ..Outcome::default() });
    }
    office.chain.events.lock().unwrap().push(event);
}

#[tokio::test]
async fn the_owner_of_a_server_sees_the_calls_at_its_door_by_agent_and_outcome() {
    let office = Office::production().await;
    for ago in [10, 20, 30] {
        ended(&office, EventKind::Outcome, ago, None);
    }
    ended(&office, EventKind::Outcome, 5, Some("upstream.unreachable"));
    ended(&office, EventKind::Refused, 40, Some("binding.none"));
    let team = Some(vec!["support".parse().unwrap()]);
    office.people.add("owner", vec![RoleGrant { teams: team, ..RoleGrant::everywhere(Role::Editor) }]);
    let answer = office.get("owner", CALLS).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!((&answer.body["uses"], &answer.body["refusals"]), (&json!(4), &json!(1)));
    let by: Vec<(String, u64)> = answer.body["by"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            let told = ["who", "outcome", "detail"].map(|field| line[field].as_str().unwrap());
            (told.join(" "), line["calls"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(by[0], ("bot answered 200".to_owned(), 3), "{by:?}");
    assert!(by.contains(&("bot failed upstream.unreachable".to_owned(), 1)), "{by:?}");
    assert!(by.contains(&("bot refused binding.none".to_owned(), 1)), "{by:?}");
    assert_eq!(answer.body["latest"][0]["detail"], "upstream.unreachable", "the newest first");
}

#[tokio::test]
async fn calls_are_told_to_nobody_without_a_role_for_the_door() {
    let office = Office::production().await;
    let other = Some(vec!["finance".parse().unwrap()]);
    office.people.add("other", vec![RoleGrant { teams: other, ..RoleGrant::everywhere(Role::Editor) }]);
    for (who, path, status) in [
        ("carol", CALLS, 403),
        ("other", CALLS, 404),
        ("nobody", CALLS, 404),
        ("carol", "/v1/agents/bot/calls", 403),
        ("alice", "/v1/agents/bot/calls", 200),
        ("alice", "/v1/calls", 403),
        ("dora", "/v1/calls?minutes=60", 200),
        ("dora", "/v1/calls?environment=Not-A-Name!", 400),
        ("dora", "/v1/servers/production/nothing/calls", 404),
    ] {
        let answer = office.get(who, path).await;
        assert_eq!(answer.status, status, "{who} {path}: {}", answer.body);
    }
}

#[tokio::test]
async fn stores_are_told_with_their_health_to_those_who_have_a_role_where_they_serve() {
    let office = Office::production().await;
    let dev = Some(vec!["dev".parse().unwrap()]);
    office
        .people
        .add("dev-only", vec![RoleGrant { environments: dev, ..RoleGrant::everywhere(Role::Viewer) }]);
    let all = office.get("carol", "/v1/stores").await.body;
    let names: Vec<&str> =
        all["items"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["sealed", "vault"]);
    assert_eq!(all["items"][1]["references"], 1, "one binding names it: {all}");
    assert_eq!(all["items"][0]["environments"], json!(["dev", "staging"]));
    let some = office.get("dev-only", "/v1/stores").await.body;
    assert_eq!(some["items"].as_array().unwrap().len(), 1, "{some}");
    assert_eq!(some["items"][0]["environments"], json!(["dev"]), "others are not theirs to know of");
    assert_eq!(office.post("dev-only", "/v1/stores/vault/probe", Value::Null).await.status, 404);
    assert_eq!(office.post("carol", "/v1/stores/vault/probe", Value::Null).await.status, 403);
    let probed = office.post("alice", "/v1/stores/vault/probe", Value::Null).await;
    assert_eq!((probed.status, &probed.body["reachable"]), (200, &json!(true)));
    assert_eq!(office.get("nobody", "/v1/stores").await.body["items"], json!([]));
}

#[tokio::test]
async fn what_waits_says_what_it_changes_and_whether_it_is_mine_to_sign() {
    let office = Office::production().await;
    assert_eq!(
        office.apply("alice", &[binding("tools", json!(["list", "comment", "close"]))]).await.status,
        202
    );
    for (who, yours) in [("alice", false), ("bob", true), ("carol", false)] {
        let answer = office.get(who, "/v1/waiting").await.body;
        let items = answer["items"].as_array().unwrap();
        assert_eq!(items.len(), 1, "{answer}");
        assert_eq!((&items[0]["name"], &items[0]["yours"]), (&json!("bot-github"), &json!(yours)), "{who}");
        assert_eq!(items[0]["changes"][0]["field"], "tools", "{answer}");
    }
    assert_eq!(office.get("nobody", "/v1/waiting").await.body["items"], json!([]));
}

#[tokio::test]
async fn an_object_is_told_with_every_revision_and_what_each_changed() {
    let office = Office::production().await;
    assert_eq!(office.apply("alice", &[policy("forbid (principal, action, resource);")]).await.status, 202);
    let answer = office.get("carol", "/v1/objects/policy/production/triage").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let history = answer.body["history"].as_array().unwrap();
    let revisions: Vec<u64> = history.iter().map(|one| one["revision"].as_u64().unwrap()).collect();
    assert_eq!(revisions, [2, 1], "the newest first");
    assert_eq!(history[0]["changes"][0]["field"], "cedar", "{}", answer.body);
    assert_eq!(answer.body["pending"]["revision"], 2);
    for unknown in ["policy/production/nothing", "nonsense/production/triage", "agent/-/nobody"] {
        assert_eq!(office.get("carol", &format!("/v1/objects/{unknown}")).await.status, 404, "{unknown}");
    }
}

#[tokio::test]
async fn what_ends_soon_is_listed_and_what_ends_later_is_not() {
    let office = Office::production().await;
    let wish = json!({ "entries": [{ "environment": "production" }], "lifetime_seconds": 5 * 24 * 3600 });
    assert_eq!(office.post("alice", "/v1/agents/bot/tokens", wish).await.status, 201);
    let soon = office.get("carol", "/v1/expiring").await.body;
    assert_eq!(soon["items"][0]["due"], "agent_token", "{soon}");
    assert_eq!(office.get("carol", "/v1/expiring?days=3").await.body["items"], json!([]));
    assert_eq!(office.get("nobody", "/v1/expiring").await.body["items"], json!([]));
}
