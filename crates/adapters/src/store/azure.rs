//! Azure Key Vault secrets, over its REST protocol (`Get Secret`).

mod login;
mod token;

use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::ports::{SecretStore, StoreError, StoreErrorKind};
use gateway_core::reference::{ResolvedReference, VersionSelector};
use gateway_core::time::{Clock, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

pub use self::login::{AzureLogin, ClientAssertion, ManagedIdentity};
use super::cloud::{Answer, Dialect, Reach, Service, below, is_name, segments};
use super::json_text::{secret_member, secret_value};
use crate::https::OutboundBuildError;

/// A value is at most 25 KiB.
const LARGEST_ANSWER: usize = 256 * 1024;

/// The version of the protocol that is spoken; also the newest that sovereign clouds have.
const API_VERSION: &str = "7.4";

/// Whom the token is for, in the public cloud.
const RESOURCE: &str = "https://vault.azure.net";

const DIALECT: Dialect = Dialect { name: "Azure", request_id: Some("x-ms-request-id"), error_name };

/// What a store at Azure is made of.
#[derive(Debug, Clone)]
pub struct AzureSettings {
    /// The vaults that references may name.
    pub vaults: Vec<String>,
    /// How the gateway logs in.
    pub login: AzureLogin,
    /// Another address than the vault's own in the public cloud; for exactly one vault.
    pub endpoint: Option<Url>,
    /// Whom the token is for, where it is not the public cloud.
    pub resource: Option<String>,
    /// How it is reached.
    pub reach: Reach,
}

/// Secrets of the named vaults. A field selects a key of a JSON object.
#[derive(Debug)]
pub struct AzureKeyVault {
    service: Service,
    vaults: Vec<(String, Url)>,
    clock: Arc<dyn Clock>,
}

#[derive(Deserialize)]
struct Bundle<'a> {
    id: String,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    attributes: Attributes,
}

/// Times in seconds since the Unix epoch.
#[derive(Deserialize)]
struct Attributes {
    enabled: bool,
    #[serde(default)]
    created: Option<i64>,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    exp: Option<i64>,
}

impl AzureKeyVault {
    /// Makes the store. Reads the certificate authorities, touches no network.
    ///
    /// # Errors
    /// The certificate authorities or the addresses cannot be used.
    pub fn new(settings: AzureSettings, clock: Arc<dyn Clock>) -> Result<Self, OutboundBuildError> {
        let resource = settings.resource.unwrap_or_else(|| RESOURCE.to_owned());
        let client = settings.reach.client(LARGEST_ANSWER)?;
        let login = settings.login.open(&settings.reach, &resource)?;
        let service = Service::new(client, DIALECT, login, clock.clone());
        let vaults = settings.vaults.into_iter().map(|vault| {
            let own = || address(&format!("{vault}.vault.azure.net"));
            settings.endpoint.clone().map_or_else(own, Ok).map(|url| (vault.clone(), url))
        });
        Ok(Self { service, vaults: vaults.collect::<Result<_, _>>()?, clock })
    }

    fn vault(&self, name: &str) -> Result<&Url, StoreError> {
        let found = self.vaults.iter().find(|(vault, _)| vault == name);
        found.map(|(_, url)| url).ok_or_else(|| {
            StoreError::new(StoreErrorKind::Malformed, "the vault is not one that this store's entry names")
        })
    }

    /// Whether the version may be used now. The service itself goes by `enabled` alone.
    fn judge(&self, answer: &Answer, attributes: &Attributes) -> Result<(), StoreError> {
        let now = self.clock.now();
        let at = |seconds: Option<i64>| seconds.map(Timestamp::from_seconds);
        let missing = |inside: &str| Err(answer.error(StoreErrorKind::NotFound, inside));
        match (attributes.enabled, at(attributes.nbf), at(attributes.exp)) {
            (false, ..) => missing("the version is disabled"),
            (_, Some(begin), _) if begin > now => missing("the version is not valid yet"),
            (_, _, Some(end)) if end <= now => missing("the version has expired"),
            _ => Ok(()),
        }
    }
}

fn address(host: &str) -> Result<Url, OutboundBuildError> {
    Url::parse(&format!("https://{host}/"))
        .map_err(|_| OutboundBuildError::Client(format!("`{host}` makes no address")))
}

