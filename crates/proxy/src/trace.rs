//! The spans of a call, and the caller's trace context on its way through. Where nothing is recorded a call
//! pays a look at an empty option for each stage, and its context passes as it came.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use gateway_core::id::{RequestId, ToolName};
use gateway_core::policy::Permit;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::time::{Clock, Timestamp};
use gateway_core::trace::{
    About, CallTrace, Sampling, Span, SpanId, Stage, TraceContext, TraceId, TraceSink,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response};

use crate::bridge::edit::{Edits, Members};
use crate::gateway::Gateway;
use crate::mcp::json::{JsonError, Kind, Scanner};
use crate::mcp::method::MethodKind;
use crate::path::admit::Trip;
use crate::path::identify::Call;

/// The header, and the key in `_meta`, of where a call stands in a trace.
const PARENT: &str = "traceparent";
/// The header, and the key in `_meta`, of what tracing systems add.
const STATE: &str = "tracestate";
/// More spans than any call has, but for a translated one that asks again and again.
const MOST_SPANS: usize = 64;

/// Records calls.
#[derive(Debug)]
pub struct Tracer {
    /// Where the spans go.
    pub sink: Arc<dyn TraceSink>,
    /// Which calls are recorded.
    pub sampling: Sampling,
}

impl Tracer {
    /// Begins a recording of a trip in a trace of its own.
    pub(crate) fn begin(self: &Arc<Self>, gateway: &Gateway, trip: &Trip) -> Arc<Recording> {
        let mut random = [0_u8; 24];
        gateway.random.fill(&mut random);
        let (mut trace, mut root) = ([0; 16], [0; 8]);
        trace.iter_mut().chain(&mut root).zip(random).for_each(|(to, from)| *to = from);
        let progress = Progress {
            trace: TraceId::new(trace),
            context: None,
            taken: false,
            about: None,
            refused: None,
            spans: Vec::new(),
        };
        Arc::new(Recording {
            tracer: Arc::clone(self),
            clock: Arc::clone(&gateway.clock),
            root: SpanId::new(root),
            request_id: trip.request_id.clone(),
            start: trip.started,
            progress: Mutex::new(progress),
        })
    }
}

/// One call that may be recorded. Whoever holds it last ends it.
#[derive(Debug)]
pub struct Recording {
    tracer: Arc<Tracer>,
    clock: Arc<dyn Clock>,
    root: SpanId,
    request_id: RequestId,
    start: Timestamp,
    progress: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    trace: TraceId,
    context: Option<TraceContext>,
    taken: bool,
    about: Option<About>,
    refused: Option<Code>,
    spans: Vec<Span>,
}

impl Recording {
    fn with<T>(&self, change: impl FnOnce(&mut Progress) -> T) -> T {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Places it in the caller's trace and decides whether it is recorded; the trace, where it is.
    fn settle(&self, context: Option<&TraceContext>) -> Option<TraceId> {
        self.with(|progress| {
            if let Some(context) = context {
                progress.trace = context.trace;
            }
            progress.context = context.cloned();
            progress.taken = self.tracer.sampling.takes(&progress.trace, context);
            progress.taken.then_some(progress.trace)
        })
    }

    /// The call, or a use for it, failed.
    pub(crate) fn refused(&self, code: Code) {
        self.with(|progress| progress.refused = Some(code));
    }

    /// Nothing of it is recorded.
    pub(crate) fn forget(&self) {
        self.with(|progress| progress.taken = false);
    }

    fn add(&self, span: Span) {
        self.with(|progress| {
            if progress.taken && progress.spans.len() < MOST_SPANS {
                progress.spans.push(span);
            }
        });
    }

    fn span_id(gateway: &Gateway) -> SpanId {
        let mut random = [0; 8];
        gateway.random.fill(&mut random);
        SpanId::new(random)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let progress = self.progress.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !progress.taken {
            return;
        }
        let context = progress.context.take();
        self.tracer.sink.offer(CallTrace {
            trace: progress.trace,
            root: self.root,
            parent: context.as_ref().map(|context| context.parent),
            state: context.and_then(|context| context.state),
            request_id: self.request_id.clone(),
            start: self.start,
            end: self.clock.now(),
            about: progress.about.take(),
            refused: progress.refused,
            spans: std::mem::take(&mut progress.spans),
        });
    }
}

/// The context in the headers. Several `tracestate` headers are one (section 3.3.1.4); two parents are none.
pub(crate) fn in_headers(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all(PARENT).iter();
    let parent = parents.next()?.to_str().ok()?;
    if parents.next().is_some() {
        return None;
    }
    let states: Option<Vec<&str>> = headers.get_all(STATE).iter().map(|value| value.to_str().ok()).collect();
    let state = states.filter(|states| !states.is_empty()).map(|states| states.join(","));
    TraceContext::parse(parent, state.as_deref())
}

impl Trip {
    /// Takes the caller's context.
    pub(crate) fn stand_in(&mut self, context: Option<TraceContext>) {
        let recorded = self.recording.as_ref().and_then(|recording| recording.settle(context.as_ref()));
        let trace = context.as_ref().map(|context| context.trace).or(recorded);
        self.trace_id = trace.map(|trace| trace.to_string());
        self.context = context.map(Box::new);
    }

