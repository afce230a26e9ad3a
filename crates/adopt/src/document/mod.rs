//! Structured files as trees in which every value knows its bytes, whatever the syntax.

mod env;
mod escape;
mod json;
mod toml;
mod yaml;

use std::ops::Range;

use zeroize::Zeroizing;

/// A value and the bytes it was written with, quotes included.
pub(crate) struct Node {
    pub(crate) span: Range<usize>,
    pub(crate) value: Value,
}

/// What a node holds. No `Debug`: it may hold what must not be printed.
pub(crate) enum Value {
    Text(Scalar),
    /// A number, a truth value, nothing, an alias: never a key.
    Other,
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and what it leads to.
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Range<usize>,
    pub(crate) node: Node,
}

/// A text, decoded, and the way back to the bytes of the file.
pub(crate) struct Scalar {
    text: Zeroizing<String>,
    /// The bytes between the quotes.
    content: Range<usize>,
    offsets: Offsets,
}

enum Offsets {
    /// Written as it is.
    Same,
    /// For each decoded byte, and for the end, the byte of the content at which it begins.
    Each(Vec<usize>),
    /// Folded, or written in a way that cannot be mapped.
    Unknown,
}

/// Where a document breaks its syntax, and in which fixed words: never with a piece of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) at: usize,
    pub(crate) what: &'static str,
}

/// A syntax that is read as a tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Syntax {
    /// JSON with comments and trailing commas.
    Json,
    Toml,
    Yaml,
    /// `NAME=value` lines.
    Env,
}

impl Syntax {
    /// By the file's name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        if name.starts_with(".env") || name.ends_with(".env") {
            return Some(Self::Env);
        }
        Some(match name.rsplit_once('.')?.1 {
            "json" | "jsonc" | "json5" | "code-workspace" | "webmanifest" => Self::Json,
            "toml" => Self::Toml,
            "yaml" | "yml" => Self::Yaml,
            _ => return None,
        })
    }

    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Toml => "TOML",
            Self::Yaml => "YAML",
            Self::Env => "an .env file",
        }
    }

    /// Reads the documents of a text. `begin` is where it starts, behind a byte order mark.
    pub(crate) fn parse(self, text: &str, begin: usize) -> Result<Vec<Node>, Fault> {
        match self {
            Self::Json => json::parse(text, begin).map(|node| vec![node]),
            Self::Toml => toml::parse(text, begin).map(|node| vec![node]),
            Self::Yaml => yaml::parse(text),
            Self::Env => Ok(vec![env::parse(text, begin)]),
        }
    }
}

impl Node {
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Text(scalar) => Some(scalar),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        self.scalar().map(Scalar::text)
    }
}

impl Scalar {
    /// A text that stands in the file as it is.
    pub(crate) fn plain(text: &str, content: Range<usize>) -> Self {
        Self { text: Zeroizing::new(text.to_owned()), content, offsets: Offsets::Same }
    }

    /// A text with a known meaning, written as `raw` at `content`: the way back is found where the
    /// escapes of JSON, TOML and YAML explain the difference.
    pub(crate) fn decoded(text: &str, raw: &str, content: Range<usize>) -> Self {
        if raw == text {
            return Self::plain(text, content);
        }
        let offsets = match escape::unescape(raw) {
            Some((decoded, offsets)) if *decoded == text => Offsets::Each(offsets),
            _ => Offsets::Unknown,
        };
        Self { text: Zeroizing::new(text.to_owned()), content, offsets }
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of the file for a part of the text, and whether they are that part exactly.
    pub(crate) fn span_of(&self, part: &Range<usize>) -> (Range<usize>, bool) {
        let (start, end) = match &self.offsets {
            Offsets::Same => (Some(part.start), Some(part.end)),
            Offsets::Each(offsets) => (offsets.get(part.start).copied(), offsets.get(part.end).copied()),
            Offsets::Unknown => (None, None),
        };
        match (start, end) {
            (Some(start), Some(end)) => {
                let shifted = |at: usize| self.content.start.saturating_add(at);
                (shifted(start)..shifted(end), true)
            }
            _ => (self.content.clone(), *part == (0..self.text.len())),
        }
    }

    /// The bytes between the quotes.
    pub(crate) fn content(&self) -> Range<usize> {
        self.content.clone()
    }
}

#[cfg(test)]
mod tests;
