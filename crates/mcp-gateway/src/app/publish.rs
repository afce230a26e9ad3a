//! State to snapshot, and outbox to chain: how a committed change comes to decide.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gateway_adapters::audit::AuditLog;
use gateway_core::id::{EnvironmentName, Epoch};
use gateway_core::policy::PolicyCompiler;
use gateway_core::ports::{AuditSink as _, Publisher, Sequence, StateWriter};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::snapshot::Snapshot;
use gateway_proxy::gateway::Gateway;
use tokio::sync::Mutex;

/// How many outbox rows are drained at a time.
const BATCH: u32 = 100;

/// The only path from the state to the data plane.
#[derive(Debug)]
pub(super) struct StatePublisher {
    state: Arc<dyn StateWriter>,
    compiler: Arc<dyn PolicyCompiler>,
    audit: Arc<AuditLog>,
    gateway: Arc<Gateway>,
    served: Vec<EnvironmentName>,
    // One at a time: two drains would write the same rows twice.
    turn: Mutex<()>,
}

impl StatePublisher {
    /// Puts the path together.
    pub(super) fn new(
        state: Arc<dyn StateWriter>,
        compiler: Arc<dyn PolicyCompiler>,
        audit: Arc<AuditLog>,
        gateway: Arc<Gateway>,
        served: Vec<EnvironmentName>,
    ) -> Self {
        Self { state, compiler, audit, gateway, served, turn: Mutex::new(()) }
    }

    /// Follows the state for ever: installs what changed, and confirms that the rest is current.
    pub(super) async fn follow(self: Arc<Self>, floor: Duration) {
        loop {
            let known = self.gateway.world.epoch();
            match self.state.changed(known, floor).await {
                Ok(epoch) if epoch == known => self.gateway.world.confirm(self.gateway.clock.now()),
                Ok(epoch) => {
                    if let Err(refusal) = self.publish(epoch).await {
                        tracing::error!(
                            inside = refusal.inside().unwrap_or(""),
                            "the state could not be taken over"
                        );
                        tokio::time::sleep(floor).await;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the state cannot be read");
                    tokio::time::sleep(floor).await;
                }
            }
        }
    }

    /// Drains what waits in the outbox although the epoch has not moved: evidence of a time when the
    /// log could not be written.
    pub(super) async fn drain_waiting(&self) -> Result<(), Refusal> {
        let _turn = self.turn.lock().await;
        self.drain().await.map(|_| ())
    }

    async fn install(&self, at_least: Epoch) -> Result<(), Refusal> {
        if self.gateway.world.epoch() >= at_least {
            return Ok(());
        }
        let now = self.gateway.clock.now();
        let unavailable = |why: String| Refusal::new(Code::StateStale).because(why);
        let state = self.state.load().await.map_err(|error| unavailable(error.to_string()))?;
        let snapshot = Snapshot::build(&state, &*self.compiler, &self.served)
            .map_err(|error| Refusal::new(Code::Internal).because(error))?;
        if snapshot.epoch < at_least {
            return Err(unavailable("the state read is older than the change".to_owned()));
        }
        self.gateway.world.install(snapshot, now);
        self.gateway.live.wake_all();
        Ok(())
    }

    async fn drain(&self) -> Result<Option<Sequence>, Refusal> {
        let unavailable = |why: String| Refusal::new(Code::AuditUnavailable).because(why);
        let mut last = None;
        loop {
            let waiting = self.state.outbox(BATCH).await.map_err(|error| unavailable(error.to_string()))?;
            if waiting.is_empty() {
                return Ok(last);
            }
            let mut ids = Vec::with_capacity(waiting.len());
            for entry in waiting {
                // A crash between writing the record and striking out its row leaves both.
                last = match self.audit.outbox_sequence(&entry.id) {
                    Some(written) => Some(written),
                    None => {
                        let mut event = entry.event;
                        event.outbox_id = Some(entry.id.clone());
                        // The chain's high-water mark: a restored, older state is seen at the next start.
                        event.epoch = event.epoch.or(Some(self.gateway.world.epoch()));
                        Some(self.audit.record(event).await.map_err(|error| unavailable(error.to_string()))?)
                    }
                };
                ids.push(entry.id);
            }
            self.state.drained(&ids).await.map_err(|error| unavailable(error.to_string()))?;
        }
    }
}

#[async_trait]
impl Publisher for StatePublisher {
    async fn publish(&self, at_least: Epoch) -> Result<Option<Sequence>, Refusal> {
        let _turn = self.turn.lock().await;
        // The block comes first: a revocation holds even while evidence cannot be written.
        self.install(at_least).await?;
        self.drain().await
    }
}
