//! Everything that came over any wire of the demo's, kept for the sweep.

use std::sync::{Arc, Mutex, PoisonError};

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Where it came from.
    pub(super) from: String,
    /// What it was.
    pub(super) bytes: Vec<u8>,
}

/// What was received. Cheap to clone; all clones are one collection.
#[derive(Debug, Clone, Default)]
pub(super) struct Collected(Arc<Mutex<Vec<Piece>>>);

impl Collected {
    /// Keeps a piece and where it came from.
    pub(super) fn keep(&self, from: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        let piece = Piece { from: from.into(), bytes: bytes.into() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(piece);
    }

    /// Everything so far.
    pub(super) fn pieces(&self) -> Vec<Piece> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
