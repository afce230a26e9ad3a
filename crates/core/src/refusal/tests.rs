use std::fmt::Write as _;
use std::path::Path;

use super::*;
use crate::audit::BindingRevision;
use crate::id::{BindingName, Revision};
use crate::manifest::{CredentialMode, Risk};

#[test]
fn codes_are_unique_and_own_rpc_codes_stay_out_of_the_reserved_range() {
    let mut seen = std::collections::HashSet::new();
    for code in Code::ALL {
        let row = code.row();
        assert!(seen.insert(row.code), "{}", row.code);
        let specified = matches!(row.rpc, -32700 | -32600 | -32601 | -32602 | -32020 | -32022);
        assert!(specified || row.rpc > -32000, "{}", row.code);
        assert!((200..600).contains(&row.status));
    }
}

#[test]
fn codes_of_calls_and_of_acts_never_meet_with_two_meanings() {
    let calls: std::collections::HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    for rule in crate::lifecycle::rule::ALL {
        // The one reason that a call and an act share.
        assert!(!calls.contains(rule.code) || rule.code == "binding.mode_unavailable", "{}", rule.code);
    }
    let mut faults = std::collections::HashSet::new();
    for fault in crate::login::Fault::ALL {
        let code = fault.as_str();
        let acts = crate::lifecycle::rule::ALL.iter().any(|rule| rule.code == code);
        assert!(faults.insert(code) && !acts && !calls.contains(code), "{code}");
    }
}

#[test]
fn the_inside_story_never_shows() {
    let refusal = Refusal::new(Code::StoreUnavailable).because("vault.internal:8200 refused");
    assert!(!refusal.to_string().contains("vault"));
    assert_eq!(refusal.inside(), Some("vault.internal:8200 refused"));
}

#[test]
fn what_is_named_first_as_having_decided_stays() {
    let decided = |name: &str| crate::policy::Decided {
        binding: BindingRevision { name: BindingName::parse(name).unwrap(), revision: Revision(1) },
        mode: CredentialMode::ServiceAccount,
        risk: Risk::Read,
        policy_version: None,
        policies: Vec::new(),
    };
    let plain = Refusal::new(Code::LockActive).stopped_by("lock-1");
    assert_eq!(plain.decided(), None);
    let refusal = plain.decided_by(decided("inner")).decided_by(decided("outer"));
    assert_eq!(refusal.decided(), Some(&decided("inner")));
    assert_eq!(refusal.lock(), Some("lock-1"));
    assert!(!refusal.to_string().contains("inner"));
}

/// The page for people, made from the table.
fn page() -> String {
    let mut page = String::from(
        "# Errors\n\nEvery refusal of a call: a stable code, what happened, what to do and who can do it. This page is made \
         from\n`crates/core/src/refusal.rs`; a test fails while it differs. In a JSON-RPC answer the code stands in\n\
         `error.data.code`, beside `hint`, `fixer` and `request_id`; the inside story is in the operator's log \
         under that id.\n\n| code | HTTP | JSON-RPC | what happened | what to do | who |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for code in Code::ALL {
        let row = code.row();
        writeln!(
            page,
            "| `{}` | {} | {} | {} | {} | {} |",
            row.code,
            row.status,
            row.rpc,
            row.text,
            row.hint,
            row.fixer.words()
        )
        .unwrap();
    }
    page.push_str(
        "\n## Operators' acts\n\nEvery reason for which an act of an operator is refused, by the control API (RFC 9457 \
         problem details) and the command line\nalike; from `crates/core/src/lifecycle/rule.rs`.\n\n\
         | code | HTTP | what to do | who |\n| --- | --- | --- | --- |\n",
    );
    for rule in crate::lifecycle::rule::ALL {
        let hint = rule.hint.replace('|', "\\|");
        writeln!(page, "| `{}` | {} | {hint} | {} |", rule.code, rule.status, rule.fixer).unwrap();
    }
    page.push_str(
        "\n## Logins\n\nEvery reason for which a login page or the authorization server refuses, with the OAuth error that \
         clients see; from\n`crates/core/src/login.rs`.\n\n\
         | code | HTTP | OAuth error | what happened | what to do |\n| --- | --- | --- | --- | --- |\n",
    );
    for fault in crate::login::Fault::ALL {
        let row = fault.row();
        writeln!(page, "| `{}` | {} | `{}` | {} | {} |", row.code, row.status, row.oauth, row.text, row.hint)
            .unwrap();
    }
    page
}

#[test]
fn the_errors_page_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors.md");
    let page = page();
    if std::fs::read_to_string(&path).unwrap_or_default() != page {
        std::fs::write(&path, page).unwrap();
        panic!("docs/errors.md differed from the table and was written anew: look at it and commit it");
    }
}
