//! Changes to a body that leave every other byte as it was written.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

/// What changes in a body: ranges of its bytes and the text in their place. Ranges never overlap.
#[derive(Debug, Default)]
pub struct Edits(Vec<(Range<usize>, Cow<'static, str>)>);

impl Edits {
    /// Puts text in the place of these bytes.
    pub fn replace(&mut self, range: Range<usize>, text: impl Into<Cow<'static, str>>) {
        self.0.push((range, text.into()));
    }

    /// The body with the edits; the very same bytes where there are none.
    #[must_use]
    pub fn apply(mut self, body: &Bytes) -> Bytes {
        if self.0.is_empty() {
            return body.clone();
        }
        // Stable, so that what is inserted at the start of a cut stands before it.
        self.0.sort_by_key(|(range, _)| range.start);
        let mut output = Vec::with_capacity(body.len() + 64 * self.0.len());
        let mut copied = 0;
        for (range, text) in self.0 {
            output.extend_from_slice(body.get(copied..range.start).unwrap_or_default());
            output.extend_from_slice(text.as_bytes());
            copied = range.end;
        }
        output.extend_from_slice(body.get(copied..).unwrap_or_default());
        Bytes::from(output)
    }
}
