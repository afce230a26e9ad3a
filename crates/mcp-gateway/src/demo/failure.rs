//! Why an act could not be played to its end.

use std::fmt;

/// A failure in words. Never holds a value: the texts come from names, codes and counts.
#[derive(Debug)]
pub(super) struct Failure(String);

impl Failure {
    /// In words.
    pub(super) fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }

    /// Says what was being done.
    pub(super) fn at(what: &str, error: impl fmt::Display) -> Self {
        Self(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        // Without its URL: nothing is gained by it, and a URL may hold more than a place.
        Self(error.without_url().to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}
