//! Looks after the reviews of bindings, beside the calls: reminds people once, and switches off what nobody reviewed
//! where its environment says so.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gateway_core::id::EnvironmentName;
use gateway_core::lifecycle::review_round;
use gateway_core::ports::StateError;
use gateway_core::review::Steadiness;
use tokio::time::{Instant, MissedTickBehavior};

use crate::context::ControlContext;
use crate::problem::Problem;
use crate::routes::review::settle;

/// How often it is looked what is due.
const TICK: Duration = Duration::from_secs(1);
/// For how long the clock must have gone as time does before anything is switched off.
const STEADY: Duration = Duration::from_secs(10);

/// Looks after the reviews of every binding that this process serves.
#[derive(Debug)]
pub struct ReviewKeeper {
    context: Arc<ControlContext>,
    started: Instant,
    steadiness: Mutex<Steadiness>,
}

impl ReviewKeeper {
    /// A keeper that has not looked at the clock yet.
    pub fn new(context: Arc<ControlContext>) -> Self {
        Self { context, started: Instant::now(), steadiness: Mutex::default() }
    }

    /// Keeps at it for ever.
    pub async fn keep(self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.round(self.started.elapsed()).await;
        }
    }

    /// Everything that is due now, in a process that has run for this long.
    pub(crate) async fn round(&self, running: Duration) {
        let now = self.context.now();
        let steady = {
            let mut steadiness = self.steadiness.lock().unwrap_or_else(PoisonError::into_inner);
            steadiness.look(now, running) >= STEADY
        };
        let snapshot = self.context.snapshots.current();
        if !snapshot.reviews().iter().any(|next| next.wanted(now, steady).is_something()) {
            return;
        }
        let served = |environment: &EnvironmentName| snapshot.environment(environment.as_str()).is_some();
        if let Err(problem) = self.take_over(served, steady).await {
            tracing::warn!(
                code = problem.code(),
                "not everything that reviews ask for was done; the next round goes on"
            );
        }
    }

    async fn take_over(
        &self,
        served: impl Fn(&EnvironmentName) -> bool + Send,
        steady: bool,
    ) -> Result<(), Problem> {
        let context = &*self.context;
        let round = {
            let state = context.state.load().await?;
            review_round(&state, served, steady, context.now())?
        };
        let Some(round) = round else { return Ok(()) };
        let epoch = match context.state.commit(round.change.clone()).await {
            Ok(epoch) => epoch,
            // Another replica was faster: what it told is told.
            Err(StateError::Conflict) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if round.off.is_empty() {
            return context.publish(epoch).await;
        }
        settle(context, &round, epoch).await
    }
}
