//! Which signatures a loosening revision needs, and which are still missing.

use serde::Serialize;

use super::world::{declared, server_of};
use crate::id::{EnvironmentName, TeamName};
use crate::manifest::{BindingSpec, Kind, ObjectKey, Spec};
use crate::operator::{Operator, Role, Scope};
use crate::state::{Approval, Capacity, State};
use crate::stores::Stores;

/// A number of signatures, each in one of some capacities.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Requirement {
    /// The capacities, any of which will do.
    pub any_of: Vec<Capacity>,
    /// How many different people.
    pub count: u8,
}

/// What a revision with this content needs before it decides.
pub fn requirements(state: &State, stores: &Stores, spec: &Spec) -> Vec<Requirement> {
    let approvals = approvals_for(state, spec);
    let mut needed = Vec::new();
    if approvals > 0 {
        needed.push(Requirement { any_of: vec![Capacity::Environment], count: approvals });
    }
    if let Spec::Binding(binding) = spec {
        let owners = path_owners(stores, binding);
        if !owners.is_empty() && !owners.contains(&binding.owner) {
            let any_of = owners.iter().cloned().map(Capacity::Path).collect();
            needed.push(Requirement { any_of, count: 1 });
        }
        if let Some(server) = server_of(state, binding)
            && approvals > 0
            && server.owner != binding.owner
        {
            needed.push(Requirement { any_of: vec![Capacity::Server(server.owner.clone())], count: 1 });
        }
    }
    needed
}

/// The teams that own the place of the binding's secret.
pub fn path_owners<'a>(stores: &'a Stores, binding: &BindingSpec) -> &'a [TeamName] {
    let owners = binding
        .place()
        .and_then(|secret| stores.entry(secret.store()).and_then(|entry| entry.owners_of(secret)));
    owners.unwrap_or_default()
}

/// How many approvers the rule in force asks for. An environment's own rule is judged by the one that
/// stands; where no rule is known at all, one approver is asked for.
pub fn approvals_for(state: &State, spec: &Spec) -> u8 {
    let of = |name: &EnvironmentName| environment_approvals(state, name);
    spec.environments().into_iter().map(of).max().unwrap_or(1)
}

/// The rule of one environment.
pub fn environment_approvals(state: &State, name: &EnvironmentName) -> u8 {
    let key = ObjectKey { kind: Kind::Environment, environment: None, name: name.to_string() };
    match declared(state, &key).map(|record| &record.spec) {
        Some(Spec::Environment(spec)) => spec.required_approvals(),
        _ => 1,
    }
}

/// What is left of the requirements after these signatures.
pub fn missing(needed: &[Requirement], approvals: &[Approval]) -> Vec<Requirement> {
    let left = |requirement: &Requirement| {
        let signs = |approval: &&Approval| approval.capacities.iter().any(|c| requirement.any_of.contains(c));
        let signed = u8::try_from(approvals.iter().filter(signs).count()).unwrap_or(u8::MAX);
        let count = requirement.count.saturating_sub(signed);
        (count > 0).then(|| Requirement { any_of: requirement.any_of.clone(), count })
    };
    needed.iter().filter_map(left).collect()
}

/// Whether the operator may sign the revision in this capacity.
pub(super) fn may_sign(operator: &Operator, spec: &Spec, capacity: &Capacity) -> bool {
    let team = match capacity {
        Capacity::Environment => spec.owner(),
        Capacity::Path(team) | Capacity::Server(team) => Some(team),
    };
    let environments = spec.environments();
    !environments.is_empty()
        && environments
            .into_iter()
            .all(|environment| operator.may(Role::Approver, Scope { team, environment: Some(environment) }))
}

/// Whether the operator holds the role for everything that the spec touches.
pub fn may_touch(operator: &Operator, role: Role, spec: &Spec) -> bool {
    let team = spec.owner();
    let environments = spec.environments();
    if environments.is_empty() {
        return operator.may(role, Scope { team, environment: None });
    }
    environments
        .into_iter()
        .all(|environment| operator.may(role, Scope { team, environment: Some(environment) }))
}
