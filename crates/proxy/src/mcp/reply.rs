//! JSON-RPC answers of the gateway itself.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::message::RawId;

#[derive(Serialize)]
struct Envelope<'a> {
    jsonrpc: &'static str,
    id: Option<&'a RawValue>,
    error: Body<'a>,
}

#[derive(Serialize)]
struct Success<'a> {
    jsonrpc: &'static str,
    id: Option<&'a RawValue>,
    result: &'a serde_json::Value,
}

#[derive(Serialize)]
struct Body<'a> {
    code: i64,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a serde_json::Value>,
}

/// `{"jsonrpc":"2.0","id":…,"error":{"code":…,"message":…,"data":…}}`, with the id exactly as the
/// client wrote it, or `null` where none is known. `data` is left out where there is none.
///
/// Own codes lie outside -32768..=-32000, which JSON-RPC and MCP reserve.
#[must_use]
pub fn error(id: Option<&RawId>, code: i64, message: &str, data: Option<&serde_json::Value>) -> Bytes {
    let id = raw(id);
    let envelope = Envelope { jsonrpc: "2.0", id, error: Body { code, message, data } };
    // Nothing in the envelope can fail to serialise; an empty body would still be an HTTP error.
    serde_json::to_vec(&envelope).map(Bytes::from).unwrap_or_default()
}

/// `{"jsonrpc":"2.0","id":…,"result":…}`, with the id exactly as the client wrote it.
#[must_use]
pub fn result(id: Option<&RawId>, result: &serde_json::Value) -> Bytes {
    let envelope = Success { jsonrpc: "2.0", id: raw(id), result };
    serde_json::to_vec(&envelope).map(Bytes::from).unwrap_or_default()
}

fn raw(id: Option<&RawId>) -> Option<&RawValue> {
    id.and_then(|id| serde_json::from_str(id.as_json()).ok())
}

/// One JSON message as one SSE event. The message must hold no line breaks, as those of
/// [`error`] never do.
#[must_use]
pub fn event(message: &[u8]) -> Bytes {
    Bytes::from([b"event: message\ndata: ".as_slice(), message, b"\n\n"].concat())
}

#[cfg(test)]
mod tests;
