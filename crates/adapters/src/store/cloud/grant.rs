//! What a token endpoint answers (RFC 6749, section 5.1).

use gateway_core::ports::StoreError;
use gateway_core::time::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::Answer;
use super::token::{Token, life};
use crate::store::json_text::secret_value;

#[derive(Deserialize)]
struct Granted<'a> {
    #[serde(borrow)]
    access_token: &'a RawValue,
    token_type: String,
    /// A number; a string of digits where Azure's machines answer.
    #[serde(borrow)]
    expires_in: &'a RawValue,
}

/// Takes the token out of an answer.
pub(in crate::store) fn granted(answer: &Answer, now: Timestamp) -> Result<Token, StoreError> {
    if answer.status != 200 {
        return Err(answer.login_failure());
    }
    let found: Granted<'_> = answer.json()?;
    let life = life(found.expires_in).ok_or_else(|| answer.senseless())?;
    if !found.token_type.eq_ignore_ascii_case("Bearer") {
        return Err(answer.senseless());
    }
    Token::ending(&secret_value(found.access_token, "access_token")?, now, life)
}
