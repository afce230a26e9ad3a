//! The closed set of metrics, and their text in the Prometheus format 0.0.4. `docs/metrics.md` is written
//! from the table.
//!
//! Labels hold codes and words of ours, or names of the configuration. Nothing that a caller wrote becomes
//! a label.

use std::fmt::{self, Write as _};

/// What a figure is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FigureKind {
    /// Only grows, and starts from zero with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets.
    Histogram,
}

impl FigureKind {
    /// Its word in the format.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct FigureRow {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: FigureKind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

macro_rules! figures {
    ($($variant:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        /// A metric.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Figure {
            $(#[doc = $help] $variant,)+
        }

        impl Figure {
            /// All of them, in the order of the page.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its row.
            pub const fn row(self) -> FigureRow {
                match self {
                    $(Self::$variant => FigureRow {
                        name: $name,
                        kind: FigureKind::$kind,
                        labels: &[$($label),*],
                        help: $help,
                    },)+
                }
            }
        }
    };
}

figures! {
    Calls: Counter "mcp_gateway_calls_total" [] "Uses of a credential that have ended, however they ended.";
    CallDuration: Histogram "mcp_gateway_call_duration_seconds" [] "From a request's head to the end of its use, the server's time included.";
    Redactions: Counter "mcp_gateway_redactions_total" [] "Values that were taken out of answers.";
    Refusals: Counter "mcp_gateway_refusals_total" ["code"] "Refused calls, by the code of the error table.";
    OpenCalls: Gauge "mcp_gateway_open_calls" [] "Calls under way.";
    OpenStreams: Gauge "mcp_gateway_open_streams" [] "Streams under way.";
    Sessions: Gauge "mcp_gateway_sessions" [] "Open sessions of 2025-11-25 and older.";
    Epoch: Gauge "mcp_gateway_epoch" [] "The state by which this replica decides.";
    StateAge: Gauge "mcp_gateway_state_age_seconds" [] "Since when the state was last seen to be current.";
    StoreHits: Counter "mcp_gateway_store_cache_hits_total" ["store"] "Values that were served from memory, by the store's name in the configuration.";
    StoreFetches: Counter "mcp_gateway_store_fetches_total" ["store"] "Requests to the store.";
    StoreFailures: Counter "mcp_gateway_store_failures_total" ["store"] "Requests to the store that brought no value.";
    StoreResting: Gauge "mcp_gateway_store_resting" ["store"] "1 while the store is left alone because it did not answer or asked for it.";
    Replicas: Gauge "mcp_gateway_replicas" [] "Replicas on this state that may serve, this one included.";
    Locks: Gauge "mcp_gateway_locks" [] "Locks that stand.";
    RotationsOverdue: Gauge "mcp_gateway_rotations_overdue" [] "Bindings whose secret is due for a rotation.";
    RotationsHeld: Gauge "mcp_gateway_rotations_held" [] "Bindings that stay at a version of their secret because the server refused a newer one.";
    VersionsDraining: Gauge "mcp_gateway_secret_versions_draining" [] "Replaced versions of secrets that may still be used.";
    ReviewsDue: Gauge "mcp_gateway_reviews_due" [] "Bindings whose review is near its end.";
    ReviewsOverdue: Gauge "mcp_gateway_reviews_overdue" [] "Bindings whose review is late, those included that were switched off for it.";
    AuditRecords: Gauge "mcp_gateway_audit_sequence" [] "The number of the last record of the evidence.";
    AuditBytes: Gauge "mcp_gateway_audit_bytes" [] "Bytes in all segments of the evidence.";
    AuditFailed: Gauge "mcp_gateway_audit_failed" [] "1 while the evidence cannot be written and calls stop.";
    AuditDiskLow: Gauge "mcp_gateway_audit_disk_low" [] "1 while less than the reserve is free.";
    AuditDurability: Gauge "mcp_gateway_audit_durability_info" ["durability"] "1, with what a written record survives.";
    SinkSequence: Gauge "mcp_gateway_audit_sink_sequence" ["sink", "kind"] "The last record that the sink has taken, by the sink's name in the configuration.";
    SinkLag: Gauge "mcp_gateway_audit_sink_lag_records" ["sink", "kind"] "Records that the sink does not have yet.";
    SinkFailures: Gauge "mcp_gateway_audit_sink_failures" ["sink", "kind"] "Failures of the sink since its last success.";
    TracesExported: Counter "mcp_gateway_traces_exported_total" [] "Traces of calls that the receiver has taken.";
    TracesDropped: Counter "mcp_gateway_traces_dropped_total" [] "Traces of calls that were dropped because the queue was full or the receiver took none.";
    Cpu: Counter "process_cpu_seconds_total" [] "Processor time of the process, user and system.";
    Memory: Gauge "process_resident_memory_bytes" [] "Resident memory of the process.";
    Files: Gauge "process_open_fds" [] "Open file descriptors of the process.";
    Threads: Gauge "process_threads" [] "Threads of the process.";
}

/// The text of all figures, one after the other.
#[derive(Debug, Default)]
pub struct Exposition(String);

/// The samples of one figure.
#[derive(Debug)]
pub struct Samples<'a> {
    text: &'a mut String,
    row: FigureRow,
}

impl Exposition {
    /// Begins a figure; its samples follow. Each figure comes once.
    pub fn figure(&mut self, figure: Figure) -> Samples<'_> {
        let row = figure.row();
        // Writing into a string cannot fail.
        let _ = writeln!(self.0, "# HELP {} {}\n# TYPE {} {}", row.name, row.help, row.name, row.kind.word());
        Samples { text: &mut self.0, row }
    }

