//! What the target has in the place of what the source has, written down by a person.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{AgentName, ProviderName, WorkloadName};
use crate::reference::SecretReference;

/// The map. Whatever is not in it must be the target's own already.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PromotionMap {
    /// The source's references, with or without a version, to the target's.
    pub references: BTreeMap<String, SecretReference>,
    /// The source's routes, by their URL, to the target's.
    pub routes: BTreeMap<String, url::Url>,
    /// Providers.
    pub providers: BTreeMap<ProviderName, ProviderName>,
    /// Workloads.
    pub workloads: BTreeMap<WorkloadName, WorkloadName>,
    /// Agents.
    pub agents: BTreeMap<AgentName, AgentName>,
}

impl PromotionMap {
    /// The entry for a reference, the exact one first, and what it says.
    pub(super) fn reference(&self, wanted: &SecretReference) -> Option<(&str, &SecretReference)> {
        let keys = [wanted.to_string(), wanted.without_version().to_string()];
        keys.iter()
            .find_map(|key| self.references.get_key_value(key))
            .map(|(key, reference)| (key.as_str(), reference))
    }

    /// What it says of a route.
    pub(super) fn route(&self, wanted: &str) -> Option<url::Url> {
        self.routes.get(wanted).cloned()
    }

    /// Every entry, as `list: key`.
    pub(super) fn entries(&self) -> impl Iterator<Item = String> {
        let list =
            |name: &'static str, keys: Vec<String>| keys.into_iter().map(move |key| format!("{name}: {key}"));
        list("references", self.references.keys().cloned().collect())
            .chain(list("routes", self.routes.keys().cloned().collect()))
            .chain(list("providers", self.providers.keys().map(ToString::to_string).collect()))
            .chain(list("workloads", self.workloads.keys().map(ToString::to_string).collect()))
            .chain(list("agents", self.agents.keys().map(ToString::to_string).collect()))
    }
}
