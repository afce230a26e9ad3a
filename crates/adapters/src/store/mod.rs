//! Secret stores and their decorators.
//!
//! A configured store is `Cached(Breaker(Deadline(store)))`: see [`StoreConfig::build`].

mod assertion;
mod aws;
mod blocking;
mod breaker;
mod cached;
mod config;
mod deadline;
mod env;
mod exec;
mod file;
mod forgetting;
pub(crate) mod json_text;
mod login_file;
pub(crate) mod private_file;
mod sealed;
mod vault;

pub use self::assertion::StoreAssertions;
pub use self::aws::{
    AwsLogin, AwsSettings, Container, CredentialsFile, ParameterStore, SecretsManager, WebIdentity,
};
pub use self::breaker::{Breaker, BreakerLimits};
pub use self::cached::{CacheLimits, Cached};
pub use self::config::{
    AwsParameterStoreConfig, AwsSecretsManagerConfig, EnvConfig, ExecConfig, FileConfig, PathConfig,
    SealedConfig, StoreBuildError, StoreConfig, VaultAddress, VaultConfig,
};
pub use self::deadline::Deadline;
pub use self::env::EnvStore;
pub use self::exec::{ExecProgramError, ExecSettings, ExecStore, MAX_ANSWER};
pub use self::file::{FileStore, MAX_FILE};
pub use self::forgetting::Forgetting;
pub use self::sealed::{KEPT_VERSIONS, MAX_VALUE, SealedError, SealedStore};
pub use self::vault::{
    AppRole, CallerVault, CertLogin, JwtLogin, KubernetesLogin, KvVersion, Mount, SignedLogin, VaultLogin,
    VaultSettings, VaultStore, VaultWriter, WrappedAppRole,
};
