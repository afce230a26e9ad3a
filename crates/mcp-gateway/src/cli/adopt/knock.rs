//! One handshake at a server's door: whether it opens.

use std::time::Duration;

use gateway_adapters::https::{OutboundClient, OutboundConfig, OutboundRequest};
use gateway_core::secret::Secret;
use http::header::{self, HeaderName};
use http::{HeaderValue, Method};
use tokio::runtime::Runtime;
use url::Url;

use crate::cli::failure::{Exit, Failure};

/// How a door answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// It opens.
    Open,
    /// It answers with this status.
    Closed(u16),
    /// It does not answer, for this reason.
    Silent(String),
}

/// Knocks at doors.
pub(super) struct Knocker {
    http: OutboundClient,
    runtime: Runtime,
}

/// The handshake of 2025-11-25: every server and the gateway understand it.
const HANDSHAKE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"mcp-gateway-adopt","version":"1"}}}"#;
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

impl Knocker {
    /// Touches no network. `plain_http` lets `http://` leave this machine.
    pub(super) fn new(plain_http: bool) -> Result<Self, Failure> {
        let timeout = Duration::from_secs(20);
        let config = OutboundConfig { timeout, allow_plain_http: plain_http, ..OutboundConfig::default() };
        let failed = |error: &dyn std::error::Error| {
            Failure::new(Exit::Refused, "the command line's own machinery cannot start").because(error)
        };
        let http = OutboundClient::new(&config).map_err(|error| failed(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(&error))?;
        Ok(Self { http, runtime })
    }

    /// Knocks once with a credential in a header, and takes leave where the door opened a session.
    pub(super) fn knock(&self, url: &Url, name: &HeaderName, value: &HeaderValue) -> Answer {
        let json = HeaderValue::from_static("application/json");
        let accept = HeaderValue::from_static("application/json, text/event-stream");
        let request = OutboundRequest::new(Method::POST, url.clone())
            .header(header::CONTENT_TYPE, json)
            .header(header::ACCEPT, accept)
            .header(name.clone(), value.clone())
            .body(HANDSHAKE.as_bytes().to_vec());
        let answer = match self.runtime.block_on(self.http.send(request)) {
            Ok(answer) => answer,
            Err(error) => return Answer::Silent(error.to_string()),
        };
        if let Some(session) = answer.headers.get(SESSION) {
            let farewell = OutboundRequest::new(Method::DELETE, url.clone())
                .header(SESSION, session.clone())
                .header(name.clone(), value.clone());
            drop(self.runtime.block_on(self.http.send(farewell)));
        }
        if answer.status.is_success() { Answer::Open } else { Answer::Closed(answer.status.as_u16()) }
    }
}

/// `Bearer …` and the like, marked as not to be shown.
#[expect(
    clippy::disallowed_methods,
    reason = "the found key, or the agent's token, goes into the header it was made for"
)]
pub(super) fn credential(before: &str, secret: &Secret) -> Option<HeaderValue> {
    let mut bytes = zeroize::Zeroizing::new(before.as_bytes().to_vec());
    bytes.extend_from_slice(secret.expose());
    let mut value = HeaderValue::from_bytes(&bytes).ok()?;
    value.set_sensitive(true);
    Some(value)
}
