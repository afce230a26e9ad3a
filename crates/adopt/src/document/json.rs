//! JSON as editors write it: with comments and trailing commas.

use std::ops::Range;

use super::escape::unescape;
use super::{Entry, Fault, Node, Offsets, Scalar, Value};

/// Deeper than any configuration.
const DEEPEST: usize = 128;

/// Reads one document.
pub(super) fn parse(text: &str, begin: usize) -> Result<Node, Fault> {
    let mut reader = Reader { text, at: begin, depth: 0 };
    reader.blank()?;
    let node = reader.value()?;
    reader.blank()?;
    match reader.peek() {
        None => Ok(node),
        Some(_) => Err(reader.fault("text after the end of the document")),
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn advance(&mut self, by: usize) {
        self.at = self.at.saturating_add(by);
    }

    fn fault(&self, what: &'static str) -> Fault {
        Fault { at: self.at.min(self.text.len()), what }
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Skips white space and comments.
    fn blank(&mut self) -> Result<(), Fault> {
        loop {
            let rest = self.rest();
            let space = rest.len().saturating_sub(rest.trim_start().len());
            self.advance(space);
            let rest = self.rest();
            if rest.starts_with("//") {
                self.advance(rest.find('\n').unwrap_or(rest.len()));
            } else if rest.starts_with("/*") {
                let end = rest.find("*/").ok_or_else(|| self.fault("a comment without an end"))?;
                self.advance(end.saturating_add(2));
            } else {
                return Ok(());
            }
        }
    }

    fn value(&mut self) -> Result<Node, Fault> {
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => self.nested(Self::object)?,
            Some(b'[') => self.nested(Self::list)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') => self.word(),
            Some(_) => return Err(self.fault("a value must stand here")),
            None => return Err(self.fault("the document ends too early")),
        };
        Ok(Node { span: start..self.at, value })
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, Fault>) -> Result<Value, Fault> {
        if self.depth >= DEEPEST {
            return Err(self.fault("nested too deep"));
        }
        self.depth = self.depth.saturating_add(1);
        self.advance(1);
        let value = read(self)?;
        self.depth = self.depth.saturating_sub(1);
        Ok(value)
    }

    fn object(&mut self) -> Result<Value, Fault> {
        let mut entries = Vec::new();
        loop {
            self.blank()?;
            match self.peek() {
                Some(b'}') => break,
                Some(b'"') => entries.push(self.entry()?),
                _ => return Err(self.fault("a key in double quotes must stand here")),
            }
            self.blank()?;
            match self.peek() {
                Some(b',') => self.advance(1),
                Some(b'}') => break,
                _ => return Err(self.fault("`,` or `}` must stand here")),
            }
        }
        self.advance(1);
        Ok(Value::Map(entries))
    }

    fn entry(&mut self) -> Result<Entry, Fault> {
        let key = self.string()?;
        self.blank()?;
        if self.peek() != Some(b':') {
            return Err(self.fault("`:` must stand here"));
        }
        self.advance(1);
        self.blank()?;
        Ok(Entry { key: key.text().to_owned(), key_span: key.content(), node: self.value()? })
    }

    fn list(&mut self) -> Result<Value, Fault> {
        let mut items = Vec::new();
        loop {
            self.blank()?;
            if self.peek() == Some(b']') {
                break;
            }
            items.push(self.value()?);
            self.blank()?;
            match self.peek() {
                Some(b',') => self.advance(1),
                Some(b']') => break,
                _ => return Err(self.fault("`,` or `]` must stand here")),
            }
        }
        self.advance(1);
        Ok(Value::List(items))
    }

    fn string(&mut self) -> Result<Scalar, Fault> {
        let content = self.quoted()?;
        let raw = self.text.get(content.clone()).unwrap_or_default();
        if !raw.contains('\\') {
            return Ok(Scalar::plain(raw, content));
        }
        let (text, offsets) = unescape(raw)
            .ok_or(Fault { at: content.start, what: "an escape in this text is none of JSON's" })?;
        Ok(Scalar { text, content, offsets: Offsets::Each(offsets) })
    }

    /// The bytes between the quotes at which the reader stands.
    fn quoted(&mut self) -> Result<Range<usize>, Fault> {
        self.advance(1);
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.advance(2),
                Some(b'\n') | None => return Err(Fault { at: start, what: "a text without an end" }),
                Some(_) => self.advance(1),
            }
        }
        let end = self.at;
        self.advance(1);
        Ok(start..end)
    }

    fn word(&mut self) -> Value {
        let length = self.rest().bytes().take_while(|byte| !b",]} \t\r\n/".contains(byte)).count();
        self.advance(length);
        Value::Other
    }
}
