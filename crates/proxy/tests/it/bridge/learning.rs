//! How the gateway finds out which generation a server speaks.

use serde_json::json;

use super::servers::{error, legacy, modern};
use crate::broker::{TestBroker, record, server_spec};
use crate::upstream::{Upstream, json};

async fn said(broker: &mut TestBroker, generation: &str) {
    let mut spec = server_spec(
        broker
            .state
            .revisions
            .iter()
            .find_map(|record| match &record.spec {
                gateway_core::manifest::Spec::Server(server) => match &server.route {
                    gateway_core::manifest::Route::Http(route) => {
                        Some(format!("127.0.0.1:{}", route.url.port().unwrap()).parse().unwrap())
                    }
                    gateway_core::manifest::Route::Stdio(_) => None,
                },
                _ => None,
            })
            .unwrap(),
    );
    spec["route"]["generation"] = generation.into();
    let server = record(spec, 1);
    broker.publish(|state| state.revisions[1] = server);
}

#[tokio::test]
async fn a_route_that_says_it_is_believed_at_once() {
    let server = legacy().await;
    let mut broker = TestBroker::start(server.upstream.address).await;
    said(&mut broker, "legacy").await;
    assert_eq!(broker.call("echo").await.status, 200);
    assert_eq!(server.methods(), ["initialize", "notifications/initialized", "tools/call"]);

    let server = modern().await;
    let mut broker = TestBroker::start(server.upstream.address).await;
    said(&mut broker, "modern").await;
    let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {}});
    let answer = broker.send(broker.request("alice-token", body.to_string())).await;
    assert_eq!((answer.status, &answer.json()["result"]["protocolVersion"]), (200, &json!("2025-11-25")));
    assert_eq!(server.methods(), ["server/discover"]);
}

#[tokio::test]
async fn a_modern_servers_errors_are_its_own_and_it_is_asked_once() {
    let server = modern().await;
    let unknown = |binding: &mut serde_json::Value| binding["methods"] = json!(["com.example/x"]);
    let broker = TestBroker::with(server.upstream.address, unknown, |_| {}).await;
    for _ in 0..2 {
        let answer = broker.send(broker.modern("alice-token", "com.example/x", None)).await;
        assert_eq!((answer.status, &answer.json()["error"]["message"]), (404, &json!("said the server")));
    }
    assert_eq!(server.methods(), ["com.example/x", "server/discover", "com.example/x"]);
}

#[tokio::test]
async fn a_server_of_both_generations_is_left_alone() {
    let upstream = Upstream::start(|seen| async move {
        let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
        json(json!({"jsonrpc": "2.0", "id": body["id"], "result": {"x": 1}}).to_string())
    })
    .await;
    let broker = TestBroker::start(upstream.address).await;
    broker.call("echo").await;
    let sent = r#"{ "jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;
    let answer = broker.send(broker.request("alice-token", sent)).await;
    assert_eq!(answer.text, r#"{"jsonrpc":"2.0","id":0,"result":{"x":1}}"#);
    assert_eq!(upstream.last().body, sent);
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn what_speaks_neither_answers_for_itself() {
    let upstream = Upstream::start(|_| async { error(404, &serde_json::Value::Null, -32001) }).await;
    let broker = TestBroker::start(upstream.address).await;
    let answer = broker.call("echo").await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (404, &json!(-32001)));
    let body = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
    let answer = broker.send(broker.request("alice-token", body)).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (404, &json!(-32001)));
}

#[tokio::test]
async fn a_server_that_does_not_know_discovery_is_of_the_older_generation() {
    let upstream = Upstream::start(|seen| async move {
        let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
        match body["method"].as_str().unwrap() {
            "initialize" => json(
                json!({"jsonrpc": "2.0", "id": body["id"], "result": {"protocolVersion": "2025-03-26",
                    "capabilities": {}, "serverInfo": {"name": "stateless", "version": "1"}}})
                .to_string(),
            ),
            "notifications/initialized" => json(""),
            _ => error(200, &body["id"], -32601),
        }
    })
    .await;
    let broker = TestBroker::start(upstream.address).await;
    let answer = broker.send(broker.modern("alice-token", "server/discover", None)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["result"]["supportedVersions"], json!(["2026-07-28", "2025-03-26"]));
}
