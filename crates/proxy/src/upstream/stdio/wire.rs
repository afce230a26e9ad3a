//! The lines a process is sent and writes: one JSON-RPC message each (MCP, "stdio" transport).

use bytes::Bytes;

use crate::mcp::json::{JsonError, Kind, Scanner};
use crate::mcp::message::{Message, RawId};
use crate::mcp::splice::replace;

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// A line that is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line that is no JSON-RPC message")]
pub(super) struct Garbage;

/// What the client wrote where the process was told something else.
#[derive(Debug, Clone)]
pub(super) struct Written {
    id: RawId,
    token: Option<Box<str>>,
}

/// A request as the process is sent it.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) id: RawId,
    pub(super) token: Option<Box<str>>,
    pub(super) restore: Option<Written>,
    pub(super) body: Bytes,
}

impl Outgoing {
    /// With the client's own id: the process serves this one client.
    pub(super) fn as_written(id: &RawId, message: &Message, body: &Bytes) -> Self {
        Self { id: id.clone(), token: token(message), restore: None, body: on_one_line(body) }
    }

    /// With an id and a progress token of ours: the process serves several clients of one actor, and
    /// two of them may use the same.
    pub(super) fn renamed(number: u64, id: &RawId, message: &Message, body: &Bytes) -> Self {
        let ours = RawId::number(number);
        let text = ours.as_json().to_owned();
        let edits: [(&[&str], &str); 2] = [(&["id"], &text), (&["params", "_meta", "progressToken"], &text)];
        let written = token(message);
        Self {
            id: ours,
            token: written.as_ref().map(|_| text.clone().into()),
            restore: Some(Written { id: id.clone(), token: written }),
            // The body was parsed before, so it can be edited.
            body: on_one_line(&replace(body, &edits).unwrap_or_else(|_| body.clone())),
        }
    }
}

impl Written {
    /// The answer with the client's own id.
    pub(super) fn back_in_answer(&self, line: &Bytes) -> Bytes {
        let edits: [(&[&str], &str); 2] =
            [(&["id"], self.id.as_json()), (&["result", "_meta", SUBSCRIPTION], self.id.as_json())];
        replace(line, &edits).unwrap_or_else(|_| line.clone())
    }

    /// A notification with the client's own token and subscription.
    pub(super) fn back_in_message(&self, line: &Bytes) -> Bytes {
        let mut edits: Vec<(&[&str], &str)> = vec![(&["params", "_meta", SUBSCRIPTION], self.id.as_json())];
        if let Some(token) = &self.token {
            edits.push((&["params", "progressToken"], token));
        }
        replace(line, &edits).unwrap_or_else(|_| line.clone())
    }
}

fn token(message: &Message) -> Option<Box<str>> {
    message.invocation().and_then(|call| call.params.progress_token.clone())
}

/// Line breaks in JSON stand between tokens only, where a space says the same.
pub(super) fn on_one_line(body: &Bytes) -> Bytes {
    if !body.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return body.clone();
    }
    let spaced = body.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte });
    Bytes::from(spaced.collect::<Vec<u8>>())
}

/// What the process wrote.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// The answer to a request.
    Answer(RawId),
    /// Progress under this token, raw JSON.
    Progress(Box<str>),
    /// A message of a subscription, by the id of its request.
    Subscribed(RawId),
    /// Something changed, whoever is calling.
    Change,
    /// A request to the client.
    Request(RawId),
    /// Any other notification.
    Notification,
}

