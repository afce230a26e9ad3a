//! Eighth stage: the call leaves, to the approved origin only.

use std::sync::Arc;

use bytes::Bytes;
use gateway_core::identity::VerifiedIdentity;
use gateway_core::manifest::{Risk, Route};
use gateway_core::policy::Permit;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::scrub::Needles;
use gateway_core::trace::Stage;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Collected};

use super::admit::{Trip, Verb};
use super::authorize::{Aim, authorize};
use super::identify::Call;
use super::inject::{Message, Outbound, inject};
use super::intent;
use super::journey::Journey;
use super::last_look::LastLook;
use super::obtain::{Obtained, obtain, obtain_again};
use super::outcome::Trail;
use super::receipt::receipt;
use crate::gateway::Gateway;
use crate::limits::Place;
use crate::live::{Pass, Undertaking};
use crate::materials::Material;
use crate::mcp::challenge::Refused;
use crate::mcp::listing::Listing;
use crate::mcp::method::MethodKind;
use crate::mcp::version::Generation;
use crate::session::{SESSION_HEADER, Session, UpstreamSession};
use crate::upstream::stdio::{Ask, Standing};
use crate::upstream::{UpstreamBody, Upstreams};
use crate::world::World;

/// How often a call whose process was being replaced goes to the next one.
const REPLACEMENTS: usize = 3;

/// Whose processes are those that nobody's call started.
const GATEWAY_ITSELF: &str = "gateway";

/// An answer under way, with everything that must end with its last byte.
#[derive(Debug)]
pub struct Forwarded {
    /// The upstream's answer.
    pub response: Response<UpstreamBody>,
    /// The permit it runs under.
    pub permit: Permit,
    /// What must not come back.
    pub material: Option<Arc<Material>>,
    /// The open intent.
    pub trail: Trail,
    /// Presence in the binding's gate.
    pub pass: Pass,
    /// Places among the concurrent calls.
    pub places: Vec<Place>,
}

/// A credential in hand, under a decision that still holds.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) permit: Permit,
    pub(crate) obtained: Option<Obtained>,
    pub(crate) pass: Pass,
}

/// Obtains, records, injects and sends.
///
/// # Errors
/// Any refusal of those stages, and the upstream's own failures.
pub async fn forward(journey: Journey<'_>, permit: Permit) -> Result<Forwarded, Refusal> {
    let places = take_places(journey.gateway, &permit, journey.aim, journey.trip)?;
    // Only a process can be replaced between the decision and the sending.
    let mut spare = matches!(permit.binding().route, Route::Stdio(_)).then(|| permit.clone());
    let mut sent = pass_on(journey, permit).await;
    for _ in 0..REPLACEMENTS {
        match (sent, spare.take()) {
            (Err(refusal), Some(permit)) if refusal.code() == Code::ProcessReplaced => {
                spare = Some(permit.clone());
                sent = pass_on(journey, permit).await;
            }
            (other, _) => return Ok(Forwarded { places, ..other? }),
        }
    }
    Ok(Forwarded { places, ..sent? })
}

/// One way through: credential, session, sending.
async fn pass_on(journey: Journey<'_>, permit: Permit) -> Result<Forwarded, Refusal> {
    let Journey { gateway, upstreams, trip, call, aim } = journey;
    let mut ready = ready(gateway, trip, &call.identity, aim, permit).await?;
    ready.pass.join(call, &ready.permit)?;
    let session = upstream_session(journey, &ready).await?;
    let message = Message::of(call, session.as_ref().map(|session| &session.id));
    let repeats = may_repeat(call, &ready.permit);
    attempt(gateway, upstreams, trip, message, ready, repeats).await
}

