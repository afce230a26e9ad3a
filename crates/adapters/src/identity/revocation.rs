//! Documents about revocations as an auditor verifies them: with a key set, and nothing else.

use gateway_core::revocation::{RevocationDocument, RevocationStatus, SignedRevocation};
use serde_json::Value;

use super::keys::KeySet;
use super::own_document::{OwnFault, verify_own};
use super::token::Token;
use crate::signing::Purpose;

/// The largest document taken, in bytes: an environment may have thousands of bindings.
const LARGEST: usize = 64 * 1024 * 1024;

/// Why a text is no document of a revocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RevocationError {
    /// The key set is none.
    #[error("the keys are no JSON Web Key Set (RFC 7517)")]
    KeySet,
    /// No compact JWS with JSON in it, or one that brings keys of its own.
    #[error("this is no signed document")]
    Malformed,
    /// A token of another purpose.
    #[error("this is no document about a revocation: its `typ` is another one")]
    Type,
    /// An algorithm that documents are not signed with, or not the key's.
    #[error("such documents are not signed with this algorithm")]
    Algorithm,
    /// No key of that id in the set.
    #[error("it is signed with a key that is not in the set")]
    UnknownKey,
    /// Not signed by that key.
    #[error("the signature is wrong")]
    Signature,
    /// A claim is missing or malformed, or they contradict one another.
    #[error("a claim is missing, malformed, or contradicts another")]
    Claims,
    /// It does not follow the document that it should.
    #[error("it does not follow the document before it")]
    Previous,
}

impl RevocationError {
    /// The stable word for programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::KeySet => "key_set",
            Self::Malformed => "malformed",
            Self::Type => "wrong_type",
            Self::Algorithm => "wrong_algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "bad_signature",
            Self::Claims => "bad_claims",
            Self::Previous => "broken_chain",
        }
    }
}

impl From<OwnFault> for RevocationError {
    fn from(fault: OwnFault) -> Self {
        match fault {
            OwnFault::Malformed => Self::Malformed,
            OwnFault::Type => Self::Type,
            OwnFault::Algorithm => Self::Algorithm,
            OwnFault::UnknownKey => Self::UnknownKey,
            OwnFault::Signature => Self::Signature,
        }
    }
}

/// Verifies documents of one revocation, each of which must follow the one before it, and gives back what the
/// last one says.
///
/// # Errors
/// See [`RevocationError`]; also where there is none.
pub fn verify_revocation(documents: &[&str], key_set: &[u8]) -> Result<RevocationDocument, RevocationError> {
    let keys = KeySet::parse(key_set).ok_or(RevocationError::KeySet)?;
    let mut last: Option<(&str, RevocationDocument)> = None;
    for text in documents {
        let document = verify(text, &keys)?;
        if let Some((before, earlier)) = &last
            && !follows(&document, earlier, before)
        {
            return Err(RevocationError::Previous);
        }
        last = Some((text, document));
    }
    last.map(|(_, document)| document).ok_or(RevocationError::Malformed)
}

fn verify(text: &str, keys: &KeySet) -> Result<RevocationDocument, RevocationError> {
    let claims = verify_own(Token::within(text, LARGEST), Purpose::Revocation, keys)?;
    let document: RevocationDocument =
        serde_json::from_value(Value::Object(claims.all().clone())).map_err(|_| RevocationError::Claims)?;
    let first = document.serial == 1;
    let holds = document.jti == format!("{}.{}", document.revocation, document.serial)
        && document.serial > 0
        && first == document.previous.is_none()
        && document.status == RevocationStatus::of(&document.outside);
    if holds { Ok(document) } else { Err(RevocationError::Claims) }
}

fn follows(document: &RevocationDocument, earlier: &RevocationDocument, before: &str) -> bool {
    document.revocation == earlier.revocation
        && document.serial == earlier.serial.saturating_add(1)
        && document.previous.as_deref() == Some(SignedRevocation::hash_of(before).as_str())
}
