//! The configured stores by name, with the boundaries each of them has.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::id::{EnvironmentName, StoreName, TeamName};
use crate::ports::{LeasingStore, SecretCache, SecretStore, SecretWriter, StoreError, StoreErrorKind};
use crate::reference::SecretReference;

/// Whether a store of the enterprise's is behind it, or something on this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreClass {
    /// A secret store of its own (OpenBao, Vault, AWS, Google, Azure, Kubernetes, 1Password).
    External,
    /// `sealed`, `file`, `env` or `exec`: refused in production without an approved exception.
    Local,
}

/// A path prefix and the teams that may name paths under it (DESIGN, section 11.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathDelegation {
    /// The prefix, ending in `/` or naming one path exactly.
    pub prefix: String,
    /// The owner teams.
    pub owners: Vec<TeamName>,
}

/// One configured store.
pub struct StoreEntry {
    /// The decorated store.
    pub store: Arc<dyn SecretStore>,
    /// The same without its cache: for a value that is tried before it decides, so that no call takes it
    /// before.
    pub uncached: Arc<dyn SecretStore>,
    /// Its cache.
    pub cache: Arc<dyn SecretCache>,
    /// Its writer, where values of ours go in.
    pub writer: Option<Arc<dyn SecretWriter>>,
    /// The same store, where it makes secrets on demand.
    pub leasing: Option<Arc<dyn LeasingStore>>,
    /// Its class.
    pub class: StoreClass,
    /// The environments it serves; never empty.
    pub environments: Vec<EnvironmentName>,
    /// Its path delegations; empty means undelegated, which only non-production tiers accept.
    pub paths: Vec<PathDelegation>,
}

impl fmt::Debug for StoreEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreEntry")
            .field("class", &self.class)
            .field("environments", &self.environments)
            .finish()
    }
}

impl StoreEntry {
    /// The teams that own the place, by the longest prefix; absent where no delegation covers it.
    pub fn owners_of(&self, reference: &SecretReference) -> Option<&[TeamName]> {
        let path = reference.fixed_prefix().trim_start_matches('/');
        let covers = |prefix: &str| {
            let prefix = prefix.trim_start_matches('/');
            path == prefix || (prefix.ends_with('/') && path.starts_with(prefix))
        };
        let longest =
            self.paths.iter().filter(|paths| covers(&paths.prefix)).max_by_key(|paths| paths.prefix.len());
        longest.map(|paths| paths.owners.as_slice())
    }
}

/// Every configured store.
#[derive(Debug, Default)]
pub struct Stores(HashMap<StoreName, StoreEntry>);

impl Stores {
    /// Collects the entries.
    pub fn new(entries: impl IntoIterator<Item = (StoreName, StoreEntry)>) -> Self {
        Self(entries.into_iter().collect())
    }

    /// The entry of a name, whatever the environment; for operators.
    pub fn entry(&self, name: &StoreName) -> Option<&StoreEntry> {
        self.0.get(name)
    }

    /// Every entry, in no order.
    pub fn entries(&self) -> impl Iterator<Item = (&StoreName, &StoreEntry)> {
        self.0.iter()
    }

    /// The store, if it serves the environment. Checked again at every use, not only when written.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotForEnvironment`], also for a store that is not configured at all.
    pub fn open(&self, environment: &EnvironmentName, name: &StoreName) -> Result<&StoreEntry, StoreError> {
        self.0.get(name).filter(|entry| entry.environments.contains(environment)).ok_or_else(|| {
            StoreError::new(
                StoreErrorKind::NotForEnvironment,
                format!("store `{name}` is not configured for environment `{environment}`"),
            )
        })
    }
}
