//! The key that the pages' tokens are made with, and random secrets.
//!
//! Nothing is encrypted: what must be known again later is derived from the key and from a random value
//! that only the browser holds, so that the shared records hold no secret.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::identity::TokenDigest;
use gateway_core::ports::Random;
use gateway_core::secret::Secret;
use zeroize::Zeroizing;

/// What a derived value is for: the same input gives unrelated values for different uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// The PKCE verifier of a login.
    Verifier,
    /// The nonce of a login.
    Nonce,
    /// The token of a form.
    Form,
    /// The part of a refresh token that tells an invented one from a used one.
    Refresh,
    /// The PKCE verifier of a way to a provider.
    ConnectVerifier,
    /// The seal of a link to the connect page.
    ConnectLink,
    /// The mark of the person that such a link is for.
    ConnectUser,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Verifier => b"mcp-gateway login verifier\0",
            Self::Nonce => b"mcp-gateway login nonce\0",
            Self::Form => b"mcp-gateway form\0",
            Self::Refresh => b"mcp-gateway refresh\0",
            Self::ConnectVerifier => b"mcp-gateway connect verifier\0",
            Self::ConnectLink => b"mcp-gateway connect link\0",
            Self::ConnectUser => b"mcp-gateway connect user\0",
        }
    }
}

/// The deployment's key for logins: 32 random bytes in `login.key_file`, the same for every replica.
pub struct SealKey(hmac::Key);

impl SealKey {
    /// Takes 32 random bytes.
    pub fn new(bytes: &Zeroizing<[u8; 32]>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes.as_slice()))
    }

    fn tag(&self, purpose: Purpose, secret: &[u8], context: &str) -> hmac::Tag {
        let mut signing = hmac::Context::with_key(&self.0);
        signing.update(purpose.label());
        signing.update(context.as_bytes());
        signing.update(b"\0");
        signing.update(secret);
        signing.sign()
    }

    /// A secret that belongs to another one: 43 characters of base64url.
    #[expect(clippy::disallowed_methods, reason = "derives one secret from another")]
    pub(crate) fn secret(&self, purpose: Purpose, from: &Secret) -> Secret {
        Secret::new(encoded(self.tag(purpose, from.expose(), "").as_ref()))
    }

    /// A text that belongs to a secret and does not tell it: 43 characters of base64url.
    #[expect(
        clippy::disallowed_methods,
        reason = "derives a form's token and a nonce from a browser's secret"
    )]
    pub(crate) fn text(&self, purpose: Purpose, from: &Secret, context: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.tag(purpose, from.expose(), context).as_ref())
    }

    /// A text that only this key makes of these bytes, which are no secret: 43 characters of base64url.
    pub(crate) fn mark(&self, purpose: Purpose, bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(self.tag(purpose, bytes, "").as_ref())
    }

    /// Eight bytes that only this key makes of these.
    pub(crate) fn check(&self, purpose: Purpose, bytes: &[u8]) -> [u8; 8] {
        let tag = self.tag(purpose, bytes, "");
        let mut short = [0_u8; 8];
        short.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        short
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(..)")
    }
}

fn encoded(bytes: &[u8]) -> Vec<u8> {
    let mut text = vec![0_u8; bytes.len().saturating_mul(2)];
    // The buffer is larger than base64 can need, so this cannot fail; empty is refused wherever it goes.
    let length = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text).unwrap_or(0);
    text.truncate(length);
    text
}

/// 256 random bits as 43 characters of base64url.
pub(crate) fn random_secret(random: &dyn Random) -> Secret {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    random.fill(bytes.as_mut_slice());
    Secret::new(encoded(bytes.as_slice()))
}

/// 128 random bits as 22 characters of base64url: a public id.
pub(crate) fn random_id(random: &dyn Random) -> String {
    let mut bytes = [0_u8; 16];
    random.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What is stored in place of a secret: its SHA-256 in hex.
pub(crate) fn digest(secret: &Secret) -> String {
    String::from(TokenDigest::of(secret))
}

/// The public id of a record whose key is a digest: what evidence may name.
pub(crate) fn public_id(digest: &str) -> String {
    String::from(TokenDigest::of(&Secret::copy_from(digest.as_bytes()))).chars().take(16).collect()
}
