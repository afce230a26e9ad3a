//! Proof Key for Code Exchange (RFC 7636), with S256 alone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::ports::Random;
use gateway_core::secret::Secret;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A verifier and its challenge.
#[derive(Debug)]
pub struct ProofKey {
    verifier: Secret,
    challenge: String,
}

impl ProofKey {
    /// A new one of 256 random bits.
    pub fn new(random: &dyn Random) -> Self {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        random.fill(&mut *bytes);
        Self::of(&bytes)
    }

    /// The one that these 256 secret bits make: for verifiers that are derived rather than kept.
    pub fn of(bytes: &[u8; 32]) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(64));
        URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes()));
        Self { verifier: Secret::copy_from(text.as_bytes()), challenge }
    }

    /// The challenge, which goes through the browser.
    pub fn challenge(&self) -> &str {
        &self.challenge
    }

    /// The verifier, which goes to the token endpoint alone.
    pub const fn verifier(&self) -> &Secret {
        &self.verifier
    }
}
