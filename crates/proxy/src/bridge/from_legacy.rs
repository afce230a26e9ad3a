//! What a server of the older generation answers, as a modern client understands it.

use std::ops::Range;

use bytes::Bytes;
use gateway_core::refusal::Code;

use super::edit::{Edits, Members};
use super::level::Level;
use crate::mcp::json::{JsonError, Kind, Scanner};
use crate::mcp::message::RawId;
use crate::mcp::method::MethodKind;
use crate::mcp::reply;

/// What was asked, under which names on either side.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What the method does.
    pub kind: MethodKind,
    /// The client's id.
    pub id: RawId,
    /// The id, and progress token, that the server knows.
    pub number: u64,
    /// The client's progress token, as JSON text.
    pub progress: Option<Box<str>>,
    /// From which severity on the client wants log messages.
    pub level: Option<Level>,
}

/// One message of the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// The answer, translated, and the HTTP status that goes with it.
    Answer(Bytes, u16),
    /// A notification for the client.
    Note(Bytes),
    /// A request to the client: the server is to be answered with this, and the client hears nothing.
    Request(Bytes),
    /// Not this request's affair.
    Aside,
}

/// Translates one message of the server.
///
/// # Errors
/// The message is not acceptable JSON, or no object.
pub fn hear(asked: &Asked, message: &Bytes) -> Result<Heard, JsonError> {
    let seen = Seen::read(asked, message)?;
    let own = seen.id.as_ref().is_some_and(|id| *id.1 == *asked.number.to_string());
    match (&seen.method, &seen.id) {
        (Some(method), Some((_, id))) => Ok(Heard::Request(refuse_request(method, id))),
        (Some(method), None) => {
            let method = method.clone();
            Ok(note(asked, &method, seen, message))
        }
        (None, _) if own || (seen.error.is_some() && seen.is_unaddressed()) => {
            Ok(answer(asked, seen, message))
        }
        (None, _) => Ok(Heard::Aside),
    }
}

/// The members that matter, and where they stand.
#[derive(Default)]
struct Seen {
    open: usize,
    id: Option<(Range<usize>, Box<str>)>,
    method: Option<Box<str>>,
    error: Option<(Option<Range<usize>>, i64)>,
    progress: Option<(Range<usize>, Box<str>)>,
    level: Option<Level>,
    edits: Edits,
}

impl Seen {
    fn read(asked: &Asked, message: &Bytes) -> Result<Self, JsonError> {
        let mut seen = Self::default();
        let mut scanner = Scanner::new(message)?;
        scanner.skip_space();
        seen.open = scanner.offset() + 1;
        scanner.object(|scanner, key| match key {
            "id" => spanned(scanner).map(|id| seen.id = Some(id)),
            "method" => scanner.text().map(|method| seen.method = method.map(Box::from)),
            "result" if scanner.peek()? == Kind::Object => seen.read_result(scanner, asked.kind),
            "error" if scanner.peek()? == Kind::Object => seen.read_error(scanner),
            "params" if scanner.peek()? == Kind::Object => seen.read_params(scanner),
            _ => scanner.skip(),
        })?;
        scanner.finish()?;
        Ok(seen)
    }

    /// An error that answers a message whose id the server did not come to read.
    fn is_unaddressed(&self) -> bool {
        self.id.as_ref().is_none_or(|(_, id)| &**id == "null")
    }

