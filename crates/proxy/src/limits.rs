//! Rate and concurrency of bindings and agents, per process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gateway_core::manifest::Limits;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::time::Timestamp;

/// All counters, by what they limit.
#[derive(Debug, Default)]
pub struct Limiter {
    counters: Mutex<HashMap<String, Arc<Counter>>>,
}

#[derive(Debug)]
struct Counter {
    concurrent: AtomicU32,
    bucket: Mutex<Bucket>,
}

/// A token bucket as large as one minute's calls. `filled` is in millionths of a call.
#[derive(Debug)]
struct Bucket {
    filled: u64,
    at: Timestamp,
}

/// A place among the concurrent calls; dropped with the last byte.
#[derive(Debug)]
pub struct Place(Arc<Counter>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.concurrent.fetch_sub(1, Ordering::AcqRel);
    }
}

const CALL: u64 = 1_000_000;

impl Limiter {
    /// Takes one call out of the allowance of `subject`, for example `binding dev/x` or `agent y`.
    ///
    /// # Errors
    /// [`Code::LimitRate`] with the time until the next call, or [`Code::LimitConcurrency`].
    pub fn take(&self, subject: &str, limits: Limits, now: Timestamp) -> Result<Place, Refusal> {
        let counter = self.counter(subject, limits, now);
        let running = counter.concurrent.fetch_add(1, Ordering::AcqRel);
        let place = Place(counter);
        if limits.concurrent_calls.is_some_and(|most| running >= most) {
            return Err(Code::LimitConcurrency.into());
        }
        if let Some(per_minute) = limits.calls_per_minute {
            place.0.take_one(per_minute, now)?;
        }
        Ok(place)
    }

    fn counter(&self, subject: &str, limits: Limits, now: Timestamp) -> Arc<Counter> {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = counters.get(subject) {
            return Arc::clone(counter);
        }
        let filled = u64::from(limits.calls_per_minute.unwrap_or(0)).saturating_mul(CALL);
        let counter = Arc::new(Counter {
            concurrent: AtomicU32::new(0),
            bucket: Mutex::new(Bucket { filled, at: now }),
        });
        counters.insert(subject.to_owned(), Arc::clone(&counter));
        counter
    }
}

impl Counter {
    fn take_one(&self, per_minute: u32, now: Timestamp) -> Result<(), Refusal> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let size = u64::from(per_minute).saturating_mul(CALL);
        let waited = u64::try_from(now.since(bucket.at).as_micros()).unwrap_or(u64::MAX);
        // A minute has 60 million microseconds, and a call is a million parts: divide by 60.
        let refill = waited.saturating_mul(u64::from(per_minute)) / 60;
        bucket.filled = bucket.filled.saturating_add(refill).min(size);
        bucket.at = now;
        if bucket.filled < CALL {
            let missing = CALL.saturating_sub(bucket.filled).saturating_mul(60);
            let wait = Duration::from_micros(missing.div_ceil(u64::from(per_minute.max(1))));
            return Err(Refusal::new(Code::LimitRate).retry_after(wait));
        }
        bucket.filled = bucket.filled.saturating_sub(CALL);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_empties_and_fills_with_time() {
        let limiter = Limiter::default();
        let limits = Limits { calls_per_minute: Some(2), concurrent_calls: None };
        let start = Timestamp::from_seconds(1000);
        assert!(limiter.take("b", limits, start).is_ok());
        assert!(limiter.take("b", limits, start).is_ok());
        let refused = limiter.take("b", limits, start).unwrap_err();
        assert_eq!(refused.code(), Code::LimitRate);
        assert_eq!(refused.retry(), Some(Duration::from_secs(30)));
        assert!(limiter.take("b", limits, start.plus(Duration::from_secs(30))).is_ok());
        assert!(limiter.take("b", limits, start.plus(Duration::from_secs(31))).is_err());
    }

    #[test]
    fn a_place_is_given_back_when_dropped() {
        let limiter = Limiter::default();
        let limits = Limits { calls_per_minute: None, concurrent_calls: Some(1) };
        let now = Timestamp::from_seconds(0);
        let place = limiter.take("b", limits, now).unwrap();
        assert_eq!(limiter.take("b", limits, now).unwrap_err().code(), Code::LimitConcurrency);
        drop(place);
        assert!(limiter.take("b", limits, now).is_ok());
    }
}
