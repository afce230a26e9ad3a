//! How the gateway logs in at Google: by the metadata server of its machine or pod, or by federation of
//! another platform's identity. No key of a service account: it would be a secret that lives for years.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use super::federation::Exchange;
use super::metadata::MetadataServer;
use crate::https::{OutboundBuildError, is_loopback};
use crate::store::cloud::{LARGEST_LOGIN, Reach, Token};
use crate::store::session::Login;

/// Where the metadata server answers, on the machine itself: plain HTTP goes nowhere else.
const ON_THE_MACHINE: [&str; 3] = ["169.254.169.254", "metadata.google.internal", "[fd20:ce::254]"];

/// How the gateway logs in at Google.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GoogleLogin {
    /// The metadata server: Compute Engine, GKE, Cloud Run.
    Metadata(Metadata),
    /// A token of another platform's, exchanged at Google's token service (workload identity federation).
    Federation(Federation),
}

/// Login by the metadata server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// The service account, by its address or `default`. Default `default`.
    #[serde(default = "Metadata::default_account")]
    pub account: String,
    /// Where it answers. Default `http://169.254.169.254`.
    #[serde(default)]
    pub endpoint: Option<Url>,
}

/// Login by federation: the fields of an `external_account` credential.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Federation {
    /// The provider in its pool: `//iam.googleapis.com/projects/…/providers/…`.
    pub audience: String,
    /// The file of the platform's token.
    pub token_file: PathBuf,
    /// What kind of token it is. Default `urn:ietf:params:oauth:token-type:jwt`.
    #[serde(default = "Federation::default_token_type")]
    pub subject_token_type: String,
    /// The service account to act as; the federated identity itself where absent.
    #[serde(default)]
    pub service_account: Option<String>,
    /// Another address of the token service than Google's own.
    #[serde(default)]
    pub sts_endpoint: Option<Url>,
    /// Another address of the service that impersonates than Google's own.
    #[serde(default)]
    pub iam_endpoint: Option<Url>,
}

impl Metadata {
    fn default_account() -> String {
        "default".to_owned()
    }

    /// Whether the token may be fetched from there.
    pub(in crate::store) fn is_local(&self) -> bool {
        self.endpoint.as_ref().is_none_or(|endpoint| {
            let here = endpoint.host_str().is_some_and(|host| ON_THE_MACHINE.contains(&host));
            endpoint.scheme() == "http" && (here || is_loopback(endpoint))
        })
    }
}

impl Federation {
    fn default_token_type() -> String {
        "urn:ietf:params:oauth:token-type:jwt".to_owned()
    }
}

impl GoogleLogin {
    /// The files of the credential, to be moved.
    pub fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::Metadata(_) => Vec::new(),
            Self::Federation(login) => vec![&mut login.token_file],
        }
    }

    pub(super) fn open(self, reach: &Reach) -> Result<Box<dyn Login<Session = Token>>, OutboundBuildError> {
        Ok(match self {
            Self::Metadata(login) => Box::new(MetadataServer::new(reach.metadata_client()?, login)?),
            Self::Federation(login) => Box::new(Exchange::new(reach.client(LARGEST_LOGIN)?, login)?),
        })
    }
}
