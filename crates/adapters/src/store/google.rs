//! Google Secret Manager, over its JSON protocol (`projects.secrets.versions.access`, v1).

mod checksum;
mod federation;
mod login;
mod metadata;

use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::ports::{SecretStore, StoreError, StoreErrorKind};
use gateway_core::reference::{ResolvedReference, VersionSelector};
use gateway_core::time::Clock;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

use self::checksum::crc32c;
pub use self::login::{Federation, GoogleLogin, Metadata};
use super::cloud::{Answer, Dialect, Reach, Service, below, is_name, segments};
use super::json_text::{base64_bytes, secret_within};
use crate::https::OutboundBuildError;

/// A payload is at most 64 KiB, and comes as base64.
const LARGEST_ANSWER: usize = 256 * 1024;

/// The one scope that Secret Manager takes.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

const DIALECT: Dialect = Dialect { name: "Google", request_id: None, error_name };

/// What a store at Google is made of.
#[derive(Debug, Clone)]
pub struct GoogleSettings {
    /// The projects that references may name.
    pub projects: Vec<String>,
    /// The location of regional secrets; global ones where absent.
    pub location: Option<String>,
    /// How the gateway logs in.
    pub login: GoogleLogin,
    /// Another address than Google's own.
    pub endpoint: Option<Url>,
    /// How it is reached.
    pub reach: Reach,
}

/// Secrets of the named projects. A field selects a key of a JSON object.
#[derive(Debug)]
pub struct GoogleSecretManager {
    service: Service,
    endpoint: Url,
    projects: Vec<String>,
    location: Option<String>,
}

#[derive(Deserialize)]
struct Accessed<'a> {
    name: String,
    #[serde(borrow)]
    payload: Payload<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    /// A 64 bit number, so a string in JSON.
    data_crc32c: String,
}

impl GoogleSecretManager {
    /// Makes the store. Reads the certificate authorities, touches no network.
    ///
    /// # Errors
    /// The certificate authorities or the addresses cannot be used.
    pub fn new(settings: GoogleSettings, clock: Arc<dyn Clock>) -> Result<Self, OutboundBuildError> {
        let endpoint = match (settings.endpoint, &settings.location) {
            (Some(endpoint), _) => endpoint,
            (None, Some(place)) => address(&format!("secretmanager.{place}.rep.googleapis.com"))?,
            (None, None) => address("secretmanager.googleapis.com")?,
        };
        let client = settings.reach.client(LARGEST_ANSWER)?;
        let login = settings.login.open(&settings.reach)?;
        let service = Service::new(client, DIALECT, login, clock);
        Ok(Self { service, endpoint, projects: settings.projects, location: settings.location })
    }

    /// The segments up to a secret.
    fn place<'a>(&'a self, project: &'a str, secret: &'a str) -> Vec<&'a str> {
        let mut names = vec!["v1", "projects", project];
        if let Some(location) = &self.location {
            names.extend(["locations", location]);
        }
        names.extend(["secrets", secret]);
        names
    }

    /// Project and secret of a path.
    fn names<'a>(&self, path: &'a str) -> Result<(&'a str, &'a str), StoreError> {
        let [project, secret] = segments(path, "PROJECT/SECRET")?;
        if !self.projects.iter().any(|known| known == project) {
            let inside = "the project is not one that this store's entry names";
            return Err(StoreError::new(StoreErrorKind::Malformed, inside));
        }
        if !is_name(secret, 255, |byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            let inside = "a secret's id has up to 255 letters, digits, `-` and `_`";
            return Err(StoreError::new(StoreErrorKind::Malformed, inside));
        }
        Ok((project, secret))
    }
}

fn address(host: &str) -> Result<Url, OutboundBuildError> {
    Url::parse(&format!("https://{host}/"))
        .map_err(|_| OutboundBuildError::Client(format!("`{host}` makes no address")))
}

