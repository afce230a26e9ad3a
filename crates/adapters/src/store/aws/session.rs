//! How the gateway logs in at AWS: with an identity that its platform gives it, exchanged at STS for a
//! session of an hour; with a session that the platform hands out; or with a key from a file.

use std::path::PathBuf;

use async_trait::async_trait;
use gateway_core::ports::StoreError;
use gateway_core::time::Timestamp;
use http::{HeaderValue, Method, header};
use serde::{Deserialize, Serialize};
use url::Url;

use super::answer::Answer;
use super::container::{self, Container};
use super::credentials::Credentials;
use crate::https::{OutboundClient, OutboundRequest};
use crate::store::cloud::form_with;
use crate::store::login_file;
use crate::store::private_file::Readers;
use crate::store::session::Login;

/// How long a session is asked for, in seconds: what every role allows.
const SESSION_SECONDS: &str = "3600";

/// How the gateway logs in at AWS.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AwsLogin {
    /// A token of the platform's, exchanged at STS (`AssumeRoleWithWebIdentity`): no secret of the
    /// gateway's own that lives longer.
    WebIdentity(WebIdentity),
    /// A shared credentials file, as AWS's own tools write it.
    CredentialsFile(CredentialsFile),
    /// What the platform hands out beside the container: EKS Pod Identity, ECS.
    Container(Container),
}

/// Login with a web identity.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebIdentity {
    /// The role to take.
    pub role_arn: String,
    /// The file of the platform's token.
    pub token_file: PathBuf,
    /// What the session is called in the account's own records. Default `mcp-gateway`.
    #[serde(default = "WebIdentity::default_session_name")]
    pub session_name: String,
    /// Another address of STS than the region's own.
    #[serde(default)]
    pub sts_endpoint: Option<Url>,
}

/// Login with a key from a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialsFile {
    /// The file.
    pub file: PathBuf,
    /// The profile in it. Default `default`.
    #[serde(default = "CredentialsFile::default_profile")]
    pub profile: String,
}

impl WebIdentity {
    fn default_session_name() -> String {
        "mcp-gateway".to_owned()
    }
}

impl CredentialsFile {
    fn default_profile() -> String {
        "default".to_owned()
    }
}

impl AwsLogin {
    /// The files of the credential, to be moved.
    pub fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::WebIdentity(login) => vec![&mut login.token_file],
            Self::CredentialsFile(login) => vec![&mut login.file],
            Self::Container(login) => login.token_file.iter_mut().collect(),
        }
    }
}

/// Where logins are answered, and which one it is.
#[derive(Debug)]
pub(super) struct Door {
    /// Speaks to where logins are answered.
    pub(super) client: OutboundClient,
    /// Where STS is.
    pub(super) sts: Url,
    pub(super) login: AwsLogin,
}

#[async_trait]
impl Login for Door {
    type Session = Credentials;

    async fn log_in(&self, now: Timestamp) -> Result<Credentials, StoreError> {
        match &self.login {
            AwsLogin::WebIdentity(login) => self.assume_role(login, now).await,
            AwsLogin::Container(login) => container::ask(&self.client, login, now).await,
            AwsLogin::CredentialsFile(login) => {
                let content = login_file::read(&login.file, Readers::Group).await?;
                Credentials::of_profile(&content, &login.profile).ok_or_else(|| {
                    let (file, profile) = (login.file.display(), &login.profile);
                    login_file::refused(&format!("`{file}` has no whole profile `{profile}`"))
                })
            }
        }
    }
}

impl Door {
    /// `AssumeRoleWithWebIdentity`: the one request that carries no signature, because the token is the
    /// proof.
    async fn assume_role(&self, login: &WebIdentity, now: Timestamp) -> Result<Credentials, StoreError> {
        // Platforms mount these short-lived tokens readable.
        let token = login_file::token(&login.token_file, Readers::Anybody).await?;
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let request = OutboundRequest::new(Method::POST, self.sts.clone()).header(header::CONTENT_TYPE, form);
        let plain = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("DurationSeconds", SESSION_SECONDS),
            ("RoleArn", login.role_arn.as_str()),
            ("RoleSessionName", login.session_name.as_str()),
        ];
        let body = Some(form_with(&plain, "WebIdentityToken", &token));
        let request = OutboundRequest { body, ..request };
        let answer = Answer::of(self.client.send(request).await)?;
        if answer.status != 200 {
            return Err(answer.login_failure());
        }
        Credentials::of_session(answer.body(), now).ok_or_else(|| answer.senseless())
    }
}
