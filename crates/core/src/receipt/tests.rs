//! What a receipt says, and what it leaves out.

use super::*;
use crate::actor::{Groups, UserIdentity};
use crate::id::{AgentName, BindingName, GroupName, Revision, WorkloadName};

fn actor() -> Actor {
    Actor {
        user: Some(UserIdentity { issuer: "https://idp.example".into(), subject: "alice".into() }),
        groups: Groups::Known([GroupName::parse("payroll").unwrap()].into()),
        agent: Some(AgentName::parse("triage-bot").unwrap()),
        workload: Some(WorkloadName::parse("triage-pod").unwrap()),
        surface: Some("a-desktop-client".into()),
    }
}

fn claims(who: Who<'_>) -> Value {
    let audience = Url::parse("https://issues.internal/mcp").unwrap();
    let request_id = RequestId::parse("01m8bdth85t49b6869v7149xkk").unwrap();
    let receipt = Receipt {
        issuer: "https://mcp.example",
        audience: &audience,
        request_id: &request_id,
        nonce: [0, 1, 2, 3, 4, 5, 6, 255],
        who,
        environment: &EnvironmentName::parse("dev").unwrap(),
        server: &ServerName::parse("issues").unwrap(),
        method: Some("tools/call".to_owned()),
        tool: Some(ToolName::parse("list_issues").unwrap()),
        mode: CredentialMode::ServiceAccount,
        binding: BindingRevision { name: BindingName::parse("triage").unwrap(), revision: Revision(3) },
        policy_version: Some(ContentHash::of(b"policies")),
        decided_at: Timestamp::from_micros(1_800_000_000_123_456),
        content: ContentDigest::of(b"{}"),
    };
    Value::Object(receipt.claims(|id| format!("known-as-{}", id.len())))
}

#[test]
fn a_receipt_says_who_what_and_by_which_decision() {
    let actor = actor();
    let expected = json!({
        "iss": "https://mcp.example",
        "aud": "https://issues.internal/mcp",
        "jti": "01m8bdth85t49b6869v7149xkk.00010203040506ff",
        "iat": 1_800_000_000, "nbf": 1_800_000_000, "exp": 1_800_000_060,
        "sub": "https://idp.example|alice",
        "act": { "sub": "agent:triage-bot" },
        "workload": "workload:triage-pod",
        "request_id": "01m8bdth85t49b6869v7149xkk",
        "environment": "dev",
        "server": "issues",
        "method": "tools/call",
        "tool": "list_issues",
        "mode": "service_account",
        "binding": "triage@3",
        "policy_version": ContentHash::of(b"policies"),
        "decided_at": "2027-01-15T08:00:00.123456Z",
        "content_digest": "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:",
    });
    assert_eq!(claims(Who::Named(&actor)), expected);
}

#[test]
fn a_pseudonymous_receipt_names_nobody() {
    let actor = actor();
    let said = claims(Who::Pseudonymous(&actor));
    assert_eq!(said["sub"], "known-as-25");
    assert_eq!(said["act"]["sub"], "known-as-16");
    assert_eq!(said["workload"], "known-as-19");
    let said = said.to_string();
    for known in ["alice", "idp.example", "triage-bot", "triage-pod", "payroll", "desktop"] {
        assert!(!said.contains(known), "{known}: {said}");
    }
}

#[test]
fn groups_and_surfaces_are_told_to_nobody() {
    let actor = actor();
    let said = claims(Who::Named(&actor)).to_string();
    assert!(!said.contains("payroll") && !said.contains("desktop"), "{said}");
}

#[test]
fn the_gateways_own_messages_are_its_own() {
    let said = claims(Who::Gateway);
    assert_eq!((said["sub"].as_str(), said.get("act")), (Some("https://mcp.example"), None));
}

#[test]
fn an_actor_without_a_part_to_name_has_no_subject() {
    let nobody = Actor { surface: Some("a-desktop-client".into()), ..Actor::default() };
    assert_eq!(claims(Who::Named(&nobody)).get("sub"), None);
}

#[test]
fn modes_are_words_of_the_manifest() {
    for (word, mode) in [
        ("off", ReceiptMode::Off),
        ("header", ReceiptMode::Header),
        ("pseudonymous", ReceiptMode::Pseudonymous),
    ] {
        assert_eq!(serde_json::from_value::<ReceiptMode>(json!(word)).unwrap(), mode);
        assert_eq!(mode.is_off(), word == "off");
    }
    assert!(serde_json::from_value::<ReceiptMode>(json!("meta")).is_err());
}
