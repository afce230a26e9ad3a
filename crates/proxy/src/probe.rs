//! Tries a candidate credential with one handshake at the real upstream, before it decides.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use gateway_core::audit::{Decision, Event, EventKind, Outcome};
use gateway_core::id::RequestId;
use gateway_core::manifest::{HttpRoute, Route};
use gateway_core::policy::Permit;
use gateway_core::ports::{Candidate, CredentialProbe};
use gateway_core::refusal::{Code, Refusal};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};

use crate::gateway::Gateway;
use crate::materials::{Material, Placement, prepare};
use crate::mcp::challenge::Refused;
use crate::path::inject::{BINDING, MODE, ProcessCredential, REQUEST_ID};
use crate::path::receipt::{self, About, RECEIPT};
use crate::upstream::Upstreams;
use crate::upstream::stdio::Standing;

/// The handshake of 2025-11-25: every server of either generation answers it, if only with a protocol
/// error, and one that checks credentials checks them first.
pub(crate) const HANDSHAKE: &[u8] = br#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"mcp-gateway-probe","version":"1"}}}"#;

/// What a server said to a handshake over HTTP.
struct HandshakeAnswer {
    status: StatusCode,
    refused: Option<Refused>,
}

/// Probes through pools of its own.
#[derive(Debug)]
pub struct Prober {
    gateway: Arc<Gateway>,
    upstreams: Upstreams,
}

impl Prober {
    /// Probes for this data plane.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        let upstreams = Upstreams::new(Arc::clone(&gateway.settings.resolver));
        Self { gateway, upstreams }
    }

    /// One handshake; what HTTP said, where it is spoken.
    async fn shake(
        &self,
        permit: &Permit,
        candidate: &Candidate<'_>,
        material: Arc<Material>,
        intent: &Event,
    ) -> Result<Option<HandshakeAnswer>, Refusal> {
        match candidate.route {
            Route::Http(route) => {
                let mut request = handshake(permit, route, material.placement())?;
                self.account_for(permit, candidate, route, intent, request.headers_mut())?;
                let response = self.upstreams.send(route, request).await?;
                let (status, mode) = (response.status(), permit.binding().spec.mode);
                let refused = Refused::read(status, response.headers(), mode, &material.needles);
                // The body is read so that the connection can be used again; what it says decides nothing.
                drop(Limited::new(response.into_body(), 64 * 1024).collect().await);
                Ok(Some(HandshakeAnswer { status, refused }))
            }
            Route::Stdio(route) => {
                let version = candidate.material.version.clone();
                let standing = Standing::of(permit, Some(version.clone()));
                let credential = ProcessCredential { material, version };
                self.gateway.children.try_out(route, standing, credential, self.gateway.clock.now()).await?;
                Ok(None)
            }
        }
    }

    /// Adds what joins the handshake with the evidence: the request id, and the receipt where one is asked
    /// for. A server that takes no message without one takes the probe's.
    fn account_for(
        &self,
        permit: &Permit,
        candidate: &Candidate<'_>,
        route: &HttpRoute,
        intent: &Event,
        headers: &mut HeaderMap,
    ) -> Result<(), Refusal> {
        let Some(request_id) = &intent.request_id else { return Ok(()) };
        let id = HeaderValue::from_str(request_id.as_str());
        headers.insert(REQUEST_ID, id.map_err(|error| Refusal::new(Code::Internal).because(error))?);
        let about = About {
            request_id,
            environment: candidate.environment,
            server: &permit.binding().spec.server,
            method: intent.method.clone(),
            tool: None,
            at: intent.time,
            content: HANDSHAKE,
        };
        if let Some(receipt) = receipt::sign(&self.gateway, route, permit, about)? {
            headers.insert(RECEIPT, receipt);
        }
        Ok(())
    }

    async fn intent(&self, permit: &Permit, candidate: &Candidate<'_>) -> Result<Event, Refusal> {
        let now = self.gateway.clock.now();
        let mut random = [0_u8; 10];
        self.gateway.random.fill(&mut random);
        let mut event = Event::new(EventKind::Intent, now);
        event.request_id = Some(RequestId::mint(now, random));
        event.environment = Some(candidate.environment.clone());
        event.server = Some(permit.binding().spec.server.clone());
        event.method = Some("initialize".to_owned());
        event.decision = Some(Decision::Allow);
        event.mode = Some(permit.binding().spec.mode);
        event.binding = Some(permit.binding().name_at_revision());
        event.secret_version = Some(candidate.material.version.clone());
        event.epoch = Some(permit.epoch());
        let recorded = self.gateway.audit.record(event.clone()).await;
        recorded.map_err(|error| Refusal::new(Code::AuditUnavailable).because(error))?;
        Ok(event)
    }
}

#[async_trait]
impl CredentialProbe for Prober {
    async fn probe(&self, permit: &Permit, candidate: Candidate<'_>) -> Result<(), Refusal> {
        let mut spec = permit.binding().spec.clone();
        spec.inject = Some(candidate.injection.clone());
        let material = prepare(&spec, Arc::clone(&candidate.material), &[])?;
        let mut event = self.intent(permit, &candidate).await?;
        let started = event.time;
        let outcome = self.shake(permit, &candidate, Arc::new(material), &event).await;
        let status = outcome.as_ref().ok().and_then(Option::as_ref).map(|answer| answer.status);
        event.kind = EventKind::Outcome;
        event.time = self.gateway.clock.now();
        event.outcome = Some(Outcome {
            upstream_status: status.map(|status| status.as_u16()),
            duration_micros: u64::try_from(event.time.since(started).as_micros()).unwrap_or(u64::MAX),
            ..Outcome::default()
        });
        let noted = self.gateway.audit.note(event);
        noted.map_err(|error| Refusal::new(Code::AuditUnavailable).because(error))?;
        match outcome?.map(|answer| (answer.refused, answer.status)) {
            Some((Some(refused), _)) => Err(refused.refusal()),
            Some((None, StatusCode::FORBIDDEN)) => Err(Code::UpstreamUnauthorized.into()),
            Some((None, status)) if status.is_server_error() => Err(Code::UpstreamUnreachable.into()),
            Some((None, status)) if status.is_redirection() => Err(Code::UpstreamRedirect.into()),
            Some((None, _)) | None => Ok(()),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "query placement is one of the named places")]
fn handshake(
    permit: &Permit,
    route: &HttpRoute,
    placement: &Placement,
) -> Result<Request<Full<Bytes>>, Refusal> {
    let internal = |_| Refusal::new(Code::Internal).because("the probe makes no valid request");
    let mut uri = route.url.as_str().to_owned();
    if let Placement::Query(pair) = placement {
        uri.push('?');
        uri.push_str(&String::from_utf8_lossy(pair.expose()));
    }
    let uri =
        Uri::try_from(uri).map_err(|_| Refusal::new(Code::Internal).because("the route is no valid URI"))?;
    let mut request = Request::new(Full::new(Bytes::from_static(HANDSHAKE)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(MODE, HeaderValue::from_static(permit.binding().spec.mode.word()));
    let name = permit.binding().name_at_revision().to_string();
    headers.insert(BINDING, HeaderValue::from_str(&name).map_err(internal)?);
    if let Placement::Header(name, value) = placement {
        headers.insert(name.clone(), value.clone());
    }
    Ok(request)
}
