//! A file's text with byte offsets kept, and lines and columns for people.

use zeroize::Zeroizing;

use crate::finding::Position;

/// Text in which every byte stands where it stands in the file.
pub(crate) struct Text {
    text: Zeroizing<String>,
    starts: Vec<usize>,
}

/// Why a file's bytes are not looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unreadable {
    /// A NUL byte near the beginning.
    Binary,
    /// A byte order mark of UTF-16 or UTF-32.
    Wide,
}

const MARK: char = '\u{feff}';

impl Text {
    /// Reads bytes as text. A byte that is no UTF-8 becomes one substitute character of one byte, so that
    /// offsets stay true; `true` says that there was one.
    pub(crate) fn read(bytes: &[u8]) -> Result<(Self, bool), Unreadable> {
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            return Err(Unreadable::Wide);
        }
        if bytes.iter().take(8_192).any(|byte| *byte == 0) {
            return Err(Unreadable::Binary);
        }
        let mut text = Zeroizing::new(String::with_capacity(bytes.len()));
        let mut substituted = false;
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            for _ in chunk.invalid() {
                text.push('\u{1a}');
                substituted = true;
            }
        }
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(breaks.map(|(at, _)| at.saturating_add(1))).collect();
        Ok((Self { text, starts }, substituted))
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Line and column of a byte offset, both from 1; columns count characters.
    pub(crate) fn position(&self, at: usize) -> Position {
        let line = self.starts.partition_point(|start| *start <= at).max(1);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..at).unwrap_or_default();
        let marks = usize::from(line == 1 && before.starts_with(MARK));
        let column = before.chars().count().saturating_sub(marks).saturating_add(1);
        Position { line, column }
    }

    /// Where the text begins, behind a byte order mark.
    pub(crate) fn begin(&self) -> usize {
        if self.text.starts_with(MARK) { MARK.len_utf8() } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_and_leave_out_the_byte_order_mark() {
        let (text, _) = Text::read("\u{feff}añb\r\ncd".as_bytes()).unwrap();
        let at = |found: &str| {
            let position = text.position(text.as_str().find(found).unwrap());
            (position.line, position.column)
        };
        assert_eq!((at("a"), at("b"), at("c"), at("d")), ((1, 1), (1, 3), (2, 1), (2, 2)));
        assert_eq!(text.begin(), 3);
    }

    #[test]
    fn bytes_that_are_no_text_keep_every_offset() {
        let (text, substituted) = Text::read(b"a\xff\xfeKEY=1").unwrap();
        assert!(substituted);
        assert_eq!(text.as_str().find("KEY"), Some(3));
    }

    #[test]
    fn binary_and_wide_files_are_told_apart() {
        assert_eq!(Text::read(b"a\0b").err(), Some(Unreadable::Binary));
        assert_eq!(Text::read(b"\xff\xfea\0").err(), Some(Unreadable::Wide));
        assert!(Text::read(b"").is_ok());
    }
}
