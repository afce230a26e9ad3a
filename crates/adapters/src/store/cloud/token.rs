//! The bearer token that the gateway has at a service.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use gateway_core::ports::{StoreError, StoreErrorKind};
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use http::HeaderValue;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::store::session::Session;

/// How long before its end a token is replaced, at most.
const MARGIN: Duration = Duration::from_secs(300);

/// A bearer token.
pub(in crate::store) struct Token {
    header: HeaderValue,
    /// When it is to be replaced.
    due: Timestamp,
    /// When it has ended; absent where only the service knows.
    over: Option<Timestamp>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(due {})", self.due)
    }
}

impl Token {
    /// A token that ends after this span.
    pub(in crate::store) fn ending(
        token: &Secret,
        now: Timestamp,
        life: Duration,
    ) -> Result<Self, StoreError> {
        // A short one is replaced after three quarters of its life.
        let used = life.saturating_sub(MARGIN.min(life / 4));
        Ok(Self { header: bearer(token)?, due: now.plus(used), over: Some(now.plus(life)) })
    }

    /// A token whose end is the service's to say; it is looked at anew after this span.
    pub(in crate::store) fn kept(token: &Secret, now: Timestamp, span: Duration) -> Result<Self, StoreError> {
        Ok(Self { header: bearer(token)?, due: now.plus(span), over: None })
    }

    /// The header that carries it, marked sensitive.
    pub(in crate::store) fn header(&self) -> HeaderValue {
        self.header.clone()
    }
}

impl Session for Token {
    fn is_due(&self, now: Timestamp) -> bool {
        self.due <= now
    }

    /// A token without an end of its own is only as good as its file.
    fn still_serves(&self, now: Timestamp) -> bool {
        self.over.is_some_and(|end| now < end)
    }
}

/// `Bearer TOKEN` (RFC 6750, section 2.1) in a buffer that is zeroed when the last clone goes.
#[expect(clippy::disallowed_methods, reason = "the login's token goes into the header of the request")]
fn bearer(token: &Secret) -> Result<HeaderValue, StoreError> {
    let mut text = Zeroizing::new(Vec::with_capacity(7 + token.len()));
    text.extend_from_slice(b"Bearer ");
    text.extend_from_slice(token.expose());
    let plain = !token.is_empty() && token.is_header_safe() && !token.expose().contains(&b' ');
    let value = plain.then(|| HeaderValue::from_maybe_shared(Bytes::from_owner(text)).ok()).flatten();
    let mut value =
        value.ok_or_else(|| StoreError::new(StoreErrorKind::Denied, "the login brought no plain token"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A number of seconds as vendors write it: a number, or a string of digits.
pub(super) fn life(raw: &RawValue) -> Option<Duration> {
    let text = raw.get();
    let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    text.parse().ok().map(Duration::from_secs)
}

/// The span until an RFC 3339 time; absent where it is none.
pub(in crate::store) fn term(until: &str, now: Timestamp) -> Option<Duration> {
    Timestamp::parse(until).ok().map(|end| end.since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_with_anything_odd_in_it_makes_no_header() {
        let kind = |token: &[u8]| bearer(&Secret::copy_from(token)).map_err(|error| error.kind);
        assert_eq!(kind(b"a.b-c_d~=").unwrap(), "Bearer a.b-c_d~=");
        assert!(kind(b"canary").unwrap().is_sensitive());
        for odd in [&b""[..], b"a b", b"a\r\nX: y", b"\xff", b"a\t"] {
            assert_eq!(kind(odd).unwrap_err(), StoreErrorKind::Denied, "{odd:?}");
        }
    }

    #[test]
    fn a_token_is_due_before_its_end() {
        let (token, now) = (Secret::copy_from(b"canary"), Timestamp::from_seconds(1_000));
        let at = |seconds: i64| Timestamp::from_seconds(1_000 + seconds);
        let hour = Token::ending(&token, now, Duration::from_secs(3_600)).unwrap();
        assert!(!hour.is_due(at(3_299)) && hour.is_due(at(3_300)));
        assert!(hour.still_serves(at(3_599)) && !hour.still_serves(at(3_600)));
        let short = Token::ending(&token, now, Duration::from_secs(100)).unwrap();
        assert!(!short.is_due(at(74)) && short.is_due(at(75)));
        assert!(!Token::ending(&token, now, Duration::ZERO).unwrap().still_serves(now), "none has no life");
        assert!(!Token::kept(&token, now, Duration::from_secs(60)).unwrap().still_serves(now));
        assert!(!format!("{hour:?}").contains("canary"), "{hour:?}");
    }

    #[test]
    fn spans_are_numbers_or_digits_in_a_string() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        for good in ["3599", "\"3599\""] {
            assert_eq!(life(&raw(good)), Some(Duration::from_secs(3_599)), "{good}");
        }
        for bad in ["-1", "\"soon\"", "1.5", "null", "\"\"", "{}"] {
            assert_eq!(life(&raw(bad)), None, "{bad}");
        }
    }
}
