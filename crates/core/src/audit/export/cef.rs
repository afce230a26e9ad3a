//! ArcSight Common Event Format, version 0. Every value passes one of two escapes: a value that could
//! end its field would let a caller write evidence of their own.

use serde_json::Value;

use super::{Place, plain, word};
use crate::audit::{Decision, Event};

/// The event as one CEF line.
pub(super) fn record(event: &Event, place: &Place, version: &str) -> String {
    let kind = word(event);
    let name = kind.replace('_', " ");
    let mut line = format!(
        "CEF:0|mcp-gateway|mcp-gateway|{}|{}|{}|{}|",
        header(version),
        header(&kind),
        header(&name),
        severity(event, &kind)
    );
    let mut fields = Fields { line: &mut line, first: true };
    fields.put("rt", &event.time.micros().div_euclid(1_000).to_string());
    fields.put("externalId", &place.sequence.0.to_string());
    fields.labelled("cs1", "recordHash", &place.hash.to_string());
    if let Some(chain) = place.chain {
        fields.labelled("cs2", "chain", &chain.to_string());
    }
    if let Some(address) = event.source_address {
        fields.put(if address.is_ipv4() { "src" } else { "c6a2" }, &address.to_string());
        if address.is_ipv6() {
            fields.put("c6a2Label", "sourceAddress");
        }
    }
    people(event, &mut fields);
    decided(event, &mut fields);
    rest(event, &mut fields);
    line
}

fn people(event: &Event, fields: &mut Fields<'_>) {
    if let Some(operator) = &event.operator {
        fields.put("suser", &operator.to_string());
        fields.put("spriv", "Administrator");
    } else if let Some(user) = &event.user {
        fields.put("suser", user);
    }
    if let Some(agent) = &event.agent {
        fields.labelled("cs3", "agent", &agent.to_string());
    }
    if let Some(server) = &event.server {
        fields.put("destinationServiceName", &server.to_string());
    }
}

fn decided(event: &Event, fields: &mut Fields<'_>) {
    if let Some(tool) = &event.tool {
        fields.labelled("cs4", "tool", &tool.to_string());
    }
    if let Some(binding) = &event.binding {
        fields.labelled("cs5", "binding", &binding.to_string());
    }
    if let Some(environment) = &event.environment {
        fields.labelled("cs6", "environment", &environment.to_string());
    }
    if let Some(method) = &event.method {
        fields.put("requestMethod", method);
    }
    if let Some(decision) = event.decision {
        fields.put("act", if decision == Decision::Allow { "allow" } else { "deny" });
    }
    if let Some(reason) = &event.reason {
        fields.put("reason", reason);
    }
    if let Some(outcome) = &event.outcome {
        let status = outcome.upstream_status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        fields.put("outcome", &status);
        fields.put("out", &outcome.response_bytes.to_string());
    }
    if let Some(count) = event.count {
        fields.put("cnt", &count.to_string());
    }
}

/// Fields that CEF has no key for keep our names, behind a prefix so that none can pass for one of its own.
fn rest(event: &Event, fields: &mut Fields<'_>) {
    const MAPPED: [&str; 14] = [
        "time",
        "kind",
        "source_address",
        "operator",
        "agent",
        "server",
        "tool",
        "binding",
        "environment",
        "method",
        "decision",
        "reason",
        "outcome",
        "count",
    ];
    let Value::Object(all) = plain(event) else { return };
    for (name, value) in all {
        let mapped = MAPPED.contains(&name.as_str()) || (name == "user" && event.operator.is_none());
        if mapped {
            continue;
        }
        let key: String = name.split('_').map(capital).collect();
        match value {
            Value::String(text) => fields.put(&format!("mcpgw{key}"), &text),
            other => fields.put(&format!("mcpgw{key}"), &other.to_string()),
        }
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// From 0 to 10.
fn severity(event: &Event, kind: &str) -> u8 {
    match kind {
        "operator_refused" | "login_refused" | "outcome_unknown" | "binding_revoked" | "audit_truncated" => 6,
        _ if event.decision == Some(Decision::Deny) => 4,
        _ => 2,
    }
}

struct Fields<'l> {
    line: &'l mut String,
    first: bool,
}

impl Fields<'_> {
    fn put(&mut self, key: &str, value: &str) {
        if !self.first {
            self.line.push(' ');
        }
        self.first = false;
        self.line.push_str(key);
        self.line.push('=');
        self.line.push_str(&extension(value));
    }

    fn labelled(&mut self, key: &str, label: &str, value: &str) {
        self.put(key, value);
        self.put(&format!("{key}Label"), label);
    }
}

/// A header field: `\` and `|` are escaped, and no line break may stand there.
fn header(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '|' => escaped.extend(['\\', letter]),
            letter if is_break(letter) => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// An extension's value: `\` and `=` are escaped, and line breaks become `\n` and `\r`.
fn extension(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '=' => escaped.extend(['\\', letter]),
            '\r' => escaped.push_str("\\r"),
            letter if is_break(letter) => escaped.push_str("\\n"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// Whatever some reader takes for the end of a line, and every other control character.
fn is_break(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}')
}
