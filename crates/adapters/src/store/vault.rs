//! OpenBao and Vault: KV in both its versions, over their HTTP API.
//!
//! The first segment of a path is the mount, unless the configuration lists mounts. A `403` is looked
//! into once: where our token is dead, one login and one more try follow; where it lives, it is the
//! policy's answer.

mod callers;
mod door;
mod kv;
mod lease;
mod login;
mod token;
mod wire;
mod wrapped;
mod write;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::lease::SecretVersion;
use gateway_core::ports::{SecretStore, StoreError, StoreErrorKind};
use gateway_core::reference::ResolvedReference;
use gateway_core::secret::FingerprintKey;
use gateway_core::time::Clock;
use http::Method;
use url::Url;

pub use self::callers::CallerVault;
use self::door::Door;
use self::kv::{Detected, detected, gone, of_version_1, of_version_2, pinned};
pub use self::kv::{KvVersion, Mount};
pub use self::login::{
    AppRole, CertLogin, JwtLogin, KubernetesLogin, SignedLogin, VaultLogin, WrappedAppRole,
};
use self::token::Tokens;
use self::wire::{Answer, Wire};
pub use self::write::VaultWriter;
use super::assertion::{Asserted, StoreAssertions};
use crate::https::{OutboundBuildError, OutboundConfig};

/// What a [`VaultStore`] is made of.
#[derive(Debug, Clone)]
pub struct VaultSettings {
    /// The nodes of one cluster; never empty.
    pub addresses: Vec<Url>,
    /// How the gateway logs in.
    pub login: VaultLogin,
    /// The namespace, sent with every request.
    pub namespace: Option<String>,
    /// The KV mounts; the first path segment where empty.
    pub mounts: Vec<Mount>,
    /// The version of a mount that says none.
    pub kv: KvVersion,
    /// PEM file of the certificate authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// The outbound proxy.
    pub proxy: Option<Url>,
    /// The time for one request.
    pub timeout: Duration,
}

/// Secrets of an OpenBao or Vault cluster. Clones share their login.
#[derive(Clone)]
pub struct VaultStore {
    wire: Arc<Wire>,
    tokens: Arc<Tokens>,
    mounts: Arc<Mounts>,
    clock: Arc<dyn Clock>,
}

/// What is known of the mounts.
struct Mounts {
    named: Vec<Mount>,
    otherwise: KvVersion,
    detected: Detected,
    /// Of this process: what names the values of mounts that name no version.
    key: FingerprintKey,
}

impl Mounts {
    fn new(named: Vec<Mount>, otherwise: KvVersion) -> Result<Self, OutboundBuildError> {
        let mut key = [0_u8; 32];
        let no_randomness = |_| OutboundBuildError::Client("no randomness".to_owned());
        aws_lc_rs::rand::fill(&mut key).map_err(no_randomness)?;
        Ok(Self { named, otherwise, detected: Detected::default(), key: FingerprintKey::new(key) })
    }
}

impl fmt::Debug for VaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultStore").field("wire", &self.wire).finish_non_exhaustive()
    }
}

impl VaultStore {
    /// Makes the store. Reads the certificate authorities, touches no network.
    ///
    /// # Errors
    /// The certificate authorities or the addresses cannot be used.
    pub fn new(settings: VaultSettings, clock: Arc<dyn Clock>) -> Result<Self, OutboundBuildError> {
        Self::signing(settings, None, clock)
    }

    /// The same, with what it needs to log in with a token that the gateway signs about itself.
    ///
    /// # Errors
    /// As [`VaultStore::new`].
    pub fn signing(
        settings: VaultSettings,
        assertions: Option<Arc<StoreAssertions>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OutboundBuildError> {
        let wire = Arc::new(wire(&settings)?);
        let mounts = Arc::new(Mounts::new(settings.mounts, settings.kv)?);
        let door = Door::new(settings.login, assertions, Asserted::gateway());
        Ok(Self { tokens: Arc::new(Tokens::new(wire.clone(), door)), wire, mounts, clock })
    }

    /// Gives the token up.
    async fn log_out(&self) -> Result<(), StoreError> {
        self.tokens.log_out().await
    }

    /// Splits the path into mount and the path within it.
    fn split<'a>(&self, path: &'a str) -> Result<(&'a str, &'a str), StoreError> {
        let path = path.trim_start_matches('/');
        let named = self.mounts.named.iter().map(|mount| mount.mount.as_str());
        let split = if self.mounts.named.is_empty() {
            path.split_once('/')
        } else {
            let within = |mount: &&str| path.strip_prefix(*mount)?.strip_prefix('/');
            let longest = named.clone().filter(|mount| within(mount).is_some()).max_by_key(|m| m.len());
            longest
                .and_then(|mount| path.split_at_checked(mount.len()))
                .map(|(mount, rest)| (mount, rest.trim_start_matches('/')))
        };
        split.filter(|(mount, rest)| !mount.is_empty() && !rest.is_empty()).ok_or_else(|| {
            let known = match named.collect::<Vec<_>>().as_slice() {
                [] => "write `store://mount/path#field`".to_owned(),
                mounts => format!("the configured mounts are {}", mounts.join(", ")),
            };
            StoreError::new(StoreErrorKind::Malformed, format!("the path is in no mount: {known}"))
        })
    }

