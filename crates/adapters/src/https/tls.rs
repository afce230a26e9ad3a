//! The gateway as a TLS client of its own services: whom it trusts, and as whom it presents itself.

use std::path::Path;
use std::sync::Arc;

use gateway_core::manifest::ClientCertificate;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{OutboundBuildError, OutboundConfig};
use crate::store::private_file::{self, Readers};

/// More than any chain or key needs, in bytes.
const LARGEST: usize = 1 << 20;

pub(crate) fn client_config(config: &OutboundConfig) -> Result<rustls::ClientConfig, OutboundBuildError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| OutboundBuildError::Client(error.to_string()))?
        .with_root_certificates(roots(config.ca_file.as_deref())?);
    let Some(own) = &config.client_certificate else { return Ok(builder.with_no_client_auth()) };
    let (chain, key) = identity(own).map_err(OutboundBuildError::ClientCertificate)?;
    builder.with_client_auth_cert(chain, key).map_err(|error| {
        let (certificate, key) = (own.certificate_file.display(), own.key_file.display());
        OutboundBuildError::ClientCertificate(format!("`{certificate}` and `{key}` are no pair: {error}"))
    })
}

fn roots(ca_file: Option<&Path>) -> Result<rustls::RootCertStore, OutboundBuildError> {
    let mut roots = rustls::RootCertStore::empty();
    let Some(file) = ca_file else {
        // Single certificates that cannot be parsed are common in system stores and do no harm.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let refused =
        |reason: String| OutboundBuildError::Authorities { file: file.display().to_string(), reason };
    let pem = std::fs::read(file).map_err(|error| refused(error.to_string()))?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| refused(error.to_string()))?;
        roots.add(certificate).map_err(|error| refused(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(refused("there is no certificate in it".to_owned()));
    }
    Ok(roots)
}

fn identity(
    own: &ClientCertificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let named = |path: &Path, why: &str| format!("`{}` {why}", path.display());
    let text = std::fs::read(&own.certificate_file)
        .map_err(|error| named(&own.certificate_file, &error.to_string()))?;
    let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| named(&own.certificate_file, "holds no certificate in PEM"))?;
    // Mounted secrets are links that the platform swaps; what they lead to is judged.
    let path =
        std::fs::canonicalize(&own.key_file).map_err(|error| named(&own.key_file, &error.to_string()))?;
    let file = private_file::read(&path, Readers::Owner, LARGEST).map_err(|error| error.inside)?;
    // The parser's own words would repeat lines of the file.
    let key = PrivateKeyDer::from_pem_slice(&file.content)
        .map_err(|_| named(&own.key_file, "holds no private key in PEM"))?;
    Ok((chain, key))
}
