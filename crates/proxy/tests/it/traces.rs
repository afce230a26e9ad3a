//! The caller's trace context, and the spans of a call.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway_core::trace::{CallTrace, Sampling, Stage, TraceSink};
use gateway_proxy::trace::Tracer;

use crate::broker::{CANARY, TestBroker, server_spec};
use crate::upstream::{Upstream, json as answer_json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const OTHER_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const OTHER_SPAN: &str = "b7ad6b7169203331";

#[derive(Debug, Default)]
struct Kept(Mutex<Vec<CallTrace>>);

impl TraceSink for Kept {
    fn offer(&self, trace: CallTrace) {
        self.0.lock().unwrap().push(trace);
    }
}

impl Kept {
    /// The spans of so many calls, once they are over.
    async fn calls(&self, count: usize) -> Vec<CallTrace> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            let kept = self.0.lock().unwrap().clone();
            if kept.len() >= count {
                return kept;
            }
            assert!(tokio::time::Instant::now() < deadline, "{} of {count}", kept.len());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

struct Scene {
    upstream: Upstream,
    broker: TestBroker,
    kept: Arc<Kept>,
}

async fn scene(share: f64) -> Scene {
    let answer = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#;
    let upstream = Upstream::start(move |_| async move { answer_json(answer) }).await;
    let kept = Arc::new(Kept::default());
    let tracer = Arc::new(Tracer { sink: kept.clone(), sampling: Sampling::share(share) });
    let broker = TestBroker::traced(server_spec(upstream.address), |_| {}, |_| {}, Some(tracer)).await;
    Scene { upstream, broker, kept }
}

fn parent(trace: &str, span: &str, flags: &str) -> String {
    format!("00-{trace}-{span}-{flags}")
}

fn body(tool: &str, trace: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"{tool}","arguments":{{"a":1}},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}{trace}}}}}}}"#
    )
}

impl Scene {
    async fn call(&self, tool: &str, header: Option<(&str, &str)>, meta: &str) -> u16 {
        let mut request = self
            .broker
            .request("alice-token", body(tool, meta))
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", tool);
        if let Some((parent, state)) = header {
            request = request.header("traceparent", parent).header("tracestate", state);
        }
        self.broker.send(request).await.status
    }

    fn recorded_traces(&self) -> Vec<String> {
        self.broker.audit.events.lock().unwrap().iter().filter_map(|event| event.trace_id.clone()).collect()
    }
}

#[tokio::test]
async fn a_recorded_call_goes_on_below_the_gateways_span_in_both_places() {
    let scene = scene(0.0).await;
    let meta = format!(r#","traceparent":"{}","baggage":"k=v""#, parent(OTHER_TRACE, OTHER_SPAN, "01"));
    let header = parent(TRACE, SPAN, "01");
    assert_eq!(scene.call("echo", Some((&header, "h=1")), &meta).await, 200);
    let calls = scene.kept.calls(1).await;
    let call = &calls[0];
    assert_eq!(call.trace.to_string(), OTHER_TRACE, "what the client wrote with the message holds");
    assert_eq!(call.parent.unwrap().to_string(), OTHER_SPAN);
    let stages: Vec<Stage> = call.spans.iter().map(|span| span.stage).collect();
    assert_eq!(stages, Stage::ALL);
    let about = call.about.as_ref().unwrap();
    assert_eq!((about.server.as_str(), about.method), ("tools", Some("tools/call")));
    let sent = scene.upstream.last();
    let below = parent(OTHER_TRACE, &call.spans[5].id.to_string(), "01");
    assert_eq!(sent.headers["traceparent"], below.as_str());
    assert!(!sent.headers.contains_key("tracestate"), "it was of another trace");
    let expected = body("echo", r#","baggage":"k=v""#)
        .replace(r#""_meta":{"#, &format!(r#""_meta":{{"traceparent":"{below}","#));
    assert_eq!(String::from_utf8_lossy(&sent.body), expected);
    assert!(scene.recorded_traces().iter().all(|trace| trace == OTHER_TRACE));
    assert!(!format!("{calls:?}").contains(CANARY));
}

#[tokio::test]
async fn a_call_without_context_keeps_its_body_and_its_trace_is_the_gateways() {
    let scene = scene(1.0).await;
    assert_eq!(scene.call("echo", None, "").await, 200);
    let call = scene.kept.calls(1).await.remove(0);
    assert_eq!(call.parent, None);
    let sent = scene.upstream.last();
    assert_eq!(String::from_utf8_lossy(&sent.body), body("echo", ""));
    let below = parent(&call.trace.to_string(), &call.spans[5].id.to_string(), "01");
    assert_eq!(sent.headers["traceparent"], below.as_str());
    assert!(scene.recorded_traces().iter().all(|trace| *trace == call.trace.to_string()));
}

#[tokio::test]
async fn what_is_not_recorded_passes_as_it_came() {
    let scene = scene(0.0).await;
    let meta = format!(r#","traceparent":"{}""#, parent(TRACE, SPAN, "00"));
    let header = parent(TRACE, OTHER_SPAN, "00");
    assert_eq!(scene.call("echo", Some((&header, "h=1")), &meta).await, 200);
    let sent = scene.upstream.last();
    assert_eq!(sent.headers["traceparent"], header.as_str());
    assert_eq!(sent.headers["tracestate"], "h=1");
    assert_eq!(String::from_utf8_lossy(&sent.body), body("echo", &meta));
    assert_eq!(scene.call("echo", None, "").await, 200);
    assert!(!scene.upstream.last().headers.contains_key("traceparent"));
    assert!(scene.kept.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn malformed_contexts_are_ignored() {
    let scene = scene(0.0).await;
    let header = parent(TRACE, SPAN, "01");
    for meta in [r#","traceparent":"nonsense","tracestate":"a=1""#, r#","traceparent":7"#] {
        assert_eq!(scene.call("echo", Some((&header, "h=1")), meta).await, 200);
    }
    let calls = scene.kept.calls(2).await;
    assert!(calls.iter().all(|call| call.trace.to_string() == TRACE), "the header is well-formed");
    assert_eq!(scene.call("echo", Some(("00-x", "h=1")), r#","traceparent":"00-y""#).await, 200);
    assert!(scene.broker.audit.events.lock().unwrap().last().unwrap().trace_id.is_none());
    assert_eq!(scene.kept.0.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_refused_call_names_its_code_and_nothing_that_the_caller_wrote() {
    let scene = scene(1.0).await;
    // The protocol answers a tool that there is none of with status 200.
    scene.call("tool-of-my-own", None, "").await;
    let call = scene.kept.calls(1).await.remove(0);
    assert_eq!((call.about.is_none(), call.refused), (true, call.spans[2].refused));
    assert!(call.refused.is_some());
    assert!(!format!("{call:?}").contains("tool-of-my-own"));
}

#[tokio::test]
async fn a_stranger_leaves_no_trace() {
    let scene = scene(1.0).await;
    let context = parent(TRACE, SPAN, "01");
    let request = scene.broker.request("nobodys-token", body("echo", "")).header("traceparent", context);
    assert_eq!(scene.broker.send(request).await.status, 401);
    assert_eq!(scene.call("echo", None, "").await, 200);
    let calls = scene.kept.calls(1).await;
    assert_eq!(calls.len(), 1);
    assert_ne!(calls[0].trace.to_string(), TRACE);
}
