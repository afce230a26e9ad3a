use super::*;

const MODERN: &str = "2026-07-28";

fn body(method: &str, params: &str, version: Option<&str>) -> Message {
    let meta = version.map_or(String::new(), |version| {
        format!(
            r#""_meta":{{"io.modelcontextprotocol/protocolVersion":"{version}","io.modelcontextprotocol/clientCapabilities":{{}}}}{}"#,
            if params.is_empty() { "" } else { "," }
        )
    });
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{meta}{params}}}}}"#);
    Message::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(*name, http::HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
    }
    map
}

fn judge(pairs: &[(&'static str, &str)], message: &Message) -> Result<Dialect, HeaderFault> {
    validate(&headers(pairs), message)
}

fn legacy(version: ProtocolVersion) -> Dialect {
    Dialect { generation: Generation::Legacy, version: Some(version) }
}

#[test]
fn decides_the_generation() {
    let list = |version| body("tools/list", "", version);
    let modern = Dialect { generation: Generation::Modern, version: Some(ProtocolVersion::V20260728) };
    for (pairs, message, expected) in [
        (vec![(PROTOCOL_VERSION, MODERN), (METHOD, "tools/list")], list(Some(MODERN)), modern),
        (vec![], list(None), legacy(ProtocolVersion::V20250326)),
        (vec![(PROTOCOL_VERSION, "2025-06-18")], list(None), legacy(ProtocolVersion::V20250618)),
        (vec![(PROTOCOL_VERSION, "2025-11-25")], list(None), legacy(ProtocolVersion::V20251125)),
        (
            vec![(PROTOCOL_VERSION, "2025-11-25")],
            list(Some("2025-11-25")),
            legacy(ProtocolVersion::V20251125),
        ),
    ] {
        assert_eq!(judge(&pairs, &message), Ok(expected), "{pairs:?}");
    }
    let handshake = Dialect { generation: Generation::Legacy, version: None };
    let initialize = body("initialize", r#""protocolVersion":"2030-01-01""#, None);
    assert_eq!(judge(&[], &initialize), Ok(handshake));
    assert_eq!(judge(&[(PROTOCOL_VERSION, MODERN)], &initialize), Ok(handshake));
}

#[test]
fn a_method_that_is_gone_is_still_a_modern_request() {
    let modern = Dialect { generation: Generation::Modern, version: Some(ProtocolVersion::V20260728) };
    for method in ["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"] {
        let request = body(method, "", Some(MODERN));
        assert_eq!(judge(&[(PROTOCOL_VERSION, MODERN), (METHOD, method)], &request), Ok(modern), "{method}");
        let lying = [(PROTOCOL_VERSION, MODERN), (METHOD, "tools/list")];
        assert_eq!(judge(&lying, &request), Err(HeaderFault::Mismatch("Mcp-Method")), "{method}");
    }
}

#[test]
fn accepts_names_plain_and_encoded() {
    for (method, params, name) in [
        ("tools/call", r#""name":"add_comment""#, "add_comment"),
        ("prompts/get", r#""name":"Hello, 世界""#, "=?base64?SGVsbG8sIOS4lueVjA==?="),
        ("resources/read", r#""uri":"file:///a b""#, "file:///a b"),
        ("tools/call", r#""name":"=?base64?literal?=""#, "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ("tasks/get", r#""taskId":"t1""#, "t1"),
        ("tools/call", r#""name":"=?base64?""#, "=?base64?"),
    ] {
        let pairs = [(PROTOCOL_VERSION, MODERN), (METHOD, method), (NAME, name)];
        judge(&pairs, &body(method, params, Some(MODERN))).unwrap_or_else(|fault| panic!("{name}: {fault}"));
    }
}

#[test]
fn refuses_headers_that_tell_another_story() {
    let call = || body("tools/call", r#""name":"read""#, Some(MODERN));
    let (version, method, name) = ((PROTOCOL_VERSION, MODERN), (METHOD, "tools/call"), (NAME, "read"));
    for (pairs, expected) in [
        (vec![method, name], HeaderFault::Missing("MCP-Protocol-Version")),
        (vec![(PROTOCOL_VERSION, "2025-11-25"), method, name], HeaderFault::Mismatch("MCP-Protocol-Version")),
        (vec![version, version, method, name], HeaderFault::Malformed("MCP-Protocol-Version")),
        (vec![version, name], HeaderFault::Missing("Mcp-Method")),
        (vec![version, (METHOD, "tools/list"), name], HeaderFault::Mismatch("Mcp-Method")),
        (vec![version, (METHOD, "Tools/Call"), name], HeaderFault::Mismatch("Mcp-Method")),
        (vec![version, method, method, name], HeaderFault::Malformed("Mcp-Method")),
        (vec![version, method], HeaderFault::Missing("Mcp-Name")),
        (vec![version, method, (NAME, "delete")], HeaderFault::Mismatch("Mcp-Name")),
        (vec![version, method, (NAME, "Read")], HeaderFault::Mismatch("Mcp-Name")),
        (vec![version, method, name, (NAME, "delete")], HeaderFault::Malformed("Mcp-Name")),
        (vec![version, method, (NAME, "ré")], HeaderFault::Malformed("Mcp-Name")),
        (vec![version, method, (NAME, "=?base64?cmVh?=")], HeaderFault::Mismatch("Mcp-Name")),
        (vec![version, method, (NAME, "=?base64?###?=")], HeaderFault::Malformed("Mcp-Name")),
        (vec![version, method, (NAME, "=?BASE64?cmVhZA==?=")], HeaderFault::Mismatch("Mcp-Name")),
    ] {
        let fault = judge(&pairs, &call()).expect_err("refused");
        assert_eq!((fault.code(), fault), (-32020, expected), "{pairs:?}");
    }
}

#[test]
fn compares_an_optional_name_where_it_is_there() {
    let task = body("tasks/cancel", r#""taskId":"t1""#, Some(MODERN));
    let required = [(PROTOCOL_VERSION, MODERN), (METHOD, "tasks/cancel")];
    judge(&required, &task).expect("not required by the core protocol");
    let lying = [required[0], required[1], (NAME, "t2")];
    assert_eq!(judge(&lying, &task), Err(HeaderFault::Mismatch("Mcp-Name")));
}

#[test]
fn wants_the_metadata_of_a_modern_request() {
    let missing = Err(HeaderFault::Metadata("protocolVersion"));
    let pairs = [(PROTOCOL_VERSION, MODERN), (METHOD, "tools/list")];
    assert_eq!(judge(&pairs, &body("tools/list", "", None)), missing);
    assert_eq!(judge(&[(METHOD, "tools/list")], &body("tools/list", "", None)), missing);
    assert_eq!(judge(&[], &body("server/discover", "", None)), missing);
    let bare = format!(r#""_meta":{{"io.modelcontextprotocol/protocolVersion":"{MODERN}"}}"#);
    assert_eq!(
        judge(&pairs, &body("tools/list", &bare, None)),
        Err(HeaderFault::Metadata("clientCapabilities"))
    );
    assert_eq!(HeaderFault::Metadata("protocolVersion").code(), -32602);
}

#[test]
fn lists_what_it_serves_when_it_does_not_serve_what_was_asked() {
    for (pairs, version) in [
        (vec![(PROTOCOL_VERSION, "2099-01-01")], Some("2099-01-01")),
        (vec![(PROTOCOL_VERSION, "2099-01-01")], None),
    ] {
        let fault = judge(&pairs, &body("tools/list", "", version)).expect_err("unsupported");
        assert_eq!(fault.code(), -32022);
        let data = fault.data().expect("what is served");
        assert_eq!(data["requested"], "2099-01-01");
        let supported = serde_json::json!(["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26"]);
        assert_eq!(data["supported"], supported);
    }
    let long = "9".repeat(500);
    let HeaderFault::Version { requested } =
        judge(&[(PROTOCOL_VERSION, &long)], &body("ping", "", None)).expect_err("unsupported")
    else {
        panic!("a version fault");
    };
    assert_eq!(requested.len(), 64);
}

#[test]
fn leaves_notifications_free_of_headers_but_not_of_lies() {
    let note = Message::parse(br#"{"jsonrpc":"2.0","method":"notifications/x"}"#).expect("a notification");
    assert_eq!(judge(&[], &note), Ok(legacy(ProtocolVersion::V20250326)));
    judge(&[(PROTOCOL_VERSION, MODERN)], &note).expect("nothing else is required");
    let lying = [(PROTOCOL_VERSION, MODERN), (METHOD, "notifications/y")];
    assert_eq!(judge(&lying, &note), Err(HeaderFault::Mismatch("Mcp-Method")));
}

#[test]
fn takes_responses_from_legacy_clients_only() {
    let response = Message::parse(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#).expect("a response");
    let seen = judge(&[(PROTOCOL_VERSION, "2025-11-25")], &response);
    assert_eq!(seen, Ok(legacy(ProtocolVersion::V20251125)));
    assert_eq!(judge(&[(PROTOCOL_VERSION, MODERN)], &response), Err(HeaderFault::Response));
}
