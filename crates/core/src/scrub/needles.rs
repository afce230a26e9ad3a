//! What to look for, prepared once per lease and shared by every answer it scrubs.

use std::fmt;

use super::breaks::Telling;
use super::forms::Forms;
use super::net::Nets;
use super::stream::State;
use super::{LONGEST_VALUE, Marker, NeedleError, NeedleSource, SHORT_VALUE};
use crate::secret::Secret;
use zeroize::Zeroizing;

/// The prepared forms of one binding's values. Immutable; share it by `Arc`.
///
/// The patterns are zeroed once the automaton stands; the automaton itself, which is as telling as
/// they are, is freed without being zeroed, since its library offers no way to.
pub struct Needles {
    pub(super) nets: Nets,
    pub(super) telling: Telling,
    pub(super) marker: Option<Marker>,
    /// Whether a value has a space, so that `+` may stand for it.
    pub(super) spaced: bool,
    short: bool,
}

impl Needles {
    /// Prepares the forms of `values`: the current value and the previous versions still in use.
    ///
    /// # Errors
    /// [`NeedleError`] for a value that is empty, longer than [`LONGEST_VALUE`] or part of the marker.
    pub fn build<'a>(
        values: impl IntoIterator<Item = NeedleSource<'a>>,
        marker: Marker,
    ) -> Result<Self, NeedleError> {
        let mut forms = Forms::default();
        let mut traits = Traits { spaced: false, short: false };
        for source in values {
            add_source(source, &marker, &mut forms, &mut traits)?;
        }
        forms.tidy();
        let nets = Nets::build(&forms)?;
        let telling = Telling::new(&forms);
        Ok(Self { nets, telling, marker: Some(marker), spaced: traits.spaced, short: traits.short })
    }

    /// Nothing to look for: scrubbing then costs a copy and changes nothing.
    pub fn none() -> Self {
        let telling = Telling::new(&Forms::default());
        Self { nets: Nets::default(), telling, marker: None, spaced: false, short: false }
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.nets.is_empty()
    }

    /// Whether a value is under [`SHORT_VALUE`] bytes: too short for scrubbing to be relied on.
    pub fn short(&self) -> bool {
        self.short
    }

    /// Scrubs a complete text (header value, log line, error text); returns it with the number of
    /// replacements.
    pub fn scrub_text(&self, text: &str) -> (String, u64) {
        let mut out = Vec::with_capacity(text.len());
        let mut state = State::new(self);
        state.push(self, text.as_bytes(), &mut out);
        state.flush(self, &mut out);
        let text = String::from_utf8(out).unwrap_or_else(|error| {
            // Only a value that is no UTF-8 itself can have been cut out of the middle of a character.
            String::from_utf8_lossy(error.as_bytes()).into_owned()
        });
        (text, state.redactions())
    }

    /// Whether any form of any value occurs in `bytes`.
    pub fn contains(&self, bytes: &[u8]) -> bool {
        let mut out = Zeroizing::new(Vec::new());
        let mut state = State::new(self);
        state.push(self, bytes, &mut out);
        state.flush(self, &mut out);
        state.redactions() > 0
    }

    /// The marker's text.
    pub(super) fn marker_text(&self) -> &str {
        self.marker.as_ref().map_or("", Marker::as_str)
    }
}

impl fmt::Debug for Needles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Needles(..)")
    }
}

struct Traits {
    spaced: bool,
    short: bool,
}

#[expect(clippy::disallowed_methods, reason = "the scrubber has to know the values it looks for")]
fn add_source(
    source: NeedleSource<'_>,
    marker: &Marker,
    forms: &mut Forms,
    traits: &mut Traits,
) -> Result<(), NeedleError> {
    let (user, secret): (Option<&str>, &Secret) = match source {
        NeedleSource::Value(secret) => (None, secret),
        NeedleSource::BasicAuth { user, password } => (Some(user), password),
    };
    let value = secret.expose();
    if value.is_empty() {
        return Err(NeedleError::Empty);
    }
    if value.len() > LONGEST_VALUE || user.is_some_and(|user| user.len() > LONGEST_VALUE) {
        return Err(NeedleError::TooLong);
    }
    if memchr::memmem::find(marker.as_str().as_bytes(), value).is_some() {
        return Err(NeedleError::InMarker);
    }
    traits.spaced |= value.contains(&b' ');
    traits.short |= value.len() < SHORT_VALUE;
    forms.add_value(value);
    if let Some(user) = user {
        let mut joined = Zeroizing::new(Vec::with_capacity(user.len() + 1 + value.len()));
        joined.extend_from_slice(user.as_bytes());
        joined.push(b':');
        joined.extend_from_slice(value);
        forms.add_base64(&joined);
    }
    Ok(())
}
