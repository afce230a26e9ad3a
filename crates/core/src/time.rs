//! Points and spans of time. `core` never reads a clock: now is always an argument.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time, in microseconds since the Unix epoch, shown as RFC 3339 in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From whole seconds since the Unix epoch, as JWT claims carry them (RFC 7519, section 2).
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since the Unix epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This point moved forward by `span`; stops at the end of time.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The span since `earlier`; zero where `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Whether a pause until this point, `longest` at the most, still holds. A clock that was set back ends it, or it
    /// could last for ever.
    pub fn holds_at(self, now: Self, longest: Duration) -> bool {
        self > now && self.since(now) <= longest
    }

    /// Parses RFC 3339, with any offset.
    ///
    /// # Errors
    /// Says that the text is no RFC 3339 time.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError(()))?;
        let micros = parsed.unix_timestamp_nanos() / 1_000;
        i64::try_from(micros).map(Self).map_err(|_| TimestampError(()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.0).saturating_mul(1_000);
        let text =
            OffsetDateTime::from_unix_timestamp_nanos(nanos).ok().and_then(|t| t.format(&Rfc3339).ok());
        f.write_str(text.as_deref().unwrap_or("out-of-range"))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// The text is no RFC 3339 time.
#[derive(Debug, thiserror::Error)]
#[error("not an RFC 3339 time such as `2026-11-26T09:00:00Z`")]
pub struct TimestampError(());

/// Where `now` comes from. The binary wires the system clock; tests wire one they move by hand.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The current time.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_and_parses_rfc_3339() {
        let at = Timestamp::from_micros(1_795_683_600_123_456);
        assert_eq!(Timestamp::parse(&at.to_string()).unwrap(), at);
        assert_eq!(Timestamp::parse("1970-01-01T01:00:00+01:00").unwrap(), Timestamp::from_micros(0));
        assert!(Timestamp::parse("yesterday").is_err());
    }

    #[test]
    fn a_pause_ends_with_its_time_and_with_a_clock_that_is_set_back() {
        let (until, longest) = (Timestamp::from_seconds(105), Duration::from_secs(5));
        assert!(until.holds_at(Timestamp::from_seconds(100), longest));
        assert!(!until.holds_at(Timestamp::from_seconds(105), longest));
        assert!(!until.holds_at(Timestamp::from_seconds(99), longest));
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::from_micros(i64::MAX).plus(Duration::from_secs(1)).micros(), i64::MAX);
        assert_eq!(Timestamp::from_micros(1).since(Timestamp::from_micros(9)), Duration::ZERO);
    }
}
