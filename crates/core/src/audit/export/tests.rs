//! What a reader of the exports demands: required attributes, one line, nothing that ends a field early.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::audit::{Decision, EventKind, Outcome};
use crate::time::Timestamp;

fn place() -> Place {
    Place { chain: Some(ChainId::new([7; 16])), sequence: Sequence(41), hash: LinkHash::new([9; 32]) }
}

/// Every kind that this version knows, by the words that it takes.
fn kinds() -> Vec<EventKind> {
    let all = [
        "intent",
        "outcome",
        "refused",
        "refused_unidentified",
        "outcome_unknown",
        "started",
        "stopped",
        "object_written",
        "object_approved",
        "object_status",
        "binding_rotated",
        "rotation_refused",
        "binding_revoked",
        "review_due",
        "review_overdue",
        "review_signed",
        "binding_reviewed",
        "revocation_completed",
        "agent_token_issued",
        "agent_token_revoked",
        "bootstrap_token_issued",
        "operator_login",
        "operator_refused",
        "secret_stored",
        "secret_checked",
        "session_opened",
        "session_ended",
        "session_terminated",
        "credential_requested",
        "credential_issued",
        "credential_returned",
        "grant_requested",
        "grant_created",
        "grant_refreshed",
        "grant_ended",
        "person_login",
        "login_refused",
        "client_registered",
        "access_token_issued",
        "refresh_family_ended",
        "audit_truncated",
        "audit_key_rotated",
        "lock_created",
        "lock_in_force",
        "lock_lifted",
        "lock_expired",
    ];
    all.into_iter().map(|kind| serde_json::from_value(json!(kind)).unwrap()).collect()
}

fn event(kind: EventKind) -> Event {
    Event::new(kind, Timestamp::from_micros(1_795_683_600_123_456))
}

fn used() -> Event {
    let text = json!({
        "time": "2026-11-26T09:00:00.5Z", "kind": "outcome", "request_id": "req-1", "agent": "triage-bot",
        "user": "https://idp|alice", "source_address": "10.0.0.7", "environment": "dev", "server": "github",
        "method": "tools/call", "tool": "create_issue", "risk": "write", "mode": "service_account",
        "binding": "triage@3",
        "outcome": {"upstream_status": 200, "duration_micros": 9, "response_bytes": 12, "redactions": 0},
    });
    serde_json::from_value(text).unwrap()
}

fn ocsf(event: &Event) -> Value {
    serde_json::from_str(&line(ExportFormat::Ocsf, event, &place(), "1.2.3")).unwrap()
}

/// The attributes that the schema of each class requires.
fn required(class: u64) -> &'static [&'static str] {
    match class {
        6003 => &["actor", "api", "src_endpoint"],
        3004 => &["entity"],
        3002 => &["user", "service"],
        6002 => &["app"],
        other => panic!("class {other} is not ours"),
    }
}

#[test]
fn every_kind_has_what_its_class_requires() {
    for kind in kinds() {
        let record = ocsf(&event(kind));
        let class = record["class_uid"].as_u64().unwrap();
        let base = ["activity_id", "category_uid", "metadata", "severity_id", "time", "type_uid"];
        for name in base.iter().chain(required(class)) {
            assert!(!record[*name].is_null(), "{kind:?} lacks {name}: {record}");
        }
        assert_eq!(record["type_uid"], json!(class * 100 + record["activity_id"].as_u64().unwrap()));
        assert_eq!(record["category_uid"], json!(class / 1_000));
        assert_eq!(record["metadata"]["version"], "1.8.0");
        assert_eq!(record["metadata"]["sequence"], 41);
        assert_eq!(record["unmapped"]["position"]["hash"], "09".repeat(32));
        assert_eq!(record["activity_id"] == json!(99), record.get("activity_name").is_some(), "{record}");
        let (actor, entity) = (&record["actor"], &record["entity"]);
        assert!(["user", "app_name", "app_uid", "session"].iter().any(|name| !actor[*name].is_null()));
        assert!(class != 3004 || !entity["name"].is_null(), "{record}");
    }
}

