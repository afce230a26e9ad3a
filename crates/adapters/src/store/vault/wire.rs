//! Requests to the cluster, and its answers.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use gateway_core::manifest::ClientCertificate;
use gateway_core::ports::{StoreError, StoreErrorKind};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;
use zeroize::Zeroizing;

use crate::https::{OutboundBuildError, OutboundClient, OutboundConfig, OutboundError, OutboundRequest};
use crate::store::blocking::blocking;
use crate::store::login_file::refused;

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// Agents and proxies of the store refuse requests without it: a page in a browser cannot send it.
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

/// Speaks to whichever node of the cluster answers.
pub(super) struct Wire {
    outbound: OutboundConfig,
    client: RwLock<OutboundClient>,
    nodes: Vec<Url>,
    /// The node that answered last.
    preferred: AtomicUsize,
    namespace: Option<HeaderValue>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("nodes", &self.nodes).field("namespace", &self.namespace).finish()
    }
}

impl Wire {
    pub(super) fn new(
        outbound: &OutboundConfig,
        nodes: Vec<Url>,
        namespace: Option<String>,
    ) -> Result<Self, OutboundBuildError> {
        let refused = |inside: &str| OutboundBuildError::Client(inside.to_owned());
        let namespace = namespace.map(|name| HeaderValue::from_str(&name)).transpose();
        let namespace = namespace.map_err(|_| refused("the namespace is no header value"))?;
        if nodes.is_empty() {
            return Err(refused("there is no address"));
        }
        let client = RwLock::new(OutboundClient::new(outbound)?);
        Ok(Self { outbound: outbound.clone(), client, nodes, preferred: AtomicUsize::new(0), namespace })
    }

    /// Presents this client certificate from now on, as its files are now. A renewal must show the same one
    /// as the login, so every request does.
    pub(super) async fn present(&self, certificate: ClientCertificate) -> Result<(), StoreError> {
        let config = OutboundConfig { client_certificate: Some(certificate), ..self.outbound.clone() };
        let make = move || OutboundClient::new(&config).map_err(|error| refused(&error.to_string()));
        let client = blocking(make).await?;
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = client;
        Ok(())
    }

