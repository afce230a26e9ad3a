//! A closed set of figures in Prometheus text format 0.0.4. Labels come from enums only.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use gateway_core::refusal::Code;

/// Upper bounds of the duration histogram, in microseconds.
const BOUNDS: [u64; 10] = [500, 1_000, 2_500, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 10_000_000];

/// All counters of the data path.
#[derive(Debug)]
pub struct Metrics {
    calls: AtomicU64,
    redactions: AtomicU64,
    unidentified: AtomicU64,
    refusals: Vec<AtomicU64>,
    buckets: [AtomicU64; BOUNDS.len()],
    duration_micros: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            calls: AtomicU64::new(0),
            redactions: AtomicU64::new(0),
            unidentified: AtomicU64::new(0),
            refusals: Code::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            duration_micros: AtomicU64::new(0),
        }
    }
}

impl Metrics {
    /// Counts a finished use of a credential.
    pub fn finished(&self, micros: u64, redactions: u64) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.redactions.fetch_add(redactions, Ordering::Relaxed);
        self.duration_micros.fetch_add(micros, Ordering::Relaxed);
        if let Some(bucket) = BOUNDS.iter().zip(&self.buckets).find(|(bound, _)| micros <= **bound) {
            bucket.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a refusal.
    pub fn refused(&self, code: Code) {
        if let Some((_, counter)) = Code::ALL.iter().zip(&self.refusals).find(|(known, _)| **known == code) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a refusal of a caller that proved no identity, to be recorded in sum.
    pub fn refused_unidentified(&self) {
        self.unidentified.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the number of such refusals since the last time.
    pub fn take_unidentified(&self) -> u64 {
        self.unidentified.swap(0, Ordering::Relaxed)
    }

    /// Renders all figures; `open` is calls and streams under way, `sessions` the open legacy sessions.
    pub fn render(&self, open: (u64, u64), sessions: usize) -> String {
        let mut text = String::new();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "# TYPE mcp_gateway_calls_total counter\nmcp_gateway_calls_total {}",
            read(&self.calls)
        );
        let _ = writeln!(
            text,
            "# TYPE mcp_gateway_redactions_total counter\nmcp_gateway_redactions_total {}",
            read(&self.redactions)
        );
        let _ = writeln!(text, "# TYPE mcp_gateway_refusals_total counter");
        for (code, counter) in Code::ALL.iter().zip(&self.refusals) {
            if read(counter) > 0 {
                let _ = writeln!(text, "mcp_gateway_refusals_total{{code=\"{code}\"}} {}", read(counter));
            }
        }
        let _ = writeln!(text, "# TYPE mcp_gateway_call_duration_seconds histogram");
        let mut sum = 0;
        for (bound, counter) in BOUNDS.iter().zip(&self.buckets) {
            sum += read(counter);
            let bound = std::time::Duration::from_micros(*bound).as_secs_f64();
            let _ = writeln!(text, "mcp_gateway_call_duration_seconds_bucket{{le=\"{bound}\"}} {sum}");
        }
        let seconds = std::time::Duration::from_micros(read(&self.duration_micros)).as_secs_f64();
        let calls = read(&self.calls);
        let _ = writeln!(text, "mcp_gateway_call_duration_seconds_bucket{{le=\"+Inf\"}} {calls}");
        let _ = writeln!(text, "mcp_gateway_call_duration_seconds_sum {seconds}");
        let _ = writeln!(text, "mcp_gateway_call_duration_seconds_count {calls}");
        let _ = writeln!(text, "# TYPE mcp_gateway_open_calls gauge\nmcp_gateway_open_calls {}", open.0);
        let _ = writeln!(text, "# TYPE mcp_gateway_open_streams gauge\nmcp_gateway_open_streams {}", open.1);
        let _ = writeln!(text, "# TYPE mcp_gateway_sessions gauge\nmcp_gateway_sessions {sessions}");
        text
    }
}
