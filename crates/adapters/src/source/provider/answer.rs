//! Answers of token endpoints (RFC 6749, section 5; RFC 8693, section 2.2).

use std::time::Duration;

use gateway_core::secret::Secret;
use http::{HeaderMap, StatusCode, header};

use super::error::ProviderError;
use crate::https::OutboundResponse;
use crate::store::json_text::{Fields, secret_field};

/// The largest answer of a token endpoint, in bytes.
pub(super) const LARGEST_ANSWER: usize = 128 * 1024;

/// The largest token, in bytes: no server takes larger header fields.
const LARGEST_TOKEN: usize = 32 * 1024;

/// The longest wait that a `Retry-After` may ask for.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// What a token endpoint issued.
#[derive(Debug)]
pub struct Tokens {
    /// The access token; never empty, and fit for a header field.
    pub access_token: Secret,
    /// The refresh token, where there is one.
    pub refresh_token: Option<Secret>,
    /// The ID token of `OpenID` Connect, where there is one; not verified.
    pub id_token: Option<Secret>,
    /// How long the access token holds from the answer on.
    pub lifetime: Duration,
    /// The scopes granted, sorted: those asked for, where the answer does not say (RFC 6749, section 5.1).
    pub scopes: Vec<String>,
}

impl Tokens {
    /// Whether every one of the scopes was granted.
    pub fn covers(&self, scopes: &[&str]) -> bool {
        scopes.iter().all(|scope| self.scopes.iter().any(|granted| granted == scope))
    }
}

/// What the answer must be.
#[derive(Clone, Copy, Debug)]
pub(in crate::source) struct Expected<'a> {
    /// The scopes asked for.
    pub(in crate::source) scopes: &'a [&'a str],
    /// What is issued.
    pub(in crate::source) issued: Issued,
    /// The lifetime where the answer does not say.
    pub(super) default_lifetime: Duration,
    /// A longer one is cut to this.
    pub(super) longest_lifetime: Duration,
}

/// What a token endpoint issues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::source) enum Issued {
    /// A bearer access token.
    AccessToken,
    /// The same by token exchange, which names the type.
    ExchangedToken,
    /// An identity assertion (ID-JAG).
    IdentityAssertion,
}

pub(in crate::source) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
pub(in crate::source) const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
pub(in crate::source) const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

/// Reads the answer.
pub(super) fn read(answer: &OutboundResponse, expected: &Expected<'_>) -> Result<Tokens, ProviderError> {
    if answer.status != StatusCode::OK {
        return Err(failure(answer));
    }
    let malformed = |why: &str| ProviderError::malformed(why);
    let fields: Fields<'_> =
        serde_json::from_slice(&answer.body).map_err(|_| malformed("the answer is no JSON object"))?;
    judge_type(&fields, expected.issued)?;
    let access_token =
        token(&fields, "access_token")?.ok_or_else(|| malformed("there is no access token"))?;
    Ok(Tokens {
        access_token,
        refresh_token: token(&fields, "refresh_token")?,
        id_token: token(&fields, "id_token")?,
        lifetime: lifetime(&fields, expected)?,
        scopes: scopes(&fields, expected.scopes)?,
    })
}

pub(super) fn text(fields: &Fields<'_>, name: &'static str) -> Result<Option<String>, ProviderError> {
    let Some(raw) = fields.get(name).filter(|raw| raw.get() != "null") else { return Ok(None) };
    let text = serde_json::from_str(raw.get());
    text.map(Some).map_err(|_| ProviderError::malformed(format!("`{name}` is no text")))
}

fn judge_type(fields: &Fields<'_>, issued: Issued) -> Result<(), ProviderError> {
    let token_type = text(fields, "token_type")?.unwrap_or_default();
    let issued_type = text(fields, "issued_token_type")?;
    let bearer = token_type.eq_ignore_ascii_case("bearer");
    let fits = match issued {
        Issued::AccessToken => bearer,
        Issued::ExchangedToken => bearer && matches!(issued_type.as_deref(), Some(ACCESS_TOKEN | JWT)),
        Issued::IdentityAssertion => {
            token_type.eq_ignore_ascii_case("n_a") && issued_type.as_deref() == Some(ID_JAG)
        }
    };
    if fits {
        Ok(())
    } else {
        Err(ProviderError::malformed("the token is of another type than was asked for"))
    }
}

fn token(fields: &Fields<'_>, name: &'static str) -> Result<Option<Secret>, ProviderError> {
    if fields.get(name).is_none_or(|raw| raw.get() == "null") {
        return Ok(None);
    }
    let secret = secret_field(fields, name).map_err(|error| ProviderError::malformed(error.inside))?;
    if secret.len() > LARGEST_TOKEN || !secret.is_header_safe() {
        return Err(ProviderError::malformed(format!("`{name}` is too large or fits into no header field")));
    }
    Ok(Some(secret))
}

fn lifetime(fields: &Fields<'_>, expected: &Expected<'_>) -> Result<Duration, ProviderError> {
    let Some(raw) = fields.get("expires_in").filter(|raw| raw.get() != "null") else {
        return Ok(expected.default_lifetime);
    };
    match raw.get().parse::<u64>() {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds).min(expected.longest_lifetime)),
        _ => Err(ProviderError::malformed("`expires_in` is no number of seconds above zero")),
    }
}

fn scopes(fields: &Fields<'_>, asked: &[&str]) -> Result<Vec<String>, ProviderError> {
    let granted = text(fields, "scope")?;
    let mut scopes: Vec<String> = match &granted {
        Some(granted) => granted.split_ascii_whitespace().map(str::to_owned).collect(),
        None => asked.iter().map(|scope| (*scope).to_owned()).collect(),
    };
    scopes.sort_unstable();
    scopes.dedup();
    Ok(scopes)
}

/// An answer that is no success.
pub(super) fn failure(answer: &OutboundResponse) -> ProviderError {
    let status = answer.status.as_u16();
    let code = error_code(&answer.body);
    let inside = match &code {
        Some(code) => format!("the provider answered {status} `{code}`"),
        None => format!("the provider answered {status}"),
    };
    let transient = matches!(code.as_deref(), Some("temporarily_unavailable" | "server_error"));
    if matches!(status, 408 | 429 | 500..) || transient {
        let error = ProviderError::unavailable(inside).retry_after(retry_after(&answer.headers));
        return error.answering(code.unwrap_or_else(|| format!("http_{status}")));
    }
    if !answer.status.is_client_error() {
        return ProviderError::malformed(inside).answering(format!("http_{status}"));
    }
    ProviderError::refused(inside).answering(code.unwrap_or_else(|| format!("http_{status}")))
}

/// The error code (RFC 6749, section 5.2), if it is one: nothing else of the body is repeated anywhere.
pub(super) fn error_code(body: &[u8]) -> Option<String> {
    let fields: Fields<'_> = serde_json::from_slice(body).ok()?;
    let code = text(&fields, "error").ok()??;
    let plain = (1..=48).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    plain.then_some(code)
}

/// Seconds only: a date would need the provider's clock to be right.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}
