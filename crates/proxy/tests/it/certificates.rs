//! Certificate authorities of a test, the files they make, and TLS servers that use them.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gateway_core::manifest::{HttpRoute, Route};
use gateway_core::refusal::Refusal;
use gateway_proxy::upstream::Upstreams;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, SupportedProtocolVersion};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::upstream::Attendant;

static AUTHORITIES: AtomicU32 = AtomicU32::new(1);

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub struct Leaf {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // One name for two authorities would be a forgery, not a foreigner.
        let number = AUTHORITIES.fetch_add(1, Ordering::SeqCst);
        params.distinguished_name.push(DnType::CommonName, format!("authority {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn leaf(&self, name: &str) -> Leaf {
        self.leaf_until(name, 4000)
    }

    /// The certificate is good until that year begins.
    pub fn leaf_until(&self, name: &str, year: i32) -> Leaf {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        Leaf { certificate: params.signed_by(&key, &self.0).unwrap(), key }
    }

    pub fn root(&self) -> CertificateDer<'static> {
        let certificate: &rcgen::Certificate = self.0.as_ref();
        certificate.der().clone()
    }
}

impl Leaf {
    pub fn der(&self) -> Vec<u8> {
        self.certificate.der().to_vec()
    }

    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }
}

/// PEM files in a folder of the test's own.
pub struct Files(TempDir);

impl Files {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn authority(&self, name: &str, authority: &Authority) -> PathBuf {
        let certificate: &rcgen::Certificate = authority.0.as_ref();
        self.write(name, &certificate.pem(), 0o644)
    }

    /// The pair as a route names it.
    pub fn pair(&self, leaf: &Leaf) -> Value {
        let certificate = self.write("own.pem", &leaf.certificate.pem(), 0o644);
        let key = self.write("own.key", &leaf.key.serialize_pem(), 0o600);
        serde_json::json!({"certificate_file": certificate, "key_file": key})
    }

    /// Replaces the file as renewals do: the new one is complete before it has the name.
    pub fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let (path, fresh) = (self.path(name), self.path("fresh"));
        std::fs::write(&fresh, text).unwrap();
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::rename(&fresh, &path).unwrap();
        path
    }
}

/// How a test server speaks TLS.
pub struct Tls<'a> {
    pub leaf: &'a Leaf,
    /// Whose clients it admits; everybody where absent.
    pub clients: Option<&'a Authority>,
    pub version: &'static SupportedProtocolVersion,
}

impl Tls<'_> {
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config())
    }

    pub fn config(&self) -> Arc<rustls::ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[self.version])
            .unwrap();
        let builder = match self.clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.root()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::try_from(self.leaf.key.serialize_der()).unwrap();
        let chain = vec![self.leaf.certificate.der().clone()];
        Arc::new(builder.with_single_cert(chain, key).unwrap())
    }

    /// Serves on loopback; gives the URL by name.
    pub async fn serve(&self, attendant: &Attendant) -> String {
        let (acceptor, attendant) = (self.acceptor(), attendant.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, attendant) = (acceptor.clone(), attendant.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        attendant.attend(stream).await;
                    }
                });
            }
        });
        format!("https://localhost:{port}/mcp")
    }
}

pub fn http_route(route: Value) -> HttpRoute {
    let route: Route = serde_json::from_value(route).unwrap();
    route.check().unwrap();
    let Route::Http(route) = route else { panic!("the route leads to a process") };
    *route
}

/// One request along the route; the status.
pub async fn ask(upstreams: &Upstreams, route: &HttpRoute) -> Result<u16, Refusal> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(route.url.as_str())
        .body(Full::new(Bytes::from_static(b"{}")))
        .unwrap();
    let response = upstreams.send(route, request, None).await?;
    let status = response.status().as_u16();
    drop(response.into_body().collect().await);
    Ok(status)
}

/// Asks until the answer is the wanted one: the status, or the code of the refusal.
pub async fn ask_until(upstreams: &Upstreams, route: &HttpRoute, wanted: &str) {
    let mut last = String::new();
    let asking = async {
        while last != wanted {
            last = match ask(upstreams, route).await {
                Ok(status) => status.to_string(),
                Err(refusal) => refusal.code().to_string(),
            };
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(10), asking).await;
    assert!(in_time.is_ok(), "{last} until the end, not {wanted}");
}
