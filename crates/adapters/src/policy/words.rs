//! Closed vocabularies: a word that does not exist is refused, since `risk != "destrutive"` would hold
//! for every risk.

use serde_json::Value;

/// A literal that is compared with an attribute which can never have that value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnknownWord {
    pub(super) attribute: String,
    pub(super) word: String,
    pub(super) known: &'static [&'static str],
}

const RISKS: &[&str] = &["read", "write", "destructive"];
const TIERS: &[&str] = &["dev", "staging", "production"];
const MODES: &[&str] = &["service_account", "user_delegated", "agent_scoped", "workload_identity"];

fn vocabulary(attribute: &str) -> Option<&'static [&'static str]> {
    match attribute {
        "risk" | "risk_ceiling" => Some(RISKS),
        "tier" => Some(TIERS),
        "mode" => Some(MODES),
        _ => None,
    }
}

/// Every such literal in one statement, given in Cedar's JSON form.
pub(super) fn unknown_words(statement: &Value) -> Vec<UnknownWord> {
    let mut found = Vec::new();
    let mut waiting = vec![statement];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Array(items) => waiting.extend(items),
            Value::Object(map) => {
                for operator in ["==", "!=", "contains"] {
                    if let Some(operands) = map.get(operator) {
                        compare(operands, &mut found);
                    }
                }
                waiting.extend(map.values());
            }
            _ => {}
        }
    }
    found
}

fn compare(operands: &Value, found: &mut Vec<UnknownWord>) {
    let (Some(left), Some(right)) = (operands.get("left"), operands.get("right")) else { return };
    for (attribute, literals) in [(left, right), (right, left)] {
        let Some(attribute) = attribute.get(".").and_then(|access| access.get("attr")?.as_str()) else {
            continue;
        };
        let Some(known) = vocabulary(attribute) else { continue };
        for word in words(literals).into_iter().filter(|word| !known.contains(word)) {
            found.push(UnknownWord { attribute: attribute.to_owned(), word: word.to_owned(), known });
        }
    }
}

/// The string literals of a value or of a set of values.
fn words(expression: &Value) -> Vec<&str> {
    if let Some(word) = expression.get("Value").and_then(Value::as_str) {
        return vec![word];
    }
    let set = expression.get("Set").and_then(Value::as_array);
    set.into_iter().flatten().filter_map(|item| item.get("Value")?.as_str()).collect()
}