/// Reads a line.
///
/// # Errors
/// [`Garbage`].
pub(super) fn read(line: &Bytes) -> Result<Incoming, Garbage> {
    Ok(match Message::parse(line).map_err(|_| Garbage)? {
        Message::Response { id, .. } => Incoming::Answer(id),
        Message::Request { id, .. } => Incoming::Request(id),
        Message::Notification(call) => {
            let found = find(line).map_err(|_| Garbage)?;
            match (found, &*call.method) {
                (Found { subscription: Some(id), .. }, _) => Incoming::Subscribed(id),
                (Found { token: Some(token), .. }, "notifications/progress") => Incoming::Progress(token),
                (_, method) if method.ends_with("/list_changed") || method.ends_with("/updated") => {
                    Incoming::Change
                }
                _ => Incoming::Notification,
            }
        }
    })
}

#[derive(Default)]
struct Found {
    token: Option<Box<str>>,
    subscription: Option<RawId>,
}

fn find(line: &[u8]) -> Result<Found, JsonError> {
    let mut found = Found::default();
    let mut scanner = Scanner::new(line)?;
    scanner.object(|scanner, key| match key {
        "params" if scanner.peek()? == Kind::Object => scanner.object(|scanner, key| match key {
            "progressToken" => scanner.raw().map(|raw| found.token = Some(raw.into())),
            "_meta" if scanner.peek()? == Kind::Object => scanner.object(|scanner, key| match key {
                SUBSCRIPTION => {
                    scanner.raw().map(|raw| found.subscription = RawId::parse(raw).ok().flatten())
                }
                _ => scanner.skip(),
            }),
            _ => scanner.skip(),
        }),
        _ => scanner.skip(),
    })?;
    Ok(found)
}

/// Tells the process that nobody waits for this answer any more.
pub(super) fn cancelled(id: &RawId) -> Bytes {
    let id = id.as_json();
    Bytes::from(format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"the client left"}}}}"#
    ))
}

/// Answers a request that this generation does not have.
pub(super) fn no_such_method(id: &RawId) -> Bytes {
    let id = id.as_json();
    Bytes::from(format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"requests of servers do not exist in 2026-07-28"}}}}"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(body: &'static str) -> Outgoing {
        let body = Bytes::from_static(body.as_bytes());
        let message = Message::parse(&body).unwrap();
        Outgoing::renamed(41, message.id().unwrap(), &message, &body)
    }

    #[test]
    fn a_renamed_call_gets_its_own_names_back() {
        let sent = outgoing(
            "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\n\"method\":\"tools/call\",\"params\":{\"name\":\"t\",\"_meta\":{\"progressToken\":\"p\"}}}",
        );
        assert_eq!(
            sent.body,
            r#"{"jsonrpc":"2.0","id":41, "method":"tools/call","params":{"name":"t","_meta":{"progressToken":41}}}"#
        );
        let written = sent.restore.unwrap();
        let answer = Bytes::from_static(br#"{"id":41,"jsonrpc":"2.0","result":{"x":41.0}}"#);
        assert_eq!(written.back_in_answer(&answer), r#"{"id":"a","jsonrpc":"2.0","result":{"x":41.0}}"#);
        let progress = Bytes::from_static(
            br#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":41,"progress":1}}"#,
        );
        assert_eq!(read(&progress), Ok(Incoming::Progress("41".into())));
        assert_eq!(
            written.back_in_message(&progress),
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p","progress":1}}"#
        );
    }

    #[test]
    fn lines_are_sorted_by_what_they_belong_to() {
        let line = |text: &'static str| read(&Bytes::from_static(text.as_bytes()));
        assert_eq!(line(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#), Ok(Incoming::Answer(RawId::number(1))));
        assert_eq!(
            line(r#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#),
            Ok(Incoming::Request(RawId::number(1)))
        );
        assert_eq!(
            line(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#),
            Ok(Incoming::Change)
        );
        let subscribed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":3}}}"#;
        assert_eq!(line(subscribed), Ok(Incoming::Subscribed(RawId::number(3))));
        for garbage in ["hello", "", "[]", "{\"jsonrpc\":\"2.0\"}", "{\"id\":1,\"id\":1}"] {
            assert_eq!(line(garbage), Err(Garbage), "{garbage}");
        }
    }
}
