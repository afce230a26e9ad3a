//! One call as the 2026-07-28 revision writes it, and the check of its answer.

use std::borrow::Cow;

use bytes::Bytes;
use gateway_bench::Failure;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::Full;
use serde::Deserialize;

/// Text that pads the argument to the size of a small real one.
const FILLER: &str = "The quick brown fox jumps over the lazy dog; please summarise issue 4711 in two lines.";

/// Everything of a request that stays the same.
#[derive(Clone)]
pub(crate) struct Template {
    path: Uri,
    headers: HeaderMap,
}

#[derive(Deserialize)]
struct Answer<'a> {
    id: u64,
    #[serde(borrow)]
    result: Outcome<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    #[serde(borrow)]
    content: Vec<Content<'a>>,
    result_type: &'a str,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

impl Template {
    /// A template for one target.
    ///
    /// # Errors
    /// The URL has no host, or the token is no header value.
    pub(crate) fn new(url: &Uri, token: &str) -> Result<Self, Failure> {
        let authority = url.authority().ok_or("the URL has no host")?;
        let mut headers = HeaderMap::new();
        let mut set = |name: &'static str, value: &str| -> Result<(), Failure> {
            headers.insert(name, HeaderValue::from_str(value)?);
            Ok(())
        };
        set("host", authority.as_str())?;
        set("authorization", &format!("Bearer {token}"))?;
        set("content-type", "application/json")?;
        set("accept", "application/json, text/event-stream")?;
        set("user-agent", "bench-load/1")?;
        set("mcp-protocol-version", "2026-07-28")?;
        set("mcp-method", "tools/call")?;
        set("mcp-name", "echo")?;
        let path = Uri::try_from(url.path())?;
        Ok(Self { path, headers })
    }

    /// The request with this id.
    pub(crate) fn request(&self, id: u64) -> Request<Full<Bytes>> {
        let body = format!(
            concat!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","#,
                r#""arguments":{{"text":"{id}: {filler}"}},"#,
                r#""_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
                r#""io.modelcontextprotocol/clientInfo":{{"name":"bench-load","version":"1"}},"#,
                r#""io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
            ),
            id = id,
            filler = FILLER
        );
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        request.headers_mut().clone_from(&self.headers);
        request
    }
}

/// Whether this is the answer to the call with this id.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(id: u64, status: StatusCode, body: &[u8]) -> Result<(), String> {
    let shown = || String::from_utf8_lossy(body.get(..body.len().min(300)).unwrap_or(body)).into_owned();
    if status != StatusCode::OK {
        return Err(format!("status {status}: {}", shown()));
    }
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|error| format!("{error}: {}", shown()))?;
    let text = answer.result.content.first().map(|content| &*content.text);
    let echoed = text.and_then(|text| text.strip_suffix(FILLER)?.strip_suffix(": ")?.parse().ok());
    if answer.id == id && echoed == Some(id) && answer.result.result_type == "complete" {
        Ok(())
    } else {
        Err(format!("not the answer to call {id}: {}", shown()))
    }
}

/// Whether the answer says that it is JSON.
///
/// # Errors
/// What it says instead.
pub(crate) fn check_type(headers: &HeaderMap) -> Result<(), String> {
    match headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes) {
        Some(b"application/json") => Ok(()),
        other => Err(format!("content type {:?}", other.map(String::from_utf8_lossy))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(id: u64, echoed: u64) -> String {
        let text = format!("{echoed}: {FILLER}");
        serde_json::json!({"jsonrpc": "2.0", "id": id, "result": {
            "resultType": "complete", "content": [{"type": "text", "text": text}]
        }})
        .to_string()
    }

    #[test]
    fn takes_only_the_answer_to_its_own_call() {
        assert!(check(7, StatusCode::OK, answer(7, 7).as_bytes()).is_ok());
        assert!(check(7, StatusCode::OK, answer(8, 7).as_bytes()).is_err());
        assert!(check(7, StatusCode::OK, answer(7, 8).as_bytes()).is_err());
        assert!(check(7, StatusCode::BAD_GATEWAY, answer(7, 7).as_bytes()).is_err());
        assert!(check(7, StatusCode::OK, br#"{"jsonrpc":"2.0","id":7,"error":{}}"#).is_err());
    }
}
