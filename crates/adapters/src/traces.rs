//! Sends the spans of calls to an OpenTelemetry receiver, over HTTP in JSON. Calls never wait for it: the
//! queue is bounded, and what does not fit is dropped and counted. Traces are no evidence.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway_core::trace::{CALL, CallTrace, Sampling, Span, SpanId, Stage, TraceSink};
use http::{HeaderValue, Method, header};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use url::Url;

use crate::audit::bearer;
use crate::https::{OutboundBuildError, OutboundClient, OutboundConfig, OutboundRequest, is_loopback};
use crate::otlp::{Attribute, Resource, Scope, nanos};

/// How many calls wait at most.
const QUEUE: usize = 4_096;
/// How many calls go in one request.
const BATCH: usize = 256;
/// How long spans gather.
const GATHER: Duration = Duration::from_secs(1);
/// How often a batch is tried, and how long is waited in between.
const TRIES: u32 = 4;
const WAIT: Duration = Duration::from_secs(1);

/// `telemetry.traces` in `gateway.yaml`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracesConfig {
    /// The receiver's address, its path included (`…/v1/traces`). Plain `http://` is for loopback addresses only.
    pub url: Url,
    /// The share of calls that are recorded where the caller has not decided, from 0 to 1. Default 0.05.
    #[serde(default)]
    pub share: Option<f64>,
    /// PEM file of the only certificate authorities to trust; the system's where absent.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// File with the bearer token, read anew for every batch.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// The proxy to go through; a direct connection where absent.
    #[serde(default)]
    pub proxy: Option<Url>,
}

impl TracesConfig {
    /// Which calls are recorded.
    pub fn sampling(&self) -> Sampling {
        Sampling::share(self.share.unwrap_or(0.05))
    }

    /// Takes relative paths as relative to this directory.
    pub fn rebase(&mut self, directory: &Path) {
        for file in [&mut self.ca_file, &mut self.token_file] {
            *file = file.take().map(|file| directory.join(file));
        }
    }

    /// What is wrong with it, as `field: message`.
    pub fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.url.scheme() != "https" && !(self.url.scheme() == "http" && is_loopback(&self.url)) {
            found.push(
                "url: must begin with `https://`; plain `http://` is for loopback addresses only".to_owned(),
            );
        }
        if self.share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            found.push("share: must be from 0 to 1".to_owned());
        }
        found
    }
}

/// The exporter.
#[derive(Debug)]
pub struct TraceExporter {
    config: TracesConfig,
    client: OutboundClient,
    queue: Mutex<VecDeque<CallTrace>>,
    full: Notify,
    exported: AtomicU64,
    dropped: AtomicU64,
}

