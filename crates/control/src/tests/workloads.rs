//! What a runtime's token proves, asked by an operator.

use serde_json::json;

use super::fakes::RUNTIME_TOKEN;
use super::*;

const EXPLAIN: &str = "/v1/workloads/explain";

fn workload(name: &str, subject: &str) -> Value {
    json!({
        "kind": "Workload", "name": name, "environments": ["production"], "owner": "support",
        "identities": [{"issuer": "https://ci.example", "subject": subject, "claims": {"repository": "acme/*"}}]
    })
}

/// Production with two workloads, one of which proves the agent that the binding serves.
async fn with_workloads() -> Office {
    let office = Office::production().await;
    let specs = [
        workload("deploy", "repo:acme/*:ref:refs/heads/main"),
        workload("nightly", "repo:acme/*:ref:refs/heads/nightly"),
        json!({"kind": "Agent", "name": "bot", "environments": ["production"], "owner": "support",
            "risk_ceiling": "write", "proofs": ["agent_token", {"workload": "deploy"}]}),
    ];
    assert_eq!(office.apply("alice", &specs).await.status, 202);
    for (path, revision) in [("workload/-/deploy", 1), ("workload/-/nightly", 1), ("agent/-/bot", 2)] {
        let answer =
            office.post("bob", &format!("/v1/objects/{path}/approve"), json!({"revision": revision})).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
    office
}

#[tokio::test]
async fn a_token_leads_through_its_mapping_to_agent_and_binding() {
    let office = with_workloads().await;
    let answer = office.post("carol", EXPLAIN, json!({"token": RUNTIME_TOKEN})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(!answer.body.to_string().contains(RUNTIME_TOKEN), "the token is in no answer");
    assert_eq!(answer.body["verified"], json!(true));
    assert_eq!(answer.body["claims"], json!({"repository": "acme/api"}));
    let mappings = answer.body["mappings"].as_array().unwrap();
    assert_eq!((&mappings[0]["workload"], &mappings[0]["matches"]), (&json!("deploy"), &json!(true)));
    assert_eq!(mappings[0]["identities"], json!([[]]));
    let differs = json!([[{
        "part": "subject", "wanted": "repo:acme/*:ref:refs/heads/nightly", "found": "repo:acme/api:ref:refs/heads/main"
    }]]);
    assert_eq!(mappings[1]["identities"], differs);
    let place = &answer.body["environments"][0];
    assert_eq!((&place["workload"], &place["agent"]), (&json!("deploy"), &json!("bot")));
    assert_eq!(place["bindings"][0]["server"], json!("github"));
    assert_eq!(place["bindings"][0]["mode"], json!("service_account"));
    for event in office.chain.all() {
        assert!(!serde_json::to_string(&event).unwrap().contains(RUNTIME_TOKEN));
    }
}

#[tokio::test]
async fn a_token_that_does_not_verify_tells_why_and_nothing_of_the_mappings() {
    let office = with_workloads().await;
    let answer = office.post("carol", EXPLAIN, json!({"token": "another-token"})).await;
    assert_eq!(answer.body, json!({"verified": false, "because": "the token has expired"}));
}

#[tokio::test]
async fn whoever_may_see_nothing_gets_no_explanation() {
    let office = with_workloads().await;
    let body = json!({"token": RUNTIME_TOKEN, "environment": "production"});
    assert_eq!(office.post("nobody", EXPLAIN, body.clone()).await.status, 403);
    assert_eq!(office.post("", EXPLAIN, body.clone()).await.status, 401);
    assert_eq!(office.post("carol", EXPLAIN, body).await.status, 200);
    assert_eq!(office.post("carol", EXPLAIN, json!({"environment": "production"})).await.status, 400);
}

#[tokio::test]
async fn workloads_are_listed_with_their_identities() {
    let office = with_workloads().await;
    let answer = office.get("carol", "/v1/workloads").await;
    let names: Vec<_> =
        answer.body["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect();
    assert_eq!(names, [json!("deploy"), json!("nightly")]);
    assert_eq!(office.get("carol", "/v1/providers").await.body, json!({"items": [], "next": null}));
}

#[tokio::test]
async fn explain_says_what_would_have_to_change() {
    let office = with_workloads().await;
    let path = format!("{BINDING}/explain");
    let body = json!({"actor": {"workload": "nightly"}, "tool": "delete"});
    let answer = office.post("carol", &path, body).await;
    let candidate = &answer.body["candidates"][0];
    assert_eq!(candidate["change"], json!(["add `delete` to its `tools`", "call as agent `bot`"]));
    assert_eq!(candidate["mode"], json!("service_account"));
    let answer = office.post("carol", &path, json!({"actor": {"agent": "bot"}, "tool": "list"})).await;
    assert_eq!(
        (&answer.body["allowed"], &answer.body["candidates"][0]["change"]),
        (&json!(true), &json!([]))
    );
}

#[tokio::test]
async fn a_mapping_that_is_switched_off_proves_nothing_until_it_is_on_again() {
    let office = with_workloads().await;
    let explained = async || {
        let answer = office.post("carol", EXPLAIN, json!({"token": RUNTIME_TOKEN})).await;
        answer.body["environments"][0]["agent"].clone()
    };
    assert_eq!(office.post("carol", "/v1/workloads/deploy/disable", json!({})).await.status, 403);
    assert_eq!(office.post("alice", "/v1/workloads/other/disable", json!({})).await.status, 404);
    let answer = office.post("alice", "/v1/workloads/deploy/disable", json!({})).await;
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("disabled")), "{}", answer.body);
    assert_eq!(explained().await, Value::Null);
    assert_eq!(
        office.post("alice", "/v1/workloads/deploy/enable", json!({})).await.status,
        403,
        "an approver's act"
    );
    assert_eq!(office.post("bob", "/v1/workloads/deploy/enable", json!({})).await.status, 200);
    assert_eq!(explained().await, json!("bot"));
}
