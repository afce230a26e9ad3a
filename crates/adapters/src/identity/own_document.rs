//! What the gateway signed, as somebody verifies it who has nothing but its key set: receipts and documents.

use gateway_core::identity::IdentityError;

use super::algorithm::JwtAlgorithm;
use super::keys::{KeySet, Missing};
use super::token::{SignedClaims, Token, UnverifiedClaims};
use crate::signing::Purpose;

/// Why a compact JWS (RFC 7515, section 3.1) is nothing that the gateway signed for this purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OwnFault {
    /// No compact JWS with JSON in it, or one that names no key, or brings keys of its own.
    Malformed,
    /// Of another purpose.
    Type,
    /// An algorithm that the gateway does not sign with, or not the key's.
    Algorithm,
    /// No key of that id in the set.
    UnknownKey,
    /// Not signed by that key.
    Signature,
}

/// The claims of what was parsed, once its purpose, algorithm and signature hold.
///
/// # Errors
/// See [`OwnFault`], in the order in which they are looked for.
pub(super) fn verify_own(
    parsed: Result<(Token<'_>, UnverifiedClaims), IdentityError>,
    purpose: Purpose,
    keys: &KeySet,
) -> Result<SignedClaims, OwnFault> {
    let (token, claims) = parsed.map_err(|error| match error {
        IdentityError::Algorithm => OwnFault::Algorithm,
        _ => OwnFault::Malformed,
    })?;
    if token.header.token_type.as_deref() != Some(purpose.typ()) {
        return Err(OwnFault::Type);
    }
    if !matches!(token.header.algorithm, JwtAlgorithm::EdDsa | JwtAlgorithm::Es256) {
        return Err(OwnFault::Algorithm);
    }
    let id = token.header.key_id.as_deref().ok_or(OwnFault::Malformed)?;
    let key = keys.find(Some(id), token.header.algorithm).map_err(|missing| match missing {
        Missing::Unknown => OwnFault::UnknownKey,
        Missing::OtherAlgorithm => OwnFault::Algorithm,
    })?;
    claims.verified_by(&token, key).map_err(|_| OwnFault::Signature)
}
