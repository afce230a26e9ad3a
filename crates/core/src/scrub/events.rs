//! Where server-sent events end (WHATWG HTML, section 9.2.6): at a blank line.

use memchr::memchr2;

/// Follows the lines of an event stream across chunks.
pub(super) struct EventEnds {
    /// Nothing of the current line has arrived.
    blank: bool,
    /// The last byte was CR, so that LF would belong to the same line end.
    after_cr: bool,
}

impl EventEnds {
    /// At the beginning of a stream.
    pub(super) fn new() -> Self {
        Self { blank: true, after_cr: false }
    }

    /// How many bytes of `chunk` belong to the current event, if it ends in `chunk`. The caller goes
    /// on with the rest.
    pub(super) fn next(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut cursor = 0;
        loop {
            let rest = chunk.get(cursor..).unwrap_or_default();
            let Some(content) = memchr2(b'\n', b'\r', rest) else {
                if !rest.is_empty() {
                    (self.blank, self.after_cr) = (false, false);
                }
                return None;
            };
            if content > 0 {
                (self.blank, self.after_cr) = (false, false);
            }
            let is_cr = rest.get(content) == Some(&b'\r');
            cursor += content + 1;
            if self.after_cr && !is_cr {
                self.after_cr = false;
                continue;
            }
            let ended = self.blank;
            (self.blank, self.after_cr) = (true, is_cr);
            if ended {
                return Some(cursor);
            }
        }
    }
}
