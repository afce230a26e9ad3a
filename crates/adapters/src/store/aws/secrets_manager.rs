//! AWS Secrets Manager.

use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::ports::{SecretStore, StoreError, StoreErrorKind};
use gateway_core::reference::{ResolvedReference, VersionSelector};
use gateway_core::secret::Secret;
use gateway_core::time::Clock;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{AwsSettings, Client, Service, is_pinned, time_of};
use crate::https::OutboundBuildError;
use crate::store::json_text::{secret_base64, secret_member, secret_value};

const SERVICE: Service = Service { name: "secretsmanager", target: "secretsmanager" };

/// Secrets of AWS Secrets Manager in one region of one account. A field selects a key of a JSON object.
#[derive(Debug)]
pub struct SecretsManager(Client);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetSecretValue<'a> {
    secret_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_stage: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found<'a> {
    version_id: String,
    #[serde(borrow, default)]
    secret_string: Option<&'a RawValue>,
    #[serde(borrow, default)]
    secret_binary: Option<&'a RawValue>,
    #[serde(default)]
    created_date: Option<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeSecret {
    secret_id: &'static str,
}

impl SecretsManager {
    /// Makes the store. Reads the certificate authorities, touches no network.
    ///
    /// # Errors
    /// The certificate authorities or the addresses cannot be used.
    pub fn new(settings: AwsSettings, clock: Arc<dyn Clock>) -> Result<Self, OutboundBuildError> {
        Client::new(SERVICE, settings, clock).map(Self)
    }
}

/// The names that secrets have. No ARN: it would name an account and a region, which are the store's.
fn name(path: &str) -> Result<&str, StoreError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-".contains(&byte);
    if path.len() > 512 || !path.bytes().all(plain) {
        let inside = "a secret's name has up to 512 letters, digits and `/_+=.@-`; an ARN is none";
        return Err(StoreError::new(StoreErrorKind::Malformed, inside));
    }
    Ok(path)
}

fn request(wanted: &ResolvedReference) -> Result<GetSecretValue<'_>, StoreError> {
    let secret_id = name(&wanted.path)?;
    let (version_id, version_stage) = match &wanted.version {
        None => (None, None),
        Some(VersionSelector::Stage(stage)) => (None, Some(stage.as_str())),
        // AWS calls others a mistake of the request; there is no such version either way.
        Some(VersionSelector::Version(id)) if !(32..=64).contains(&id.len()) => {
            return Err(StoreError::new(StoreErrorKind::NotFound, "no version has an id of this length"));
        }
        Some(VersionSelector::Version(id)) => (Some(id.as_str()), None),
    };
    Ok(GetSecretValue { secret_id, version_id, version_stage })
}

fn secret(found: &Found<'_>, field: Option<&str>) -> Result<Secret, StoreError> {
    match (found.secret_string, found.secret_binary, field) {
        (Some(text), _, Some(field)) => secret_member(text, "SecretString", field),
        (Some(text), _, None) => secret_value(text, "SecretString"),
        (None, Some(bytes), None) => secret_base64(bytes, "SecretBinary"),
        (None, Some(_), Some(_)) => {
            Err(StoreError::new(StoreErrorKind::Malformed, "a binary secret has no fields"))
        }
        (None, None, _) => Err(StoreError::new(StoreErrorKind::Empty, "the secret holds no value")),
    }
}

#[async_trait]
impl SecretStore for SecretsManager {
    async fn fetch(&self, reference: &ResolvedReference) -> Result<Arc<SecretVersion>, StoreError> {
        let answer = self.0.call("GetSecretValue", &request(reference)?).await?;
        if answer.status != 200 {
            return Err(answer.failure());
        }
        let found: Found<'_> = answer.json()?;
        is_pinned(reference.version.as_ref(), &found.version_id)?;
        let version = VersionId::new(&found.version_id);
        if version.as_str().is_empty() {
            return Err(answer.senseless());
        }
        Ok(Arc::new(SecretVersion {
            secret: secret(&found, reference.field.as_deref())?,
            version,
            created_at: time_of(found.created_date),
            expires_at: None,
            store_request_id: answer.request_id(),
        }))
    }

    fn keeps_versions(&self) -> bool {
        true
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.0.probe("DescribeSecret", &DescribeSecret { secret_id: "mcp-gateway-probe" }).await
    }
}
