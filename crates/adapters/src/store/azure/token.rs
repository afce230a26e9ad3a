//! The two ways to a token: the instance metadata service, and Entra ID's token endpoint.

use async_trait::async_trait;
use gateway_core::ports::StoreError;
use gateway_core::time::Timestamp;
use http::{HeaderName, HeaderValue, Method, header};
use url::Url;

use super::login::{ClientAssertion, ManagedIdentity};
use super::{DIALECT, address};
use crate::https::{OutboundBuildError, OutboundClient, OutboundRequest};
use crate::store::cloud::{Answer, Token, below, form_with, granted};
use crate::store::login_file;
use crate::store::private_file::Readers;
use crate::store::session::Login;

/// Proves to the service that nobody was tricked into asking.
const METADATA: HeaderName = HeaderName::from_static("metadata");
const METADATA_API_VERSION: &str = "2018-02-01";
/// RFC 7523, section 2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn refused(error: StoreError) -> OutboundBuildError {
    OutboundBuildError::Client(error.inside)
}

/// The machine's identity.
#[derive(Debug)]
pub(super) struct Machine {
    client: OutboundClient,
    token: Url,
}

impl Machine {
    pub(super) fn new(
        client: OutboundClient,
        login: &ManagedIdentity,
        resource: &str,
    ) -> Result<Self, OutboundBuildError> {
        let own = || Url::parse("http://169.254.169.254/");
        let endpoint = login.endpoint.clone().map_or_else(own, Ok);
        let endpoint = endpoint.map_err(|error| OutboundBuildError::Client(error.to_string()))?;
        let mut token = below(&endpoint, &["metadata", "identity", "oauth2", "token"]).map_err(refused)?;
        token
            .query_pairs_mut()
            .append_pair("api-version", METADATA_API_VERSION)
            .append_pair("resource", resource);
        if let Some(id) = &login.client_id {
            token.query_pairs_mut().append_pair("client_id", id);
        }
        Ok(Self { client, token })
    }
}

#[async_trait]
impl Login for Machine {
    type Session = Token;

    async fn log_in(&self, now: Timestamp) -> Result<Token, StoreError> {
        let request = OutboundRequest::new(Method::GET, self.token.clone())
            .header(METADATA, HeaderValue::from_static("true"));
        granted(&Answer::of(DIALECT, self.client.send(request).await)?, now)
    }
}

/// The platform's token as the proof of a client.
#[derive(Debug)]
pub(super) struct Assertion {
    client: OutboundClient,
    login: ClientAssertion,
    token: Url,
    scope: String,
}

impl Assertion {
    pub(super) fn new(
        client: OutboundClient,
        login: ClientAssertion,
        resource: &str,
    ) -> Result<Self, OutboundBuildError> {
        let authority = login.authority.clone().map_or_else(|| address("login.microsoftonline.com"), Ok)?;
        let token = below(&authority, &[&login.tenant_id, "oauth2", "v2.0", "token"]).map_err(refused)?;
        Ok(Self { client, login, token, scope: format!("{resource}/.default") })
    }
}

#[async_trait]
impl Login for Assertion {
    type Session = Token;

    async fn log_in(&self, now: Timestamp) -> Result<Token, StoreError> {
        // Platforms mount these short-lived tokens readable.
        let assertion = login_file::token(&self.login.token_file, Readers::Anybody).await?;
        let plain = [
            ("grant_type", "client_credentials"),
            ("client_id", self.login.client_id.as_str()),
            ("scope", self.scope.as_str()),
            ("client_assertion_type", JWT_BEARER),
        ];
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let request =
            OutboundRequest::new(Method::POST, self.token.clone()).header(header::CONTENT_TYPE, form);
        let body = Some(form_with(&plain, "client_assertion", &assertion));
        let sent = self.client.send(OutboundRequest { body, ..request }).await;
        granted(&Answer::of(DIALECT, sent)?, now)
    }
}
