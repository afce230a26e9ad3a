//! The one way in which the control plane writes: read, decide, commit by compare-and-swap, publish.

use std::time::Duration;

use gateway_core::id::Epoch;
use gateway_core::lifecycle::{Finding, commit, rule};
use gateway_core::manifest::{Kind, ObjectKey};
use gateway_core::policy::PolicyIssue;
use gateway_core::ports::StateError;
use gateway_core::snapshot::Snapshot;
use gateway_core::state::{Change, State};

use crate::context::ControlContext;
use crate::problem::Problem;
use crate::wrote::{back_to, writes};

/// How often a decision is made anew because somebody else was faster.
pub(crate) const TRIES: usize = 5;

impl ControlContext {
    /// Decides on the newest state until the decision is committed, then publishes it. Without a
    /// change nothing is written.
    pub(crate) async fn write<T>(
        &self,
        decide: impl FnMut(&State) -> Result<(T, Option<Change>), Problem> + Send,
    ) -> Result<T, Problem> {
        let (value, epoch) = self.commit(decide).await?;
        if let Some(epoch) = epoch {
            self.publish(epoch).await?;
        }
        Ok(value)
    }

    /// Takes a committed change over.
    pub(crate) async fn publish(&self, epoch: Epoch) -> Result<(), Problem> {
        let published = self.publisher.publish(epoch).await;
        published.map(drop).map_err(|refusal| Problem::not_published(&refusal))
    }

    /// Waits until what was ended has ended on every replica; says which ones confirmed it.
    pub(crate) async fn everywhere(
        &self,
        epoch: Option<Epoch>,
        deadline: Duration,
    ) -> Result<Vec<String>, Problem> {
        let epoch = match epoch {
            Some(epoch) => epoch,
            // It had ended before; whether everybody has followed is another matter.
            None => self.state.epoch().await?,
        };
        self.publisher.everywhere(epoch, deadline).await.map_err(|refusal| {
            tracing::error!(%refusal, inside = refusal.inside().unwrap_or(""), "a replica has not followed in time");
            Problem::incomplete()
        })?;
        Ok(self.publisher.confirmed(epoch).await)
    }

    /// The same as [`Self::write`] without publishing.
    pub(crate) async fn commit<T>(
        &self,
        mut decide: impl FnMut(&State) -> Result<(T, Option<Change>), Problem> + Send,
    ) -> Result<(T, Option<Epoch>), Problem> {
        for _ in 0..TRIES {
            let state = self.state.load().await?;
            let (value, change) = decide(&state)?;
            let Some(change) = change else { return Ok((value, None)) };
            match self.taken(change).await {
                Ok(epoch) => return Ok((value, Some(epoch))),
                Err(StateError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Problem::busy())
    }

    /// Hands an operator's change to the state, once.
    pub(crate) async fn taken(&self, change: Change) -> Result<Epoch, StateError> {
        let before = writes();
        let taken = self.state.commit(change).await;
        if matches!(taken, Err(StateError::Conflict | StateError::Constraint(_))) {
            back_to(before);
        }
        taken
    }

    /// Whether the state would still make a snapshot after the change; a state that does not must
    /// never be committed.
    pub(crate) fn rehearse(&self, state: &State, change: &Change) -> Result<(), Problem> {
        let mut after = state.clone();
        commit(&mut after, change)?;
        let now = self.snapshots.current();
        let built = Snapshot::build_beside(Some(&now), &after, &*self.compiler, &[]);
        built.map(drop).map_err(|error| policy_problem(&error.environment, &error.issues))
    }
}

pub(crate) fn policy_problem(
    environment: &gateway_core::id::EnvironmentName,
    issues: &[PolicyIssue],
) -> Problem {
    let finding = |issue: &PolicyIssue| {
        let (environment, name) = (Some(environment.clone()), issue.policy.to_string());
        let key = ObjectKey { kind: Kind::Policy, environment, name };
        let hint = issue.hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        let message = format!("{}:{}: {}{hint}", issue.line, issue.column, issue.message);
        Finding::of(&rule::POLICY_INVALID, &key, message)
    };
    issues.iter().map(finding).collect::<Vec<_>>().into()
}
