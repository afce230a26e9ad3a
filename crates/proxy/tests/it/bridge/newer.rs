//! A modern client on a server of the older generation.

use std::time::Duration;

use gateway_core::audit::EventKind;
use gateway_core::id::{BindingName, EnvironmentName};
use gateway_core::ports::LiveTraffic;
use serde_json::{Value, json};

use super::assert_recorded;
use super::servers::{Server, legacy};
use crate::broker::TestBroker;

async fn start() -> (Server, TestBroker) {
    let server = legacy().await;
    let broker = TestBroker::with(
        server.upstream.address,
        |binding| {
            binding["methods"] =
                json!(["resources/read", "prompts/get", "completion/complete", "com.example/x"]);
            binding["actor"] = json!({"users": ["https://idp|alice", "https://idp|bob"]});
        },
        |_| {},
    )
    .await;
    (server, broker)
}

/// A modern request with these params besides the metadata.
fn request(
    broker: &TestBroker,
    id: &Value,
    method: &str,
    mut params: Value,
    meta: &Value,
) -> reqwest::RequestBuilder {
    let mut all = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"sampling": {}},
        "io.modelcontextprotocol/clientInfo": {"name": "c", "version": "1"},
    });
    for (key, value) in meta.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    params["_meta"] = all;
    let name = params["name"].as_str().or(params["uri"].as_str()).map(str::to_owned);
    let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    let request = broker
        .request("alice-token", body.to_string())
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", method);
    match name {
        Some(name) => request.header("mcp-name", name),
        None => request,
    }
}

async fn messages(answer: &mut reqwest::Response, most: usize) -> Vec<Value> {
    let (mut text, mut messages) = (String::new(), Vec::new());
    while messages.len() < most
        && let Some(chunk) =
            tokio::time::timeout(Duration::from_secs(5), answer.chunk()).await.unwrap().unwrap()
    {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        messages = data.map(|data| serde_json::from_str(data).unwrap()).collect();
    }
    messages
}

#[tokio::test]
async fn lists_and_calls_work_over_one_session_of_the_gateways() {
    let (server, broker) = start().await;
    let listed = broker.send(broker.modern("alice-token", "tools/list", None)).await;
    assert_eq!(
        listed.json()["result"],
        json!({"resultType": "complete", "ttlMs": 0, "cacheScope": "private", "tools": [{"name": "echo", "x-new": 1}]})
    );
    assert!(!listed.headers.contains_key("mcp-session-id"));
    let answer = broker.call("echo").await;
    assert_eq!((answer.status, &answer.json()["id"]), (200, &json!(7)));
    assert_eq!(answer.json()["result"], json!({"resultType": "complete", "content": [], "saw": {}}));
    let methods = server.methods();
    // The first message, and the question what it is, were modern; what follows is not.
    let expected = [
        "tools/list",
        "server/discover",
        "initialize",
        "notifications/initialized",
        "tools/list",
        "tools/call",
    ];
    assert_eq!(methods, expected);
    let seen = server.upstream.seen.lock().unwrap().clone();
    assert!(seen[3..].iter().all(|seen| seen.headers["mcp-session-id"] == "upstream-1"));
    assert!(seen.iter().all(|seen| seen.headers.contains_key("authorization")));
    drop(seen);
    assert_recorded(&broker, 6);
}

#[tokio::test]
async fn discovery_tells_the_handshake_without_what_cannot_be_served_and_without_the_value() {
    let (_server, broker) = start().await;
    let answer = broker.send(broker.modern("alice-token", "server/discover", None)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        answer.json(),
        json!({"jsonrpc": "2.0", "id": 7, "result": {
            "resultType": "complete", "supportedVersions": ["2026-07-28", "2025-06-18"], "ttlMs": 0,
            "cacheScope": "private", "capabilities": {"tools": {}, "resources": {}, "logging": {}},
            "instructions": "key Bearer [scrubbed:main]", "x-new": 1,
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "old", "version": "1"}}}})
    );
}

