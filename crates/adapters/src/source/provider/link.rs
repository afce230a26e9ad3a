//! The way to one provider: a connection pool with the trust that its specification names, and its metadata.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gateway_core::manifest::{ClientAuthentication, ProviderSpec};
use gateway_core::time::Timestamp;
use http::{HeaderValue, Method, header};
use sha2::{Digest, Sha256};

use super::ProviderSettings;
use super::error::ProviderError;
use super::metadata::{ProviderMetadata, locations};
use crate::https::{OutboundClient, OutboundConfig, OutboundRequest};

/// More pinned specifications than any deployment has at a time.
const MOST: usize = 4_096;

/// How long a failure to get the metadata serves: just enough to stop a stampede.
const FAILURE_SERVES: Duration = Duration::from_secs(1);

/// The largest metadata document, in bytes.
const LARGEST_DOCUMENT: usize = 256 * 1024;

/// The links of every specification in use. One that changes is another one.
#[derive(Default)]
pub(super) struct Links(Mutex<HashMap<[u8; 32], Arc<Link>>>);

/// How a file looked; replaced or rewritten, it looks different.
type Stamp = Option<(u64, u64, i64, i64)>;

pub(super) struct Link {
    /// The client, and the files it was made of as they looked then: certificates are renewed in place.
    client: Mutex<Option<(Vec<Stamp>, OutboundClient)>>,
    /// One fetch at a time.
    metadata: tokio::sync::Mutex<Option<Known>>,
}

struct Known {
    outcome: Result<Arc<ProviderMetadata>, ProviderError>,
    until: Timestamp,
}

impl Links {
    pub(super) fn of(&self, spec: &ProviderSpec) -> Result<Arc<Link>, ProviderError> {
        let content = serde_json::to_vec(spec)
            .map_err(|_| ProviderError::malformed("the specification cannot be written as JSON"))?;
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if links.len() >= MOST {
            links.clear();
        }
        let new = || Arc::new(Link { client: Mutex::default(), metadata: tokio::sync::Mutex::default() });
        Ok(Arc::clone(links.entry(Sha256::digest(&content).into()).or_insert_with(new)))
    }
}

impl Link {
    /// The client. Reads the files that the specification names where they have changed.
    pub(super) fn client(
        &self,
        spec: &ProviderSpec,
        settings: &ProviderSettings,
    ) -> Result<OutboundClient, ProviderError> {
        let certificate = match &spec.client.authentication {
            ClientAuthentication::TlsClientAuth { certificate } => Some(certificate),
            _ => None,
        };
        let own = certificate.into_iter().flat_map(|own| [&own.certificate_file, &own.key_file]);
        let now: Vec<Stamp> = spec.ca_file.iter().chain(own).map(|path| stamp(path)).collect();
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((then, client)) = &*kept
            && *then == now
        {
            return Ok(client.clone());
        }
        let client = OutboundClient::new(&OutboundConfig {
            ca_file: spec.ca_file.clone(),
            timeout: settings.timeout,
            client_certificate: certificate.cloned(),
            guard: Some(spec.addresses.clone()),
            ..OutboundConfig::default()
        })?;
        *kept = Some((now, client.clone()));
        Ok(client)
    }

    /// The metadata: what is known serves until its time is over, and nothing serves beyond it.
    pub(super) async fn metadata(
        &self,
        spec: &ProviderSpec,
        settings: &ProviderSettings,
        now: Timestamp,
    ) -> Result<Arc<ProviderMetadata>, ProviderError> {
        if let Some(endpoints) = &spec.endpoints {
            return ProviderMetadata::written(spec, endpoints).map(Arc::new);
        }
        let mut known = self.metadata.lock().await;
        if let Some(known) = &*known
            && known.until > now
        {
            return known.outcome.clone();
        }
        let outcome = discover(&self.client(spec, settings)?, spec).await.map(Arc::new);
        let serves = if outcome.is_ok() { settings.metadata_time_to_live } else { FAILURE_SERVES };
        *known = Some(Known { outcome: outcome.clone(), until: now.plus(serves) });
        outcome
    }
}

/// Asks place after place. Only a place that has no document leads to the next one: a provider that is down
/// or answers nonsense is not asked for another word about itself.
async fn discover(client: &OutboundClient, spec: &ProviderSpec) -> Result<ProviderMetadata, ProviderError> {
    for place in locations(&spec.issuer)? {
        let mut request = OutboundRequest::new(Method::GET, place)
            .header(header::ACCEPT, HeaderValue::from_static("application/json"));
        request.max_body = Some(LARGEST_DOCUMENT);
        let answer = client.send(request).await?;
        match answer.status.as_u16() {
            200 => return ProviderMetadata::read(spec, &answer.body),
            429 | 500.. => {
                return Err(ProviderError::unavailable(format!(
                    "the metadata endpoint answered {}",
                    answer.status.as_u16()
                )));
            }
            _ => {}
        }
    }
    Err(ProviderError::malformed("the provider has no metadata document: write `endpoints` out"))
}

fn stamp(path: &Path) -> Stamp {
    // A file that is gone looks different, too.
    let file = std::fs::metadata(path).ok()?;
    Some((file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
}
