//! Looks after the secrets of bindings, beside the calls: sees newer versions, has one replica try each of them at
//! the server, lets the replaced ones drain, and reminds people.

mod drain;
mod poll;
mod remind;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gateway_core::lifecycle::{Finding, VersionMoves};
use gateway_core::manifest::{BindingSpec, Kind, ObjectKey};
use gateway_core::ports::{
    CredentialProbe, LiveTraffic, Publisher, Random, StateError, StateWriter, Ticket, TicketKind, Tickets,
};
use gateway_core::refusal::Refusal;
use gateway_core::snapshot::ActiveBinding;
use gateway_core::stores::Stores;
use gateway_core::time::{Clock, Timestamp};
use tokio::time::MissedTickBehavior;

use crate::ports::SnapshotSource;
use crate::trial::Trial;
use crate::write::TRIES;

/// How often it is looked what is due.
const TICK: Duration = Duration::from_millis(250);
/// How long one replica may take over a version before another one tries it.
const LOCK: Duration = Duration::from_secs(60);

/// What the keeper is wired to.
#[derive(Debug)]
pub struct RotationParts {
    /// The state.
    pub state: Arc<dyn StateWriter>,
    /// The records that the replicas share.
    pub tickets: Arc<dyn Tickets>,
    /// The configured stores.
    pub stores: Arc<Stores>,
    /// Brings changes to the data plane and evidence to the chain.
    pub publisher: Arc<dyn Publisher>,
    /// What runs on this replica.
    pub live: Arc<dyn LiveTraffic>,
    /// Tries credentials at upstreams.
    pub probe: Arc<dyn CredentialProbe>,
    /// What decides now.
    pub snapshots: Arc<dyn SnapshotSource>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

/// Looks after the secrets of every binding that this process serves.
pub struct RotationKeeper {
    parts: RotationParts,
    /// This replica's name among the uses of replaced versions.
    replica: String,
    /// When each binding's store is asked again.
    next: Mutex<HashMap<ObjectKey, Timestamp>>,
}

impl fmt::Debug for RotationKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RotationKeeper").field("replica", &self.replica).finish_non_exhaustive()
    }
}

/// Why a step was not taken; it is tried again at the next round.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    State(#[from] StateError),
    #[error("{0:?}")]
    Findings(Vec<Finding>),
    #[error("{0}: {inside}", inside = .0.inside().unwrap_or(""))]
    Refused(Refusal),
}

impl From<Vec<Finding>> for Trouble {
    fn from(findings: Vec<Finding>) -> Self {
        Self::Findings(findings)
    }
}

impl RotationKeeper {
    /// A keeper that has seen nothing yet.
    pub fn new(parts: RotationParts) -> Self {
        let mut name = [0_u8; 8];
        parts.random.fill(&mut name);
        Self { parts, replica: hex::encode(name), next: Mutex::default() }
    }

    /// Keeps at it for ever.
    pub async fn keep(self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.round().await;
        }
    }

    /// Everything that is due now.
    pub async fn round(&self) {
        self.take_back().await;
        self.poll_due().await;
        self.drain().await;
        self.remind().await;
    }

    fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    fn trial(&self) -> Trial<'_> {
        let RotationParts { snapshots, stores, probe, .. } = &self.parts;
        Trial { snapshots: &**snapshots, stores, probe: &**probe }
    }

    /// Every binding of this replica whose secret is looked after.
    fn looked_after(&self) -> Vec<Arc<ActiveBinding>> {
        self.parts.snapshots.current().looked_after().to_vec()
    }

    fn next(&self) -> std::sync::MutexGuard<'_, HashMap<ObjectKey, Timestamp>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves versions of a binding on the newest state, and publishes it.
    async fn moves(
        &self,
        key: &ObjectKey,
        decide: impl Fn(&mut VersionMoves) -> Result<(), Vec<Finding>> + Send,
    ) -> Result<(), Trouble> {
        for _ in 0..TRIES {
            let state = self.parts.state.load().await?;
            let mut moves = VersionMoves::of(&state, key, None, self.now())?;
            decide(&mut moves)?;
            let Some(change) = moves.finish() else { return Ok(()) };
            match self.parts.state.commit(change).await {
                Ok(epoch) => {
                    return self.parts.publisher.publish(epoch).await.map(drop).map_err(Trouble::Refused);
                }
                Err(StateError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StateError::Conflict.into())
    }

    /// Does the work on one replica alone; says whether this is it.
    async fn alone<F>(&self, key: &ObjectKey, work: F) -> Result<bool, Trouble>
    where
        F: Future<Output = Result<(), Trouble>> + Send,
    {
        let lock = Ticket {
            kind: TicketKind::RotationLock,
            key: key.to_string(),
            content: self.replica.clone(),
            expires_at: self.now().plus(LOCK),
        };
        if !self.parts.tickets.insert(&lock, self.now()).await? {
            return Ok(false);
        }
        let done = tokio::time::timeout(LOCK, work).await;
        self.parts.tickets.take(lock.kind, &lock.key, self.now()).await?;
        done.unwrap_or(Ok(())).map(|()| true)
    }
}

fn key_of(spec: &BindingSpec) -> ObjectKey {
    let (environment, name) = (Some(spec.environment.clone()), spec.name.to_string());
    ObjectKey { kind: Kind::Binding, environment, name }
}
