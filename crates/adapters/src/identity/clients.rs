//! The certificates that a listener takes from its clients.

use std::fmt;
use std::sync::Arc;

use gateway_core::identity::{IdentityError, PresentedCertificates};
use gateway_core::ports::IdentityVerifier;
use gateway_core::spiffe::TrustDomain;
use gateway_core::time::Timestamp;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};

use super::svid::Leaf;
use super::verifier::OidcVerifier;

/// Takes X.509-SVIDs of the named trust domains, by the bundles that the verifier holds at the time.
pub struct SvidClients {
    verifier: Arc<OidcVerifier>,
    trust_domains: Vec<TrustDomain>,
    required: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl SvidClients {
    /// Makes the listener's verifier. `required` refuses connections without a certificate.
    pub fn new(verifier: Arc<OidcVerifier>, trust_domains: Vec<TrustDomain>, required: bool) -> Self {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        Self { verifier, trust_domains, required, algorithms }
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), IdentityError> {
        let foreign = IdentityError::Certificate("its trust domain is not taken here");
        let id = Leaf::parse(leaf)?.id;
        if !self.trust_domains.contains(id.trust_domain()) {
            return Err(foreign);
        }
        let chain = std::iter::once(leaf).chain(rest).map(|der| Box::from(der.as_ref())).collect();
        let presented = PresentedCertificates::new(chain).ok_or(foreign)?;
        let now = Timestamp::from_seconds(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        self.verifier.verify_certificates(&presented, now).map(drop)
    }
}

impl fmt::Debug for SvidClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SvidClients")
            .field("trust_domains", &self.trust_domains)
            .field("required", &self.required)
            .finish_non_exhaustive()
    }
}

impl ClientCertVerifier for SvidClients {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    // Authorities come and go with the bundle, so none are named in the handshake.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.judge(end_entity, intermediates, now).map_err(|error| {
            tracing::debug!(%error, "a client certificate was refused");
            rustls::Error::InvalidCertificate(match error {
                IdentityError::Expired => CertificateError::Expired,
                IdentityError::NotYetValid => CertificateError::NotValidYet,
                IdentityError::UnknownIssuer => CertificateError::UnknownIssuer,
                _ => CertificateError::ApplicationVerificationFailure,
            })
        })?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
