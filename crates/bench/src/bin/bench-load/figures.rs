//! What a run comes to.

use std::time::Duration;

use serde::Serialize;

use crate::phase::Seen;
use crate::process::Usage;

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

/// The smallest value that this many percent of all do not exceed (nearest rank); `sorted` is sorted.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or_default()
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let sorted: Vec<_> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!(percentile(&sorted, 50), Duration::from_micros(100));
        assert_eq!(percentile(&sorted, 99), Duration::from_micros(198));
        assert_eq!(percentile(&sorted, 100), Duration::from_micros(200));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
