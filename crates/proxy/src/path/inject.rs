//! Seventh stage: the outbound request. It consumes the lease and demands the recorded intent; what
//! the client sent as a credential is gone, what the binding names is set last.

use std::sync::Arc;

use bytes::Bytes;
use gateway_core::lease::{Lease, VersionId};
use gateway_core::manifest::Route;
use gateway_core::policy::Permit;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::secret::Secret;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;

use super::admit::{Trip, Verb};
use super::identify::Call;
use super::intent::Intent;
use super::obtain::Obtained;
use super::receipt::RECEIPT;
use crate::materials::{Material, Placement};
use crate::mcp::version::Generation;
use crate::session::SESSION_HEADER;

/// Header that carries the request id upstream and back.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Header that carries the credential mode upstream.
pub const MODE: HeaderName = HeaderName::from_static("mcp-gateway-mode");
/// Header that carries the binding as `name@revision` upstream.
pub const BINDING: HeaderName = HeaderName::from_static("mcp-gateway-binding");

/// Headers that every message has and that no rule below drops, known at a glance.
const PLAIN: [&str; 7] = [
    "content-type",
    "accept",
    "user-agent",
    "accept-language",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
];

/// Headers of the connection, not of the message (RFC 9110, section 7.6.1), and those that the
/// gateway sets itself.
const DROPPED: [&str; 17] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "content-length",
    "expect",
    "host",
    "origin",
    "referer",
    "forwarded",
    "via",
    "x-real-ip",
    "accept-encoding",
    "x-request-id",
];

/// Beginnings of names that speak about the caller's connection or pretend to be ours.
const DROPPED_PREFIXES: [&str; 5] = ["proxy-", "x-forwarded", "x-envoy-", "sec-", "mcp-gateway-"];

/// Words in names that carry credentials of some kind: no token passthrough, under any name (rule 3).
const DROPPED_WORDS: [&str; 9] =
    ["auth", "cookie", "token", "secret", "credential", "api-key", "apikey", "password", "dpop"];

/// The upstream's view of one call.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// The HTTP method.
    pub verb: Verb,
    /// The client's headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The upstream's own session id.
    pub session: Option<&'a HeaderValue>,
    /// The generation spoken.
    pub generation: Generation,
}

impl<'a> Message<'a> {
    /// The client's own message.
    pub fn of(call: &'a Call, session: Option<&'a HeaderValue>) -> Self {
        Self {
            verb: call.verb,
            headers: &call.headers,
            body: call.body.clone(),
            session,
            generation: call.generation,
        }
    }
}

/// A call ready to leave.
#[derive(Debug)]
pub struct Outbound {
    /// The request, with the value in it where it travels with the request.
    pub request: Request<Full<Bytes>>,
    /// The value for the process that is to answer, where the server is one.
    pub credential: Option<ProcessCredential>,
}

/// A value that goes into a process when it starts.
#[derive(Debug, Clone)]
pub struct ProcessCredential {
    /// The value in its place, with its needles.
    pub material: Arc<Material>,
    /// The store's name for its version.
    pub version: VersionId,
}

/// Builds the upstream request and spends the lease on it.
///
/// # Errors
/// [`Code::Internal`] where the approved route makes no valid request.
pub fn inject(
    trip: &Trip,
    permit: &Permit,
    message: Message<'_>,
    obtained: Option<Obtained>,
    receipt: Option<HeaderValue>,
    _recorded: &Intent,
) -> Result<Outbound, Refusal> {
    let mut headers = carried(message.headers, message.generation);
    if let Some(session) = message.session {
        headers.insert(HeaderName::from_static(SESSION_HEADER), session.clone());
    }
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let text =
        |text: &str| HeaderValue::from_str(text).map_err(|error| Refusal::new(Code::Internal).because(error));
    headers.insert(REQUEST_ID, text(trip.request_id.as_str())?);
    headers.insert(MODE, HeaderValue::from_static(permit.binding().spec.mode.word()));
    headers.insert(BINDING, text(&permit.binding().name_at_revision().to_string())?);
    if let Some(receipt) = receipt {
        headers.insert(RECEIPT, receipt);
    }
    let mut uri = endpoint(&permit.binding().route).to_owned();
    let mut credential = None;
    if let Some(Obtained { lease, material, .. }) = obtained {
        credential = spend(lease, &material, &mut headers, &mut uri);
    }
    let uri =
        Uri::try_from(uri).map_err(|_| Refusal::new(Code::Internal).because("the route is no valid URI"))?;
    let mut request = Request::new(Full::new(message.body));
    *request.method_mut() = match message.verb {
        Verb::Post => Method::POST,
        Verb::Get => Method::GET,
        Verb::Delete => Method::DELETE,
    };
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(Outbound { request, credential })
}

/// What a process is asked at: it has no address, and sees neither this nor any header.
const PROCESS: &str = "http://process.invalid/";

fn endpoint(route: &Route) -> &str {
    match route {
        Route::Http(route) => route.url.as_str(),
        Route::Stdio(_) => PROCESS,
    }
}

/// Places the value. The lease ends here. What goes into a process is handed on to whoever starts it.
fn spend(
    lease: Lease,
    material: &Arc<Material>,
    headers: &mut HeaderMap,
    uri: &mut String,
) -> Option<ProcessCredential> {
    let version = lease.consume().version.clone();
    match material.placement() {
        Placement::Header(name, value) => {
            headers.remove(name);
            headers.insert(name.clone(), value.clone());
        }
        Placement::Query(pair) => {
            uri.push('?');
            push_secret(uri, pair);
        }
        Placement::Process(_) => {
            return Some(ProcessCredential { material: Arc::clone(material), version });
        }
    }
    None
}

#[expect(clippy::disallowed_methods, reason = "query placement is one of the named places")]
fn push_secret(uri: &mut String, pair: &Secret) {
    // The pair was percent-encoded when it was made, so it is ASCII.
    uri.push_str(&String::from_utf8_lossy(pair.expose()));
}

/// The client's headers that go upstream.
fn carried(from: &HeaderMap, generation: Generation) -> HeaderMap {
    let named: Vec<&str> = from
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .collect();
    let mut headers = HeaderMap::with_capacity(from.len() + 6);
    for (name, value) in from {
        let text = name.as_str();
        let dropped = (!PLAIN.contains(&text) && is_dropped(text))
            || named.iter().any(|listed| listed.eq_ignore_ascii_case(text))
            // In the older generation nobody compares the mirrored headers with the body.
            || (generation == Generation::Legacy && matches!(text, "mcp-method" | "mcp-name"));
        if !dropped || text.starts_with("mcp-param-") {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

/// Whether a header of this name never goes upstream.
fn is_dropped(name: &str) -> bool {
    DROPPED.contains(&name)
        || name == SESSION_HEADER
        || DROPPED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || DROPPED_WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_cut_names_only_headers_that_every_rule_lets_through() {
        for name in PLAIN {
            assert!(!is_dropped(name), "{name}");
        }
        for name in ["host", "authorization", "x-api-key", "cookie", "mcp-session-id", "x-forwarded-for"] {
            assert!(is_dropped(name), "{name}");
        }
        for ours in [REQUEST_ID, MODE, BINDING, RECEIPT] {
            assert!(is_dropped(ours.as_str()), "{ours}");
        }
    }
}
