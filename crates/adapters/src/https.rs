//! The only outbound HTTP client of this crate: for secret stores, issuers and sinks.
//!
//! Every request has a deadline and a cap on the answer's size. Redirects are never followed, proxies
//! come from the configuration and never from the process environment, and plain `http://` is refused
//! unless the host is a loopback address.

mod guard;
mod stream;
pub(crate) mod tls;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use gateway_core::address::AddressRefused;
use gateway_core::manifest::{AddressScope, ClientCertificate};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::{Host, Url};
use zeroize::Zeroizing;

pub use self::stream::{OpenAnswer, OpenError};

/// How the client reaches the outside.
#[derive(Debug, Clone)]
pub struct OutboundConfig {
    /// PEM file of the only certificate authorities to trust; the system's where absent.
    pub ca_file: Option<PathBuf>,
    /// The time for one whole request, the answer's body included. Default 5 s.
    pub timeout: Duration,
    /// The time for making a connection. Default 3 s.
    pub connect_timeout: Duration,
    /// The proxy for every request; a direct connection where absent.
    pub proxy: Option<Url>,
    /// The largest answer taken, in bytes. Default 1 MiB.
    pub max_body: usize,
    /// Whether plain `http://` may go to hosts other than loopback addresses. Default no.
    pub allow_plain_http: bool,
    /// Whom the client presents itself as; nobody where absent.
    pub client_certificate: Option<ClientCertificate>,
    /// The address guard: the only kinds of address beyond public ones that a name may lead to, judged
    /// on the addresses that are dialled. No guard where absent: for addresses that an operator wrote
    /// into the configuration.
    pub guard: Option<Vec<AddressScope>>,
}

impl Default for OutboundConfig {
    fn default() -> Self {
        Self {
            ca_file: None,
            timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(3),
            proxy: None,
            max_body: 1024 * 1024,
            allow_plain_http: false,
            client_certificate: None,
            guard: None,
        }
    }
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum OutboundBuildError {
    /// The file of certificate authorities cannot be read or holds none.
    #[error("certificate authorities in `{file}`: {reason}")]
    Authorities {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The client certificate or its key cannot be read, or they are no pair.
    #[error("the client certificate cannot be used: {0}")]
    ClientCertificate(String),
    /// The TLS library or the client refuses the configuration.
    #[error("the HTTP client cannot be made: {0}")]
    Client(String),
}

/// Why a request has no usable answer. Holds no body, no header and no query.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OutboundError {
    /// Plain `http://` to a host that is no loopback address, or another scheme.
    #[error("refused to speak anything but https to `{0}`")]
    Insecure(String),
    /// The name leads to an address that the guard refuses.
    #[error("refused to connect to `{host}`: {refused}")]
    Address {
        /// The host.
        host: String,
        /// The kind of address.
        refused: AddressRefused,
    },
    /// The deadline passed.
    #[error("no answer from `{0}` in time")]
    Timeout(String),
    /// No connection, or it broke.
    #[error("no connection to `{host}`: {reason}")]
    Unreachable {
        /// The host.
        host: String,
        /// The chain of causes.
        reason: String,
    },
    /// The answer is larger than the limit.
    #[error("the answer of `{host}` is larger than {limit} bytes")]
    TooLarge {
        /// The host.
        host: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// A status other than 2xx (the JSON functions only).
    #[error("`{host}` answered {status}")]
    Status {
        /// The host.
        host: String,
        /// The status.
        status: u16,
    },
    /// The answer is not the JSON that was expected (the JSON functions only).
    #[error("the answer of `{0}` is not the expected JSON")]
    NotJson(String),
}

/// One request. Its body is zeroed once sent.
pub struct OutboundRequest {
    /// The method.
    pub method: Method,
    /// The address.
    pub url: Url,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Option<Zeroizing<Vec<u8>>>,
    /// A limit on the answer in bytes, other than the client's.
    pub max_body: Option<usize>,
}

impl OutboundRequest {
    /// A request without headers and body.
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: None, max_body: None }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Takes the body.
    #[must_use]
    pub fn body(mut self, body: Vec<u8>) -> Self {
        self.body = Some(Zeroizing::new(body));
        self
    }
}

impl fmt::Debug for OutboundRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutboundRequest({} {})", self.method, host_of(&self.url))
    }
}

/// One answer. Our copy of the body is zeroed on drop; the buffers of the HTTP and TLS libraries are
/// not ours to zero.
pub struct OutboundResponse {
    /// The status, redirects included: they are answers like any other.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for OutboundResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutboundResponse({})", self.status.as_u16())
    }
}

/// The client: cheap to clone, one pool of connections behind all clones.
#[derive(Clone)]
pub struct OutboundClient {
    client: reqwest::Client,
    max_body: usize,
    allow_plain_http: bool,
    guard: Option<Vec<AddressScope>>,
}

impl fmt::Debug for OutboundClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundClient").field("max_body", &self.max_body).finish_non_exhaustive()
    }
}

