//! How the gateway logs in at Azure: by the managed identity of its machine, or by a token of its platform
//! in place of a client secret (workload identity federation).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use super::token::{Assertion, Machine};
use crate::https::{OutboundBuildError, is_loopback};
use crate::store::cloud::{LARGEST_LOGIN, Reach, Token};
use crate::store::session::Login;

/// How the gateway logs in at Azure.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AzureLogin {
    /// The instance metadata service of a virtual machine.
    ManagedIdentity(ManagedIdentity),
    /// A token of the platform's, which Entra ID trusts as an assertion of a client.
    Federation(ClientAssertion),
}

/// Login with the machine's identity.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManagedIdentity {
    /// The user-assigned identity; the machine's own where absent.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Where it answers. Default `http://169.254.169.254`.
    #[serde(default)]
    pub endpoint: Option<Url>,
}

/// Login with an assertion.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientAssertion {
    /// The tenant's id.
    pub tenant_id: String,
    /// The id of the application or the user-assigned identity that trusts the platform's token.
    pub client_id: String,
    /// The file of the platform's token.
    pub token_file: PathBuf,
    /// Another address of Entra ID than the public cloud's.
    #[serde(default)]
    pub authority: Option<Url>,
}

impl ManagedIdentity {
    /// Whether the token may be fetched from there: plain HTTP goes nowhere but to the machine itself.
    pub(in crate::store) fn is_local(&self) -> bool {
        self.endpoint.as_ref().is_none_or(|endpoint| {
            let here = endpoint.host_str() == Some("169.254.169.254");
            endpoint.scheme() == "http" && (here || is_loopback(endpoint))
        })
    }
}

impl AzureLogin {
    /// The files of the credential, to be moved.
    pub fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::ManagedIdentity(_) => Vec::new(),
            Self::Federation(login) => vec![&mut login.token_file],
        }
    }

    pub(super) fn open(
        self,
        reach: &Reach,
        resource: &str,
    ) -> Result<Box<dyn Login<Session = Token>>, OutboundBuildError> {
        Ok(match self {
            Self::ManagedIdentity(login) => {
                Box::new(Machine::new(reach.metadata_client()?, &login, resource)?)
            }
            Self::Federation(login) => {
                Box::new(Assertion::new(reach.client(LARGEST_LOGIN)?, login, resource)?)
            }
        })
    }
}