#[test]
fn a_use_is_api_activity_and_keeps_every_field() {
    let record = ocsf(&used());
    assert_eq!(record["class_uid"], 6003);
    assert_eq!(record["type_uid"], 600_303);
    assert_eq!(record["time"], 1_795_683_600_500_i64);
    assert_eq!(record["actor"]["user"]["uid"], "https://idp|alice");
    assert_eq!(record["actor"]["app_name"], "triage-bot");
    assert_eq!(record["src_endpoint"]["ip"], "10.0.0.7");
    assert_eq!(record["api"]["operation"], "tools/call");
    assert_eq!(record["api"]["response"]["code"], 200);
    assert_eq!(record["status_id"], 1);
    assert_eq!(record["metadata"]["correlation_uid"], "req-1");
    assert_eq!(record["metadata"]["uid"], format!("{}:41", "07".repeat(16)));
    assert_eq!(record["unmapped"]["event"], serde_json::to_value(used()).unwrap());
}

#[test]
fn an_operators_act_is_about_an_entity() {
    let text = json!({"time": "2026-11-26T09:00:00Z", "kind": "object_approved", "operator": "bob",
        "object": {"kind": "Binding", "environment": "dev", "name": "triage"}, "revision": 4});
    let record = ocsf(&serde_json::from_value(text).unwrap());
    assert_eq!((&record["class_uid"], &record["activity_id"]), (&json!(3004), &json!(3)));
    assert_eq!(
        record["entity"],
        json!({"type": "Binding", "name": "triage", "uid": "Binding/dev/triage", "version": "4"})
    );
    assert_eq!(record["actor"]["user"]["uid"], "bob");
}

#[test]
fn a_refusal_is_a_failure_with_its_code() {
    let mut event = event(EventKind::Refused);
    event.decision = Some(Decision::Deny);
    event.reason = Some("tool.unknown".to_owned());
    let record = ocsf(&event);
    assert_eq!((&record["status_id"], &record["status_code"]), (&json!(2), &json!("tool.unknown")));
    event.kind = EventKind::Outcome;
    event.decision = None;
    event.outcome = Some(Outcome { upstream_status: Some(503), ..Outcome::default() });
    assert_eq!(ocsf(&event)["status_id"], 2);
}

#[test]
fn ndjson_keeps_the_event_beside_its_place() {
    let text = line(ExportFormat::Ndjson, &used(), &place(), "1");
    let record: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["sequence"], 41);
    assert_eq!(record["event"], serde_json::to_value(used()).unwrap());
}

#[test]
fn cef_names_who_what_and_where_it_stands() {
    let text = line(ExportFormat::Cef, &used(), &place(), "1.2|3");
    assert!(
        text.starts_with(
            r"CEF:0|mcp-gateway|mcp-gateway|1.2\|3|outcome|outcome|2|rt=1795683600500 externalId=41 "
        ),
        "{text}"
    );
    for part in
        ["suser=https://idp|alice", "src=10.0.0.7", "cs5=triage@3", "outcome=200", "mcpgwRequestId=req-1"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

/// Splits an extension as a reader does: at unescaped `=`, whose key is the word before it.
fn keys(line: &str) -> Vec<String> {
    let extension = line.splitn(8, '|').last().unwrap();
    let letters: Vec<char> = extension.chars().collect();
    let mut found = Vec::new();
    let mut escaped = false;
    for (at, letter) in letters.iter().enumerate() {
        if *letter == '=' && !escaped {
            let key: String = letters[..at].iter().rev().take_while(|c| **c != ' ').collect();
            found.push(key.chars().rev().collect());
        }
        escaped = *letter == '\\' && !escaped;
    }
    found
}

proptest! {
    #[test]
    fn no_value_writes_a_field_or_a_line_of_its_own(evil in "[ -~\\n\\r\\t\\|=\\\\\u{2028}\u{85}]{0,60}") {
        let mut event = event(EventKind::Refused);
        event.user = Some("u".to_owned());
        event.surface = Some("s".to_owned());
        event.reason = Some("r".to_owned());
        let before = line(ExportFormat::Cef, &event, &place(), "1");
        event.user = Some(evil.clone());
        event.surface = Some(evil.clone());
        event.reason = Some(evil);
        let after = line(ExportFormat::Cef, &event, &place(), "1");
        prop_assert!(!after.chars().any(|c| c.is_control() || c == '\u{2028}'), "{after:?}");
        prop_assert_eq!(keys(&after), keys(&before));
        let record = line(ExportFormat::Ocsf, &event, &place(), "1");
        prop_assert!(!record.contains('\n'));
    }
}

#[test]
fn a_header_field_cannot_be_ended_early() {
    let text = line(ExportFormat::Cef, &used(), &place(), "1\n|evil|9|");
    assert!(text.starts_with(r"CEF:0|mcp-gateway|mcp-gateway|1 \|evil\|9\||outcome|"), "{text}");
}
