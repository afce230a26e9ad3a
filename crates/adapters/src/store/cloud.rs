//! What the stores of the clouds have in common: a service that takes a bearer token over HTTPS, a login
//! that gets one for an identity of the platform, and answers with an error document of the vendor's.
//!
//! No vendor's SDK: each store needs two or three requests of one shape (ADR 0020).

mod answer;
mod form;
mod grant;
mod names;
mod token;
mod token_file;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::ports::{StoreError, StoreErrorKind};
use gateway_core::reference::VersionSelector;
use gateway_core::time::Clock;
use http::{HeaderValue, Method, header};
use url::Url;

pub(super) use self::answer::{Answer, Dialect};
pub(super) use self::form::form_with;
pub(super) use self::grant::granted;
pub(super) use self::names::{below, is_name, segments};
pub(super) use self::token::{Token, term};
pub(super) use self::token_file::TokenFile;
use super::session::{Login, Sessions};
use crate::https::{OutboundBuildError, OutboundClient, OutboundConfig, OutboundRequest};

/// How such a service is reached.
#[derive(Debug, Clone)]
pub struct Reach {
    /// PEM file of the certificate authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// The outbound proxy.
    pub proxy: Option<Url>,
    /// The time for one request.
    pub timeout: Duration,
}

impl Reach {
    /// A client that takes answers up to this many bytes.
    pub(super) fn client(&self, max_body: usize) -> Result<OutboundClient, OutboundBuildError> {
        OutboundClient::new(&OutboundConfig {
            ca_file: self.ca_file.clone(),
            proxy: self.proxy.clone(),
            timeout: self.timeout,
            connect_timeout: self.timeout,
            max_body,
            ..OutboundConfig::default()
        })
    }

    /// A client for the metadata service of the machine, which answers in plain text and beside no proxy;
    /// where exactly, the configuration's rules say.
    pub(super) fn metadata_client(&self) -> Result<OutboundClient, OutboundBuildError> {
        OutboundClient::new(&OutboundConfig {
            timeout: self.timeout,
            connect_timeout: self.timeout,
            allow_plain_http: true,
            max_body: LARGEST_LOGIN,
            ..OutboundConfig::default()
        })
    }
}

/// The largest answer to a login, in bytes.
pub(super) const LARGEST_LOGIN: usize = 64 * 1024;

/// A service and our login to it.
pub(super) struct Service {
    client: OutboundClient,
    dialect: Dialect,
    sessions: Sessions<Token>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}

impl Service {
    pub(super) fn new(
        client: OutboundClient,
        dialect: Dialect,
        login: Box<dyn Login<Session = Token>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { client, dialect, sessions: Sessions::new(login, clock) }
    }

    /// Reads a document, and once more with another token where the service says that ours is dead.
    pub(super) async fn get(&self, url: &Url) -> Result<Answer, StoreError> {
        self.call(url, None).await
    }

    /// Posts a document in JSON that holds no secret.
    pub(super) async fn post(&self, url: &Url, body: &[u8]) -> Result<Answer, StoreError> {
        self.call(url, Some(body)).await
    }

    async fn call(&self, url: &Url, body: Option<&[u8]>) -> Result<Answer, StoreError> {
        let token = self.sessions.current().await?;
        let answer = self.send(url, body, &token).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        let token = self.sessions.replace(&token).await?;
        self.send(url, body, &token).await
    }

    async fn send(&self, url: &Url, body: Option<&[u8]>, token: &Token) -> Result<Answer, StoreError> {
        let json = HeaderValue::from_static("application/json");
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let mut request = OutboundRequest::new(method, url.clone())
            .header(header::AUTHORIZATION, token.header())
            .header(header::ACCEPT, json.clone());
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, json).body(body.to_vec());
        }
        Answer::of(self.dialect, self.client.send(request).await)
    }
}

/// The version that is wanted of a store that keeps the newest alone.
pub(super) fn only_version(
    wanted: Option<&VersionSelector>,
    current: &str,
    keeper: &str,
) -> Result<(), StoreError> {
    match wanted {
        None => Ok(()),
        Some(VersionSelector::Version(pinned)) if pinned == current => Ok(()),
        Some(VersionSelector::Version(_)) => {
            let inside =
                format!("{keeper} keeps no versions, and the pinned one is not the one that is there");
            Err(StoreError::new(StoreErrorKind::NotFound, inside))
        }
        Some(VersionSelector::Stage(_)) => {
            Err(StoreError::new(StoreErrorKind::Malformed, format!("{keeper} has no stages")))
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
