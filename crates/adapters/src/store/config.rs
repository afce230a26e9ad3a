//! The `stores` section of the configuration.
//!
//! No field takes a secret: credentials are named by file, and unknown fields are refused. The common
//! fields are repeated in each kind, because flattening would let unknown fields pass.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gateway_core::id::{EnvironmentName, StoreName, TeamName};
use gateway_core::ports::{LeasingStore, SecretStore, SecretWriter};
use gateway_core::stores::{PathDelegation, StoreClass, StoreEntry};
use gateway_core::time::Clock;
use serde::{Deserialize, Serialize};
use url::Url;

use super::assertion::StoreAssertions;
use super::aws::{ParameterStore, SecretsManager};
use super::azure::AzureKeyVault;
use super::breaker::{Breaker, BreakerLimits};
use super::cached::{CacheLimits, Cached};
use super::deadline::Deadline;
use super::env::EnvStore;
use super::exec::ExecStore;
use super::file::FileStore;
use super::forgetting::Forgetting;
use super::google::GoogleSecretManager;
use super::kubernetes::KubernetesSecrets;
use super::onepassword::OnePasswordConnect;
use super::sealed::SealedStore;
use super::vault::VaultLogin;

/// One store of the configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StoreConfig {
    /// The embedded store.
    Sealed(SealedConfig),
    /// OpenBao or Vault.
    Vault(Box<VaultConfig>),
    /// Files.
    File(FileConfig),
    /// Environment variables of the gateway.
    Env(EnvConfig),
    /// A program.
    Exec(Box<ExecConfig>),
    /// AWS Secrets Manager.
    AwsSecretsManager(Box<AwsSecretsManagerConfig>),
    /// AWS Systems Manager Parameter Store.
    AwsParameterStore(Box<AwsParameterStoreConfig>),
    /// Google Secret Manager.
    GoogleSecretManager(Box<GoogleSecretManagerConfig>),
    /// Azure Key Vault.
    AzureKeyVault(Box<AzureKeyVaultConfig>),
    /// Secrets of a Kubernetes cluster.
    KubernetesSecrets(Box<KubernetesSecretsConfig>),
    /// A 1Password Connect server.
    #[serde(rename = "onepassword_connect")]
    OnePasswordConnect(Box<OnePasswordConnectConfig>),
}

/// A path prefix and the teams that may name paths under it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathConfig {
    /// The prefix, ending in `/` or naming one path exactly.
    pub prefix: String,
    /// The owner teams.
    pub owners: Vec<TeamName>,
}

macro_rules! store_configs {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
            /// The environments it serves.
            pub environments: Vec<EnvironmentName>,
            /// Who may name which paths.
            #[serde(default)]
            pub paths: Vec<PathConfig>,
            /// How long a value serves from memory, in seconds; 0 switches the cache off. Default 60.
            #[serde(default = "default_cache_seconds")]
            pub cache_seconds: u64,
            /// How long one fetch may take, in milliseconds. Default 3000.
            #[serde(default = "default_timeout_ms")]
            pub timeout_ms: u64,
        }

        impl $name {
            pub(in crate::store::config) fn shared(&self) -> Shared<'_> {
                Shared {
                    environments: &self.environments,
                    paths: &self.paths,
                    cache_seconds: self.cache_seconds,
                    timeout_ms: self.timeout_ms,
                }
            }
        }
    )+};
}

mod aws;
mod clouds;
mod exec;
mod vault;
mod whereabouts;

pub use self::aws::{AwsParameterStoreConfig, AwsSecretsManagerConfig};
pub use self::clouds::{
    AzureKeyVaultConfig, GoogleSecretManagerConfig, KubernetesSecretsConfig, OnePasswordConnectConfig,
};
pub use self::exec::ExecConfig;
pub use self::vault::{VaultAddress, VaultConfig};

store_configs! {
    /// The embedded store.
    SealedConfig {
        /// The file of the sealed values.
        path: PathBuf,
        /// The file of the key: 32 bytes as base64 or hex, readable by the gateway alone. Made where
        /// neither it nor the store exists.
        key_file: PathBuf,
    }
    /// Files.
    FileConfig {
        /// The directory that nothing outside of is read. Where absent, paths are absolute.
        #[serde(default)]
        base: Option<PathBuf>,
        /// Whether the files may be readable by their group. Default no.
        #[serde(default)]
        allow_group_read: bool,
    }
    /// Environment variables of the gateway.
    EnvConfig {
        /// The variables that may be read.
        names: Vec<String>,
    }
}

/// What every kind has.
struct Shared<'a> {
    environments: &'a [EnvironmentName],
    paths: &'a [PathConfig],
    cache_seconds: u64,
    timeout_ms: u64,
}

/// Why a store cannot be made.
#[derive(Debug, Clone, thiserror::Error)]
#[error("store `{store}`: {reason}")]
pub struct StoreBuildError {
    /// The store's name.
    pub store: StoreName,
    /// What is in the way.
    pub reason: String,
}

const fn default_cache_seconds() -> u64 {
    60
}