    fn client(&self) -> OutboundClient {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks the preferred node; where it cannot be reached, the others. A standby's redirect is
    /// followed once, and only to a node that is configured.
    pub(super) async fn call(
        &self,
        method: Method,
        segments: &[&str],
        version: Option<u64>,
        token: Option<&HeaderValue>,
        body: Option<&[u8]>,
    ) -> Result<Answer, StoreError> {
        let first = self.preferred.load(Ordering::Relaxed);
        let order = (0..self.nodes.len()).map(|step| (first + step) % self.nodes.len());
        let mut unreachable = None;
        for index in order {
            match self.ask(index, &method, segments, version, token, body).await {
                Ok(answer) if answer.status == 307 => {
                    let active = self.redirected(&answer)?;
                    self.preferred.store(active, Ordering::Relaxed);
                    return self.ask(active, &method, segments, version, token, body).await;
                }
                Ok(answer) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) if error.kind == StoreErrorKind::Unavailable => unreachable = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(unreachable.unwrap_or_else(|| StoreError::new(StoreErrorKind::Unavailable, "no node answers")))
    }

    async fn ask(
        &self,
        index: usize,
        method: &Method,
        segments: &[&str],
        version: Option<u64>,
        token: Option<&HeaderValue>,
        body: Option<&[u8]>,
    ) -> Result<Answer, StoreError> {
        let url = self.nodes.get(index).and_then(|node| address(node, segments, version));
        let url =
            url.ok_or_else(|| StoreError::new(StoreErrorKind::Malformed, "no address can be made of it"))?;
        let yes = HeaderValue::from_static("true");
        let mut request = OutboundRequest::new(method.clone(), url).header(REQUEST, yes);
        for (name, value) in [(NAMESPACE, self.namespace.as_ref()), (TOKEN, token)] {
            if let Some(value) = value {
                request = request.header(name, value.clone());
            }
        }
        if let Some(body) = body {
            let json = HeaderValue::from_static("application/json");
            request = request.header(header::CONTENT_TYPE, json).body(body.to_vec());
        }
        let response = self.client().send(request).await.map_err(outbound)?;
        Ok(Answer { status: response.status.as_u16(), headers: response.headers, body: response.body })
    }

    /// The configured node that a standby points at.
    fn redirected(&self, answer: &Answer) -> Result<usize, StoreError> {
        let location = answer.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
        let location = location.and_then(|text| Url::parse(text).ok());
        let active =
            location.and_then(|url| self.nodes.iter().position(|node| node.origin() == url.origin()));
        active.ok_or_else(|| {
            let inside = "a standby node points at an address that is not configured for this store";
            StoreError::new(StoreErrorKind::Unavailable, inside)
        })
    }
}

/// `{node}/v1/{segments}`, each segment percent-encoded.
fn address(node: &Url, segments: &[&str], version: Option<u64>) -> Option<Url> {
    let mut url = node.clone();
    url.path_segments_mut().ok()?.pop_if_empty().push("v1").extend(segments);
    if let Some(version) = version {
        url.query_pairs_mut().append_pair("version", &version.to_string());
    }
    Some(url)
}

fn outbound(error: OutboundError) -> StoreError {
    let kind = match error {
        OutboundError::Timeout(_) => StoreErrorKind::Timeout,
        OutboundError::Unreachable { .. } => StoreErrorKind::Unavailable,
        OutboundError::Insecure(_)
        | OutboundError::Address { .. }
        | OutboundError::TooLarge { .. }
        | OutboundError::Status { .. }
        | OutboundError::NotJson(_) => StoreErrorKind::Malformed,
    };
    StoreError::new(kind, error)
}

/// Makes the header of a token: the copy is zeroed when the last clone goes, and shown nowhere.
pub(super) fn token_header(token: &[u8]) -> Result<HeaderValue, StoreError> {
    let owned = Bytes::from_owner(Zeroizing::new(token.to_vec()));
    let mut value = HeaderValue::from_maybe_shared(owned)
        .map_err(|_| StoreError::new(StoreErrorKind::Malformed, "the token is no header value"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// An answer of a node.
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    headers: HeaderMap,
    body: Zeroizing<Vec<u8>>,
}

/// The answer to a read of a KV version 2 mount.
#[derive(Deserialize)]
pub(super) struct Kv<'a> {
    /// The id in the store's own audit log.
    pub(super) request_id: Option<String>,
    /// The data.
    #[serde(borrow)]
    pub(super) data: KvData<'a>,
}

/// The data of a version.
#[derive(Deserialize)]
pub(super) struct KvData<'a> {
    /// The fields; null where the version is deleted.
    #[serde(borrow)]
    pub(super) data: Option<HashMap<String, &'a RawValue>>,
    /// About the version.
    pub(super) metadata: KvMetadata,
}

/// About a version.
#[derive(Deserialize)]
pub(super) struct KvMetadata {
    /// Its number.
    pub(super) version: u64,
    /// When it was written.
    pub(super) created_time: String,
    /// When it was or will be deleted; empty where never.
    #[serde(default)]
    pub(super) deletion_time: String,
    /// Whether it is gone for good.
    #[serde(default)]
    pub(super) destroyed: bool,
}

/// The answer to a login or a renewal.
#[derive(Deserialize)]
pub(super) struct Auth<'a> {
    /// The token, undecoded.
    #[serde(borrow)]
    pub(super) client_token: &'a RawValue,
    /// The time to live in seconds; 0 means for ever.
    pub(super) lease_duration: u64,
    /// Whether it can be renewed.
    pub(super) renewable: bool,
}

/// What a token says about itself.
#[derive(Deserialize)]
pub(super) struct Lookup {
    /// The time to live in seconds; 0 means for ever.
    pub(super) ttl: u64,
    /// Whether it can be renewed.
    #[serde(default)]
    pub(super) renewable: bool,
}

impl Answer {
    /// The body as what is expected; it borrows from the zeroed buffer.
    pub(super) fn json<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The body of a KV version 2 read, where it is one.
    pub(super) fn kv(&self) -> Option<Kv<'_>> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The body of a login or a renewal, where it is one.
    pub(super) fn auth(&self) -> Option<Auth<'_>> {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            auth: Auth<'a>,
        }
        serde_json::from_slice::<Body<'_>>(&self.body).ok().map(|body| body.auth)
    }

    /// The body of a token's lookup, where it is one.
    pub(super) fn lookup(&self) -> Option<Lookup> {
        #[derive(Deserialize)]
        struct Body {
            data: Lookup,
        }
        serde_json::from_slice::<Body>(&self.body).ok().map(|body| body.data)
    }

    /// The version that a write made, where the answer is one to a write.
    pub(super) fn written(&self) -> Option<u64> {
        #[derive(Deserialize)]
        struct Body {
            data: Written,
        }
        #[derive(Deserialize)]
        struct Written {
            version: u64,
        }
        serde_json::from_slice::<Body>(&self.body).ok().map(|body| body.data.version)
    }

    /// Whether one of the store's error texts holds these words.
    pub(super) fn says(&self, words: &str) -> bool {
        #[derive(Deserialize)]
        struct Body {
            errors: Vec<String>,
        }
        let body = serde_json::from_slice::<Body>(&self.body).ok();
        body.is_some_and(|body| body.errors.iter().any(|text| text.contains(words)))
    }

    /// The failure that the status means.
    pub(super) fn failure(&self) -> StoreError {
        match self.status {
            401 | 403 => self.error(StoreErrorKind::Denied, "the store refuses the gateway"),
            404 => self.error(StoreErrorKind::NotFound, "there is no such thing"),
            429 => {
                let mut error = self.error(StoreErrorKind::Throttled, "the store asks to slow down");
                let seconds = self.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
                error.retry_after = seconds.and_then(|text| text.parse().ok()).map(Duration::from_secs);
                error
            }
            // 412: not yet replicated; 472 and 473: a standby that serves no reads.
            412 | 472 | 473 | 500..=599 => {
                self.error(StoreErrorKind::Unavailable, "the store is not able to answer")
            }
            _ => self.error(StoreErrorKind::Malformed, "the store does not understand the request"),
        }
    }

    /// A failure with the status and the request id. The store's own error texts are left out: they
    /// may repeat what was sent.
    pub(super) fn error(&self, kind: StoreErrorKind, inside: &str) -> StoreError {
        #[derive(Deserialize)]
        struct Body {
            request_id: String,
        }
        let body = serde_json::from_slice::<Body>(&self.body).ok();
        let id = body.map(|body| format!(", request {}", body.request_id)).unwrap_or_default();
        StoreError::new(kind, format!("{inside} (status {}{id})", self.status))
    }
}
