//! Headers that mirror the body (2026-07-28, Streamable HTTP, "Request Metadata").

use std::collections::HashMap;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::mcp::headers::{METHOD, NAME, PROTOCOL_VERSION};
use crate::mcp::message::Invocation;
use crate::mcp::version::ProtocolVersion;

/// An argument of a tool that a header mirrors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    header: HeaderName,
    path: Vec<String>,
}

/// The mirrored arguments of tools, by tool; a tool without any has an empty entry.
pub type Mirrors = HashMap<String, Vec<Mirror>>;

/// The largest integer that every JSON parser reads alike, 2^53 - 1.
const SAFE_INTEGER: i64 = (1 << 53) - 1;

/// Reads the annotations from the answer to `tools/list`, and the cursor of the next page.
#[must_use]
pub fn annotations(answer: &[u8]) -> (Mirrors, Option<String>) {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let result = answer.get("result").unwrap_or(&Value::Null);
    let tools = result.get("tools").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut mirrors = Mirrors::new();
    for tool in tools {
        let Some(name) = tool.get("name").and_then(Value::as_str) else { continue };
        let mut found = Vec::new();
        if let Some(schema) = tool.get("inputSchema") {
            collect(schema, &mut Vec::new(), &mut found);
        }
        mirrors.insert(name.to_owned(), found);
    }
    let cursor = result.get("nextCursor").and_then(Value::as_str).map(str::to_owned);
    (mirrors, cursor)
}

/// Follows `properties` only: an annotation anywhere else is invalid.
fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Mirror>) {
    if let Some(word) = schema.get("x-mcp-header").and_then(Value::as_str)
        && !path.is_empty()
        && let Ok(header) = HeaderName::try_from(format!("{}{word}", super::to_legacy::PARAM_PREFIX))
    {
        found.push(Mirror { header, path: path.clone() });
    }
    for (name, below) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        path.push(name.clone());
        collect(below, path, found);
        path.pop();
    }
}

/// The client's headers for a modern server: the version, the method, the name, the mirrored arguments.
#[must_use]
pub fn headers(from: &HeaderMap, call: &Invocation, body: &Bytes, mirrors: &[Mirror]) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(from.len() + 3);
    for (name, value) in from {
        if name != METHOD
            && name != NAME
            && name != "last-event-id"
            && !name.as_str().starts_with("mcp-param-")
        {
            headers.append(name.clone(), value.clone());
        }
    }
    headers.insert(PROTOCOL_VERSION, HeaderValue::from_static(ProtocolVersion::V20260728.as_str()));
    headers.insert(METHOD, value(&call.method));
    if let Some(target) = call.target() {
        headers.insert(NAME, value(target));
    }
    if !mirrors.is_empty() {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let arguments = body.get("params").and_then(|params| params.get("arguments"));
        for mirror in mirrors {
            let at = mirror.path.iter().try_fold(arguments, |at, key| Some(at?.get(key)));
            if let Some(text) = at.flatten().and_then(text) {
                headers.insert(mirror.header.clone(), value(&text));
            }
        }
    }
    headers
}

/// A primitive as header text; nothing for null, and for what may not be mirrored.
fn text(argument: &Value) -> Option<String> {
    match argument {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => {
            let whole = number.as_i64().filter(|whole| whole.abs() <= SAFE_INTEGER);
            whole.map(|whole| whole.to_string()).or_else(|| Some(number.to_string()))
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A header value for this text: as it is, or in the form `=?base64?…?=`.
#[must_use]
pub fn value(text: &str) -> HeaderValue {
    let padded = text.starts_with([' ', '\t']) || text.ends_with([' ', '\t']);
    let marked = text.starts_with("=?base64?") && text.ends_with("?=");
    let plain = text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    if plain
        && !padded
        && !marked
        && let Ok(value) = HeaderValue::from_str(text)
    {
        return value;
    }
    let encoded = base64::engine::general_purpose::STANDARD.encode(text);
    // Base64 is visible ASCII.
    HeaderValue::from_str(&format!("=?base64?{encoded}?=")).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests;
