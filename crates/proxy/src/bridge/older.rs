//! A client of the older generation on a modern server.

use std::sync::Arc;

use bytes::Bytes;
use gateway_core::audit::EventKind;
use gateway_core::policy::Permit;
use gateway_core::refusal::{Code, Refusal};
use http::{HeaderName, HeaderValue, Response, header};

use super::client::Bridged;
use super::discovery::{self, Facts};
use super::from_legacy::METHOD_NOT_FOUND;
use super::level::Level;
use super::line::{Line, Out, Said};
use super::mirror::{self, Mirror};
use super::newer::{Heard, hear, own_headers, own_id};
use super::stream::{Ear, Older};
use super::to_modern::{self, Client};
use super::{Outcome, Untranslatable};
use crate::mcp::json::JsonError;
use crate::mcp::message::{Invocation, Message as Parsed, RawId};
use crate::mcp::method::MethodKind;
use crate::mcp::version::{Generation, ProtocolVersion};
use crate::path::admit::Verb;
use crate::path::answer::note;
use crate::path::body::AnswerBody;
use crate::path::forward::{Forwarded, attempt, may_repeat, ready, take_places};
use crate::path::identify::{Call, Misread};
use crate::path::inject::Message;
use crate::path::refuse;
use crate::session::{Opening, SESSION_HEADER, Session, UpstreamSession};

/// How many pages of tools are read to find one tool's annotations.
const PAGES: usize = 32;

/// Asks the server what it is; `None` where it does not speak 2026-07-28.
///
/// # Errors
/// Any refusal of the corridor.
pub async fn discover(line: &Line, permit: &Permit, client: &Client) -> Result<Option<Said>, Refusal> {
    let said = ask(line, permit, client, "server/discover", "{}").await?;
    let facts = Facts::read(&said.body).unwrap_or_default();
    let version = ProtocolVersion::V20260728.as_str();
    let speaks = said.status.is_success() && facts.supported.iter().any(|known| &**known == version);
    Ok(speaks.then_some(said))
}

