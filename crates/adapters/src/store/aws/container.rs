//! The session that a platform hands out beside the container: EKS Pod Identity, or ECS.

use std::path::PathBuf;

use gateway_core::ports::StoreError;
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use http::{HeaderValue, Method, header};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::answer::Answer;
use super::credentials::{Credentials, sensitive};
use crate::https::{OutboundClient, OutboundRequest, is_loopback};
use crate::store::login_file;
use crate::store::private_file::Readers;

/// Where these platforms answer, on the node itself: plain HTTP goes nowhere else.
const ON_THE_NODE: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];

/// Login with the platform's own session.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// Where it is answered: `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
    pub endpoint: Url,
    /// The file of the token that is asked for there: `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

impl Container {
    /// Whether the session may be fetched from there.
    pub(in crate::store) fn is_local(&self) -> bool {
        let on_the_node = self.endpoint.host_str().is_some_and(|host| ON_THE_NODE.contains(&host));
        match self.endpoint.scheme() {
            "https" => matches!(self.endpoint.host(), Some(Host::Domain(_))) || on_the_node,
            "http" => on_the_node || is_loopback(&self.endpoint),
            _ => false,
        }
    }
}

/// Asks the platform for a session.
pub(super) async fn ask(
    client: &OutboundClient,
    login: &Container,
    now: Timestamp,
) -> Result<Credentials, StoreError> {
    let mut request = OutboundRequest::new(Method::GET, login.endpoint.clone());
    if let Some(file) = &login.token_file {
        let token = login_file::token(file, Readers::Anybody).await?;
        let token = header_of(&token).ok_or_else(|| login_file::refused("the token is no header value"))?;
        request = request.header(header::AUTHORIZATION, token);
    }
    let answer = Answer::of(client.send(request).await)?;
    if answer.status != 200 {
        return Err(answer.login_failure());
    }
    Credentials::of_container(answer.body(), now).ok_or_else(|| answer.senseless())
}

#[expect(clippy::disallowed_methods, reason = "the platform's token goes into the header of the login")]
fn header_of(token: &Secret) -> Option<HeaderValue> {
    std::str::from_utf8(token.expose()).ok().and_then(sensitive)
}
