//! The last look: whether a use that was decided still holds, asked just before its bytes are handed to a
//! connection or a process. Whoever slept between the decision and the sending, or for whom everything has
//! changed meanwhile, sends nothing when it wakes.

use std::sync::Arc;

use gateway_core::id::Epoch;
use gateway_core::lock::LockFacts;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::snapshot::EnvironmentView;

use super::authorize::check_freshness;
use crate::gateway::Gateway;
use crate::live::{Pass, Running, Undertaking};
use crate::world::World;

/// Asks once more. Cheap: it is held by the body of every request that is sent.
#[derive(Clone)]
pub struct LastLook {
    gateway: Arc<Gateway>,
    running: Arc<Running>,
    epoch: Epoch,
}

impl std::fmt::Debug for LastLook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LastLook").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl LastLook {
    /// For what runs behind this pass under a decision of this epoch.
    pub(crate) fn new(gateway: &Arc<Gateway>, pass: &Pass, epoch: Epoch) -> Self {
        Self { gateway: Arc::clone(gateway), running: pass.running(), epoch }
    }

    /// The data plane that is asked.
    pub(crate) const fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Whether it may be sent now.
    ///
    /// # Errors
    /// [`Code::StateStale`] where this replica cannot prove that its state is current, [`Code::LockActive`]
    /// where a lock stops it, [`Code::BindingEnded`] or [`Code::GrantMissing`] where what decided is no more,
    /// and whatever the use was stopped with.
    pub fn check(&self) -> Result<(), Refusal> {
        if let Some(why) = self.running.why_stopped() {
            return Err(why);
        }
        let undertaking = self.running.undertaking();
        let world = self.gateway.world.load();
        let now = self.gateway.clock.now();
        let environment = world.snapshot.environment(undertaking.binding.spec.environment.as_str());
        let environment = environment.ok_or(Code::BindingEnded)?;
        check_freshness(&self.gateway, environment, now)?;
        if let Some(lock) = world.snapshot.locks().stopping(&undertaking.facts(), now) {
            return Err(Refusal::new(Code::LockActive).stopped_by(&lock.id));
        }
        let moved = world.snapshot.epoch != self.epoch;
        if moved && !undertaking.is_own {
            self.still_stands(&world, environment, undertaking)
        } else {
            Ok(())
        }
    }

    /// The state has moved on since the decision. What was rotated or narrowed meanwhile may finish as it began;
    /// what was ended may not begin.
    fn still_stands(
        &self,
        world: &World,
        environment: &EnvironmentView,
        undertaking: &Undertaking,
    ) -> Result<(), Refusal> {
        let spec = &undertaking.binding.spec;
        let server = environment.server(spec.server.as_str());
        let binding = server.is_some_and(|server| server.binding(&spec.name).is_some());
        let agent = undertaking.actor.as_ref().and_then(|actor| actor.agent.as_ref());
        if !binding || agent.is_some_and(|agent| world.snapshot.agent(agent).is_none()) {
            return Err(Code::BindingEnded.into());
        }
        let lives = |id: &str| world.snapshot.grants().any(|grant| grant.id == id);
        if self.running.uses_only(lives) { Ok(()) } else { Err(Code::GrantMissing.into()) }
    }
}

impl Undertaking {
    /// What locks are asked about.
    pub(crate) fn facts(&self) -> LockFacts<'_> {
        let spec = &self.binding.spec;
        LockFacts {
            environment: Some(&spec.environment),
            server: Some(&spec.server),
            actor: self.actor.as_deref(),
            tool: self.tool.as_deref(),
            binding: Some(spec),
            provider: None,
        }
    }
}
