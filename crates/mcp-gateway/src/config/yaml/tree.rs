//! A document as a tree in which every node and every key knows its place.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Error, MergeKeyPolicy, NonFiniteFloatPolicy, Spanned};

use crate::config::issue::{Findings, IssueCode, Place};

/// A value and its place. No `Debug`: it may hold what should not be printed.
pub(in crate::config) struct Node {
    pub(in crate::config) place: Place,
    pub(in crate::config) value: Value,
}

/// What a node holds.
pub(in crate::config) enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key, its place, and what it leads to.
pub(in crate::config) struct Entry {
    pub(in crate::config) key: String,
    pub(in crate::config) place: Place,
    pub(in crate::config) value: Node,
}

impl Node {
    /// The entry under the key, where this is a mapping that has it.
    pub(in crate::config) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The node under the key.
    pub(in crate::config) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entries, where this is a mapping.
    pub(in crate::config) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items, where this is a list.
    pub(in crate::config) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The text, where this is text.
    pub(in crate::config) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The place of what the path (`auth.approle.role_id`, `paths[0].prefix`) leads to, or of the last
    /// node on the way that is there.
    pub(in crate::config) fn place_of(&self, path: &str) -> Place {
        let mut node = self;
        for step in path.split(['.', '[']) {
            let next = match step.strip_suffix(']') {
                Some(index) => index.parse().ok().and_then(|index: usize| node.items().get(index)),
                None => node.get(step),
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node.place
    }

    /// Calls for this node and every node below it.
    pub(in crate::config) fn visit(&self, look: &mut impl FnMut(&Self)) {
        look(self);
        self.items().iter().for_each(|item| item.visit(look));
        self.entries().iter().for_each(|entry| entry.value.visit(look));
    }
}

impl Value {
    /// The word for its type.
    pub(in crate::config) const fn type_word(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Unsigned(_) | Self::Negative(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// The documents of the text, in order; those after a mistake in the syntax cannot be told.
pub(in crate::config) fn documents(text: &str, findings: &mut Findings) -> Vec<Node> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: true,
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        reject_unsupported_tags: true,
    };
    let mut bytes = text.as_bytes();
    let mut found = Vec::new();
    for document in serde_saphyr::read_with_options::<_, Node>(&mut bytes, options) {
        match document {
            Ok(node) => found.push(node),
            Err(error) => report(&error, findings),
        }
    }
    found
}

fn report(error: &Error, findings: &mut Findings) {
    let place = error.location().map(|at| Place { line: at.line(), column: at.column() }).unwrap_or_default();
    // Only texts that the parser fixed when it was written; others may quote the file.
    match error.without_snippet() {
        Error::DuplicateMappingKey { .. } => {
            findings.add(place, IssueCode::DuplicateKey, "this key stands twice in the mapping");
        }
        Error::ExternalMessage { msg, .. } => {
            findings.add(place, IssueCode::Yaml, format!("not YAML: {msg}"));
        }
        Error::UnknownAnchor { .. } => {
            findings
                .add(place, IssueCode::Yaml, "the alias names no anchor")
                .hint("put text with `*` in quotes");
        }
        Error::MergeKeyNotAllowed { .. } => {
            findings
                .add(place, IssueCode::Yaml, "merge keys (`<<`) are not taken")
                .hint("write the fields out");
        }
        Error::Budget { .. } => {
            findings.add(place, IssueCode::Yaml, "the document is too large or too deep");
        }
        Error::InvalidUtf8Input | Error::IOError { .. } => {
            findings.add(place, IssueCode::Yaml, "the text is not UTF-8");
        }
        _ => {
            findings
                .add(place, IssueCode::Yaml, "this part of YAML is not taken here")
                .hint("plain mappings, lists and scalars without tags do");
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let at = spanned.referenced;
        Ok(Self { place: Place { line: at.line(), column: at.column() }, value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Whatever)
    }
}

struct Whatever;

impl<'de> Visitor<'de> for Whatever {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(u64::try_from(value).map_or(Value::Negative(value), Value::Unsigned))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(Node { place, value }) = access.next_key()? {
            let key = match value {
                Value::Text(text) => text,
                Value::Unsigned(number) => number.to_string(),
                Value::Negative(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
                _ => return Err(A::Error::custom("a key must be text")),
            };
            entries.push(Entry { key, place, value: access.next_value()? });
        }
        Ok(Value::Map(entries))
    }
}
