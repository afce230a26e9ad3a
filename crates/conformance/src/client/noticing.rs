//! The SDK's HTTP client, which also says when the listening stream is open.
//!
//! The SDK opens that stream in the background. The suite's `sse-retry` server answers a call on whatever stream
//! opens next: a client that calls before its listening stream stands is answered there, and never reconnects.

use std::collections::HashMap;
use std::sync::Arc;

use futures::stream::BoxStream;
use http::{HeaderName, HeaderValue};
use rmcp::model::ClientJsonRpcMessage;
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use sse_stream::Sse;
use tokio::sync::watch;

type Headers = HashMap<HeaderName, HeaderValue>;
type Answer<T> = Result<T, StreamableHttpError<reqwest::Error>>;

/// What is known of the listening stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listening {
    /// No session was assigned: none will be opened.
    NoSession,
    /// A session was assigned; the stream is on its way.
    Opening,
    /// The server answered, whatever it said.
    Answered,
}

/// Passes everything to `reqwest`.
#[derive(Debug, Clone)]
pub(super) struct Noticing {
    inner: reqwest::Client,
    listening: Arc<watch::Sender<Listening>>,
}

impl Noticing {
    pub(super) fn new() -> (Self, watch::Receiver<Listening>) {
        let (listening, seen) = watch::channel(Listening::NoSession);
        (Self { inner: reqwest::Client::default(), listening: Arc::new(listening) }, seen)
    }
}

impl StreamableHttpClient for Noticing {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        auth: Option<String>,
        headers: Headers,
    ) -> Answer<StreamableHttpPostResponse> {
        let opens = session.is_none();
        let answer = self.inner.post_message(uri, message, session, auth, headers).await;
        let assigned = match &answer {
            Ok(StreamableHttpPostResponse::Json(_, id) | StreamableHttpPostResponse::Sse(_, id)) => {
                id.is_some()
            }
            _ => false,
        };
        if opens && assigned {
            self.listening.send_replace(Listening::Opening);
        }
        answer
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        auth: Option<String>,
        headers: Headers,
    ) -> Answer<()> {
        self.inner.delete_session(uri, session, auth, headers).await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        auth: Option<String>,
        headers: Headers,
    ) -> Answer<BoxStream<'static, Result<Sse, SseError>>> {
        let answer = self.inner.get_stream(uri, session, last_event, auth, headers).await;
        self.listening.send_replace(Listening::Answered);
        answer
    }
}
