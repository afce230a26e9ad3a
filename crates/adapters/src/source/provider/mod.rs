//! The client side of OAuth: what the gateway asks of the providers that bindings pin.
//!
//! Every function takes the pinned specification: its client credential is fetched in the specification's
//! own environment, and goes to the issuer's own origin and to the listed ones, nowhere else.

mod account;
mod advertised;
mod answer;
mod authentication;
mod client;
mod code;
mod discovery;
mod document;
mod error;
mod form;
mod installation;
mod link;
mod metadata;
mod proof_key;
mod registration;
mod revocation;
mod signing_key;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::manifest::{ClientAuthentication, ProviderSpec};
use gateway_core::ports::Random;
use gateway_core::stores::Stores;
use gateway_core::time::Clock;
use http::{HeaderMap, HeaderValue, Method, header};
use url::Url;

pub use self::advertised::{Advertised, AdvertisedError, AuthorizationServer, Reach, advertised};
pub use self::answer::Tokens;
pub use self::client::OwnClient;
pub use self::code::{AuthorizationRequest, AuthorizationWish, CodeAnswer};
pub use self::discovery::{Discovery, ResourceMetadata, ServerMetadata};
pub use self::error::ProviderError;
pub use self::metadata::ProviderMetadata;
pub use self::proof_key::ProofKey;
pub use self::revocation::{Revocation, TokenHint};

pub(in crate::source) use self::answer::{ACCESS_TOKEN, ID_JAG, Issued, JWT};
pub(in crate::source) use self::form::Form;

use self::answer::{Expected, LARGEST_ANSWER};
use self::link::{Link, Links};
use self::registration::Registrar;
use crate::https::{OutboundRequest, OutboundResponse};

/// The client's numbers.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// The time for one request. Default 5 s.
    pub timeout: Duration,
    /// How long metadata serves. Default 10 minutes.
    pub metadata_time_to_live: Duration,
    /// How long a token holds whose answer does not say. Default 5 minutes.
    pub default_lifetime: Duration,
    /// A longer lifetime is cut to this. Default 24 hours.
    pub longest_lifetime: Duration,
}

impl Default for ProviderSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            metadata_time_to_live: Duration::from_mins(10),
            default_lifetime: Duration::from_mins(5),
            longest_lifetime: Duration::from_hours(24),
        }
    }
}

/// Asks providers.
pub struct ProviderClient {
    stores: Arc<Stores>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    settings: ProviderSettings,
    links: Links,
    registrar: Option<Arc<Registrar>>,
}

impl fmt::Debug for ProviderClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderClient").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl ProviderClient {
    /// A client that has asked nobody yet.
    pub fn new(
        stores: Arc<Stores>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        settings: ProviderSettings,
    ) -> Self {
        Self { stores, clock, random, settings, links: Links::default(), registrar: None }
    }

    /// What the provider says about itself, or what the manifest writes out; cached.
    ///
    /// # Errors
    /// `provider.unavailable`, `provider.malformed`.
    pub async fn metadata(&self, spec: &ProviderSpec) -> Result<Arc<ProviderMetadata>, ProviderError> {
        let link = self.links.of(spec)?;
        link.metadata(spec, &self.settings, self.clock.now()).await
    }

    /// Asks the token endpoint, once.
    pub(in crate::source) async fn ask(
        &self,
        spec: &ProviderSpec,
        form: Form<'_>,
        scopes: &[&str],
        issued: Issued,
    ) -> Result<Tokens, ProviderError> {
        let link = self.links.of(spec)?;
        let metadata = link.metadata(spec, &self.settings, self.clock.now()).await?;
        let endpoint = match &spec.client.authentication {
            ClientAuthentication::TlsClientAuth { .. } => metadata.mutual_tls.token.as_ref(),
            _ => None,
        };
        let endpoint = endpoint.unwrap_or(&metadata.token).clone();
        let answer = self.post(&link, spec, &metadata, endpoint, form).await?;
        let expected = Expected {
            scopes,
            issued,
            default_lifetime: self.settings.default_lifetime,
            longest_lifetime: self.settings.longest_lifetime,
        };
        answer::read(&answer, &expected)
    }

    /// Posts a form to one of the provider's endpoints, as its client.
    async fn post(
        &self,
        link: &Link,
        spec: &ProviderSpec,
        metadata: &ProviderMetadata,
        endpoint: Url,
        mut form: Form<'_>,
    ) -> Result<OutboundResponse, ProviderError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, kind);
        let client = self.known(spec, link, metadata).await?;
        let registered = client.registered.as_ref().map(|_| client.id.clone());
        self.authenticate(spec, metadata, client, &mut form, &mut headers).await?;
        let mut request = OutboundRequest::new(Method::POST, endpoint);
        request.headers = headers;
        request.body = Some(form.encode());
        request.max_body = Some(LARGEST_ANSWER);
        let answer = link.client(spec, &self.settings)?.send(request).await?;
        if let Some(id) = registered.filter(|_| disowns(&answer)) {
            self.disowned(spec, link, metadata, &id).await;
        }
        Ok(answer)
    }
}

/// RFC 6749, section 5.2.
fn disowns(answer: &OutboundResponse) -> bool {
    answer.status.is_client_error() && answer::error_code(&answer.body).as_deref() == Some("invalid_client")
}

#[cfg(test)]
mod tests;
