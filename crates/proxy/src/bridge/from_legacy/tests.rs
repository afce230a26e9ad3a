use super::*;

fn asked(kind: MethodKind) -> Asked {
    Asked {
        kind,
        id: RawId::parse(r#""client""#).unwrap().unwrap(),
        number: 42,
        progress: Some(r#""p""#.into()),
        level: Some(Level::Warning),
    }
}

fn heard(kind: MethodKind, message: &'static str) -> Heard {
    hear(&asked(kind), &Bytes::from_static(message.as_bytes())).unwrap()
}

fn answered(text: &str, status: u16) -> Heard {
    Heard::Answer(Bytes::copy_from_slice(text.as_bytes()), status)
}

#[test]
fn a_result_gets_its_kind_and_the_clients_id_and_nothing_else_changes() {
    assert_eq!(
        heard(MethodKind::CallTool, r#"{"result" : {"content":[],"x":1.0} ,"jsonrpc":"2.0", "id":42}"#),
        answered(
            r#"{"result" : {"resultType":"complete","content":[],"x":1.0} ,"jsonrpc":"2.0", "id":"client"}"#,
            200
        )
    );
    assert_eq!(
        heard(MethodKind::Other, r#"{"id":42,"result":{}}"#),
        answered(r#"{"id":"client","result":{"resultType":"complete"}}"#, 200)
    );
}

#[test]
fn lists_and_reads_say_that_they_are_not_to_be_kept() {
    for kind in [
        MethodKind::ListTools,
        MethodKind::ListPrompts,
        MethodKind::ListResources,
        MethodKind::ListResourceTemplates,
        MethodKind::ReadResource,
    ] {
        assert_eq!(
            heard(kind, r#"{"id":42,"result":{"a":1}}"#),
            answered(
                r#"{"id":"client","result":{"resultType":"complete","ttlMs":0,"cacheScope":"private","a":1}}"#,
                200
            )
        );
    }
    assert_eq!(
        heard(MethodKind::ListTools, r#"{"id":42,"result":{"resultType":"complete","ttlMs":9}}"#),
        answered(
            r#"{"id":"client","result":{"cacheScope":"private","resultType":"complete","ttlMs":9}}"#,
            200
        )
    );
}

#[test]
fn errors_get_the_status_and_code_of_the_newer_generation() {
    let with =
        |code: i64| format!(r#"{{"id":42,"error":{{"message":"m","code":{code},"data":{{"uri":"u"}}}}}}"#);
    for (code, expected, status) in [
        (-32601, -32601, 404),
        (-32602, -32602, 200),
        (-32600, -32600, 400),
        (-32002, -32602, 200),
        (-5, -5, 200),
    ] {
        let message = Bytes::from(with(code));
        let expected = with(expected).replace(r#""id":42"#, r#""id":"client""#);
        assert_eq!(hear(&asked(MethodKind::ReadResource), &message).unwrap(), answered(&expected, status));
    }
    for unaddressed in
        [r#"{"error":{"code":-32600,"message":"m"}}"#, r#"{"id":null,"error":{"code":-32600,"message":"m"}}"#]
    {
        let Heard::Answer(answer, 400) = heard(MethodKind::CallTool, unaddressed) else {
            panic!("{unaddressed}")
        };
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["id"], "client");
    }
}

#[test]
fn a_page_to_be_opened_is_a_clear_error() {
    let message = r#"{"id":42,"error":{"code":-32042,"message":"m","data":{"elicitations":[]}}}"#;
    let Heard::Answer(answer, 200) = heard(MethodKind::CallTool, message) else { panic!() };
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["error"]["data"]["code"], "request.untranslatable");
    assert_eq!(answer["id"], "client");
}

#[test]
fn progress_and_wanted_log_messages_of_this_request_pass() {
    assert_eq!(
        heard(
            MethodKind::CallTool,
            r#"{"method":"notifications/progress","params":{"progressToken":42,"progress":1}}"#
        ),
        Heard::Note(Bytes::from_static(
            br#"{"method":"notifications/progress","params":{"progressToken":"p","progress":1}}"#
        ))
    );
    let log = r#"{"method":"notifications/message","params":{"level":"error","data":"x"}}"#;
    assert_eq!(heard(MethodKind::CallTool, log), Heard::Note(Bytes::from_static(log.as_bytes())));
    let unknown = r#"{"method":"notifications/com.example/x"}"#;
    assert_eq!(heard(MethodKind::CallTool, unknown), Heard::Note(Bytes::from_static(unknown.as_bytes())));
}

#[test]
fn what_belongs_to_others_never_reaches_this_client() {
    for message in [
        r#"{"id":41,"result":{}}"#,
        r#"{"id":"42","result":{}}"#,
        r#"{"method":"notifications/progress","params":{"progressToken":41}}"#,
        r#"{"method":"notifications/progress"}"#,
        r#"{"method":"notifications/message","params":{"level":"info"}}"#,
        r#"{"method":"notifications/tools/list_changed"}"#,
        r#"{"method":"notifications/resources/updated","params":{"uri":"u"}}"#,
        r#"{"method":"notifications/elicitation/complete"}"#,
    ] {
        assert_eq!(heard(MethodKind::CallTool, message), Heard::Aside, "{message}");
    }
}

#[test]
fn requests_of_the_server_are_answered_here() {
    let Heard::Request(answer) =
        heard(MethodKind::CallTool, r#"{"id":"s1","method":"sampling/createMessage","params":{}}"#)
    else {
        panic!()
    };
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&"s1".into(), &(-32601).into()));
    assert_eq!(
        heard(MethodKind::CallTool, r#"{"id":5,"method":"ping"}"#),
        Heard::Request(Bytes::from_static(br#"{"jsonrpc":"2.0","id":5,"result":{}}"#))
    );
}

#[test]
fn nothing_that_is_no_message_passes() {
    for message in ["", "[]", "7", r#"{"a":1,"a":2}"#] {
        assert!(
            hear(&asked(MethodKind::CallTool), &Bytes::from_static(message.as_bytes())).is_err(),
            "{message}"
        );
    }
}
