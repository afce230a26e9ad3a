//! Reads a type from a node and reports every fault that can be told apart: after each one, the entry
//! at fault is left out and the rest is read again.

use gateway_core::reference::ReferenceError;
use serde::de::DeserializeOwned;

use super::fault::{Fault, What};
use super::reader::{LeftOut, Reader};
use super::tree::Node;
use crate::config::issue::{Findings, IssueCode};
use crate::config::nearest::nearest;

/// Reads the type; nothing where anything is wrong. `hidden` keys belong to the caller.
pub(in crate::config) fn read<T: DeserializeOwned>(
    node: &Node,
    hidden: &[&str],
    findings: &mut Findings,
) -> Option<T> {
    let mut left_out: LeftOut =
        hidden.iter().filter_map(|key| node.entry(key)).map(|entry| entry.place).collect();
    let own = left_out.clone();
    let mut clean = true;
    loop {
        let mut fault = match T::deserialize(Reader { node, left_out: &left_out }) {
            Ok(value) => return clean.then_some(value),
            Err(fault) => fault,
        };
        clean = false;
        if fault.place.is_none() {
            let faulty =
                |entry: &super::tree::Entry| left_out.contains(&entry.place) && !own.contains(&entry.place);
            fault.settle(node, &faulty);
        }
        let entry = fault.trail.iter().copied().find(|place| !left_out.contains(place));
        if !fault.follows {
            report(fault, findings);
        }
        match entry {
            Some(entry) => left_out.insert(entry),
            None => return None,
        };
    }
}

fn report(fault: Fault, findings: &mut Findings) {
    let place = fault.place.unwrap_or_default();
    match fault.what {
        What::UnknownField { field, known } => match file_twin(&field, known) {
            Some(twin) => findings
                .add(place, IssueCode::LiteralSecret, "a secret value does not belong here")
                .hint(twin),
            None => {
                let hint = nearest(&field, known);
                findings.add(place, IssueCode::UnknownField, "unknown field").hint(hint);
            }
        },
        What::MissingField(name) => {
            findings.add(place, IssueCode::MissingField, format!("`{name}` is missing"));
        }
        What::WrongType { expected, found } => {
            let message = format!("expected {}, found {found}", in_plain_words(&expected));
            let quotable = found.contains("number") || found == "true or false";
            let findings = findings.add(place, IssueCode::WrongType, message);
            if quotable && expected.contains("string") {
                findings.hint("put it in quotes");
            }
        }
        What::WrongValue { expected } => {
            findings.add(place, IssueCode::InvalidValue, format!("expected {}", in_plain_words(&expected)));
        }
        What::UnknownWord { word, known } => {
            let hint = nearest(&word, known);
            findings.add(place, IssueCode::UnknownKind, "unknown word").hint(hint);
        }
        What::Other(text) => other(&text, place, findings),
    }
}

fn other(text: &str, place: crate::config::issue::Place, findings: &mut Findings) {
    if text == ReferenceError::NotAReference.to_string() {
        findings
            .add(place, IssueCode::LiteralSecret, "a secret reference belongs here, not a value")
            .hint("write `store://path#field`, where `store` is a configured store");
        return;
    }
    let of_reference = [
        ReferenceError::Store,
        ReferenceError::Path,
        ReferenceError::Field,
        ReferenceError::Selector,
        ReferenceError::Template,
    ];
    let code = if of_reference.iter().any(|error| error.to_string() == text) {
        IssueCode::Reference
    } else {
        IssueCode::InvalidValue
    };
    let text = match text {
        "relative URL without a base" => "not a URL: it must begin with `https://` or another scheme",
        "invalid socket address syntax" => "not an address such as `127.0.0.1:8080`",
        "invalid IP address syntax" => "not a network such as `10.0.0.0/8`",
        text if text.starts_with("data did not match any variant") => "has none of the forms it may have",
        text => text,
    };
    findings.add(place, code, text);
}

/// Names under which people paste secrets, and what to write in their place.
fn file_twin(field: &str, known: &[&str]) -> Option<String> {
    const SECRET_WORDS: [&str; 11] = [
        "password",
        "passwd",
        "secret",
        "secret_id",
        "token",
        "client_secret",
        "api_key",
        "apikey",
        "private_key",
        "key",
        "credential",
    ];
    let field = field.to_ascii_lowercase();
    if !SECRET_WORDS.iter().any(|word| field == *word || field.ends_with(&format!("_{word}"))) {
        return None;
    }
    let twin = known.iter().find(|name| name.strip_suffix("_file") == Some(field.as_str()));
    Some(match twin {
        Some(twin) => format!("put it into a file of its own and name that: `{twin}: /path/of/the/file`"),
        None => {
            "secrets stay in stores (`store://path#field`) and files (fields ending in `_file`)".to_owned()
        }
    })
}

/// What serde calls a type, as a person would.
fn in_plain_words(expected: &str) -> String {
    let bounds = |most: u64| format!("a whole number from 0 to {most}");
    match expected {
        "u8" => bounds(u64::from(u8::MAX)),
        "u16" => bounds(u64::from(u16::MAX)),
        "u32" => bounds(u64::from(u32::MAX)),
        "u64" | "usize" => "a whole number from 0".to_owned(),
        "i8" | "i16" | "i32" | "i64" => "a whole number".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a string" | "path string" | "a string representing an URL" | "a borrowed string" => {
            "text".to_owned()
        }
        "socket address" => "an address such as `127.0.0.1:8080`".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        other if other.starts_with("struct") || other.contains("enum") => "a mapping".to_owned(),
        other if other.starts_with("a sequence") => "a list".to_owned(),
        other => other.to_owned(),
    }
}
