//! A private key of the provider's client, and the JWTs that it signs (RFC 7515, RFC 7523).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::secret::Secret;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use zeroize::{Zeroize as _, Zeroizing};

use super::error::ProviderError;

/// The key, by its kind.
pub(super) enum SigningKey {
    Rsa(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl SigningKey {
    /// Reads PKCS #8 in PEM. What is wrong with it is not repeated: it is a key.
    #[expect(clippy::disallowed_methods, reason = "the key is parsed by the library that signs with it")]
    pub(super) fn from_pem(pem: &Secret) -> Result<Self, ProviderError> {
        let refused = || {
            ProviderError::refused("the client's private key is no PKCS #8 in PEM of RSA, P-256 or Ed25519")
        };
        let mut der = PrivatePkcs8KeyDer::from_pem_slice(pem.expose()).map_err(|_| refused())?;
        let bytes = der.secret_pkcs8_der();
        let key = if let Ok(pair) = RsaKeyPair::from_pkcs8(bytes) {
            Some(Self::Rsa(Box::new(pair)))
        } else if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes) {
            Some(Self::P256(Box::new(pair)))
        } else {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes).ok();
            pair.map(|pair| Self::Ed25519(Box::new(pair)))
        };
        der.zeroize();
        key.ok_or_else(refused)
    }

    const fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    /// Signs the claims as a compact JWS.
    pub(super) fn sign(
        &self,
        kind: &str,
        key_id: Option<&str>,
        claims: &Value,
    ) -> Result<Secret, ProviderError> {
        let mut head = json!({"alg": self.algorithm(), "typ": kind});
        if let (Some(head), Some(key_id)) = (head.as_object_mut(), key_id) {
            head.insert("kid".to_owned(), key_id.into());
        }
        let (head, claims) = (head.to_string(), claims.to_string());
        // Reserved at once, so that the assertion, which is a credential, never moves.
        let mut text = Zeroizing::new(String::with_capacity((head.len() + claims.len()) * 2 + 1024));
        URL_SAFE_NO_PAD.encode_string(head, &mut text);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut text);
        let signature = self.signature(text.as_bytes())?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Ok(Secret::new(std::mem::take(&mut *text).into_bytes()))
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, ProviderError> {
        let failed = |_| ProviderError::refused("the client's private key does not sign");
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Self::P256(pair) => Ok(pair.sign(&random, message).map_err(failed)?.as_ref().to_vec()),
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}