/// Sends one message, and once more after a 401 where `may_repeat` and the store has another version.
///
/// # Errors
/// As [`forward`].
pub(crate) async fn attempt(
    gateway: &Arc<Gateway>,
    upstreams: &Upstreams,
    trip: &Trip,
    message: Message<'_>,
    mut ready: Ready,
    may_repeat: bool,
) -> Result<Forwarded, Refusal> {
    let mut tried = None;
    loop {
        let version = ready.obtained.as_ref().map(|obtained| obtained.lease.version().clone());
        let material = ready.obtained.as_ref().map(|obtained| Arc::clone(&obtained.material));
        let sent = send(
            gateway,
            upstreams,
            trip,
            &ready.permit,
            message.clone(),
            ready.obtained.take(),
            &ready.pass,
        );
        let (response, mut trail) = sent.await.map_err(|refusal| refusal.under(&ready.permit))?;
        let Some(refused) = refused(&response, &ready.permit, material.as_deref()) else {
            if let Some(material) = &material {
                material.marks().note_worked(gateway.clock.now());
            }
            // The caller's token has done its work: a stream may last for hours.
            let (permit, pass) = (ready.permit.presenting(None), ready.pass);
            return Ok(Forwarded { response, permit, material, trail, pass, places: Vec::new() });
        };
        // The upstream refused the credential: its challenge never reaches the caller.
        trail.scopes(refused.scopes.clone());
        trail.fail(refused.code);
        let repeats = response.status() == StatusCode::UNAUTHORIZED;
        if let Some(material) = material.as_ref().filter(|_| repeats) {
            gateway.materials.note_refused(material);
        }
        let again = match (&version, repeats && tried.is_none() && may_repeat) {
            (Some(version), true) => {
                obtain_again(gateway, &ready.permit, version, &trip.request_id, gateway.clock.now()).await?
            }
            _ => None,
        };
        let again = again.ok_or_else(|| refused.refusal().under(&ready.permit))?;
        again.enter_grant(gateway, &ready.permit, &ready.pass)?;
        ready.obtained = Some(again);
        tried = version;
    }
}

/// Whether the answer refuses the credential, and how.
fn refused(
    response: &Response<UpstreamBody>,
    permit: &Permit,
    material: Option<&Material>,
) -> Option<Refused> {
    let none = Needles::none();
    let needles = material.map_or(&none, |material| &material.needles);
    Refused::read(response.status(), response.headers(), permit.binding().spec.mode, needles)
}

/// Obtains under a decision that is still the current one: where the state moved on meanwhile, the
/// decision is made anew (rule 13).
pub(crate) async fn ready(
    gateway: &Gateway,
    trip: &Trip,
    identity: &Arc<VerifiedIdentity>,
    aim: &Aim,
    permit: Permit,
) -> Result<Ready, Refusal> {
    // A permit that comes back from an answer has lost the caller's token; the next message of the same
    // request (a translation's second one) may need it again.
    let mut permit = permit.presenting(trip.presented.clone());
    for _ in 0..8 {
        let pass = gateway.live.enter(Undertaking::of(&permit)).map_err(|refusal| refusal.under(&permit))?;
        let begun = trip.begins();
        let obtained = obtain(gateway, &permit, &trip.request_id, gateway.clock.now()).await;
        trip.ended(Stage::Obtain, begun, obtained.as_ref().err());
        let obtained = obtained?;
        if let Some(obtained) = &obtained {
            obtained.enter_grant(gateway, &permit, &pass)?;
        }
        let world = gateway.world.current();
        if world.snapshot.epoch == permit.epoch() {
            return Ok(Ready { permit, obtained, pass });
        }
        if !is_still(&world, trip, identity) {
            return Err(Refusal::new(Code::BindingEnded).because("the caller is no longer the same actor"));
        }
        permit = authorize(gateway, &world, trip, identity, aim)?;
    }
    Err(Refusal::new(Code::StateStale).because("the state kept changing while the call was decided"))
}

/// One attempt: intent, injection, sending. A stop while it waits ends it.
pub(crate) async fn send(
    gateway: &Arc<Gateway>,
    upstreams: &Upstreams,
    trip: &Trip,
    permit: &Permit,
    mut message: Message<'_>,
    obtained: Option<Obtained>,
    pass: &Pass,
) -> Result<(Response<UpstreamBody>, Trail), Refusal> {
    let verb = (message.verb, message.generation);
    let standing = Standing::of(permit, obtained.as_ref().map(|obtained| obtained.lease.version().clone()));
    let used =
        obtained.as_ref().map(|obtained| (obtained.lease.version(), obtained.lease.store_request_id()));
    let begun = trip.begins();
    let recorded = intent::record(gateway, trip, permit, used).await;
    trip.ended(Stage::Record, begun, recorded.as_ref().err());
    let (recorded, mut trail) = recorded?;
    let leaving = trip.leaves(gateway);
    if let Some(leaving) = &leaving {
        message.body = leaving.body(message.body);
    }
    let receipt = receipt(gateway, trip, permit, &message, &recorded);
    let injected = receipt.and_then(|receipt| inject(trip, permit, message, obtained, receipt, &recorded));
    let mut outbound = match injected {
        Ok(outbound) => outbound,
        Err(refusal) => {
            trail.fail(refusal.code());
            return Err(refusal);
        }
    };
    if let Some(leaving) = &leaving {
        leaving.head(outbound.request.headers_mut());
    }
    let look = LastLook::new(gateway, pass, permit.epoch());
    let outcome = tokio::select! {
        biased;
        why = pass.stopped() => Err(why),
        sent = dispatch(upstreams, permit, verb, standing, outbound, look) => sent,
    };
    trip.arrived(leaving, &outcome);
    match outcome {
        Ok(response) => {
            trail.status(response.status().as_u16());
            Ok((response, trail))
        }
        Err(refusal) => {
            trail.fail(refusal.code());
            Err(refusal)
        }
    }
}