/// Vault and secret of a path. Azure takes names in any case, so only one of them may be a name here: the
/// owners of a path are found by its text.
fn names(path: &str) -> Result<(&str, &str), StoreError> {
    let [vault, secret] = segments(path, "VAULT/SECRET")?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !is_name(secret, 127, plain) {
        let inside = "a secret's name has up to 127 lower case letters, digits and `-`";
        return Err(StoreError::new(StoreErrorKind::Malformed, inside));
    }
    Ok((vault, secret))
}

fn pinned(wanted: Option<&VersionSelector>) -> Result<Option<&str>, StoreError> {
    match wanted {
        None => Ok(None),
        Some(VersionSelector::Version(id))
            if id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) =>
        {
            Ok(Some(id))
        }
        // Azure calls others a mistake of the request; there is no such version either way.
        Some(VersionSelector::Version(_)) => {
            Err(StoreError::new(StoreErrorKind::NotFound, "a version is named by 32 hexadecimal digits"))
        }
        Some(VersionSelector::Stage(_)) => {
            Err(StoreError::new(StoreErrorKind::Malformed, "Key Vault has no stages"))
        }
    }
}

/// The version in an identifier, which must be of the secret that was asked for:
/// `https://VAULT.vault.azure.net/secrets/NAME/VERSION`.
fn version(id: &str, (vault, secret): (&str, &str), pinned: Option<&str>) -> Option<String> {
    let id = Url::parse(id).ok()?;
    let host = id.host_str()?.split('.').next()?;
    let ["secrets", name, version] = id.path_segments()?.collect::<Vec<_>>()[..] else { return None };
    let meant = host.eq_ignore_ascii_case(vault) && name.eq_ignore_ascii_case(secret);
    let pinned = pinned.is_none_or(|pinned| pinned == version);
    (meant && pinned && !version.is_empty()).then(|| version.to_owned())
}

/// The innermost name; or OAuth's `error` (RFC 6749, section 5.2), as logins are answered.
fn error_name(body: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let error = document.get("error")?;
    let inner = error.get("innererror").and_then(|inner| inner.get("code")).filter(|code| code.is_string());
    inner.or_else(|| error.get("code")).unwrap_or(error).as_str().map(str::to_owned)
}

fn failure(answer: &Answer) -> StoreError {
    match (answer.status, answer.error_name().as_deref()) {
        (403, Some("SecretDisabled")) => answer.error(StoreErrorKind::NotFound, "the version is disabled"),
        (403, Some("ForbiddenByFirewall" | "ForbiddenByConnection")) => {
            answer.error(StoreErrorKind::Denied, "the vault's network rules refuse the gateway")
        }
        _ => answer.failure(),
    }
}

#[async_trait]
impl SecretStore for AzureKeyVault {
    async fn fetch(&self, reference: &ResolvedReference) -> Result<Arc<SecretVersion>, StoreError> {
        let (vault, secret) = names(&reference.path)?;
        let pinned = pinned(reference.version.as_ref())?;
        let place: Vec<_> = ["secrets", secret].into_iter().chain(pinned).collect();
        let mut url = below(self.vault(vault)?, &place)?;
        url.query_pairs_mut().append_pair("api-version", API_VERSION);
        let answer = self.service.get(&url).await?;
        if answer.status != 200 {
            return Err(failure(&answer));
        }
        let found: Bundle<'_> = answer.json()?;
        let version = version(&found.id, (vault, secret), pinned).ok_or_else(|| answer.senseless())?;
        self.judge(&answer, &found.attributes)?;
        let empty = || StoreError::new(StoreErrorKind::Empty, "the version holds no value");
        let value = found.value.ok_or_else(empty)?;
        Ok(Arc::new(SecretVersion {
            secret: match reference.field.as_deref() {
                Some(field) => secret_member(value, "value", field)?,
                None => secret_value(value, "value")?,
            },
            version: VersionId::new(&version),
            created_at: found.attributes.created.map(Timestamp::from_seconds),
            expires_at: found.attributes.exp.map(Timestamp::from_seconds),
            store_request_id: answer.request_id(),
        }))
    }

    fn keeps_versions(&self) -> bool {
        true
    }

    async fn probe(&self) -> Result<(), StoreError> {
        for (_, endpoint) in &self.vaults {
            let mut url = below(endpoint, &["secrets"])?;
            url.query_pairs_mut().append_pair("api-version", API_VERSION).append_pair("maxresults", "1");
            // A list has names and no values.
            let answer = self.service.get(&url).await?;
            match answer.error_name().as_deref() {
                Some("ForbiddenByFirewall" | "ForbiddenByConnection") => return Err(failure(&answer)),
                _ => answer.proves_login()?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
