//! OAuth providers: authorization servers that issue what the gateway injects.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{AddressScope, ClientCertificate};
use crate::id::{EnvironmentName, ProviderName, TeamName};
use crate::reference::SecretReference;

/// One provider.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderSpec {
    /// Its name.
    pub name: ProviderName,
    /// The environment it serves.
    pub environment: EnvironmentName,
    /// The team that answers for it.
    pub owner: TeamName,
    /// Its issuer identifier (RFC 8414, section 2), compared exactly with its metadata and with `iss`
    /// (RFC 9207); the base URL of the API for app installations.
    pub issuer: String,
    /// Further origins that its endpoints may have. The gateway's client credential goes to the issuer's
    /// own origin and to these, and nowhere else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// Where the endpoints are, for providers without metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<ProviderEndpoints>,
    /// What the gateway is at the provider.
    pub client: ProviderClient,
    /// Where the tokens of grants are kept: the first part of a path in a store that takes values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<SecretReference>,
    /// Kinds of address beyond public ones that it may have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressScope>,
    /// PEM file of the only certificate authorities to trust for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// Endpoints written out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderEndpoints {
    /// RFC 6749, section 3.2.
    pub token: String,
    /// RFC 6749, section 3.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<String>,
    /// RFC 7009.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<String>,
}

/// The gateway's registration at a provider.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderClient {
    /// The client id that the provider gave; absent for `registration: metadata_document` and `dynamic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How the provider comes to know the gateway.
    #[serde(default, skip_serializing_if = "is_registered")]
    pub registration: Registration,
    /// How the gateway proves to be the client.
    #[serde(default)]
    pub authentication: ClientAuthentication,
}

/// How the provider comes to know the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// Somebody registered it there.
    #[default]
    Registered,
    /// The provider reads the gateway's client id metadata document.
    MetadataDocument,
    /// The gateway registers itself (RFC 7591).
    Dynamic,
}

impl Registration {
    /// The word in manifests.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::MetadataDocument => "metadata_document",
            Self::Dynamic => "dynamic",
        }
    }
}

/// How the gateway proves to be the client (RFC 6749, section 2.3; RFC 7523; RFC 8705).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientAuthentication {
    /// Not at all: a public client, held by PKCE alone.
    #[default]
    None,
    /// The client secret in the `Authorization` header.
    ClientSecretBasic {
        /// Where the secret is.
        secret: SecretReference,
    },
    /// The client secret in the body.
    ClientSecretPost {
        /// Where the secret is.
        secret: SecretReference,
    },
    /// A signed assertion (RFC 7523, section 2.2).
    PrivateKeyJwt {
        /// Where the private key is: PKCS #8 in PEM.
        key: SecretReference,
        /// The `kid` that the provider knows it by.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_id: Option<String>,
    },
    /// A client certificate (RFC 8705, section 2).
    TlsClientAuth {
        /// The certificate and its key.
        certificate: ClientCertificate,
    },
    /// An assertion that the gateway signs with its own keys (RFC 7523, section 2.2): the provider verifies
    /// it by the gateway's key set, and there is no secret to keep.
    GatewayKey,
}

impl ClientAuthentication {
    /// The reference to what proves it, where that is in a store.
    pub const fn reference(&self) -> Option<&SecretReference> {
        match self {
            Self::ClientSecretBasic { secret } | Self::ClientSecretPost { secret } => Some(secret),
            Self::PrivateKeyJwt { key, .. } => Some(key),
            Self::None | Self::TlsClientAuth { .. } | Self::GatewayKey => None,
        }
    }
}

impl ProviderSpec {
    /// Every reference it names.
    pub fn references(&self) -> impl Iterator<Item = &SecretReference> {
        self.client.authentication.reference().into_iter().chain(&self.grants)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_registered(registration: &Registration) -> bool {
    *registration == Registration::Registered
}
