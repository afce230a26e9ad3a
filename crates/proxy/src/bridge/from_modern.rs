//! What a modern server answers, as a client of the older generation understands it. Members that such
//! a client does not know stay: it ignores them.

use bytes::Bytes;

use super::from_legacy::untranslatable;
use crate::mcp::json::{JsonError, Kind, Scanner};
use crate::mcp::message::RawId;

/// One message of the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// The answer.
    Answer(Bytes),
    /// The answer says that headers and body differ (`-32020`): the tool's schema has changed.
    Mismatch(Bytes),
    /// A notification for the client.
    Note(Bytes),
    /// Nothing that a modern server may send.
    Aside,
}

const HEADER_MISMATCH: &str = "-32020";
const MISSING_CAPABILITY: &str = "-32021";

/// Translates one message of the server, asked under this id.
///
/// # Errors
/// The message is not acceptable JSON, or no object.
pub fn hear(id: &RawId, message: &Bytes) -> Result<Heard, JsonError> {
    let (mut has_method, mut raw_id) = (false, None);
    let (mut unfinished, mut failed) = (None::<Box<str>>, None::<Box<str>>);
    let mut scanner = Scanner::new(message)?;
    scanner.object(|scanner, key| match key {
        "method" => scanner.skip().map(|()| has_method = true),
        "id" => scanner.raw().map(|raw| raw_id = Some(Box::<str>::from(raw))),
        "result" if scanner.peek()? == Kind::Object => scanner.object(|scanner, key| {
            if key == "resultType" {
                let kind = scanner.text()?.unwrap_or_default();
                unfinished = (kind != "complete").then(|| kind.into());
                return Ok(());
            }
            scanner.skip()
        }),
        "error" if scanner.peek()? == Kind::Object => scanner.object(|scanner, key| {
            if key == "code" { scanner.raw().map(|raw| failed = Some(raw.into())) } else { scanner.skip() }
        }),
        _ => scanner.skip(),
    })?;
    scanner.finish()?;
    if has_method {
        return Ok(if raw_id.is_none() { Heard::Note(message.clone()) } else { Heard::Aside });
    }
    if let Some(kind) = unfinished {
        return Ok(Heard::Answer(untranslatable(id, reason(&kind))));
    }
    Ok(match failed.as_deref() {
        Some(MISSING_CAPABILITY) => {
            Heard::Answer(untranslatable(id, "the server needs a capability that cannot be served"))
        }
        Some(HEADER_MISMATCH) => Heard::Mismatch(message.clone()),
        _ => Heard::Answer(message.clone()),
    })
}

fn reason(kind: &str) -> &'static str {
    match kind {
        "input_required" => "the server asks its client for input",
        "task" => "the server answers with a task",
        _ => "the server answers with a result of another kind",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(message: &'static str) -> Heard {
        let id = RawId::parse("7").unwrap().unwrap();
        hear(&id, &Bytes::from_static(message.as_bytes())).unwrap()
    }

    #[test]
    fn results_errors_and_notifications_pass_byte_for_byte() {
        for message in [
            r#"{"jsonrpc":"2.0", "id":7,"result":{"resultType":"complete","ttlMs":5,"x":[1.0]}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[]}}"#,
            r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"m"}}"#,
        ] {
            assert_eq!(heard(message), Heard::Answer(Bytes::from_static(message.as_bytes())));
        }
        let note = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}"#;
        assert_eq!(heard(note), Heard::Note(Bytes::from_static(note.as_bytes())));
        assert_eq!(heard(r#"{"id":1,"method":"sampling/createMessage"}"#), Heard::Aside);
        assert!(matches!(heard(r#"{"id":7,"error":{"code":-32020,"message":"m"}}"#), Heard::Mismatch(_)));
    }

    #[test]
    fn a_result_that_asks_for_more_is_a_clear_error() {
        for (message, part) in [
            (
                r#"{"id":7,"result":{"resultType":"input_required","requestState":"s"}}"#,
                "asks its client for input",
            ),
            (r#"{"id":7,"result":{"resultType":"task","taskId":"t"}}"#, "answers with a task"),
            (r#"{"id":7,"error":{"code":-32021,"message":"m"}}"#, "needs a capability"),
        ] {
            let Heard::Answer(answer) = heard(message) else { panic!("{message}") };
            let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
            assert_eq!((&answer["id"], &answer["error"]["code"]), (&7.into(), &(-31017).into()));
            assert_eq!(answer["error"]["data"]["code"], "request.untranslatable");
            assert!(answer["error"]["message"].as_str().unwrap().contains(part), "{answer}");
        }
    }
}
