//! A JWT as it came in: three segments, a header we understand, and claims that nobody may believe yet.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::identity::IdentityError;
use serde_json::{Map, Value};

use super::algorithm::JwtAlgorithm;
use super::keys::VerificationKey;
use super::strict_json;

/// The largest token taken, in bytes.
pub(super) const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Header fields that would bring or point to a key, or change what is signed. Keys come from the
/// issuer's configuration only, so a token that offers one is refused, not obeyed.
const REFUSED_HEADERS: [&str; 7] = ["crit", "jwk", "jku", "x5u", "b64", "zip", "enc"];

/// A token in its parts.
pub(super) struct Token<'a> {
    /// The header.
    pub(super) header: Header,
    /// What was signed: header and claims as they came in.
    message: &'a str,
    signature: &'a str,
}

/// What the header says.
pub(super) struct Header {
    pub(super) algorithm: JwtAlgorithm,
    pub(super) key_id: Option<String>,
    pub(super) token_type: Option<String>,
}

/// Claims before their signature was checked. They tell which issuer to ask, and nothing else.
pub(super) struct UnverifiedClaims(Map<String, Value>);

/// Claims whose signature was checked by a key of the issuer they name.
pub(super) struct SignedClaims(Map<String, Value>);

impl<'a> Token<'a> {
    /// Takes the token apart.
    ///
    /// # Errors
    /// [`IdentityError::TooLarge`], [`IdentityError::Malformed`], or [`IdentityError::Algorithm`] for
    /// every algorithm that can't be configured, `none` included.
    pub(super) fn parse(text: &'a str) -> Result<(Self, UnverifiedClaims), IdentityError> {
        Self::within(text, MAX_TOKEN_BYTES)
    }

    /// The same of something that may be larger than a token that callers present.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub(super) fn within(text: &'a str, limit: usize) -> Result<(Self, UnverifiedClaims), IdentityError> {
        if text.len() > limit {
            return Err(IdentityError::TooLarge);
        }
        let (message, signature) = text.rsplit_once('.').ok_or(IdentityError::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(IdentityError::Malformed)?;
        let header = Header::parse(&segment(header)?)?;
        if signature.is_empty() {
            return Err(IdentityError::Malformed);
        }
        // A fourth segment leaves a dot in the claims, which is no base64url.
        let claims = strict_json::object(&segment(claims)?).ok_or(IdentityError::Malformed)?;
        Ok((Self { header, message, signature }, UnverifiedClaims(claims)))
    }
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, IdentityError> {
        let fields = strict_json::object(bytes).ok_or(IdentityError::Malformed)?;
        let text = |name: &str| match fields.get(name) {
            None => Ok(None),
            Some(Value::String(value)) if value.len() <= 512 => Ok(Some(value.clone())),
            Some(_) => Err(IdentityError::Malformed),
        };
        let algorithm = text("alg")?.ok_or(IdentityError::Malformed)?;
        let algorithm = JwtAlgorithm::from_name(&algorithm).ok_or(IdentityError::Algorithm)?;
        if REFUSED_HEADERS.iter().any(|name| fields.contains_key(*name)) {
            return Err(IdentityError::Malformed);
        }
        Ok(Self { algorithm, key_id: text("kid")?, token_type: text("typ")? })
    }
}

impl UnverifiedClaims {
    /// The subject that the token names, to tell which trust domain to ask.
    pub(super) fn subject(&self) -> Option<&str> {
        self.0.get("sub")?.as_str()
    }

    /// The issuer that the token names.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.0.get("iss")?.as_str()
    }

    /// Checks the signature over exactly what these claims were read from.
    ///
    /// # Errors
    /// [`IdentityError::Algorithm`] where the key is not for the token's algorithm,
    /// [`IdentityError::Signature`] where the signature is wrong.
    pub(super) fn verified_by(
        self,
        token: &Token<'_>,
        key: &VerificationKey,
    ) -> Result<SignedClaims, IdentityError> {
        if !key.fits(token.header.algorithm) {
            return Err(IdentityError::Algorithm);
        }
        let algorithm = token.header.algorithm.library();
        let message = token.message.as_bytes();
        match jsonwebtoken::crypto::verify(token.signature, message, key.material(), algorithm) {
            Ok(true) => Ok(SignedClaims(self.0)),
            Ok(false) | Err(_) => Err(IdentityError::Signature),
        }
    }
}

impl SignedClaims {
    pub(super) const fn all(&self) -> &Map<String, Value> {
        &self.0
    }

    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A claim that may be absent; where it is there it must be a text with something in it.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, IdentityError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(value)) if !value.is_empty() && !value.chars().any(char::is_control) => {
                Ok(Some(value))
            }
            Some(_) => Err(IdentityError::Claims),
        }
    }

    /// A claim that must be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, IdentityError> {
        self.text(name)?.ok_or(IdentityError::Claims)
    }
}

fn segment(text: &str) -> Result<Vec<u8>, IdentityError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| IdentityError::Malformed)
}
