//! Keys of an issuer (RFC 7517): which of them we use, and for which algorithms.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::algorithm::JwtAlgorithm;
use super::strict_json;

/// More keys than any honest issuer has; what comes after is not read.
pub(super) const MAX_KEYS: usize = 100;
/// NIST SP 800-131A: shorter RSA keys are no longer signatures.
const MIN_RSA_BITS: usize = 2048;
/// Longer ones only cost time.
const MAX_RSA_BITS: usize = 8192;

/// A public key that verifies tokens.
pub(super) struct VerificationKey {
    id: Option<String>,
    algorithms: Vec<JwtAlgorithm>,
    material: DecodingKey,
    /// The hash over id and material, by which a withdrawn key is missed.
    fingerprint: [u8; 32],
}

impl VerificationKey {
    /// Whether the key's type, curve and declared `alg` are those of the algorithm.
    pub(super) fn fits(&self, algorithm: JwtAlgorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    pub(super) const fn material(&self) -> &DecodingKey {
        &self.material
    }

    /// Reads a JWK; nothing for keys that are not for verifying signatures, too weak, or malformed.
    fn from_jwk(jwk: &Value) -> Option<Self> {
        let is_for_signatures = match (jwk.get("use"), jwk.get("key_ops")) {
            (None, None) => true,
            (usage, operations) => {
                usage.is_none_or(|usage| usage == "sig")
                    && operations.is_none_or(|list| {
                        list.as_array().is_some_and(|list| list.iter().any(|item| item == "verify"))
                    })
            }
        };
        if is_for_signatures { Self::read(jwk) } else { None }
    }

    /// Reads a key of JWT-SVIDs (SPIFFE Trust Domain and Bundle, section 4.2): it says so, and has an id.
    fn of_svids(jwk: &Value) -> Option<Self> {
        if jwk.get("use")? == "jwt-svid" { Self::read(jwk).filter(|key| key.id.is_some()) } else { None }
    }

    fn read(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        // A published private half is no secret any more, so its signatures prove nothing.
        if jwk.get("d").is_some() || jwk.get("k").is_some() {
            return None;
        }
        let (mut algorithms, material) = match text("kty")? {
            "RSA" => rsa(text("n")?, text("e")?)?,
            "EC" => elliptic(text("crv")?, text("x")?, text("y")?)?,
            "OKP" => edwards(text("crv")?, text("x")?)?,
            _ => return None,
        };
        if let Some(declared) = jwk.get("alg") {
            let declared = JwtAlgorithm::from_name(declared.as_str()?)?;
            algorithms.retain(|algorithm| *algorithm == declared);
        }
        if algorithms.is_empty() {
            return None;
        }
        let id = match jwk.get("kid") {
            None => None,
            Some(id) => Some(id.as_str()?.to_owned()),
        };
        let parts = ["kty", "kid", "crv", "x", "y", "n", "e"].map(|name| text(name).unwrap_or_default());
        Some(Self { id, algorithms, material, fingerprint: Sha256::digest(parts.join("\n")).into() })
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey").field("id", &self.id).finish_non_exhaustive()
    }
}

type Material = (Vec<JwtAlgorithm>, DecodingKey);

fn rsa(modulus: &str, exponent: &str) -> Option<Material> {
    let bits = bit_length(&decode(modulus)?);
    let exponent_bytes = decode(exponent)?;
    let odd = exponent_bytes.last().is_some_and(|byte| byte & 1 == 1);
    // An exponent of 1 would make every message its own signature.
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) || !odd || bit_length(&exponent_bytes) < 2 {
        return None;
    }
    let key = DecodingKey::from_rsa_components(modulus, exponent).ok()?;
    Some((JwtAlgorithm::RSA.to_vec(), key))
}

fn elliptic(curve: &str, x: &str, y: &str) -> Option<Material> {
    let (algorithm, length) = match curve {
        "P-256" => (JwtAlgorithm::Es256, 32),
        "P-384" => (JwtAlgorithm::Es384, 48),
        _ => return None,
    };
    if decode(x)?.len() != length || decode(y)?.len() != length {
        return None;
    }
    Some((vec![algorithm], DecodingKey::from_ec_components(x, y).ok()?))
}

fn edwards(curve: &str, x: &str) -> Option<Material> {
    if curve != "Ed25519" || decode(x)?.len() != 32 {
        return None;
    }
    Some((vec![JwtAlgorithm::EdDsa], DecodingKey::from_ed_components(x).ok()?))
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn bit_length(bytes: &[u8]) -> usize {
    let mut rest = bytes.iter().skip_while(|byte| **byte == 0);
    rest.next().map_or(0, |first| {
        let top = usize::try_from(8 - first.leading_zeros()).unwrap_or(8);
        top + rest.count() * 8
    })
}

/// The usable keys of a JWK set.
#[derive(Debug)]
pub(super) struct KeySet(Vec<VerificationKey>);

/// What a key id leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// No key has it, or more than one has: which one is meant would be a guess.
    Unknown,
    /// The key is not for this algorithm.
    OtherAlgorithm,
}

impl KeySet {
    /// Reads a JWK set; keys that cannot be used are left out one by one. Nothing where the document
    /// is no JWK set.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let document = strict_json::object(bytes)?;
        let keys = document.get("keys")?.as_array()?;
        Some(Self(keys.iter().take(MAX_KEYS).filter_map(VerificationKey::from_jwk).collect()))
    }

    /// The keys of JWT-SVIDs among the entries of a trust bundle.
    pub(super) fn of_svids(entries: &[Value]) -> Self {
        Self(entries.iter().take(MAX_KEYS).filter_map(VerificationKey::of_svids).collect())
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The one key of this id for the algorithm. A token without a key id is taken only where exactly
    /// one key fits its algorithm.
    pub(super) fn find(
        &self,
        id: Option<&str>,
        algorithm: JwtAlgorithm,
    ) -> Result<&VerificationKey, Missing> {
        let named = || self.0.iter().filter(|key| id.is_none_or(|id| key.id.as_deref() == Some(id)));
        let mut fitting = named().filter(|key| key.fits(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (None, _) if id.is_some() && named().next().is_some() => Err(Missing::OtherAlgorithm),
            _ => Err(Missing::Unknown),
        }
    }

    /// Whether a key of `self` is gone in `newer`, by id or by material.
    pub(super) fn lost_one(&self, newer: &Self) -> bool {
        let still = |key: &VerificationKey| newer.0.iter().any(|new| new.fingerprint == key.fingerprint);
        !self.0.iter().all(still)
    }
}
