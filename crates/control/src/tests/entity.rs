use super::*;

const CARD: &str = "/v1/bindings/production/bot-github";

async fn tag(office: &Office, path: &str) -> String {
    let answer = office.get("carol", path).await;
    let header = answer.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(header, format!("\"{}\"", answer.body["etag"].as_str().unwrap()), "{path}");
    header
}

#[tokio::test]
async fn a_tag_changes_with_what_operators_write_and_with_nothing_else() {
    let office = Office::production().await;
    let first = tag(&office, CARD).await;
    assert_eq!(tag(&office, CARD).await, first);
    assert_eq!(tag(&office, "/v1/objects/binding/production/bot-github").await, first, "one thing, one tag");
    let listed = office.get("carol", "/v1/bindings").await.body["items"][0]["etag"].clone();
    assert_eq!(format!("\"{}\"", listed.as_str().unwrap()), first);
    let lock =
        json!({"selector": {"environment": "production", "server": "github"}, "reason": "r", "seconds": 60});
    assert_eq!(office.post("alice", "/v1/locks", lock).await.status, 201);
    let locked = tag(&office, CARD).await;
    assert_ne!(locked, first, "a lock on it is a change");
    assert_eq!(office.post("alice", &format!("{CARD}/disable"), Value::Null).await.status, 200);
    let disabled = tag(&office, CARD).await;
    assert!(![&first, &locked].contains(&&disabled));
    let agent = tag(&office, "/v1/objects/agent/-/bot").await;
    assert_eq!(office.apply("alice", &[binding("risk", json!("read"))]).await.status, 200);
    assert_ne!(tag(&office, CARD).await, disabled);
    assert_eq!(tag(&office, "/v1/objects/agent/-/bot").await, agent, "others keep theirs");
}

#[tokio::test]
async fn who_has_it_already_is_not_sent_it_again() {
    let office = Office::production().await;
    for path in [CARD, "/v1/objects/server/production/github"] {
        let tag = tag(&office, path).await;
        for (wanted, status) in [
            (tag.as_str(), 304),
            ("*", 304),
            (&format!("\"x\", {tag}"), 304),
            ("\"x\"", 200),
            (&format!("W/{tag}"), 200),
        ] {
            let answer = office.with("carol", "GET", path, &[("if-none-match", wanted)], Value::Null).await;
            assert_eq!(answer.status, status, "{path} {wanted}");
            assert_eq!(answer.headers["etag"].to_str().unwrap(), tag);
            assert_eq!(answer.body == json!(""), status == 304, "{}", answer.body);
        }
    }
}