    /// When a stage begins; nothing where nothing is recorded.
    pub(crate) fn begins(&self) -> Option<Timestamp> {
        self.recording.as_ref().map(|recording| recording.clock.now())
    }

    /// A stage is over.
    pub(crate) fn ended(&self, stage: Stage, begun: Option<Timestamp>, refusal: Option<&Refusal>) {
        let (Some(recording), Some(start)) = (&self.recording, begun) else { return };
        let mut id = *recording.root.bytes();
        // Told apart by their place, which is random enough within one trace.
        let number = recording.with(|progress| progress.spans.len()).saturating_add(1);
        let number = u64::try_from(number).unwrap_or(u64::MAX).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        id.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to ^= from);
        recording.add(Span {
            stage,
            id: SpanId::new(id),
            start,
            end: recording.clock.now(),
            refused: refusal.map(Refusal::code),
            status: None,
        });
    }

    /// The call is allowed: from here on its names are the gateway's own.
    pub(crate) fn is_about(&self, call: &Call, permit: &Permit) {
        let Some(recording) = &self.recording else { return };
        let about = About {
            environment: self.environment.clone(),
            server: self.server.clone(),
            tool: self.tool.as_ref().and_then(|tool| ToolName::parse(tool).ok()),
            method: call.kind().and_then(word),
            mode: permit.binding().spec.mode,
        };
        recording.with(|progress| progress.about = Some(about));
    }

    /// The call leaves for its server; nothing where nothing is recorded.
    pub(crate) fn leaves(&self, gateway: &Gateway) -> Option<Leaving> {
        let recording = self.recording.as_ref()?;
        let (trace, context) =
            recording.with(|progress| progress.taken.then(|| (progress.trace, progress.context.clone())))?;
        let span = Recording::span_id(gateway);
        Some(Leaving {
            span,
            begun: recording.clock.now(),
            parent: TraceContext::parent_within(trace, span, true),
            asked: context.is_some(),
            state: context.and_then(|context| context.state),
        })
    }

    /// The server has begun to answer, or will not.
    pub(crate) fn arrived<B>(&self, leaving: Option<Leaving>, outcome: &Result<Response<B>, Refusal>) {
        let (Some(recording), Some(leaving)) = (&self.recording, leaving) else { return };
        recording.add(Span {
            stage: Stage::Upstream,
            id: leaving.span,
            start: leaving.begun,
            end: recording.clock.now(),
            refused: outcome.as_ref().err().map(Refusal::code),
            status: outcome.as_ref().ok().map(|response| response.status().as_u16()),
        });
    }
}

/// A recorded call on its way to the server, whose spans are to be found below the gateway's.
#[derive(Debug)]
pub(crate) struct Leaving {
    span: SpanId,
    begun: Timestamp,
    parent: String,
    state: Option<Box<str>>,
    /// Whether the caller sent a context: else its body stays as it was written.
    asked: bool,
}

impl Leaving {
    /// Puts the gateway's span into the headers.
    pub(crate) fn head(&self, headers: &mut HeaderMap) {
        let (parent, state) = (HeaderName::from_static(PARENT), HeaderName::from_static(STATE));
        headers.remove(&state);
        // Both were parsed, or made here: they are visible ASCII.
        if let Ok(value) = HeaderValue::from_str(&self.parent) {
            headers.insert(parent, value);
        }
        if let Some(value) = self.state.as_ref().and_then(|state| HeaderValue::from_str(state).ok()) {
            headers.insert(state, value);
        }
    }

    /// Puts it into `_meta` as well, where the caller sent a context and there is a `_meta`.
    pub(crate) fn body(&self, body: Bytes) -> Bytes {
        if !self.asked {
            return body;
        }
        // What is no JSON was refused long ago; an empty body of a GET is none.
        self.edits(&body).map_or_else(|_| body.clone(), |edits| edits.apply(&body))
    }

    fn edits(&self, body: &[u8]) -> Result<Edits, JsonError> {
        let mut edits = Edits::default();
        let mut scanner = Scanner::new(body)?;
        if scanner.peek()? != Kind::Object {
            return Ok(edits);
        }
        scanner.object(|scanner, key| {
            if key != "params" || scanner.peek()? != Kind::Object {
                return scanner.skip();
            }
            scanner.object(|scanner, key| {
                if key != "_meta" || scanner.peek()? != Kind::Object {
                    return scanner.skip();
                }
                self.edit_meta(scanner, &mut edits)
            })
        })?;
        Ok(edits)
    }

