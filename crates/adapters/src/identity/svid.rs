//! X.509-SVIDs (SPIFFE X.509-SVID, sections 2 to 5): a certificate whose one URI is a SPIFFE ID, signed
//! by an authority of that ID's own trust domain.

use std::sync::Arc;

use gateway_core::identity::IdentityError;
use gateway_core::spiffe::SpiffeId;
use gateway_core::time::Timestamp;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, RootCertStore};
use sha2::{Digest, Sha256};

use super::certificate;

/// The authorities of one trust domain.
#[derive(Debug)]
pub(super) struct Authorities {
    /// Absent where the trust domain has none.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    fingerprints: Vec<[u8; 32]>,
}

impl Authorities {
    /// Takes the certificates that are usable as authorities.
    ///
    /// # Errors
    /// The TLS library refuses them.
    pub(super) fn new(roots: impl Iterator<Item = CertificateDer<'static>>) -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        let mut fingerprints = Vec::new();
        for root in roots {
            let fingerprint = Sha256::digest(&root).into();
            if store.add(root).is_ok() {
                fingerprints.push(fingerprint);
            }
        }
        if store.is_empty() {
            return Ok(Self { verifier: None, fingerprints });
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { verifier: Some(verifier), fingerprints })
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.fingerprints.len()
    }

    /// Whether an authority of `self` is gone in `newer`.
    pub(super) fn lost_one(&self, newer: &Self) -> bool {
        !self.fingerprints.iter().all(|fingerprint| newer.fingerprints.contains(fingerprint))
    }

    /// Verifies chain and times, and that the leaf is no authority itself.
    pub(super) fn verify<'a>(
        &self,
        leaf: &[u8],
        rest: impl Iterator<Item = &'a [u8]>,
        now: Timestamp,
    ) -> Result<(), IdentityError> {
        let verifier = self.verifier.as_ref();
        let verifier =
            verifier.ok_or(IdentityError::Certificate("the trust domain has no X.509 authority"))?;
        let seconds = u64::try_from(now.seconds()).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let rest: Vec<CertificateDer<'_>> = rest.map(CertificateDer::from).collect();
        let verified = verifier.verify_client_cert(&CertificateDer::from(leaf), &rest, now);
        verified.map(drop).map_err(|error| match error {
            rustls::Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) => IdentityError::Expired,
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            ) => IdentityError::NotYetValid,
            _ => IdentityError::Certificate("no authority of its trust domain signed it for a client"),
        })
    }
}

/// What a leaf says of itself. Worth nothing before its chain is verified.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) id: SpiffeId,
    pub(super) not_after: Timestamp,
}

impl Leaf {
    /// Reads a leaf by the rules of the specification.
    ///
    /// # Errors
    /// [`IdentityError::Certificate`] names the rule it breaks.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, IdentityError> {
        let wrong = IdentityError::Certificate;
        let said = certificate::read(bytes).ok_or(wrong("it is no X.509 certificate"))?;
        if said.authority {
            return Err(wrong("it is an authority's, not a workload's"));
        }
        if !said.signs || said.signs_certificates {
            return Err(wrong("its key is not for signatures, or for signing certificates"));
        }
        let uri = match said.uris.as_slice() {
            [only] => only,
            [] => return Err(wrong("it has no URI")),
            _ => return Err(wrong("it has more than one URI")),
        };
        let id = SpiffeId::parse(uri).map_err(|_| wrong("its URI is no SPIFFE ID"))?;
        if !id.names_a_workload() {
            return Err(wrong("its SPIFFE ID names a trust domain, not a workload"));
        }
        Ok(Self { id, not_after: Timestamp::from_seconds(said.not_after) })
    }
}