#[tokio::test]
async fn an_act_on_what_has_changed_is_refused_and_the_present_tag_named() {
    let office = Office::production().await;
    let seen = tag(&office, CARD).await;
    assert_eq!(office.apply("alice", &[binding("risk", json!("read"))]).await.status, 200);
    let now = tag(&office, CARD).await;
    for (who, act, body) in [
        ("alice", "disable", Value::Null),
        ("alice", "rotate", json!({})),
        ("root", "revoke", Value::Null),
        ("bob", "review", json!({"revision": 2, "until": "2099-01-01"})),
    ] {
        let path = format!("{CARD}/{act}");
        let answer = office.with(who, "POST", &path, &[("if-match", &seen)], body).await;
        assert_eq!((answer.status, answer.code()), (412, "object.changed"), "{act}: {}", answer.body);
        assert_eq!(answer.headers["etag"].to_str().unwrap(), now, "{act}");
        assert!(answer.body["detail"].as_str().unwrap().contains(now.trim_matches('"')), "{}", answer.body);
    }
    let answer =
        office.with("alice", "POST", &format!("{CARD}/disable"), &[("if-match", &now)], Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    for wrong in ["x", "\"x", "W/x, \"y\"z"] {
        let answer = office
            .with("alice", "POST", &format!("{CARD}/disable"), &[("if-match", wrong)], Value::Null)
            .await;
        assert_eq!((answer.status, answer.code()), (400, "request.malformed"), "{wrong}");
    }
    let strange = "/v1/bindings/production/nothing/disable";
    let answer = office.with("alice", "POST", strange, &[("if-match", "*")], Value::Null).await;
    assert_eq!((answer.status, answer.code()), (404, "object.unknown"));
}

#[tokio::test]
async fn a_manifest_with_a_tag_never_overwrites_what_its_author_has_not_seen() {
    let office = Office::production().await;
    let export = office.get("alice", "/v1/export?etags=true").await.body;
    let read = export.as_array().unwrap().iter().find(|one| one["kind"] == "Binding").unwrap().clone();
    assert!(office.get("alice", "/v1/export").await.body[0].get("etag").is_none(), "only who asks is told");
    let changed = |field: &str, value: Value| {
        let mut changed = read.clone();
        changed[field] = value;
        changed
    };
    let first = office.apply("alice", &[changed("risk", json!("read"))]).await;
    assert_eq!(
        (first.status, &first.body["objects"][0]["outcome"]),
        (200, &json!("changed")),
        "{}",
        first.body
    );
    let second = office.apply("alice", &[changed("tools", json!(["list"]))]).await;
    assert_eq!((second.status, second.code()), (412, "object.changed"), "{}", second.body);
    assert_eq!(second.body["findings"][0]["object"], "Binding/production/bot-github");
    let again = office.apply("alice", &[changed("risk", json!("read"))]).await;
    assert_eq!(
        (again.status, &again.body["objects"][0]["outcome"]),
        (200, &json!("unchanged")),
        "nothing is lost by it"
    );
    let fresh = tag(&office, CARD).await;
    let mut current = changed("tools", json!(["list"]));
    current["risk"] = json!("read");
    current["etag"] = json!(fresh.trim_matches('"'));
    assert_eq!(office.apply("alice", &[current]).await.status, 200);
    let mut made = binding("name", json!("bot-github"));
    made["etag"] = json!("none");
    assert_eq!(office.apply("alice", &[made.clone()]).await.code(), "object.changed", "it is there already");
    made["name"] = json!("zeta");
    made["actor"] = json!({"groups": ["support"]});
    assert_eq!(office.apply("alice", &[made]).await.status, 202);
    let mut wrong = binding("risk", json!("read"));
    wrong["etag"] = json!(7);
    assert_eq!(office.apply("alice", &[wrong]).await.code(), "manifest.malformed");
}

#[tokio::test]
async fn methods_and_bodies_that_do_not_exist_are_told_apart() {
    let office = Office::production().await;
    let answer = office.call("alice", "DELETE", CARD, Value::Null).await;
    assert_eq!((answer.status, answer.code()), (405, "request.method"));
    assert!(answer.headers["allow"].to_str().unwrap().contains("GET"), "{:?}", answer.headers);
    let body = json!({"revision": 1});
    let path = format!("{CARD}/approve");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer = office.with("bob", "POST", &path, &form, body.clone()).await;
    assert_eq!((answer.status, answer.code()), (415, "request.content_type"));
    for kind in ["application/json", "Application/JSON; charset=utf-8"] {
        let answer = office.with("bob", "POST", &path, &[("content-type", kind)], body.clone()).await;
        assert_eq!(answer.status, 409, "{kind}: {}", answer.body);
    }
    assert_eq!(office.post("bob", &path, json!({"revision": 1.0})).await.status, 409, "1.0 is 1");
    for wrong in [json!(1.5), json!(-1), json!(4_294_967_296_u64), json!("1")] {
        let answer = office.post("bob", &path, json!({"revision": wrong})).await;
        assert_eq!((answer.status, answer.code()), (400, "request.malformed"), "{wrong}");
    }
}

#[tokio::test]
async fn an_array_is_no_object_wherever_one_is_asked_for() {
    let office = Office::production().await;
    let call = |actor: Value| json!({"environment": "production", "server": "github", "actor": actor, "tool": "list"});
    let fits = json!({"agent": "bot"});
    assert_eq!(office.post("carol", "/v1/policies/explain", call(fits.clone())).await.status, 200);
    let explain = format!("{CARD}/explain");
    let mut test = call(json!([null, null]));
    test["expect"] = json!("allow");
    for (who, path, body) in [
        ("carol", "/v1/policies/explain", call(json!([null, null]))),
        ("carol", "/v1/policies/test", json!({"cases": [test]})),
        ("carol", "/v1/policies/test", json!([[]])),
        (
            "carol",
            "/v1/policies/check",
            json!({"policies": [["a", "permit (principal, action, resource);"]]}),
        ),
        ("carol", &explain, json!({"actor": ["bot"], "tool": "list"})),
        ("carol", &explain, json!([{"agent": "bot"}, "list", null])),
        ("alice", "/v1/locks", json!({"selector": [true], "reason": "r", "seconds": 60})),
        ("alice", "/v1/agents/bot/tokens", json!({"entries": [["production"]], "lifetime_seconds": 60})),
        ("alice", "/v1/promote", json!({"from": "production", "to": "dev", "map": [{}]})),
        ("bob", &format!("{CARD}/approve"), json!([1])),
    ] {
        let answer = office.post(who, path, body.clone()).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "request.malformed"),
            "{path} {body}: {}",
            answer.body
        );
    }
    for manifest in
        [json!(["Environment", "dev"]), binding("limits", json!([1, 2])), binding("actor", json!([["bot"]]))]
    {
        let answer = office.apply("alice", &[manifest]).await;
        assert_eq!((answer.status, answer.code()), (422, "manifest.malformed"), "{}", answer.body);
    }
    assert_eq!(office.state.now().locks.len(), 0);
}
