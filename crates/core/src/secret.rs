//! The one type that holds secret bytes, and the keyed fingerprint that may stand for it in evidence.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Secret bytes in memory: zeroed on drop, and impossible to print, serialise, clone or compare.
///
/// `Debug` prints a constant: neither content nor length. The only way in is [`Secret::expose`],
/// which the lint configuration forbids outside the few functions listed in
/// `docs/adr/0005-secret-type.md`.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes ownership of the bytes; the vector itself is kept, so no copy stays behind.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Copies the bytes out of a buffer that the caller goes on to zero or drop.
    pub fn copy_from(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    /// Looks inside. Linted: every caller carries an `#[expect(.., reason)]`.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is nothing inside. An empty secret is never used: see `secret.empty`.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Length in bytes; needed for limits, never logged.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// A second owner of the same bytes, made on purpose where two places must each zero their own
    /// (the cache and the lease). Not `Clone`, so that it never happens by derive.
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// Whether the value may stand in an HTTP header field (RFC 9110, section 5.5), kept stricter:
    /// visible ASCII and inner spaces only, so no CR, LF, tab, control or 8-bit byte.
    pub fn is_header_safe(&self) -> bool {
        let bytes = self.0.as_slice();
        let inner = bytes.iter().all(|byte| matches!(byte, 0x20..=0x7e));
        inner && bytes.first() != Some(&b' ') && bytes.last() != Some(&b' ')
    }

    /// The keyed fingerprint under `key`: equal values give equal fingerprints within one deployment,
    /// and without the key a fingerprint cannot be used to test guesses.
    pub fn fingerprint(&self, key: &FingerprintKey) -> Fingerprint {
        let inner = Sha256::new().chain_update(key.padded(0x36)).chain_update(&*self.0).finalize();
        let outer = Sha256::new().chain_update(key.padded(0x5c)).chain_update(inner).finalize();
        let mut short = [0_u8; 6];
        short.iter_mut().zip(outer.iter()).for_each(|(to, from)| *to = *from);
        Fingerprint(short)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The deployment's key for [`Fingerprint`]s: 32 random bytes kept beside the state.
pub struct FingerprintKey(Zeroizing<[u8; 32]>);

impl FingerprintKey {
    /// Wraps 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The HMAC (RFC 2104) block for `pad`: the key, zero-filled to 64 bytes, combined with the pad byte.
    fn padded(&self, pad: u8) -> Zeroizing<[u8; 64]> {
        let mut block = Zeroizing::new([pad; 64]);
        block.iter_mut().zip(self.0.iter()).for_each(|(to, from)| *to ^= from);
        block
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKey(..)")
    }
}

/// Six bytes of HMAC-SHA-256 over a secret: enough to see that two versions differ, too few and too
/// keyed to recover anything. Shown as twelve hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Fingerprint([u8; 6]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = hex::FromHexError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut bytes = [0_u8; 6];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests;
