//! State to snapshot, and outbox to chain: how a committed change comes to decide.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use gateway_adapters::audit::AuditLog;
use gateway_core::departure::Departures;
use gateway_core::id::{EnvironmentName, Epoch};
use gateway_core::policy::PolicyCompiler;
use gateway_core::ports::{AuditSink as _, LiveTraffic as _, Publisher, Sequence, StateWriter};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::snapshot::Snapshot;
use gateway_core::state::State;
use gateway_proxy::gateway::Gateway;
use tokio::sync::Mutex;

use super::replicas::{Moment, Replicas};

/// How long what was ended on another replica may take to end here.
const SETTLING: Duration = Duration::from_secs(30);
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
    /// The other replicas, where the state can have any.
    replicas: Option<Arc<Replicas>>,
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
        replicas: Option<Arc<Replicas>>,
    ) -> Self {
        Self { state, compiler, audit, gateway, served, replicas, turn: Mutex::new(()) }
    }

    /// Follows the state for ever: installs what changed, and confirms that the rest is current.
    pub(super) async fn follow(self: Arc<Self>, floor: Duration) {
        loop {
            let known = self.gateway.world.epoch();
            match self.state.changed(known, floor).await {
                Ok(epoch) if epoch == known => {
                    // As of a moment before the look: who sleeps after looking must not wake up as proven current.
                    let now = Moment::now();
                    let current = self.state.epoch().await.is_ok_and(|epoch| epoch == known);
                    // The word first: who cannot say that it serves would not be waited for, and must not go on.
                    if current && self.report(now).await {
                        self.gateway.world.confirm(now.at, now.steady);
                    }
                }
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
        let now = Moment::now();
        let unavailable = |why: String| Refusal::new(Code::StateStale).because(why);
        let state = self.state.load().await.map_err(|error| unavailable(error.to_string()))?;
        let before = Arc::clone(&self.gateway.world.current().snapshot);
        let snapshot = self.build(Arc::clone(&before), state).await?;
        if snapshot.epoch < at_least {
            return Err(unavailable("the state read is older than the change".to_owned()));
        }
        let epoch = snapshot.epoch;
        if let Some(replicas) = &self.replicas {
            replicas.begin(epoch);
        }
        self.gateway.world.install(snapshot);
        self.gateway.live.wake_all();
        self.log_out_departed(&before);
        let Some(replicas) = &self.replicas else {
            self.gateway.world.confirm(now.at, now.steady);
            return Ok(());
        };
        let after = Arc::clone(&self.gateway.world.current().snapshot);
        let settling = settle(Arc::clone(&self.gateway), before, after);
        let (replicas, gateway) = (Arc::clone(replicas), Arc::clone(&self.gateway));
        // Beside the publishing: a call that does not end must not keep the next change out.
        tokio::spawn(async move {
            tokio::join!(settling, say_current(&replicas, &gateway, now));
            replicas.settled(epoch);
            report(&replicas, &gateway, now).await;
        });
        Ok(())
    }

    /// Takes as long as the state is large, and calls must not wait for it.
    async fn build(&self, before: Arc<Snapshot>, state: Arc<State>) -> Result<Snapshot, Refusal> {
        let (compiler, served) = (Arc::clone(&self.compiler), self.served.clone());
        let built = move || Snapshot::build_beside(Some(&before), &state, &*compiler, &served);
        let built = tokio::task::spawn_blocking(built).await;
        let internal = |error: &dyn fmt::Display| Refusal::new(Code::Internal).because(error.to_string());
        built.map_err(|error| internal(&error))?.map_err(|error| internal(&error))
    }

    /// Callers whose mapping ended are logged out where a store was opened as them; beside the publishing, for no call
    /// of theirs is let in any more.
    fn log_out_departed(&self, before: &Snapshot) {
        let gone = Departures::between(before, &self.gateway.world.current().snapshot).workloads;
        if !gone.is_empty() {
            let gateway = Arc::clone(&self.gateway);
            tokio::spawn(async move { gateway.log_out_workloads(&gone).await });
        }
    }

    /// Says that this replica serves, and hears who else does. Whether it could be said; where there can be no other
    /// replica there is nothing to say.
    async fn report(&self, confirmed: Moment) -> bool {
        let Some(replicas) = &self.replicas else { return true };
        let told = report(replicas, &self.gateway, confirmed).await;
        if let Err(error) = replicas.listen(Moment::now()).await {
            tracing::warn!(%error, "the other replicas are not heard");
        }
        told
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

/// The word first: who cannot say that it serves is not waited for, and does not count as current.
async fn say_current(replicas: &Replicas, gateway: &Gateway, proof: Moment) {
    if report(replicas, gateway, proof).await {
        gateway.world.confirm(proof.at, proof.steady);
    }
}

async fn report(replicas: &Replicas, gateway: &Gateway, confirmed: Moment) -> bool {
    let told = replicas.report(|| gateway.world.epoch(), confirmed).await;
    told.inspect_err(|error| tracing::warn!(%error, "the other replicas do not hear of this one")).is_ok()
}

/// Ends here what another replica's act ended, as that replica does, and lets in again what came back.
async fn settle(gateway: Arc<Gateway>, before: Arc<Snapshot>, after: Arc<Snapshot>) {
    let (gone, back) = (Departures::between(&before, &after), Departures::between(&after, &before));
    back.bindings.iter().for_each(|(environment, binding)| gateway.admit(environment, binding));
    back.agents.iter().for_each(|agent| gateway.admit_agent(agent));
    let told = |what: &str, refusal: Refusal| {
        tracing::error!(
            what,
            inside = refusal.inside().unwrap_or(""),
            "what was ended elsewhere still runs here"
        );
    };
    let bindings = gone.bindings.iter().map(|(environment, binding)| {
        let gateway = &gateway;
        async move {
            // Whoever ended it on this replica is at it already, and counts what it ended.
            if !gateway.live.is_closed(&(environment.clone(), binding.clone()))
                && let Err(refusal) = gateway.end(environment, binding, SETTLING).await
            {
                told(binding.as_str(), refusal);
            }
        }
    });
    let agents = gone.agents.iter().map(|agent| {
        let gateway = &gateway;
        async move {
            if !gateway.live.is_agent_closed(agent)
                && let Err(refusal) = gateway.end_agent(agent, SETTLING).await
            {
                told(agent.as_str(), refusal);
            }
        }
    });
    let grants = gone.grants.iter().map(|grant| {
        let gateway = &gateway;
        async move {
            if let Err(refusal) = gateway.end_grant(grant, SETTLING).await {
                told(&grant.id, refusal);
            }
        }
    });
    let locks = gone.locks.iter().map(|lock| {
        let gateway = &gateway;
        async move {
            // Whoever made it on this replica is at it already; ending what has ended is nothing.
            if let Err(refusal) = gateway.end_locked(lock, SETTLING).await {
                told(&lock.id, refusal);
            }
        }
    });
    let (bindings, agents, grants) = (join_all(bindings), join_all(agents), join_all(grants));
    tokio::join!(bindings, agents, grants, join_all(locks));
}

#[async_trait]
impl Publisher for StatePublisher {
    async fn publish(&self, at_least: Epoch) -> Result<Option<Sequence>, Refusal> {
        let _turn = self.turn.lock().await;
        // The block comes first: a revocation holds even while evidence cannot be written.
        self.install(at_least).await?;
        self.drain().await
    }

    async fn everywhere(&self, at_least: Epoch, deadline: Duration) -> Result<(), Refusal> {
        let Some(replicas) = &self.replicas else { return Ok(()) };
        let deciding = || self.gateway.world.epoch();
        replicas.caught_up(at_least, deciding, Moment::now, deadline).await
    }

    async fn confirmed(&self, at_least: Epoch) -> Vec<String> {
        match &self.replicas {
            Some(replicas) => replicas.confirmed(at_least, self.gateway.clock.now()).await,
            None => Vec::new(),
        }
    }
}
