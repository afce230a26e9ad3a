//! A client of the older generation on a modern server.

use std::time::Duration;

use gateway_core::audit::EventKind;
use gateway_core::id::{BindingName, EnvironmentName};
use gateway_core::ports::LiveTraffic;
use serde_json::{Value, json};

use super::assert_recorded;
use super::servers::{Server, modern};
use crate::broker::{Answer, TestBroker};

async fn start() -> (Server, TestBroker, String) {
    let server = modern().await;
    let broker = TestBroker::with(
        server.upstream.address,
        |binding| {
            binding["methods"] =
                json!(["resources/read", "resources/subscribe", "tasks/list", "com.example/x"])
        },
        |_| {},
    )
    .await;
    let answer = broker.send(broker.request("alice-token", initialize().to_string())).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let session = answer.headers["mcp-session-id"].to_str().unwrap().to_owned();
    assert_eq!(
        answer.json(),
        json!({"jsonrpc": "2.0", "id": 0, "result": {
            "protocolVersion": "2025-06-18", "serverInfo": {"name": "new", "version": "2"},
            "capabilities": {"tools": {}, "logging": {}}, "instructions": "use it",
            "resultType": "complete", "ttlMs": 0, "cacheScope": "public",
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "new", "version": "2"}}}})
    );
    (server, broker, session)
}

fn initialize() -> Value {
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2025-06-18",
        "capabilities": {"sampling": {}, "elicitation": {}, "experimental": {"x": {}}},
        "clientInfo": {"name": "c", "version": "1"}}})
}

fn message(broker: &TestBroker, session: &str, body: &Value) -> reqwest::RequestBuilder {
    broker
        .request("alice-token", body.to_string())
        .header("mcp-session-id", session)
        .header("mcp-protocol-version", "2025-06-18")
}

async fn ask(broker: &TestBroker, session: &str, method: &str, params: Value) -> Answer {
    let body = json!({"jsonrpc": "2.0", "id": 5, "method": method, "params": params});
    broker.send(message(broker, session, &body)).await
}

async fn tell(broker: &TestBroker, session: &str, method: &str, params: Value) -> u16 {
    let body = json!({"jsonrpc": "2.0", "method": method, "params": params});
    broker.send(message(broker, session, &body)).await.status
}

