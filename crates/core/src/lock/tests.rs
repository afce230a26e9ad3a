use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::actor::{Actor, UserIdentity};
use crate::id::{AgentName, EnvironmentName, ProviderName, ServerName, WorkloadName};
use crate::manifest::{BindingSpec, Spec};

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);

fn binding() -> BindingSpec {
    let spec = json!({
        "kind": "Binding", "name": "main", "environment": "dev", "server": "tools", "tools": ["read_it", "write_it"],
        "actor": {"agents": ["bot"]}, "mode": "service_account", "secret": "vault://a#b",
        "inject": {"header": "authorization", "format": "Bearer {secret}"},
        "policy": "p", "risk": "write", "owner": "team"
    });
    match serde_json::from_value(spec).unwrap() {
        Spec::Binding(binding) => binding,
        other => panic!("{other:?}"),
    }
}

fn actor() -> Actor {
    Actor {
        user: Some(UserIdentity { issuer: "https://idp".into(), subject: "alice".into() }),
        agent: AgentName::parse("bot").ok(),
        workload: WorkloadName::parse("runner").ok(),
        surface: Some("editor".into()),
        ..Actor::default()
    }
}

fn selector(parts: serde_json::Value) -> LockSelector {
    serde_json::from_value(parts).unwrap()
}

/// Whether the selector holds for the call that everything here is about.
fn holds(parts: serde_json::Value) -> bool {
    let (environment, server) = (EnvironmentName::parse("dev").unwrap(), ServerName::parse("tools").unwrap());
    let (actor, binding) = (actor(), binding());
    let facts = LockFacts {
        environment: Some(&environment),
        server: Some(&server),
        actor: Some(&actor),
        tool: Some("write_it"),
        binding: Some(&binding),
        provider: None,
    };
    selector(parts).matches(&facts)
}

#[test]
fn each_part_stops_what_it_names_and_nothing_else() {
    for (part, own, other) in [
        ("environment", "dev", "production"),
        ("server", "tools", "issues"),
        ("tool", "write_it", "read_it"),
        ("tool", "write_*", "delete_*"),
        ("binding", "main", "other"),
        ("store", "vault", "sealed"),
        ("agent", "bot", "other"),
        ("user", "https://idp|alice", "https://idp|bob"),
        ("workload", "runner", "other"),
        ("surface", "editor", "other"),
    ] {
        assert!(holds(json!({part: own})), "{part} {own}");
        assert!(!holds(json!({part: other})), "{part} {other}");
        // All parts must hold.
        assert!(!holds(json!({"environment": "dev", "server": "issues", part: own})) || part == "server");
    }
    assert!(holds(json!({"everything": true})));
    assert!(!holds(json!({})), "an empty selector stops nothing");
    assert!(!holds(json!({"provider": "notes"})), "the binding asks no provider");
}

#[test]
fn what_is_not_known_yet_matches_no_part_that_asks_for_it() {
    let environment = EnvironmentName::parse("dev").unwrap();
    let facts = LockFacts { environment: Some(&environment), ..LockFacts::default() };
    assert!(selector(json!({"environment": "dev"})).matches(&facts));
    for part in ["server", "tool", "binding", "provider", "store", "agent", "user", "workload", "surface"] {
        let asked = if part == "tool" { "*" } else { "tools" };
        assert!(!selector(json!({"environment": "dev", part: asked})).matches(&facts), "{part}");
    }
    let provider = ProviderName::parse("notes").unwrap();
    let facts = LockFacts { provider: Some(&provider), ..facts };
    assert!(selector(json!({"provider": "notes"})).matches(&facts));
}

#[test]
fn a_place_is_judged_without_its_callers_and_tools() {
    let binding = binding();
    assert!(selector(json!({"agent": "nobody", "server": "tools", "tool": "x"})).is_place(&binding));
    assert!(selector(json!({"agent": "nobody"})).is_place(&binding));
    assert!(!selector(json!({"agent": "nobody", "server": "issues"})).is_place(&binding));
    assert!(selector(json!({"everything": true})).is_place(&binding));
    for (parts, concerns) in [
        (json!({"agent": "bot"}), true),
        (json!({"agent": "other"}), false),
        (json!({"user": "i|s"}), true),
        (json!({"tool": "write_*"}), true),
        (json!({"tool": "delete_*"}), false),
        (json!({"server": "issues"}), false),
        (json!({"everything": true}), true),
    ] {
        assert_eq!(selector(parts.clone()).may_concern(&binding), concerns, "{parts}");
    }
}

#[test]
fn only_the_agent_alone_is_the_agent_alone() {
    assert_eq!(selector(json!({"agent": "bot"})).agent_alone().map(AgentName::as_str), Some("bot"));
    assert!(selector(json!({"agent": "bot", "server": "tools"})).agent_alone().is_none());
    assert!(selector(json!({"server": "tools"})).agent_alone().is_none());
    assert!(selector(json!({"surface": "x"})).asks_party() && !selector(json!({"server": "x"})).asks_party());
}

#[test]
fn a_lock_stands_until_its_time_and_not_a_moment_longer() {
    let lock = LockRecord {
        id: "a".to_owned(),
        selector: selector(json!({"everything": true})),
        reason: "r".to_owned(),
        author: OperatorName::parse("i|alice").unwrap(),
        created_at: NOW,
        until: NOW.plus(Duration::from_secs(60)),
        ended: None,
    };
    let ended = LockRecord {
        id: "b".to_owned(),
        ended: Some(LockEnd { at: NOW, by: None }),
        until: NOW.plus(LONGEST),
        ..lock.clone()
    };
    let locks = Locks::of([&lock, &ended]);
    let at = |seconds| {
        let now = NOW.plus(Duration::from_secs(seconds));
        locks.stopping(&LockFacts::default(), now).map(|lock| Arc::clone(lock).id.clone())
    };
    assert_eq!(at(59).as_deref(), Some("a"));
    assert_eq!(at(60), None, "time is over, whether or not somebody marked it");
    assert!(locks.has("a") && !locks.has("b"));
    assert!(locks.has_expired(NOW.plus(Duration::from_secs(60))) && !locks.has_expired(NOW));
}

#[test]
fn a_selector_reads_as_a_sentence_and_refuses_unknown_parts() {
    let all = selector(json!({"environment": "dev", "server": "tools", "tool": "a*", "user": "i|s"}));
    assert_eq!(all.to_string(), "environment dev, server tools, tool a*, user i|s");
    assert_eq!(selector(json!({"everything": true})).to_string(), "everything");
    assert!(serde_json::from_value::<LockSelector>(json!({"sever": "tools"})).is_err());
}
