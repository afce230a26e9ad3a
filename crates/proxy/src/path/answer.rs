//! Ninth stage: the answer, filtered to what the actor may see and scrubbed of every injected value.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use gateway_core::audit::EventKind;
use gateway_core::policy::{Action, Permit, Subject};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::scrub::{Needles, Scrubber};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Body as _;

use super::admit::{Trip, Verb};
use super::authorize::{Aim, authorize};
use super::body::{AnswerBody, Framing, LiveBody};
use super::forward::Forwarded;
use super::heartbeat::Heartbeat;
use super::identify::Call;
use super::inject::REQUEST_ID;
use super::intent::facts;
use crate::gateway::Gateway;
use crate::live::StreamFacts;
use crate::mcp::headers::PROTOCOL_VERSION;
use crate::mcp::listing::{self, Listing};
use crate::mcp::method::MethodKind;
use crate::mcp::sse::EventSplitter;
use crate::mcp::version::ProtocolVersion;
use crate::session::{Abandoned, Opening, SESSION_HEADER, Session, UpstreamSession};
use crate::upstream::UpstreamBody;

/// Answers up to this size that say their length are scrubbed whole, and keep an exact length.
const WHOLE: u64 = 64 * 1024;

/// Headers of an upstream's answer that never pass.
const DROPPED: [&str; 14] = [
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "content-length",
    "set-cookie",
    "www-authenticate",
    "authentication-info",
    "authorization",
    "location",
    "alt-svc",
    "strict-transport-security",
];

/// Turns the upstream's answer into ours.
///
/// # Errors
/// [`Code::UpstreamRedirect`] or [`Code::UpstreamMalformed`].
pub async fn answer(
    gateway: &Arc<Gateway>,
    trip: Trip,
    call: &Call,
    aim: Aim,
    mut forwarded: Forwarded,
) -> Result<Response<AnswerBody>, (Trip, Refusal)> {
    let needles =
        forwarded.material.as_ref().map_or_else(|| Arc::new(Needles::none()), |m| Arc::clone(&m.needles));
    if let Err(code) = acceptable(&forwarded.response) {
        forwarded.trail.fail(code);
        return Err((trip, Refusal::new(code).under(&forwarded.permit)));
    }
    let status = forwarded.response.status();
    let mut headers = carried(forwarded.response.headers(), &needles, &trip);
    if let Err(refusal) = session(gateway, &trip, call, &mut forwarded, &mut headers) {
        forwarded.trail.fail(refusal.code());
        return Err((trip, refusal.under(&forwarded.permit)));
    }
    let events = content_type(forwarded.response.headers()).starts_with("text/event-stream");
    let listing = call.kind().and_then(Listing::of);
    let private = matches!(call.kind(), Some(MethodKind::Discover | MethodKind::ReadResource));
    let small = forwarded.response.body().size_hint().exact().is_some_and(|size| size <= WHOLE);
    let body = if !events && (small || listing.is_some() || private) {
        let (held, trail) = (held(gateway, &trip, &forwarded.permit, listing, private), forwarded.trail);
        match held.scrubbed(forwarded.response.into_body(), &needles).await {
            Ok((bytes, redactions)) => {
                let mut trail = trail;
                trail.sent(bytes.len() as u64, redactions);
                trail.finish();
                AnswerBody::full(bytes)
            }
            Err(refusal) => {
                trail.fail(refusal.code());
                return Err((trip, refusal.under(&forwarded.permit)));
            }
        }
    } else {
        let facts = stream_facts(&trip, call, &forwarded.permit);
        forwarded.pass.streams(facts);
        live(
            gateway,
            trip,
            aim,
            forwarded,
            needles,
            events,
            (private || listing.is_some()).then_some(listing),
        )
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

fn acceptable(response: &Response<UpstreamBody>) -> Result<(), Code> {
    if response.status().is_redirection() && response.status() != StatusCode::NOT_MODIFIED {
        return Err(Code::UpstreamRedirect);
    }
    let encoded = response.headers().get_all(header::CONTENT_ENCODING).iter();
    if encoded.into_iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Code::UpstreamMalformed);
    }
    Ok(())
}

fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().trim().to_ascii_lowercase()
}

fn carried(from: &HeaderMap, needles: &Needles, trip: &Trip) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(from.len() + 2);
    for (name, value) in from {
        let text = name.as_str();
        if DROPPED.contains(&text) || text.starts_with("proxy-") || text == SESSION_HEADER {
            continue;
        }
        if !needles.is_empty() && needles.contains(value.as_bytes()) {
            let (clean, _) = needles.scrub_text(&String::from_utf8_lossy(value.as_bytes()));
            if let Ok(clean) = HeaderValue::from_str(&clean) {
                headers.append(name.clone(), clean);
            }
            continue;
        }
        headers.append(name.clone(), value.clone());
    }
    if let Ok(id) = HeaderValue::from_str(trip.request_id.as_str()) {
        headers.insert(REQUEST_ID, id);
    }
    headers
}

/// Keeps the legacy session in step: opens ours where the handshake opened one upstream, ends ours
/// where the client or the upstream ended it.
fn session(
    gateway: &Gateway,
    trip: &Trip,
    call: &Call,
    forwarded: &mut Forwarded,
    headers: &mut HeaderMap,
) -> Result<(), Refusal> {
    let binding = &forwarded.permit.binding();
    let status = forwarded.response.status();
    if let Some(session) = &call.session {
        let over = status == StatusCode::NOT_FOUND || (call.verb == Verb::Delete && status.is_success());
        if over && gateway.sessions.close(session) {
            forwarded.pass.stop_companions(Code::SessionEnded);
            gateway.clean_up_later(session.take_other_upstream(&binding.spec.name));
            note(gateway, trip, EventKind::SessionEnded, session)?;
        }
        return Ok(());
    }
    let opened = forwarded.response.headers().get(SESSION_HEADER).cloned();
    if call.kind() != Some(MethodKind::Initialize) || !status.is_success() {
        return Ok(());
    }
    let Some(id) = opened else { return Ok(()) };
    let actor = trip.actor.clone().ok_or(Code::TokenMissing)?;
    // Copied: as slices, id and handshake would keep the read buffers of both connections.
    let upstream = UpstreamSession { id: copied(&id)?, binding: Arc::clone(binding) };
    let unopened = Abandoned { actor: Arc::clone(&actor), protocol: None, upstream: upstream.clone() };
    let (environment, server) = (&trip.environment, &trip.server);
    let handshake = Bytes::copy_from_slice(&call.body);
    let opening = Opening { actor, environment, server, handshake, upstream, bridged: None };
    let opened = gateway.sessions.open(opening, &gateway.settings, &*gateway.random, trip.started);
    let session = opened.inspect_err(|_| gateway.clean_up_later(vec![unopened]))?;
    note(gateway, trip, EventKind::SessionOpened, &session)?;
    headers.insert(HeaderName::from_static(SESSION_HEADER), session.header()?);
    Ok(())
}

fn copied(value: &HeaderValue) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_bytes(value.as_bytes()).map_err(|error| Refusal::new(Code::Internal).because(error))
}

/// Records the beginning or end of a session.
pub(crate) fn note(
    gateway: &Gateway,
    trip: &Trip,
    kind: EventKind,
    session: &Session,
) -> Result<(), Refusal> {
    let mut event = facts(trip, kind, gateway.clock.now());
    event.session = Some(session.public_id.clone());
    let noted = gateway.audit.note(event);
    noted.map(drop).map_err(|error| Refusal::new(Code::AuditUnavailable).because(error))
}

/// What is done to an answer that is held whole.
struct Held<'a> {
    gateway: &'a Gateway,
    trip: &'a Trip,
    permit: &'a Permit,
    listing: Option<Listing>,
    private: bool,
}

const fn held<'a>(
    gateway: &'a Gateway,
    trip: &'a Trip,
    permit: &'a Permit,
    listing: Option<Listing>,
    private: bool,
) -> Held<'a> {
    Held { gateway, trip, permit, listing, private }
}

