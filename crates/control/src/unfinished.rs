//! Revocations that a crash, or an answer of "not in time", left without their document: carried to their end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway_core::revocation::RevocationRequest;
use gateway_core::time::Timestamp;
use tokio::time::MissedTickBehavior;

use crate::context::ControlContext;
use crate::routes::unfinished::finish;

/// How often it is looked for them.
const LOOKING: Duration = Duration::from_secs(2);
/// How long another replica may take over one: longer than everything that is waited for on the way.
const PATIENCE: Duration = Duration::from_secs(180);
/// How many are looked at in a round, beside those that are waited with.
const BATCH: u32 = 64;
/// How long one is waited with at the most that could not be carried to its end. Each try asks providers again and
/// leaves evidence.
const LONGEST: Duration = Duration::from_secs(300);

/// Carries revocations to their end whose process died, and writes their documents.
#[derive(Debug)]
pub struct RevocationFinisher {
    context: Arc<ControlContext>,
    /// Whether no other process can be at one.
    alone: bool,
    /// Those that could not be carried to their end: how often, and when they are tried again.
    failed: Mutex<BTreeMap<String, (u32, Timestamp)>>,
}

impl RevocationFinisher {
    /// `alone` says that the state can have no other replica: what is not under way here is under way nowhere.
    pub const fn new(context: Arc<ControlContext>, alone: bool) -> Self {
        Self { context, alone, failed: Mutex::new(BTreeMap::new()) }
    }

    fn failed(&self) -> MutexGuard<'_, BTreeMap<String, (u32, Timestamp)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps at it for ever.
    pub async fn keep(self) {
        let mut tick = tokio::time::interval(LOOKING);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.round().await;
        }
    }

    /// Every one that nobody is at.
    pub(crate) async fn round(&self) {
        let waited_with = u32::try_from(self.failed().len()).unwrap_or(u32::MAX);
        let most = BATCH.saturating_add(waited_with);
        let asked = match self.context.documents.records.asked(most).await {
            Ok(asked) => asked,
            Err(error) => {
                tracing::warn!(%error, "revocations without a document could not be looked for");
                return;
            }
        };
        let now = self.context.now();
        self.failed().retain(|id, _| asked.iter().any(|request| request.id == *id));
        for request in asked.iter().filter(|request| self.is_left(request, now)) {
            match Box::pin(finish(&self.context, request)).await {
                Ok(()) => {
                    self.failed().remove(&request.id);
                    tracing::info!(revocation = %request.id, "a revocation was carried to its end after its process was gone")
                }
                Err(problem) => {
                    self.note_failure(&request.id);
                    tracing::error!(revocation = %request.id, code = problem.code(), "a revocation is not at its end yet; it is tried again");
                }
            }
        }
    }

    /// Twice as long after each failure.
    fn note_failure(&self, id: &str) {
        let mut failed = self.failed();
        let (times, again) = failed.entry(id.to_owned()).or_insert((0, Timestamp::from_micros(0)));
        *times = times.saturating_add(1);
        let pause = LOOKING.saturating_mul(2_u32.saturating_pow(times.saturating_sub(1))).min(LONGEST);
        *again = self.context.now().plus(pause);
    }

    /// Another replica has its time by the clock they share; one that was set back since ends that time.
    fn is_left(&self, request: &RevocationRequest, now: Timestamp) -> bool {
        let elsewhere = !self.alone && request.requested_at.plus(PATIENCE).holds_at(now, PATIENCE);
        let waits = self.failed().get(&request.id).is_some_and(|(_, again)| again.holds_at(now, LONGEST));
        !elsewhere && !waits && !self.context.revoking.has(&request.id)
    }
}
