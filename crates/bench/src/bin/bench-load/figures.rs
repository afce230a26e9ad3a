//! What a run comes to.

use std::time::Duration;

use gateway_bench::latency::{micros, percentile};
use gateway_bench::process::Usage;
use serde::Serialize;

use crate::phase::Seen;

/// One run's figures.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Connections, each with one call under way.
    pub(crate) connections: usize,
    /// Calls answered rightly.
    pub(crate) calls: u64,
    /// Calls that failed, the unmeasured ones included.
    pub(crate) failures: u64,
    /// What the first failure was.
    pub(crate) first_failure: Option<String>,
    seconds: f64,
    calls_per_second: f64,
    p50_micros: f64,
    p99_micros: f64,
    max_micros: f64,
    cpu_millis: u64,
    cpu_millis_per_1000: f64,
    rss_kib: u64,
}

impl Report {
    #[expect(clippy::cast_precision_loss, reason = "figures for people; far below 2^53")]
    pub(crate) fn new(
        connections: usize,
        mut seen: Seen,
        elapsed: Duration,
        before: &Usage,
        after: &Usage,
    ) -> Self {
        seen.latencies.sort_unstable();
        let calls = seen.latencies.len() as u64;
        let cpu_millis = after.cpu_millis().saturating_sub(before.cpu_millis());
        let seconds = elapsed.as_secs_f64();
        Self {
            connections,
            calls,
            failures: seen.failures,
            first_failure: seen.first_failure,
            seconds,
            calls_per_second: calls as f64 / seconds.max(f64::MIN_POSITIVE),
            p50_micros: micros(percentile(&seen.latencies, 50)),
            p99_micros: micros(percentile(&seen.latencies, 99)),
            max_micros: micros(percentile(&seen.latencies, 100)),
            cpu_millis,
            cpu_millis_per_1000: cpu_millis as f64 * 1000.0 / calls.max(1) as f64,
            rss_kib: after.rss_kib(),
        }
    }

    /// Adds what went wrong before the measured calls.
    pub(crate) fn with_earlier_failures(mut self, failures: u64, first: Option<String>) -> Self {
        self.failures += failures;
        self.first_failure = first.or(self.first_failure);
        self
    }
}
