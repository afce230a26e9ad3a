//! A modern client on a server of the older generation.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway_core::policy::Permit;
use gateway_core::refusal::{Code, Refusal};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::discovery::{self, Facts};
use super::from_legacy::{Asked, METHOD_NOT_FOUND};
use super::level::Level;
use super::line::{Line, Out, Said, is_events, read};
use super::link::{Cancelling, Link};
use super::pool::{Holder, Opened, Shared};
use super::stream::{Answer, Ear, Newer, Translated};
use super::{Outcome, Untranslatable, to_legacy};
use crate::mcp::headers::PROTOCOL_VERSION;
use crate::mcp::json::{Kind, Scanner};
use crate::mcp::message::RawId;
use crate::mcp::method::MethodKind;
use crate::mcp::version::{Generation, ProtocolVersion};
use crate::path::forward::{Forwarded, Ready, attempt, has_current_process, may_repeat, ready, take_places};
use crate::path::identify::{Call, Misread};
use crate::path::inject::Message;
use crate::path::refuse;
use crate::session::SESSION_HEADER;
use crate::upstream::UpstreamBody;

/// How long the first message is waited for before the answer becomes a stream: the answer alone has a
/// status of its own.
const FIRST: Duration = Duration::from_secs(2);

/// How often a session that the server has forgotten, or a binding that changed, is begun again.
const TRIES: usize = 3;

/// The oldest version spoken with servers; clients are offered none older than 2025-03-26.
const OLDEST: &str = "2024-11-05";

/// Serves one message.
///
/// # Errors
/// Any refusal of the corridor, and [`Misread::Untranslatable`].
pub async fn serve(line: &Line, call: &Call, permit: Permit) -> Result<Outcome, Misread> {
    let (Some(invocation), Some(id)) = (call.message.as_ref().and_then(|m| m.invocation()), &line.trip.id)
    else {
        return note(line, call, permit).await;
    };
    if !is_served(invocation.kind) {
        return Err(Misread::Untranslatable(Untranslatable {
            status: 404,
            code: METHOD_NOT_FOUND,
            text: format!("`{}` has no counterpart in the server's generation", invocation.method),
        }));
    }
    if invocation.kind == MethodKind::Discover {
        let session = session(line, &permit).await?;
        let version = session.opened.version.to_str().unwrap_or_default();
        let body = discovery::discover(&session.opened.handshake, id, version).map_err(malformed)?;
        return Ok(Outcome::Own(refuse::json(200, body, &line.trip)));
    }
    let gateway = &line.gateway;
    let places = take_places(gateway, &permit, &line.aim, &line.trip)?;
    let mut permit = permit;
    for _ in 0..TRIES {
        let session = session(line, &permit).await?;
        let ready = ready(gateway, &line.trip, &line.identity, &line.aim, permit.clone()).await?;
        if ready.permit.binding().spec.name != permit.binding().spec.name {
            // The state moved on: another binding has another session.
            permit = ready.permit;
            continue;
        }
        if let Some(id) = session.opened.id.as_ref().filter(|id| !has_current_process(gateway, id, &ready)) {
            gateway.children.drain_session(id.to_str().unwrap_or_default());
            session.end();
            continue;
        }
        let heard = match once(line, call, (invocation.kind, id), &session, ready).await {
            // The session's process was being replaced, and nothing was sent.
            Err(refusal) if refusal.code() == Code::ProcessReplaced => Heard::SessionGone,
            heard => heard?,
        };
        match heard {
            Heard::Forwarded(forwarded) => {
                return Ok(Outcome::Upstream(Box::new(Forwarded { places, ..*forwarded })));
            }
            Heard::SessionGone => session.end(),
            Heard::Mismatch(_) => break,
        }
    }
    Err(Refusal::new(Code::UpstreamMalformed).because("the server forgets its sessions").into())
}

/// Sends the call on this session.
async fn once(
    line: &Line,
    call: &Call,
    (kind, id): (MethodKind, &RawId),
    session: &Arc<Shared>,
    ready: Ready,
) -> Result<Heard, Refusal> {
    let number = session.number();
    let in_use = session.enter(line.gateway.clock.now());
    let translated = to_legacy::message(&call.body, Some(number)).map_err(malformed)?;
    let headers = to_legacy::headers(&call.headers, &session.opened.version);
    let link =
        Link { line: line.clone(), permit: ready.permit.clone(), session: Arc::clone(session), headers };
    if let Some(level) = session.lower(translated.level) {
        set_level(&link, level).await?;
    }
    let (progress, level) = (translated.progress, translated.level);
    let asked = Asked { kind, id: id.clone(), number, progress, level };
    let guard = Cancelling::new(link.clone(), number);
    let message = Message {
        verb: call.verb,
        headers: &link.headers,
        body: translated.body,
        session: session.opened.id.as_ref(),
        generation: Generation::Legacy,
    };
    let repeats = may_repeat(call, &ready.permit);
    let sent = attempt(&line.gateway, &line.upstreams, &line.trip, message, ready, repeats).await?;
    let ear = Ear::Newer(Box::new(Newer { asked, link: link.clone(), guard, in_use }));
    hear(line, sent, ear, session.opened.id.is_some()).await
}

