//! What stopped deciding between two snapshots: a replica that takes the later one over ends what ran on it.

use std::collections::HashSet;
use std::sync::Arc;

use crate::id::{AgentName, BindingName, EnvironmentName, WorkloadName};
use crate::lock::LockRecord;
use crate::snapshot::Snapshot;
use crate::state::GrantRecord;

/// Bindings, agents, mappings and grants that were there before and are not any more, and locks that were not.
#[derive(Debug, Default)]
pub struct Departures {
    /// Bindings, across their revisions.
    pub bindings: Vec<(EnvironmentName, BindingName)>,
    /// Agents.
    pub agents: Vec<AgentName>,
    /// Mappings of workloads.
    pub workloads: Vec<WorkloadName>,
    /// Users' grants.
    pub grants: Vec<Arc<GrantRecord>>,
    /// Locks that stand now: what they stop has departed.
    pub locks: Vec<Arc<LockRecord>>,
}

impl Departures {
    /// Compares by name: another revision of the same binding is the same binding.
    pub fn between(before: &Snapshot, after: &Snapshot) -> Self {
        let stays: HashSet<(EnvironmentName, BindingName)> = bindings(after).collect();
        let mapped: HashSet<&WorkloadName> = after.workloads().map(|workload| &workload.name).collect();
        Self {
            bindings: bindings(before).filter(|binding| !stays.contains(binding)).collect(),
            agents: before.agents().filter(|name| after.agent(name).is_none()).cloned().collect(),
            workloads: before
                .workloads()
                .filter(|workload| !mapped.contains(&workload.name))
                .map(|workload| workload.name.clone())
                .collect(),
            grants: before.grants().filter(|grant| !after.grant_lives(grant)).cloned().collect(),
            locks: after.locks().iter().filter(|lock| !before.locks().has(&lock.id)).cloned().collect(),
        }
    }

    /// Whether nothing departed.
    pub fn is_empty(&self) -> bool {
        let objects = self.bindings.is_empty() && self.agents.is_empty() && self.workloads.is_empty();
        objects && self.grants.is_empty() && self.locks.is_empty()
    }
}

fn bindings(snapshot: &Snapshot) -> impl Iterator<Item = (EnvironmentName, BindingName)> {
    snapshot.environments().flat_map(|environment| {
        let names = environment.servers().flat_map(|server| &server.bindings);
        names.map(|binding| (environment.spec.name.clone(), binding.spec.name.clone()))
    })
}