#[tokio::test]
async fn clients_with_equal_ids_share_a_session_and_hear_their_own_answers_and_progress() {
    let (server, broker) = start().await;
    broker.call("echo").await;
    let begin = |token: &'static str| {
        request(
            &broker,
            &json!("same"),
            "tools/call",
            json!({"name": "write_it"}),
            &json!({"progressToken": token}),
        )
        .send()
    };
    let ((mut one, first), (mut two, second)) = {
        let one = async { (begin("p1").await.unwrap(), ()) };
        let first = async {
            let call = server.call().await;
            call.send(&json!({"jsonrpc": "2.0", "method": "notifications/progress",
                "params": {"progressToken": call.body["params"]["_meta"]["progressToken"], "progress": 1}}));
            call
        };
        let ((one, ()), first) = tokio::join!(one, first);
        let two = async { (begin("p2").await.unwrap(), ()) };
        let second = async {
            let call = server.call().await;
            call.send(&json!({"jsonrpc": "2.0", "method": "notifications/progress",
                "params": {"progressToken": call.body["params"]["_meta"]["progressToken"], "progress": 2}}));
            call
        };
        let ((two, ()), second) = tokio::join!(two, second);
        ((one, first), (two, second))
    };
    assert_ne!(first.body["id"], second.body["id"], "ids are unique on the shared session");
    // Another call's progress on this stream is not this client's.
    first.send(&json!({"jsonrpc": "2.0", "method": "notifications/progress",
        "params": {"progressToken": second.body["id"], "progress": 9}}));
    second.answer(&json!({"n": 2}));
    first.answer(&json!({"n": 1}));
    for (answer, token, number) in [(&mut one, "p1", 1), (&mut two, "p2", 2)] {
        let heard = messages(answer, 2).await;
        assert_eq!(heard.len(), 2, "{heard:?}");
        assert_eq!(heard[0]["params"], json!({"progressToken": token, "progress": number}));
        assert_eq!((&heard[1]["id"], &heard[1]["result"]["n"]), (&json!("same"), &json!(number)));
        assert_eq!(heard[1]["result"]["resultType"], "complete");
    }
    assert_eq!(server.bodies("initialize").len(), 1);
}

#[tokio::test]
async fn log_messages_come_to_those_who_asked_and_the_servers_level_is_lowered_once() {
    let (server, broker) = start().await;
    for _ in 0..2 {
        let meta = json!({"io.modelcontextprotocol/logLevel": "warning"});
        let sent = request(&broker, &json!(1), "tools/call", json!({"name": "write_it"}), &meta).send();
        let driven = async {
            let call = server.call().await;
            for level in ["debug", "error"] {
                call.send(
                    &json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": level}}),
                );
            }
            call.answer(&json!({}));
        };
        let (answer, ()) = tokio::join!(sent, driven);
        let heard = messages(&mut answer.unwrap(), 2).await;
        assert_eq!(heard[0]["params"]["level"], "error");
        assert_eq!(heard[1]["id"], 1);
    }
    assert_eq!(server.bodies("logging/setLevel").len(), 1);
    assert_eq!(server.bodies("logging/setLevel")[0]["params"]["level"], "warning");
}

#[tokio::test]
async fn the_servers_requests_are_answered_here_and_never_reach_the_client() {
    let (server, broker) = start().await;
    let sent = broker.modern("alice-token", "tools/call", Some("write_it")).send();
    let driven = async {
        let call = server.call().await;
        call.send(&json!({"jsonrpc": "2.0", "id": "ask", "method": "sampling/createMessage", "params": {}}));
        let refusal = server.saw("response").await;
        assert_eq!((&refusal["id"], &refusal["error"]["code"]), (&json!("ask"), &json!(-32601)));
        call.answer(&json!({"content": []}));
    };
    let (answer, ()) = tokio::join!(sent, driven);
    let text = answer.unwrap().text().await.unwrap();
    assert!(!text.contains("sampling"), "{text}");
    assert!(text.contains("complete"), "{text}");
    let response = server.upstream.seen.lock().unwrap().last().unwrap().headers.clone();
    assert_eq!(response["mcp-session-id"], "upstream-1");
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_at_the_server() {
    let (server, broker) = start().await;
    let sent = broker.modern("alice-token", "tools/call", Some("write_it")).send();
    let driven = async {
        let call = server.call().await;
        call.events.send(": still here\n\n".to_owned()).unwrap();
        call.send(&json!({"jsonrpc": "2.0", "method": "notifications/x"}));
        call
    };
    let (answer, call) = tokio::join!(sent, driven);
    drop(answer.unwrap());
    let cancelled = server.saw("notifications/cancelled").await;
    assert_eq!(cancelled["params"]["requestId"], call.body["id"]);
}

#[tokio::test]
async fn a_call_that_was_answered_is_not_cancelled() {
    let (server, broker) = start().await;
    broker.call("echo").await;
    let sent = broker.modern("alice-token", "tools/call", Some("write_it"));
    let driven = async { server.call().await.answer(&json!({})) };
    let (answer, ()) = tokio::join!(broker.send(sent), driven);
    assert_eq!(answer.headers["content-type"], "application/json", "an answer alone needs no stream");
    broker.call("echo").await;
    assert!(server.bodies("notifications/cancelled").is_empty());
}

#[tokio::test]
async fn what_the_older_generation_does_not_know_is_method_not_found() {
    let (server, broker) = start().await;
    broker.call("echo").await;
    let before = server.upstream.count();
    for method in ["subscriptions/listen", "ping", "logging/setLevel"] {
        let answer = broker.send(broker.modern("alice-token", method, None)).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "request.untranslatable"), "{method}");
        assert_eq!((&answer.json()["error"]["code"], &answer.json()["id"]), (&json!(-32601), &json!(7)));
    }
    assert_eq!(server.upstream.count(), before, "the server is not asked");
    let unknown = broker.send(broker.modern("alice-token", "com.example/x", None)).await;
    assert_eq!((unknown.status, &unknown.json()["error"]["code"]), (404, &json!(-32601)));
    assert_eq!(unknown.json()["error"]["message"], "said the server");
}

