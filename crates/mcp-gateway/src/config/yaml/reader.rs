//! Reads types from nodes, with chosen entries left out.

use std::collections::HashSet;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer as _, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::fault::{Fault, What};
use super::tree::{Entry, Node, Value};
use crate::config::issue::Place;

/// The places of the keys whose entries are read as if they were not there.
pub(super) type LeftOut = HashSet<Place>;

/// Reads from one node.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) node: &'a Node,
    pub(super) left_out: &'a LeftOut,
}

impl<'a> Reader<'a> {
    fn at(self, node: &'a Node) -> Self {
        Self { node, ..self }
    }

    fn is_left_out(self, entry: &Entry) -> bool {
        self.left_out.contains(&entry.place)
    }

    fn map<'de, V: Visitor<'de>>(self, entries: &'a [Entry], visitor: V) -> Result<V::Value, Fault> {
        let access = Entries { reader: self, rest: entries.iter(), current: None };
        visitor.visit_map(access).map_err(|mut fault| {
            // A field that was left out for its own fault is not missing as well.
            if let (What::MissingField(name), None) = (&fault.what, fault.place) {
                fault.follows = entries.iter().any(|entry| entry.key == *name && self.is_left_out(entry));
            }
            fault
        })
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Unsigned(number) => visitor.visit_u64(*number),
            Value::Negative(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Text(text) => visitor.visit_str(text),
            Value::List(items) => visitor.visit_seq(Items { reader: self, rest: items.iter() }),
            Value::Map(entries) => self.map(entries, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Text(word) => visitor.visit_enum(Word { word, content: None }),
            Value::Map(entries) => {
                let mut kept = entries.iter().filter(|entry| !self.is_left_out(entry));
                match (kept.next(), kept.next()) {
                    (Some(entry), None) => {
                        visitor.visit_enum(Word { word: &entry.key, content: Some((self, entry)) })
                    }
                    _ => Err(de::Error::custom("exactly one of the alternatives must be there")),
                }
            }
            other => Err(de::Error::custom(format_args!(
                "a word, or a mapping with one key, must be here, not {}",
                other.type_word()
            ))),
        }
    }

    /// By itself a struct would be read from a list too, its fields by their places: nobody who reads such a file sees
    /// what is what.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::List(_) => Err(de::Error::invalid_type(Unexpected::Seq, &visitor)),
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

struct Items<'a> {
    reader: Reader<'a>,
    rest: std::slice::Iter<'a, Node>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(node) = self.rest.next() else { return Ok(None) };
        let reader = self.reader;
        seed.deserialize(reader.at(node)).map(Some).map_err(|mut fault| {
            if fault.place.is_none() {
                fault.settle(node, &|entry| reader.is_left_out(entry));
            }
            fault
        })
    }
}

struct Entries<'a> {
    reader: Reader<'a>,
    rest: std::slice::Iter<'a, Entry>,
    current: Option<&'a Entry>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let reader = self.reader;
        self.current = self.rest.by_ref().find(|entry| !reader.is_left_out(entry));
        let Some(entry) = self.current else { return Ok(None) };
        let key: StrDeserializer<'_, Fault> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|fault| fault.at_key(entry))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let entry = self.current.take().ok_or_else(|| de::Error::custom("a value without a key"))?;
        let reader = self.reader;
        seed.deserialize(reader.at(&entry.value))
            .map_err(|fault| fault.within(entry, &|entry| reader.is_left_out(entry)))
    }
}

/// A variant, alone or with what it holds.
struct Word<'a> {
    word: &'a str,
    content: Option<(Reader<'a>, &'a Entry)>,
}

impl<'de, 'a> EnumAccess<'de> for Word<'a> {
    type Error = Fault;
    type Variant = Content<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Content<'a>), Fault> {
        let word: StrDeserializer<'_, Fault> = self.word.into_deserializer();
        let variant = seed.deserialize(word).map_err(|fault| match self.content {
            Some((_, entry)) => fault.at_key(entry),
            None => fault,
        })?;
        Ok((variant, Content(self.content)))
    }
}

struct Content<'a>(Option<(Reader<'a>, &'a Entry)>);

impl Content<'_> {
    fn read<T>(self, read: impl FnOnce(Reader<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        match self.0 {
            Some((reader, entry)) => read(reader.at(&entry.value))
                .map_err(|fault| fault.within(entry, &|entry| reader.is_left_out(entry))),
            None => Err(de::Error::custom("this alternative needs fields: write it as a mapping")),
        }
    }
}

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.0 {
            None => Ok(()),
            Some((_, entry)) => {
                let fault: Fault =
                    de::Error::custom("this alternative takes no fields: write the word alone");
                Err(fault.at_key(entry))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        self.read(|reader| seed.deserialize(reader))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.read(|reader| reader.deserialize_any(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.read(|reader| reader.deserialize_struct("", fields, visitor))
    }
}