impl Held<'_> {
    async fn scrubbed(&self, body: UpstreamBody, needles: &Arc<Needles>) -> Result<(Bytes, u64), Refusal> {
        let malformed = |why: String| Refusal::new(Code::UpstreamMalformed).because(why);
        let whole = Limited::new(body, self.gateway.settings.held_answer_bytes).collect().await;
        let mut bytes = whole.map_err(|error| malformed(error.to_string()))?.to_bytes();
        if !bytes.is_empty() {
            if let Some(listing) = self.listing {
                let keep = |name: &str| visible(self.gateway, self.trip, self.permit, listing, name);
                bytes = listing::filter(&bytes, listing, keep)
                    .map_err(|error| malformed(error.to_string()))?
                    .body;
            } else if self.private {
                bytes = listing::privatize(&bytes).map_err(|error| malformed(error.to_string()))?;
            }
        }
        if needles.is_empty() {
            return Ok((bytes, 0));
        }
        let mut scrubber = Scrubber::new(Arc::clone(needles));
        let mut out = Vec::with_capacity(bytes.len());
        scrubber.push(&bytes, &mut out);
        scrubber.finish(&mut out);
        Ok((Bytes::from(out), scrubber.redactions()))
    }
}

fn live(
    gateway: &Arc<Gateway>,
    trip: Trip,
    aim: Aim,
    forwarded: Forwarded,
    needles: Arc<Needles>,
    events: bool,
    edited: Option<Option<Listing>>,
) -> AnswerBody {
    let Forwarded { response, permit, trail, pass, places, material: _ } = forwarded;
    let framing = match (events, edited) {
        (false, _) => Framing::Text,
        (true, None) => Framing::Events,
        (true, Some(listing)) => {
            Framing::Edited(Box::new(EventSplitter::new(gateway.settings.held_answer_bytes)), listing)
        }
    };
    let scrubber = if events { Scrubber::for_events(needles) } else { Scrubber::new(needles) };
    let checked = permit.epoch();
    AnswerBody::Live(Box::new(LiveBody {
        gateway: Arc::clone(gateway),
        upstream: response.into_body(),
        framing,
        scrubber,
        trip,
        aim,
        permit,
        checked,
        pass,
        places,
        trail: Some(trail),
        ready: VecDeque::new(),
        heartbeat: if events { Heartbeat::new(gateway.settings.stream_heartbeat) } else { None },
    }))
}

/// What operators are told of the stream that begins here.
fn stream_facts(trip: &Trip, call: &Call, permit: &Permit) -> StreamFacts {
    let stated = call.headers.get(PROTOCOL_VERSION).and_then(|value| value.to_str().ok());
    StreamFacts {
        request_id: trip.request_id.clone(),
        actor: trip.actor.clone().unwrap_or_default(),
        environment: trip.environment.clone(),
        server: trip.server.clone(),
        binding: permit.binding().name_at_revision(),
        protocol: stated.and_then(ProtocolVersion::parse).map(|version| version.to_string()),
        method: trip.method.clone().or_else(|| (call.verb == Verb::Get).then(|| "GET".into())),
        tool: trip.tool.clone(),
        session: None,
        since: trip.started,
    }
}

/// Whether an entry of a list may be seen: exactly where the same decision lets it be called.
pub(crate) fn visible(gateway: &Gateway, trip: &Trip, permit: &Permit, listing: Listing, name: &str) -> bool {
    let Subject::Caller { identity, .. } = permit.subject() else { return false };
    let world = gateway.world.current();
    let aim = match listing {
        Listing::Tools => Aim::Tool(name.into()),
        Listing::Prompts => Aim::Method("prompts/get".into(), Action::GetPrompt),
        Listing::Resources | Listing::ResourceTemplates => {
            Aim::Method("resources/read".into(), Action::ReadResource)
        }
    };
    authorize(gateway, &world, trip, identity, &aim).is_ok()
}
