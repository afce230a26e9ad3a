//! Tools of the generation that lets a server send requests of its own: 2025-11-25 and older.

#![expect(deprecated, reason = "what SEP-2577 deprecates is still part of the revision")]

use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{
    CallToolResult, ClientResult, ContentBlock, CreateMessageRequestParams, ElicitRequest,
    ElicitRequestParams, JsonObject, LoggingLevel, LoggingMessageNotificationParam,
    ProgressNotificationParam, SamplingMessage, ServerRequest,
};
use rmcp::service::{Peer, RequestContext, RoleServer, ServiceError};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use serde_json::{Value, json};

use super::catalogue::Form;

/// The tools that this file serves.
#[cfg(test)]
pub(super) const NAMES: &[&str] =
    &["test_sampling", "test_tool_with_logging", "test_tool_with_progress", "test_reconnection"];

/// How long a tool pretends to work between two messages: the suite's own figure.
const PAUSE: Duration = Duration::from_millis(50);
/// More streams than a session of the suite opens before the one that is to be closed.
const STREAMS: u64 = 16;

fn text(text: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

fn failed(what: &str, error: &ServiceError) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(format!("{what}: {error}"))])
}

/// Lets the client's model answer.
pub(super) async fn sample(arguments: &JsonObject, peer: &Peer<RoleServer>) -> CallToolResult {
    let prompt = arguments.get("prompt").and_then(Value::as_str).unwrap_or_default();
    let params = CreateMessageRequestParams::new(vec![SamplingMessage::user_text(prompt)], 100);
    match peer.create_message(params).await {
        Ok(answer) => text(format!("LLM response: {}", json!(answer.message.content))),
        Err(error) => failed("the client did not sample", &error),
    }
}

/// Lets the user fill in a form; the argument `message` replaces the form's own.
pub(super) async fn elicit(form: &Form, arguments: &JsonObject, peer: &Peer<RoleServer>) -> CallToolResult {
    let message = arguments.get("message").and_then(Value::as_str).unwrap_or(&form.message);
    let params = ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: message.to_owned(),
        requested_schema: form.requested_schema.clone(),
    };
    match peer.send_request(ServerRequest::ElicitRequest(ElicitRequest::new(params))).await {
        Ok(ClientResult::ElicitResult(answer)) => {
            let content = answer.content.unwrap_or_default();
            text(format!("Elicitation completed: action={}, content={content}", json!(answer.action)))
        }
        Ok(_) => failed("the client did not ask", &ServiceError::UnexpectedResponse),
        Err(error) => failed("the client did not ask", &error),
    }
}

/// Logs while it works.
pub(super) async fn log(peer: &Peer<RoleServer>) -> CallToolResult {
    for (number, line) in
        ["Tool execution started", "Tool processing data", "Tool execution completed"].iter().enumerate()
    {
        if number > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        say(peer, LoggingLevel::Info, line).await;
    }
    text("Tool with logging executed")
}

/// Sends one log message; a client that is gone hears nothing.
pub(super) async fn say(peer: &Peer<RoleServer>, level: LoggingLevel, line: &str) {
    drop(peer.notify_logging_message(LoggingMessageNotificationParam::new(level, Value::from(line))).await);
}

/// Reports progress where the request carries a token for it.
pub(super) async fn progress(context: &RequestContext<RoleServer>) -> CallToolResult {
    let token = context.meta.get_progress_token();
    for (number, share) in [0.0, 50.0, 100.0].into_iter().enumerate() {
        if number > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        if let Some(token) = token.clone() {
            let report = ProgressNotificationParam::new(token, share).with_total(100.0);
            drop(context.peer.notify_progress(report).await);
        }
    }
    text("Tool with progress executed")
}

/// Closes every stream of the session that a POST opened, then answers: who wants the answer comes back
/// with `Last-Event-ID` (SEP-1699).
///
/// # Errors
/// There is no session.
pub(super) async fn reconnect(
    context: &RequestContext<RoleServer>,
    sessions: &LocalSessionManager,
) -> Result<CallToolResult, ErrorData> {
    let parts = context.extensions.get::<http::request::Parts>();
    let session = parts.and_then(|parts| parts.headers.get("mcp-session-id")).and_then(|id| id.to_str().ok());
    let known = sessions.sessions.read().await;
    let Some(handle) = session.and_then(|id| known.get(id)).cloned() else {
        return Err(ErrorData::invalid_request("this tool needs a session", None));
    };
    drop(known);
    tokio::time::sleep(PAUSE).await;
    for stream in 0..STREAMS {
        // Only those that are open can be closed; the SDK does not tell a tool which one is its own.
        drop(handle.close_sse_stream(stream, None).await);
    }
    tokio::time::sleep(PAUSE.saturating_mul(2)).await;
    Ok(text("Reconnection test completed"))
}
