//! The key-encryption key and its file.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gateway_core::ports::{StoreError, StoreErrorKind};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::store::private_file::{self, Readers, failed, without_line_end};

/// The key that wraps the data keys.
pub(super) struct WrappingKey {
    cipher: RandomizedNonceKey,
    id: String,
}

impl WrappingKey {
    /// Reads 32 bytes, written as base64 or as hexadecimal digits.
    pub(super) fn read(file: &Path) -> Result<Self, StoreError> {
        let content = private_file::read(file, Readers::Owner, 1024)?.content;
        let text = without_line_end(&content);
        let mut key = Zeroizing::new([0_u8; 32]);
        // Larger than the key, so that a longer one is seen as such.
        let mut decoded = Zeroizing::new([0_u8; 48]);
        let is_key = match text.len() {
            64 => hex::decode_to_slice(text, key.as_mut_slice()).is_ok(),
            _ => match STANDARD.decode_slice(text, decoded.as_mut_slice()) {
                Ok(32) => {
                    key.iter_mut().zip(decoded.iter()).for_each(|(to, from)| *to = *from);
                    true
                }
                _ => false,
            },
        };
        if !is_key {
            let inside = format!("`{}` does not hold 32 bytes as base64 or hex", file.display());
            return Err(StoreError::new(StoreErrorKind::Malformed, inside));
        }
        Self::new(&key)
    }

    /// Makes a new key. Whole or not at all: it is written beside its place and linked into it.
    pub(super) fn create(file: &Path) -> Result<Self, StoreError> {
        let mut key = Zeroizing::new([0_u8; 32]);
        aws_lc_rs::rand::fill(key.as_mut_slice()).map_err(|_| broken("no randomness"))?;
        let mut text = Zeroizing::new(String::with_capacity(48));
        STANDARD.encode_string(key.as_slice(), &mut text);
        text.push('\n');
        let mut suffix = [0_u8; 8];
        aws_lc_rs::rand::fill(&mut suffix).map_err(|_| broken("no randomness"))?;
        let mut beside = file.as_os_str().to_owned();
        beside.push(format!(".{}", hex::encode(suffix)));
        let beside = Path::new(&beside);
        write_new(beside, text.as_bytes()).map_err(|error| failed(beside, &error))?;
        let linked = std::fs::hard_link(beside, file);
        let removed = std::fs::remove_file(beside);
        match linked {
            // Another store of this gateway shares the key file and was faster.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Self::read(file),
            linked => {
                let synced = linked.and(removed).and_then(|()| private_file::sync_directory(file));
                synced.map_err(|error| failed(file, &error))?;
            }
        }
        Self::new(&key)
    }

    fn new(key: &Zeroizing<[u8; 32]>) -> Result<Self, StoreError> {
        let hash = Sha256::new().chain_update(b"mcp-gateway sealed key id").chain_update(**key).finalize();
        let cipher =
            RandomizedNonceKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| broken("no cipher"))?;
        Ok(Self { cipher, id: hex::encode(hash.get(..8).unwrap_or_default()) })
    }

    /// Says which key it is, without telling anything of it.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The cipher under this key.
    pub(super) fn cipher(&self) -> &RandomizedNonceKey {
        &self.cipher
    }
}

fn write_new(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn broken(inside: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, inside)
}
