//! First stage: is this a request we take at all? Opens the trip, whose facts become evidence.

use std::net::IpAddr;
use std::sync::Arc;

use gateway_core::actor::Actor;
use gateway_core::id::{EnvironmentName, RequestId, ServerName};
use gateway_core::identity::Presented;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::time::Timestamp;
use gateway_core::trace::TraceContext;
use http::request::Parts;
use http::{HeaderMap, Method, Request, header};
use hyper::body::Incoming;

use crate::gateway::Gateway;
use crate::mcp::message::RawId;
use crate::trace::{self, Recording};

/// What is known of a request so far; whatever ends it, this goes into the evidence.
#[derive(Debug, Clone)]
pub struct Trip {
    /// Minted here, sent upstream, and returned to the caller.
    pub request_id: RequestId,
    /// When the head was complete.
    pub started: Timestamp,
    /// Where the caller connected from.
    pub source: IpAddr,
    /// The environment in the URL.
    pub environment: EnvironmentName,
    /// The server in the URL.
    pub server: ServerName,
    /// The id of the JSON-RPC request, once read.
    pub id: Option<RawId>,
    /// The actor, once resolved.
    pub actor: Option<Arc<Actor>>,
    /// The caller's own token, for the sources that exchange it; dropped once the call is forwarded, or once
    /// the bridge that speaks for it is done.
    pub presented: Option<Arc<Presented>>,
    /// The JSON-RPC method, once read.
    pub method: Option<Box<str>>,
    /// The tool, once read.
    pub tool: Option<Box<str>>,
    /// The W3C trace id the caller sent; the gateway's own where it records a trace that begins here.
    pub trace_id: Option<String>,
    /// Where the call stands in the caller's trace.
    pub context: Option<Box<TraceContext>>,
    /// The spans, where they are recorded.
    pub recording: Option<Arc<Recording>>,
}

/// Which of the protocol's HTTP methods it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// A message.
    Post,
    /// The legacy listening stream.
    Get,
    /// The legacy end of a session.
    Delete,
}

/// A request we take.
#[derive(Debug)]
pub struct Inbound {
    /// The HTTP method.
    pub verb: Verb,
    /// Its headers; the credential is still among them, and [`super::authenticate`] takes it out.
    pub headers: HeaderMap,
    /// Its body, unread.
    pub body: Incoming,
}

/// The path of a server's door: `/mcp/{environment}/{server}`.
pub fn door(path: &str) -> Option<(EnvironmentName, ServerName)> {
    let (environment, server) = path.strip_prefix("/mcp/")?.split_once('/')?;
    Some((EnvironmentName::parse(environment).ok()?, ServerName::parse(server).ok()?))
}

/// Opens the trip.
///
/// # Errors
/// [`Code::ServerUnknown`] for a path that is no door.
pub fn open(gateway: &Gateway, peer: IpAddr, parts: &Parts) -> Result<Trip, Refusal> {
    let (environment, server) = door(parts.uri.path()).ok_or(Code::ServerUnknown)?;
    let now = gateway.clock.now();
    let mut random = [0_u8; 10];
    gateway.random.fill(&mut random);
    let request_id = RequestId::mint(now, random);
    let mut trip = Trip {
        request_id,
        started: now,
        source: source_address(gateway, peer, &parts.headers),
        environment,
        server,
        id: None,
        actor: None,
        presented: None,
        method: None,
        tool: None,
        trace_id: None,
        context: None,
        recording: None,
    };
    trip.recording = gateway.tracer.as_ref().map(|tracer| tracer.begin(gateway, &trip));
    trip.stand_in(trace::in_headers(&parts.headers));
    Ok(trip)
}

/// Takes the request if host, origin and method are ours.
///
/// # Errors
/// [`Code::OriginRefused`], [`Code::RequestMethod`] or [`Code::RequestContentType`].
pub fn admit(gateway: &Gateway, request: Request<Incoming>) -> Result<Inbound, Refusal> {
    let (parts, body) = request.into_parts();
    check_origin(gateway, &parts)?;
    let verb = match parts.method {
        Method::POST => Verb::Post,
        Method::GET => Verb::Get,
        Method::DELETE => Verb::Delete,
        _ => return Err(Code::RequestMethod.into()),
    };
    if verb == Verb::Post && !is_json(&parts.headers) {
        return Err(Code::RequestContentType.into());
    }
    Ok(Inbound { verb, headers: parts.headers, body })
}

/// The check against DNS rebinding (MCP, Streamable HTTP, "Security Warning").
pub fn check_origin(gateway: &Gateway, parts: &Parts) -> Result<(), Refusal> {
    let origin = parts.headers.get_all(header::ORIGIN).iter().all(|origin| {
        let known = |origin: &str| gateway.settings.allowed_origins.iter().any(|own| own == origin);
        origin.to_str().is_ok_and(known)
    });
    if is_for_us(gateway, parts) && origin { Ok(()) } else { Err(Code::OriginRefused.into()) }
}

/// Whether the one `Host` of the request is ours.
pub fn is_for_us(gateway: &Gateway, parts: &Parts) -> bool {
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next(), authority) {
        (Some(host), None, None) => host.to_str().ok(),
        (None, None, Some(authority)) => Some(authority),
        // HTTP/2 may carry both; they must agree.
        (Some(host), None, Some(authority)) => host.to_str().ok().filter(|host| *host == authority),
        _ => None,
    };
    host.is_some_and(|host| gateway.settings.allowed_hosts.iter().any(|own| own.eq_ignore_ascii_case(host)))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// The caller's address: the connection's own, unless a trusted proxy names another. The last
/// address that no trusted proxy added is believed; what stands before it anybody may have written.
pub fn source_address(gateway: &Gateway, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let trusted = |address: &IpAddr| gateway.settings.trusted_proxies.iter().any(|net| net.contains(address));
    let mut source = peer;
    let mut hops = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let mut listed: Vec<&str> = hops.by_ref().flat_map(|line| line.split(',')).map(str::trim).collect();
    while trusted(&source) {
        match listed.pop().map(str::parse::<IpAddr>) {
            Some(Ok(address)) => source = address,
            _ => break,
        }
    }
    source
}
