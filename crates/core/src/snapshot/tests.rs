//! A snapshot beside another one is the snapshot that it would be alone.

use serde_json::{Value, json};

use super::*;
use crate::id::OperatorName;
use crate::manifest::{Kind, Spec};
use crate::policy::no_judge::NoJudge;
use crate::state::{Lifecycle, RevisionRecord};

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

fn record(spec: Value, revision: u32) -> RevisionRecord {
    let spec: Spec = serde_json::from_value(spec).unwrap();
    let pins = Pins {
        server: Revision(1),
        policy: Revision(1),
        policy_hash: ContentHash::of(b"policy"),
        providers: std::collections::BTreeMap::new(),
    };
    RevisionRecord {
        key: spec.key(),
        revision: Revision(revision),
        content: spec.content_hash(),
        pins: matches!(spec, Spec::Binding(_)).then_some(pins),
        spec,
        status: Lifecycle::Active,
        author: OperatorName::parse("carol").unwrap(),
        created_at: NOW,
        changed_at: NOW,
        approvals: Vec::new(),
    }
}

fn server(name: &str, url: &str) -> Value {
    json!({"kind": "Server", "name": name, "environment": "dev", "owner": "team", "route": {"url": url},
        "tools": {"default_risk": "read"}})
}

fn binding(name: &str, server: &str, risk: &str) -> Value {
    json!({"kind": "Binding", "name": name, "environment": "dev", "server": server, "actor": {"any": true},
        "mode": "service_account", "secret": "vault://kv/a#token", "policy": "p", "risk": risk, "owner": "team",
        "inject": {"header": "Authorization", "format": "Bearer {secret}"}})
}

/// Two servers with three bindings each.
fn state() -> State {
    let mut state = State { epoch: Epoch(1), ..State::default() };
    state.revisions.push(record(json!({"kind": "Environment", "name": "dev"}), 1));
    state
        .revisions
        .push(record(json!({"kind": "Policy", "name": "p", "environment": "dev", "cedar": ""}), 1));
    for door in ["notes", "issues"] {
        state.revisions.push(record(server(door, "https://one.internal/mcp"), 1));
        for name in ["b", "a", "ab"] {
            state.revisions.push(record(binding(&format!("{name}-{door}"), door, "write"), 1));
        }
    }
    state.put_in_order();
    state
}

fn edit(state: &State, name: &str, edit: impl FnOnce(&mut RevisionRecord)) -> State {
    let mut state = state.clone();
    let mut found = state.revisions.iter_mut().filter(|record| record.key.name == name);
    edit(found.next().unwrap());
    state
}

fn build(state: &State) -> Snapshot {
    Snapshot::build(state, &NoJudge, &[]).unwrap()
}

fn bindings(snapshot: &Snapshot) -> Vec<Arc<ActiveBinding>> {
    let mut all: Vec<_> = snapshot
        .environments()
        .flat_map(EnvironmentView::servers)
        .flat_map(|server| server.bindings.iter().cloned())
        .collect();
    all.sort_by(|one, other| one.spec.name.cmp(&other.spec.name));
    all
}

/// Builds it beside the first state's, which must not show; says the names of those that are not shared.
fn anew(state: &State) -> Vec<String> {
    let before = build(&self::state());
    let beside = bindings(&Snapshot::build_beside(Some(&before), state, &NoJudge, &[]).unwrap());
    let alone = bindings(&build(state));
    assert_eq!(format!("{beside:#?}"), format!("{alone:#?}"));
    let known = bindings(&before);
    let shared = |binding: &&Arc<ActiveBinding>| !known.iter().any(|known| Arc::ptr_eq(known, binding));
    beside.iter().filter(shared).map(|binding| binding.spec.name.to_string()).collect()
}

#[test]
fn what_did_not_change_is_shared() {
    assert!(anew(&state()).is_empty());
    assert_eq!(bindings(&build(&state())).len(), 6);
}

#[test]
fn whatever_changed_in_a_binding_is_made_anew() {
    let state = state();
    let only = |name: &str| vec![name.to_owned()];
    let next =
        edit(&state, "a-notes", |record| *record = self::record(binding("a-notes", "notes", "read"), 2));
    assert_eq!(anew(&next), only("a-notes"));
    // The same number, another content: a database of another life.
    let foreign =
        edit(&state, "a-notes", |record| *record = self::record(binding("a-notes", "notes", "read"), 1));
    assert_eq!(anew(&foreign), only("a-notes"));
    let pinned = edit(&state, "b-issues", |record| {
        if let Some(pins) = &mut record.pins {
            pins.policy = Revision(2);
        }
    });
    assert_eq!(anew(&pinned), only("b-issues"));
    let gone = edit(&state, "ab-notes", |record| record.status = Lifecycle::Disabled);
    assert!(anew(&gone).is_empty());
    let after = Snapshot::build_beside(Some(&build(&state)), &gone, &NoJudge, &[]).unwrap();
    assert_eq!(bindings(&after).len(), 5, "what was switched off does not stay because it is known");
}

#[test]
fn another_route_or_version_makes_its_bindings_anew() {
    let state = state();
    let rerouted = edit(&state, "notes", |record| {
        *record = self::record(server("notes", "https://two.internal/mcp"), 1);
    });
    assert_eq!(anew(&rerouted), ["a-notes", "ab-notes", "b-notes"]);
    let mut rotated = state.clone();
    rotated.versions.push(VersionRecord {
        environment: "dev".parse().unwrap(),
        binding: "b-notes".parse().unwrap(),
        place: SecretReference::parse("vault://kv/a#token").unwrap(),
        version: crate::lease::VersionId::new("7"),
        state: VersionState::Active,
        created_at: None,
        changed_at: NOW,
        reason: None,
        reminded: crate::rotation::Reminded::Nothing,
    });
    assert_eq!(anew(&rotated), ["b-notes"]);
}

#[test]
fn a_binding_without_what_its_approval_pinned_does_not_decide_although_it_is_known() {
    let state = state();
    let before = build(&state);
    let mut torn = state;
    torn.revisions.retain(|record| !(record.key.kind == Kind::Server && record.key.name == "notes"));
    let after = Snapshot::build_beside(Some(&before), &torn, &NoJudge, &[]).unwrap();
    assert_eq!(bindings(&after).len(), 3);
}
