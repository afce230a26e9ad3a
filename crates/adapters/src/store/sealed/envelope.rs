//! Envelope encryption: a fresh data key per value, AES-256-GCM (NIST SP 800-38D) for the value and
//! for wrapping the key, both bound to the value's place.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gateway_core::ports::{StoreError, StoreErrorKind};
use gateway_core::secret::Secret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::key::WrappingKey;

const NONCE: usize = 12;
const TAG: usize = 16;

/// Where a value is: what its ciphertext is bound to, so that no record passes for another.
pub(super) struct Place<'a> {
    /// The store's name.
    pub(super) store: &'a str,
    /// The path.
    pub(super) path: &'a str,
    /// The field.
    pub(super) field: &'a str,
    /// The version.
    pub(super) version: u64,
}

impl Place<'_> {
    /// Each part after its length, so that no two places read the same.
    fn bytes(&self, purpose: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in [purpose, self.store, self.path, self.field] {
            bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes
    }
}

/// A sealed value: nonce, ciphertext and tag of its key and of itself, in base64.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Envelope {
    wrapped_key: String,
    value: String,
}

/// Seals the value for its place.
#[expect(clippy::disallowed_methods, reason = "sealing turns the value into ciphertext")]
pub(super) fn seal(key: &WrappingKey, place: &Place<'_>, value: &Secret) -> Result<Envelope, StoreError> {
    let mut data_key = Zeroizing::new([0_u8; 32]);
    aws_lc_rs::rand::fill(data_key.as_mut_slice()).map_err(|_| failed("no randomness"))?;
    let data_cipher = cipher(data_key.as_slice())?;
    Ok(Envelope {
        value: encrypt(&data_cipher, &place.bytes("value"), value.expose())?,
        wrapped_key: encrypt(key.cipher(), &place.bytes("key"), data_key.as_slice())?,
    })
}

/// Opens the envelope of this place.
pub(super) fn open(key: &WrappingKey, place: &Place<'_>, sealed: &Envelope) -> Result<Secret, StoreError> {
    let data_key = decrypt(key.cipher(), &place.bytes("key"), &sealed.wrapped_key)?;
    let data_cipher = cipher(&data_key)?;
    let mut value = decrypt(&data_cipher, &place.bytes("value"), &sealed.value)?;
    Ok(Secret::new(std::mem::take(&mut *value)))
}

fn cipher(key: &[u8]) -> Result<RandomizedNonceKey, StoreError> {
    RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| failed("a data key has the wrong length"))
}

fn encrypt(cipher: &RandomizedNonceKey, bound: &[u8], plain: &[u8]) -> Result<String, StoreError> {
    // Room for the tag from the start: growing would leave a copy of the plain text behind.
    let mut buffer = Zeroizing::new(Vec::with_capacity(plain.len() + TAG));
    buffer.extend_from_slice(plain);
    let nonce = cipher
        .seal_in_place_append_tag(Aad::from(bound), &mut *buffer)
        .map_err(|_| failed("the cipher failed"))?;
    let whole: Vec<u8> = nonce.as_ref().iter().chain(buffer.iter()).copied().collect();
    Ok(STANDARD.encode(whole))
}

fn decrypt(cipher: &RandomizedNonceKey, bound: &[u8], text: &str) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let whole = STANDARD.decode(text).map_err(|_| failed("an envelope is not base64"))?;
    let (nonce, sealed) = whole.split_at_checked(NONCE).ok_or_else(|| failed("an envelope is too short"))?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| failed("an envelope is too short"))?;
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let opened = cipher.open_in_place(nonce, Aad::from(bound), buffer.as_mut_slice());
    let length = opened.map_err(|_| failed("an envelope was changed, moved or sealed elsewhere"))?.len();
    buffer.truncate(length);
    Ok(buffer)
}

fn failed(inside: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Malformed, inside)
}
