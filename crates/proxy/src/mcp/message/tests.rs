use super::*;

fn parse(body: &str) -> Message {
    Message::parse(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}"))
}

fn fault(body: &str) -> MessageFault {
    Message::parse(body.as_bytes()).expect_err(body).fault
}

fn call(body: &str) -> Invocation {
    parse(body).invocation().expect("a method").clone()
}

#[test]
fn reads_a_modern_tool_call() {
    let message = parse(
        r#"{"jsonrpc":"2.0","id":"a\u0062","method":"tools/call","params":{
            "name":"add_comment","arguments":{"name":"other","uri":"x","_meta":{"traceparent":"no"}},
            "requestState":"opaque","inputResponses":{},
            "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",
                     "io.modelcontextprotocol/clientCapabilities":{"elicitation":{}},
                     "progressToken":7,"traceparent":"00-a-b-01"}},"x":1}"#,
    );
    assert_eq!(message.id().expect("an id").as_json(), r#""a\u0062""#);
    let call = message.invocation().expect("a call");
    assert_eq!((call.kind, call.target()), (MethodKind::CallTool, Some("add_comment")));
    let params = &call.params;
    assert_eq!(params.uri, None, "arguments are not parameters");
    assert!(params.resumes_state && params.has_client_capabilities);
    assert_eq!(params.protocol_version.as_deref(), Some("2026-07-28"));
    assert_eq!(params.progress_token.as_deref(), Some("7"));
    assert_eq!(params.traceparent.as_deref(), Some("00-a-b-01"));
}

