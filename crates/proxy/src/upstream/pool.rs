//! Pools of connections, one for each way of reaching and trusting servers; renewed with the files that
//! the way is made of.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::manifest::{AddressScope, ClientCertificate, HttpRoute};
use gateway_core::refusal::Refusal;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use super::connect::GuardedConnector;
use super::outgoing::Outgoing;
use super::resolve::Resolver;
use super::tls::{self, Stamp};

/// Connections that share everything but the origin.
pub(super) type Pool = Client<HttpsConnector<GuardedConnector>, Outgoing>;

/// How long a connection may rest in a pool: shorter than the keep-alive of common servers (Node's is
/// five seconds), so that a call is rarely written into a connection that is just being closed.
const REST: Duration = Duration::from_secs(4);

/// What is read from an upstream before the caller takes it, for each connection, and the largest head
/// of an answer, in bytes. The default is six times as much, which a stream that nobody reads would
/// hold.
const BUFFER: usize = 64 * 1024;

/// How long files are taken for unchanged.
const CHECK: Duration = Duration::from_secs(1);

/// Everything that decides whom a connection reaches and how they know each other.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct PoolKey {
    scopes: Vec<AddressScope>,
    socket: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    client_certificate: Option<ClientCertificate>,
    proxy: Option<String>,
}

impl PoolKey {
    /// The route's, whatever its URL.
    pub(super) fn of(route: &HttpRoute) -> Self {
        Self {
            scopes: route.addresses.clone(),
            socket: route.socket.clone(),
            ca_file: route.ca_file.clone(),
            client_certificate: route.client_certificate.clone(),
            proxy: route.proxy.as_ref().map(ToString::to_string),
        }
    }
}

/// A pool and the files it was made from, or why it cannot be made.
#[derive(Debug)]
pub(super) struct Kept {
    made: Result<Pool, Refusal>,
    files: Vec<Stamp>,
    checked: Instant,
    doubted: bool,
}

impl Kept {
    /// Makes the route's pool.
    pub(super) fn make(route: &HttpRoute, resolver: &Arc<dyn Resolver>, now: Instant) -> Self {
        // Looked at before they are read: what changes in between is found at the next look.
        let files = tls::stamps(route);
        Self { made: make(route, resolver), files, checked: now, doubted: false }
    }

    /// The pool, made anew where a file has changed.
    pub(super) fn current(
        &mut self,
        route: &HttpRoute,
        resolver: &Arc<dyn Resolver>,
        now: Instant,
    ) -> Result<Pool, Refusal> {
        if tls::has_files(route) && now.duration_since(self.checked) >= CHECK {
            self.check(route, resolver, now);
        }
        self.made.clone()
    }

    fn check(&mut self, route: &HttpRoute, resolver: &Arc<dyn Resolver>, now: Instant) {
        self.checked = now;
        if self.made.is_ok() && self.files == tls::stamps(route) {
            return;
        }
        let fresh = Self::make(route, resolver, now);
        match (&self.made, &fresh.made) {
            // A renewal writes more than one file: what does not fit together is looked at once more
            // before it stops calls.
            (Ok(_), Err(why)) if !self.doubted => {
                tracing::warn!(
                    inside = why.inside(),
                    "a route's certificate files do not fit; looking again"
                );
                self.doubted = true;
            }
            _ => {
                if fresh.made.is_ok() {
                    tracing::info!(url = %route.url, "a route's certificate files were read anew");
                }
                *self = fresh;
            }
        }
    }
}

fn make(route: &HttpRoute, resolver: &Arc<dyn Resolver>) -> Result<Pool, Refusal> {
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls::client_config(route)?)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(GuardedConnector::new(route, Arc::clone(resolver)));
    Ok(Client::builder(TokioExecutor::new())
        .pool_idle_timeout(REST)
        .pool_timer(TokioTimer::new())
        .http1_max_buf_size(BUFFER)
        .timer(TokioTimer::new())
        .build(https))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use gateway_core::refusal::Code;

    use super::*;
    use crate::upstream::SystemResolver;

    fn write(path: &Path, text: &str) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    #[test]
    fn files_are_looked_at_once_a_second_and_a_torn_pair_twice_before_it_refuses() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("own.pem"), folder.path().join("own.key"));
        let made = |_| rcgen::generate_simple_self_signed(vec!["gateway".to_owned()]).unwrap();
        let [first, second] = [0, 1].map(made);
        write(&certificate, &first.cert.pem());
        // Mounted secrets are links.
        write(&folder.path().join("mounted"), &first.signing_key.serialize_pem());
        symlink("mounted", &key).unwrap();
        let mut route = HttpRoute::to("https://tools.example/mcp".parse().unwrap());
        route.client_certificate =
            Some(ClientCertificate { certificate_file: certificate.clone(), key_file: key.clone() });
        let resolver: Arc<dyn Resolver> = Arc::new(SystemResolver);
        let start = Instant::now();
        let after = |seconds: f32| start + Duration::from_secs_f32(seconds);
        let mut kept = Kept::make(&route, &resolver, start);
        let mut at = |seconds| kept.current(&route, &resolver, after(seconds)).err().map(|why| why.code());
        assert_eq!(at(0.0), None);
        write(&certificate, &second.cert.pem());
        assert_eq!(at(0.9), None, "not looked at yet");
        assert_eq!(at(1.0), None, "the pair is torn: perhaps it is being renewed");
        assert_eq!(at(1.9), None);
        assert_eq!(at(2.0), Some(Code::UpstreamTlsFiles));
        write(&folder.path().join("mounted"), &second.signing_key.serialize_pem());
        assert_eq!(at(2.9), Some(Code::UpstreamTlsFiles), "a refusal holds as long as a pool");
        assert_eq!(at(3.0), None);
        std::fs::remove_file(&key).unwrap();
        assert_eq!(at(4.0), None);
        assert_eq!(at(5.0), Some(Code::UpstreamTlsFiles));
    }
}
