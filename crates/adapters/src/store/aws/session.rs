//! How the gateway logs in at AWS: with an identity that its platform gives it, exchanged at STS for a
//! session of an hour; with a session that the platform hands out; or with a key from a file.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use gateway_core::ports::StoreError;
use gateway_core::secret::Secret;
use gateway_core::time::Clock;
use http::{HeaderValue, Method, header};
use serde::{Deserialize, Serialize};
use url::Url;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use super::answer::Answer;
use super::container::{self, Container};
use super::credentials::Credentials;
use crate::https::{OutboundClient, OutboundRequest};
use crate::store::login_file;
use crate::store::private_file::Readers;

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

/// The current credentials, and how others are got.
pub(super) struct Sessions {
    /// Speaks to where logins are answered.
    client: OutboundClient,
    /// Where STS is.
    sts: Url,
    login: AwsLogin,
    clock: Arc<dyn Clock>,
    current: Mutex<Option<Arc<Credentials>>>,
    /// One login at a time.
    turn: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("login", &self.login).finish_non_exhaustive()
    }
}

impl Sessions {
    pub(super) fn new(client: OutboundClient, sts: Url, login: AwsLogin, clock: Arc<dyn Clock>) -> Self {
        Self { client, sts, login, clock, current: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// The credentials to use now; logs in where there are none, or they are about to end.
    pub(super) async fn current(&self) -> Result<Arc<Credentials>, StoreError> {
        let held = self.held();
        if let Some(good) = held.clone().filter(|held| !held.is_due(self.clock.now())) {
            return Ok(good);
        }
        match (self.replace_held(held.as_ref()).await, held) {
            (Ok(new), _) => Ok(new),
            // They are about to end, and have not yet.
            (Err(error), Some(held)) if !held.is_over(self.clock.now()) => {
                tracing::warn!(kind = ?error.kind, inside = %error.inside, "the session at AWS was not renewed");
                Ok(held)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Other credentials than these, which AWS does not take any more.
    pub(super) async fn replace(&self, dead: &Arc<Credentials>) -> Result<Arc<Credentials>, StoreError> {
        self.replace_held(Some(dead)).await
    }

    async fn replace_held(&self, dead: Option<&Arc<Credentials>>) -> Result<Arc<Credentials>, StoreError> {
        let _turn = self.turn.lock().await;
        // Somebody who was in front of us may have replaced them already.
        let other = |held: &Arc<Credentials>| dead.is_none_or(|dead| !Arc::ptr_eq(held, dead));
        let now = self.clock.now();
        if let Some(held) = self.held().filter(|held| other(held) && !held.is_due(now)) {
            return Ok(held);
        }
        let made = Arc::new(self.log_in().await?);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(made.clone());
        Ok(made)
    }

    fn held(&self) -> Option<Arc<Credentials>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn log_in(&self) -> Result<Credentials, StoreError> {
        match &self.login {
            AwsLogin::WebIdentity(login) => self.assume_role(login).await,
            AwsLogin::Container(login) => container::ask(&self.client, login, self.clock.now()).await,
            AwsLogin::CredentialsFile(login) => {
                let content = login_file::read(&login.file, Readers::Group).await?;
                Credentials::of_profile(&content, &login.profile).ok_or_else(|| {
                    let (file, profile) = (login.file.display(), &login.profile);
                    login_file::refused(&format!("`{file}` has no whole profile `{profile}`"))
                })
            }
        }
    }

    /// `AssumeRoleWithWebIdentity`: the one request that carries no signature, because the token is the
    /// proof.
    async fn assume_role(&self, login: &WebIdentity) -> Result<Credentials, StoreError> {
        // Platforms mount these short-lived tokens readable.
        let token = login_file::token(&login.token_file, Readers::Anybody).await?;
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let request = OutboundRequest::new(Method::POST, self.sts.clone()).header(header::CONTENT_TYPE, form);
        let request = OutboundRequest { body: Some(body(login, &token)), ..request };
        let answer = Answer::of(self.client.send(request).await)?;
        if answer.status != 200 {
            return Err(answer.login_failure());
        }
        Credentials::of_session(answer.body(), self.clock.now()).ok_or_else(|| answer.senseless())
    }
}

#[expect(clippy::disallowed_methods, reason = "the platform's token goes into the login's body")]
fn body(login: &WebIdentity, token: &Secret) -> Zeroizing<Vec<u8>> {
    let plain = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("DurationSeconds", SESSION_SECONDS),
        ("RoleArn", login.role_arn.as_str()),
        ("RoleSessionName", login.session_name.as_str()),
    ];
    // Large enough that it never moves: an escape is three bytes for one.
    let named: usize = plain.iter().map(|(name, value)| name.len() + 3 * value.len() + 2).sum();
    let mut body = Zeroizing::new(Vec::with_capacity(named + 3 * token.len() + 64));
    for (name, value) in plain {
        body.extend_from_slice(name.as_bytes());
        body.push(b'=');
        byte_serialize(value.as_bytes()).for_each(|part| body.extend_from_slice(part.as_bytes()));
        body.push(b'&');
    }
    body.extend_from_slice(b"WebIdentityToken=");
    byte_serialize(token.expose()).for_each(|part| body.extend_from_slice(part.as_bytes()));
    body
}
