//! The streaming scrubber: takes injected secret values, and their listed encodings, out of what an
//! upstream answers.
//!
//! It is a safety net. The control is destination binding: a value leaves only to the origin its
//! binding names. The net knows raw, JSON-escaped (once and nested once more), percent-encoded (also
//! inside JSON), base64 and base64url at all three alignments, basic-auth and hex forms. It does not
//! know: a value split over two SSE events, line-wrapped base64, compression, encryption, or an
//! upstream that transforms the value on purpose.
//!
//! How it works: [`Needles`] holds automatons over the exact forms. A [`Scrubber`] runs them over the
//! raw bytes and, only while the data holds an escape, over decoded views of the same bytes
//! ([`lane`]); every decoded byte remembers the raw bytes it came from, so a hit is cut out of the
//! raw stream and all else passes untouched. Only a suffix that may still become a hit is held back.
//!
//! JSON stays JSON because a cut never splits an escape and the marker needs none. The exception is a
//! value that itself has an unescaped quote or is a bare JSON number: cutting it from where it stood
//! as structure leaves a document that does not parse, which is the closed way to fail.

use std::fmt;
use std::sync::Arc;

use crate::id::BindingName;
use crate::secret::Secret;

mod breaks;
mod events;
mod fold;
mod forms;
mod lane;
mod needles;
mod net;
mod spans;
mod stream;

pub use needles::Needles;
pub use stream::Scrubber;

/// Values below this many bytes are refused by policy where only scrubbing protects them.
pub const SHORT_VALUE: usize = 16;

/// The longest value, in bytes, that [`Needles`] accepts.
pub const LONGEST_VALUE: usize = 64 * 1024;

/// The text put where a value was: `[scrubbed:NAME]`, with the binding's name.
///
/// Names are lower-case slugs, so the marker can stand inside a JSON string, an SSE line or a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker(Arc<str>);

impl Marker {
    /// The marker of one binding.
    pub fn new(binding: &BindingName) -> Self {
        Self(format!("[scrubbed:{}]", binding.as_str()).into())
    }

    /// The text as it appears in answers.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What to look for: one entry per value that may come back, current and previous versions alike.
#[derive(Debug, Clone, Copy)]
pub enum NeedleSource<'a> {
    /// A value injected as it is.
    Value(&'a Secret),
    /// HTTP basic authentication (RFC 7617): the password, and `user:password` as a whole.
    BasicAuth {
        /// The user part; not a secret by itself.
        user: &'a str,
        /// The secret part.
        password: &'a Secret,
    },
}

/// Why no [`Needles`] could be built. None of these says anything about the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NeedleError {
    /// An empty value would match everywhere.
    #[error("the value to scrub is empty")]
    Empty,
    /// The value is longer than [`LONGEST_VALUE`].
    #[error("the value to scrub is longer than {LONGEST_VALUE} bytes")]
    TooLong,
    /// The marker itself would show the value.
    #[error("the value to scrub is part of the binding's own name or marker")]
    InMarker,
    /// The forms do not fit into one automaton.
    #[error("the values to scrub are too large together")]
    TooLarge,
}

#[cfg(test)]
mod tests;
