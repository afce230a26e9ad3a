//! The ways to log in. Credentials are in files that are read anew at each login, so they can be
//! replaced under a running gateway.

use std::path::{Path, PathBuf};

use gateway_core::ports::{StoreError, StoreErrorKind};
use gateway_core::secret::Secret;
use http::{HeaderValue, Method};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::wire::{Answer, Wire, token_header};
use crate::store::login_file;
use crate::store::private_file::Readers;

/// Where Kubernetes mounts the token of the pod's service account.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// How the gateway logs in to OpenBao or Vault.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VaultLogin {
    /// A token in a file, as an agent of the store keeps it.
    TokenFile(PathBuf),
    /// AppRole.
    Approle(AppRole),
    /// A JSON Web Token of a configured issuer.
    Jwt(JwtLogin),
    /// The pod's service account.
    Kubernetes(KubernetesLogin),
}

/// AppRole login.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppRole {
    /// The auth mount. Default `approle`.
    #[serde(default = "AppRole::default_mount")]
    pub mount: String,
    /// The role id; an identifier, not a secret.
    pub role_id: String,
    /// The file of the secret id.
    pub secret_id_file: PathBuf,
}

/// JWT login.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtLogin {
    /// The auth mount. Default `jwt`.
    #[serde(default = "JwtLogin::default_mount")]
    pub mount: String,
    /// The role.
    pub role: String,
    /// The file of the token.
    pub jwt_file: PathBuf,
}

/// Kubernetes login.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesLogin {
    /// The auth mount. Default `kubernetes`.
    #[serde(default = "KubernetesLogin::default_mount")]
    pub mount: String,
    /// The role.
    pub role: String,
    /// The file of the service account's token. Default: where Kubernetes mounts it.
    #[serde(default = "KubernetesLogin::default_file")]
    pub token_file: PathBuf,
}

impl AppRole {
    fn default_mount() -> String {
        "approle".to_owned()
    }
}

impl JwtLogin {
    fn default_mount() -> String {
        "jwt".to_owned()
    }
}

impl KubernetesLogin {
    fn default_mount() -> String {
        "kubernetes".to_owned()
    }

    fn default_file() -> PathBuf {
        PathBuf::from(SERVICE_ACCOUNT_TOKEN)
    }
}

/// What a login request carries. Serialised straight into a zeroed buffer.
#[derive(Serialize)]
struct Credentials<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<&'a str>,
}

impl VaultLogin {
    /// The auth mount; absent where the token comes from a file.
    pub fn mount(&self) -> Option<&str> {
        match self {
            Self::TokenFile(_) => None,
            Self::Approle(login) => Some(&login.mount),
            Self::Jwt(login) => Some(&login.mount),
            Self::Kubernetes(login) => Some(&login.mount),
        }
    }

    /// The file of the credential.
    pub fn file(&self) -> &Path {
        match self {
            Self::TokenFile(file) => file,
            Self::Approle(login) => &login.secret_id_file,
            Self::Jwt(login) => &login.jwt_file,
            Self::Kubernetes(login) => &login.token_file,
        }
    }

    /// The file of the credential, to be moved.
    pub fn file_mut(&mut self) -> &mut PathBuf {
        match self {
            Self::TokenFile(file) => file,
            Self::Approle(login) => &mut login.secret_id_file,
            Self::Jwt(login) => &mut login.jwt_file,
            Self::Kubernetes(login) => &mut login.token_file,
        }
    }

    /// Platforms mount short-lived identity tokens readable; what lives longer must be guarded.
    fn readers(&self) -> Readers {
        match self {
            Self::TokenFile(_) | Self::Approle(_) => Readers::Group,
            Self::Jwt(_) | Self::Kubernetes(_) => Readers::Anybody,
        }
    }

    /// Reads the credential of this login.
    pub(super) async fn credential(&self) -> Result<Secret, StoreError> {
        login_file::token(self.file(), self.readers()).await
    }

    /// Logs in with the credential.
    pub(super) async fn log_in(
        &self,
        wire: &Wire,
        mount: &str,
        credential: &Secret,
    ) -> Result<Answer, StoreError> {
        let body = self.body(credential)?;
        let segments: Vec<&str> =
            std::iter::once("auth").chain(mount.split('/')).chain(std::iter::once("login")).collect();
        let answer = wire.call(Method::POST, &segments, None, None, Some(&body)).await?;
        match answer.status {
            200 => Ok(answer),
            // A role or a secret id that the store does not know is a 400 there.
            400 | 404 => Err(answer.error(StoreErrorKind::Denied, "the store refuses our login")),
            _ => Err(answer.failure()),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the credential goes into the login's body")]
    fn body(&self, credential: &Secret) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let malformed = || StoreError::new(StoreErrorKind::Malformed, "the login's credential is no text");
        let text = Some(std::str::from_utf8(credential.expose()).map_err(|_| malformed())?);
        let nothing = Credentials { role_id: None, secret_id: None, role: None, jwt: None };
        let credentials = match self {
            Self::TokenFile(_) => nothing,
            Self::Approle(login) => Credentials { role_id: Some(&login.role_id), secret_id: text, ..nothing },
            Self::Jwt(login) => Credentials { role: Some(&login.role), jwt: text, ..nothing },
            Self::Kubernetes(login) => Credentials { role: Some(&login.role), jwt: text, ..nothing },
        };
        // Large enough that it never moves: role names are short and escapes are at most sixfold.
        let mut body = Zeroizing::new(Vec::with_capacity(credential.len().saturating_mul(6) + 4096));
        serde_json::to_writer(&mut *body, &credentials).map_err(|_| malformed())?;
        Ok(body)
    }
}

/// A token from a file, as a header.
#[expect(clippy::disallowed_methods, reason = "the token goes into the request's header")]
pub(super) fn header_of(token: &Secret) -> Result<HeaderValue, StoreError> {
    token_header(token.expose())
}
