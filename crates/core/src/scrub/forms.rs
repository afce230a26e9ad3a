//! The exact encoded forms of one value. Escapes (JSON, percent) are not forms: they are undone by
//! the folds before matching.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// Encoded forms shorter than this would hit ordinary text.
const SHORTEST_ENCODED: usize = 6;

/// A byte string to look for, zeroed on drop.
pub(super) type Pattern = Zeroizing<Vec<u8>>;

/// The patterns of all values, by how they are compared.
#[derive(Default)]
pub(super) struct Forms {
    /// Compared byte by byte: raw values and base64 forms.
    pub(super) exact: Vec<Pattern>,
    /// Compared without regard to ASCII case: hex forms, in lower case.
    pub(super) caseless: Vec<Pattern>,
}

impl Forms {
    /// Adds all forms of a value.
    pub(super) fn add_value(&mut self, value: &[u8]) {
        self.exact.push(Zeroizing::new(value.to_vec()));
        self.add_base64(value);
        let hex = Zeroizing::new(hex::encode(value).into_bytes());
        if hex.len() >= SHORTEST_ENCODED {
            self.caseless.push(hex);
        }
    }

    /// Adds the base64 forms (RFC 4648, sections 4 and 5) of `value`, wherever in longer base64 text
    /// it may stand.
    ///
    /// With `lead` bytes before the value in its three-byte group, the characters that the value alone
    /// determines are the core; the characters at the edges carry bits of the neighbours (at most
    /// four bits of the value each, which stay). A value that ends the text determines its last
    /// character too, and the padding.
    pub(super) fn add_base64(&mut self, value: &[u8]) {
        for alphabet in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            for lead in 0..3_usize {
                let mut bytes = Zeroizing::new(vec![0; lead]);
                bytes.extend_from_slice(value);
                let text = Zeroizing::new(alphabet.encode(&*bytes));
                let first = (8 * lead).div_ceil(6);
                let whole = 8 * bytes.len() / 6;
                let Some(core) = text.as_bytes().get(first..whole) else { continue };
                if core.len() < SHORTEST_ENCODED {
                    continue;
                }
                self.exact.push(Zeroizing::new(core.to_vec()));
                if let Some(ending) = text.as_bytes().get(first..).filter(|ending| ending.len() > core.len())
                {
                    self.exact.push(Zeroizing::new(ending.to_vec()));
                    let mut padded = Zeroizing::new(ending.to_vec());
                    padded.resize(ending.len() + (4 - text.len() % 4), b'=');
                    self.exact.push(padded);
                }
            }
        }
    }

    /// Sorts and removes what occurs twice.
    pub(super) fn tidy(&mut self) {
        for patterns in [&mut self.exact, &mut self.caseless] {
            patterns.sort_by(|a, b| a.as_slice().cmp(b.as_slice()));
            patterns.dedup_by(|a, b| a.as_slice() == b.as_slice());
        }
    }
}
