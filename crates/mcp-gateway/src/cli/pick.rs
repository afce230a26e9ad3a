//! Picks what views show out of the API's answers. Absent is empty: a view leaves empty fields out.

use serde_json::Value;

/// The value at an RFC 6901 pointer, as text: lists joined, objects as compact JSON.
pub(super) fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).map(words).unwrap_or_default()
}

/// The first of several pointers that leads to something.
pub(super) fn first(value: &Value, pointers: &[&str]) -> String {
    pointers.iter().map(|pointer| text(value, pointer)).find(|text| !text.is_empty()).unwrap_or_default()
}

/// The elements of the list at the pointer; none where there is no list.
pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Whether the value at the pointer is `true`.
pub(super) fn is_true(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool) == Some(true)
}

/// Any JSON value in words.
pub(super) fn words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// The first characters of something long, such as a hash.
pub(super) fn short(text: &str) -> String {
    if text.chars().count() <= 12 {
        text.to_owned()
    } else {
        text.chars().take(12).chain("…".chars()).collect()
    }
}

/// `2026-11-26T09:00:00.123Z` as people read it: without fractions of a second.
pub(super) fn time(text: &str) -> String {
    match (text.split_once('.'), text.ends_with('Z')) {
        (Some((whole, _)), true) => format!("{whole}Z"),
        _ => text.to_owned(),
    }
}
