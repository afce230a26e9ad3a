//! OpenTelemetry logs over HTTP in JSON (OTLP 1.x, "OTLP/HTTP"): one log record for each line of the chain.
//!
//! A record's body is the event's exact bytes and its attributes carry the rest of its line, so that the
//! chain can be put together again and verified.

use std::borrow::Cow;

use async_trait::async_trait;
use gateway_core::audit::chain::Record;
use gateway_core::audit::{ChainId, Decision, Event, SignedCheckpoint};
use http::{HeaderValue, Method, header};
use serde::{Deserialize, Serialize};

use super::config::HttpSinkConfig;
use super::transport::{Failure, Transport, bearer};
use super::webhook::client;
use crate::audit::cursor::Batch;
use crate::https::{OutboundBuildError, OutboundClient, OutboundRequest};
use crate::otlp::{AnyValue, Attribute, Resource, Scope, nanos};

#[derive(Debug)]
pub(super) struct Otlp {
    client: OutboundClient,
    config: HttpSinkConfig,
}

impl Otlp {
    pub(super) fn new(config: HttpSinkConfig) -> Result<Self, OutboundBuildError> {
        Ok(Self { client: client(&config)?, config })
    }
}

#[async_trait]
impl Transport for Otlp {
    async fn send(&self, chain: ChainId, batch: &Batch) -> Result<(), Failure> {
        let mut request = OutboundRequest::new(Method::POST, self.config.url.clone())
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(encode(chain, batch).map_err(Failure::new)?);
        request.headers.extend(bearer(self.config.token_file.as_deref()).map_err(Failure::new)?);
        let answer = self.client.send(request).await.map_err(Failure::new)?;
        Failure::of(&answer)?;
        match refused(&answer.body) {
            0 => Ok(()),
            // Evidence is not dropped because a receiver drops it: the sink stands still and says so.
            count => Err(Failure::new(format!("the receiver took the request and refused {count} records"))),
        }
    }
}

/// `ExportLogsServiceResponse`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    partial_success: Option<PartialSuccess>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PartialSuccess {
    /// A 64-bit integer, which JSON carries as text; receivers write numbers too.
    rejected_log_records: serde_json::Value,
}

/// How many records the answer says were refused.
fn refused(body: &[u8]) -> u64 {
    let answer: Answer = serde_json::from_slice(body).unwrap_or_default();
    let count = answer.partial_success.unwrap_or_default().rejected_log_records;
    count.as_u64().or_else(|| count.as_str()?.parse().ok()).unwrap_or(0)
}

/// `ExportLogsServiceRequest`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Logs<'a> {
    resource_logs: [ResourceLogs<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs<'a> {
    resource: Resource,
    scope_logs: [ScopeLogs<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs<'a> {
    scope: Scope,
    log_records: Vec<LogRecord<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogRecord<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    time_unix_nano: Option<String>,
    severity_number: u8,
    severity_text: &'static str,
    event_name: Cow<'static, str>,
    body: AnyValue<'a>,
    attributes: Vec<Attribute<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

fn encode(chain: ChainId, batch: &Batch) -> Result<Vec<u8>, serde_json::Error> {
    let log_records = batch.lines().map(|line| record(chain, line)).collect();
    serde_json::to_vec(&Logs {
        resource_logs: [ResourceLogs {
            resource: Resource::own(),
            scope_logs: [ScopeLogs { scope: Scope::own("mcp_gateway.audit"), log_records }],
        }],
    })
}

fn record(chain: ChainId, line: &[u8]) -> LogRecord<'_> {
    let attributes = vec![Attribute::text("mcp_gateway.audit.chain", chain.to_string())];
    let Some(record) = Record::parse(line) else { return other(line, attributes) };
    let mut log = LogRecord {
        time_unix_nano: None,
        severity_number: 9,
        severity_text: "INFO",
        event_name: Cow::Borrowed("mcp_gateway.audit.record"),
        body: AnyValue::StringValue(String::from_utf8_lossy(record.event)),
        attributes,
        trace_id: None,
    };
    log.attributes.push(Attribute::number("mcp_gateway.audit.sequence", record.sequence.0));
    log.attributes.push(Attribute::text("mcp_gateway.audit.prev", record.prev.to_string()));
    log.attributes.push(Attribute::text("mcp_gateway.audit.hash", record.hash.to_string()));
    // An event of a later version's has its place in the chain all the same.
    if let Ok(event) = record.event() {
        describe(&event, &mut log);
    }
    log
}

/// The closed set of attributes; everything else is in the body.
fn describe(event: &Event, log: &mut LogRecord<'_>) {
    log.time_unix_nano = Some(nanos(event.time));
    if event.decision == Some(Decision::Deny) {
        (log.severity_number, log.severity_text) = (13, "WARN");
    }
    log.trace_id.clone_from(&event.trace_id);
    let kind = serde_json::to_value(event.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned));
    let said = [
        ("mcp_gateway.audit.kind", kind),
        ("mcp_gateway.request_id", event.request_id.as_ref().map(ToString::to_string)),
        ("mcp_gateway.environment", event.environment.as_ref().map(ToString::to_string)),
        ("mcp_gateway.server", event.server.as_ref().map(ToString::to_string)),
        ("mcp_gateway.binding", event.binding.as_ref().map(ToString::to_string)),
        ("mcp_gateway.reason", event.reason.clone()),
    ];
    let said = said.into_iter().filter_map(|(name, value)| Some(Attribute::text(name, value?)));
    log.attributes.extend(said);
}

/// A segment's header or a checkpoint, whole.
fn other<'a>(line: &'a [u8], attributes: Vec<Attribute<'a>>) -> LogRecord<'a> {
    let checkpoint: Option<SignedCheckpoint> = serde_json::from_slice(line).ok();
    let name =
        if checkpoint.is_some() { "mcp_gateway.audit.checkpoint" } else { "mcp_gateway.audit.segment" };
    LogRecord {
        time_unix_nano: checkpoint.map(|signed| nanos(signed.checkpoint.time)),
        severity_number: 9,
        severity_text: "INFO",
        event_name: Cow::Borrowed(name),
        body: AnyValue::StringValue(String::from_utf8_lossy(line)),
        attributes,
        trace_id: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_populated_partial_success_refuses_records() {
        for body in [
            "",
            "{}",
            "nonsense",
            r#"{"partialSuccess":{}}"#,
            r#"{"partialSuccess":{"errorMessage":"slow"}}"#,
        ] {
            assert_eq!(refused(body.as_bytes()), 0, "{body}");
        }
        assert_eq!(refused(br#"{"partialSuccess":{"rejectedLogRecords":"3"}}"#), 3);
        assert_eq!(refused(br#"{"partialSuccess":{"rejectedLogRecords":2}}"#), 2);
    }
}
