//! TOML, by the `toml` crate's own parser with spans.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Entry, Fault, Node, Scalar, Value};

/// Reads one document.
pub(super) fn parse(text: &str, begin: usize) -> Result<Node, Fault> {
    let body = text.get(begin..).unwrap_or_default();
    let reader = Reader { body, begin };
    match DeTable::parse(body) {
        Ok(table) => Ok(reader.table(table.get_ref(), table.span())),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            Err(Fault { at: begin.saturating_add(at), what: "this is not TOML" })
        }
    }
}

struct Reader<'t> {
    body: &'t str,
    begin: usize,
}

impl Reader<'_> {
    fn shifted(&self, span: &Range<usize>) -> Range<usize> {
        self.begin.saturating_add(span.start)..self.begin.saturating_add(span.end)
    }

    fn table(&self, table: &DeTable<'_>, span: Range<usize>) -> Node {
        let entries = table.iter().map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_span: self.shifted(&inside(self.body, key.span())),
            node: self.node(value),
        });
        Node { span: self.shifted(&span), value: Value::Map(entries.collect()) }
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let span = value.span();
        let inner = match value.get_ref() {
            DeValue::Table(table) => return self.table(table, span),
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.node(item)).collect()),
            DeValue::String(text) => {
                let content = inside(self.body, span.clone());
                let raw = self.body.get(content.clone()).unwrap_or_default();
                Value::Text(Scalar::decoded(text, raw, self.shifted(&content)))
            }
            _ => Value::Other,
        };
        Node { span: self.shifted(&span), value: inner }
    }
}

/// What stands between the quotes of a token; the token itself where it has none.
fn inside(body: &str, span: Range<usize>) -> Range<usize> {
    let token = body.get(span.clone()).unwrap_or_default();
    for quote in ["\"\"\"", "'''", "\"", "'"] {
        let inner = token.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner {
            let mut start = span.start.saturating_add(quote.len());
            // A line break right behind the opening quotes is no part of a multi-line text.
            if quote.len() == 3 {
                let skipped = inner.strip_prefix("\r\n").or_else(|| inner.strip_prefix('\n'));
                start =
                    start.saturating_add(skipped.map_or(0, |kept| inner.len().saturating_sub(kept.len())));
            }
            return start..span.end.saturating_sub(quote.len());
        }
    }
    span
}
