//! Takes one string out of a JSON document without leaving copies of it behind.
//!
//! `serde_json` decodes strings through a scratch buffer that nobody zeroes. So the document is parsed
//! with raw values, which only borrow from our own zeroed buffer, and the one wanted string is decoded
//! here, straight into a buffer that is zeroed too.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway_core::ports::{StoreError, StoreErrorKind};
use gateway_core::secret::Secret;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// The fields of a JSON object, undecoded.
pub(crate) type Fields<'a> = HashMap<String, &'a RawValue>;

/// Decodes the named field.
///
/// # Errors
/// `NotFound` where it is missing or null, `Malformed` where it is no string, `Empty` where it is `""`.
pub(crate) fn secret_field(fields: &Fields<'_>, name: &str) -> Result<Secret, StoreError> {
    let missing = || StoreError::new(StoreErrorKind::NotFound, format!("there is no field `{name}`"));
    let raw = *fields.get(name).ok_or_else(missing)?;
    if raw.get() == "null" {
        return Err(missing());
    }
    secret_value(raw, name)
}

/// Decodes a string; `name` is what it is called where it is refused.
///
/// # Errors
/// `Malformed` where it is no string, `Empty` where it is `""`.
pub(crate) fn secret_value(raw: &RawValue, name: &str) -> Result<Secret, StoreError> {
    filled(text_of(raw, name)?, name)
}

/// Decodes a string of base64 (RFC 4648, section 4) to the bytes that it stands for.
///
/// # Errors
/// As [`secret_value`], and `Malformed` where it is no base64.
pub(crate) fn secret_base64(raw: &RawValue, name: &str) -> Result<Secret, StoreError> {
    filled(base64_bytes(raw, name)?, name)
}

/// The same, and the result may be empty.
///
/// # Errors
/// `Malformed` where it is no string of base64.
pub(crate) fn base64_bytes(raw: &RawValue, name: &str) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let text = text_of(raw, name)?;
    // As long as the text, which is longer than what it stands for, so that the buffer never moves.
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    STANDARD.decode_vec(&*text, &mut bytes).map_err(|_| {
        StoreError::new(StoreErrorKind::Malformed, format!("the field `{name}` is not base64"))
    })?;
    Ok(bytes)
}

/// The whole of the bytes, or the field of the JSON object that they are the text of.
///
/// # Errors
/// `Empty` where nothing is there; as [`secret_field`], and `Malformed` where they are no JSON object.
pub(crate) fn secret_within(
    bytes: Zeroizing<Vec<u8>>,
    name: &str,
    field: Option<&str>,
) -> Result<Secret, StoreError> {
    let Some(field) = field else { return filled(bytes, name) };
    let fields: Fields<'_> = serde_json::from_slice(&bytes).map_err(|_| {
        StoreError::new(StoreErrorKind::Malformed, "a field is asked of a value that is no JSON object")
    })?;
    secret_field(&fields, field)
}

/// Decodes a string that is itself the text of a JSON object, and takes the field out of that.
///
/// # Errors
/// As [`secret_field`], and `Malformed` where the string is no JSON object.
pub(crate) fn secret_member(raw: &RawValue, name: &str, field: &str) -> Result<Secret, StoreError> {
    secret_within(text_of(raw, name)?, name, Some(field))
}

fn text_of(raw: &RawValue, name: &str) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let quoted = raw.get().strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
    quoted.and_then(decode).ok_or_else(|| {
        StoreError::new(StoreErrorKind::Malformed, format!("the field `{name}` is not a string"))
    })
}

fn filled(mut bytes: Zeroizing<Vec<u8>>, name: &str) -> Result<Secret, StoreError> {
    if bytes.is_empty() {
        return Err(StoreError::new(StoreErrorKind::Empty, format!("the field `{name}` is empty")));
    }
    Ok(Secret::new(std::mem::take(&mut *bytes)))
}

/// Appends the text as a JSON string (RFC 8259, section 7). The caller's buffer has room for six bytes for
/// each of the text's, and two more, so that it never moves.
pub(crate) fn append_quoted(buffer: &mut Vec<u8>, text: &str) {
    buffer.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => buffer.extend_from_slice(&[b'\\', byte]),
            0..=0x1f => {
                let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
                buffer.extend_from_slice(b"\\u00");
                buffer.extend_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
            }
            plain => buffer.push(plain),
        }
    }
    buffer.push(b'"');
}

