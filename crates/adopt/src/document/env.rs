//! `.env` files: `NAME=value` lines, with `export`, quotes and comments as shells and dotenv readers
//! take them.

use super::escape::unescape;
use super::{Entry, Node, Offsets, Scalar, Value};

/// Reads every assignment; what is none is skipped, because readers skip it too.
pub(super) fn parse(text: &str, begin: usize) -> Node {
    let mut entries = Vec::new();
    let mut at = begin;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let line = rest.find('\n').map_or(rest.len(), |end| end.saturating_add(1));
        let mut next = at.saturating_add(line);
        if let Some((entry, end)) = assignment(text, at, next) {
            next = next.max(end);
            entries.push(entry);
        }
        at = next;
    }
    Node { span: begin..text.len(), value: Value::Map(entries) }
}

/// The assignment on the line from `start` to `end`, and where it ends.
fn assignment(text: &str, start: usize, end: usize) -> Option<(Entry, usize)> {
    let line = text.get(start..end)?;
    let (left, right) = line.split_once('=')?;
    let name = left.trim();
    let name = name.strip_prefix("export ").or_else(|| name.strip_prefix("set ")).unwrap_or(name).trim();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if name.is_empty() || !name.bytes().all(plain) {
        return None;
    }
    let name_at = start.saturating_add(left.find(name)?);
    let skipped = right.len().saturating_sub(right.trim_start_matches([' ', '\t']).len());
    let value_at = start.saturating_add(left.len()).saturating_add(1).saturating_add(skipped);
    let (scalar, stop) = value(text, value_at, end)?;
    let node = Node { span: scalar.content(), value: Value::Text(scalar) };
    let key_span = name_at..name_at.saturating_add(name.len());
    Some((Entry { key: name.to_owned(), key_span, node }, stop))
}

/// The value at `at`, on a line that ends at `end`; quoted ones may go on over further lines.
fn value(text: &str, at: usize, end: usize) -> Option<(Scalar, usize)> {
    let rest = text.get(at..)?;
    if let Some(quote) = rest.chars().next().filter(|first| matches!(first, '"' | '\'' | '`')) {
        let start = at.saturating_add(1);
        if let Some(length) = closing(text.get(start..)?, quote) {
            let content = start..start.saturating_add(length);
            let raw = text.get(content.clone())?;
            let stop = content.end.saturating_add(1);
            let escaped = (quote == '"' && raw.contains('\\')).then(|| unescape(raw)).flatten();
            let scalar = match escaped {
                Some((text, offsets)) => Scalar { text, content, offsets: Offsets::Each(offsets) },
                None => Scalar::plain(raw, content),
            };
            return Some((scalar, stop));
        }
    }
    let line = text.get(at..end)?;
    let comment = line.find(" #").or_else(|| line.find("\t#")).unwrap_or(line.len());
    let raw = line.get(..comment)?.trim_end();
    Some((Scalar::plain(raw, at..at.saturating_add(raw.len())), end))
}

/// How many bytes stand before the closing quote. Only double quotes can be escaped.
fn closing(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in rest.char_indices() {
        if escaped {
            escaped = false;
        } else if character == '\\' && quote == '"' {
            escaped = true;
        } else if character == quote {
            return Some(at);
        }
    }
    None
}
