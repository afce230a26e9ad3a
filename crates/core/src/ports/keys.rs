//! Randomness, the keys of the gateway, and the verification of what callers present.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::identity::{IdentityError, Presented, PresentedCertificates, VerifiedIdentity};
use crate::receipt::Receipt;
use crate::refusal::Refusal;
use crate::time::Timestamp;

/// Where randomness comes from. The binary wires the operating system's generator.
pub trait Random: Send + Sync + fmt::Debug {
    /// Fills the buffer with unpredictable bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// The gateway's own keys: what its data listener shows of them to anybody, and the receipts they sign.
pub trait OwnKeys: Send + Sync + fmt::Debug {
    /// The JSON Web Key Set (RFC 7517) of one purpose, or of all of them; `None` where there is no such
    /// purpose.
    fn key_set(&self, purpose: Option<&str>) -> Option<Bytes>;

    /// Signs a receipt: a compact JWS (RFC 7515, section 3.1). Neither waits nor does I/O: it stands in the
    /// way of a call.
    ///
    /// # Errors
    /// [`Code::ReceiptUnavailable`](crate::refusal::Code::ReceiptUnavailable) where no key signs.
    fn sign_receipt(&self, receipt: &Receipt<'_>) -> Result<String, Refusal>;
}

/// Verifies tokens of one kind.
#[async_trait]
pub trait IdentityVerifier: Send + Sync + fmt::Debug {
    /// Verifies signature, issuer, audience and times.
    ///
    /// # Errors
    /// Why the token is not accepted; [`IdentityError::KeysUnavailable`] where the fault is not the caller's.
    async fn verify(
        &self,
        presented: &Presented,
        now: Timestamp,
    ) -> Result<Arc<VerifiedIdentity>, IdentityError>;

    /// Verifies a client's certificate chain, on every request of its connection: what was good at the
    /// handshake may have ended since. Never waits.
    ///
    /// # Errors
    /// Why it is not accepted; [`IdentityError::KeysUnavailable`] where the fault is not the caller's.
    fn verify_certificates(
        &self,
        presented: &PresentedCertificates,
        now: Timestamp,
    ) -> Result<Arc<VerifiedIdentity>, IdentityError>;
}
