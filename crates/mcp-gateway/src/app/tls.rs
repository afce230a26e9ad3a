//! Certificates of our own listeners.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::StartError;
use crate::config::TlsFiles;

/// Reads chain and key. Clients show no certificate.
///
/// # Errors
/// Names the file.
pub(super) fn server(files: &TlsFiles) -> Result<Arc<ServerConfig>, StartError> {
    with_clients(files, WebPkiClientVerifier::no_client_auth())
}

/// Reads chain and key. Clients may show a certificate, as the verifier says.
///
/// # Errors
/// Names the file.
pub(super) fn with_clients(
    files: &TlsFiles,
    clients: Arc<dyn ClientCertVerifier>,
) -> Result<Arc<ServerConfig>, StartError> {
    let shown = |path: &std::path::Path| path.display().to_string();
    let chain = CertificateDer::pem_file_iter(&files.certificate_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| StartError::machine(shown(&files.certificate_file), error))?;
    let key = PrivateKeyDer::from_pem_file(&files.key_file)
        .map_err(|error| StartError::machine(shown(&files.key_file), error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StartError::machine("TLS", error))?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .map_err(|error| StartError::machine(shown(&files.certificate_file), error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