    /// Which version of KV the mount is: as configured, or as the store says.
    async fn version_of(&self, mount: &str) -> Result<KvVersion, StoreError> {
        let named = self.mounts.named.iter().find(|named| named.mount == mount);
        match named.and_then(|named| named.kv).unwrap_or(self.mounts.otherwise) {
            KvVersion::Detect => {}
            version => return Ok(version),
        }
        if let Some(version) = self.mounts.detected.known(mount) {
            return Ok(version);
        }
        let segments: Vec<&str> =
            ["sys", "internal", "ui", "mounts"].into_iter().chain(mount.split('/')).collect();
        let answer = self.read(&segments, None).await?;
        let version = detected(&answer, mount)?;
        self.mounts.detected.learn(mount, version);
        Ok(version)
    }

    /// Reads once, and once more where the token turns out to be dead.
    async fn read(&self, segments: &[&str], version: Option<u64>) -> Result<Answer, StoreError> {
        self.call(Method::GET, segments, version, None).await
    }

    /// Asks once, and once more where the token turns out to be dead: a refused request did nothing.
    async fn exchange(
        &self,
        method: Method,
        segments: &[&str],
        body: Option<&[u8]>,
    ) -> Result<Answer, StoreError> {
        self.call(method, segments, None, body).await
    }

    async fn call(
        &self,
        method: Method,
        segments: &[&str],
        version: Option<u64>,
        body: Option<&[u8]>,
    ) -> Result<Answer, StoreError> {
        let token = self.tokens.current().await?;
        let answer = self.wire.call(method.clone(), segments, version, Some(&token), body).await?;
        if answer.status != 403 || self.tokens.is_alive(&token).await? {
            return Ok(answer);
        }
        let token = self.tokens.replace(&token).await?;
        self.wire.call(method, segments, version, Some(&token), body).await
    }
}

/// The way to the cluster.
fn wire(settings: &VaultSettings) -> Result<Wire, OutboundBuildError> {
    let nodes = u32::try_from(settings.addresses.len()).unwrap_or(u32::MAX - 1);
    let outbound = OutboundConfig {
        ca_file: settings.ca_file.clone(),
        proxy: settings.proxy.clone(),
        timeout: settings.timeout,
        // A node that swallows connections must leave time for the others.
        connect_timeout: settings.timeout / nodes.saturating_add(1),
        max_body: 4 * 1024 * 1024,
        ..OutboundConfig::default()
    };
    Wire::new(&outbound, settings.addresses.clone(), settings.namespace.clone())
}

#[async_trait]
impl SecretStore for VaultStore {
    async fn fetch(&self, reference: &ResolvedReference) -> Result<Arc<SecretVersion>, StoreError> {
        let field = reference.field.as_deref().ok_or_else(|| {
            StoreError::new(StoreErrorKind::Malformed, "name the field: `store://mount/path#field`")
        })?;
        let pin = pinned(reference.version.as_ref())?;
        let (mount, path) = self.split(&reference.path)?;
        let version = self.version_of(mount).await?;
        if version == KvVersion::V1 && pin.is_some() {
            let inside =
                format!("mount `{mount}` is KV version 1, which keeps no versions: leave `?version=` out");
            return Err(StoreError::new(StoreErrorKind::Malformed, inside));
        }
        let area = (version != KvVersion::V1).then_some("data");
        let segments: Vec<&str> = mount.split('/').chain(area).chain(path.split('/')).collect();
        let answer = self.read(&segments, pin).await?;
        match (answer.status, version) {
            (200, KvVersion::V1) => of_version_1(&answer, field, &self.mounts.key).map(Arc::new),
            (200, _) => of_version_2(&answer, field, pin, self.clock.now()).map(Arc::new),
            (404, _) => Err(gone(&answer)),
            _ => Err(answer.failure()),
        }
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let token = self.tokens.current().await?;
        if self.tokens.is_alive(&token).await? {
            return Ok(());
        }
        let token = self.tokens.replace(&token).await?;
        match self.tokens.is_alive(&token).await? {
            true => Ok(()),
            false => Err(StoreError::new(StoreErrorKind::Denied, "the store refuses our token")),
        }
    }
}

#[cfg(test)]
mod tests;