/// The version in Google's words: a number pins; `latest` and aliases move.
fn selector(wanted: Option<&VersionSelector>) -> Result<&str, StoreError> {
    let malformed = |inside: &str| Err(StoreError::new(StoreErrorKind::Malformed, inside));
    match wanted {
        None => Ok("latest"),
        Some(VersionSelector::Version(number)) => {
            let digits = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
            if !digits || !(1..=18).contains(&number.len()) {
                return malformed("a version is a number from 1; `latest` and aliases are written `?stage=`");
            }
            Ok(number)
        }
        Some(VersionSelector::Stage(alias)) => {
            let plain = is_name(alias, 63, |byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
            if !plain || !alias.starts_with(|first: char| first.is_ascii_alphabetic()) {
                return malformed(
                    "an alias has up to 63 letters, digits, `-` and `_`, and begins with a letter",
                );
            }
            Ok(alias)
        }
    }
}

/// The number of the version that was answered, which must be of the secret that was asked for. Google
/// answers with the project's number, whatever it was asked by.
fn number<'a>(name: &'a str, secret: &str, wanted: Option<&VersionSelector>) -> Option<&'a str> {
    let (place, number) = name.rsplit_once("/versions/")?;
    let (_, answered) = place.rsplit_once("/secrets/")?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let pinned = match wanted {
        Some(VersionSelector::Version(pinned)) => pinned == number,
        Some(VersionSelector::Stage(_)) | None => true,
    };
    (digits && pinned && answered == secret).then_some(number)
}

/// The `status` of a `google.rpc.Status`; or OAuth's `error` (RFC 6749, section 5.2), as the token service
/// answers.
fn error_name(body: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let error = document.get("error")?;
    error.get("status").unwrap_or(error).as_str().map(str::to_owned)
}

fn failure(answer: &Answer) -> StoreError {
    if answer.status == 400 && answer.error_name().as_deref() == Some("FAILED_PRECONDITION") {
        return answer.error(StoreErrorKind::NotFound, "the version is disabled or destroyed");
    }
    answer.failure()
}

#[async_trait]
impl SecretStore for GoogleSecretManager {
    async fn fetch(&self, reference: &ResolvedReference) -> Result<Arc<SecretVersion>, StoreError> {
        let (project, secret) = self.names(&reference.path)?;
        let access = format!("{}:access", selector(reference.version.as_ref())?);
        let mut names = self.place(project, secret);
        names.extend(["versions", &access]);
        let answer = self.service.get(&below(&self.endpoint, &names)?).await?;
        if answer.status != 200 {
            return Err(failure(&answer));
        }
        let found: Accessed<'_> = answer.json()?;
        let version = number(&found.name, secret, reference.version.as_ref());
        let version = VersionId::new(version.ok_or_else(|| answer.senseless())?);
        // Protocol buffers leave out what is empty.
        let empty = || StoreError::new(StoreErrorKind::Empty, "the version holds no value");
        let data = base64_bytes(found.payload.data.ok_or_else(empty)?, "data")?;
        if found.payload.data_crc32c.parse() != Ok(i64::from(crc32c(&data))) {
            let inside = "the payload's checksum does not match: it was damaged on its way";
            return Err(StoreError::new(StoreErrorKind::Malformed, inside));
        }
        Ok(Arc::new(SecretVersion {
            secret: secret_within(data, "data", reference.field.as_deref())?,
            version,
            created_at: None,
            expires_at: None,
            store_request_id: answer.request_id(),
        }))
    }

    fn keeps_versions(&self) -> bool {
        true
    }

    async fn probe(&self) -> Result<(), StoreError> {
        // One that is not there, and of which no value would come if it were.
        let project = self.projects.first().map(String::as_str).unwrap_or_default();
        let url = below(&self.endpoint, &self.place(project, "mcp-gateway-probe"))?;
        self.service.get(&url).await?.proves_login()
    }
}

#[cfg(test)]
mod tests;
