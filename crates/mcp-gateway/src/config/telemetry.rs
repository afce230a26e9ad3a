//! `telemetry` in `gateway.yaml`.

use std::path::Path;

use gateway_adapters::traces::TracesConfig;
use serde::Deserialize;

use super::issue::{Findings, IssueCode};
use super::yaml::Node;

/// What the gateway tells a tracing system.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// Where the spans of calls go; absent: none are recorded.
    pub traces: Option<TracesConfig>,
}

impl TelemetryConfig {
    pub(super) fn judge(mut self, document: &Node, directory: &Path, findings: &mut Findings) -> Self {
        if let Some(traces) = &mut self.traces {
            for problem in traces.problems() {
                let (field, message) = problem.split_once(": ").unwrap_or(("", &problem));
                let place = document.place_of(&format!("telemetry.traces.{field}"));
                findings.add(place, IssueCode::InvalidValue, format!("`{field}`: {message}"));
            }
            traces.rebase(directory);
        }
        self
    }
}
