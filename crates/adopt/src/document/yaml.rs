//! YAML, from the events of the parser that reads the gateway's own files.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::{Entry, Fault, Node, Scalar, Value};

/// Reads every document of the text.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, Fault> {
    let mut builder = Builder { text, open: Vec::new(), documents: Vec::new() };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Fault {
            at: error.marker().byte_offset().unwrap_or(0).min(text.len()),
            what: "this is not YAML",
        })?;
        builder.take(event, &span);
    }
    Ok(builder.documents)
}

struct Builder<'t> {
    text: &'t str,
    open: Vec<Open>,
    documents: Vec<Node>,
}

/// A collection whose end has not come.
enum Open {
    List(usize, Vec<Node>),
    Map { start: usize, entries: Vec<Entry>, key: Option<(String, Range<usize>)> },
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: &Span) {
        let bytes = span.byte_range().unwrap_or(0..0);
        match event {
            Event::SequenceStart(..) => self.open.push(Open::List(bytes.start, Vec::new())),
            Event::MappingStart(..) => {
                self.open.push(Open::Map { start: bytes.start, entries: Vec::new(), key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(bytes.end),
            Event::Scalar(text, style, ..) => {
                let content = self.inside(bytes.clone(), style);
                let raw = self.text.get(content.clone()).unwrap_or_default();
                let scalar = if style == ScalarStyle::SingleQuoted && raw.contains("''") {
                    // A doubled quote is the only escape; texts with one are replaced as a whole.
                    Scalar::decoded(&text, "", content)
                } else {
                    Scalar::decoded(&text, raw, content)
                };
                self.add(Node { span: bytes, value: Value::Text(scalar) });
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.add(Node { span: bytes, value: Value::Other });
            }
            _ => {}
        }
    }

    fn inside(&self, bytes: Range<usize>, style: ScalarStyle) -> Range<usize> {
        let raw = self.text.get(bytes.clone()).unwrap_or_default();
        let quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
        if quoted && raw.len() >= 2 && raw.starts_with(['\'', '"']) {
            return bytes.start.saturating_add(1)..bytes.end.saturating_sub(1);
        }
        let kept = if style == ScalarStyle::Plain { raw.trim_end().len() } else { raw.len() };
        bytes.start..bytes.start.saturating_add(kept)
    }

    fn close(&mut self, end: usize) {
        let node = match self.open.pop() {
            Some(Open::List(start, items)) => Node { span: start..end, value: Value::List(items) },
            Some(Open::Map { start, entries, .. }) => Node { span: start..end, value: Value::Map(entries) },
            None => return,
        };
        self.add(node);
    }

    fn add(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.documents.push(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                Some((name, key_span)) => entries.push(Entry { key: name, key_span, node }),
                None => {
                    let name = node.text().unwrap_or_default().to_owned();
                    let span = node.scalar().map_or_else(|| node.span.clone(), Scalar::content);
                    *key = Some((name, span));
                }
            },
        }
    }
}
