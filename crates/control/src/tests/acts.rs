use super::*;

#[tokio::test]
async fn self_approval_is_refused_and_shows_in_the_audit() {
    let office = Office::new();
    office.apply("root", &world()).await;
    let answer =
        office.post("root", "/v1/objects/server/production/github/approve", json!({"revision": 1})).await;
    assert_eq!((answer.status, answer.code()), (403, "approval.own_work"));
    let refused =
        office.chain.all().into_iter().find(|event| event.kind == EventKind::OperatorRefused).unwrap();
    assert_eq!(refused.reason.as_deref(), Some("approval.own_work"));
    assert_eq!(refused.operator.unwrap().as_str(), "idp|root");
}

#[tokio::test]
async fn another_teams_path_a_repointed_route_and_a_loosened_policy_wait() {
    let office = Office::production().await;
    for changed in [
        binding("secret", json!("vault://kv/platform/root#token")),
        server("https://evil.example/mcp"),
        policy("permit (principal, action, resource) when { true };"),
    ] {
        let answer = office.apply("alice", &[changed]).await;
        assert_eq!((answer.status, &answer.body["objects"][0]["status"]), (202, &json!("pending")));
    }
    let card = office.get("carol", BINDING).await.body;
    assert_eq!(card["destination"], "https://github.internal/mcp");
    assert_eq!(card["reference"], "vault://kv/support/bot#token");
    assert_eq!(card["pending"]["changes"][0]["field"], "secret");
    assert_eq!(card["pending"]["missing"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn tightening_acts_at_once() {
    let office = Office::production().await;
    let answer = office.apply("alice", &[binding("risk", json!("read"))]).await;
    assert_eq!((answer.status, &answer.body["objects"][0]["status"]), (200, &json!("active")));
}

#[tokio::test]
async fn every_finding_comes_at_once_and_nothing_is_written() {
    let office = Office::new();
    let answer = office.apply("alice", &[binding("risk", json!("write")), server("ftp://x/")]).await;
    assert_eq!(answer.status, 422);
    let codes: Vec<_> =
        answer.body["findings"].as_array().unwrap().iter().map(|f| f["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"environment.unknown") && codes.contains(&"server.route"), "{codes:?}");
    assert_eq!(office.state.now().epoch.0, 0);
}

#[tokio::test]
async fn a_policy_that_does_not_compile_is_told_with_its_position() {
    let office = Office::new();
    let answer = office.apply("alice", &[policy("BAD")]).await;
    assert_eq!((answer.status, answer.code()), (422, "policy.invalid"));
    assert!(answer.body["findings"][0]["message"].as_str().unwrap().starts_with("1:2"));
}

#[tokio::test]
async fn a_literal_secret_in_a_manifest_is_refused_without_repeating_it() {
    let office = Office::production().await;
    for field in ["secret", "risk", "expires_at", "limits", VALUE, "tools", "mode"] {
        let answer = office.apply("alice", &[binding(field, json!(VALUE))]).await;
        assert_eq!((answer.status, answer.code()), (422, "manifest.malformed"), "{field}");
    }
}

#[tokio::test]
async fn dry_run_tells_and_writes_nothing() {
    let office = Office::new();
    let answer = office.post("alice", "/v1/apply?dry_run=true", json!({"specs": world()})).await;
    assert_eq!(answer.status, 202);
    assert_eq!(office.state.now().epoch.0, 0);
}

#[tokio::test]
async fn a_lost_race_is_run_again_and_five_are_told() {
    let office = Office::production().await;
    office.state.conflict_next(4);
    assert_eq!(office.apply("alice", &[binding("risk", json!("read"))]).await.status, 200);
    office.state.conflict_next(5);
    assert_eq!(office.apply("alice", &[binding("risk", json!("write"))]).await.code(), "state.busy");
}

#[tokio::test]
async fn roles_open_what_they_should_and_nothing_else() {
    let office = Office::production().await;
    let routes = [
        ("GET", BINDING, ["alice", "bob", "carol", "dora", "root"].as_slice()),
        ("GET", "/v1/audit", ["dora", "root"].as_slice()),
        ("POST", "/v1/audit/verify", ["dora", "root"].as_slice()),
        ("POST", "/v1/bindings/production/bot-github/disable", ["alice", "root"].as_slice()),
        ("POST", "/v1/bindings/production/bot-github/enable", ["bob", "root"].as_slice()),
        ("POST", "/v1/bindings/production/bot-github/rotate", ["alice", "root"].as_slice()),
    ];
    for (method, path, allowed) in routes {
        for who in ["alice", "bob", "carol", "dora", "root", "nobody"] {
            let answer = office.call(who, method, path, Value::Null).await;
            let refused = matches!(answer.status, 403 | 404);
            assert_eq!(
                !refused,
                allowed.contains(&who),
                "{who} {method} {path}: {} {}",
                answer.status,
                answer.body
            );
        }
        assert_eq!(office.call("", method, path, Value::Null).await.status, 401);
        assert_eq!(office.call("stranger", method, path, Value::Null).await.status, 401);
    }
}

#[tokio::test]
async fn what_one_may_not_see_does_not_exist() {
    let office = Office::production().await;
    assert_eq!(office.get("nobody", BINDING).await.status, 404);
    assert_eq!(office.get("nobody", "/v1/bindings").await.body["items"], json!([]));
    assert_eq!(office.get("nobody", "/v1/export").await.body, json!([]));
    assert_eq!(office.get("nobody", "/v1/servers").await.body["items"], json!([]));
}

#[tokio::test]
async fn revoking_ends_the_traffic_and_answers_with_evidence() {
    let office = Office::production().await;
    let answer = office.post("alice", &format!("{BINDING}/revoke"), Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        answer.body["ended"],
        json!({"calls": 1, "streams": 2, "sessions": 3, "children": 0, "cached_values": 1})
    );
    let events = office.chain.all();
    let at = |field: &str| events[answer.body["audit"][field].as_u64().unwrap() as usize - 1].kind;
    assert_eq!((at("revoked"), at("completed")), (EventKind::BindingRevoked, EventKind::RevocationCompleted));
    assert_eq!(answer.body["audit"]["pending"], json!(false));
    let again = office.apply("alice", &[binding("risk", json!("read"))]).await;
    assert_eq!(again.code(), "binding.revoked_name");
}

#[tokio::test]
async fn with_the_audit_log_down_a_revocation_still_blocks_and_says_that_evidence_is_pending() {
    let office = Office::production().await;
    office.chain.down.store(true, Ordering::SeqCst);
    let answer = office.post("alice", &format!("{BINDING}/revoke"), Value::Null).await;
    assert_eq!((answer.status, &answer.body["audit"]["pending"]), (200, &json!(true)), "{}", answer.body);
    assert_eq!(*office.live.ended.lock().unwrap(), ["bot-github"]);
    let key = gateway_core::manifest::ObjectKey {
        kind: gateway_core::manifest::Kind::Binding,
        environment: Some("production".parse().unwrap()),
        name: "bot-github".into(),
    };
    assert!(office.state.now().standing(&key).is_none());
    let waiting = gateway_core::ports::StateWriter::outbox(&*office.state, 100).await.unwrap();
    let kinds: Vec<_> = waiting.iter().map(|entry| entry.event.kind).collect();
    assert_eq!(
        kinds,
        [EventKind::BindingRevoked, EventKind::RevocationCompleted, EventKind::RevocationSigned]
    );
}

#[tokio::test]
async fn a_revocation_whose_traffic_does_not_end_is_not_called_complete() {
    let office = Office::production().await;
    office.live.stuck.store(true, Ordering::SeqCst);
    let answer = office.post("alice", &format!("{BINDING}/revoke"), Value::Null).await;
    assert_eq!((answer.status, answer.code()), (503, "revocation.incomplete"));
    assert!(!office.saw(EventKind::RevocationCompleted));
}

#[tokio::test]
async fn explain_names_the_winner_and_why_others_lost() {
    let office = Office::production().await;
    let path = format!("{BINDING}/explain");
    let asked = json!({"actor": {"agent": "bot"}, "tool": "list"});
    let answer = office.post("carol", &path, asked).await;
    assert_eq!((answer.status, &answer.body["winner"]), (200, &json!("bot-github@1")), "{}", answer.body);
    let answer = office.post("carol", &path, json!({"actor": {}, "tool": "list"})).await;
    assert_eq!(answer.body["refusal"], "server.unknown");
    assert!(answer.body["candidates"][0]["because"][0].as_str().unwrap().contains("agent"));
    let case =
        json!({"environment": "production", "server": "github", "actor": {"agent": "bot"}, "tool": "list"});
    let mut cases = json!({"cases": [case]});
    cases["cases"][0]["expect"] = json!("deny");
    let answer = office.post("carol", "/v1/policies/test", cases).await;
    assert_eq!((answer.status, &answer.body["passed"]), (200, &json!(false)), "{}", answer.body);
}

#[tokio::test]
async fn a_caller_inside_the_process_is_judged_and_recorded_like_one_of_the_listener() {
    let office = Office::new();
    office.apply("root", &world()).await;
    let operator = |name: &str, role| gateway_core::operator::Operator {
        name: name.parse().unwrap(),
        grants: vec![RoleGrant::everywhere(role)],
    };
    let call = |who, path: &str, body: &str| {
        let request = Request::post(path).body(Body::from(body.to_owned())).unwrap();
        office.routes.call(who, request)
    };
    let path = "/v1/objects/server/production/github/approve";
    let own = call(operator("idp|root", Role::Admin), path, r#"{"revision":1}"#).await;
    let viewer = call(operator("idp|vera", Role::Viewer), path, r#"{"revision":1}"#).await;
    assert_eq!((own.status().as_u16(), viewer.status().as_u16()), (403, 403));
    let refused: Vec<_> =
        office.chain.all().into_iter().filter(|event| event.kind == EventKind::OperatorRefused).collect();
    let told: Vec<_> = refused.iter().map(|event| event.operator.as_ref().unwrap().as_str()).collect();
    assert_eq!(told, ["idp|root", "idp|vera"]);
    assert_eq!(call(operator("idp|root", Role::Admin), "/v1/nowhere", "").await.status().as_u16(), 404);
}