#[tokio::test]
async fn handshake_lists_and_calls_work_on_a_server_without_sessions() {
    let (server, broker, session) = start().await;
    assert_eq!(tell(&broker, &session, "notifications/initialized", json!({})).await, 202);
    let listed = ask(&broker, &session, "tools/list", json!({})).await;
    let names: Vec<_> = listed.json()["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].clone())
        .collect();
    assert_eq!(names, ["echo", "write_it"]);
    let answer =
        ask(&broker, &session, "tools/call", json!({"name": "echo", "_meta": {"progressToken": "p"}})).await;
    assert_eq!((answer.status, &answer.json()["id"]), (200, &json!(5)));
    assert_eq!(
        answer.json()["result"]["saw"],
        json!({"progressToken": "p", "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {"experimental": {"x": {}}},
            "io.modelcontextprotocol/clientInfo": {"name": "c", "version": "1"}})
    );
    assert_eq!(server.methods(), ["initialize", "server/discover", "tools/list", "tools/call"]);
    assert_recorded(&broker, 4);
    assert_eq!(broker.audit.kinds().iter().filter(|kind| **kind == EventKind::SessionOpened).count(), 1);
}

#[tokio::test]
async fn a_second_handshake_is_not_tried_in_the_older_generation() {
    let (server, broker, _session) = start().await;
    broker.send(broker.request("alice-token", initialize().to_string())).await;
    assert_eq!(server.methods(), ["initialize", "server/discover", "server/discover"]);
}

#[tokio::test]
async fn arguments_are_mirrored_as_the_list_says_which_is_read_once() {
    let (server, broker, session) = start().await;
    for region in ["eu", "süd"] {
        let call = ask(
            &broker,
            &session,
            "tools/call",
            json!({"name": "write_it", "arguments": {"region": region}}),
        );
        let driven = async { server.call().await.answer(&json!({"resultType": "complete"})) };
        if region == "süd" {
            // The server of this test compares plain text only.
            let answer = call.await;
            assert_eq!(answer.json()["error"]["code"], -32020);
            break;
        }
        let (answer, ()) = tokio::join!(call, driven);
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(server.upstream.last().headers["mcp-param-region"], "eu");
        assert_eq!(server.bodies("tools/list").len(), 1);
    }
    assert_eq!(server.upstream.last().headers["mcp-param-region"], "=?base64?c8O8ZA==?=");
}

#[tokio::test]
async fn a_changed_annotation_is_read_anew() {
    let (server, broker, session) = start().await;
    ask(&broker, &session, "tools/list", json!({})).await;
    *server.header.lock().unwrap() = "Area";
    let call =
        ask(&broker, &session, "tools/call", json!({"name": "write_it", "arguments": {"region": "eu"}}));
    let driven = async { server.call().await.answer(&json!({"resultType": "complete"})) };
    let (answer, ()) = tokio::join!(call, driven);
    assert_eq!(answer.json()["result"]["resultType"], "complete");
    assert_eq!(server.methods()[2..], ["tools/list", "tools/call", "tools/list", "tools/call"]);
}

#[tokio::test]
async fn ping_and_the_log_level_are_the_gateways_to_answer() {
    let (server, broker, session) = start().await;
    let before = server.upstream.count();
    assert_eq!(
        ask(&broker, &session, "ping", json!({})).await.json(),
        json!({"jsonrpc": "2.0", "id": 5, "result": {}})
    );
    let level = ask(&broker, &session, "logging/setLevel", json!({"level": "notice"})).await;
    assert_eq!(level.json()["result"], json!({}));
    let wrong = ask(&broker, &session, "logging/setLevel", json!({"level": "loud"})).await;
    assert_eq!((wrong.status, &wrong.json()["error"]["code"]), (200, &json!(-32602)));
    assert_eq!(server.upstream.count(), before);
    let answer = ask(&broker, &session, "tools/call", json!({"name": "echo"})).await;
    assert_eq!(answer.json()["result"]["saw"]["io.modelcontextprotocol/logLevel"], "notice");
}

#[tokio::test]
async fn progress_passes_and_a_cancelled_request_is_closed_at_the_server() {
    let (server, broker, session) = start().await;
    let body = json!({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "write_it", "_meta": {"progressToken": 9}}});
    let sent = message(&broker, &session, &body).send();
    let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 9, "progress": 1}});
    let driven = async {
        let call = server.call().await;
        call.send(&progress);
        call
    };
    let (answer, call) = tokio::join!(sent, driven);
    let mut answer = answer.unwrap();
    let first = answer.chunk().await.unwrap().unwrap();
    assert_eq!(first, format!("event: message\ndata: {progress}\n\n"));
    assert_eq!(tell(&broker, &session, "notifications/cancelled", json!({"requestId": 6})).await, 202);
    assert!(!call.events.is_closed(), "another id cancels nothing");
    assert_eq!(tell(&broker, &session, "notifications/cancelled", json!({"requestId": 5})).await, 202);
    tokio::time::timeout(Duration::from_secs(5), call.events.closed()).await.unwrap();
    assert_eq!(answer.chunk().await.unwrap(), None, "a cancelled request gets no answer");
    assert!(server.bodies("notifications/cancelled").is_empty());
}

