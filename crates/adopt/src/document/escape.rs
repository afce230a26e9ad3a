//! The escapes that JSON, TOML's basic strings and YAML's double-quoted scalars share.

use std::iter::Peekable;
use std::str::CharIndices;

use zeroize::Zeroizing;

/// Decodes what stands between quotes. The second part has, for each byte of the decoded text and for
/// its end, the byte of `raw` at which its character begins.
pub(super) fn unescape(raw: &str) -> Option<(Zeroizing<String>, Vec<usize>)> {
    let mut text = Zeroizing::new(String::with_capacity(raw.len()));
    let mut offsets = Vec::with_capacity(raw.len().saturating_add(1));
    let mut rest = raw.char_indices().peekable();
    while let Some((at, character)) = rest.next() {
        text.push(if character == '\\' { escape(&mut rest)? } else { character });
        offsets.resize(text.len(), at);
    }
    offsets.push(raw.len());
    Some((text, offsets))
}

type Rest<'r> = Peekable<CharIndices<'r>>;

fn escape(rest: &mut Rest<'_>) -> Option<char> {
    let (_, kind) = rest.next()?;
    Some(match kind {
        '"' | '\\' | '/' | '\'' | '`' => kind,
        '0' => '\0',
        'a' => '\u{7}',
        'b' => '\u{8}',
        'e' => '\u{1b}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        'x' => char::from_u32(number(rest, 2)?)?,
        'u' => unit(rest)?,
        'U' => char::from_u32(number(rest, 8)?)?,
        _ => return None,
    })
}

/// A UTF-16 unit, or a pair of surrogates (RFC 8259, section 7).
fn unit(rest: &mut Rest<'_>) -> Option<char> {
    let first = number(rest, 4)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first);
    }
    let follows = rest.next()?.1 == '\\' && rest.next()?.1 == 'u';
    let second = number(rest, 4)?;
    if !follows || !(0xdc00..0xe000).contains(&second) {
        return None;
    }
    let high = first.checked_sub(0xd800)?.checked_shl(10)?;
    char::from_u32(0x1_0000_u32.checked_add(high)?.checked_add(second.checked_sub(0xdc00)?)?)
}

fn number(rest: &mut Rest<'_>, digits: usize) -> Option<u32> {
    let mut value = 0_u32;
    for _ in 0..digits {
        value = value.checked_mul(16)?.checked_add(rest.next()?.1.to_digit(16)?)?;
    }
    Some(value)
}
