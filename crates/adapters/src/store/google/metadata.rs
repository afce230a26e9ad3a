//! The token of the machine's or the pod's own service account.

use async_trait::async_trait;
use gateway_core::ports::{StoreError, StoreErrorKind};
use gateway_core::time::Timestamp;
use http::{HeaderName, HeaderValue, Method};
use url::Url;

use super::login::Metadata;
use super::{DIALECT, SCOPE};
use crate::https::{OutboundBuildError, OutboundClient, OutboundRequest};
use crate::store::cloud::{Answer, Token, below, granted};
use crate::store::session::Login;

/// Proves to the server that nobody was tricked into asking, and to us that it is the server.
const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");

/// The metadata server.
#[derive(Debug)]
pub(super) struct MetadataServer {
    client: OutboundClient,
    token: Url,
}

impl MetadataServer {
    pub(super) fn new(client: OutboundClient, login: Metadata) -> Result<Self, OutboundBuildError> {
        let own = || Url::parse("http://169.254.169.254/").map_err(|error| refused(&error));
        let endpoint = login.endpoint.map_or_else(own, Ok)?;
        let place =
            ["computeMetadata", "v1", "instance", "service-accounts", login.account.as_str(), "token"];
        let mut token = below(&endpoint, &place).map_err(|error| refused(&error))?;
        token.query_pairs_mut().append_pair("scopes", SCOPE);
        Ok(Self { client, token })
    }
}

fn refused(error: &dyn std::fmt::Display) -> OutboundBuildError {
    OutboundBuildError::Client(format!("the metadata server's address: {error}"))
}

#[async_trait]
impl Login for MetadataServer {
    type Session = Token;

    async fn log_in(&self, now: Timestamp) -> Result<Token, StoreError> {
        let request = OutboundRequest::new(Method::GET, self.token.clone())
            .header(FLAVOR, HeaderValue::from_static("Google"));
        let answer = Answer::of(DIALECT, self.client.send(request).await)?;
        if answer.status == 200 && answer.header(FLAVOR.as_str()) != Some("Google") {
            let inside = "what answers at the metadata server's address is no metadata server";
            return Err(answer.error(StoreErrorKind::Denied, inside));
        }
        granted(&answer, now)
    }
}
