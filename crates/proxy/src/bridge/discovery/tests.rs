use serde_json::{Value, json};

use super::*;

fn id() -> RawId {
    RawId::parse(r#""c""#).unwrap().unwrap()
}

fn parsed(bytes: &Bytes) -> Value {
    // The strict parser: nothing may stand twice.
    assert!(Facts::read(bytes).is_ok(), "{bytes:?}");
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn discovery_is_made_from_the_handshake() {
    let initialized = Bytes::from_static(
        br#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"logging":{},"tasks":{"list":{}},"completions":{},"experimental":{"y":1}},"serverInfo":{"name":"s","version":"2"},"instructions":"do","x-new":[1.0]}}"#,
    );
    let facts = Facts::read(&initialized).unwrap();
    assert_eq!((facts.version.as_deref(), facts.logs, facts.is_result), (Some("2025-06-18"), true, true));
    let discovered = parsed(&discover(&initialized, &id(), "2025-06-18").unwrap());
    assert_eq!(
        discovered,
        json!({"jsonrpc": "2.0", "id": "c", "result": {
            "resultType": "complete", "supportedVersions": ["2026-07-28", "2025-06-18"], "ttlMs": 0,
            "cacheScope": "private",
            "capabilities": {"tools": {}, "resources": {}, "logging": {}, "completions": {}, "experimental": {"y": 1}},
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "s", "version": "2"}},
            "instructions": "do", "x-new": [1.0]}})
    );
}

#[test]
fn metadata_of_the_handshake_stays_beside_the_servers_name() {
    let initialized = Bytes::from_static(
        br#"{"id":0,"result":{"protocolVersion":"v","capabilities":{},"serverInfo":{"name":"s"},"_meta":{"a":1}}}"#,
    );
    let discovered = parsed(&discover(&initialized, &id(), "v").unwrap());
    assert_eq!(
        discovered["result"]["_meta"],
        json!({"io.modelcontextprotocol/serverInfo": {"name": "s"}, "a": 1})
    );
}

#[test]
fn the_handshake_is_made_from_discovery() {
    let discovered = Bytes::from_static(
        br#"{"jsonrpc":"2.0","id":9,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true},"extensions":{"io.modelcontextprotocol/tasks":{},"io.modelcontextprotocol/ui":{}}},"instructions":"do","ttlMs":5,"cacheScope":"public","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","version":"2"}}}}"#,
    );
    assert_eq!(Facts::read(&discovered).unwrap().supported, [Box::from("2026-07-28")]);
    let server = ServerName::parse("tools").unwrap();
    let initialized = parsed(&initialize(&discovered, &id(), ProtocolVersion::V20250326, &server).unwrap());
    assert_eq!(initialized["id"], "c");
    let result = &initialized["result"];
    assert_eq!(result["protocolVersion"], "2025-03-26");
    assert_eq!(result["serverInfo"], json!({"name": "s", "version": "2"}));
    assert_eq!(
        result["capabilities"],
        json!({"tools": {}, "extensions": {"io.modelcontextprotocol/ui": {}}})
    );
    assert_eq!(result["instructions"], "do");
    assert_eq!(result.get("supportedVersions"), None);
}

#[test]
fn a_server_that_does_not_name_itself_goes_by_its_registered_name() {
    let discovered = Bytes::from_static(br#"{"id":9,"result":{"supportedVersions":["2026-07-28"]}}"#);
    let server = ServerName::parse("tools").unwrap();
    let initialized = parsed(&initialize(&discovered, &id(), ProtocolVersion::V20251125, &server).unwrap());
    assert_eq!(initialized["result"]["serverInfo"], json!({"name": "tools", "version": "unknown"}));
    assert_eq!(initialized["result"]["capabilities"], json!({}));
}

#[test]
fn an_error_is_no_result() {
    assert!(!Facts::read(br#"{"id":1,"error":{"code":-32601,"message":"m"}}"#).unwrap().is_result);
    assert!(Facts::read(b"oops").is_err());
}
