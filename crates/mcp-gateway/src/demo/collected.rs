//! Everything that came over any wire of the demo's, kept for the sweep.

use std::sync::{Arc, Mutex, PoisonError};

/// What was received. Cheap to clone; all clones are one collection.
#[derive(Debug, Clone, Default)]
pub(super) struct Collected(Arc<Mutex<Vec<(String, Vec<u8>)>>>);

impl Collected {
    /// Keeps a piece and where it came from.
    pub(super) fn keep(&self, from: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((from.into(), bytes.into()));
    }

    /// Everything so far.
    pub(super) fn pieces(&self) -> Vec<(String, Vec<u8>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
