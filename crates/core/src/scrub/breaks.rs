//! Telling harmless escapes from telling ones, without decoding.
//!
//! Most answers are full of `\"` and `\n`, and most values have neither. An escape that stands for a
//! byte in no pattern breaks every match: between two of them each decoded view equals the raw bytes.
//! Where a stretch has only such escapes, matching the raw bytes is enough.

use zeroize::Zeroizing;

use super::fold::{Fold, Piece};
use super::forms::Forms;

/// The bytes that an escape may not stand for if it is to be harmless.
pub(super) struct Telling {
    bytes: Zeroizing<Vec<bool>>,
    /// The second bytes of harmless JSON escapes of two: most of all escapes, so found by one look.
    pairs: Zeroizing<Vec<bool>>,
}

impl Telling {
    /// All bytes of all patterns, and those that may be part of an escape once decoded.
    pub(super) fn new(forms: &Forms) -> Self {
        let table = || Zeroizing::new(vec![false; 256]);
        let mut telling = Self { bytes: table(), pairs: table() };
        let patterns = forms.exact.iter().chain(&forms.caseless);
        patterns.for_each(|pattern| pattern.iter().for_each(|byte| telling.add(*byte)));
        b"\\%+0123456789abcdefABCDEF".iter().for_each(|byte| telling.add(*byte));
        for second in b"\"/bfnrt" {
            if let Piece::Unit { bytes, .. } = Fold::Json.read(&[b'\\', *second])
                && !bytes.as_slice().iter().any(|byte| telling.has(*byte))
                && let Some(entry) = telling.pairs.get_mut(usize::from(*second))
            {
                *entry = true;
            }
        }
        telling
    }

    fn add(&mut self, byte: u8) {
        if let Some(entry) = self.bytes.get_mut(usize::from(byte)) {
            *entry = true;
        }
    }

    fn has(&self, byte: u8) -> bool {
        self.bytes.get(usize::from(byte)) != Some(&false)
    }

    /// Up to where in `bytes`, at least, no pattern is under way: behind the last byte of no pattern.
    pub(super) fn calm_prefix(&self, bytes: &[u8]) -> usize {
        bytes.iter().rposition(|byte| !self.has(*byte)).map_or(0, |last| last + 1)
    }

    /// Whether every escape of kind `fold` in `bytes` is complete and harmless.
    pub(super) fn spares(&self, fold: Fold, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while let Some(at) = fold.find(rest) {
            let escape = rest.get(at..).unwrap_or_default();
            if fold == Fold::Json
                && let [_, second, after @ ..] = escape
                && self.pairs.get(usize::from(*second)) == Some(&true)
            {
                rest = after;
                continue;
            }
            let taken = match fold.read(escape) {
                Piece::Incomplete => return false,
                Piece::Literal => 1,
                Piece::Unit { bytes, .. } if bytes.as_slice().iter().any(|byte| self.has(*byte)) => {
                    return false;
                }
                Piece::Unit { taken, .. } => taken,
            };
            rest = escape.get(taken..).unwrap_or_default();
        }
        true
    }
}