#[tokio::test]
async fn a_request_is_cancelled_before_anything_came_back() {
    let (server, broker, session) = start().await;
    let body = json!({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "write_it"}});
    let sent = broker.send(message(&broker, &session, &body));
    let driven = async {
        let call = server.call().await;
        assert_eq!(tell(&broker, &session, "notifications/cancelled", json!({"requestId": 5})).await, 202);
        tokio::time::timeout(Duration::from_secs(5), call.events.closed()).await.unwrap();
    };
    let (answer, ()) = tokio::join!(sent, driven);
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
}

#[tokio::test]
async fn what_the_newer_generation_does_not_know_is_a_clear_error() {
    let (server, broker, session) = start().await;
    let before = server.upstream.count();
    for (method, params) in [
        ("resources/subscribe", json!({"uri": "file:///x"})),
        ("tasks/list", json!({})),
        ("server/discover", json!({})),
    ] {
        let answer = ask(&broker, &session, method, params).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (200, "request.untranslatable"),
            "{method}: {}",
            answer.text
        );
        assert_eq!(answer.json()["error"]["code"], -32601);
    }
    let task = ask(&broker, &session, "tools/call", json!({"name": "echo", "task": {"ttl": 1}})).await;
    assert_eq!((task.status, task.code().as_str()), (200, "request.untranslatable"));
    let response = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    let response = broker.send(message(&broker, &session, &response)).await;
    assert_eq!((response.status, response.code().as_str()), (400, "request.untranslatable"));
    assert_eq!(server.upstream.count(), before, "the server is not asked");
    let get = reqwest::Client::builder().no_proxy().build().unwrap().get(broker.url());
    let get = get
        .bearer_auth("alice-token")
        .header("mcp-session-id", &session)
        .header("accept", "text/event-stream");
    assert_eq!(broker.send(get).await.status, 405);
}

#[tokio::test]
async fn a_result_that_asks_for_input_is_a_clear_error() {
    let (_server, broker, session) = start().await;
    let answer = ask(&broker, &session, "resources/read", json!({"uri": "file:///x"})).await;
    assert_eq!((answer.status, answer.code().as_str()), (200, "request.untranslatable"), "{}", answer.text);
    assert_eq!((&answer.json()["id"], &answer.json()["error"]["code"]), (&json!(5), &json!(-31017)));
}

#[tokio::test]
async fn no_error_of_the_server_looks_like_the_end_of_the_session() {
    let (_server, broker, session) = start().await;
    let answer = ask(&broker, &session, "com.example/x", json!({})).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (200, &json!(-32601)));
    assert_eq!(ask(&broker, &session, "ping", json!({})).await.status, 200);
}

#[tokio::test]
async fn the_session_ends_by_delete_and_belongs_to_its_actor() {
    let (_server, broker, session) = start().await;
    let body = json!({"jsonrpc": "2.0", "id": 5, "method": "ping"});
    let stranger = broker.request("bob-token", body.to_string()).header("mcp-session-id", &session);
    assert_eq!(broker.send(stranger).await.status, 404);
    let none = broker.send(broker.request("alice-token", body.to_string())).await;
    assert_eq!((none.status, none.code().as_str()), (400, "session.missing"));
    let delete = reqwest::Client::builder().no_proxy().build().unwrap().delete(broker.url());
    let delete = delete.bearer_auth("alice-token").header("mcp-session-id", &session);
    assert_eq!(broker.send(delete).await.status, 204);
    assert_eq!(ask(&broker, &session, "ping", json!({})).await.status, 404);
}

#[tokio::test]
async fn revocation_ends_the_session() {
    let (server, broker, session) = start().await;
    let key = (EnvironmentName::parse("dev").unwrap(), BindingName::parse("main").unwrap());
    let ended = broker.gateway.end(&key.0, &key.1, Duration::from_secs(5)).await.unwrap();
    assert_eq!(ended.sessions, 1);
    broker.gateway.admit(&key.0, &key.1);
    let before = server.upstream.count();
    assert_eq!(ask(&broker, &session, "tools/call", json!({"name": "echo"})).await.status, 404);
    assert_eq!(server.upstream.count(), before);
}