/// Sends the call along the approved route.
async fn dispatch(
    upstreams: &Upstreams,
    permit: &Permit,
    (verb, generation): (Verb, Generation),
    standing: Standing,
    outbound: Outbound,
    look: LastLook,
) -> Result<Response<UpstreamBody>, Refusal> {
    look.check()?;
    match &permit.binding().route {
        Route::Http(route) => {
            let response = upstreams.send(route, outbound.request, Some(look)).await?;
            Ok(response.map(UpstreamBody::Http))
        }
        Route::Stdio(route) => {
            let Outbound { request, credential } = outbound;
            let (head, body) = request.into_parts();
            let session = head.headers.get(SESSION_HEADER).and_then(|id| id.to_str().ok());
            let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
            let actor = permit.actor().map(|actor| actor.stable_id());
            let actor = actor.as_deref().unwrap_or(GATEWAY_ITSELF);
            let gateway = look.gateway();
            let (who, now) = (permit.actor(), gateway.clock.now());
            let look = Some(&look);
            let ask = Ask { route, standing, actor, who, now, generation, verb, session, body, look };
            gateway.children.send(ask, credential).await
        }
    }
}

/// Whether a call may be sent twice: lists, handshakes, and tools that only read (DESIGN, 10.11).
pub(crate) fn may_repeat(call: &Call, permit: &Permit) -> bool {
    let Some(kind) = call.kind() else { return call.verb == Verb::Get };
    let harmless = matches!(kind, MethodKind::Initialize | MethodKind::Discover | MethodKind::Ping);
    let reads = kind == MethodKind::CallTool && permit.risk() == Risk::Read;
    harmless || reads || Listing::of(kind).is_some()
}

pub(crate) fn take_places(
    gateway: &Gateway,
    permit: &Permit,
    aim: &Aim,
    trip: &Trip,
) -> Result<Vec<Place>, Refusal> {
    // Handshakes and lists are not calls, and a stream that rests must not use up the allowance.
    let listens = trip.method.as_deref().map(MethodKind::of) == Some(MethodKind::Listen);
    if matches!(aim, Aim::Session(_) | Aim::Within(_)) || listens {
        return Ok(Vec::new());
    }
    let mut places = Vec::new();
    let under = |refusal: Refusal| refusal.under(permit);
    let spec = &permit.binding().spec;
    if let Some(limits) = spec.limits {
        let subject = format!("binding {}/{}", spec.environment, spec.name);
        places.push(gateway.limiter.take(&subject, limits, trip.started).map_err(under)?);
    }
    let world = gateway.world.load();
    let agent =
        permit.actor().and_then(|actor| actor.agent.as_ref()).and_then(|name| world.snapshot.agent(name));
    if let Some((agent, limits)) = agent.and_then(|agent| Some((agent, agent.limits?))) {
        let subject = format!("agent {}", agent.name);
        places.push(gateway.limiter.take(&subject, limits, trip.started).map_err(under)?);
    }
    Ok(places)
}

/// The upstream's session under the permit's binding; opened now where the client's session was
/// begun under another one (DESIGN, section 12.7).
async fn upstream_session(journey: Journey<'_>, ready: &Ready) -> Result<Option<UpstreamSession>, Refusal> {
    let gateway = journey.gateway;
    let Some(session) = &journey.call.session else { return Ok(None) };
    let permit = &ready.permit;
    let known = || session.upstream(&permit.binding().spec.name);
    let serving = |known: &UpstreamSession| serves(gateway, known, ready);
    if let Some(known) = known().filter(serving) {
        return Ok(Some(known));
    }
    // Two calls at once must not open two sessions.
    let _turn = session.opening.lock().await;
    let known = known();
    if let Some(known) = known.clone().filter(serving) {
        return Ok(Some(known));
    }
    let opened = open_further(journey, session, permit).await?;
    if let Some(former) = known.as_ref().and_then(|known| known.id.to_str().ok()) {
        gateway.children.drain_session(former);
    }
    Ok(Some(opened))
}

