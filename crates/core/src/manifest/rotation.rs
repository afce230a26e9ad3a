//! How a binding's secret is kept fresh.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Ten years: what is longer is a slip.
const LONGEST: u64 = 3_660 * DAY;

/// A span in whole seconds, written as `30s`, `15m`, `12h` or `90d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u64);

impl Span {
    /// A span of whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// As the standard library counts it.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(DAY, 'd'), (HOUR, 'h'), (MINUTE, 'm')];
        match units.into_iter().find(|(unit, _)| self.0 > 0 && self.0.is_multiple_of(*unit)) {
            Some((unit, letter)) => write!(f, "{}{letter}", self.0 / unit),
            None => write!(f, "{}s", self.0),
        }
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;
    fn try_from(text: String) -> Result<Self, SpanError> {
        let unit = match text.bytes().last() {
            Some(b's') => 1,
            Some(b'm') => MINUTE,
            Some(b'h') => HOUR,
            Some(b'd') => DAY,
            _ => return Err(SpanError(())),
        };
        let digits = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
        let plain = (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        let count: u64 = digits.parse().ok().filter(|_| plain).ok_or(SpanError(()))?;
        let seconds = count.checked_mul(unit).filter(|seconds| (1..=LONGEST).contains(seconds));
        seconds.map(Self).ok_or(SpanError(()))
    }
}

/// The text is no span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a span: write a whole number and one of `s`, `m`, `h`, `d`, such as `30s` or `90d`, ten years at most"
)]
pub struct SpanError(());

/// What happens once something is late: a secret older than its `max_age`, a review past its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnOverdue {
    /// The card and an event say so.
    #[default]
    Remind,
    /// The binding is switched off.
    Disable,
}

/// How a binding's secret is kept fresh.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotationSpec {
    /// How often the store is asked for a newer version. Calls then use the version that the state names as
    /// active: a newer one is tried at the server first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Span>,
    /// How old a version may get, counted from when the store made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Span>,
    /// How long after a rotation the next one is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// What happens once it is older than `max_age`.
    #[serde(default, skip_serializing_if = "is_reminder")]
    pub on_overdue: OnOverdue,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_reminder(action: &OnOverdue) -> bool {
    *action == OnOverdue::Remind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_shown_in_their_largest_unit() {
        for (text, seconds, shown) in [
            ("30s", 30, "30s"),
            ("90s", 90, "90s"),
            ("15m", 900, "15m"),
            ("60m", 3_600, "1h"),
            ("90d", 90 * 86_400, "90d"),
        ] {
            let span = Span::try_from(text.to_owned()).unwrap();
            assert_eq!((span, span.to_string().as_str()), (Span::seconds(seconds), shown));
        }
        for text in ["", "s", "0s", "30", "-1s", "1.5h", "1w", "+3s", "99999999999s", "9999d", "30 s"] {
            assert!(Span::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
