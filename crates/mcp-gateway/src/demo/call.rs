//! Plain HTTP calls to the data plane, where the story needs to see the exact answer.

use std::time::Duration;

use serde_json::{Value, json};

use super::collected::Collected;
use super::failure::Failure;

/// An answer as it came.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    /// The body.
    pub(super) text: String,
}

impl Answer {
    /// The body as JSON, without what differs from request to request.
    pub(super) fn comparable(&self) -> String {
        let mut body: Value = serde_json::from_str(&self.text).unwrap_or(Value::Null);
        if let Some(data) = body.pointer_mut("/error/data").and_then(Value::as_object_mut) {
            data.remove("request_id");
        }
        format!("{} {body}", self.status)
    }

    /// The stable code of a refusal.
    pub(super) fn code(&self) -> String {
        let body: Value = serde_json::from_str(&self.text).unwrap_or(Value::Null);
        let code = body.pointer("/error/data/code").or_else(|| body.pointer("/code"));
        code.and_then(Value::as_str).unwrap_or("none").to_owned()
    }
}

/// A client for plain calls; one for each caller, so that connections are not shared.
pub(super) fn web() -> Result<reqwest::Client, Failure> {
    let builder = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30));
    Ok(builder.redirect(reqwest::redirect::Policy::none()).build()?)
}

/// Calls a tool in the way of 2026-07-28: one self-contained request.
pub(super) async fn tool(
    web: &reqwest::Client,
    url: &str,
    bearer: &str,
    tool: &str,
) -> Result<reqwest::Response, Failure> {
    let message = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {
            "name": tool, "arguments": {},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": {"name": "mcp-gateway-demo", "version": "1"},
            },
        },
    });
    let request = web
        .post(url)
        .bearer_auth(bearer)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", tool)
        .body(message.to_string());
    Ok(request.send().await?)
}

/// The same, read to its end and kept, headers and all.
pub(super) async fn read(
    web: &reqwest::Client,
    url: &str,
    bearer: &str,
    name: &str,
    collected: &Collected,
) -> Result<Answer, Failure> {
    let response = tool(web, url, bearer, name).await?;
    let status = response.status().as_u16();
    let headers = format!("{:?}", response.headers());
    let text = response.text().await?;
    collected.keep("a plain answer of the data plane", format!("{status}\n{headers}\n{text}"));
    Ok(Answer { status, text })
}