const fn default_timeout_ms() -> u64 {
    3_000
}

impl StoreConfig {
    fn shared(&self) -> Shared<'_> {
        match self {
            Self::Sealed(config) => config.shared(),
            Self::Vault(config) => config.shared(),
            Self::File(config) => config.shared(),
            Self::Env(config) => config.shared(),
            Self::Exec(config) => config.shared(),
            Self::AwsSecretsManager(config) => config.shared(),
            Self::AwsParameterStore(config) => config.shared(),
            Self::GoogleSecretManager(config) => config.shared(),
            Self::AzureKeyVault(config) => config.shared(),
            Self::KubernetesSecrets(config) => config.shared(),
            Self::OnePasswordConnect(config) => config.shared(),
        }
    }

    /// The environments it serves.
    pub fn environments(&self) -> &[EnvironmentName] {
        self.shared().environments
    }

    /// Takes relative paths as relative to this directory: that of the configuration file.
    pub fn rebase(&mut self, directory: &Path) {
        let files: Vec<&mut PathBuf> = match self {
            Self::Sealed(config) => vec![&mut config.path, &mut config.key_file],
            Self::Vault(config) => config.ca_file.iter_mut().chain(config.auth.files_mut()).collect(),
            Self::File(config) => config.base.iter_mut().collect(),
            Self::AwsSecretsManager(config) => config.files(),
            Self::AwsParameterStore(config) => config.files(),
            Self::GoogleSecretManager(config) => config.files(),
            Self::AzureKeyVault(config) => config.files(),
            Self::KubernetesSecrets(config) => config.files(),
            Self::OnePasswordConnect(config) => config.files(),
            Self::Env(_) | Self::Exec(_) => Vec::new(),
        };
        for file in files {
            *file = directory.join(&*file);
        }
    }

    /// Every problem at once, each naming its field. Reads nothing.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = self.shared().validate();
        match self {
            Self::Sealed(config) if config.path == config.key_file => {
                problems.push("key_file: must be another file than `path`".to_owned());
            }
            Self::Sealed(_) | Self::File(_) => {}
            Self::Vault(config) => config.validate(&mut problems),
            Self::Env(config) => config.validate(&mut problems),
            Self::Exec(config) => config.validate(&mut problems),
            Self::AwsSecretsManager(config) => config.validate(&mut problems),
            Self::AwsParameterStore(config) => config.validate(&mut problems),
            Self::GoogleSecretManager(config) => config.validate(&mut problems),
            Self::AzureKeyVault(config) => config.validate(&mut problems),
            Self::KubernetesSecrets(config) => config.validate(&mut problems),
            Self::OnePasswordConnect(config) => config.validate(&mut problems),
        }
        problems
    }

    /// Makes the store with its decorators. No network, no file but those of the sealed store and
    /// the certificate authorities.
    ///
    /// # Errors
    /// Why it cannot be made; [`StoreConfig::validate`] finds most of it earlier.
    pub fn build(&self, name: &StoreName, clock: Arc<dyn Clock>) -> Result<StoreEntry, StoreBuildError> {
        self.build_signing(name, clock, None)
    }

    /// Whether [`StoreConfig::build_signing`] needs the gateway's signing keys for it.
    pub fn is_signed(&self) -> bool {
        matches!(self, Self::Vault(config) if config.auth.is_signed())
    }

    /// The same as [`StoreConfig::build`], for a store that the gateway logs in to with what it signs.
    ///
    /// # Errors
    /// As there; also where it needs the keys and there are none.
    pub fn build_signing(
        &self,
        name: &StoreName,
        clock: Arc<dyn Clock>,
        assertions: Option<&Arc<StoreAssertions>>,
    ) -> Result<StoreEntry, StoreBuildError> {
        let failed = |reason: String| StoreBuildError { store: name.clone(), reason };
        let problems = self.validate();
        if !problems.is_empty() {
            return Err(failed(problems.join("; ")));
        }
        let shared = self.shared();
        let limits = CacheLimits::with_time_to_live(Duration::from_secs(shared.cache_seconds));
        if let Self::Vault(config) = self
            && let VaultLogin::Caller(login) = &config.auth
        {
            return config.for_callers(login, assertions, limits, clock).map_err(failed);
        }
        let Plain { store, class, writer, leasing } = self.plain(name, &clock, assertions).map_err(failed)?;
        let limited = Arc::new(Deadline::new(store, Duration::from_millis(shared.timeout_ms)));
        let limited: Arc<dyn SecretStore> =
            Arc::new(Breaker::new(limited, BreakerLimits::default(), clock.clone()));
        let cached = Arc::new(Cached::new(Arc::clone(&limited), limits, clock));
        let writer = writer.map(|writer| -> Arc<dyn SecretWriter> {
            Arc::new(Forgetting::new(writer, cached.clone(), name.clone()))
        });
        Ok(StoreEntry {
            store: cached.clone(),
            uncached: limited,
            cache: cached,
            leasing,
            writer,
            class,
            environments: shared.environments.to_vec(),
            paths: shared.delegations(),
        })
    }

    /// The store without its decorators.
    fn plain(
        &self,
        name: &StoreName,
        clock: &Arc<dyn Clock>,
        assertions: Option<&Arc<StoreAssertions>>,
    ) -> Result<Plain, String> {
        Ok(match self {
            Self::Sealed(config) => {
                let store = SealedStore::open(name.as_str(), &config.path, &config.key_file);
                let store = store.map_err(|error| error.to_string())?;
                Plain { writer: Some(Arc::new(store.clone())), ..Plain::local(store) }
            }
            Self::Vault(config) => config.plain(assertions, clock)?,
            Self::File(config) => Plain::local(FileStore::new(config.base.clone(), config.allow_group_read)),
            Self::Env(config) => Plain::local(EnvStore::new(config.names.iter().cloned())),
            Self::Exec(config) => {
                Plain::local(ExecStore::new(config.settings()).map_err(|error| error.to_string())?)
            }
            Self::AwsSecretsManager(config) => {
                let store = SecretsManager::new(config.settings(), clock.clone());
                Plain::external(store.map_err(|error| error.to_string())?)
            }
            Self::AwsParameterStore(config) => {
                let store = ParameterStore::new(config.settings(), clock.clone());
                Plain::external(store.map_err(|error| error.to_string())?)
            }
            Self::GoogleSecretManager(config) => {
                let store = GoogleSecretManager::new(config.settings(), clock.clone());
                Plain::external(store.map_err(|error| error.to_string())?)
            }
            Self::AzureKeyVault(config) => {
                let store = AzureKeyVault::new(config.settings(), clock.clone());
                Plain::external(store.map_err(|error| error.to_string())?)
            }
            Self::KubernetesSecrets(config) => {
                let settings = config.settings().map_err(|error| error.to_string())?;
                let store = KubernetesSecrets::new(settings, clock.clone());
                Plain::external(store.map_err(|error| error.to_string())?)
            }
            Self::OnePasswordConnect(config) => {
                let store = OnePasswordConnect::new(config.settings(), clock.clone());
                Plain::external(store.map_err(|error| error.to_string())?)
            }
        })
    }
}

