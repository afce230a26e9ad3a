//! The keys of the story: fresh for each run, and awkward on purpose.

use aws_lc_rs::rand;
use gateway_core::secret::Secret;

use super::failure::Failure;
use crate::fixture::sha256_hex;

/// Letters and digits of the random parts.
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A key as a provider would issue it.
pub(super) struct Key {
    value: Secret,
    /// The lower-case SHA-256 of the value: how the server's log names it.
    pub(super) sha256: String,
}

impl Key {
    /// A fresh one, of 62 characters, some of which JSON and some of which URLs must escape.
    pub(super) fn fresh() -> Result<Self, Failure> {
        let mut value = b"demo_".to_vec();
        for (length, awkward) in [(16, br#""\/+"#.as_slice()), (16, b"&%=?<"), (16, b"")] {
            let mut random = vec![0_u8; length];
            rand::fill(&mut random).map_err(|_| Failure::new("the random generator failed"))?;
            let letter = |byte: &u8| ALPHABET.get(usize::from(*byte) % ALPHABET.len()).copied();
            value.extend(random.iter().filter_map(letter));
            value.extend_from_slice(awkward);
        }
        Ok(Self::of(Secret::new(value)))
    }

    #[expect(clippy::disallowed_methods, reason = "the hash names the key in the server's log")]
    fn of(value: Secret) -> Self {
        let sha256 = sha256_hex(value.expose());
        Self { value, sha256 }
    }

    /// The first twelve digits of its hash, as `whoami` tells them.
    pub(super) fn prefix(&self) -> &str {
        self.sha256.get(..12).unwrap_or_default()
    }

    /// The value itself.
    pub(super) const fn secret(&self) -> &Secret {
        &self.value
    }

    /// The value as text: for the places where a person would have pasted it.
    #[expect(clippy::disallowed_methods, reason = "the demo plays the person who pastes the key")]
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(self.value.expose()).into_owned()
    }
}
