//! The server's door: demands the credential, writes down what arrived, and hands the rest to the SDK.

use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use serde_json::{Value, json};

use super::handler::Fixture;

/// The largest body that is read.
const BODY_LIMIT: usize = 8 << 20;

/// What stands behind the door.
pub(super) struct Door {
    /// The SHA-256, in lower-case hexadecimal, of the bearer credential that is good; `None` asks for none.
    pub(super) accept: Option<String>,
    /// One JSON object a line for each request.
    pub(super) log: Option<Mutex<File>>,
    pub(super) service: StreamableHttpService<Fixture, LocalSessionManager>,
}

/// Takes one request.
pub(super) async fn enter(State(door): State<Arc<Door>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let body = body.to_bytes();
    let credential = parts.headers.remove(header::AUTHORIZATION);
    let bearer = credential.as_ref().and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    let seen = bearer.map(|bearer| hex::encode(digest(&SHA256, bearer)));
    let authorized = door.accept.is_none() || door.accept == seen;
    let line = json!({
        "verb": parts.method.as_str(), "method": method(&body), "authorized": authorized,
        "credential_sha256": seen,
        "binding": parts.headers.get("mcp-gateway-binding").and_then(|value| value.to_str().ok()),
        "origin": parts.headers.contains_key(header::ORIGIN), "cookie": parts.headers.contains_key(header::COOKIE),
    });
    if door.write(&line).is_err() {
        // Without the log no verdict could be taken from it.
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    if !authorized {
        return (StatusCode::UNAUTHORIZED, "this server needs a credential").into_response();
    }
    door.service.handle(http::Request::from_parts(parts, Full::new(body))).await.map(Body::new)
}

fn method(body: &[u8]) -> Option<String> {
    let message: Value = serde_json::from_slice(body).ok()?;
    message.get("method")?.as_str().map(str::to_owned)
}

impl Door {
    fn write(&self, line: &Value) -> std::io::Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        let mut file = log.lock().map_err(|_| std::io::Error::other("a writer of the log is gone"))?;
        file.write_all(format!("{line}\n").as_bytes())
    }
}