impl OutboundClient {
    /// Makes a client. Reads the certificate authorities now, touches no network.
    ///
    /// # Errors
    /// Why the configuration cannot be used.
    pub fn new(config: &OutboundConfig) -> Result<Self, OutboundBuildError> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config(config)?)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .no_proxy()
            .timeout(config.timeout)
            .connect_timeout(config.connect_timeout)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("mcp-gateway/", env!("CARGO_PKG_VERSION")));
        if let Some(proxy) = &config.proxy {
            let proxy = reqwest::Proxy::all(proxy.clone())
                .map_err(|error| OutboundBuildError::Client(causes(&error.without_url())))?;
            builder = builder.proxy(proxy);
        }
        if let Some(scopes) = &config.guard {
            builder = builder.dns_resolver(guard::GuardedResolver::new(scopes.clone()));
        }
        let client =
            builder.build().map_err(|error| OutboundBuildError::Client(causes(&error.without_url())))?;
        let guard = config.guard.clone();
        Ok(Self { client, max_body: config.max_body, allow_plain_http: config.allow_plain_http, guard })
    }

    /// Sends one request, once, and reads the answer up to its limit.
    ///
    /// # Errors
    /// No answer at all, or one beyond the limit. Any status is an answer.
    pub async fn send(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        let host = host_of(&request.url);
        if !may_speak(&request.url, self.allow_plain_http) {
            return Err(OutboundError::Insecure(host));
        }
        if let Some(scopes) = &self.guard {
            guard::literal(&request.url, scopes)
                .map_err(|refused| OutboundError::Address { host: host.clone(), refused })?;
        }
        let limit = request.max_body.unwrap_or(self.max_body);
        let mut outbound = self.client.request(request.method, request.url).headers(request.headers);
        if let Some(body) = request.body {
            outbound = outbound.body(Bytes::from_owner(body));
        }
        let mut answer = outbound.send().await.map_err(|error| transport(&host, error))?;
        let expected = answer.content_length().unwrap_or(0);
        let too_large = || OutboundError::TooLarge { host: host.clone(), limit };
        // Reserved at once where the length is announced, so that growing leaves no copies behind.
        let expected = usize::try_from(expected).ok().filter(|length| *length <= limit);
        let mut body = Zeroizing::new(Vec::with_capacity(expected.ok_or_else(too_large)?));
        while let Some(chunk) = answer.chunk().await.map_err(|error| transport(&host, error))? {
            if body.len().saturating_add(chunk.len()) > limit {
                return Err(too_large());
            }
            append(&mut body, &chunk);
        }
        Ok(OutboundResponse { status: answer.status(), headers: std::mem::take(answer.headers_mut()), body })
    }

    /// Gets a JSON document.
    ///
    /// # Errors
    /// As for [`OutboundClient::send`], and a status other than 2xx or another document than expected.
    pub async fn get_json<T: DeserializeOwned>(&self, url: &Url) -> Result<T, OutboundError> {
        let accept = HeaderValue::from_static("application/json");
        let request = OutboundRequest::new(Method::GET, url.clone()).header(header::ACCEPT, accept);
        self.json(request).await
    }

    /// Posts a JSON document and reads one.
    ///
    /// # Errors
    /// As for [`OutboundClient::get_json`].
    pub async fn post_json<B, T>(&self, url: &Url, document: &B) -> Result<T, OutboundError>
    where
        B: Serialize + Sync,
        T: DeserializeOwned,
    {
        let body = serde_json::to_vec(document).map_err(|_| OutboundError::NotJson(host_of(url)))?;
        let json = HeaderValue::from_static("application/json");
        let request = OutboundRequest::new(Method::POST, url.clone())
            .header(header::ACCEPT, json.clone())
            .header(header::CONTENT_TYPE, json)
            .body(body);
        self.json(request).await
    }

    async fn json<T: DeserializeOwned>(&self, request: OutboundRequest) -> Result<T, OutboundError> {
        let host = host_of(&request.url);
        let answer = self.send(request).await?;
        if !answer.status.is_success() {
            return Err(OutboundError::Status { host, status: answer.status.as_u16() });
        }
        serde_json::from_slice(&answer.body).map_err(|_| OutboundError::NotJson(host))
    }
}

/// Grows by hand: the old buffer is zeroed before it goes back to the allocator.
pub(crate) fn append(body: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    let needed = body.len().saturating_add(chunk.len());
    if needed > body.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.saturating_mul(2)));
        larger.extend_from_slice(body);
        *body = larger;
    }
    body.extend_from_slice(chunk);
}

fn host_of(url: &Url) -> String {
    url.host_str().unwrap_or("an address without host").to_owned()
}

/// Whether the scheme is fit for the host.
fn may_speak(url: &Url, allow_plain_http: bool) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => allow_plain_http || is_loopback(url),
        _ => false,
    }
}

/// Whether the address names this machine's loopback interface.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn transport(host: &str, error: reqwest::Error) -> OutboundError {
    if let Some(refused) = guard::refusal_in(&error) {
        return OutboundError::Address { host: host.to_owned(), refused };
    }
    // A connection that takes too long is a host that cannot be reached; another one may be.
    if error.is_timeout() && !error.is_connect() {
        return OutboundError::Timeout(host.to_owned());
    }
    OutboundError::Unreachable { host: host.to_owned(), reason: causes(&error.without_url()) }
}

/// The error and its causes on one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
