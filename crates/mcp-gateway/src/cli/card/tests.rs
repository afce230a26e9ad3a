use serde_json::json;

use super::*;

fn example() -> Value {
    json!({
        "name": "triage-bot-github", "environment": "production", "revision": 3, "status": "active",
        "actor": {"agents": ["triage-bot"], "groups": ["support"]},
        "who": "agent triage-bot, group support",
        "server": "github", "destination": "https://github-mcp.internal/mcp",
        "tools": ["list_issues", "add_comment"], "methods": [], "risk": "write", "mode": "service_account",
        "reference": "vault-prod://kv/github/triage-bot#token", "store": "external", "path_owners": ["support"],
        "inject": {"header": "authorization", "format": "Bearer {secret}"},
        "how": "header `authorization` as `Bearer {secret}`",
        "policy": {"name": "support-triage", "revision": 2, "hash": "4f2a".repeat(16), "current": 3},
        "owner": "support", "limits": {"calls_per_minute": 60}, "review_by": "2027-03-01", "expires_at": null,
        "exceptions": [{"rule": "process_durability", "reason": "pilot until March"}],
        "author": "https://idp.internal|alice", "created_at": "2026-11-26T09:00:00.123456Z",
        "approvals": [{"approver": "https://idp.internal|bob", "capacities": ["environment", {"path": "support"}],
                       "at": "2026-11-26T09:05:00Z"}],
        "shadows": ["everyone-github"],
        "pending": {"revision": 4, "author": "https://idp.internal|alice", "created_at": "2026-11-26T10:00:00Z",
            "approvals": [], "missing": [{"any_of": ["environment"], "count": 2}, {"any_of": [{"server": "platform"}], "count": 1}],
            "changes": [{"field": "risk", "effect": "loosening", "before": "write", "after": "destructive"}],
            "server_revision": 1, "policy_revision": 3},
        "history": [
            {"revision": 3, "status": "active", "author": "https://idp.internal|alice", "created_at": "2026-11-26T09:00:00Z",
             "changed_at": "2026-11-26T09:05:00Z", "approvals": [{"approver": "https://idp.internal|bob", "capacities": [], "at": "2026-11-26T09:05:00Z"}],
             "reference": "vault-prod://kv/github/triage-bot#token"}]
    })
}

#[test]
fn a_card_reads_well_on_a_terminal() {
    insta::assert_snapshot!(view(&example()).plain());
}

#[test]
fn a_card_reads_well_in_a_ticket() {
    insta::assert_snapshot!(view(&example()).markdown());
}

#[test]
fn the_fields_of_a_real_card_are_the_ones_that_are_shown() {
    use gateway_core::card::Card;
    use gateway_core::id::Revision;
    // A card made of the type itself: a renamed field breaks this test, not the reader.
    let card = Card {
        name: "triage".parse().unwrap(),
        environment: "dev".parse().unwrap(),
        revision: Revision(1),
        status: gateway_core::state::Lifecycle::Active,
        actor: gateway_core::actor::ActorSelector { any: true, ..Default::default() },
        who: "WHO".into(),
        server: "SERVER".to_lowercase().parse().unwrap(),
        destination: Some("DESTINATION".into()),
        tools: gateway_core::manifest::ToolSelector::All,
        methods: vec!["METHOD".into()],
        risk: gateway_core::manifest::Risk::Read,
        mode: gateway_core::manifest::CredentialMode::ServiceAccount,
        reference: Some(gateway_core::reference::SecretReference::parse("local://REFERENCE#x").unwrap()),
        source: None,
        store: Some("local"),
        path_owners: vec!["pathowner".parse().unwrap()],
        inject: None,
        how: Some("HOW".into()),
        policy: gateway_core::card::CardPolicy {
            name: "policy".parse().unwrap(),
            revision: Some(Revision(1)),
            hash: None,
            current: Some(Revision(7)),
        },
        owner: "owner".parse().unwrap(),
        limits: Some(gateway_core::manifest::Limits {
            calls_per_minute: Some(77),
            concurrent_calls: Some(88),
        }),
        rotation: Some(gateway_core::card::CardRotation {
            policy: None,
            version: Some(gateway_core::lease::VersionId::new("v-1")),
            created_at: None,
            active_since: None,
            next_due: Some(gateway_core::time::Timestamp::from_seconds(1_800_000_000)),
            held: true,
            age_seconds: Some(172_800),
            overdue: Some(true),
            versions: Vec::new(),
        }),
        review_by: Some("2027-01-01".into()),
        review: Some(gateway_core::card::CardReview {
            due_at: gateway_core::time::Timestamp::from_seconds(1_800_100_000),
            last_at: gateway_core::time::Timestamp::from_seconds(1_790_000_000),
            by: vec!["REVIEWER".parse().unwrap()],
            signed_by: vec!["SIGNER".parse().unwrap()],
            disables: true,
            disabled_at: Some(gateway_core::time::Timestamp::from_seconds(1_800_200_000)),
            stage: Some(gateway_core::review::ReviewStage::Overdue),
            disables_at: Some(gateway_core::time::Timestamp::from_seconds(1_800_300_000)),
            next: gateway_core::review::Appointment {
                environment: "dev".parse().unwrap(),
                binding: "triage".parse().unwrap(),
                revision: Revision(1),
                active: true,
                last: gateway_core::time::Timestamp::from_seconds(0),
                end: gateway_core::time::Timestamp::from_seconds(0),
                rule: gateway_core::manifest::ReviewRule::default(),
                told: None,
            },
        }),
        expires_at: None,
        exceptions: Vec::new(),
        author: "AUTHOR".parse().unwrap(),
        created_at: gateway_core::time::Timestamp::from_seconds(0),
        approvals: Vec::new(),
        shadows: vec!["shadowed".parse().unwrap()],
        locks: vec![gateway_core::card::CardLock {
            id: "LOCK".into(),
            stops: "STOPPED".into(),
            until: gateway_core::time::Timestamp::from_seconds(0),
        }],
        pending: None,
        history: Vec::new(),
    };
    let shown = view(&serde_json::to_value(&card).unwrap()).plain();
    for expected in [
        "WHO",
        "server",
        "DESTINATION",
        "METHOD",
        "local://REFERENCE#x",
        "pathowner",
        "HOW",
        "policy@1",
        "revision 7",
        "owner",
        "77 calls",
        "88 calls",
        "2027-01-01",
        "REVIEWER",
        "SIGNER",
        "2027-01-16T11:46:40Z: OVERDUE",
        "will be switched off at 2027-01-18T19:20:00Z",
        "since 2027-01-17T15:33:20Z",
        "AUTHOR",
        "shadowed",
        "LOCK",
        "STOPPED",
        "service_account",
        "all",
        "v-1; stays there",
        "2 d",
        "2027-01-15T08:00:00Z: OVERDUE",
    ] {
        assert!(shown.contains(expected), "{expected} is missing in\n{shown}");
    }
}
