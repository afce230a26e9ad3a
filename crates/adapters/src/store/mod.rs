//! Secret stores and their decorators.
//!
//! A configured store is `Cached(Deadline(store))`: see [`StoreConfig::build`].

mod blocking;
mod cached;
mod config;
mod deadline;
mod env;
mod file;
mod forgetting;
pub(crate) mod json_text;
pub(crate) mod private_file;
mod sealed;
mod vault;

pub use self::cached::{CacheLimits, Cached};
pub use self::config::{
    EnvConfig, FileConfig, PathConfig, SealedConfig, StoreBuildError, StoreConfig, VaultAddress, VaultConfig,
};
pub use self::deadline::Deadline;
pub use self::env::EnvStore;
pub use self::file::{FileStore, MAX_FILE};
pub use self::forgetting::Forgetting;
pub use self::sealed::{KEPT_VERSIONS, MAX_VALUE, SealedError, SealedStore};
pub use self::vault::{
    AppRole, JwtLogin, KubernetesLogin, VaultLogin, VaultSettings, VaultStore, VaultWriter,
};