    fn edit_meta(&self, scanner: &mut Scanner<'_>, edits: &mut Edits) -> Result<(), JsonError> {
        let mut members = Members::begin(scanner);
        scanner.object(|scanner, key| {
            let keep = key != PARENT && key != STATE;
            scanner.skip()?;
            members.passed(scanner, keep);
            Ok::<(), JsonError>(())
        })?;
        let mut added = format!("\"{PARENT}\":\"{}\"", self.parent);
        if let Some(state) = &self.state {
            // A state has no quotes that were not parsed as part of a value: they are escaped all the same.
            let state = serde_json::Value::from(&**state);
            added.push_str(&format!(",\"{STATE}\":{state}"));
        }
        members.end(&added, edits);
        Ok(())
    }
}

/// The protocol's own name of a method; nothing for what anybody may have made up.
const fn word(kind: MethodKind) -> Option<&'static str> {
    Some(match kind {
        MethodKind::Initialize => "initialize",
        MethodKind::Initialized => "notifications/initialized",
        MethodKind::Discover => "server/discover",
        MethodKind::Ping => "ping",
        MethodKind::ListTools => "tools/list",
        MethodKind::ListResources => "resources/list",
        MethodKind::ListResourceTemplates => "resources/templates/list",
        MethodKind::ListPrompts => "prompts/list",
        MethodKind::CallTool => "tools/call",
        MethodKind::ReadResource => "resources/read",
        MethodKind::GetPrompt => "prompts/get",
        MethodKind::SubscribeResource => "resources/subscribe",
        MethodKind::UnsubscribeResource => "resources/unsubscribe",
        MethodKind::Listen => "subscriptions/listen",
        MethodKind::Complete => "completion/complete",
        MethodKind::SetLevel => "logging/setLevel",
        MethodKind::Cancelled => "notifications/cancelled",
        MethodKind::Task => "tasks",
        MethodKind::Other => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaving(asked: bool, state: Option<&str>) -> Leaving {
        Leaving {
            span: SpanId::new([1; 8]),
            begun: Timestamp::from_seconds(0),
            parent: "00-P".to_owned(),
            state: state.map(Box::from),
            asked,
        }
    }

    fn rewritten(body: &str, leaving: &Leaving) -> String {
        String::from_utf8(leaving.body(Bytes::copy_from_slice(body.as_bytes())).to_vec()).unwrap()
    }

    #[test]
    fn only_the_two_keys_of_meta_change() {
        let body = r#"{ "a":{"_meta":{"traceparent":"x"}}, "params": {"arguments":{"_meta":{"traceparent":"x"}}, "_meta":{ "p":1 ,"traceparent":"old","tracestate":"old=1","baggage":"k=v"} } }"#;
        let expected = r#"{ "a":{"_meta":{"traceparent":"x"}}, "params": {"arguments":{"_meta":{"traceparent":"x"}}, "_meta":{"traceparent":"00-P","tracestate":"n=\"1", "p":1 ,"baggage":"k=v"} } }"#;
        assert_eq!(rewritten(body, &leaving(true, Some("n=\"1"))), expected);
        let expected = r#"{"params":{"_meta":{"traceparent":"00-P"}}}"#;
        assert_eq!(rewritten(r#"{"params":{"_meta":{}}}"#, &leaving(true, None)), expected);
        assert_eq!(rewritten(r#"{"params":{"_meta":{"tracestate":"a=1"}}}"#, &leaving(true, None)), expected);
    }

    #[test]
    fn a_body_without_meta_or_of_a_caller_without_context_stays() {
        for body in
            ["", "[1]", r#"{"params":{}}"#, r#"{"params":{"_meta":null}}"#, r#"{"params":[{"_meta":{}}]}"#]
        {
            assert_eq!(rewritten(body, &leaving(true, None)), body);
        }
        let body = r#"{"params":{"_meta":{"traceparent":"malformed"}}}"#;
        assert_eq!(rewritten(body, &leaving(false, None)), body);
    }

    #[test]
    fn two_parents_are_none_and_states_are_joined() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut headers = HeaderMap::new();
        assert!(in_headers(&headers).is_none());
        headers.insert(PARENT, HeaderValue::from_static(parent));
        headers.append(STATE, HeaderValue::from_static("a=1"));
        headers.append(STATE, HeaderValue::from_static("b=2"));
        assert_eq!(in_headers(&headers).unwrap().state.as_deref(), Some("a=1,b=2"));
        headers.append(PARENT, HeaderValue::from_static(parent));
        assert!(in_headers(&headers).is_none());
    }
}
