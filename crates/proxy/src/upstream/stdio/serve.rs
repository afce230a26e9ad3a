//! A process seen from the corridor: a Streamable HTTP server of the generation it speaks.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use gateway_core::refusal::{Code, Refusal};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::child::{Child, Piece, Stop, Ticket};
use crate::mcp::message::{Message, RawId};
use crate::mcp::method::MethodKind;
use crate::mcp::reply;
use crate::mcp::version::Generation;
use crate::session::SESSION_HEADER;
use crate::upstream::UpstreamBody;

/// How long a silent process has to prove that it is alive.
const PROOF_OF_LIFE: Duration = Duration::from_secs(5);

/// The messages of a process for one caller, as server-sent events.
#[derive(Debug)]
pub struct ChildStream {
    first: Option<Piece>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Call(Ticket),
    Listener(mpsc::Receiver<Piece>),
    Over,
}

impl ChildStream {
    /// The next event; `Err` where the process ended before it answered.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        let piece = match self.first.take() {
            Some(piece) => Some(piece),
            None => {
                let polled = match &mut self.source {
                    Source::Call(ticket) => ticket.pieces.poll_recv(context),
                    Source::Listener(pieces) => pieces.poll_recv(context),
                    Source::Over => return Poll::Ready(None),
                };
                match polled {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(piece) => piece,
                }
            }
        };
        match piece {
            Some(Piece::Message(message)) => Poll::Ready(Some(Ok(reply::event(&message)))),
            Some(Piece::Answer(message)) => {
                self.finish();
                Poll::Ready(Some(Ok(reply::event(&message))))
            }
            None => {
                let cut = match &self.source {
                    Source::Call(ticket) => Some(ticket.child.why_ended().inside().unwrap_or("").to_owned()),
                    // A listener's stream may end at any time; the client comes again.
                    Source::Listener(_) | Source::Over => None,
                };
                self.finish();
                Poll::Ready(cut.map(Err))
            }
        }
    }

    fn finish(&mut self) {
        if let Source::Call(mut ticket) = std::mem::replace(&mut self.source, Source::Over) {
            ticket.done = true;
        }
    }
}

/// Asks the process, and answers with JSON where it answers at once, else with events.
///
/// # Errors
/// [`Code::UpstreamTimeout`], [`Code::ProcessEnded`].
pub(super) async fn ask(
    child: &Arc<Child>,
    id: &RawId,
    message: &Message,
    body: &Bytes,
    limit: Duration,
) -> Result<Response<UpstreamBody>, Refusal> {
    let kind = message.invocation().map(|call| call.kind);
    let endless = kind == Some(MethodKind::Listen);
    let asked = Instant::now();
    let mut ticket = match child.ask(id, message, body, endless).await {
        Ok(ticket) => ticket,
        Err(refusal) if refusal.code() == Code::RequestMalformed => return Ok(id_in_use(id)),
        Err(refusal) => return Err(refusal),
    };
    match tokio::time::timeout(limit, ticket.pieces.recv()).await {
        Err(_) => {
            tokio::spawn(examine(Arc::clone(child), asked));
            Err(Code::UpstreamTimeout.into())
        }
        Ok(None) => Err(child.why_ended()),
        Ok(Some(Piece::Answer(answer))) => {
            ticket.done = true;
            Ok(json(status(child.generation, &answer), answer))
        }
        Ok(Some(first)) => Ok(events(ChildStream { first: Some(first), source: Source::Call(ticket) })),
    }
}

/// The errors of 2026-07-28 that have an HTTP status of their own ("Error Handling").
fn status(generation: Generation, answer: &[u8]) -> StatusCode {
    #[derive(serde::Deserialize)]
    struct Answer {
        error: Option<Fault>,
    }
    #[derive(serde::Deserialize)]
    struct Fault {
        code: i64,
    }
    if generation == Generation::Legacy {
        return StatusCode::OK;
    }
    let fault = serde_json::from_slice::<Answer>(answer).ok().and_then(|answer| answer.error);
    match fault.map(|fault| fault.code) {
        Some(-32601) => StatusCode::NOT_FOUND,
        Some(-32700 | -32600 | -32602 | -32022..=-32020) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

/// A process that let a call time out is asked whether it lives, and ended where it does not answer.
async fn examine(child: Arc<Child>, since: Instant) {
    if child.generation == Generation::Legacy {
        let ping = Bytes::from_static(br#"{"jsonrpc":"2.0","id":"mcp-gateway-ping","method":"ping"}"#);
        if let (Ok(message), Ok(Some(id))) = (Message::parse(&ping), RawId::parse("\"mcp-gateway-ping\""))
            && let Ok(mut ticket) = child.ask(&id, &message, &ping, false).await
            && let Ok(Some(_)) = tokio::time::timeout(PROOF_OF_LIFE, ticket.pieces.recv()).await
        {
            return;
        }
    } else if !child.silent_since(since) {
        return;
    }
    tracing::warn!(server = %child.standing.server, "a server's process no longer answers and is ended");
    child.stop(Stop::Kill);
}

/// The stream of what belongs to no call.
pub(super) fn listen(child: &Arc<Child>) -> Response<UpstreamBody> {
    match child.listen() {
        Some(pieces) => events(ChildStream { first: None, source: Source::Listener(pieces) }),
        None => refused(StatusCode::CONFLICT, "only one stream listens at a time"),
    }
}

fn id_in_use(id: &RawId) -> Response<UpstreamBody> {
    let body = reply::error(Some(id), -32600, "a request with this id is under way", None);
    json(StatusCode::BAD_REQUEST, body)
}

/// An answer of the server that is no message.
pub(super) fn refused(status: StatusCode, why: &str) -> Response<UpstreamBody> {
    json(status, reply::error(None, -32600, why, None))
}

/// An answer without a body.
pub(super) fn accepted() -> Response<UpstreamBody> {
    let mut response = Response::new(UpstreamBody::Whole(None));
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// Adds the session that was opened.
///
/// # Errors
/// Never with the ids that are made here.
pub(super) fn with_session(response: &mut Response<UpstreamBody>, id: &str) -> Result<(), Refusal> {
    let id = HeaderValue::from_str(id).map_err(|error| Refusal::new(Code::Internal).because(error))?;
    response.headers_mut().insert(HeaderName::from_static(SESSION_HEADER), id);
    Ok(())
}

/// An answer of JSON.
pub(super) fn json(status: StatusCode, body: Bytes) -> Response<UpstreamBody> {
    let mut response = Response::new(UpstreamBody::Whole(Some(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn events(stream: ChildStream) -> Response<UpstreamBody> {
    let mut response = Response::new(UpstreamBody::Child(Box::new(stream)));
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Source {
    /// Whether nothing more comes.
    const fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }
}

impl ChildStream {
    /// Whether the last event was taken.
    pub(crate) fn is_over(&self) -> bool {
        self.first.is_none() && self.source.is_over()
    }
}
