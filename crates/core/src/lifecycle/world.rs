//! What is declared: by the batch at hand first, then by what stands, then by what is pending.

use std::collections::BTreeMap;

use crate::id::{EnvironmentName, PolicyName, ProviderName, ServerName, WorkloadName};
use crate::manifest::{BindingSpec, EnvironmentSpec, Kind, ObjectKey, ServerSpec, Spec, Tier};
use crate::state::{Lifecycle, RevisionRecord, State};

/// The revision of an object that counts as declared: the standing one, else the newest pending one.
pub fn declared<'a>(state: &'a State, key: &ObjectKey) -> Option<&'a RevisionRecord> {
    state.standing(key).or_else(|| pending(state, key))
}

/// The newest revision that waits for signatures.
pub fn pending<'a>(state: &'a State, key: &ObjectKey) -> Option<&'a RevisionRecord> {
    state.history(key).filter(|record| record.status == Lifecycle::Pending).last()
}

pub(super) fn server_key(environment: &EnvironmentName, server: &ServerName) -> ObjectKey {
    ObjectKey { kind: Kind::Server, environment: Some(environment.clone()), name: server.to_string() }
}

pub(super) fn policy_key(environment: &EnvironmentName, policy: &PolicyName) -> ObjectKey {
    ObjectKey { kind: Kind::Policy, environment: Some(environment.clone()), name: policy.to_string() }
}

pub(super) fn provider_key(environment: &EnvironmentName, provider: &ProviderName) -> ObjectKey {
    ObjectKey { kind: Kind::Provider, environment: Some(environment.clone()), name: provider.to_string() }
}

pub(super) fn workload_key(workload: &WorkloadName) -> ObjectKey {
    ObjectKey { kind: Kind::Workload, environment: None, name: workload.to_string() }
}

pub(super) fn server_of<'a>(state: &'a State, binding: &BindingSpec) -> Option<&'a ServerSpec> {
    match declared(state, &server_key(&binding.environment, &binding.server)).map(|record| &record.spec) {
        Some(Spec::Server(server)) => Some(server),
        _ => None,
    }
}

pub(super) struct World<'a> {
    pub(super) state: &'a State,
    batch: BTreeMap<ObjectKey, &'a Spec>,
}

impl<'a> World<'a> {
    pub(super) fn new(state: &'a State, specs: &'a [Spec]) -> Self {
        Self { state, batch: specs.iter().map(|spec| (spec.key(), spec)).collect() }
    }

    pub(super) fn spec(&self, key: &ObjectKey) -> Option<&'a Spec> {
        self.batch.get(key).copied().or_else(|| declared(self.state, key).map(|record| &record.spec))
    }

    pub(super) fn environment(&self, name: &EnvironmentName) -> Option<&'a EnvironmentSpec> {
        let key = ObjectKey { kind: Kind::Environment, environment: None, name: name.to_string() };
        match self.spec(&key) {
            Some(Spec::Environment(spec)) => Some(spec),
            _ => None,
        }
    }

    /// Production if the environment stands as production or is about to: a rule that is only
    /// proposed to be dropped still holds.
    pub(super) fn is_production(&self, name: &EnvironmentName) -> bool {
        let key = ObjectKey { kind: Kind::Environment, environment: None, name: name.to_string() };
        let stands = matches!(
            self.state.standing(&key).map(|record| &record.spec),
            Some(Spec::Environment(spec)) if spec.tier == Tier::Production
        );
        stands || self.environment(name).is_some_and(|spec| spec.tier == Tier::Production)
    }

    pub(super) fn server(&self, binding: &BindingSpec) -> Option<&'a ServerSpec> {
        match self.spec(&server_key(&binding.environment, &binding.server)) {
            Some(Spec::Server(server)) => Some(server),
            _ => None,
        }
    }

    /// Whether any other environment has a server of this name.
    pub(super) fn server_elsewhere(&self, binding: &BindingSpec) -> bool {
        let same = |key: &ObjectKey| key.kind == Kind::Server && key.name == binding.server.as_str();
        self.batch.keys().any(same) || self.state.of_kind(Kind::Server).iter().any(|record| same(&record.key))
    }

    /// Every binding of the environment that stands, as the batch will have it.
    pub(super) fn bindings(&self, environment: &EnvironmentName) -> Vec<&'a BindingSpec> {
        let here = |spec: &'a Spec| match spec {
            Spec::Binding(binding) if binding.environment == *environment => Some(binding),
            _ => None,
        };
        let standing = self
            .state
            .within(Kind::Binding, environment)
            .iter()
            .filter(|record| record.status == Lifecycle::Active && !self.batch.contains_key(&record.key))
            .filter_map(|record| here(&record.spec));
        self.batch.values().copied().filter_map(here).chain(standing).collect()
    }
}