/// A store without decorators, and what else it is.
struct Plain {
    store: Arc<dyn SecretStore>,
    class: StoreClass,
    writer: Option<Arc<dyn SecretWriter>>,
    leasing: Option<Arc<dyn LeasingStore>>,
}

impl Plain {
    fn local(store: impl SecretStore + 'static) -> Self {
        Self { store: Arc::new(store), class: StoreClass::Local, writer: None, leasing: None }
    }

    fn external(store: impl SecretStore + 'static) -> Self {
        Self { class: StoreClass::External, ..Self::local(store) }
    }
}

impl Shared<'_> {
    fn delegations(&self) -> Vec<PathDelegation> {
        let owned =
            |path: &PathConfig| PathDelegation { prefix: path.prefix.clone(), owners: path.owners.clone() };
        self.paths.iter().map(owned).collect()
    }

    fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.environments.is_empty() {
            problems.push("environments: name at least one".to_owned());
        }
        if self.environments.iter().collect::<BTreeSet<_>>().len() != self.environments.len() {
            problems.push("environments: one is named twice".to_owned());
        }
        let mut seen = BTreeSet::new();
        for (index, path) in self.paths.iter().enumerate() {
            let prefix = path.prefix.trim_start_matches('/');
            let segments = prefix.strip_suffix('/').unwrap_or(prefix).split('/');
            if segments.into_iter().any(|segment| matches!(segment, "" | "." | "..")) {
                problems.push(format!("paths[{index}].prefix: empty, or with an empty, `.` or `..` segment"));
            }
            if prefix.contains(['{', '}', '*', '#', '?', '%']) {
                problems.push(format!("paths[{index}].prefix: a plain path, without patterns or templates"));
            }
            if path.owners.is_empty() {
                problems.push(format!("paths[{index}].owners: name at least one team"));
            }
            if !seen.insert(prefix) {
                problems.push(format!("paths[{index}].prefix: delegated twice; list the teams in one entry"));
            }
        }
        if self.cache_seconds > 300 {
            problems.push("cache_seconds: at most 300".to_owned());
        }
        if !(50..=30_000).contains(&self.timeout_ms) {
            problems.push("timeout_ms: from 50 to 30000".to_owned());
        }
        problems
    }
}

impl EnvConfig {
    fn validate(&self, problems: &mut Vec<String>) {
        if self.names.is_empty() {
            problems.push("names: list the variables that may be read".to_owned());
        }
        if let Some(index) = self.names.iter().position(|name| !is_variable(name)) {
            problems.push(format!("names[{index}]: letters, digits and `_` only"));
        }
    }
}

/// Whether this is the name of a variable.
fn is_variable(name: &str) -> bool {
    let inner = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    inner && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
}

fn has_userinfo(address: &Url) -> bool {
    !address.username().is_empty() || address.password().is_some()
}

#[cfg(test)]
mod tests;
