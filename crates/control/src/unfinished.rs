//! Revocations that a crash, or an answer of "not in time", left without their document: carried to their end.

use std::sync::Arc;
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
/// How many are looked at in a round.
const BATCH: u32 = 64;

/// Carries revocations to their end whose process died, and writes their documents.
#[derive(Debug)]
pub struct RevocationFinisher {
    context: Arc<ControlContext>,
    /// Whether no other process can be at one.
    alone: bool,
}

impl RevocationFinisher {
    /// `alone` says that the state can have no other replica: what is not under way here is under way nowhere.
    pub const fn new(context: Arc<ControlContext>, alone: bool) -> Self {
        Self { context, alone }
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
        let asked = match self.context.documents.records.asked(BATCH).await {
            Ok(asked) => asked,
            Err(error) => {
                tracing::warn!(%error, "revocations without a document could not be looked for");
                return;
            }
        };
        let now = self.context.now();
        for request in asked.iter().filter(|request| self.is_left(request, now)) {
            match Box::pin(finish(&self.context, request)).await {
                Ok(()) => {
                    tracing::info!(revocation = %request.id, "a revocation was carried to its end after its process was gone")
                }
                Err(problem) => {
                    tracing::error!(revocation = %request.id, code = problem.code(), "a revocation is not at its end yet; it is tried again");
                }
            }
        }
    }

    /// Another replica has its time by the clock they share; one that was set back since ends that time.
    fn is_left(&self, request: &RevocationRequest, now: Timestamp) -> bool {
        let elsewhere = !self.alone && request.requested_at.plus(PATIENCE).holds_at(now, PATIENCE);
        !elsewhere && !self.context.revoking.has(&request.id)
    }
}