/// What both generations know.
fn is_served(kind: MethodKind) -> bool {
    !matches!(
        kind,
        MethodKind::Initialize
            | MethodKind::Ping
            | MethodKind::SetLevel
            | MethodKind::SubscribeResource
            | MethodKind::UnsubscribeResource
            | MethodKind::Listen
            | MethodKind::Task
    )
}

/// A notification: those of the protocol have no counterpart and are taken; others are passed on.
async fn note(line: &Line, call: &Call, permit: Permit) -> Result<Outcome, Misread> {
    let method = line.trip.method.as_deref().unwrap_or_default();
    let known = ["initialized", "cancelled", "progress", "roots/list_changed"];
    if method.strip_prefix("notifications/").is_none_or(|rest| known.contains(&rest)) {
        return Ok(Outcome::Own(refuse::plain(202, Bytes::new())));
    }
    let session = session(line, &permit).await?;
    let body = to_legacy::message(&call.body, None).map_err(malformed)?.body;
    let headers = to_legacy::headers(&call.headers, &session.opened.version);
    let id = session.opened.id.as_ref();
    let out = Out { method, headers: &headers, body, session: id, generation: Generation::Legacy };
    let said = line.ask(&permit, out).await?;
    Ok(Outcome::Own(refuse::plain(said.status.as_u16(), Bytes::new())))
}

/// The level is the session's in the older generation: it is lowered to what the most curious of the
/// actor's clients wants, and the rest is kept from the others.
async fn set_level(link: &Link, level: Level) -> Result<(), Refusal> {
    let number = link.session.number();
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{number},"method":"logging/setLevel","params":{{"level":"{}"}}}}"#,
        level.as_str()
    );
    let out = Out {
        method: "logging/setLevel",
        headers: &link.headers,
        body: Bytes::from(body),
        session: link.session.opened.id.as_ref(),
        generation: Generation::Legacy,
    };
    link.line.ask(&link.permit, out).await.map(drop)
}

/// The actor's session at the server, opened where there is none.
///
/// # Errors
/// [`Code::ProtocolGeneration`] where the server does not take the handshake, or agrees on no version
/// of the older generation; any refusal of the corridor.
pub async fn session(line: &Line, permit: &Permit) -> Result<Arc<Shared>, Refusal> {
    let gateway = &line.gateway;
    let slot = gateway.shared.slot(&Holder::of(permit), &gateway.settings)?;
    let mut held = slot.lock().await;
    if let Some(session) = held.as_ref() {
        let same = session.opened.binding.route == permit.binding().route;
        if same && session.is_usable(&gateway.settings, gateway.clock.now()) {
            return Ok(Arc::clone(session));
        }
        session.end();
    }
    *held = None;
    let opened = shake(line, permit).await?;
    let session = Arc::new(Shared::new(opened, gateway.clock.now()));
    *held = Some(Arc::clone(&session));
    Ok(session)
}

/// The handshake of the older generation, in the gateway's own name: the session is shared by clients.
async fn shake(line: &Line, permit: &Permit) -> Result<Opened, Refusal> {
    let refused = |why: &str| Refusal::new(Code::ProtocolGeneration).because(why);
    let newest = ProtocolVersion::V20251125;
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{newest}","capabilities":{{}},"clientInfo":{{"name":"mcp-gateway","version":"{}"}}}}}}"#,
        env!("CARGO_PKG_VERSION")
    );
    let mut headers = own_headers();
    let Said { status, headers: answered, body, permit } =
        send(line, permit, "initialize", &headers, Bytes::from(body), None).await?;
    let facts = Facts::read(&body).ok().filter(|facts| status.is_success() && facts.is_result);
    let facts =
        facts.ok_or_else(|| refused("the server does not take the handshake of the older generation"))?;
    let version = facts.version.as_deref().unwrap_or_default();
    let known = ProtocolVersion::parse(version).map(ProtocolVersion::generation) == Some(Generation::Legacy);
    if !known && version != OLDEST {
        return Err(refused("the server agrees on no version of the older generation that is served"));
    }
    let version = HeaderValue::from_str(version).map_err(|_| refused("the version is no header"))?;
    let id = answered.get(SESSION_HEADER).cloned();
    headers.insert(PROTOCOL_VERSION, version.clone());
    let done = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    let done = send(line, &permit, "notifications/initialized", &headers, done, id.as_ref()).await?;
    if !done.status.is_success() {
        return Err(Refusal::new(Code::UpstreamMalformed).because("the server did not end the handshake"));
    }
    let (binding, actor) = (Arc::clone(permit.binding()), permit.actor().cloned().map(Arc::new));
    Ok(Opened { id, binding, actor, version, handshake: body, logs: facts.logs })
}