#[tokio::test]
async fn resources_and_prompts_work_and_a_missing_resource_has_the_newer_code() {
    let (_server, broker) = start().await;
    let read = request(&broker, &json!(1), "resources/read", json!({"uri": "file:///x"}), &json!({}));
    let missing = broker.send(read).await;
    assert_eq!((missing.status, &missing.json()["error"]["code"]), (200, &json!(-32602)));
    let get = request(&broker, &json!(2), "prompts/get", json!({"name": "p"}), &json!({}));
    assert_eq!(broker.send(get).await.json()["result"], json!({"resultType": "complete", "messages": []}));
}

#[tokio::test]
async fn a_session_that_the_server_forgot_is_opened_again() {
    let (server, broker) = start().await;
    broker.call("echo").await;
    *server.forget.lock().unwrap() = true;
    let answer = broker.call("echo").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(server.bodies("initialize").len(), 2);
    assert_eq!(server.upstream.last().headers["mcp-session-id"], "upstream-2");
}

#[tokio::test]
async fn actors_do_not_share_sessions() {
    let (server, broker) = start().await;
    broker.call("echo").await;
    let other = broker.send(broker.modern("bob-token", "tools/call", Some("echo"))).await;
    assert_eq!(other.status, 200, "{}", other.text);
    assert_eq!(server.upstream.last().headers["mcp-session-id"], "upstream-2");
    broker.admit("alice-again", "alice");
    broker.send(broker.modern("alice-again", "tools/call", Some("echo"))).await;
    assert_eq!(
        server.upstream.last().headers["mcp-session-id"],
        "upstream-1",
        "a fresh token is the same actor"
    );
}

#[tokio::test]
async fn revocation_ends_the_session_and_what_runs_in_it() {
    let (server, broker) = start().await;
    broker.call("echo").await;
    let sent = broker.modern("alice-token", "tools/call", Some("write_it")).send();
    let driven = async {
        let call = server.call().await;
        call.send(&json!({"jsonrpc": "2.0", "method": "notifications/x"}));
        call
    };
    let (answer, _call) = tokio::join!(sent, driven);
    let key = (EnvironmentName::parse("dev").unwrap(), BindingName::parse("main").unwrap());
    assert_eq!(broker.gateway.open(&key.0, &key.1).sessions, 1);
    let ending = broker.gateway.end(&key.0, &key.1, Duration::from_secs(5));
    let (ended, text) = tokio::join!(ending, answer.unwrap().text());
    let ended = ended.unwrap();
    assert_eq!((ended.streams, ended.sessions), (1, 1));
    assert!(text.unwrap().contains("binding.ended"));
    let before = server.upstream.count();
    assert_eq!(broker.call("echo").await.code(), "binding.ended");
    broker.gateway.admit(&key.0, &key.1);
    assert_eq!(broker.call("echo").await.status, 200);
    assert_eq!(server.methods()[before..], ["initialize", "notifications/initialized", "tools/call"]);
}

#[tokio::test]
async fn a_session_that_rests_too_long_is_given_up() {
    let server = legacy().await;
    let rest = |settings: &mut gateway_proxy::settings::Settings| settings.session_idle = Duration::ZERO;
    let broker = TestBroker::with(server.upstream.address, |_| {}, rest).await;
    broker.call("echo").await;
    let key = (EnvironmentName::parse("dev").unwrap(), BindingName::parse("main").unwrap());
    assert_eq!(broker.gateway.open(&key.0, &key.1).sessions, 1);
    broker.gateway.sweep();
    assert_eq!(broker.gateway.open(&key.0, &key.1).sessions, 0);
}

#[tokio::test]
async fn without_evidence_no_session_is_opened() {
    let (server, broker) = start().await;
    broker.call("echo").await;
    let before = server.upstream.count();
    broker.audit.down.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(
        broker.send(broker.modern("bob-token", "tools/call", Some("echo"))).await.code(),
        "audit.unavailable"
    );
    assert_eq!(server.upstream.count(), before);
    broker.audit.down.store(false, std::sync::atomic::Ordering::SeqCst);
    assert!(broker.audit.kinds().contains(&EventKind::Intent));
}

#[tokio::test]
async fn a_stream_that_ends_without_an_answer_is_an_error_for_the_client() {
    let (server, broker) = start().await;
    broker.call("echo").await;
    let sent = broker.send(broker.modern("alice-token", "tools/call", Some("write_it")));
    let driven = async { drop(server.call().await) };
    let (answer, ()) = tokio::join!(sent, driven);
    assert_eq!((answer.code().as_str(), &answer.json()["id"]), ("upstream.malformed", &json!(7)));
}
