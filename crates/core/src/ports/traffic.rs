//! What runs on this replica, and how it is ended.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::audit::Ended;
use crate::id::{AgentName, BindingName, EnvironmentName};
use crate::lease::VersionId;
use crate::lock::LockRecord;
use crate::refusal::Refusal;
use crate::session::{LiveSession, Terminated};
use crate::state::GrantRecord;

/// A binding's traffic on this replica: what revocation ends.
#[async_trait]
pub trait LiveTraffic: Send + Sync + fmt::Debug {
    /// Refuses new uses of the binding from now on, cuts its calls and streams, ends its sessions,
    /// empties its cached values, and returns when no byte flows under it any more.
    ///
    /// # Errors
    /// [`Code::Internal`](crate::refusal::Code::Internal) where something did not end within `deadline`; the block stays all the same.
    async fn end(
        &self,
        environment: &EnvironmentName,
        binding: &BindingName,
        deadline: Duration,
    ) -> Result<Ended, Refusal>;

    /// Lets new uses of the binding through again (after `enable`).
    fn admit(&self, environment: &EnvironmentName, binding: &BindingName);

    /// Refuses every use by the agent from now on, cuts its calls and streams, ends its sessions and
    /// processes, gives back what was issued for it, and returns when no byte flows for it any more.
    ///
    /// # Errors
    /// As [`end`](Self::end).
    async fn end_agent(&self, agent: &AgentName, deadline: Duration) -> Result<Ended, Refusal>;

    /// Lets new uses by the agent through again (after `enable`).
    fn admit_agent(&self, agent: &AgentName);

    /// Cuts the calls and streams that run on a user's grant, kills the processes that hold its token, forgets
    /// what is made of it, and returns when no byte flows under it any more. The state must say already that
    /// the grant has ended: new uses look there.
    ///
    /// # Errors
    /// [`Code::Internal`](crate::refusal::Code::Internal) where something did not end within `deadline`.
    async fn end_grant(&self, grant: &GrantRecord, deadline: Duration) -> Result<Ended, Refusal>;

    /// The versions of the binding's secret that a call, a stream or a process uses just now.
    fn versions_in_use(&self, _environment: &EnvironmentName, _binding: &BindingName) -> Vec<VersionId> {
        Vec::new()
    }

    /// The bindings that went back to an earlier version by themselves, because the server refused the newer
    /// one that their cache had taken over.
    fn rolled_back(&self) -> Vec<RolledBack> {
        Vec::new()
    }

    /// Cuts the calls and streams that the lock matches, ends the sessions and processes that it matches as a
    /// whole, empties what is cached for them, and returns when no byte flows there any more. Nothing is sent
    /// to a server meanwhile: its own sessions are left to their limits. The state must say already that the
    /// lock stands: new uses look there.
    ///
    /// # Errors
    /// [`Code::Internal`](crate::refusal::Code::Internal) where something did not end within `deadline`.
    async fn end_locked(&self, lock: &LockRecord, deadline: Duration) -> Result<Ended, Refusal>;

    /// Open legacy sessions and live streams of the binding.
    fn open(&self, environment: &EnvironmentName, binding: &BindingName) -> Ended;
}

/// A binding that went back to an earlier version of its secret by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RolledBack {
    /// The binding's environment.
    pub environment: EnvironmentName,
    /// The binding.
    pub binding: BindingName,
    /// The version that the server refused.
    pub refused: VersionId,
    /// The version that goes on.
    pub kept: VersionId,
}

/// The sessions of this replica: what operators list and end (DESIGN, section 10.7).
#[async_trait]
pub trait LiveSessions: Send + Sync + fmt::Debug {
    /// Every protocol session and every live stream, the oldest first.
    fn sessions(&self) -> Vec<LiveSession>;

    /// Ends one of them: cuts what runs under it, takes it away so that its client begins anew, and
    /// ends the upstream's own sessions under a recorded intent. Waits at most `deadline` for what
    /// runs. `None` where there is no such session (any more).
    async fn terminate(&self, id: &str, deadline: Duration) -> Option<Terminated>;
}