async fn send(
    line: &Line,
    permit: &Permit,
    method: &str,
    headers: &HeaderMap,
    body: Bytes,
    session: Option<&HeaderValue>,
) -> Result<Said, Refusal> {
    line.ask(permit, Out { method, headers, body, session, generation: Generation::Legacy }).await
}

/// Headers of a message that no client wrote.
pub fn own_headers() -> HeaderMap {
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream")),
        (header::USER_AGENT, HeaderValue::from_static(concat!("mcp-gateway/", env!("CARGO_PKG_VERSION")))),
    ])
}

fn malformed(error: crate::mcp::json::JsonError) -> Refusal {
    Refusal::new(Code::UpstreamMalformed).because(error)
}

/// What came of a call.
pub(super) enum Heard {
    /// An answer for the client.
    Forwarded(Box<Forwarded>),
    /// The server does not know the session.
    SessionGone,
    /// The server found that headers and body differ.
    Mismatch(Box<Forwarded>),
}

/// Translates the answer: whole where it comes alone, else as a stream. `sessions` says whether the call
/// went to a session that the server may have forgotten.
pub(super) async fn hear(line: &Line, sent: Forwarded, ear: Ear, sessions: bool) -> Result<Heard, Refusal> {
    let most = line.gateway.settings.held_answer_bytes;
    let Forwarded { response, permit, material, trail, pass, places } = sent;
    let (mut head, body) = response.into_parts();
    let heard = tokio::select! {
        biased;
        why = pass.stopped() => Err(why),
        heard = first(&head, body, ear, sessions, most) => heard,
    };
    let piece = match heard {
        Ok(piece) => piece,
        Err(refusal) => {
            trail.fail(refusal.code());
            return Err(refusal);
        }
    };
    let (body, mismatch) = match piece {
        Piece::Gone => {
            trail.fail(Code::SessionUnknown);
            return Ok(Heard::SessionGone);
        }
        Piece::Whole(answer) => {
            head.status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
            head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            (UpstreamBody::Whole(Some(answer.body)), answer.mismatch)
        }
        Piece::Stream(stream) => (UpstreamBody::Translated(stream), false),
    };
    head.headers.remove(HeaderName::from_static(SESSION_HEADER));
    let response = Response::from_parts(head, body);
    let forwarded = Box::new(Forwarded { response, permit, material, trail, pass, places });
    Ok(if mismatch { Heard::Mismatch(forwarded) } else { Heard::Forwarded(forwarded) })
}

/// The first that is heard.
async fn first(
    head: &Parts,
    body: UpstreamBody,
    mut ear: Ear,
    sessions: bool,
    most: usize,
) -> Result<Piece, Refusal> {
    let malformed = |why: String| Refusal::new(Code::UpstreamMalformed).because(why);
    let status = head.status;
    if is_events(&head.headers) && status.is_success() {
        let mut stream = Translated::new(body, ear, most);
        let begun = tokio::time::timeout(FIRST, stream.begin()).await.unwrap_or(Ok(None));
        return Ok(match begun.map_err(malformed)? {
            Some(answer) => Piece::Whole(answer),
            None => Piece::Stream(Box::new(stream)),
        });
    }
    let bytes = read(body, is_events(&head.headers), most).await?;
    let unaddressed = status == StatusCode::BAD_REQUEST && !is_addressed(&bytes);
    if sessions && (status == StatusCode::NOT_FOUND || unaddressed) {
        if let Ear::Newer(newer) = &mut ear {
            newer.guard.disarm();
        }
        return Ok(Piece::Gone);
    }
    match ear.hear_whole(&bytes) {
        Ok(Some(answer)) => Ok(Piece::Whole(answer)),
        _ => Err(malformed(format!("no answer, with status {status}"))),
    }
}

enum Piece {
    Whole(Answer),
    Stream(Box<Translated>),
    Gone,
}

/// Whether an error answers our message: one without an id refuses what it was sent with.
fn is_addressed(body: &[u8]) -> bool {
    let mut addressed = false;
    let Ok(mut scanner) = Scanner::new(body) else { return false };
    if !matches!(scanner.peek(), Ok(Kind::Object)) {
        return false;
    }
    let read = scanner.object(|scanner, key| {
        addressed |= key == "id" && scanner.peek()? != Kind::Null;
        scanner.skip()
    });
    read.is_ok_and(|()| addressed)
}

/// An id for what the gateway asks alone.
pub(super) fn own_id() -> RawId {
    RawId::number(0)
}