    /// A figure without labels.
    pub fn value(&mut self, figure: Figure, value: impl fmt::Display) {
        self.figure(figure).value(&[], value);
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.0
    }
}

impl Samples<'_> {
    /// One sample, with a value for each label of the row, in the row's order.
    pub fn value(&mut self, labels: &[&str], value: impl fmt::Display) {
        self.line("", self.row.labels, labels, value);
    }

    /// One bucket of a histogram: how many were at most `bound`.
    pub fn bucket(&mut self, bound: &str, count: u64) {
        self.line("_bucket", &["le"], &[bound], count);
    }

    /// The end of a histogram.
    pub fn sum_and_count(&mut self, sum: f64, count: u64) {
        self.line("_sum", &[], &[], sum);
        self.line("_count", &[], &[], count);
    }

    fn line(&mut self, suffix: &str, names: &[&str], labels: &[&str], value: impl fmt::Display) {
        let mut said = String::new();
        for (name, label) in names.iter().zip(labels) {
            let comma = if said.is_empty() { "" } else { "," };
            let label = label.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
            let _ = write!(said, "{comma}{name}=\"{label}\"");
        }
        let said = if said.is_empty() { said } else { format!("{{{said}}}") };
        let _ = writeln!(self.text, "{}{suffix}{said} {value}", self.row.name);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const INTRODUCTION: &str = "# Metrics

`GET /metrics` of the control listener, without a token, in the Prometheus text format 0.0.4. This page is written from the
table in `crates/core/src/figures.rs`; a test keeps both the same, and nothing outside the table can be exposed.

```yaml
scrape_configs:
  - job_name: mcp-gateway
    static_configs: [{ targets: [\"gateway.internal:8081\"] }]
```

Labels hold codes and words of the gateway's own, or names that `gateway.yaml` gives to stores and to at most eight sinks.
Nothing that a caller wrote becomes a label, so nobody can make series. Who called what is in the [audit](audit.md).

| name | type | labels | what it says |
| --- | --- | --- | --- |
";

    const END: &str = "
Worth an alarm: `mcp_gateway_audit_failed`, `mcp_gateway_audit_disk_low` and `mcp_gateway_store_resting` at 1;
`mcp_gateway_audit_sink_lag_records` that grows; `mcp_gateway_state_age_seconds` near `staleness_production_seconds`;
fewer `mcp_gateway_replicas` than there should be; `mcp_gateway_rotations_held`, `mcp_gateway_rotations_overdue` and
`mcp_gateway_reviews_overdue` above 0.
";

    fn page() -> String {
        let mut page = INTRODUCTION.to_owned();
        for row in Figure::ALL.iter().map(|figure| figure.row()) {
            let labels: Vec<String> = row.labels.iter().map(|label| format!("`{label}`")).collect();
            let labels = labels.join(", ");
            writeln!(page, "| `{}` | {} | {labels} | {} |", row.name, row.kind.word(), row.help).unwrap();
        }
        page + END
    }

    #[test]
    fn the_metrics_page_is_the_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
        let page = page();
        if std::fs::read_to_string(&path).unwrap_or_default() != page {
            std::fs::write(&path, page).unwrap();
            panic!("docs/metrics.md differed from the table and was written anew: look at it and commit it");
        }
    }

    #[test]
    fn names_are_unique_and_say_their_kind_and_unit() {
        let mut names: Vec<&str> = Figure::ALL.iter().map(|figure| figure.row().name).collect();
        for row in Figure::ALL.iter().map(|figure| figure.row()) {
            assert_eq!(row.kind == FigureKind::Counter, row.name.ends_with("_total"), "{}", row.name);
            assert!(row.help.ends_with('.') && !row.help.contains(['\n', '|', '\\']), "{}", row.name);
            assert!(row.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", row.name);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Figure::ALL.len());
    }

    #[test]
    fn samples_follow_their_help_and_type_and_labels_are_escaped() {
        let mut all = Exposition::default();
        all.figure(Figure::StoreHits).value(&["a\"b\\c\n"], 3_u64);
        let mut duration = all.figure(Figure::CallDuration);
        duration.bucket("0.5", 1);
        duration.bucket("+Inf", 2);
        duration.sum_and_count(1.5, 2);
        let text = all.into_text();
        let hits = "mcp_gateway_store_cache_hits_total";
        assert!(
            text.contains(&format!("# TYPE {hits} counter\n{hits}{{store=\"a\\\"b\\\\c\\n\"}} 3\n")),
            "{text}"
        );
        let name = "mcp_gateway_call_duration_seconds";
        let expected = format!(
            "# TYPE {name} histogram\n{name}_bucket{{le=\"0.5\"}} 1\n{name}_bucket{{le=\"+Inf\"}} 2\n{name}_sum 1.5\n{name}_count 2\n"
        );
        assert!(text.ends_with(&expected), "{text}");
    }
}
