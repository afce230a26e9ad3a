//! One key: made, opened, shown, used.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gateway_core::secret::Secret;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::record::{KeyRecord, KeyState};
use super::{Algorithm, Purpose, SigningError};

/// The largest PKCS #8 document of either kind, in bytes, with room to spare.
const LARGEST: usize = 512;

/// A key that is published, and may sign.
pub(super) struct SigningKey {
    pub(super) purpose: Purpose,
    pub(super) algorithm: Algorithm,
    pub(super) state: KeyState,
    kid: String,
    pair: Pair,
    /// Makes the pseudonyms of receipts. Of the private half, so that replicas agree, nobody else can
    /// try names, and pseudonyms end with the key.
    pseudonyms: hmac::Key,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl Pair {
    fn read(algorithm: Algorithm, pkcs8: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(pkcs8).ok().map(Self::Ed25519),
            Algorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).ok().map(Self::P256)
            }
        }
    }

    /// The required members of the public key, in the order that RFC 7638 hashes them.
    fn public(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Ed25519(pair) => vec![
                ("crv", "Ed25519".to_owned()),
                ("kty", "OKP".to_owned()),
                ("x", URL_SAFE_NO_PAD.encode(pair.public_key())),
            ],
            Self::P256(pair) => {
                // An uncompressed point: 0x04, x, y (SEC 1, section 2.3.3).
                let point = pair.public_key().as_ref();
                let part = |range| URL_SAFE_NO_PAD.encode(point.get(range).unwrap_or_default());
                vec![
                    ("crv", "P-256".to_owned()),
                    ("kty", "EC".to_owned()),
                    ("x", part(1..33)),
                    ("y", part(33..65)),
                ]
            }
        }
    }

    /// RFC 7638.
    fn thumbprint(&self) -> String {
        let members: Vec<String> =
            self.public().iter().map(|(name, value)| format!(r#""{name}":"{value}""#)).collect();
        URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{{{}}}", members.join(","))))
    }
}

/// Makes a key: its id and its private half, PKCS #8 in base64.
pub(super) fn make(algorithm: Algorithm) -> Result<(String, Secret), SigningError> {
    let random = SystemRandom::new();
    let document = match algorithm {
        Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&random),
        Algorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
    }
    .map_err(|_| SigningError::NotMade)?;
    let pair = Pair::read(algorithm, document.as_ref()).ok_or(SigningError::NotMade)?;
    let mut text = vec![0; document.as_ref().len().div_ceil(3).saturating_mul(4)];
    let length = STANDARD.encode_slice(document.as_ref(), &mut text).map_err(|_| SigningError::NotMade)?;
    text.truncate(length);
    Ok((pair.thumbprint(), Secret::new(text)))
}

impl SigningKey {
    /// Opens the private half.
    #[expect(clippy::disallowed_methods, reason = "the private key is parsed into the signing library")]
    pub(super) fn open(record: &KeyRecord) -> Result<Self, SigningError> {
        let damaged = || SigningError::Damaged(record.kid.clone(), "is no key of its algorithm");
        let private = record.private.as_ref().ok_or_else(damaged)?;
        let mut document = Zeroizing::new([0_u8; LARGEST]);
        let length = STANDARD.decode_slice(private.expose(), &mut *document).map_err(|_| damaged())?;
        let document = document.get(..length).ok_or_else(damaged)?;
        let pair = Pair::read(record.algorithm, document).ok_or_else(damaged)?;
        let kid = pair.thumbprint();
        // The id is computed, never believed.
        if kid != record.kid {
            return Err(SigningError::Damaged(record.kid.clone(), "is the id of another key"));
        }
        let pseudonyms = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, document), b"receipt pseudonyms");
        Ok(Self {
            purpose: record.purpose,
            algorithm: record.algorithm,
            state: record.state,
            kid,
            pair,
            pseudonyms: hmac::Key::new(hmac::HMAC_SHA256, pseudonyms.as_ref()),
        })
    }

    /// What this audience knows a party by, for as long as this key signs: another audience knows it by
    /// something else.
    pub(super) fn pseudonym(&self, audience: &str, id: &str) -> String {
        let tag = hmac::sign(&self.pseudonyms, format!("{audience}\0{id}").as_bytes());
        let short = tag.as_ref().get(..16).unwrap_or_default();
        format!("pseudonym:{}", URL_SAFE_NO_PAD.encode(short))
    }

    /// Whether this is the key that signs.
    pub(super) fn signs_for(&self, purpose: Purpose, algorithm: Algorithm) -> bool {
        self.state == KeyState::Active && self.purpose == purpose && self.algorithm == algorithm
    }

    /// The public half (RFC 7517, section 4).
    pub(super) fn public(&self) -> Value {
        let mut members: Map<String, Value> =
            self.pair.public().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        members.insert("kid".to_owned(), self.kid.as_str().into());
        members.insert("alg".to_owned(), self.algorithm.word().into());
        members.insert("use".to_owned(), "sig".into());
        members.into()
    }

    /// Signs the claims: a compact JWS (RFC 7515, section 3.1).
    pub(super) fn sign(&self, claims: &Map<String, Value>) -> Result<String, SigningError> {
        let header =
            json!({ "alg": self.algorithm.word(), "kid": self.kid, "typ": self.purpose.typ() }).to_string();
        let claims = serde_json::to_string(claims).map_err(|_| SigningError::NotMade)?;
        // Room for all of it and the signature's 86 characters, so that no copy is left behind.
        let room = header.len().saturating_add(claims.len()).saturating_mul(2).saturating_add(128);
        let mut token = String::with_capacity(room);
        URL_SAFE_NO_PAD.encode_string(header, &mut token);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature: Vec<u8> = match &self.pair {
            Pair::Ed25519(pair) => pair.sign(token.as_bytes()).as_ref().to_vec(),
            Pair::P256(pair) => {
                let signed = pair.sign(&SystemRandom::new(), token.as_bytes());
                signed.map_err(|_| SigningError::NotMade)?.as_ref().to_vec()
            }
        };
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}