    fn read_result(&mut self, scanner: &mut Scanner<'_>, kind: MethodKind) -> Result<(), JsonError> {
        let mut members = Members::begin(scanner);
        let (mut typed, mut lives, mut scoped) = (false, false, false);
        scanner.object(|scanner, key| {
            match key {
                "resultType" => typed = true,
                "ttlMs" => lives = true,
                "cacheScope" => scoped = true,
                _ => {}
            }
            scanner.skip()?;
            members.passed(scanner, true);
            Ok::<(), JsonError>(())
        })?;
        let mut added = Vec::new();
        if !typed {
            added.push(r#""resultType":"complete""#);
        }
        if says_how_long(kind) {
            if !lives {
                added.push(r#""ttlMs":0"#);
            }
            if !scoped {
                added.push(r#""cacheScope":"private""#);
            }
        }
        members.end(&added.join(","), &mut self.edits);
        Ok(())
    }

    fn read_error(&mut self, scanner: &mut Scanner<'_>) -> Result<(), JsonError> {
        let mut code = (None, 0);
        scanner.object(|scanner, key| {
            if key != "code" {
                return scanner.skip();
            }
            let (range, raw) = spanned(scanner)?;
            code = (Some(range), raw.parse().unwrap_or(0));
            Ok(())
        })?;
        self.error = Some(code);
        Ok(())
    }

    fn read_params(&mut self, scanner: &mut Scanner<'_>) -> Result<(), JsonError> {
        scanner.object(|scanner, key| match key {
            "progressToken" => spanned(scanner).map(|token| self.progress = Some(token)),
            "level" => scanner.text().map(|word| self.level = word.as_deref().and_then(Level::parse)),
            _ => scanner.skip(),
        })
    }
}

/// The value that comes next, and where it stands.
fn spanned(scanner: &mut Scanner<'_>) -> Result<(Range<usize>, Box<str>), JsonError> {
    scanner.skip_space();
    let start = scanner.offset();
    let raw = scanner.raw()?;
    Ok((start..scanner.offset(), raw.into()))
}

/// Results that must say how they may be cached (2026-07-28, "Caching").
fn says_how_long(kind: MethodKind) -> bool {
    matches!(
        kind,
        MethodKind::Discover
            | MethodKind::ListTools
            | MethodKind::ListPrompts
            | MethodKind::ListResources
            | MethodKind::ListResourceTemplates
            | MethodKind::ReadResource
    )
}

/// Notifications of this request pass; news of the session are a subscription's affair.
fn note(asked: &Asked, method: &str, seen: Seen, message: &Bytes) -> Heard {
    match method {
        "notifications/progress" => {
            let Some((range, token)) = seen.progress else { return Heard::Aside };
            let Some(own) = asked.progress.clone().filter(|_| *token == *asked.number.to_string()) else {
                return Heard::Aside;
            };
            let mut edits = Edits::default();
            edits.replace(range, String::from(own));
            Heard::Note(edits.apply(message))
        }
        "notifications/message" => {
            let wanted = asked.level.is_some_and(|from| seen.level.is_some_and(|level| level >= from));
            if wanted { Heard::Note(message.clone()) } else { Heard::Aside }
        }
        "notifications/cancelled"
        | "notifications/tools/list_changed"
        | "notifications/prompts/list_changed"
        | "notifications/resources/list_changed"
        | "notifications/resources/updated"
        | "notifications/roots/list_changed"
        | "notifications/tasks/status"
        | "notifications/elicitation/complete" => Heard::Aside,
        _ => Heard::Note(message.clone()),
    }
}

fn answer(asked: &Asked, mut seen: Seen, message: &Bytes) -> Heard {
    let status = match seen.error.take() {
        None => 200,
        // The caller is asked to open a page: a question of the older generation.
        Some((_, URL_ELICITATION)) => {
            return Heard::Answer(
                untranslatable(&asked.id, "the server asks its client to open a page"),
                200,
            );
        }
        Some((range, RESOURCE_NOT_FOUND)) => {
            if let Some(range) = range {
                seen.edits.replace(range, "-32602");
            }
            200
        }
        Some((_, METHOD_NOT_FOUND)) => 404,
        Some((_, -32700 | -32600)) => 400,
        Some(_) => 200,
    };
    let own = asked.id.as_json().to_owned();
    match seen.id {
        Some((range, _)) => seen.edits.replace(range, own),
        None => seen.edits.replace(seen.open..seen.open, format!("\"id\":{own},")),
    }
    Heard::Answer(seen.edits.apply(message), status)
}

/// JSON-RPC 2.0, section 5.1.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// 2025-11-25 and older; must not be emitted in 2026-07-28.
const RESOURCE_NOT_FOUND: i64 = -32002;
/// 2025-11-25; must not be emitted in 2026-07-28.
const URL_ELICITATION: i64 = -32042;

/// The answer to a call whose outcome has no counterpart in the client's generation.
#[must_use]
pub fn untranslatable(id: &RawId, what: &str) -> Bytes {
    let row = Code::Untranslatable.row();
    let data = serde_json::json!({"code": row.code, "hint": row.hint, "fixer": row.fixer.words()});
    reply::error(Some(id), i64::from(row.rpc), &format!("{}: {what}", row.text), Some(&data))
}

/// What the server hears when it asks the client for something.
fn refuse_request(method: &str, id: &str) -> Bytes {
    if method == "ping" {
        return Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
    }
    let text = "the client speaks a generation of the protocol in which servers send no requests";
    let id = RawId::parse(id).ok().flatten();
    reply::error(id.as_ref(), METHOD_NOT_FOUND, text, None)
}

#[cfg(test)]
mod tests;
