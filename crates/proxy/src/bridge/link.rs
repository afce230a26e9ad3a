//! What the gateway tells a server of the older generation on its own account, while a call of a modern
//! client runs there.

use std::sync::Arc;

use bytes::Bytes;
use gateway_core::policy::Permit;
use http::HeaderMap;

use super::line::{Line, Out};
use super::pool::Shared;
use crate::mcp::version::Generation;

/// One call's way to the server's session.
#[derive(Debug, Clone)]
pub struct Link {
    /// On whose account.
    pub line: Line,
    /// What the call runs under.
    pub permit: Permit,
    /// The server's session.
    pub session: Arc<Shared>,
    /// The call's headers, as the server sees them.
    pub headers: HeaderMap,
}

impl Link {
    /// Sends one message that wants no answer. What becomes of it is in the evidence.
    pub async fn tell(self, method: &'static str, body: Bytes) {
        let out = Out {
            method,
            headers: &self.headers,
            body,
            session: self.session.opened.id.as_ref(),
            generation: Generation::Legacy,
        };
        if let Err(refusal) = self.line.ask(&self.permit, out).await {
            tracing::debug!(request_id = %self.line.trip.request_id, method, %refusal, "the server was not told");
        }
    }
}

/// Tells the server that the call is cancelled, unless it has answered: a modern client that goes away
/// has cancelled, a server of the older generation has to be told (2025-11-25, "Cancellation").
#[derive(Debug)]
pub struct Cancelling {
    link: Option<Box<Link>>,
    number: u64,
}

impl Cancelling {
    /// Watches over the call of this id.
    pub fn new(link: Link, number: u64) -> Self {
        Self { link: Some(Box::new(link)), number }
    }

    /// The call has been answered, or was never begun.
    pub fn disarm(&mut self) {
        self.link = None;
    }
}

impl Drop for Cancelling {
    fn drop(&mut self) {
        let (Some(link), Ok(runtime)) = (self.link.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        let body = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{},"reason":"the client has closed its stream"}}}}"#,
            self.number
        );
        drop(runtime.spawn(link.tell("notifications/cancelled", Bytes::from(body))));
    }
}
