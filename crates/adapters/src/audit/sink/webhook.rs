//! A webhook: newline-delimited JSON by POST, taken where it answers 2xx.

use async_trait::async_trait;
use gateway_core::audit::ChainId;
use http::{HeaderName, HeaderValue, Method, header};

use super::config::HttpSinkConfig;
use super::transport::{Failure, Transport, bearer};
use crate::audit::cursor::Batch;
use crate::https::{OutboundBuildError, OutboundClient, OutboundConfig, OutboundRequest};

#[derive(Debug)]
pub(super) struct Webhook {
    client: OutboundClient,
    config: HttpSinkConfig,
}

/// The client of a receiver over HTTP. Reads the certificate authorities, touches no network.
pub(super) fn client(config: &HttpSinkConfig) -> Result<OutboundClient, OutboundBuildError> {
    OutboundClient::new(&OutboundConfig {
        ca_file: config.ca_file.clone(),
        timeout: config.timeout(),
        proxy: config.proxy.clone(),
        ..OutboundConfig::default()
    })
}

impl Webhook {
    pub(super) fn new(config: HttpSinkConfig) -> Result<Self, OutboundBuildError> {
        Ok(Self { client: client(&config)?, config })
    }
}

#[async_trait]
impl Transport for Webhook {
    async fn send(&self, chain: ChainId, batch: &Batch) -> Result<(), Failure> {
        let chain = HeaderValue::from_str(&chain.to_string()).map_err(Failure::new)?;
        let mut request = OutboundRequest::new(Method::POST, self.config.url.clone())
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))
            .header(HeaderName::from_static("x-audit-chain"), chain)
            .body(batch.body.clone());
        request.headers.extend(bearer(self.config.token_file.as_deref()).map_err(Failure::new)?);
        let answer = self.client.send(request).await.map_err(Failure::new)?;
        Failure::of(&answer)
    }
}