/// One question of the gateway's own.
async fn ask(
    line: &Line,
    permit: &Permit,
    client: &Client,
    method: &str,
    params: &str,
) -> Result<Said, Refusal> {
    let body = format!(r#"{{"jsonrpc":"2.0","id":0,"method":"{method}","params":{params}}}"#);
    let body = to_modern::message(&Bytes::from(body), client, None).map_err(internal)?.body;
    let parsed = Parsed::parse(&body).map_err(|error| Refusal::new(Code::Internal).because(error))?;
    let headers = match parsed.invocation() {
        Some(call) => mirror::headers(&own_headers(), call, &body, &[]),
        None => own_headers(),
    };
    let out = Out { method, headers: &headers, body, session: None, generation: Generation::Modern };
    line.ask(permit, out).await
}

fn internal(error: JsonError) -> Refusal {
    Refusal::new(Code::Internal).because(error)
}

/// Answers `initialize` from what the server says of itself, and opens the client's session.
///
/// # Errors
/// [`Code::ProtocolGeneration`] where the server does not speak 2026-07-28, and any refusal of the
/// corridor.
pub async fn open(line: &Line, call: &Call, permit: &Permit) -> Result<Outcome, Misread> {
    let client =
        Client::read(&call.body).map_err(|error| Refusal::new(Code::RequestMalformed).because(error))?;
    let said = discover(line, permit, &client).await?;
    let said = said.ok_or_else(|| {
        Refusal::new(Code::ProtocolGeneration).because("the server does not discover 2026-07-28")
    })?;
    let (gateway, trip) = (&line.gateway, &line.trip);
    let id = trip.id.clone().unwrap_or_else(own_id);
    let body = discovery::initialize(&said.body, &id, client.version, &trip.server)
        .map_err(|error| Refusal::new(Code::UpstreamMalformed).because(error))?;
    let binding = said.permit.binding();
    let nothing = UpstreamSession { id: HeaderValue::from_static(""), binding: Arc::clone(binding) };
    let opening = Opening {
        actor: trip.actor.clone().ok_or(Code::TokenMissing)?,
        environment: &trip.environment,
        server: &trip.server,
        handshake: call.body.clone(),
        upstream: nothing,
        bridged: Some(Arc::new(Bridged::new(client))),
    };
    let session = gateway.sessions.open(opening, &gateway.settings, &*gateway.random, trip.started)?;
    note(gateway, trip, EventKind::SessionOpened, &session)?;
    let mut response = refuse::json(200, body, trip);
    response.headers_mut().insert(HeaderName::from_static(SESSION_HEADER), session.header()?);
    Ok(Outcome::Own(response))
}

/// Serves what comes in a session.
///
/// # Errors
/// Any refusal of the corridor, and [`Misread::Untranslatable`].
pub async fn serve(
    line: &Line,
    call: &Call,
    session: &Arc<Session>,
    bridged: &Arc<Bridged>,
    permit: Permit,
) -> Result<Outcome, Misread> {
    match (call.verb, &call.message) {
        (Verb::Get, _) => Err(Code::RequestMethod.into()),
        (Verb::Delete, _) => {
            if line.gateway.sessions.close(session) {
                session.stop(Code::SessionEnded);
                note(&line.gateway, &line.trip, EventKind::SessionEnded, session)?;
            }
            Ok(Outcome::Own(refuse::plain(204, Bytes::new())))
        }
        (Verb::Post, Some(Parsed::Request { id, call: invocation })) => {
            match own_answer(bridged, id, invocation)? {
                Some(body) => Ok(Outcome::Own(refuse::json(200, body, &line.trip))),
                None => request(line, call, id, invocation, bridged, permit).await,
            }
        }
        (Verb::Post, Some(Parsed::Notification(invocation))) => {
            told(line, call, invocation, bridged, &permit).await
        }
        (Verb::Post, _) => Err(Misread::Untranslatable(Untranslatable {
            status: 400,
            code: i64::from(Code::Untranslatable.row().rpc),
            text: "nothing was asked of the client: a modern server sends no requests".to_owned(),
        })),
    }
}

/// What the gateway answers itself.
fn own_answer(bridged: &Bridged, id: &RawId, call: &Invocation) -> Result<Option<Bytes>, Misread> {
    let empty = || Some(Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, id.as_json())));
    let refused =
        |code, text: String| Err(Misread::Untranslatable(Untranslatable { status: 200, code, text }));
    match call.kind {
        MethodKind::Ping => Ok(empty()),
        MethodKind::SetLevel => match call.params.level.as_deref().and_then(Level::parse) {
            Some(level) => {
                bridged.set_level(level);
                Ok(empty())
            }
            None => refused(-32602, "`params.level` must be a severity of the protocol".to_owned()),
        },
        MethodKind::SubscribeResource
        | MethodKind::UnsubscribeResource
        | MethodKind::Listen
        | MethodKind::Discover
        | MethodKind::Task => refused(METHOD_NOT_FOUND, without_counterpart(call)),
        MethodKind::Other if call.method.starts_with("tasks/") => {
            refused(METHOD_NOT_FOUND, without_counterpart(call))
        }
        _ => Ok(None),
    }
}

fn without_counterpart(call: &Invocation) -> String {
    format!("`{}` has no counterpart in the server's generation", call.method)
}

/// A notification: a cancellation stops the request here, and so at the server; the rest of the
/// protocol's own has nobody to hear it.
async fn told(
    line: &Line,
    call: &Call,
    invocation: &Invocation,
    bridged: &Arc<Bridged>,
    permit: &Permit,
) -> Result<Outcome, Misread> {
    let taken = Ok(Outcome::Own(refuse::plain(202, Bytes::new())));
    match &*invocation.method {
        "notifications/cancelled" => {
            if let Some(id) = &invocation.params.cancels {
                bridged.cancel(id);
            }
            taken
        }
        "notifications/initialized" | "notifications/progress" | "notifications/roots/list_changed" => taken,
        method => {
            let body = to_modern::message(&call.body, &bridged.client, None).map_err(internal)?.body;
            let headers = mirror::headers(&call.headers, invocation, &body, &[]);
            let out = Out { method, headers: &headers, body, session: None, generation: Generation::Modern };
            let said = line.ask(permit, out).await?;
            // 404 would say that the session is gone.
            let status = if said.status.is_success() { 202 } else { 400 };
            Ok(Outcome::Own(refuse::plain(status, Bytes::new())))
        }
    }
}

