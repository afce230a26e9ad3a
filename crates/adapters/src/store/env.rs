//! Secrets in the gateway's own environment: for containers that know no better. Only the names that
//! the configuration lists are ever read, and the kernel keeps its copy of them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::ports::{SecretStore, StoreError, StoreErrorKind};
use gateway_core::reference::{ResolvedReference, VersionSelector};
use gateway_core::secret::Secret;

/// Reads one variable.
type Reader = Arc<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// The only version that a variable has: it cannot change while the process runs.
const VERSION: &str = "process";

/// Reads environment variables by name.
pub struct EnvStore {
    names: BTreeSet<String>,
    reader: Reader,
}

impl fmt::Debug for EnvStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvStore").field("names", &self.names).finish_non_exhaustive()
    }
}

impl EnvStore {
    /// A store of these variables of the process.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        // With the command line the only reader of the environment (see clippy.toml).
        Self::with_reader(names, Arc::new(|name| std::env::var_os(name)))
    }

    /// A store that reads its variables from elsewhere.
    pub fn with_reader(names: impl IntoIterator<Item = String>, reader: Reader) -> Self {
        Self { names: names.into_iter().collect(), reader }
    }

    fn read(&self, wanted: &ResolvedReference) -> Result<SecretVersion, StoreError> {
        let name = wanted.path.as_str();
        if !self.names.contains(name) {
            let inside = format!("the variable `{name}` is not on the store's list of names");
            return Err(StoreError::new(StoreErrorKind::Denied, inside));
        }
        if wanted.field.is_some() {
            return Err(StoreError::new(StoreErrorKind::Malformed, "a variable has no fields"));
        }
        match &wanted.version {
            None => {}
            Some(VersionSelector::Version(version)) if version == VERSION => {}
            Some(VersionSelector::Version(_)) => {
                return Err(StoreError::new(
                    StoreErrorKind::NotFound,
                    "a variable has only version `process`",
                ));
            }
            Some(VersionSelector::Stage(_)) => {
                return Err(StoreError::new(StoreErrorKind::Malformed, "a variable has no stages"));
            }
        }
        let Some(value) = (self.reader)(name) else {
            let inside = format!("the variable `{name}` is not set");
            return Err(StoreError::new(StoreErrorKind::NotFound, inside));
        };
        let secret = Secret::new(value.into_vec());
        if secret.is_empty() {
            return Err(StoreError::new(StoreErrorKind::Empty, format!("the variable `{name}` is empty")));
        }
        let version = VersionId::new(VERSION);
        Ok(SecretVersion { secret, version, created_at: None, expires_at: None, store_request_id: None })
    }
}

#[async_trait]
impl SecretStore for EnvStore {
    async fn fetch(&self, reference: &ResolvedReference) -> Result<Arc<SecretVersion>, StoreError> {
        self.read(reference).map(Arc::new)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