#[test]
fn classifies_methods_exactly() {
    for (method, kind) in [
        ("initialize", MethodKind::Initialize),
        ("server/discover", MethodKind::Discover),
        ("tools/list", MethodKind::ListTools),
        ("resources/templates/list", MethodKind::ListResourceTemplates),
        ("subscriptions/listen", MethodKind::Listen),
        ("completion/complete", MethodKind::Complete),
        ("logging/setLevel", MethodKind::SetLevel),
        ("Tools/list", MethodKind::Other),
        ("tools/list ", MethodKind::Other),
        ("vendor/thing", MethodKind::Other),
    ] {
        let seen = call(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#));
        assert_eq!((seen.kind, &*seen.method), (kind, method));
    }
    assert_eq!(
        call(r#"{"jsonrpc":"2.0","id":1,"method":"tools\/c\u0061ll","params":{"name":"x"}}"#).kind,
        MethodKind::CallTool,
        "escapes hide nothing"
    );
}

#[test]
fn tells_requests_notifications_and_responses_apart() {
    assert!(matches!(
        parse(r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#),
        Message::Request { .. }
    ));
    let cancelled =
        call(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"7"}}"#);
    assert_eq!(cancelled.params.cancels.expect("an id").as_json(), "\"7\"");
    for (body, failed) in [
        (r#"{"jsonrpc":"2.0","id":-3,"result":{}}"#, false),
        (r#"{"id":-3,"error":{},"jsonrpc":"2.0"}"#, true),
    ] {
        let Message::Response { id, failed: seen } = parse(body) else { panic!("a response") };
        assert_eq!((id.as_json(), seen), ("-3", failed));
    }
}

#[test]
fn keeps_ids_as_written_and_refuses_other_kinds() {
    for id in ["0", "-0", "123456789012345678901234567890", "\"\"", "\"7\"", r#""\u00e9""#] {
        let message = parse(&format!(r#"{{"jsonrpc":"2.0","id": {id} ,"method":"ping"}}"#));
        assert_eq!(message.id().expect("an id").as_json(), id);
    }
    for id in ["null", "1.0", "1e3", "true", "[1]", "{}"] {
        assert_eq!(
            fault(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)),
            MessageFault::Id,
            "{id}"
        );
    }
    assert_eq!(fault(r#"{"jsonrpc":"2.0","result":{}}"#), MessageFault::Id);
}

#[test]
fn refuses_what_is_not_one_message() {
    for (body, expected) in [
        ("[]", MessageFault::Batch),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, MessageFault::Batch),
        ("7", MessageFault::NotObject),
        (r#"{"id":1,"method":"ping"}"#, MessageFault::JsonRpcVersion),
        (r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#, MessageFault::JsonRpcVersion),
        (r#"{"jsonrpc":"2.0","id":1}"#, MessageFault::Ambiguous),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#, MessageFault::Ambiguous),
        (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, MessageFault::Ambiguous),
        (r#"{"jsonrpc":"2.0","id":1,"method":""}"#, MessageFault::Method),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, MessageFault::Method),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[1]}"#, MessageFault::Params),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#, MessageFault::Member("params.name")),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":1}}"#,
            MessageFault::Member("params.name"),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{}}"#,
            MessageFault::Member("params.uri"),
        ),
    ] {
        assert_eq!(fault(body), expected, "{body}");
    }
    let duplicate =
        fault(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#);
    assert!(matches!(duplicate, MessageFault::Json(_)), "{duplicate}");
    assert_eq!(duplicate.code(), -32700);
}

#[test]
fn a_subscription_names_its_resource_where_the_method_still_exists() {
    let request = |version: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"{version}"}}}}}}"#
        )
    };
    assert_eq!(fault(&request("2025-11-25")), MessageFault::Member("params.uri"));
    assert_eq!(fault(&request("2099-01-01")), MessageFault::Member("params.uri"));
    assert_eq!(call(&request("2026-07-28")).target(), None);
}

#[test]
fn gives_the_id_back_only_where_the_body_could_be_read() {
    let refused = Message::parse(br#"{"jsonrpc":"2.0","id":9,"method":"tools/call"}"#).expect_err("no name");
    assert_eq!((refused.id.expect("an id").as_json(), refused.fault.code()), ("9", -32602));
    let broken = Message::parse(br#"{"jsonrpc":"2.0","id":9,"method":"ping""#).expect_err("cut off");
    assert_eq!(broken.id, None);
}

#[test]
fn reads_what_a_completion_refers_to() {
    let reference = |reference: &str| {
        let params = format!(r#"{{"ref":{reference},"argument":{{"name":"n","value":"v"}}}}"#);
        call(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{params}}}"#))
            .params
            .reference
    };
    assert_eq!(reference(r#"{"type":"ref/prompt","name":"p"}"#), Some(Reference::Prompt("p".into())));
    assert_eq!(
        reference(r#"{"uri":"f://{x}","type":"ref/resource"}"#),
        Some(Reference::Resource("f://{x}".into()))
    );
    assert_eq!(reference(r#"{"type":"ref/prompt","uri":"p"}"#), None);
    assert_eq!(reference("7"), None);
}

#[test]
fn reads_who_shows_people_addresses_and_what_they_answered() {
    let modern = |capabilities: &str, params: &str| {
        call(&format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"n",{params}"_meta":{{"io.modelcontextprotocol/clientCapabilities":{capabilities}}}}}}}"#
        ))
        .params
    };
    assert!(modern(r#"{"elicitation":{"url":{}}}"#, "").shows_addresses);
    assert!(!modern(r#"{"elicitation":{"form":{}}}"#, "").shows_addresses);
    assert!(!modern("{}", r#""arguments":{"capabilities":{"elicitation":{"url":{}}}},"#).shows_addresses);
    let handshake = call(
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{"elicitation":{"url":{}}}}}"#,
    );
    assert!(handshake.params.shows_addresses);
    let retried = modern("{}", r#""inputResponses":{"mcp-gateway/connect":{"action":"accept"},"x":{}},"#);
    assert_eq!(retried.answers, Answers { own: Some(elicitation::Answer::Accepted), others: true });
    assert_eq!(modern("{}", r#""arguments":{"inputResponses":{"x":{}}},"#).answers, Answers::default());
}