impl TraceExporter {
    /// An exporter with an empty queue. Reads the certificate authorities, touches no network.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn new(config: TracesConfig) -> Result<Self, OutboundBuildError> {
        let client = OutboundClient::new(&OutboundConfig {
            ca_file: config.ca_file.clone(),
            timeout: Duration::from_secs(10),
            proxy: config.proxy.clone(),
            ..OutboundConfig::default()
        })?;
        let (queue, full) = (Mutex::default(), Notify::new());
        Ok(Self { config, client, queue, full, exported: AtomicU64::new(0), dropped: AtomicU64::new(0) })
    }

    /// How many calls' traces the receiver has taken, and how many were dropped.
    pub fn counted(&self) -> (u64, u64) {
        (self.exported.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
    }

    /// Sends what is queued, for ever. The binary runs it.
    pub async fn run(self: Arc<Self>) {
        loop {
            // Whichever comes first: a full batch, or its time.
            drop(tokio::time::timeout(GATHER, self.full.notified()).await);
            loop {
                let batch: Vec<CallTrace> = {
                    let mut queue = self.queue();
                    let length = queue.len().min(BATCH);
                    queue.drain(..length).collect()
                };
                if batch.is_empty() {
                    break;
                }
                self.send(&batch).await;
            }
        }
    }

    /// Sends one batch, a few times where it is not taken.
    pub(crate) async fn send(&self, batch: &[CallTrace]) {
        let calls = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        for attempt in 1..=TRIES {
            match self.post(batch).await {
                Ok(()) => {
                    self.exported.fetch_add(calls, Ordering::Relaxed);
                    return;
                }
                Err(error) if attempt == TRIES => {
                    tracing::warn!(error, calls, "traces were dropped: the receiver does not take them");
                }
                Err(_) => tokio::time::sleep(WAIT * attempt).await,
            }
        }
        self.dropped.fetch_add(calls, Ordering::Relaxed);
    }

    async fn post(&self, batch: &[CallTrace]) -> Result<(), String> {
        let body = encode(batch).map_err(|error| error.to_string())?;
        let mut request = OutboundRequest::new(Method::POST, self.config.url.clone())
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body);
        request.headers.extend(bearer(self.config.token_file.as_deref())?);
        let answer = self.client.send(request).await.map_err(|error| error.to_string())?;
        match answer.status.is_success() {
            true => Ok(()),
            false => Err(format!("the receiver answered {}", answer.status.as_u16())),
        }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<CallTrace>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TraceSink for TraceExporter {
    fn offer(&self, trace: CallTrace) {
        let length = {
            let mut queue = self.queue();
            if queue.len() < QUEUE {
                queue.push_back(trace);
                queue.len()
            } else {
                drop(queue);
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        if length == BATCH {
            self.full.notify_one();
        }
    }
}

/// `ExportTraceServiceRequest`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Traces<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Resource,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Vec<OtlpSpan<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OtlpSpan<'a> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    name: &'static str,
    /// `SpanKind`: 1 internal, 2 server, 3 client.
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Attribute<'a>>,
    status: Status,
}

/// `Status`: 0 unset, 2 error. The message is a code of the error table.
#[derive(Serialize)]
struct Status {
    code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
}

impl Status {
    fn of(refused: Option<gateway_core::refusal::Code>) -> Self {
        let message = refused.map(gateway_core::refusal::Code::as_str);
        Self { code: if message.is_some() { 2 } else { 0 }, message }
    }
}

fn encode(batch: &[CallTrace]) -> Result<Vec<u8>, serde_json::Error> {
    let mut spans = Vec::with_capacity(batch.iter().map(|call| call.spans.len().saturating_add(1)).sum());
    for call in batch {
        spans.push(root(call));
        spans.extend(call.spans.iter().map(|span| stage(call, span)));
    }
    serde_json::to_vec(&Traces {
        resource_spans: [ResourceSpans {
            resource: Resource::own(),
            scope_spans: [ScopeSpans { scope: Scope::own("mcp_gateway.call"), spans }],
        }],
    })
}

fn root(call: &CallTrace) -> OtlpSpan<'_> {
    let mut attributes = vec![Attribute::text("mcp_gateway.request_id", call.request_id.as_str())];
    if let Some(about) = &call.about {
        attributes.push(Attribute::text("mcp_gateway.environment", about.environment.as_str()));
        attributes.push(Attribute::text("mcp_gateway.server", about.server.as_str()));
        attributes.push(Attribute::text("mcp_gateway.mode", about.mode.word()));
        let named = about.tool.as_ref().map(|tool| Attribute::text("gen_ai.tool.name", tool.as_str()));
        attributes.extend(about.method.map(|method| Attribute::text("mcp.method.name", method)));
        attributes.extend(named);
    }
    OtlpSpan {
        trace_id: call.trace.to_string(),
        span_id: call.root.to_string(),
        trace_state: call.state.as_deref(),
        parent_span_id: call.parent.as_ref().map(SpanId::to_string),
        name: CALL,
        kind: 2,
        start_time_unix_nano: nanos(call.start),
        end_time_unix_nano: nanos(call.end),
        attributes,
        status: Status::of(call.refused),
    }
}

fn stage<'a>(call: &'a CallTrace, span: &Span) -> OtlpSpan<'a> {
    let status = span.status.map(|status| Attribute::number("http.response.status_code", u64::from(status)));
    OtlpSpan {
        trace_id: call.trace.to_string(),
        span_id: span.id.to_string(),
        trace_state: call.state.as_deref(),
        parent_span_id: Some(call.root.to_string()),
        name: span.stage.name(),
        kind: if span.stage == Stage::Upstream { 3 } else { 1 },
        start_time_unix_nano: nanos(span.start),
        end_time_unix_nano: nanos(span.end),
        attributes: status.into_iter().collect(),
        status: Status::of(span.refused),
    }
}

