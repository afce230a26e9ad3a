use super::*;
use crate::openapi_document;

fn operations() -> Vec<String> {
    let document = openapi_document();
    let paths = document["paths"].as_object().unwrap();
    let mut operations: Vec<String> = paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    operations.sort();
    operations
}

#[test]
fn the_document_lists_every_route() {
    insta::assert_snapshot!(operations().join("\n"), @r"
    DELETE /v1/agent-tokens/{id}
    GET /.well-known/jwks.json
    GET /livez
    GET /metrics
    GET /readyz
    GET /v1/access/what
    GET /v1/access/who
    GET /v1/agents
    GET /v1/agents/{name}/calls
    GET /v1/agents/{name}/tokens
    GET /v1/audit
    GET /v1/audit/tail
    GET /v1/bindings
    GET /v1/bindings/{environment}/{name}
    GET /v1/bindings/{environment}/{name}/effect
    GET /v1/bindings/{environment}/{name}/health
    GET /v1/bindings/{environment}/{name}/versions
    GET /v1/calls
    GET /v1/environments
    GET /v1/expiring
    GET /v1/export
    GET /v1/grants
    GET /v1/locks
    GET /v1/locks/{id}
    GET /v1/me
    GET /v1/objects/{kind}/{environment}/{name}
    GET /v1/objects/{kind}/{environment}/{name}/effect
    GET /v1/policies
    GET /v1/providers
    GET /v1/revocations
    GET /v1/revocations/{id}
    GET /v1/servers
    GET /v1/servers/{environment}/{name}/calls
    GET /v1/sessions
    GET /v1/stores
    GET /v1/summary
    GET /v1/waiting
    GET /v1/workloads
    POST /v1/agents/{name}/disable
    POST /v1/agents/{name}/enable
    POST /v1/agents/{name}/revoke
    POST /v1/agents/{name}/tokens
    POST /v1/apply
    POST /v1/audit/verify
    POST /v1/bindings/{environment}/{name}/approve
    POST /v1/bindings/{environment}/{name}/disable
    POST /v1/bindings/{environment}/{name}/enable
    POST /v1/bindings/{environment}/{name}/explain
    POST /v1/bindings/{environment}/{name}/review
    POST /v1/bindings/{environment}/{name}/revoke
    POST /v1/bindings/{environment}/{name}/rotate
    POST /v1/bindings/{environment}/{name}/validate
    POST /v1/diff
    POST /v1/environments/{name}/revoke
    POST /v1/grants/{id}/revoke
    POST /v1/locks
    POST /v1/locks/{id}/lift
    POST /v1/login
    POST /v1/objects/{kind}/{environment}/{name}/approve
    POST /v1/policies/check
    POST /v1/policies/diff
    POST /v1/policies/explain
    POST /v1/policies/test
    POST /v1/promote
    POST /v1/secrets
    POST /v1/secrets/check
    POST /v1/servers/{environment}/{name}/revoke
    POST /v1/sessions/terminate
    POST /v1/sessions/{id}/terminate
    POST /v1/stores/{name}/probe
    POST /v1/workloads/explain
    POST /v1/workloads/{name}/disable
    POST /v1/workloads/{name}/enable
    POST /v1/workloads/{name}/revoke
    ");
}

#[test]
fn the_document_stays_as_it_is() {
    insta::assert_snapshot!("openapi", serde_json::to_string_pretty(&openapi_document()).unwrap());
}

#[tokio::test]
async fn every_documented_route_exists_and_asks_who_one_is() {
    let office = Office::new();
    for operation in operations() {
        let (method, path) = operation.split_once(' ').unwrap();
        let path = path
            .replace("{environment}", "production")
            .replace("{name}", "x")
            .replace("{kind}", "server")
            .replace("{id}", "x");
        let answer = office.call("", method, &path, Value::Null).await;
        assert_ne!(answer.code(), "request.unknown", "{operation}");
        let open = !path.starts_with("/v1/");
        assert_eq!(answer.status == 200, open, "{operation}: {}", answer.status);
        if path.starts_with("/v1/") && path != "/v1/login" {
            assert_eq!(answer.status, 401, "{operation}");
        }
    }
    assert_eq!(office.get("", "/v1/openapi.json").await.status, 200);
    assert_eq!(office.get("alice", "/v1/nothing").await.code(), "request.unknown");
}

#[tokio::test]
async fn lists_filter_and_turn_pages() {
    let office = Office::production().await;
    let other = {
        let mut other = binding("name", json!("zeta"));
        other["actor"] = json!({"groups": ["support"]});
        other
    };
    assert_eq!(office.apply("alice", &[other]).await.status, 202);
    let first = office.get("carol", "/v1/bindings?limit=1").await.body;
    assert_eq!(first["items"][0]["name"], "bot-github");
    let next = first["next"].as_str().unwrap();
    let second = office.get("carol", &format!("/v1/bindings?limit=1&after={next}")).await.body;
    assert_eq!((&second["items"][0]["name"], &second["next"]), (&json!("zeta"), &Value::Null));
    let pending = office.get("carol", "/v1/bindings?status=pending").await.body;
    assert_eq!(pending["items"].as_array().unwrap().len(), 1);
    assert_eq!(office.get("carol", "/v1/bindings?color=red").await.status, 400);
}

#[tokio::test]
async fn oversized_bodies_are_refused() {
    let office = Office::production().await;
    let body = json!({"revision": 1, "padding": "x".repeat(2 << 20)});
    let answer = office.post("bob", &format!("{BINDING}/approve"), body).await;
    assert_eq!((answer.status, answer.code()), (413, "request.too_large"));
}
