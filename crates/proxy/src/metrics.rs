//! What the data path counts. The set of figures is closed: `gateway_core::figures`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gateway_core::figures::{Exposition, Figure};
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
    pub fn render(&self, open: (u64, u64), sessions: usize) -> Exposition {
        let mut all = Exposition::default();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        all.value(Figure::Calls, read(&self.calls));
        all.value(Figure::Redactions, read(&self.redactions));
        let mut refusals = all.figure(Figure::Refusals);
        for (code, counter) in Code::ALL.iter().zip(&self.refusals).filter(|(_, counter)| read(counter) > 0) {
            refusals.value(&[code.as_str()], read(counter));
        }
        let mut duration = all.figure(Figure::CallDuration);
        let mut sum = 0;
        for (bound, counter) in BOUNDS.iter().zip(&self.buckets) {
            sum += read(counter);
            duration.bucket(&Duration::from_micros(*bound).as_secs_f64().to_string(), sum);
        }
        // Counted after the bucket it may be in: never less than the sum of the buckets.
        let calls = read(&self.calls).max(sum);
        duration.bucket("+Inf", calls);
        duration.sum_and_count(Duration::from_micros(read(&self.duration_micros)).as_secs_f64(), calls);
        all.value(Figure::OpenCalls, open.0);
        all.value(Figure::OpenStreams, open.1);
        all.value(Figure::Sessions, sessions);
        all
    }
}
