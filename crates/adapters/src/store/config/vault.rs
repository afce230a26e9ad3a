//! OpenBao and Vault in the configuration.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::id::EnvironmentName;
use gateway_core::stores::{StoreClass, StoreEntry};
use gateway_core::time::Clock;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use super::{PathConfig, Plain, Shared, default_cache_seconds, default_timeout_ms, has_userinfo};
use crate::https::is_loopback;
use crate::store::assertion::StoreAssertions;
use crate::store::cached::CacheLimits;
use crate::store::vault::{
    CallerVault, KvVersion, Mount, SignedLogin, VaultLogin, VaultSettings, VaultStore, VaultWriter,
};

/// What a store says that needs keys and has none.
const UNSIGNED: &str = "auth: this login needs the gateway's signing keys (`signing`)";

store_configs! {
    /// OpenBao or Vault.
    VaultConfig {
        /// The address, or those of all nodes of one cluster.
        address: VaultAddress,
        /// How the gateway logs in.
        auth: VaultLogin,
        /// The namespace.
        #[serde(default)]
        namespace: Option<String>,
        /// PEM file of the certificate authorities to trust; the system's where absent.
        #[serde(default)]
        ca_file: Option<PathBuf>,
        /// The KV mounts, each with its version where that is another than `kv` says. Where absent, the
        /// first segment of a path is its mount.
        #[serde(default)]
        mounts: Vec<Mount>,
        /// The version of the KV mounts: 1, 2 or `detect`. Default 2.
        #[serde(default)]
        kv: KvVersion,
        /// The outbound proxy.
        #[serde(default)]
        proxy: Option<Url>,
        /// The path prefixes under which the gateway may write: where grants' tokens go. Default none.
        #[serde(default)]
        writable: Vec<String>,
    }
}

/// One address or several.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum VaultAddress {
    /// One node, or whatever balances between them.
    One(Url),
    /// The nodes of one cluster.
    Several(Vec<Url>),
}

// By hand, because an untagged enum answers every mistake with the same riddle.
impl<'de> Deserialize<'de> for VaultAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = VaultAddress;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as `https://vault.internal:8200`, or a list of them")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<VaultAddress, E> {
                Url::parse(text)
                    .map(VaultAddress::One)
                    .map_err(|error| E::custom(format!("address: {error}")))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<VaultAddress, A::Error> {
                let mut addresses = Vec::new();
                while let Some(address) = list.next_element()? {
                    addresses.push(address);
                }
                Ok(VaultAddress::Several(addresses))
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

impl VaultAddress {
    pub(super) fn all(&self) -> &[Url] {
        match self {
            Self::One(address) => std::slice::from_ref(address),
            Self::Several(addresses) => addresses,
        }
    }
}

impl VaultConfig {
    pub(super) fn validate(&self, problems: &mut Vec<String>) {
        if self.address.all().is_empty() {
            problems.push("address: name at least one".to_owned());
        }
        for address in self.address.all() {
            if address.scheme() != "https" && !(address.scheme() == "http" && is_loopback(address)) {
                problems.push("address: must be https (plain http only to a loopback address)".to_owned());
            }
            if has_userinfo(address) || address.query().is_some() || address.fragment().is_some() {
                problems.push("address: no user, password, query or fragment may stand in it".to_owned());
            }
        }
        if self.proxy.as_ref().is_some_and(has_userinfo) {
            problems.push("proxy: no user or password may stand in it".to_owned());
        }
        self.auth.validate(problems);
        if matches!(self.auth, VaultLogin::Caller(_)) && !self.writable.is_empty() {
            problems
                .push("writable: nothing is written where every caller has a login of its own".to_owned());
        }
        if matches!(self.auth, VaultLogin::Cert(_))
            && self.address.all().iter().any(|address| address.scheme() != "https")
        {
            problems.push("auth.cert: needs https addresses".to_owned());
        }
        let mounts = self.mounts.iter().map(|mount| mount.mount.as_str()).chain(self.auth.mount());
        if mounts.into_iter().any(|mount| mount.split('/').any(|part| matches!(part, "" | "." | ".."))) {
            problems.push("mounts, auth: a mount is written without leading or trailing `/`".to_owned());
        }
        for (index, prefix) in self.writable.iter().enumerate() {
            let path = prefix.trim_start_matches('/');
            let mut segments = path.strip_suffix('/').unwrap_or(path).split('/');
            if segments.any(|segment| matches!(segment, "" | "." | ".."))
                || path.contains(['{', '}', '*', '#', '?', '%'])
            {
                problems.push(format!("writable[{index}]: a plain path, a prefix with `/` at its end"));
            }
        }
        let plain = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        if self.namespace.as_deref().is_some_and(|name| !plain(name)) {
            problems.push("namespace: empty, or with spaces or special characters".to_owned());
        }
    }

    fn settings(&self) -> VaultSettings {
        VaultSettings {
            addresses: self.address.all().to_vec(),
            login: self.auth.clone(),
            namespace: self.namespace.clone(),
            mounts: self.mounts.clone(),
            kv: self.kv,
            ca_file: self.ca_file.clone(),
            proxy: self.proxy.clone(),
            timeout: Duration::from_millis(self.timeout_ms),
        }
    }
    /// The store without its decorators.
    pub(super) fn plain(
        &self,
        assertions: Option<&Arc<StoreAssertions>>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Plain, String> {
        if self.auth.is_signed() && assertions.is_none() {
            return Err(UNSIGNED.to_owned());
        }
        let store = VaultStore::signing(self.settings(), assertions.cloned(), clock.clone());
        let store = store.map_err(|error| error.to_string())?;
        let mut plain = Plain::external(store.clone());
        plain.leasing = Some(Arc::new(store.clone()));
        if !self.writable.is_empty() {
            plain.writer = Some(Arc::new(VaultWriter::new(store, self.writable.clone())));
        }
        Ok(plain)
    }

    /// The store for callers who log in as themselves: its decorators are each caller's own.
    pub(super) fn for_callers(
        &self,
        login: &SignedLogin,
        assertions: Option<&Arc<StoreAssertions>>,
        limits: CacheLimits,
        clock: Arc<dyn Clock>,
    ) -> Result<StoreEntry, String> {
        let assertions = assertions.ok_or_else(|| UNSIGNED.to_owned())?;
        let callers = CallerVault::new(self.settings(), login.clone(), assertions.clone(), limits, clock);
        let callers = Arc::new(callers.map_err(|error| error.to_string())?);
        Ok(StoreEntry {
            store: callers.clone(),
            uncached: callers.clone(),
            cache: callers,
            leasing: None,
            writer: None,
            class: StoreClass::External,
            environments: self.environments.clone(),
            paths: self.shared().delegations(),
        })
    }
}
