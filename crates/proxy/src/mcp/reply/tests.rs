use super::super::message::Message;
use super::*;

fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn answers_to_the_id_as_it_was_written() {
    let message = Message::parse(br#"{"jsonrpc":"2.0","id":"\u0061","method":"ping"}"#).expect("valid");
    let data = serde_json::json!({"code": "policy.denied"});
    assert_eq!(
        text(&error(message.id(), -31001, "not \"permitted\"\n", Some(&data))),
        r#"{"jsonrpc":"2.0","id":"\u0061","error":{"code":-31001,"message":"not \"permitted\"\n","data":{"code":"policy.denied"}}}"#
    );
}

#[test]
fn answers_to_null_where_no_id_is_known() {
    assert_eq!(
        text(&error(None, -32700, "invalid JSON", None)),
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"invalid JSON"}}"#
    );
}

#[test]
fn frames_an_error_as_one_event() {
    let body = error(None, 1, "two\nlines", None);
    let framed = event(&body);
    assert_eq!(super::super::sse::data(&framed).as_deref(), Some(&*body));
    assert_eq!(text(&framed).lines().count(), 3);
}

#[test]
fn a_result_answers_to_the_id_as_it_was_written() {
    let message = Message::parse(br#"{"jsonrpc":"2.0","id":"\u0061","method":"ping"}"#).expect("valid");
    assert_eq!(
        text(&result(message.id(), &serde_json::json!({"resultType": "input_required"}))),
        r#"{"jsonrpc":"2.0","id":"\u0061","result":{"resultType":"input_required"}}"#
    );
}
