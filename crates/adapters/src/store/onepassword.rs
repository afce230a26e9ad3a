//! Items of 1Password, over a Connect server (its API, v1).
//!
//! Vaults, items, sections and fields have an id and a name. What looks like an id is one; a name must be
//! exact, and the only one of its kind.

mod item;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::ports::{SecretStore, StoreError, StoreErrorKind};
use gateway_core::reference::ResolvedReference;
use gateway_core::time::Clock;
use serde::Deserialize;
use url::Url;

use self::item::Item;
use super::cloud::{Answer, Dialect, Reach, Service, TokenFile, below, only_version};
use super::json_text::secret_value;
use super::private_file::Readers;
use crate::https::OutboundBuildError;

const LARGEST_ANSWER: usize = 1024 * 1024;

const DIALECT: Dialect = Dialect { name: "1Password Connect", request_id: None, error_name };

/// What a store at a Connect server is made of.
#[derive(Debug, Clone)]
pub struct OnePasswordSettings {
    /// The Connect server.
    pub server: Url,
    /// The file of the access token.
    pub token_file: PathBuf,
    /// The vaults that references may name, each as they name it.
    pub vaults: Vec<String>,
    /// How it is reached.
    pub reach: Reach,
}

/// Items of the named vaults.
#[derive(Debug)]
pub struct OnePasswordConnect {
    service: Service,
    server: Url,
    vaults: Vec<String>,
}

/// An entry of a list.
#[derive(Deserialize)]
struct Listed {
    id: String,
    #[serde(alias = "title")]
    name: String,
    #[serde(default)]
    state: Option<String>,
}

/// A place in a vault.
struct Place<'a> {
    vault: &'a str,
    item: &'a str,
    section: Option<&'a str>,
}

impl<'a> Place<'a> {
    fn of(path: &'a str) -> Result<Self, StoreError> {
        match path.split('/').collect::<Vec<_>>()[..] {
            [vault, item] if !vault.is_empty() && !item.is_empty() => Ok(Self { vault, item, section: None }),
            [vault, item, section] if !vault.is_empty() && !item.is_empty() => {
                Ok(Self { vault, item, section: Some(section) })
            }
            _ => {
                let inside = "a path of this store is `VAULT/ITEM` or `VAULT/ITEM/SECTION`";
                Err(StoreError::new(StoreErrorKind::Malformed, inside))
            }
        }
    }
}

impl OnePasswordConnect {
    /// Makes the store. Reads the certificate authorities, touches no network.
    ///
    /// # Errors
    /// The certificate authorities cannot be used.
    pub fn new(settings: OnePasswordSettings, clock: Arc<dyn Clock>) -> Result<Self, OutboundBuildError> {
        let client = settings.reach.client(LARGEST_ANSWER)?;
        let login = TokenFile { file: settings.token_file, readers: Readers::Group };
        let service = Service::new(client, DIALECT, Box::new(login), clock);
        Ok(Self { service, server: settings.server, vaults: settings.vaults })
    }

    /// The id of what is named in a list.
    async fn id_of(&self, list: &[&str], attribute: &str, name: &str) -> Result<String, StoreError> {
        if is_id(name) {
            return Ok(name.to_owned());
        }
        if name.contains(['"', '\\']) {
            let inside = "a name with `\"` or `\\` in it cannot be asked for: write its id";
            return Err(StoreError::new(StoreErrorKind::Malformed, inside));
        }
        let mut url = below(&self.server, list)?;
        url.query_pairs_mut().append_pair("filter", &format!("{attribute} eq \"{name}\""));
        let answer = self.get(&url).await?;
        let found: Vec<Listed> = answer.json()?;
        // The server may compare more loosely than we do.
        let mut exact = found.into_iter().filter(|listed| listed.name == name && !listed.is_archived());
        match (exact.next(), exact.next()) {
            (Some(listed), None) if is_id(&listed.id) => Ok(listed.id),
            (Some(_), None) => Err(answer.senseless()),
            (None, _) => {
                Err(answer.error(StoreErrorKind::NotFound, "there is no vault or item of this name"))
            }
            (Some(_), Some(_)) => {
                let inside = "several vaults or items have this name: write the id of the one that is meant";
                Err(answer.error(StoreErrorKind::Malformed, inside))
            }
        }
    }

    async fn get(&self, url: &Url) -> Result<Answer, StoreError> {
        let answer = self.service.get(url).await?;
        if answer.status == 200 { Ok(answer) } else { Err(answer.failure()) }
    }
}

impl Listed {
    fn is_archived(&self) -> bool {
        self.state.as_deref().is_some_and(|state| state != "ACTIVE")
    }
}

/// An id of 1Password: 26 lower case letters and digits.
fn is_id(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// Connect's error document has no name, only its status and a text.
fn error_name(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Document {
        status: u16,
        #[serde(rename = "message")]
        _message: String,
    }
    serde_json::from_slice::<Document>(body).ok().map(|document| document.status.to_string())
}

#[async_trait]
impl SecretStore for OnePasswordConnect {
    async fn fetch(&self, reference: &ResolvedReference) -> Result<Arc<SecretVersion>, StoreError> {
        let place = Place::of(&reference.path)?;
        if !self.vaults.iter().any(|known| known == place.vault) {
            let inside = "the vault is not one that this store's entry names, in these words";
            return Err(StoreError::new(StoreErrorKind::Malformed, inside));
        }
        let field = reference.field.as_deref().ok_or_else(|| {
            StoreError::new(StoreErrorKind::Malformed, "a reference of this store names a field: `#FIELD`")
        })?;
        let vault = self.id_of(&["v1", "vaults"], "name", place.vault).await?;
        let items = ["v1", "vaults", &vault, "items"];
        let item = self.id_of(&items, "title", place.item).await?;
        let answer = self.get(&below(&self.server, &["v1", "vaults", &vault, "items", &item])?).await?;
        let found: Item<'_> = answer.json()?;
        if !found.is(&vault, &item) {
            return Err(answer.senseless());
        }
        if found.is_archived() {
            return Err(answer.error(StoreErrorKind::NotFound, "the item is archived or deleted"));
        }
        let version = found.version.to_string();
        only_version(reference.version.as_ref(), &version, "Connect")?;
        Ok(Arc::new(SecretVersion {
            secret: secret_value(found.value(place.section, field)?, field)?,
            version: VersionId::new(&version),
            created_at: found.updated_at,
            expires_at: None,
            store_request_id: answer.request_id(),
        }))
    }

    async fn probe(&self) -> Result<(), StoreError> {
        // Names, no values.
        self.service.get(&below(&self.server, &["v1", "vaults"])?).await?.proves_login()
    }
}

#[cfg(test)]
mod tests;
