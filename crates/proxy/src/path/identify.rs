//! Third stage: what is asked? The body is read and parsed once; nothing later looks at it again but
//! to forward it.

use std::sync::Arc;

use bytes::Bytes;
use gateway_core::identity::VerifiedIdentity;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::trace::TraceContext;
use http::HeaderMap;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::admit::{Inbound, Trip, Verb};
use super::elicit;
use crate::bridge::Untranslatable;
use crate::gateway::Gateway;
use crate::mcp::elicitation::Answer;
use crate::mcp::headers::{self, Dialect, HeaderFault};
use crate::mcp::json::JsonFault;
use crate::mcp::message::{Message, MessageFault};
use crate::mcp::method::MethodKind;
use crate::mcp::version::Generation;
use crate::session::{SESSION_HEADER, Session};

/// A request understood.
#[derive(Debug)]
pub struct Call {
    /// The proof of who asks.
    pub identity: Arc<VerifiedIdentity>,
    /// The HTTP method.
    pub verb: Verb,
    /// The client's headers, its credential gone.
    pub headers: HeaderMap,
    /// The message; absent for GET and DELETE.
    pub message: Option<Message>,
    /// The body as it came, without an answer to a question of the gateway's own.
    pub body: Bytes,
    /// The generation it speaks.
    pub generation: Generation,
    /// Its session, for 2025-11-25 and older.
    pub session: Option<Arc<Session>>,
}

/// Why a request was not understood: a refusal of ours, or the protocol's own.
#[derive(Debug)]
pub enum Misread {
    /// A row of the table.
    Refusal(Refusal),
    /// A header fault, which has an answer of its own in the protocol.
    Header(HeaderFault),
    /// Something that cannot be said in the server's generation.
    Untranslatable(Untranslatable),
}

impl From<Refusal> for Misread {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<Code> for Misread {
    fn from(code: Code) -> Self {
        Self::Refusal(code.into())
    }
}

impl Call {
    /// What the method does; GET and DELETE have none.
    pub fn kind(&self) -> Option<MethodKind> {
        self.message.as_ref().and_then(Message::invocation).map(|call| call.kind)
    }

    /// What the person said to the gateway's own question, which only 2026-07-28 brings back with the call.
    pub fn answer(&self) -> Option<Answer> {
        let invocation = self.message.as_ref()?.invocation()?;
        invocation.params.answers.own.filter(|_| self.generation == Generation::Modern)
    }

    /// Whether the caller waits for an answer to its message.
    pub const fn is_request(&self) -> bool {
        matches!(self.message, Some(Message::Request { .. }))
    }
}

/// Reads and parses the request, and finds its session.
///
/// # Errors
/// See [`Misread`].
pub async fn identify(
    gateway: &Gateway,
    trip: &mut Trip,
    identity: Arc<VerifiedIdentity>,
    inbound: Inbound,
) -> Result<Call, Misread> {
    let Inbound { verb, headers, body } = inbound;
    let body = read(gateway, body).await?;
    let (message, dialect) = match verb {
        Verb::Post => understand(trip, &headers, &body)?,
        Verb::Get | Verb::Delete => (None, Dialect { generation: Generation::Legacy, version: None }),
    };
    let mut call =
        Call { identity, verb, headers, message, body, generation: dialect.generation, session: None };
    if call.answer().is_some() {
        call.body = elicit::without_answer(&call)?;
    }
    if call.generation == Generation::Legacy && call.kind() != Some(MethodKind::Initialize) {
        call.session = session(gateway, trip, &call)?;
        let stated = dialect.version.filter(|_| call.headers.contains_key(headers::PROTOCOL_VERSION));
        if let (Some(session), Some(version)) = (&call.session, stated) {
            session.speaks(version);
        }
    }
    Ok(call)
}

fn understand(
    trip: &mut Trip,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(Option<Message>, Dialect), Misread> {
    let message = Message::parse(body).map_err(|error| {
        trip.id = error.id;
        Misread::Refusal(Refusal::new(code(error.fault)).because(error.fault))
    })?;
    trip.id = message.id().cloned();
    if let Some(call) = message.invocation() {
        trip.method = Some(call.method.clone());
        if call.kind == MethodKind::CallTool {
            trip.tool.clone_from(&call.params.name);
        }
        if let Some(parent) = &call.params.traceparent {
            let meta = TraceContext::parse(parent, call.params.tracestate.as_deref());
            let header = trip.context.take().map(|context| *context);
            trip.stand_in(TraceContext::join(header, meta));
        }
    }
    let dialect = headers::validate(headers, &message).map_err(Misread::Header)?;
    Ok((Some(message), dialect))
}

fn code(fault: MessageFault) -> Code {
    match fault {
        MessageFault::Batch => Code::RequestBatch,
        MessageFault::Json(error) if error.fault == JsonFault::DuplicateKey => Code::RequestDuplicateKey,
        _ => Code::RequestMalformed,
    }
}

async fn read(gateway: &Gateway, body: Incoming) -> Result<Bytes, Refusal> {
    let whole = Limited::new(body, gateway.settings.request_body_bytes).collect();
    match tokio::time::timeout(gateway.settings.request_body_time, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Code::RequestTooLarge.into()),
        Ok(Err(error)) => Err(Refusal::new(Code::RequestMalformed).because(error)),
        Err(_) => Err(Code::RequestTimeout.into()),
    }
}

/// A session that the client names must be its own. A client that names none may speak to a server
/// without sessions, in every HTTP method; one that has sessions answers for itself.
fn session(gateway: &Gateway, trip: &Trip, call: &Call) -> Result<Option<Arc<Session>>, Refusal> {
    let Some(id) = call.headers.get(SESSION_HEADER) else { return Ok(None) };
    let id = id.to_str().map_err(|_| Code::SessionUnknown)?;
    let actor = trip.actor.as_ref().map(|actor| actor.stable_id()).unwrap_or_default();
    let place = (&trip.environment, &trip.server);
    gateway.sessions.find(id, &actor, place, &gateway.settings, trip.started).map(Some)
}
