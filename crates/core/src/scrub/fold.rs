//! The decoders: what one escape stands for, read from the front of a byte slice.

use memchr::{memchr, memchr2};

/// A way to write bytes as escapes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    /// JSON string escapes (RFC 8259, section 7).
    Json,
    /// Percent-encoding (RFC 3986, section 2.1).
    Percent,
    /// Percent-encoding in which `+` is a space (`application/x-www-form-urlencoded`).
    Form,
}

/// What stands at the front of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// No escape: the first byte stands for itself.
    Literal,
    /// An escape of `taken` input bytes.
    Unit {
        /// Length of the escape.
        taken: usize,
        /// What it stands for.
        bytes: Decoded,
    },
    /// An escape so far, but the input ends within it.
    Incomplete,
}

/// One to four decoded bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    bytes: [u8; 4],
    length: usize,
}

impl Decoded {
    fn byte(byte: u8) -> Self {
        Self { bytes: [byte, 0, 0, 0], length: 1 }
    }

    fn character(character: char) -> Self {
        let mut bytes = [0; 4];
        let length = character.encode_utf8(&mut bytes).len();
        Self { bytes, length }
    }

    /// The bytes.
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Fold {
    /// Where the next byte is that may begin an escape.
    pub(super) fn find(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Json => memchr(b'\\', bytes),
            Self::Percent => memchr(b'%', bytes),
            Self::Form => memchr2(b'%', b'+', bytes),
        }
    }

    /// Reads what stands at the front of `bytes`, at a place that [`Fold::find`] gave.
    pub(super) fn read(self, bytes: &[u8]) -> Piece {
        match (self, bytes) {
            (Self::Json, _) => read_json(bytes),
            (Self::Form, [b'+', ..]) => Piece::Unit { taken: 1, bytes: Decoded::byte(b' ') },
            (Self::Percent | Self::Form, _) => read_percent(bytes),
        }
    }
}

fn read_percent(bytes: &[u8]) -> Piece {
    match bytes {
        [b'%', high, low, ..] => match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => Piece::Unit { taken: 3, bytes: Decoded::byte(high << 4 | low) },
            _ => Piece::Literal,
        },
        [b'%'] => Piece::Incomplete,
        [b'%', high] if high.is_ascii_hexdigit() => Piece::Incomplete,
        _ => Piece::Literal,
    }
}

fn read_json(bytes: &[u8]) -> Piece {
    let byte = match bytes {
        [b'\\'] => return Piece::Incomplete,
        [b'\\', b'u', rest @ ..] => return read_json_unicode(rest),
        [b'\\', byte @ (b'"' | b'\\' | b'/'), ..] => *byte,
        [b'\\', b'b', ..] => 0x08,
        [b'\\', b'f', ..] => 0x0c,
        [b'\\', b'n', ..] => b'\n',
        [b'\\', b'r', ..] => b'\r',
        [b'\\', b't', ..] => b'\t',
        _ => return Piece::Literal,
    };
    Piece::Unit { taken: 2, bytes: Decoded::byte(byte) }
}

/// Reads what follows `\u`: four hex digits, and for a high surrogate its partner's escape.
fn read_json_unicode(rest: &[u8]) -> Piece {
    let high = match read_hex4(rest) {
        Hex4::Value(value) => value,
        Hex4::Bad => return Piece::Literal,
        Hex4::Short => return Piece::Incomplete,
    };
    if let Some(character) = char::from_u32(high) {
        return Piece::Unit { taken: 6, bytes: Decoded::character(character) };
    }
    let lone = Piece::Unit { taken: 6, bytes: Decoded::character(char::REPLACEMENT_CHARACTER) };
    if !(0xd800..0xdc00).contains(&high) {
        return lone;
    }
    let low = match rest.get(4..).unwrap_or_default() {
        [] | [b'\\'] => return Piece::Incomplete,
        [b'\\', b'u', digits @ ..] => match read_hex4(digits) {
            Hex4::Value(value) => value,
            Hex4::Bad => return lone,
            Hex4::Short => return Piece::Incomplete,
        },
        _ => return lone,
    };
    if !(0xdc00..0xe000).contains(&low) {
        return lone;
    }
    let joined = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    let character = char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER);
    Piece::Unit { taken: 12, bytes: Decoded::character(character) }
}

enum Hex4 {
    Value(u32),
    Bad,
    Short,
}

fn read_hex4(bytes: &[u8]) -> Hex4 {
    let mut value = 0;
    for place in 0..4 {
        match bytes.get(place).map(|byte| digit(*byte)) {
            Some(Some(digit)) => value = value << 4 | u32::from(digit),
            Some(None) => return Hex4::Bad,
            None => return Hex4::Short,
        }
    }
    Hex4::Value(value)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
