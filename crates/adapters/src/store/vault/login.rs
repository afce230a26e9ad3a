//! The ways to log in, as the configuration writes them. Credentials are in files that are read anew at
//! each login, so they can be replaced under a running gateway.

use std::path::PathBuf;

use gateway_core::manifest::ClientCertificate;
use serde::{Deserialize, Serialize};

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
    /// AppRole with a response-wrapped secret id.
    WrappedApprole(WrappedAppRole),
    /// A JSON Web Token of a configured issuer.
    Jwt(JwtLogin),
    /// A JSON Web Token that the gateway signs about itself.
    SignedJwt(SignedLogin),
    /// The pod's service account.
    Kubernetes(KubernetesLogin),
    /// A TLS client certificate.
    Cert(CertLogin),
    /// Nobody but the caller: a JSON Web Token that the gateway signs about who calls.
    Caller(SignedLogin),
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

/// AppRole login with a secret id that only its first reader gets.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrappedAppRole {
    /// The auth mount. Default `approle`.
    #[serde(default = "AppRole::default_mount")]
    pub mount: String,
    /// The role's name: a wrapping token that was made anywhere but for a secret id of this role is
    /// refused.
    pub role: String,
    /// The role id; an identifier, not a secret.
    pub role_id: String,
    /// The file of the wrapping token.
    pub wrapped_secret_id_file: PathBuf,
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

/// JWT login with a token that the gateway signs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedLogin {
    /// The auth mount. Default `jwt`.
    #[serde(default = "JwtLogin::default_mount")]
    pub mount: String,
    /// The role.
    pub role: String,
    /// The token's audience: what the role is bound to, and nothing else listens to.
    pub audience: String,
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

/// TLS certificate login.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertLogin {
    /// The auth mount. Default `cert`.
    #[serde(default = "CertLogin::default_mount")]
    pub mount: String,
    /// The role. Where absent, the store tries every role that the certificate matches.
    #[serde(default)]
    pub role: Option<String>,
    /// The certificate chain in PEM, leaf first.
    pub certificate_file: PathBuf,
    /// The private key in PEM.
    pub key_file: PathBuf,
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

impl CertLogin {
    fn default_mount() -> String {
        "cert".to_owned()
    }

    pub(super) fn certificate(&self) -> ClientCertificate {
        ClientCertificate { certificate_file: self.certificate_file.clone(), key_file: self.key_file.clone() }
    }
}

impl VaultLogin {
    /// The auth mount; absent where the token comes from a file.
    pub fn mount(&self) -> Option<&str> {
        match self {
            Self::TokenFile(_) => None,
            Self::Approle(login) => Some(&login.mount),
            Self::WrappedApprole(login) => Some(&login.mount),
            Self::Jwt(login) => Some(&login.mount),
            Self::SignedJwt(login) | Self::Caller(login) => Some(&login.mount),
            Self::Kubernetes(login) => Some(&login.mount),
            Self::Cert(login) => Some(&login.mount),
        }
    }

    /// The files of the credential, to be moved.
    pub fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::TokenFile(file) => vec![file],
            Self::Approle(login) => vec![&mut login.secret_id_file],
            Self::WrappedApprole(login) => vec![&mut login.wrapped_secret_id_file],
            Self::Jwt(login) => vec![&mut login.jwt_file],
            Self::SignedJwt(_) | Self::Caller(_) => Vec::new(),
            Self::Kubernetes(login) => vec![&mut login.token_file],
            Self::Cert(login) => vec![&mut login.certificate_file, &mut login.key_file],
        }
    }

    /// Whether the gateway's own signing keys are needed.
    pub const fn is_signed(&self) -> bool {
        matches!(self, Self::SignedJwt(_) | Self::Caller(_))
    }

    /// Every problem, each naming its field.
    pub(in crate::store) fn validate(&self, problems: &mut Vec<String>) {
        let mut needed = |kind: &str, field: &str, text: &str| {
            if text.is_empty() {
                problems.push(format!("auth.{kind}.{field}: must not be empty"));
            }
        };
        match self {
            Self::TokenFile(_) => {}
            Self::Approle(login) => needed("approle", "role_id", &login.role_id),
            Self::WrappedApprole(login) => {
                needed("wrapped_approle", "role", &login.role);
                needed("wrapped_approle", "role_id", &login.role_id);
            }
            Self::Jwt(login) => needed("jwt", "role", &login.role),
            Self::SignedJwt(login) => {
                needed("signed_jwt", "role", &login.role);
                needed("signed_jwt", "audience", &login.audience);
            }
            Self::Kubernetes(login) => needed("kubernetes", "role", &login.role),
            Self::Cert(login) => needed("cert", "role", login.role.as_deref().unwrap_or("any")),
            Self::Caller(login) => {
                needed("caller", "role", &login.role);
                needed("caller", "audience", &login.audience);
            }
        }
    }
}