/// Whether the upstream session is one of the approved route: any other would carry the value elsewhere.
fn serves(gateway: &Gateway, known: &UpstreamSession, ready: &Ready) -> bool {
    known.binding.route == ready.permit.binding().route && has_current_process(gateway, &known.id, ready)
}

/// Whether the session's process, where the server is one, was given the credential that is current.
pub(crate) fn has_current_process(gateway: &Gateway, session: &HeaderValue, ready: &Ready) -> bool {
    let Route::Stdio(_) = &ready.permit.binding().route else { return true };
    let version = ready.obtained.as_ref().map(|obtained| obtained.lease.version().clone());
    let standing = Standing::of(&ready.permit, version);
    session.to_str().is_ok_and(|id| gateway.children.is_current(id, &standing))
}

/// Repeats the client's handshake under another binding.
async fn open_further(
    journey: Journey<'_>,
    session: &Session,
    permit: &Permit,
) -> Result<UpstreamSession, Refusal> {
    let opened = shake(journey, session.handshake.clone(), None, permit).await?;
    let id = opened.headers().get(SESSION_HEADER).cloned().ok_or_else(|| {
        Refusal::new(Code::UpstreamMalformed).because("the server opened no further session").under(permit)
    })?;
    drop(opened);
    let opened = UpstreamSession { id, binding: Arc::clone(permit.binding()) };
    let done = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    let done = shake(journey, done, Some(&opened.id), permit).await;
    drop(done.inspect_err(|_| journey.gateway.clean_up_later(vec![session.abandon(opened.clone())]))?);
    session.add_upstream(opened.clone());
    Ok(opened)
}

async fn shake(
    journey: Journey<'_>,
    body: Bytes,
    session: Option<&HeaderValue>,
    permit: &Permit,
) -> Result<Response<UpstreamBody>, Refusal> {
    let Journey { gateway, upstreams, trip, call, .. } = journey;
    let under = |refusal: Refusal| refusal.under(permit);
    let mut pass = gateway.live.enter(Undertaking::of(permit)).map_err(under)?;
    pass.join(call, permit)?;
    let obtained = obtain(gateway, permit, &trip.request_id, gateway.clock.now()).await?;
    if let Some(obtained) = &obtained {
        obtained.enter_grant(gateway, permit, &pass)?;
    }
    let message =
        Message { verb: Verb::Post, headers: &call.headers, body, session, generation: Generation::Legacy };
    let material = obtained.as_ref().map(|obtained| Arc::clone(&obtained.material));
    let sent = send(gateway, upstreams, trip, permit, message, obtained, &pass).await;
    let (response, mut trail) = sent.map_err(under)?;
    if response.status().is_success() {
        trail.finish();
        return Ok(response);
    }
    let refused = refused(&response, permit, material.as_deref());
    let refusal = refused.as_ref().map_or_else(|| Code::UpstreamUnauthorized.into(), Refused::refusal);
    trail.scopes(refused.and_then(|refused| refused.scopes));
    trail.fail(refusal.code());
    Err(refusal.under(permit))
}

/// The decision for a stream under way, made anew: whether it still holds for the same binding and the caller
/// still is the same actor, for a mapping or an agent that is no more proves nothing more.
///
/// # Errors
/// What the stream is cut with.
pub(crate) fn still_permitted(
    gateway: &Gateway,
    world: &World,
    trip: &Trip,
    aim: &Aim,
    permit: &Permit,
) -> Result<(), Code> {
    let ended = Code::BindingEnded;
    let gateway_core::policy::Subject::Caller { identity, .. } = permit.subject() else { return Err(ended) };
    if !is_still(world, trip, identity) {
        return Err(ended);
    }
    match authorize(gateway, world, trip, identity, aim) {
        Ok(again) if again.binding().spec.name == permit.binding().spec.name => Ok(()),
        Err(refusal) if refusal.code() == Code::LockActive => Err(Code::LockActive),
        _ => Err(ended),
    }
}

/// Whether the identity comes to the same actor under this snapshot as when the call began.
pub(crate) fn is_still(world: &World, trip: &Trip, identity: &VerifiedIdentity) -> bool {
    trip.actor.as_deref() == Some(&*world.actor(identity, &trip.environment))
}
