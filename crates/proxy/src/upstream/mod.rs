//! Connections to upstream servers: pools by origin and client TLS identity, one set per data thread.

mod body;
mod connect;
mod guard;
pub mod stdio;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gateway_core::manifest::{AddressScope, HttpRoute};
use gateway_core::refusal::{Code, Refusal};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

pub use body::{Broken, UpstreamBody};
use connect::GuardedConnector;
pub use guard::{AddressRefused, allowed};

type Pool = Client<HttpsConnector<GuardedConnector>, Full<Bytes>>;

/// How long a connection may rest in a pool: shorter than the keep-alive of common servers (Node's is
/// five seconds), so that a call is rarely written into a connection that is just being closed.
const REST: Duration = Duration::from_secs(4);

/// What is read from an upstream before the caller takes it, for each connection, and the largest head
/// of an answer, in bytes. The default is six times as much, which a stream that nobody reads would
/// hold.
const BUFFER: usize = 64 * 1024;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct PoolKey {
    ca_file: Option<PathBuf>,
    proxy: Option<String>,
    scopes: Vec<AddressScope>,
}

/// The pools of one data thread.
#[derive(Debug, Default)]
pub struct Upstreams {
    pools: Mutex<HashMap<PoolKey, Pool>>,
}

impl Upstreams {
    /// Sends the request along the approved route. Redirects are never followed.
    ///
    /// # Errors
    /// [`Code::AddressRefused`], [`Code::UpstreamUnreachable`] or [`Code::UpstreamTimeout`].
    pub async fn send(
        &self,
        route: &HttpRoute,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Refusal> {
        let pool = self.pool(route)?;
        let limit = Duration::from_secs(u64::from(route.timeout_seconds));
        match tokio::time::timeout(limit, pool.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(failure(&error)),
            Err(_) => Err(Code::UpstreamTimeout.into()),
        }
    }

    fn pool(&self, route: &HttpRoute) -> Result<Pool, Refusal> {
        let key = PoolKey {
            ca_file: route.ca_file.clone(),
            proxy: route.proxy.as_ref().map(ToString::to_string),
            scopes: route.addresses.clone(),
        };
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&key) {
            return Ok(pool.clone());
        }
        let tls = client_tls(route)?;
        let connector = GuardedConnector::new(route);
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(connector);
        let pool = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(REST)
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(BUFFER)
            .timer(TokioTimer::new())
            .build(https);
        pools.insert(key, pool.clone());
        Ok(pool)
    }
}

fn client_tls(route: &HttpRoute) -> Result<rustls::ClientConfig, Refusal> {
    let unusable = |why: String| Refusal::new(Code::UpstreamUnreachable).because(why);
    let mut roots = rustls::RootCertStore::empty();
    match &route.ca_file {
        Some(path) => {
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| unusable(format!("the route's ca_file cannot be read: {error}")))?;
            roots.add_parsable_certificates(certificates);
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Sorts a failed request. The error's own text names the route, which is for the log only.
fn failure(error: &Error) -> Refusal {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut words = Vec::new();
    while let Some(current) = cause {
        // An I/O error hides what it was made of from `source`.
        let inner = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(refused) = inner.and_then(|inner| inner.downcast_ref::<AddressRefused>()) {
            return Refusal::new(Code::AddressRefused).because(refused);
        }
        words.push(current.to_string());
        cause = current.source();
    }
    Refusal::new(Code::UpstreamUnreachable).because(words.join(": "))
}