async fn request(
    line: &Line,
    call: &Call,
    id: &RawId,
    invocation: &Invocation,
    bridged: &Arc<Bridged>,
    permit: Permit,
) -> Result<Outcome, Misread> {
    let translated = to_modern::message(&call.body, &bridged.client, bridged.level()).map_err(internal)?;
    if translated.wants_task {
        return Err(Misread::Untranslatable(Untranslatable {
            status: 200,
            code: i64::from(Code::Untranslatable.row().rpc),
            text: "tasks of 2025-11-25 have no counterpart in the server's generation".to_owned(),
        }));
    }
    let gateway = &line.gateway;
    let places = take_places(gateway, &permit, &line.aim, &line.trip)?;
    let mut refreshed = false;
    loop {
        let running = bridged.begin(id);
        let stop = Arc::clone(&running.stop);
        let mirrors = match (&invocation.kind, &invocation.params.name) {
            (MethodKind::CallTool, Some(tool)) => mirrors(line, &permit, bridged, tool, refreshed).await?,
            _ => Vec::new(),
        };
        let headers = mirror::headers(&call.headers, invocation, &call.body, &mirrors);
        let message = Message {
            verb: Verb::Post,
            headers: &headers,
            body: translated.body.clone(),
            session: None,
            generation: Generation::Modern,
        };
        let lists_tools = invocation.kind == MethodKind::ListTools;
        let ear = Older { id: id.clone(), session: Arc::clone(bridged), running, lists_tools };
        let answering = async {
            let mut ready = ready(gateway, &line.trip, &line.identity, &line.aim, permit.clone()).await?;
            ready.pass.join(call, &ready.permit)?;
            let repeats = may_repeat(call, &ready.permit);
            let sent = attempt(gateway, &line.upstreams, &line.trip, message, ready, repeats).await?;
            hear(line, sent, Ear::Older(Box::new(ear)), false).await
        };
        let heard = tokio::select! {
            biased;
            () = stop.wait() => return Ok(Outcome::Own(silence())),
            heard = Box::pin(answering) => heard?,
        };
        match heard {
            Heard::Mismatch(first) if !refreshed && invocation.kind == MethodKind::CallTool => {
                first.trail.fail(Code::HeaderMismatch);
                refreshed = true;
            }
            Heard::Forwarded(forwarded) | Heard::Mismatch(forwarded) => {
                return Ok(Outcome::Upstream(Box::new(Forwarded { places, ..*forwarded })));
            }
            Heard::SessionGone => {
                return Err(Refusal::new(Code::Internal)
                    .because("a server without sessions lost one")
                    .into());
            }
        }
    }
}

/// The mirrored arguments of a tool. Where no list has told them on this session, or they have changed,
/// the list is read once.
async fn mirrors(
    line: &Line,
    permit: &Permit,
    bridged: &Bridged,
    tool: &str,
    anew: bool,
) -> Result<Vec<Mirror>, Refusal> {
    if let Some(known) = bridged.mirrors(tool).filter(|_| !anew) {
        return Ok(known);
    }
    let mut cursor = None;
    for _ in 0..PAGES {
        let params = serde_json::json!({"cursor": cursor}).to_string();
        let params = if cursor.is_some() { params.as_str() } else { "{}" };
        let said = ask(line, permit, &bridged.client, "tools/list", params).await?;
        let (told, next) = mirror::annotations(&said.body);
        bridged.learn(told);
        cursor = next;
        if cursor.is_none() || bridged.mirrors(tool).is_some() {
            break;
        }
    }
    let known = bridged.mirrors(tool);
    if known.is_none() {
        // The server will say that it does not know the tool; it need not be listed for each call.
        bridged.learn(mirror::Mirrors::from([(tool.to_owned(), Vec::new())]));
    }
    Ok(known.unwrap_or_default())
}

/// A cancelled request gets no answer (2025-11-25, "Cancellation"): a stream without events.
fn silence() -> Response<AnswerBody> {
    let mut response = refuse::plain(200, Bytes::new());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}
