use super::*;
use crate::mcp::message::Message;

#[test]
fn values_are_encoded_as_the_specification_shows() {
    for (text, expected) in [
        ("us-west1", "us-west1"),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ("in ner", "in ner"),
        ("", ""),
    ] {
        assert_eq!(value(text), expected, "{text:?}");
    }
}

const LIST: &str = r#"{"id":1,"result":{"tools":[
  {"name":"plain","inputSchema":{"type":"object","properties":{"a":{"type":"string"}}}},
  {"name":"sql","inputSchema":{"properties":{
     "region":{"type":"string","x-mcp-header":"Region"},
     "options":{"type":"object","properties":{"limit":{"type":"integer","x-mcp-header":"Limit"}}},
     "dry":{"type":"boolean","x-mcp-header":"Dry-Run"},
     "many":{"type":"array","items":{"x-mcp-header":"Never"}},
     "bad":{"type":"string","x-mcp-header":"not a token"}}}}],"nextCursor":"more"}}"#;

#[test]
fn annotated_arguments_are_mirrored_and_absent_ones_are_not() {
    let (mirrors, cursor) = annotations(LIST.as_bytes());
    assert_eq!(cursor.as_deref(), Some("more"));
    assert_eq!(mirrors["plain"], []);
    assert_eq!(mirrors["sql"].len(), 3);
    let body = Bytes::from_static(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"sql","arguments":{"region":"süd","options":{"limit":42},"dry":null,"bad":"x"}}}"#.as_bytes(),
    );
    let message = Message::parse(&body).unwrap();
    let mut from = HeaderMap::new();
    from.insert("mcp-param-region", HeaderValue::from_static("forged"));
    from.insert("mcp-session-id", HeaderValue::from_static("stays for injection to drop"));
    let to = headers(&from, message.invocation().unwrap(), &body, &mirrors["sql"]);
    assert_eq!(to[PROTOCOL_VERSION], "2026-07-28");
    assert_eq!(
        (&to[METHOD], &to[NAME]),
        (&HeaderValue::from_static("tools/call"), &HeaderValue::from_static("sql"))
    );
    assert_eq!(to["mcp-param-region"], "=?base64?c8O8ZA==?=");
    assert_eq!(to["mcp-param-limit"], "42");
    assert!(!to.contains_key("mcp-param-dry-run") && !to.contains_key("mcp-param-never"));
}

#[test]
fn a_list_that_cannot_be_read_annotates_nothing() {
    for answer in ["", "[]", r#"{"error":{}}"#, r#"{"result":{"tools":{}}}"#] {
        assert_eq!(annotations(answer.as_bytes()), (Mirrors::new(), None));
    }
}
