//! Secrets of a Kubernetes cluster, over its API (`core/v1`), with the token of a service account.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::ports::{SecretStore, StoreError, StoreErrorKind};
use gateway_core::reference::ResolvedReference;
use gateway_core::time::{Clock, Timestamp};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use url::Url;

use super::cloud::{Answer, Dialect, Reach, Service, TokenFile, below, is_name, only_version, segments};
use super::json_text::secret_base64;
use super::private_file::Readers;
use crate::https::OutboundBuildError;

/// A secret holds 1 MiB at most, which comes as base64.
const LARGEST_ANSWER: usize = 2 * 1024 * 1024;

const DIALECT: Dialect = Dialect { name: "Kubernetes", request_id: Some("audit-id"), error_name };

/// What a store in a cluster is made of.
#[derive(Debug, Clone)]
pub struct KubernetesSettings {
    /// The API server.
    pub server: Url,
    /// The file of the service account's token.
    pub token_file: PathBuf,
    /// The namespaces that references may name.
    pub namespaces: Vec<String>,
    /// The types of secret that may be read.
    pub types: Vec<String>,
    /// How it is reached.
    pub reach: Reach,
}

/// Secrets of the named namespaces. The field is the key of `data`.
#[derive(Debug)]
pub struct KubernetesSecrets {
    service: Service,
    server: Url,
    namespaces: Vec<String>,
    types: Vec<String>,
}

#[derive(Deserialize)]
struct Found<'a> {
    kind: String,
    metadata: ObjectMeta,
    #[serde(borrow, default)]
    data: Option<HashMap<String, &'a RawValue>>,
    #[serde(rename = "type")]
    secret_type: String,
    #[serde(default)]
    immutable: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectMeta {
    name: String,
    namespace: String,
    resource_version: String,
    #[serde(default)]
    creation_timestamp: Option<Timestamp>,
    #[serde(default)]
    deletion_timestamp: Option<Timestamp>,
}

impl KubernetesSecrets {
    /// Makes the store. Reads the certificate authorities, touches no network.
    ///
    /// # Errors
    /// The certificate authorities cannot be used.
    pub fn new(settings: KubernetesSettings, clock: Arc<dyn Clock>) -> Result<Self, OutboundBuildError> {
        let client = settings.reach.client(LARGEST_ANSWER)?;
        // The kubelet mounts these short-lived tokens readable.
        let login = TokenFile { file: settings.token_file, readers: Readers::Anybody };
        Ok(Self {
            service: Service::new(client, DIALECT, Box::new(login), clock),
            server: settings.server,
            namespaces: settings.namespaces,
            types: settings.types,
        })
    }

    fn names<'a>(&self, path: &'a str) -> Result<(&'a str, &'a str), StoreError> {
        let [namespace, secret] = segments(path, "NAMESPACE/SECRET")?;
        if !self.namespaces.iter().any(|known| known == namespace) {
            let inside = "the namespace is not one that this store's entry names";
            return Err(StoreError::new(StoreErrorKind::Malformed, inside));
        }
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        if !is_name(secret, 253, plain) {
            let inside = "a secret's name has up to 253 lower case letters, digits, `-` and `.`";
            return Err(StoreError::new(StoreErrorKind::Malformed, inside));
        }
        Ok((namespace, secret))
    }

    fn judge(&self, answer: &Answer, found: &Found<'_>, names: (&str, &str)) -> Result<(), StoreError> {
        let metadata = &found.metadata;
        let meant = (metadata.namespace.as_str(), metadata.name.as_str()) == names;
        if found.kind != "Secret" || !meant || metadata.resource_version.is_empty() {
            return Err(answer.senseless());
        }
        if metadata.deletion_timestamp.is_some() {
            return Err(answer.error(StoreErrorKind::NotFound, "the secret is being deleted"));
        }
        if !self.types.contains(&found.secret_type) {
            let inside = "the secret is of a type that this store's entry does not name";
            return Err(answer.error(StoreErrorKind::Malformed, inside));
        }
        Ok(())
    }
}

/// The `reason` of a `Status`.
fn error_name(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Status {
        kind: String,
        #[serde(default)]
        reason: String,
    }
    let status: Status = serde_json::from_slice(body).ok()?;
    (status.kind == "Status").then_some(status.reason)
}

#[async_trait]
impl SecretStore for KubernetesSecrets {
    async fn fetch(&self, reference: &ResolvedReference) -> Result<Arc<SecretVersion>, StoreError> {
        let names = self.names(&reference.path)?;
        let key = reference.field.as_deref().ok_or_else(|| {
            StoreError::new(StoreErrorKind::Malformed, "a reference of this store names a key: `#KEY`")
        })?;
        let url = below(&self.server, &["api", "v1", "namespaces", names.0, "secrets", names.1])?;
        let answer = self.service.get(&url).await?;
        if answer.status != 200 {
            return Err(answer.failure());
        }
        let found: Found<'_> = answer.json()?;
        self.judge(&answer, &found, names)?;
        let metadata = &found.metadata;
        only_version(reference.version.as_ref(), &metadata.resource_version, "Kubernetes")?;
        let value =
            found.data.as_ref().and_then(|data| data.get(key)).ok_or_else(|| {
                StoreError::new(StoreErrorKind::NotFound, format!("there is no key `{key}`"))
            })?;
        Ok(Arc::new(SecretVersion {
            secret: secret_base64(value, key)?,
            version: VersionId::new(&metadata.resource_version),
            // Of the object, so of this version only where there can be no other.
            created_at: metadata.creation_timestamp.filter(|_| found.immutable),
            expires_at: None,
            store_request_id: answer.request_id(),
        }))
    }

    async fn probe(&self) -> Result<(), StoreError> {
        // Everybody whom the cluster knows may ask this about himself.
        let place = ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"];
        let namespace = self.namespaces.first();
        let wanted = json!({ "namespace": namespace, "verb": "get", "resource": "secrets" });
        let review = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": wanted } });
        let url = below(&self.server, &place)?;
        self.service.post(&url, review.to_string().as_bytes()).await?.proves_login()
    }
}

#[cfg(test)]
mod tests;
