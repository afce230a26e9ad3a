//! Answers that are read as they arrive: for streams, which have no length and no end known beforehand.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{OutboundClient, OutboundError, OutboundRequest, guard, host_of, may_speak, transport};

/// A stream may stay open for as long as both sides like: the deadline of whole requests is lifted.
const NO_DEADLINE: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Why a request brought no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// It never left this machine: sending it again cannot do anything twice.
    #[error(transparent)]
    NotSent(OutboundError),
    /// It may have arrived, whole or in part.
    #[error(transparent)]
    Broken(OutboundError),
}

/// An answer whose body is still on its way. Dropping it ends the connection.
pub struct OpenAnswer {
    /// The status, redirects included: they are answers like any other.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    answer: reqwest::Response,
    host: String,
}

impl fmt::Debug for OpenAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenAnswer({})", self.status.as_u16())
    }
}

impl OpenAnswer {
    /// The next bytes of the body; nothing at its end.
    ///
    /// # Errors
    /// The connection broke before the end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, OutboundError> {
        self.answer.chunk().await.map_err(|error| transport(&self.host, error))
    }
}

impl OutboundClient {
    /// Sends one request, once, and returns as soon as the answer's head is there. Only making the
    /// connection has a deadline; `max_body` is the reader's to keep.
    ///
    /// # Errors
    /// No answer, and whether the request may have arrived.
    pub async fn open(&self, request: OutboundRequest) -> Result<OpenAnswer, OpenError> {
        let host = host_of(&request.url);
        if !may_speak(&request.url, self.allow_plain_http) {
            return Err(OpenError::NotSent(OutboundError::Insecure(host)));
        }
        if let Some(scopes) = &self.guard {
            guard::literal(&request.url, scopes).map_err(|refused| {
                OpenError::NotSent(OutboundError::Address { host: host.clone(), refused })
            })?;
        }
        let mut outbound = self.client.request(request.method, request.url).headers(request.headers);
        if let Some(body) = request.body {
            outbound = outbound.body(Bytes::from_owner(body));
        }
        let sent = outbound.timeout(NO_DEADLINE).send().await;
        let mut answer = sent.map_err(|error| {
            let unsent = error.is_connect();
            let why = transport(&host, error);
            if unsent { OpenError::NotSent(why) } else { OpenError::Broken(why) }
        })?;
        let headers = std::mem::take(answer.headers_mut());
        Ok(OpenAnswer { status: answer.status(), headers, answer, host })
    }
}
