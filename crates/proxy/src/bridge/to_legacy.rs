//! A modern client's message, as a server of the older generation understands it.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::edit::{Edits, Members};
use super::level::Level;
use crate::mcp::headers::{METHOD, NAME, PROTOCOL_VERSION};
use crate::mcp::json::{JsonError, Kind, Scanner};

/// Keys of `_meta` that belong to the protocol: what they say, the handshake has said.
pub const RESERVED: &str = "io.modelcontextprotocol/";

/// Beginning of the names of headers that mirror a tool's arguments.
pub const PARAM_PREFIX: &str = "mcp-param-";

/// A message translated.
#[derive(Debug, PartialEq, Eq)]
pub struct Translated {
    /// The message to send.
    pub body: Bytes,
    /// The client's progress token, as JSON text; the server was given the new id in its place.
    pub progress: Option<Box<str>>,
    /// From which severity on the client wants the log messages of this request.
    pub level: Option<Level>,
}

/// Translates a request or notification. `id` replaces the request's id and progress token: several
/// clients share the server's session, and what they chose may collide.
///
/// # Errors
/// The body is not acceptable JSON, which its parser has ruled out before.
pub fn message(body: &Bytes, id: Option<u64>) -> Result<Translated, JsonError> {
    let mut draft = Draft { id, edits: Edits::default(), progress: None, level: None };
    let mut scanner = Scanner::new(body)?;
    scanner.object(|scanner, key| match key {
        "id" => draft.renumber(scanner).map(drop),
        "params" if scanner.peek()? == Kind::Object => scanner.object(|scanner, key| match key {
            "_meta" if scanner.peek()? == Kind::Object => draft.read_meta(scanner),
            _ => scanner.skip(),
        }),
        _ => scanner.skip(),
    })?;
    scanner.finish()?;
    let Draft { edits, progress, level, .. } = draft;
    Ok(Translated { body: edits.apply(body), progress, level })
}

struct Draft {
    id: Option<u64>,
    edits: Edits,
    progress: Option<Box<str>>,
    level: Option<Level>,
}

impl Draft {
    fn read_meta(&mut self, scanner: &mut Scanner<'_>) -> Result<(), JsonError> {
        let mut members = Members::begin(scanner);
        scanner.object(|scanner, key| {
            match key.strip_prefix(RESERVED) {
                Some("logLevel") => self.level = scanner.text()?.as_deref().and_then(Level::parse),
                Some(_) => scanner.skip()?,
                None if key == "progressToken" => self.progress = Some(self.renumber(scanner)?),
                None => scanner.skip()?,
            }
            members.passed(scanner, !key.starts_with(RESERVED));
            Ok::<(), JsonError>(())
        })?;
        members.end("", &mut self.edits);
        Ok(())
    }

    /// Replaces the value that comes next by the new id; returns it.
    fn renumber(&mut self, scanner: &mut Scanner<'_>) -> Result<Box<str>, JsonError> {
        scanner.skip_space();
        let start = scanner.offset();
        let raw = scanner.raw()?;
        if let Some(id) = self.id {
            self.edits.replace(start..scanner.offset(), id.to_string());
        }
        Ok(raw.into())
    }
}

/// The client's headers for a server of the older generation: the agreed version, no mirrors.
#[must_use]
pub fn headers(from: &HeaderMap, version: &HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(from.len());
    for (name, value) in from {
        let text = name.as_str();
        if text != METHOD && text != NAME && text != "last-event-id" && !text.starts_with(PARAM_PREFIX) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers.insert(PROTOCOL_VERSION, version.clone());
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translate(body: &'static str) -> Translated {
        message(&Bytes::from_static(body.as_bytes()), Some(42)).unwrap()
    }

    #[test]
    fn only_id_progress_token_and_the_protocols_metadata_change() {
        let translated = translate(concat!(
            r#"{ "jsonrpc":"2.0","x-unknown" : 1.0,"id":"abc","method":"tools/call","params":{"name":"t","#,
            r#""arguments":{"id":7,"_meta":{"io.modelcontextprotocol/protocolVersion":"kept"}},"#,
            r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":"p","traceparent":"00-1","#,
            r#""io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/logLevel":"warning","com.example/x":[1]}} }"#,
        ));
        assert_eq!(
            translated.body,
            concat!(
                r#"{ "jsonrpc":"2.0","x-unknown" : 1.0,"id":42,"method":"tools/call","params":{"name":"t","#,
                r#""arguments":{"id":7,"_meta":{"io.modelcontextprotocol/protocolVersion":"kept"}},"#,
                r#""_meta":{"progressToken":42,"traceparent":"00-1","com.example/x":[1]}} }"#,
            )
        );
        assert_eq!(translated.progress.as_deref(), Some(r#""p""#));
        assert_eq!(translated.level, Some(Level::Warning));
    }

    #[test]
    fn metadata_of_the_protocol_alone_leaves_an_empty_object() {
        let translated = translate(
            r#"{"id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"v","io.modelcontextprotocol/clientCapabilities":{}}}}"#,
        );
        assert_eq!(translated.body, r#"{"id":42,"method":"tools/list","params":{"_meta":{}}}"#);
        assert_eq!((translated.progress, translated.level), (None, None));
    }

    #[test]
    fn a_notification_keeps_its_tokens() {
        let body =
            Bytes::from_static(br#"{"method":"notifications/x","params":{"_meta":{"progressToken":1}}}"#);
        assert_eq!(message(&body, None).unwrap().body, body);
    }

    #[test]
    fn mirrors_go_and_the_agreed_version_comes() {
        let mut from = HeaderMap::new();
        for (name, value) in [
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "t"),
            ("mcp-param-region", "eu"),
            ("accept", "application/json, text/event-stream"),
            ("x-custom", "stays"),
        ] {
            from.insert(name, HeaderValue::from_static(value));
        }
        let to = headers(&from, &HeaderValue::from_static("2025-06-18"));
        let mut names: Vec<_> = to.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "mcp-protocol-version", "x-custom"]);
        assert_eq!(to[PROTOCOL_VERSION], "2025-06-18");
    }
}
