//! Which active bindings serve the same server.

use std::collections::BTreeMap;

use crate::id::{BindingName, EnvironmentName, ServerName};
use crate::lifecycle::tools_meet;
use crate::manifest::{BindingSpec, Kind, Spec};
use crate::state::{Lifecycle, RevisionRecord, State};

/// The active bindings of each server. Who renders many cards looks at every binding once for all of them, and not once
/// for each card.
pub struct Neighbours<'a>(BTreeMap<(&'a EnvironmentName, &'a ServerName), Vec<&'a BindingSpec>>);

impl<'a> Neighbours<'a> {
    /// Of all servers.
    pub fn of(state: &'a State) -> Self {
        Self::among(state.of_kind(Kind::Binding), |_| true)
    }

    /// Of the server of one binding.
    pub(super) fn beside(state: &'a State, one: &BindingSpec) -> Self {
        Self::among(state.within(Kind::Binding, &one.environment), |other| other.server == one.server)
    }

    fn among(records: &'a [RevisionRecord], wanted: impl Fn(&BindingSpec) -> bool) -> Self {
        let mut servers = BTreeMap::<_, Vec<_>>::new();
        for record in records.iter().filter(|record| record.status == Lifecycle::Active) {
            if let Spec::Binding(spec) = &record.spec
                && wanted(spec)
            {
                servers.entry((&spec.environment, &spec.server)).or_default().push(spec);
            }
        }
        Self(servers)
    }

    /// Less specific bindings whose callers this one takes over where both match, by name.
    pub(super) fn shadowed_by(&self, spec: &BindingSpec) -> Vec<BindingName> {
        let rank = |binding: &BindingSpec| binding.actor.specificity(binding.tools.is_named());
        let own = rank(spec);
        let beside = self.0.get(&(&spec.environment, &spec.server)).into_iter().flatten();
        beside
            .filter(|other| other.name != spec.name && own > rank(other) && tools_meet(spec, other))
            .map(|other| other.name.clone())
            .collect()
    }
}
