//! 2025-11-25 and older: an error that says what is required, to clients that know it.

use serde_json::{Value, json};

use super::told::assert_told;
use super::{assert_untouched, delegated, end, refused, showing, start};
use crate::broker::{Answer, TestBroker, server_spec};
use crate::fakes::FakeConnect;
use crate::sources::{grant, upstream};
use crate::upstream::{LegacyServer, Seen};

fn handshake(version: &str, capabilities: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": version,
        "capabilities": capabilities, "clientInfo": {"name": "c", "version": "1"}}})
    .to_string()
}

/// Opens a session, for which the common scopes suffice.
async fn open(broker: &TestBroker, capabilities: &Value) -> String {
    let answer = broker.send(broker.request("alice-token", handshake("2025-11-25", capabilities))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.headers["mcp-session-id"].to_str().unwrap().to_owned()
}

fn message(
    broker: &TestBroker,
    session: &str,
    version: Option<&str>,
    body: &Value,
) -> reqwest::RequestBuilder {
    let request = broker.request("alice-token", body.to_string()).header("mcp-session-id", session);
    match version {
        Some(version) => request.header("mcp-protocol-version", version),
        None => request,
    }
}

fn call(tool: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": {"name": tool}})
}

fn assert_required(answer: &Answer, id: &Value, code: &str) {
    let body = answer.json();
    assert_eq!((answer.status, &body["id"]), (200, id), "{}", answer.text);
    assert_eq!(body["error"]["code"], -32042);
    let data = &body["error"]["data"];
    assert_eq!(data["code"], code);
    let request = answer.headers["x-request-id"].to_str().unwrap();
    assert_eq!(data["request_id"], request);
    let elicitations = data["elicitations"].as_array().unwrap();
    assert_eq!(elicitations.len(), 1);
    let message = elicitations[0]["message"].as_str().unwrap();
    assert!(message.contains("`tools`") && message.contains("`notes`"), "{message}");
    let expected =
        json!({"mode": "url", "elicitationId": request, "url": FakeConnect::ADDRESS, "message": message});
    assert_eq!(elicitations[0], expected);
}

async fn sessions() -> (LegacyServer, TestBroker) {
    let server = LegacyServer::start().await;
    let mut broker = start(&server.upstream, |_| {}).await;
    broker.publish(grant(&["notes.read"]));
    (server, broker)
}

#[tokio::test]
async fn a_client_that_shows_addresses_gets_the_error_that_names_one() {
    let (server, mut broker) = sessions().await;
    let session = open(&broker, &showing()).await;
    let before = server.upstream.count();
    let wider = broker.send(message(&broker, &session, Some("2025-11-25"), &call("write_it"))).await;
    assert_required(&wider, &json!("a"), "grant.scope_missing");
    broker.publish(end);
    let missing = broker.send(message(&broker, &session, Some("2025-11-25"), &call("echo"))).await;
    assert_required(&missing, &json!("a"), "grant.missing");
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let list = broker.send(message(&broker, &session, Some("2025-11-25"), &list)).await;
    assert_required(&list, &json!(1), "grant.missing");
    let wish = |scopes| format!("https://idp|alice dev/tools notes {scopes} -");
    let wishes = [wish("notes.read,notes.write"), wish("notes.read"), wish("notes.read")];
    assert_eq!(broker.connect.wishes(), wishes);
    assert_eq!(refused(&broker), ["grant.scope_missing", "grant.missing", "grant.missing"]);
    assert_eq!(server.upstream.count(), before, "the server sees nothing");
}

#[tokio::test]
async fn the_handshake_itself_says_what_it_lacks() {
    let upstream = upstream().await;
    let broker = start(&upstream, |_| {}).await;
    let asked = broker.send(broker.request("alice-token", handshake("2025-11-25", &showing()))).await;
    assert_required(&asked, &json!(0), "grant.missing");
    assert!(!asked.headers.contains_key("mcp-session-id"));
    for (version, capabilities) in [
        ("2025-11-25", json!({})),
        ("2025-11-25", json!({"elicitation": {}})),
        ("2025-06-18", showing()),
        ("2025-03-26", showing()),
    ] {
        let told = broker.send(broker.request("alice-token", handshake(version, &capabilities))).await;
        assert_told(&told, "grant.missing", &["notes.read"]);
    }
    assert_untouched(&broker, &upstream);
}

#[tokio::test]
async fn older_versions_and_clients_without_the_capability_are_told_where_to_go() {
    let (_server, broker) = sessions().await;
    let scopes = ["notes.read", "notes.write"];
    let session = open(&broker, &showing()).await;
    for version in [Some("2025-06-18"), Some("2025-03-26"), None] {
        let told = broker.send(message(&broker, &session, version, &call("write_it"))).await;
        assert_told(&told, "grant.scope_missing", &scopes);
    }
    for capabilities in [json!({}), json!({"elicitation": {}}), json!({"elicitation": {"form": {}}})] {
        let session = open(&broker, &capabilities).await;
        let told = broker.send(message(&broker, &session, Some("2025-11-25"), &call("write_it"))).await;
        assert_told(&told, "grant.scope_missing", &scopes);
    }
    // Without a session nobody knows what the client said of itself.
    let call = broker.request("alice-token", call("write_it").to_string());
    let told = broker.send(call.header("mcp-protocol-version", "2025-11-25")).await;
    assert_told(&told, "grant.scope_missing", &scopes);
}

#[tokio::test]
async fn what_is_no_request_is_told_where_to_go() {
    let (_server, mut broker) = sessions().await;
    let session = open(&broker, &showing()).await;
    broker.publish(end);
    let listening = broker.knock("alice-token", http::Method::GET).header("mcp-session-id", &session);
    let listening =
        listening.header("mcp-protocol-version", "2025-11-25").header("accept", "text/event-stream");
    assert_told(&broker.send(listening).await, "grant.missing", &["notes.read"]);
    let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let note = broker.send(message(&broker, &session, Some("2025-11-25"), &note)).await;
    assert_told(&note, "grant.missing", &["notes.read"]);
}

#[tokio::test]
async fn the_older_generation_has_no_answers_in_calls_and_the_bytes_stay() {
    let (server, broker) = sessions().await;
    let session = open(&broker, &showing()).await;
    let mut sent = call("echo");
    sent["params"]["inputResponses"] = super::answered("decline");
    let answer = broker.send(message(&broker, &session, Some("2025-11-25"), &sent)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let Seen { body, .. } = server.upstream.last();
    assert_eq!(body, sent.to_string());
}

#[tokio::test]
async fn a_server_of_the_newer_generation_makes_no_difference() {
    let upstream = upstream().await;
    let mut server = server_spec(upstream.address);
    server["route"]["generation"] = json!("modern");
    let broker = TestBroker::before(server, delegated, |_| {}).await;
    broker.connect.open();
    let asked = broker.send(broker.request("alice-token", handshake("2025-11-25", &showing()))).await;
    assert_required(&asked, &json!(0), "grant.missing");
    assert_untouched(&broker, &upstream);
}
