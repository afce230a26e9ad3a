//! Writers of every listed encoding, independent of the product's decoders.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// A reproducible stream of choices: one small number per call.
pub(super) struct Choices(u64);

impl Choices {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// JSON string content as an arbitrary writer might produce it.
pub(super) fn json(text: &str, choices: &mut Choices) -> String {
    let mut out = String::new();
    for character in text.chars() {
        let short = match character {
            '"' => Some("\\\""),
            '\\' => Some("\\\\"),
            '/' => Some("\\/"),
            '\n' => Some("\\n"),
            '\r' => Some("\\r"),
            '\t' => Some("\\t"),
            '\u{8}' => Some("\\b"),
            '\u{c}' => Some("\\f"),
            _ => None,
        };
        let must = matches!(character, '"' | '\\') || character < ' ';
        match (choices.below(4), short) {
            (0, _) => unicode(character, choices, &mut out),
            (1 | 2, Some(short)) => out.push_str(short),
            (_, _) if must => out.push_str(short.unwrap_or(&format!("\\u{:04x}", character as u32))),
            _ => out.push(character),
        }
    }
    out
}

fn unicode(character: char, choices: &mut Choices, out: &mut String) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        let lower = format!("{unit:04x}");
        out.push_str("\\u");
        out.extend(lower.chars().map(
            |digit| {
                if choices.below(2) == 0 { digit } else { digit.to_ascii_uppercase() }
            },
        ));
    }
}

/// Percent-encoding with any mix of encoded and plain bytes; `%` and non-ASCII are always encoded.
pub(super) fn percent(text: &str, choices: &mut Choices) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match choices.below(3) {
            1 if byte != b'%' && byte.is_ascii_graphic() => out.push(byte as char),
            0 => out.push_str(&format!("%{byte:02x}")),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `application/x-www-form-urlencoded`.
pub(super) fn form(text: &str, choices: &mut Choices) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            _ if byte.is_ascii_alphanumeric() => out.push(byte as char),
            _ => out.push_str(&percent(&(byte as char).to_string(), choices)),
        }
    }
    out
}

/// Hex in mixed case.
pub(super) fn hex(bytes: &[u8], choices: &mut Choices) -> String {
    let mixed = |digit: char| if choices.below(2) == 0 { digit } else { digit.to_ascii_uppercase() };
    hex::encode(bytes).chars().map(mixed).collect()
}

/// One of the four base64 dialects.
pub(super) fn base64(bytes: &[u8], choices: &mut Choices) -> String {
    match choices.below(4) {
        0 => STANDARD.encode(bytes),
        1 => STANDARD_NO_PAD.encode(bytes),
        2 => URL_SAFE.encode(bytes),
        _ => URL_SAFE_NO_PAD.encode(bytes),
    }
}

/// Number of encodings that [`encode`] knows.
pub(super) const KINDS: usize = 12;

/// The value in encoding `kind`.
pub(super) fn encode(kind: usize, value: &str, choices: &mut Choices) -> String {
    let bytes = value.as_bytes();
    match kind {
        0 => value.to_owned(),
        1 => json(value, choices),
        2 => json(&json(value, choices), choices),
        3 => percent(value, choices),
        4 => json(&percent(value, choices), choices),
        5 => json(&json(&percent(value, choices), choices), choices),
        6 => hex(bytes, choices),
        7 => base64(bytes, choices),
        8 => json(&base64(bytes, choices), choices),
        9 => percent(&base64(bytes, choices), choices),
        10 => json(&hex(bytes, choices), choices),
        _ => json(&json(&base64(bytes, choices), choices), choices),
    }
}
