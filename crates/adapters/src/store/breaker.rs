//! Leaves a store alone that does not answer, or that asks to be left alone.
//!
//! After a few failures in a row callers are refused at once for a pause that doubles from one to the
//! next, jittered so that replicas do not come back together. Then one caller tries; what it finds counts
//! for all. A throttled store is left alone for as long as it says.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::lease::SecretVersion;
use gateway_core::ports::{SecretStore, StoreError, StoreErrorKind, StoreFigures};
use gateway_core::reference::ResolvedReference;
use gateway_core::time::{Clock, Timestamp};

/// The breaker's numbers.
#[derive(Clone, Copy, Debug)]
pub struct BreakerLimits {
    /// How many failures in a row it takes.
    pub failures: u32,
    /// The first pause; each next one is twice as long. At least half of a pause is kept.
    pub pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// The longest that a throttled store is left alone, whatever it says.
    pub longest_throttle: Duration,
}

impl Default for BreakerLimits {
    fn default() -> Self {
        Self {
            failures: 5,
            pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(8),
            longest_throttle: Duration::from_secs(60),
        }
    }
}

/// A store that is spared while it does not answer.
pub struct Breaker {
    inner: Arc<dyn SecretStore>,
    limits: BreakerLimits,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Where the jitter comes from: it must differ between replicas, not be unpredictable.
    jitter: RandomState,
}

#[derive(Default)]
struct State {
    /// Failures in a row.
    failures: u32,
    /// Pauses in a row.
    pauses: u32,
    /// The pause that holds, or that the next caller ends.
    rest: Option<Rest>,
    /// Whether somebody is trying after a pause.
    trial: bool,
    /// Requests so far, and those that brought nothing.
    counted: (u64, u64),
    /// When it last answered.
    answered: Option<Timestamp>,
    /// What went wrong last.
    failed: Option<(StoreErrorKind, Timestamp)>,
}

#[derive(Clone, Copy)]
struct Rest {
    kind: StoreErrorKind,
    since: Timestamp,
    span: Duration,
}

impl Rest {
    /// What is left of it. A clock that was set back ends it, or it could last for ever.
    fn left(&self, now: Timestamp) -> Duration {
        if now < self.since { Duration::ZERO } else { self.span.saturating_sub(now.since(self.since)) }
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("limits", &self.limits).field("inner", &self.inner).finish()
    }
}

impl Breaker {
    /// Puts a breaker in front of the store.
    pub fn new(inner: Arc<dyn SecretStore>, limits: BreakerLimits, clock: Arc<dyn Clock>) -> Self {
        Self { inner, limits, clock, state: Mutex::default(), jitter: RandomState::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a caller through, or says when to come back.
    fn enter(&self) -> Result<Pass<'_>, StoreError> {
        let mut state = self.state();
        let Some(rest) = state.rest else { return Ok(Pass { breaker: self, trial: false }) };
        let left = rest.left(self.clock.now());
        if left.is_zero() && !state.trial {
            state.trial = true;
            return Ok(Pass { breaker: self, trial: true });
        }
        let inside = match rest.kind {
            StoreErrorKind::Throttled => "the store asked to be left alone, and is",
            _ => "the store did not answer several times, and is left alone for a moment",
        };
        let mut error = StoreError::new(rest.kind, inside);
        error.retry_after = Some(left.max(self.limits.pause));
        Err(error)
    }

    fn failed(&self, state: &mut State, trial: bool) {
        state.failures = state.failures.saturating_add(1);
        // Calls that were under way when the pause began do not lengthen it.
        if trial || (state.failures >= self.limits.failures && state.rest.is_none()) {
            let doubled = 1_u32.checked_shl(state.pauses.min(16)).unwrap_or(1);
            let whole = self.limits.pause.saturating_mul(doubled).min(self.limits.longest_pause);
            state.pauses = state.pauses.saturating_add(1);
            let since = self.clock.now();
            let span = whole.mul_f64(0.5 + 0.5 * self.fraction(since));
            state.rest = Some(Rest { kind: StoreErrorKind::Unavailable, since, span });
            tracing::warn!(pause_ms = span.as_millis(), "a store does not answer and is left alone");
        }
    }

    fn throttled(&self, state: &mut State, wanted: Option<Duration>) {
        let since = self.clock.now();
        let wanted = wanted.unwrap_or(self.limits.pause).min(self.limits.longest_throttle);
        // Never earlier than it says; up to a tenth later, so that not all replicas come at once.
        let span = wanted.mul_f64(1.0 + 0.1 * self.fraction(since));
        state.rest = Some(Rest { kind: StoreErrorKind::Throttled, since, span });
    }

    /// Remembers how an attempt went, for whoever looks after the store.
    fn remember<T>(&self, outcome: &Result<T, StoreError>) {
        let now = self.clock.now();
        let mut state = self.state();
        match outcome {
            Ok(_) => state.answered = Some(now),
            Err(error) => {
                if !matches!(error.kind, StoreErrorKind::Unavailable | StoreErrorKind::Timeout) {
                    state.answered = Some(now);
                }
                state.failed = Some((error.kind, now));
            }
        }
    }

    /// From 0 to 1.
    fn fraction(&self, now: Timestamp) -> f64 {
        let drawn = u16::try_from(self.jitter.hash_one(now.micros()) & 0xffff).unwrap_or(0);
        f64::from(drawn) / f64::from(u16::MAX)
    }
}

/// A caller on its way to the store.
struct Pass<'a> {
    breaker: &'a Breaker,
    trial: bool,
}

impl Pass<'_> {
    fn came_back<T>(self, outcome: &Result<T, StoreError>) {
        let mut state = self.breaker.state();
        match outcome {
            Err(StoreError { kind: StoreErrorKind::Unavailable | StoreErrorKind::Timeout, .. }) => {
                self.breaker.failed(&mut state, self.trial);
            }
            Err(StoreError { kind: StoreErrorKind::Throttled, retry_after, .. }) => {
                self.breaker.throttled(&mut state, *retry_after);
            }
            // It answered, if only that there is nothing.
            Ok(_) | Err(_) => {
                let trial = state.trial;
                let State { counted, answered, failed, .. } = *state;
                *state = State { trial, counted, answered, failed, ..State::default() };
            }
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        // Also where the caller went away without an outcome: then the next one tries.
        if self.trial {
            self.breaker.state().trial = false;
        }
    }
}

#[async_trait]
impl SecretStore for Breaker {
    async fn fetch(&self, reference: &ResolvedReference) -> Result<Arc<SecretVersion>, StoreError> {
        let pass = self.enter()?;
        let outcome = self.inner.fetch(reference).await;
        pass.came_back(&outcome);
        self.remember(&outcome);
        let mut state = self.state();
        state.counted.0 = state.counted.0.saturating_add(1);
        state.counted.1 = state.counted.1.saturating_add(u64::from(outcome.is_err()));
        drop(state);
        outcome
    }

    fn figures(&self) -> StoreFigures {
        let state = self.state();
        let (fetches, failures) = state.counted;
        let State { answered, failed, .. } = *state;
        StoreFigures { hits: 0, fetches, failures, resting: state.rest.is_some(), answered, failed }
    }

    /// Goes through whatever the state: somebody wants to know. A store that answers is spared no longer.
    async fn probe(&self) -> Result<(), StoreError> {
        let outcome = self.inner.probe().await;
        self.remember(&outcome);
        if outcome.is_ok() {
            Pass { breaker: self, trial: false }.came_back(&outcome);
        }
        outcome
    }

    fn keeps_versions(&self) -> bool {
        self.inner.keeps_versions()
    }
}

#[cfg(test)]
mod tests;
