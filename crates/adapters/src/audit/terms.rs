//! What of an event can be searched for: pairs of a field's name and a text. Both the index and the
//! comparison with a record use the same pairs, so that neither finds what the other does not. Events are
//! looked at as JSON: a field that a later version adds can be searched for here too.

use serde_json::Value;

/// Calls `see` with every pair of the event.
pub(super) fn each(event: &Value, see: &mut dyn FnMut(&str, &str)) {
    let Value::Object(fields) = event else { return };
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("time", _) => {}
            ("binding", Value::String(binding)) => {
                see("binding", binding);
                if let Some((name, _)) = binding.split_once('@') {
                    see("binding", name);
                }
            }
            ("object", object) => see_object(object, see),
            ("policies", Value::Array(names)) => all(names, "policy", see),
            ("scopes", Value::Array(names)) => all(names, "scope", see),
            ("outcome", Value::Object(outcome)) => {
                if let Some(status) = outcome.get("upstream_status") {
                    scalar("upstream_status", status, see);
                }
            }
            (name, Value::Array(values)) => all(values, name, see),
            (name, value) => scalar(name, value, see),
        }
    }
    if !fields.contains_key("environment")
        && let Some(Value::String(environment)) = event.pointer("/object/environment")
    {
        see("environment", environment);
    }
}

fn all(values: &[Value], name: &str, see: &mut dyn FnMut(&str, &str)) {
    values.iter().for_each(|value| scalar(name, value, see));
}

fn scalar(name: &str, value: &Value, see: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::String(text) => see(name, text),
        Value::Number(number) => see(name, &number.to_string()),
        Value::Bool(flag) => see(name, if *flag { "true" } else { "false" }),
        Value::Null | Value::Array(_) | Value::Object(_) => {}
    }
}

/// An object is found by its name, and by `kind/environment/name` in lower case.
fn see_object(object: &Value, see: &mut dyn FnMut(&str, &str)) {
    let part = |name: &str| object.get(name).and_then(Value::as_str);
    let (Some(kind), Some(name)) = (part("kind"), part("name")) else { return };
    see("object", name);
    let kind = kind.to_ascii_lowercase();
    match part("environment") {
        Some(environment) => see("object", &format!("{kind}/{environment}/{name}")),
        None => see("object", &format!("{kind}/{name}")),
    }
}

/// The pair as a number: FNV-1a, 64 bits, the same in every version. Two pairs may share one; whoever finds
/// something by it compares the record.
pub(super) fn hash(name: &str, text: &str) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = name.bytes().chain([0]).chain(text.bytes());
    bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}
