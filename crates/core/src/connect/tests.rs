use serde_json::{Value, json};

use super::*;
use crate::actor::Groups;
use crate::id::{GroupName, OperatorName, Revision};
use crate::manifest::{ContentHash, Spec};
use crate::policy::no_judge::NoJudge;
use crate::state::{Lifecycle, Pins, RevisionRecord, State};

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

fn record(spec: Value, pinned: bool) -> RevisionRecord {
    let spec: Spec = serde_json::from_value(spec).unwrap();
    let pins = Pins {
        server: Revision(1),
        policy: Revision(1),
        policy_hash: ContentHash::of(b"policy"),
        providers: [("notes".parse().unwrap(), Revision(1))].into(),
    };
    RevisionRecord {
        key: spec.key(),
        revision: Revision(1),
        spec,
        content: ContentHash::of(b"content"),
        status: Lifecycle::Active,
        author: OperatorName::parse("carol").unwrap(),
        created_at: NOW,
        changed_at: NOW,
        approvals: Vec::new(),
        pins: pinned.then_some(pins),
    }
}

fn binding(name: &str, actor: Value, grant: Value, expires_at: Option<&str>) -> Value {
    json!({
        "kind": "Binding", "name": name, "environment": "dev", "server": "notes", "actor": actor,
        "mode": "user_delegated", "source": {"grant": grant}, "policy": "all", "risk": "write", "owner": "support",
        "inject": {"header": "Authorization", "format": "Bearer {secret}"}, "expires_at": expires_at,
    })
}

/// What alice of the group `support` can connect under these bindings.
fn offered(bindings: Vec<Value>) -> Vec<Offer> {
    let mut state = State::default();
    let fixed = [
        json!({"kind": "Environment", "name": "dev", "tier": "dev"}),
        json!({"kind": "Server", "name": "notes", "environment": "dev", "owner": "support",
            "route": {"url": "https://notes.internal/mcp"}, "tools": {"default_risk": "write"}}),
        json!({"kind": "Provider", "name": "notes", "environment": "dev", "owner": "support",
            "issuer": "https://provider.internal", "client": {"id": "gateway"}, "grants": "vault://kv/grants"}),
    ];
    state.revisions.extend(fixed.into_iter().map(|spec| record(spec, false)));
    state.revisions.extend(bindings.into_iter().map(|spec| record(spec, true)));
    state.put_in_order();
    let snapshot = Snapshot::build(&state, &NoJudge, &[]).unwrap();
    let user = UserIdentity { issuer: "https://idp.internal".into(), subject: "alice".into() };
    let groups = Groups::Known([GroupName::parse("support").unwrap()].into());
    offers(&snapshot, &Person { user, groups }, NOW)
}

fn read() -> Value {
    json!({"provider": "notes", "scopes": ["read"], "tool_scopes": [{"tools": ["write"], "scopes": ["write"]}]})
}

#[test]
fn bindings_on_one_resource_make_one_offer_with_the_scopes_of_all() {
    let more = json!({"provider": "notes", "scopes": ["list", "read"]});
    let member = json!({"groups": ["support"]});
    let alice = json!({"users": ["https://idp.internal|alice"], "agents": ["bot"]});
    let offers = offered(vec![binding("one", member, read(), None), binding("two", alice, more, None)]);
    let [offer] = offers.as_slice() else { panic!("{offers:?}") };
    assert_eq!(offer.provider.name.as_str(), "notes");
    assert_eq!(offer.scopes, ["list", "read"]);
    assert_eq!(offer.all_scopes, ["list", "read", "write"]);
    assert_eq!(offer.servers.iter().map(ServerName::as_str).collect::<Vec<_>>(), ["notes"]);
}

#[test]
fn another_resource_is_another_offer() {
    let other = json!({"provider": "notes", "scopes": ["read"], "resource": "https://other.internal"});
    let any = || json!({"any": true});
    let offers = offered(vec![binding("one", any(), read(), None), binding("two", any(), other, None)]);
    let resources: Vec<_> = offers.iter().map(|offer| offer.resource.as_deref()).collect();
    assert_eq!(resources, [None, Some("https://other.internal")]);
}

#[test]
fn nobody_is_offered_what_only_others_may_use_or_what_is_over() {
    for actor in [json!({"users": ["https://idp.internal|bob"]}), json!({"groups": ["finance"]})] {
        assert!(offered(vec![binding("one", actor, read(), None)]).is_empty());
    }
    let over = binding("one", json!({"any": true}), read(), Some("1970-01-02T00:00:00Z"));
    assert!(offered(vec![over]).is_empty());
}
