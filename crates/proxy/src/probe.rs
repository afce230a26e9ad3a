//! Tries a candidate credential at the real upstream before it decides: with one handshake, and with the tool that
//! the server's owner has named for it.

mod tool;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use gateway_core::audit::{Decision, Event, EventKind, Outcome};
use gateway_core::id::{RequestId, ToolName};
use gateway_core::manifest::{HttpRoute, Route};
use gateway_core::policy::Permit;
use gateway_core::ports::{Candidate, CredentialProbe};
use gateway_core::receipt::ReceiptMode;
use gateway_core::refusal::{Code, Refusal};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Collected, Full, Limited};

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

/// What a server said over HTTP.
struct Answered {
    status: StatusCode,
    refused: Option<Refused>,
    headers: HeaderMap,
    body: Bytes,
}

impl Answered {
    /// Whether the credential may decide, as far as HTTP says.
    fn judge(&self) -> Result<(), Refusal> {
        match (&self.refused, self.status) {
            (Some(refused), _) => Err(refused.refusal()),
            (None, StatusCode::FORBIDDEN) => Err(Code::UpstreamUnauthorized.into()),
            (None, status) if status.is_server_error() => Err(Code::UpstreamUnreachable.into()),
            (None, status) if status.is_redirection() => Err(Code::UpstreamRedirect.into()),
            (None, _) => Ok(()),
        }
    }
}

/// One message of a trial.
struct Words {
    method: &'static str,
    tool: Option<ToolName>,
    headers: HeaderMap,
    body: Bytes,
}

impl Words {
    fn handshake() -> Self {
        let (headers, body) = (HeaderMap::new(), Bytes::from_static(HANDSHAKE));
        Self { method: "initialize", tool: None, headers, body }
    }
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

    /// One message under its own intent; what HTTP said, where it is spoken.
    async fn say(
        &self,
        permit: &Permit,
        candidate: &Candidate<'_>,
        material: &Arc<Material>,
        words: &Words,
    ) -> Result<Option<Answered>, Refusal> {
        let mut event = self.intent(permit, candidate, words).await?;
        let started = event.time;
        let outcome = self.exchange(permit, candidate, material, words, &event).await;
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
        outcome
    }

    async fn exchange(
        &self,
        permit: &Permit,
        candidate: &Candidate<'_>,
        material: &Arc<Material>,
        words: &Words,
        intent: &Event,
    ) -> Result<Option<Answered>, Refusal> {
        match candidate.route {
            Route::Http(route) => {
                let mut request = request(permit, route, material.placement(), words)?;
                self.account_for(permit, candidate, route, (intent, words), request.headers_mut())?;
                let response = self.upstreams.send(route, request, None).await?;
                let (status, mode) = (response.status(), permit.binding().spec.mode);
                let refused = Refused::read(status, response.headers(), mode, &material.needles);
                let (head, body) = response.into_parts();
                let body = Limited::new(body, 64 * 1024).collect().await;
                let body = body.map(Collected::to_bytes).unwrap_or_default();
                Ok(Some(Answered { status, refused, headers: head.headers, body }))
            }
            Route::Stdio(route) => {
                let version = candidate.material.version.clone();
                let standing = Standing::of(permit, Some(version.clone()));
                let credential = ProcessCredential { material: Arc::clone(material), version };
                self.gateway.children.try_out(route, standing, credential, self.gateway.clock.now()).await?;
                Ok(None)
            }
        }
    }

    /// Calls the tool that the server's owner has named for this, as the handshake showed that it is called.
    async fn call_tool(
        &self,
        permit: &Permit,
        candidate: &Candidate<'_>,
        material: &Arc<Material>,
        shaken: &Answered,
    ) -> Result<(), Refusal> {
        let Some(call) = &permit.binding().pinned_server.probe else { return Ok(()) };
        for words in tool::words(call, &shaken.headers, &shaken.body)? {
            let answered = self.say(permit, candidate, material, &words).await?;
            let Some(answered) = answered else { return Ok(()) };
            answered.judge()?;
            if words.tool.is_some() {
                tool::judge(answered.status, &answered.body)?;
            }
        }
        Ok(())
    }

    /// Adds what joins the message with the evidence: the request id, and the receipt where one is asked
    /// for. A server that takes no message without one takes the probe's.
    fn account_for(
        &self,
        permit: &Permit,
        candidate: &Candidate<'_>,
        route: &HttpRoute,
        (intent, words): (&Event, &Words),
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
            tool: words.tool.clone(),
            at: intent.time,
            content: &words.body,
        };
        if let Some(receipt) = receipt::sign(&self.gateway, route, permit, about)? {
            headers.insert(RECEIPT, receipt);
        }
        Ok(())
    }

    async fn intent(
        &self,
        permit: &Permit,
        candidate: &Candidate<'_>,
        words: &Words,
    ) -> Result<Event, Refusal> {
        let now = self.gateway.clock.now();
        let mut random = [0_u8; 10];
        self.gateway.random.fill(&mut random);
        let mut event = Event::new(EventKind::Intent, now);
        event.request_id = Some(RequestId::mint(now, random));
        event.environment = Some(candidate.environment.clone());
        event.server = Some(permit.binding().spec.server.clone());
        event.method = Some(words.method.to_owned());
        event.tool.clone_from(&words.tool);
        event.decision = Some(Decision::Allow);
        event.mode = Some(permit.binding().spec.mode);
        event.binding = Some(permit.binding().name_at_revision());
        event.secret_version = Some(candidate.material.version.clone());
        event.epoch = Some(permit.epoch());
        event.receipt = ReceiptMode::of(candidate.route);
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
        let material = Arc::new(prepare(&spec, Arc::clone(&candidate.material), &[])?);
        let Some(shaken) = self.say(permit, &candidate, &material, &Words::handshake()).await? else {
            return Ok(());
        };
        shaken.judge()?;
        self.call_tool(permit, &candidate, &material, &shaken).await
    }
}

#[expect(clippy::disallowed_methods, reason = "query placement is one of the named places")]
fn request(
    permit: &Permit,
    route: &HttpRoute,
    placement: &Placement,
    words: &Words,
) -> Result<Request<Full<Bytes>>, Refusal> {
    let internal = |_| Refusal::new(Code::Internal).because("the probe makes no valid request");
    let mut uri = route.url.as_str().to_owned();
    if let Placement::Query(pair) = placement {
        uri.push('?');
        uri.push_str(&String::from_utf8_lossy(pair.expose()));
    }
    let uri =
        Uri::try_from(uri).map_err(|_| Refusal::new(Code::Internal).because("the route is no valid URI"))?;
    let mut request = Request::new(Full::new(words.body.clone()));
    *request.headers_mut() = words.headers.clone();
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
