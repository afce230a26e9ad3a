//! The bridge's own messages: each goes through the corridor like a caller's, with a permit that still
//! holds, a recorded intent and outcome, and presence in the binding's gate.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway_core::identity::VerifiedIdentity;
use gateway_core::manifest::Route;
use gateway_core::policy::Permit;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::scrub::Scrubber;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};

use crate::gateway::Gateway;
use crate::mcp::json::{JsonError, Scanner};
use crate::mcp::sse::{self, EventSplitter};
use crate::mcp::version::Generation;
use crate::path::admit::{Trip, Verb};
use crate::path::authorize::Aim;
use crate::path::forward::{Forwarded, attempt, ready};
use crate::path::inject::Message;
use crate::path::journey::Journey;
use crate::upstream::{UpstreamBody, Upstreams};

/// On whose account the bridge speaks, and for which call.
#[derive(Debug, Clone)]
pub struct Line {
    /// The gateway.
    pub gateway: Arc<Gateway>,
    /// Connections of this data thread.
    pub upstreams: Arc<Upstreams>,
    /// The facts of the call.
    pub trip: Trip,
    /// Who calls.
    pub identity: Arc<VerifiedIdentity>,
    /// What was decided about.
    pub aim: Aim,
}

/// One message of the bridge.
#[derive(Debug)]
pub struct Out<'a> {
    /// Its method, for evidence.
    pub method: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The message.
    pub body: Bytes,
    /// The server's session.
    pub session: Option<&'a HeaderValue>,
    /// The generation it belongs to.
    pub generation: Generation,
}

/// An answer to the bridge, scrubbed.
#[derive(Debug)]
pub struct Said {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers as they came.
    pub headers: HeaderMap,
    /// The message; empty where there was none.
    pub body: Bytes,
    /// What it was asked under.
    pub permit: Permit,
}

impl Line {
    /// The line of one call.
    pub fn of(journey: Journey<'_>) -> Self {
        Self {
            gateway: Arc::clone(journey.gateway),
            upstreams: Arc::clone(journey.upstreams),
            trip: journey.trip.clone(),
            identity: Arc::clone(&journey.call.identity),
            aim: journey.aim.clone(),
        }
    }

    /// Sends a message and reads its answer.
    ///
    /// # Errors
    /// Any refusal of the corridor, [`Code::UpstreamTimeout`] and [`Code::UpstreamMalformed`].
    pub async fn ask(&self, permit: &Permit, out: Out<'_>) -> Result<Said, Refusal> {
        let trip = Trip { method: Some(out.method.into()), tool: None, ..self.trip.clone() };
        // The permit of an answer presents nobody any more, and the next message may be under it.
        let permit = &permit.clone().presenting(trip.presented.clone());
        let ready = ready(&self.gateway, &trip, &self.identity, &self.aim, permit.clone()).await?;
        // A session is one binding's; another one's credential does not belong on it.
        if out.session.is_some() && ready.permit.binding().spec.name != permit.binding().spec.name {
            return Err(Code::BindingEnded.into());
        }
        let message = Message {
            verb: Verb::Post,
            headers: out.headers,
            body: out.body,
            session: out.session,
            generation: out.generation,
        };
        let sent = attempt(&self.gateway, &self.upstreams, &trip, message, ready, true).await?;
        self.hear(sent).await
    }

    async fn hear(&self, sent: Forwarded) -> Result<Said, Refusal> {
        let Forwarded { response, permit, material, mut trail, pass, places: _ } = sent;
        let (head, body) = response.into_parts();
        let events = is_events(&head.headers);
        let most = self.gateway.settings.held_answer_bytes;
        let reading = tokio::time::timeout(time(&permit), read(body, events, most));
        let read = tokio::select! {
            biased;
            why = pass.stopped() => Err(why),
            read = reading => read.unwrap_or_else(|_| Err(Code::UpstreamTimeout.into())),
        };
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(refusal) => {
                trail.fail(refusal.code());
                return Err(refusal);
            }
        };
        let Some(material) = material else {
            trail.sent(bytes.len() as u64, 0);
            trail.finish();
            return Ok(Said { status: head.status, headers: head.headers, body: bytes, permit });
        };
        let mut scrubber = Scrubber::new(Arc::clone(&material.needles));
        let mut clean = Vec::with_capacity(bytes.len());
        scrubber.push(&bytes, &mut clean);
        scrubber.finish(&mut clean);
        trail.sent(clean.len() as u64, scrubber.redactions());
        trail.finish();
        Ok(Said { status: head.status, headers: head.headers, body: Bytes::from(clean), permit })
    }
}

/// How long the route lets an answer take.
pub fn time(permit: &Permit) -> Duration {
    let seconds = match &permit.binding().route {
        Route::Http(route) => route.timeout_seconds,
        Route::Stdio(route) => route.timeout_seconds,
    };
    Duration::from_secs(u64::from(seconds))
}

/// Whether the body is a stream of events.
pub fn is_events(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.trim().to_ascii_lowercase().starts_with("text/event-stream")
}

/// A body whole, or the answer among its events.
///
/// # Errors
/// [`Code::UpstreamMalformed`].
pub async fn read(mut body: UpstreamBody, events: bool, most: usize) -> Result<Bytes, Refusal> {
    let malformed = |why: String| Refusal::new(Code::UpstreamMalformed).because(why);
    if !events {
        let whole = Limited::new(body, most).collect().await.map_err(|error| malformed(error.to_string()))?;
        return Ok(whole.to_bytes());
    }
    let mut splitter = EventSplitter::new(most);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| malformed(error.to_string()))?.into_data() else { continue };
        for event in splitter.push(&data).map_err(|error| malformed(error.to_string()))? {
            if let Some(message) = sse::data(&event)
                && is_answer(&message).unwrap_or(false)
            {
                return Ok(Bytes::copy_from_slice(&message));
            }
        }
    }
    Err(malformed("the stream ended without an answer".to_owned()))
}

fn is_answer(message: &[u8]) -> Result<bool, JsonError> {
    let (mut has_method, mut has_outcome) = (false, false);
    let mut scanner = Scanner::new(message)?;
    scanner.object(|scanner, key| {
        has_method |= key == "method";
        has_outcome |= matches!(key, "result" | "error");
        scanner.skip()
    })?;
    Ok(has_outcome && !has_method)
}