/// Decodes the inside of a JSON string (RFC 8259, section 7). A lone surrogate has no UTF-8 form.
fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    // Decoding never lengthens, so the buffer never moves.
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some((plain, tail)) = rest.split_once('\\') {
        decoded.extend_from_slice(plain.as_bytes());
        let mut tail = tail.chars();
        let c = match tail.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let (c, after) = unicode(tail.as_str())?;
                tail = after.chars();
                c
            }
            c @ ('"' | '\\' | '/') => c,
            _ => return None,
        };
        decoded.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        rest = tail.as_str();
    }
    decoded.extend_from_slice(rest.as_bytes());
    Some(decoded)
}

/// One `\u` escape, or a pair of them, after its `\u`.
fn unicode(text: &str) -> Option<(char, &str)> {
    let (high, rest) = four(text)?;
    if let Some(c) = char::from_u32(high) {
        return Some((c, rest));
    }
    let (low, rest) = four(rest.strip_prefix("\\u")?)?;
    let pair = [u16::try_from(high).ok()?, u16::try_from(low).ok()?];
    let c = char::decode_utf16(pair).next()?.ok()?;
    Some((c, rest))
}

fn four(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| hexadecimal).map(|value| (value, rest))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "the test compares what was decoded")]
    use proptest::prelude::*;

    use super::*;

    fn field(document: &str) -> Result<Secret, StoreErrorKind> {
        let fields: Fields<'_> = serde_json::from_str(document).unwrap();
        secret_field(&fields, "a").map_err(|error| error.kind)
    }

    #[test]
    fn refuses_what_is_no_text() {
        let cases = [
            (r#"{"b":"x"}"#, StoreErrorKind::NotFound),
            (r#"{"a":null}"#, StoreErrorKind::NotFound),
            (r#"{"a":7}"#, StoreErrorKind::Malformed),
            (r#"{"a":{"a":"x"}}"#, StoreErrorKind::Malformed),
            (r#"{"a":"\ud800"}"#, StoreErrorKind::Malformed),
            (r#"{"a":"\ud800\u0041"}"#, StoreErrorKind::Malformed),
            (r#"{"a":""}"#, StoreErrorKind::Empty),
        ];
        for (document, kind) in cases {
            assert_eq!(field(document).unwrap_err(), kind, "{document}");
        }
    }

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn decodes_base64_and_refuses_what_is_none() {
        let kind = |text: &str| secret_base64(&raw(text), "a").map_err(|error| error.kind);
        assert_eq!(kind(r#""/wD+gAp4""#).unwrap().expose(), [0xff, 0, 0xfe, 0x80, b'\n', b'x']);
        assert_eq!(kind(r#""eA==""#).unwrap().expose(), b"x");
        for text in [r#""eA""#, r#""e A==""#, r#""_w==""#, "7", "null"] {
            assert_eq!(kind(text).unwrap_err(), StoreErrorKind::Malformed, "{text}");
        }
        assert_eq!(kind(r#""""#).unwrap_err(), StoreErrorKind::Empty);
    }

    #[test]
    fn takes_a_field_out_of_a_document_in_a_string() {
        let member = |text: &str| secret_member(&raw(text), "v", "a").map_err(|error| error.kind);
        assert_eq!(member(r#""{\"a\":\"q\\\"é\"}""#).unwrap().expose(), "q\"é".as_bytes());
        assert_eq!(member(r#""{\"b\":\"x\"}""#).unwrap_err(), StoreErrorKind::NotFound);
        assert_eq!(member(r#""{\"a\":\"\"}""#).unwrap_err(), StoreErrorKind::Empty);
        for text in [r#""plain""#, r#""[1]""#, r#""""#, r#""{\"a\":1}""#, "{}"] {
            assert_eq!(member(text).unwrap_err(), StoreErrorKind::Malformed, "{text}");
        }
    }

    #[test]
    fn decodes_every_escape() {
        let secret = field(r#"{"a":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z"}"#).unwrap();
        assert_eq!(secret.expose(), "\"\\/\u{8}\u{c}\n\r\té😀z".as_bytes());
    }

    proptest! {
        #[test]
        fn quotes_what_serde_json_reads_back(text in "\\PC{0,40}[\\x00-\\x7f]{0,20}") {
            let mut quoted = Vec::new();
            append_quoted(&mut quoted, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&quoted).unwrap(), text);
        }

        #[test]
        fn agrees_with_serde_json(text in ".{1,60}") {
            let document = serde_json::json!({ "a": text }).to_string();
            let secret = field(&document).unwrap();
            prop_assert_eq!(secret.expose(), text.as_bytes());
        }
    }
}