#[cfg(test)]
mod tests {
    use gateway_core::id::{EnvironmentName, RequestId, ServerName, ToolName};
    use gateway_core::manifest::CredentialMode;
    use gateway_core::refusal::Code;
    use gateway_core::time::Timestamp;
    use gateway_core::trace::{About, TraceId};

    use super::*;

    fn call() -> CallTrace {
        CallTrace {
            trace: TraceId::new([0xab; 16]),
            root: SpanId::new([1; 8]),
            parent: Some(SpanId::new([2; 8])),
            state: Some("a=1".into()),
            request_id: RequestId::parse("request-1").unwrap(),
            start: Timestamp::from_micros(1_000_000),
            end: Timestamp::from_micros(1_000_500),
            about: Some(About {
                environment: EnvironmentName::parse("dev").unwrap(),
                server: ServerName::parse("issues").unwrap(),
                tool: Some(ToolName::parse("echo").unwrap()),
                method: Some("tools/call"),
                mode: CredentialMode::ServiceAccount,
            }),
            refused: Some(Code::UpstreamTimeout),
            spans: vec![Span {
                stage: Stage::Upstream,
                id: SpanId::new([3; 8]),
                start: Timestamp::from_micros(1_000_100),
                end: Timestamp::from_micros(1_000_400),
                refused: None,
                status: Some(200),
            }],
        }
    }

    #[test]
    fn spans_are_written_as_the_protocol_spells_them() {
        let body: serde_json::Value = serde_json::from_slice(&encode(&[call()]).unwrap()).unwrap();
        let spans = &body["resourceSpans"][0]["scopeSpans"][0]["spans"];
        let text = |key: &str, value: &str| serde_json::json!({"key": key, "value": {"stringValue": value}});
        assert_eq!(
            spans[0],
            serde_json::json!({
                "traceId": "ab".repeat(16), "spanId": "01".repeat(8), "parentSpanId": "02".repeat(8),
                "traceState": "a=1", "name": "mcp.call", "kind": 2,
                "startTimeUnixNano": "1000000000", "endTimeUnixNano": "1000500000",
                "attributes": [
                    text("mcp_gateway.request_id", "request-1"), text("mcp_gateway.environment", "dev"),
                    text("mcp_gateway.server", "issues"), text("mcp_gateway.mode", "service_account"),
                    text("mcp.method.name", "tools/call"), text("gen_ai.tool.name", "echo"),
                ],
                "status": {"code": 2, "message": "upstream.timeout"},
            })
        );
        assert_eq!(spans[1]["parentSpanId"], spans[0]["spanId"]);
        assert_eq!(spans[1]["kind"], 3);
        let status = serde_json::json!([{"key": "http.response.status_code", "value": {"intValue": "200"}}]);
        assert_eq!(spans[1]["attributes"], status);
        assert_eq!(spans[1]["status"], serde_json::json!({"code": 0}));
    }

    fn exporter() -> TraceExporter {
        let url = "http://127.0.0.1:9/v1/traces".parse().unwrap();
        let config = TracesConfig { url, share: None, ca_file: None, token_file: None, proxy: None };
        TraceExporter::new(config).unwrap()
    }

    #[test]
    fn a_full_queue_drops_the_newest_and_counts_them() {
        let exporter = exporter();
        for _ in 0..QUEUE + 3 {
            exporter.offer(call());
        }
        assert_eq!(exporter.queue().len(), QUEUE);
        assert_eq!(exporter.counted(), (0, 3));
    }

    #[test]
    fn a_share_beyond_bounds_and_a_plain_address_are_told() {
        let mut config = exporter().config;
        assert_eq!(config.problems(), Vec::<String>::new());
        config.share = Some(1.5);
        config.url = "http://collector.internal/v1/traces".parse().unwrap();
        assert_eq!(config.problems().len(), 2);
        config.share = Some(f64::NAN);
        assert_eq!(config.problems().len(), 2);
    }
}
