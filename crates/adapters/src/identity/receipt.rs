//! Receipts as a server's owner verifies them: with a key set, an audience and a clock, and nothing else.

use std::time::Duration;

use gateway_core::time::Timestamp;
use serde_json::{Map, Value};

use super::keys::KeySet;
use super::own_document::{OwnFault, verify_own};
use super::token::{SignedClaims, Token};
use crate::signing::Purpose;

/// What a receipt must be, to count.
#[derive(Clone, Copy, Debug)]
pub struct ReceiptRules<'a> {
    /// The server that it is for: the URL of its route, to the letter.
    pub audience: &'a str,
    /// The gateway that it comes from; whoever's keys are in the set where absent.
    pub issuer: Option<&'a str>,
    /// How far the clocks of gateway and verifier may be apart.
    pub leeway: Duration,
}

/// Why a text is no receipt for this server at this time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The key set is none.
    #[error("the keys are no JSON Web Key Set (RFC 7517)")]
    KeySet,
    /// No compact JWS with JSON in it, or one that brings keys of its own.
    #[error("this is no signed token")]
    Malformed,
    /// A token of another purpose.
    #[error("this is a token, and no receipt: its `typ` is another one")]
    Type,
    /// An algorithm that receipts are not signed with, or not the key's.
    #[error("receipts are not signed with this algorithm")]
    Algorithm,
    /// No key of that id in the set.
    #[error("it is signed with a key that is not in the set")]
    UnknownKey,
    /// Not signed by that key.
    #[error("the signature is wrong")]
    Signature,
    /// A claim is missing, or of another shape.
    #[error("a claim is missing or malformed")]
    Claims,
    /// Of another gateway.
    #[error("it was issued by another gateway")]
    Issuer,
    /// For another server.
    #[error("it was issued for another server")]
    Audience,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not come.
    #[error("it is not valid yet: compare the clocks")]
    NotYetValid,
}

impl ReceiptError {
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
            Self::Issuer => "wrong_issuer",
            Self::Audience => "wrong_audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
        }
    }
}

impl From<OwnFault> for ReceiptError {
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

/// Verifies a receipt, and gives back what it says. Whether it came before is for the caller to remember:
/// its `jti` until its `exp`.
///
/// # Errors
/// See [`ReceiptError`].
pub fn verify_receipt(
    text: &str,
    key_set: &[u8],
    rules: &ReceiptRules<'_>,
    now: Timestamp,
) -> Result<Map<String, Value>, ReceiptError> {
    let keys = KeySet::parse(key_set).ok_or(ReceiptError::KeySet)?;
    let claims = verify_own(Token::parse(text), Purpose::Receipt, &keys)?;
    judge(&claims, rules, now)?;
    Ok(claims.all().clone())
}

fn judge(claims: &SignedClaims, rules: &ReceiptRules<'_>, now: Timestamp) -> Result<(), ReceiptError> {
    let text = |name| claims.required(name).map_err(|_| ReceiptError::Claims);
    let time = |name| claims.value(name).and_then(Value::as_i64).ok_or(ReceiptError::Claims);
    let issuer = text("iss")?;
    if rules.issuer.is_some_and(|expected| expected.trim_end_matches('/') != issuer) {
        return Err(ReceiptError::Issuer);
    }
    if text("aud")? != rules.audience {
        return Err(ReceiptError::Audience);
    }
    text("jti")?;
    let (issued, begins, ends) = (time("iat")?, time("nbf")?, time("exp")?);
    // One that would hold for long is none of ours: nobody could remember its `jti`.
    let longest = i64::try_from(Purpose::Receipt.longest().as_secs()).unwrap_or_default();
    if !(1..=longest).contains(&ends.saturating_sub(issued)) {
        return Err(ReceiptError::Claims);
    }
    if now >= Timestamp::from_seconds(ends).plus(rules.leeway) {
        return Err(ReceiptError::Expired);
    }
    if now.plus(rules.leeway) < Timestamp::from_seconds(begins) {
        return Err(ReceiptError::NotYetValid);
    }
    Ok(())
}
