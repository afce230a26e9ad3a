//! OpenBao and Vault: KV version 2 over their HTTP API.
//!
//! The first segment of a path is the mount, unless the configuration lists mounts. A `403` is looked
//! into once: where our token is dead, one login and one more try follow; where it lives, it is the
//! policy's answer.

mod lease;
mod login;
mod token;
mod wire;
mod write;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::ports::{SecretStore, StoreError, StoreErrorKind};
use gateway_core::reference::{ResolvedReference, VersionSelector};
use gateway_core::time::{Clock, Timestamp};
use http::Method;
use url::Url;

pub use self::login::{AppRole, JwtLogin, KubernetesLogin, VaultLogin};
use self::token::Tokens;
use self::wire::{Answer, Wire};
pub use self::write::VaultWriter;
use super::json_text::secret_field;
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
    /// The KV version 2 mounts; the first path segment where empty.
    pub mounts: Vec<String>,
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
    mounts: Vec<String>,
    clock: Arc<dyn Clock>,
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
        let nodes = u32::try_from(settings.addresses.len()).unwrap_or(u32::MAX - 1);
        let outbound = OutboundConfig {
            ca_file: settings.ca_file,
            proxy: settings.proxy,
            timeout: settings.timeout,
            // A node that swallows connections must leave time for the others.
            connect_timeout: settings.timeout / nodes.saturating_add(1),
            max_body: 4 * 1024 * 1024,
            ..OutboundConfig::default()
        };
        let wire = Arc::new(Wire::new(&outbound, settings.addresses, settings.namespace)?);
        let tokens = Arc::new(Tokens::new(wire.clone(), settings.login));
        Ok(Self { wire, tokens, mounts: settings.mounts, clock })
    }

    /// Splits the path into mount and the path within it.
    fn split<'a>(&self, path: &'a str) -> Result<(&'a str, &'a str), StoreError> {
        let path = path.trim_start_matches('/');
        let split = if self.mounts.is_empty() {
            path.split_once('/')
        } else {
            let within = |mount: &String| path.strip_prefix(mount.as_str())?.strip_prefix('/');
            let longest = self.mounts.iter().filter(|mount| within(mount).is_some()).max_by_key(|m| m.len());
            longest
                .and_then(|mount| path.split_at_checked(mount.len()))
                .map(|(mount, rest)| (mount, rest.trim_start_matches('/')))
        };
        split.filter(|(mount, rest)| !mount.is_empty() && !rest.is_empty()).ok_or_else(|| {
            let known = match self.mounts.as_slice() {
                [] => "write `store://mount/path#field`".to_owned(),
                mounts => format!("the configured mounts are {}", mounts.join(", ")),
            };
            StoreError::new(StoreErrorKind::Malformed, format!("the path is in no mount: {known}"))
        })
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

/// The pinned version. Zero would mean the newest one to the store, so it is refused.
fn pinned(wanted: Option<&VersionSelector>) -> Result<Option<u64>, StoreError> {
    let malformed = |inside: &str| StoreError::new(StoreErrorKind::Malformed, inside);
    match wanted {
        None => Ok(None),
        Some(VersionSelector::Stage(_)) => Err(malformed("this store has versions, not stages")),
        Some(VersionSelector::Version(text)) => match text.parse::<u64>() {
            Ok(number) if number > 0 && number.to_string() == *text => Ok(Some(number)),
            _ => Err(malformed("the version must be a number from 1")),
        },
    }
}

/// Makes the secret version of a KV version 2 answer.
fn secret_version(
    answer: &Answer,
    field: &str,
    pin: Option<u64>,
    now: Timestamp,
) -> Result<SecretVersion, StoreError> {
    let malformed = |inside: &str| StoreError::new(StoreErrorKind::Malformed, inside);
    let body = answer.kv().ok_or_else(|| malformed("the answer is not one of a KV version 2 mount"))?;
    let metadata = body.data.metadata;
    if pin.is_some_and(|pin| pin != metadata.version) {
        return Err(malformed("the store answered with another version than the pinned one"));
    }
    // A deletion in the future is `delete_version_after` at work.
    let deletion = Timestamp::parse(&metadata.deletion_time).ok();
    let fields = body.data.data.filter(|_| !metadata.destroyed && deletion.is_none_or(|at| at > now));
    let Some(fields) = fields else {
        let inside = format!("version {} is deleted or destroyed", metadata.version);
        return Err(StoreError::new(StoreErrorKind::NotFound, inside));
    };
    Ok(SecretVersion {
        secret: secret_field(&fields, field)?,
        version: VersionId::new(&metadata.version.to_string()),
        created_at: Timestamp::parse(&metadata.created_time).ok(),
        expires_at: deletion,
        store_request_id: body.request_id.as_deref().map(VersionId::new),
    })
}

#[async_trait]
impl SecretStore for VaultStore {
    async fn fetch(&self, reference: &ResolvedReference) -> Result<Arc<SecretVersion>, StoreError> {
        let field = reference.field.as_deref().ok_or_else(|| {
            StoreError::new(StoreErrorKind::Malformed, "name the field: `store://mount/path#field`")
        })?;
        let pin = pinned(reference.version.as_ref())?;
        let (mount, path) = self.split(&reference.path)?;
        let segments: Vec<&str> =
            mount.split('/').chain(std::iter::once("data")).chain(path.split('/')).collect();
        let answer = self.read(&segments, pin).await?;
        match answer.status {
            200 => secret_version(&answer, field, pin, self.clock.now()).map(Arc::new),
            404 => {
                let inside = match answer.kv() {
                    Some(_) => "the version is deleted or destroyed",
                    None => "there is no such path, version or mount",
                };
                Err(answer.error(StoreErrorKind::NotFound, inside))
            }
            _ => Err(answer.failure()),
        }
    }

    fn keeps_versions(&self) -> bool {
        true
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
