//! Findings as SARIF 2.1.0 (OASIS), for code scanning in CI. No snippet is ever written: it would hold
//! the value.

use std::collections::HashMap;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::baseline::place;
use crate::finding::{Finding, Note, RULES};

/// The document. `known` says which findings a baseline knows; without a baseline it is empty.
#[must_use]
pub fn sarif(findings: &[Finding], known: &[bool], notes: &[Note], version: &str) -> Value {
    let rules: Vec<Value> = RULES
        .iter()
        .map(|rule| {
            json!({
                "id": rule.id,
                "shortDescription": {"text": rule.finds},
                "defaultConfiguration": {"level": "error"},
                "help": {"text": "Replace the key where it was issued, put the new one into a secret store, and let the gateway use it by reference: mcp-gateway adopt --plan."},
            })
        })
        .collect();
    let mut seen = HashMap::new();
    let results: Vec<Value> = findings
        .iter()
        .enumerate()
        .map(|(index, finding)| result(finding, known.get(index).copied(), &mut seen))
        .collect();
    let notifications: Vec<Value> = notes.iter().map(notification).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "mcp-gateway adopt", "semanticVersion": version, "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": results,
            "invocations": [{"executionSuccessful": true, "toolExecutionNotifications": notifications}],
        }],
    })
}

fn result(finding: &Finding, known: Option<bool>, seen: &mut HashMap<String, u32>) -> Value {
    let rule = RULES.iter().position(|text| text.rule == finding.rule).unwrap_or(0);
    let client = finding.client.map(|client| format!(" of {client}")).unwrap_or_default();
    let at = place(finding);
    let at = if at.is_empty() { String::new() } else { format!(" at `{at}`") };
    let mut result = json!({
        "ruleId": finding.rule.id(),
        "ruleIndex": rule,
        "level": "error",
        "message": {"text": format!("{}{client}{at}: in clear text", finding.kind)},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri(&finding.file), "uriBaseId": "%SRCROOT%"},
            "region": {
                "startLine": finding.start.line, "startColumn": finding.start.column,
                "endLine": finding.end.line, "endColumn": finding.end.column,
            },
        }}],
        "partialFingerprints": {"adoptPlace/v1": fingerprint(finding, seen)},
    });
    if let (Some(fields), Some(known)) = (result.as_object_mut(), known) {
        fields.insert("baselineState".to_owned(), json!(if known { "unchanged" } else { "new" }));
    }
    result
}

/// By the place alone: a digest of the value would let values be tried.
fn fingerprint(finding: &Finding, seen: &mut HashMap<String, u32>) -> String {
    let place = format!("{}\0{}\0{}", finding.file, finding.rule.id(), place(finding));
    let count = seen.entry(place.clone()).or_default();
    *count = count.saturating_add(1);
    let digest = Sha256::new().chain_update(&place).chain_update(count.to_be_bytes()).finalize();
    hex::encode(digest).chars().take(32).collect()
}

fn notification(note: &Note) -> Value {
    let mut location = json!({"artifactLocation": {"uri": uri(&note.file), "uriBaseId": "%SRCROOT%"}});
    if let (Some(fields), Some(at)) = (location.as_object_mut(), note.at) {
        fields.insert("region".to_owned(), json!({"startLine": at.line, "startColumn": at.column}));
    }
    json!({
        "level": "note", "message": {"text": note.what},
        "locations": [{"physicalLocation": location}],
    })
}

/// A relative reference (RFC 3986, section 4.2).
fn uri(file: &str) -> String {
    let mut uri = String::with_capacity(file.len());
    for byte in file.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan;

    const KEY: &str = "q7Zk29fLmP0xW4tR8vN1bC5y";

    #[test]
    fn the_document_says_where_and_never_what() {
        let scanned = scan("a b/.env", format!("API_KEY={KEY}\nAPI_KEY={KEY}\n").as_bytes());
        let document = sarif(&scanned.findings, &[true, false], &scanned.notes, "0.1.0");
        let text = document.to_string();
        assert!(!text.contains(KEY) && !text.contains(KEY.get(..8).unwrap()) && !text.contains("snippet"));
        let results = &document["runs"][0]["results"];
        assert_eq!(results[0]["baselineState"], "unchanged");
        assert_eq!(results[1]["baselineState"], "new");
        let place = &results[0]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "a%20b/.env");
        assert_eq!(place["region"]["startColumn"], 9);
        assert_eq!(place["region"]["endColumn"], 9 + KEY.len());
        let prints =
            |at: usize| results[at]["partialFingerprints"]["adoptPlace/v1"].as_str().unwrap().to_owned();
        assert_ne!(prints(0), prints(1), "two findings at one place are told apart");
        let rule = results[0]["ruleIndex"].as_u64().unwrap();
        let rules = &document["runs"][0]["tool"]["driver"]["rules"];
        assert_eq!(rules[usize::try_from(rule).unwrap()]["id"], results[0]["ruleId"]);
    }
}
