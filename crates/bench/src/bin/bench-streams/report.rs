//! What a run comes to.

use std::time::Duration;

use gateway_bench::latency::{micros, percentile};
use serde::Serialize;

/// The figures of one target. Memory is of all its processes, in KiB.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Streams that were open at once.
    pub(crate) streams: usize,
    /// What went wrong; at most ten of it.
    pub(crate) failures: Vec<String>,
    /// Streams that ended early.
    pub(crate) early_ends: u64,
    /// Heartbeats that arrived.
    pub(crate) comments: u64,
    /// Before the first of the streams, after a few others.
    pub(crate) rss_before_kib: u64,
    /// With all streams open.
    pub(crate) rss_open_kib: u64,
    /// The same after events on all of them.
    pub(crate) rss_used_kib: u64,
    /// What a stream needs: the most there ever was with all of them open, less what there was before.
    pub(crate) kib_per_stream: f64,
    /// From the first stream to the last one's first event.
    pub(crate) open_seconds: f64,
    /// Opening one stream, its first event included; the others under way at the same time.
    pub(crate) open: Latency,
    /// An event to one stream.
    pub(crate) event: Latency,
    /// An event to all streams at once.
    pub(crate) broadcast: Latency,
    /// CPU time while nothing is sent, in milliseconds a second.
    pub(crate) idle_cpu_millis_per_second: f64,
    /// Streams flooded while their clients did not read.
    pub(crate) flooded: usize,
    /// Bytes that the upstream could send on each of them before it was held back.
    pub(crate) flood_bytes_each: u64,
    /// Growth of memory for each of them.
    pub(crate) flood_kib_each: f64,
    /// An event to one other stream meanwhile.
    pub(crate) event_in_flood: Latency,
    /// From the clients' leaving to the last stream's end at the upstream.
    pub(crate) close_seconds: f64,
    /// The least within ten seconds after all streams ended.
    pub(crate) rss_after_kib: u64,
    /// With as many streams open again.
    pub(crate) rss_again_kib: u64,
}

/// Microseconds.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Latency {
    p50: f64,
    p99: f64,
    max: f64,
}

impl Latency {
    pub(crate) fn of(mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        let at = |percent| micros(percentile(&latencies, percent));
        Self { p50: at(50), p99: at(99), max: at(100) }
    }
}
