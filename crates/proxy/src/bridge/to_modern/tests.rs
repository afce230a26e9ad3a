use super::*;

const HANDSHAKE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{"sampling":{},"roots":{"listChanged":true},"experimental":{"x":1},"elicitation":{},"extensions":{"io.modelcontextprotocol/tasks":{},"com.example/y":{}}},"clientInfo":{"name":"c","version":"1","title":"é"}}}"#;
const META: &str = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"experimental":{"x":1},"extensions":{"com.example/y":{}}},"io.modelcontextprotocol/clientInfo":{"name":"c","version":"1","title":"é"}"#;

fn client() -> Client {
    Client::read(&Bytes::from_static(HANDSHAKE.as_bytes())).unwrap()
}

fn translate(body: &'static str, level: Option<Level>) -> String {
    let body = message(&Bytes::from_static(body.as_bytes()), &client(), level).unwrap().body;
    String::from_utf8(body.to_vec()).unwrap()
}

#[test]
fn the_proposed_version_is_agreed_where_it_is_served() {
    assert_eq!(client().version, ProtocolVersion::V20250618);
    for (proposed, agreed) in [
        ("2025-03-26", ProtocolVersion::V20250326),
        ("2026-07-28", ProtocolVersion::V20251125),
        ("1999-01-01", ProtocolVersion::V20251125),
    ] {
        let body = Bytes::from(HANDSHAKE.replace("2025-06-18", proposed));
        assert_eq!(Client::read(&body).unwrap().version, agreed);
    }
}

#[test]
fn metadata_is_added_wherever_params_stand() {
    assert_eq!(
        translate(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#, None),
        format!(r#"{{"params":{{"_meta":{{{META}}}}},"jsonrpc":"2.0","id":1,"method":"tools/list"}}"#)
    );
    assert_eq!(
        translate(r#"{"id":1,"params":null,"method":"tools/list"}"#, None),
        format!(r#"{{"params":{{"_meta":{{{META}}}}},"id":1,"method":"tools/list"}}"#)
    );
    assert_eq!(
        translate(r#"{"id":1,"method":"tools/list","params":{}}"#, None),
        format!(r#"{{"id":1,"method":"tools/list","params":{{"_meta":{{{META}}}}}}}"#)
    );
    assert_eq!(
        translate(r#"{"id":1,"method":"x","params":{ "a" : 1.0 }}"#, None),
        format!(r#"{{"id":1,"method":"x","params":{{"_meta":{{{META}}}, "a" : 1.0 }}}}"#)
    );
}

#[test]
fn metadata_of_the_client_stays_beside_ours() {
    assert_eq!(
        translate(
            r#"{"id":1,"method":"x","params":{"a":1,"_meta":{"progressToken":7,"io.modelcontextprotocol/clientInfo":"forged","io.modelcontextprotocol/related-task":{}}}}"#,
            Some(Level::Error)
        ),
        format!(
            r#"{{"id":1,"method":"x","params":{{"a":1,"_meta":{{{META},"io.modelcontextprotocol/logLevel":"error","progressToken":7,"io.modelcontextprotocol/related-task":{{}}}}}}}}"#
        )
    );
}

#[test]
fn a_wish_for_a_task_is_seen() {
    let body =
        Bytes::from_static(br#"{"id":1,"method":"tools/call","params":{"name":"t","task":{"ttl":1}}}"#);
    assert!(message(&body, &client(), None).unwrap().wants_task);
    let body = Bytes::from_static(
        br#"{"id":1,"method":"tools/call","params":{"name":"t","arguments":{"task":{}}}}"#,
    );
    assert!(!message(&body, &client(), None).unwrap().wants_task);
}

#[test]
fn a_bare_handshake_is_a_client_without_capabilities() {
    let bare = Client::read(&Bytes::from_static(br#"{"id":0,"method":"initialize"}"#)).unwrap();
    assert_eq!((&*bare.capabilities, &bare.info), ("{}", &None));
}
