use gateway_core::identity::TokenDigest;
use gateway_core::lifecycle::{MintedToken, commit, issue_bootstrap};
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;

use super::*;

#[tokio::test]
async fn rotation_probes_first_and_then_switches() {
    let office = Office::production().await;
    let body = json!({"reference": "vault://kv/support/bot#token?version=2"});
    let answer = office.post("alice", &format!("{BINDING}/rotate"), body).await;
    assert_eq!((answer.status, &answer.body["outcome"]), (200, &json!("switched")), "{}", answer.body);
    assert_eq!(office.probe.tries.load(Ordering::SeqCst), 1);
    let rotated =
        office.chain.all().into_iter().find(|event| event.kind == EventKind::BindingRotated).unwrap();
    assert_eq!(rotated.secret_version.unwrap().as_str(), "7");
    assert_eq!(office.get("carol", BINDING).await.body["revision"], 2);
    assert_eq!(*office.vault.forgotten.lock().unwrap(), ["vault://kv/support/bot#token?version=2"]);
}

#[tokio::test]
async fn a_value_that_the_upstream_refuses_reaches_no_call() {
    let office = Office::production().await;
    office.probe.refuses.store(true, Ordering::SeqCst);
    let answer = office.post("alice", &format!("{BINDING}/rotate"), Value::Null).await;
    assert_eq!(answer.code(), "upstream.unauthorized");
    assert!(office.vault.forgotten.lock().unwrap().is_empty(), "calls go on with what is cached");
    office.probe.refuses.store(false, Ordering::SeqCst);
    let answer = office.post("alice", &format!("{BINDING}/rotate"), Value::Null).await;
    assert_eq!(answer.body["outcome"], "refreshed", "{}", answer.body);
    assert_eq!(office.vault.forgotten.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_failed_probe_keeps_the_old_reference_and_says_so() {
    let office = Office::production().await;
    office.probe.refuses.store(true, Ordering::SeqCst);
    let body = json!({"reference": "vault://kv/support/bot#token?version=2"});
    let answer = office.post("alice", &format!("{BINDING}/rotate"), body).await;
    assert_eq!((answer.status, answer.code()), (502, "upstream.unauthorized"));
    assert_eq!(office.get("carol", BINDING).await.body["revision"], 1);
    assert!(office.saw(EventKind::RotationRefused) && !office.saw(EventKind::BindingRotated));
}

#[tokio::test]
async fn values_that_cannot_be_injected_never_reach_the_upstream() {
    let office = Office::production().await;
    for (bad, code) in [
        ("line\r\nbreak-of-a-long-value", "secret.unusable"),
        ("short", "secret.unusable"),
        ("", "secret.empty"),
    ] {
        office.vault.values.lock().unwrap().insert("kv/support/bot".into(), bad.into());
        let answer = office.post("alice", &format!("{BINDING}/rotate"), Value::Null).await;
        assert_eq!(answer.code(), code, "{bad:?}");
    }
    assert_eq!(office.probe.tries.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn another_place_waits_and_is_not_read_before() {
    let office = Office::production().await;
    let body = json!({"reference": "vault://kv/platform/root#token"});
    let answer = office.post("alice", &format!("{BINDING}/rotate"), body).await;
    assert_eq!((answer.status, &answer.body["outcome"]), (202, &json!("pending")));
    assert!(office.vault.fetched.lock().unwrap().is_empty());
}

fn with_bootstrap() -> State {
    let mut state = State::default();
    let digest = TokenDigest::of(&Secret::copy_from(b"first"));
    let now = Timestamp::from_seconds(1_795_000_000);
    let minted = MintedToken { digest, id: "b".into() };
    let change = issue_bootstrap(&state, &minted, std::time::Duration::from_secs(60), now).unwrap();
    commit(&mut state, &change).unwrap();
    state
}

#[tokio::test]
async fn the_bootstrap_token_logs_in_once() {
    let office = Office::holding(with_bootstrap());
    let answer = office.post("first", "/v1/login", json!({"name": "alice"})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let token = answer.body["token"].as_str().unwrap().to_owned();
    let again = office.post("first", "/v1/login", json!({"name": "eve"})).await;
    assert_eq!((again.status, again.code()), (401, "login.refused"));
    assert_eq!(office.get("first", "/v1/me").await.status, 401, "it opens nothing but the login");
    let stored = crate::StoredOperators(office.state.clone());
    let presented = gateway_core::identity::Presented::new(Secret::copy_from(token.as_bytes()));
    let now = Timestamp::from_seconds(1_795_000_000);
    let operator = crate::OperatorVerifier::verify(&stored, &presented, now).await.unwrap();
    assert_eq!(operator.name.as_str(), "alice");
    assert!(office.saw(EventKind::OperatorLogin) && office.saw(EventKind::OperatorRefused));
}

#[tokio::test]
async fn agent_tokens_are_shown_once_and_revoked_by_id() {
    let office = Office::production().await;
    let body =
        json!({"entries": [{"environment": "production", "servers": ["github"]}], "lifetime_seconds": 3600});
    let issued = office.post("alice", "/v1/agents/bot/tokens", body).await;
    assert_eq!(issued.status, 201, "{}", issued.body);
    let token = issued.body["token"].as_str().unwrap();
    let listed = office.get("carol", "/v1/agents/bot/tokens").await.body;
    assert!(!listed.to_string().contains(token));
    let path = format!("/v1/agent-tokens/{}", issued.body["id"].as_str().unwrap());
    assert_eq!(office.call("carol", "DELETE", &path, Value::Null).await.status, 403);
    assert_eq!(office.call("alice", "DELETE", &path, Value::Null).await.status, 204);
    assert_eq!(office.call("alice", "DELETE", &path, Value::Null).await.status, 404);
    assert!(!office.state.now().agent_tokens.iter().any(|token| token.revoked_at.is_none()));
}

#[tokio::test]
async fn a_secret_check_tells_version_and_fingerprint_and_takes_the_path_teams_role() {
    let office = Office::production().await;
    let body =
        |path: &str| json!({"environment": "production", "reference": format!("vault://{path}#token")});
    let answer = office.post("alice", "/v1/secrets/check", body("kv/support/bot")).await;
    assert_eq!(answer.body["resolvable"], true);
    assert_eq!(answer.body["fingerprint"].as_str().unwrap().len(), 12);
    let answer = office.post("alice", "/v1/secrets/check", body("kv/support/gone")).await;
    assert_eq!((&answer.body["resolvable"], &answer.body["code"]), (&json!(false), &json!("secret.missing")));
    let teams = Some(vec!["support".parse().unwrap()]);
    office.people.add("sue", vec![RoleGrant { role: Role::Editor, teams, environments: None }]);
    assert_eq!(office.post("sue", "/v1/secrets/check", body("kv/support/bot")).await.status, 200);
    assert_eq!(office.post("sue", "/v1/secrets/check", body("kv/platform/root")).await.status, 403);
    let dev = json!({"environment": "dev", "reference": "vault://kv/support/bot#token"});
    assert_eq!(office.post("alice", "/v1/secrets/check", dev).await.code(), "secret.reference_refused");
}

#[tokio::test]
async fn a_value_goes_in_and_never_comes_out() {
    let office = Office::new();
    let body = json!({"store": "sealed", "path": "bot", "field": "token", "value": VALUE});
    let answer = office.post("alice", "/v1/secrets", body.clone()).await;
    assert_eq!(
        (answer.status, &answer.body["reference"]),
        (201, &json!("sealed://bot#token")),
        "{}",
        answer.body
    );
    assert_eq!(office.vault.values.lock().unwrap().get("bot").map(String::as_str), Some(VALUE));
    assert_eq!(office.post("carol", "/v1/secrets", body).await.status, 403);
    let read_only = json!({"store": "vault", "path": "kv/support/x", "field": "t", "value": VALUE});
    assert_eq!(office.post("alice", "/v1/secrets", read_only).await.code(), "store.read_only");
    let wrong = json!({"store": "sealed", "path": VALUE, "field": 1, "value": VALUE});
    assert_eq!(office.post("alice", "/v1/secrets", wrong).await.status, 400);
    assert!(!format!("{:?}", office.chain.all()).contains(VALUE));
}

#[tokio::test]
async fn strangers_who_guess_at_the_login_do_not_fill_the_disk() {
    let office = Office::new();
    for _ in 0..12 {
        assert_eq!(office.post("guess", "/v1/login", json!({"name": "eve"})).await.status, 401);
    }
    assert_eq!(office.chain.all().len(), 10);
}

#[tokio::test]
async fn a_login_reaches_its_operator_even_with_the_audit_log_down() {
    let office = Office::holding(with_bootstrap());
    office.chain.down.store(true, Ordering::SeqCst);
    let answer = office.post("first", "/v1/login", json!({"name": "alice"})).await;
    assert!(answer.body["token"].is_string(), "{}", answer.body);
}

#[tokio::test]
async fn a_change_that_cannot_be_published_says_that_it_stands() {
    let office = Office::production().await;
    office.chain.down.store(true, Ordering::SeqCst);
    let answer = office.apply("alice", &[binding("risk", json!("read"))]).await;
    assert_eq!((answer.status, answer.code()), (503, "state.not_published"));
}
