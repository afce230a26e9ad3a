//! Why a type cannot be read from a node. Holds no value of the file, only names of ours and the
//! place; texts of others are cleaned of what they quote.

use std::fmt;

use serde::de;

use super::tree::{Entry, Node, Value};
use crate::config::issue::Place;

/// One fault.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) what: What,
    /// Where; set by the innermost reader that knows.
    pub(super) place: Option<Place>,
    /// The keys of the entries around it, from the inside out.
    pub(super) trail: Vec<Place>,
    /// Whether it only follows from entries that were left out for their own faults.
    pub(super) follows: bool,
}

/// What is wrong.
#[derive(Debug)]
pub(super) enum What {
    UnknownField { field: String, known: &'static [&'static str] },
    MissingField(&'static str),
    WrongType { expected: String, found: &'static str },
    WrongValue { expected: String },
    UnknownWord { word: String, known: &'static [&'static str] },
    Other(String),
}

impl Fault {
    fn new(what: What) -> Self {
        Self { what, place: None, trail: Vec::new(), follows: false }
    }

    /// The fault is about the key itself.
    pub(super) fn at_key(mut self, entry: &Entry) -> Self {
        self.place = Some(entry.place);
        self.trail = vec![entry.place];
        self
    }

    /// The fault came up while the entry's value was read.
    pub(super) fn within(mut self, entry: &Entry, is_left_out: &dyn Fn(&Entry) -> bool) -> Self {
        if self.place.is_none() {
            self.settle(&entry.value, is_left_out);
        }
        self.trail.push(entry.place);
        self
    }

    /// Gives the fault its place: the node, or the unknown key below it where a type buffered its
    /// content (tagged and untagged enums) before it looked at it.
    pub(super) fn settle(&mut self, node: &Node, is_left_out: &dyn Fn(&Entry) -> bool) {
        self.place = Some(node.place);
        match &mut self.what {
            What::UnknownField { field, .. } => {
                if let Some(place) = key_below(node, field) {
                    self.place = Some(place);
                    self.trail.insert(0, place);
                }
            }
            What::Other(text) => {
                *text = without_quotes_of(node, text);
                self.follows = self.follows || has_left_out(node, is_left_out);
            }
            _ => {}
        }
    }
}

fn key_below(node: &Node, key: &str) -> Option<Place> {
    let own = node.entry(key).map(|entry| entry.place);
    own.or_else(|| node.entries().iter().find_map(|entry| key_below(&entry.value, key)))
        .or_else(|| node.items().iter().find_map(|item| key_below(item, key)))
}

fn has_left_out(node: &Node, is_left_out: &dyn Fn(&Entry) -> bool) -> bool {
    let below = |entry: &Entry| is_left_out(entry) || has_left_out(&entry.value, is_left_out);
    node.entries().iter().any(below) || node.items().iter().any(|item| has_left_out(item, is_left_out))
}

/// The text without what it quotes of the file: a backticked piece that is, or begins, a text of the
/// file is blanked, a value shown after a colon is cut off, and where one is still in it, nothing of
/// the text is said.
fn without_quotes_of(node: &Node, text: &str) -> String {
    let mut values = Vec::new();
    node.visit(&mut |node| {
        if let Value::Text(value) = &node.value {
            values.push(value.chars().filter(|c| !c.is_control()).collect::<String>().to_lowercase());
        }
        values.extend(node.entries().iter().map(|entry| entry.key.to_lowercase()));
    });
    let text = text.split_once(": \"").map_or(text, |(rule, _)| rule);
    let quotes = |piece: &str| {
        let piece = piece.to_lowercase();
        values.iter().any(|value| *value == piece || (piece.len() >= 60 && value.starts_with(&piece)))
    };
    let pieces = text.split('`').enumerate();
    let cleaned = pieces.map(|(index, piece)| if index % 2 == 1 && quotes(piece) { "…" } else { piece });
    let cleaned = cleaned.collect::<Vec<_>>().join("`");
    let said = cleaned.to_lowercase();
    // Shorter values are words such as `a` that stand in any sentence.
    if values.iter().any(|value| value.len() >= 8 && said.contains(value)) {
        return "the value breaks a rule of its type".to_owned();
    }
    cleaned
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value cannot be read")
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::new(What::Other(text.to_string()))
    }

    fn invalid_type(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = match unexpected {
            de::Unexpected::Bool(_) => "true or false",
            de::Unexpected::Unsigned(_) | de::Unexpected::Signed(_) => "a whole number",
            de::Unexpected::Float(_) => "a number",
            de::Unexpected::Unit | de::Unexpected::Option => "nothing",
            de::Unexpected::Seq => "a list",
            de::Unexpected::Map => "a mapping",
            _ => "text",
        };
        Self::new(What::WrongType { expected: expected.to_string(), found })
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(What::WrongValue { expected: expected.to_string() })
    }

    fn invalid_length(_: usize, expected: &dyn de::Expected) -> Self {
        Self::new(What::WrongValue { expected: expected.to_string() })
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::new(What::UnknownWord { word: variant.to_owned(), known })
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::new(What::UnknownField { field: field.to_owned(), known })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(What::MissingField(field))
    }

    fn duplicate_field(_: &'static str) -> Self {
        Self::new(What::Other("the field is there twice".to_owned()))
    }
}
