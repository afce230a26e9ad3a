//! The places of secrets that an environment uses.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{EnvironmentName, StoreName};
use crate::manifest::Spec;
use crate::reference::SecretReference;

/// Places by what stands behind the store's name: path and field, whatever the version, with the stores that hold them.
pub(super) type Places = BTreeMap<String, BTreeSet<StoreName>>;

/// What a reference comes to in an environment, within its store.
pub(super) fn settled(reference: &SecretReference, environment: &EnvironmentName) -> String {
    let text = reference.without_version().to_string();
    let within = text.split_once("://").map_or(text.as_str(), |(_, within)| within);
    within.replace("{environment}", environment.as_str())
}

/// Every place that the source environment uses.
pub(super) fn places<'a>(source: impl Iterator<Item = &'a Spec>, environment: &EnvironmentName) -> Places {
    let mut found = Places::new();
    let mut add = |place: &SecretReference| {
        found.entry(settled(place, environment)).or_default().insert(place.store().clone());
    };
    for spec in source.filter(|spec| spec.environments().contains(&environment)) {
        match spec {
            Spec::Binding(binding) => binding.place().into_iter().for_each(&mut add),
            Spec::Provider(provider) => provider.references().for_each(&mut add),
            _ => {}
        }
    }
    found
}
