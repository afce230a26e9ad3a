//! The call of a tool that only reads: some servers look at a credential no earlier.

use bytes::Bytes;
use gateway_core::manifest::ProbeCall;
use gateway_core::refusal::{Code, Refusal};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::Words;
use crate::session::SESSION_HEADER;

const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const MODERN: HeaderValue = HeaderValue::from_static("2026-07-28");

/// What is said after the handshake: a server that took it gets the rest of it first, any other is of 2026-07-28
/// and is asked at once.
pub(super) fn words(call: &ProbeCall, shaken: &HeaderMap, answer: &[u8]) -> Result<Vec<Words>, Refusal> {
    let unable = |error: http::header::InvalidHeaderValue| Refusal::new(Code::Internal).because(error);
    let mut params = json!({"name": call.tool.as_str(), "arguments": call.arguments});
    let agreed = message(answer).and_then(|answer| {
        answer.pointer("/result/protocolVersion").and_then(Value::as_str).map(ToOwned::to_owned)
    });
    let mut headers = HeaderMap::new();
    let mut said = Vec::new();
    if let Some(version) = agreed {
        headers.insert(VERSION, HeaderValue::from_str(&version).map_err(unable)?);
        if let Some(session) = shaken.get(SESSION_HEADER) {
            headers.insert(SESSION_HEADER, session.clone());
        }
        let body = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        said.push(Words { method: "notifications/initialized", tool: None, headers: headers.clone(), body });
    } else {
        headers.insert(VERSION, MODERN);
        headers.insert(METHOD, HeaderValue::from_static("tools/call"));
        headers.insert(NAME, HeaderValue::from_str(call.tool.as_str()).map_err(unable)?);
        if let Some(params) = params.as_object_mut() {
            params.insert(
                "_meta".to_owned(),
                json!({
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientCapabilities": {},
                    "io.modelcontextprotocol/clientInfo": {"name": "mcp-gateway-probe", "version": "1"}
                }),
            );
        }
    }
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let body = Bytes::from(body.to_string());
    said.push(Words { method: "tools/call", tool: Some(call.tool.clone()), headers, body });
    Ok(said)
}

/// Only a result that is no error shows that the credential is good.
pub(super) fn judge(status: StatusCode, body: &[u8]) -> Result<(), Refusal> {
    let refuse = |why: &'static str| Err(Refusal::new(Code::UpstreamUnauthorized).because(why));
    let Some(answer) = message(body).filter(|_| status.is_success()) else {
        return Err(
            Refusal::new(Code::UpstreamMalformed).because("the probe's tool gave no answer that can be read")
        );
    };
    match answer.get("result") {
        Some(result) if result.get("isError") == Some(&Value::Bool(true)) => {
            refuse("the probe's tool reports an error")
        }
        Some(_) => Ok(()),
        None => refuse("the probe's tool was refused"),
    }
}

/// The answer in a body, which is the message itself or an event stream with it.
fn message(body: &[u8]) -> Option<Value> {
    let answers = |message: &Value| message.get("result").is_some() || message.get("error").is_some();
    if let Ok(message) = serde_json::from_slice::<Value>(body) {
        return Some(message).filter(answers);
    }
    let text = std::str::from_utf8(body).ok()?;
    let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
    data.filter_map(|data| serde_json::from_str::<Value>(data.trim()).ok()).find(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> ProbeCall {
        serde_json::from_value(json!({"tool": "whoami", "arguments": {"brief": true}})).unwrap()
    }

    #[test]
    fn a_server_that_shakes_hands_is_asked_within_its_session() {
        let mut headers = HeaderMap::new();
        headers.insert(SESSION_HEADER, HeaderValue::from_static("s-1"));
        let answer = br#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18"}}"#;
        let said = words(&call(), &headers, answer).unwrap();
        let methods: Vec<_> = said.iter().map(|words| words.method).collect();
        assert_eq!(methods, ["notifications/initialized", "tools/call"]);
        for words in &said {
            assert_eq!(words.headers[SESSION_HEADER], "s-1");
            assert_eq!(words.headers[VERSION], "2025-06-18");
        }
        let body: Value = serde_json::from_slice(&said[1].body).unwrap();
        assert_eq!(body["params"], json!({"name": "whoami", "arguments": {"brief": true}}));
    }

    #[test]
    fn any_other_server_is_asked_at_once() {
        let answer = b"{\"jsonrpc\":\"2.0\",\"id\":0,\"error\":{\"code\":-32601,\"message\":\"no\"}}";
        let said = words(&call(), &HeaderMap::new(), answer).unwrap();
        assert_eq!(said.len(), 1);
        assert_eq!(
            (&said[0].headers[NAME], &said[0].headers[VERSION]),
            (&HeaderValue::from_static("whoami"), &MODERN)
        );
        let body: Value = serde_json::from_slice(&said[0].body).unwrap();
        assert_eq!(body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    }

    #[test]
    fn only_a_result_without_an_error_is_good() {
        let good = br#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;
        assert!(judge(StatusCode::OK, good).is_ok());
        let stream = b"event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n";
        assert!(judge(StatusCode::OK, stream).is_ok());
        let code = |status, body: &[u8]| judge(status, body).unwrap_err().code();
        let failed = br#"{"result":{"isError":true,"content":[]}}"#;
        assert_eq!(code(StatusCode::OK, failed), Code::UpstreamUnauthorized);
        assert_eq!(code(StatusCode::OK, br#"{"error":{"code":-32602}}"#), Code::UpstreamUnauthorized);
        assert_eq!(code(StatusCode::OK, b"hello"), Code::UpstreamMalformed);
        assert_eq!(code(StatusCode::BAD_REQUEST, good), Code::UpstreamMalformed);
    }
}
