use serde_json::json;

use super::*;

fn refused(bench: &mut Bench, json: serde_json::Value) -> Vec<&'static str> {
    bench.apply(&operator("i|alice", Role::Editor), &[spec(json)]).unwrap_err()
}

fn status_of(written: &[Written]) -> Lifecycle {
    written.first().unwrap().status
}

#[test]
fn dev_without_approvals_decides_at_once_and_again_changes_nothing() {
    let mut bench = Bench::dev();
    assert_eq!(bench.status(DEV_BINDING, 1), Lifecycle::Active);
    assert!(bench.state.active(&bench.key(DEV_BINDING)).unwrap().pins.is_some());
    let epoch = bench.state.epoch;
    let again = bench.apply(&operator("i|alice", Role::Editor), &world("dev")).unwrap();
    assert!(again.iter().all(|written| written.outcome == WrittenAs::Unchanged));
    assert_eq!(bench.state.epoch, epoch);
}

#[test]
fn production_waits_and_approvals_come_in_the_order_of_dependence() {
    let mut bench = Bench::new();
    let written = bench.apply(&operator("i|alice", Role::Editor), &world("production")).unwrap();
    assert_eq!(written.iter().filter(|w| w.status == Lifecycle::Pending).count(), 4);
    let bob = operator("i|bob", Role::Approver);
    assert_eq!(bench.approve(&bob, BINDING, 1), Err(vec!["approval.dependency"]));
}

#[test]
fn the_author_never_approves_its_own_work_even_as_admin() {
    let mut bench = Bench::new();
    let alice = operator("i|alice", Role::Admin);
    bench.apply(&alice, &world("production")).unwrap();
    assert_eq!(bench.approve(&alice, "Server/production/github", 1), Err(vec!["approval.own_work"]));
}

#[test]
fn findings_name_every_broken_rule() {
    let mut bench = Bench::production();
    let base = || binding("production", SECRET);
    let cases = [
        (with(base(), "server", json!("nowhere")), "server.undeclared"),
        (with(base(), "policy", json!("nowhere")), "policy.undeclared"),
        (with(base(), "environment", json!("nowhere")), "environment.unknown"),
        (with(base(), "actor", json!({"agents": ["ghost"]})), "agent.undeclared"),
        (with(base(), "actor", json!({})), "binding.no_actor"),
        (with(base(), "actor", json!({"users": ["bob"]})), "binding.actor_user"),
        (with(base(), "actor", json!({"any": true})), "production.any_actor"),
        (with(base(), "secret", json!("ghost://a#b")), "store.unknown"),
        (with(base(), "secret", json!("sealed://a#b")), "store.environment"),
        (with(base(), "secret", json!("vault://kv/other/x#y")), "path.unowned"),
        (with(base(), "secret", json!("vault://kv/support/{user.sub}#y")), "reference.template"),
        (with(base(), "secret", json!("bare://x#y")), "store.undelegated"),
        (with(base(), "secret", json!("local://s/x#y")), "production.local_store"),
        (with(base(), "secret", json!(null)), "binding.secret_missing"),
        (with(base(), "inject", json!(null)), "binding.inject_missing"),
        (with(base(), "inject", json!({"query": "key"})), "production.query_injection"),
        (with(base(), "mode", json!("user_delegated")), "binding.mode"),
        (with(base(), "mode", json!("agent_scoped")), "agent.owns_no_tools"),
        (with(base(), "mode", json!("workload_identity")), "binding.mode"),
        (with(base(), "actor", json!({"workloads": ["ghost"]})), "workload.undeclared"),
        (sourced(json!({"grant": {"provider": "ghost"}}), "user_delegated"), "provider.undeclared"),
        (sourced(json!({"grant": {"provider": "ghost"}}), "service_account"), "binding.mode"),
        (sourced(json!({"grant": {"provider": "x", "scopes": ["a b"]}}), "user_delegated"), "binding.source"),
        (sourced(json!({"minted": {"lifetime_seconds": 5}}), "agent_scoped"), "binding.source"),
        (sourced(of_user(json!(null)), "user_delegated"), "binding.source"),
        (sourced(json!({"minted": {}}), "agent_scoped"), "binding.source_unavailable"),
        (with(base(), "source", json!({"minted": {}})), "binding.source"),
        (with(base(), "risk", json!("destructive")), "binding.risk_ceiling"),
        (with(base(), "review_by", json!("soon")), "binding.review_by"),
        (with(base(), "expires_at", json!("2020-01-01T00:00:00Z")), "binding.expires_in_past"),
        (with(base(), "limits", json!({"calls_per_minute": 0})), "binding.limits"),
        (with(base(), "name", json!("copy")), "binding.tied"),
    ];
    for (json, code) in cases {
        assert!(refused(&mut bench, json.clone()).contains(&code), "{code}: {json}");
    }
    let route = with(server("production"), "route", json!({"url": "ftp://x/"}));
    assert!(refused(&mut bench, route).contains(&"server.route"));
}

#[test]
fn a_provider_that_cannot_be_asked_is_refused_with_its_code() {
    let mut bench = Bench::production();
    let base = || {
        json!({
            "kind": "Provider", "name": "notes", "environment": "production", "owner": "support",
            "issuer": "https://auth.example", "client": {"id": "gateway"}
        })
    };
    let basic = json!({"client_secret_basic": {"secret": "sealed://client#secret"}});
    let cases = [
        (with(base(), "issuer", json!("http://auth.example")), "provider.issuer"),
        (with(base(), "origins", json!(["https://auth.example/path"])), "provider.origin"),
        (with(base(), "client", json!({})), "provider.client"),
        (with(base(), "client", json!({"id": ""})), "provider.client"),
        (with(base(), "client", json!({"registration": "dynamic"})), "provider.client"),
        (with(base(), "client", json!({"registration": "metadata_document"})), "provider.client"),
        (with(base(), "client", json!({"id": "gateway", "authentication": basic})), "store.environment"),
    ];
    for (json, code) in cases {
        assert!(refused(&mut bench, json.clone()).contains(&code), "{code}: {json}");
    }
    // Two manifests at once: the provider is fine, and has nothing to sign an assertion with.
    let source = json!({"jwt_bearer": {"token": {"provider": "notes"}, "subject": "client"}});
    let both = [spec(base()), spec(sourced(source, "service_account"))];
    let codes = bench.apply(&operator("i|alice", Role::Editor), &both).unwrap_err();
    assert!(codes.contains(&"binding.source"), "{codes:?}");
}

#[test]
fn a_client_of_the_gateways_own_passes_where_the_gateway_has_that_registration() {
    let mut bench = Bench::production();
    let provider = |client: serde_json::Value| {
        json!({
            "kind": "Provider", "name": "notes", "environment": "production", "owner": "support",
            "issuer": "https://auth.example", "client": client
        })
    };
    let documented = || provider(json!({"registration": "metadata_document"}));
    let dynamic =
        || with(provider(json!({"registration": "dynamic"})), "grants", json!("vault://kv/support/notes"));
    for json in [documented(), dynamic()] {
        assert!(refused(&mut bench, json.clone()).contains(&"provider.client"), "not there yet: {json}");
    }
    bench.facts.sources = ["metadata_document", "dynamic"].into();
    let basic = json!({"client_secret_basic": {"secret": "vault://kv/support/client#secret"}});
    let endpoints = json!({"token": "https://auth.example/token"});
    for (json, code) in [
        (provider(json!({"registration": "metadata_document", "id": "gateway"})), "provider.client"),
        (provider(json!({"registration": "dynamic", "authentication": basic})), "provider.client"),
        (with(documented(), "endpoints", endpoints.clone()), "provider.client"),
        (with(dynamic(), "endpoints", endpoints), "provider.client"),
        (provider(json!({"registration": "dynamic"})), "provider.grants"),
    ] {
        assert!(refused(&mut bench, json.clone()).contains(&code), "{code}: {json}");
    }
    // The test's store takes no values; nothing else stands in the way.
    assert_eq!(refused(&mut bench, dynamic()), ["provider.grants"]);
    let signed = json!({"registration": "metadata_document", "authentication": "gateway_key"});
    for json in [documented(), provider(signed)] {
        assert!(bench.apply(&operator("i|alice", Role::Editor), &[spec(json)]).is_ok());
    }
}

#[test]
fn an_assertion_about_a_user_names_the_issuer_that_the_provider_knows() {
    let mut bench = Bench::production();
    let named = refused(&mut bench, sourced(of_user(json!("https://idp.example")), "user_delegated"));
    assert!(!named.contains(&"binding.source"), "{named:?}");
    let nobodys = refused(&mut bench, sourced(of_user(json!(null)), "user_delegated"));
    assert!(nobodys.contains(&"binding.source"), "{nobodys:?}");
}

fn of_user(issuer: serde_json::Value) -> serde_json::Value {
    json!({"jwt_bearer": {"token": {"provider": "ghost"}, "subject": "user", "user_issuer": issuer}})
}

fn sourced(source: serde_json::Value, mode: &str) -> serde_json::Value {
    let json = with(binding("production", SECRET), "secret", json!(null));
    with(with(json, "source", source), "mode", json!(mode))
}

#[test]
fn a_binding_never_reaches_into_another_environment() {
    let mut bench = Bench::production();
    bench
        .apply(&operator("i|alice", Role::Editor), &[environment("dev", "dev"), policy("dev", PERMIT)])
        .unwrap();
    let codes = refused(&mut bench, binding("dev", SECRET));
    assert!(codes.contains(&"server.environment"), "{codes:?}");
    assert!(codes.contains(&"store.environment"), "{codes:?}");
}

#[test]
fn exceptions_open_one_rule_each_and_need_a_reason() {
    let mut bench = Bench::production();
    let local = with(binding("production", "local://s/x#y"), "name", json!("b2"));
    let local = with(local, "actor", json!({"groups": ["support"]}));
    let excused =
        |reason: &str| with(local.clone(), "exceptions", json!([{"rule": "local_store", "reason": reason}]));
    assert!(refused(&mut bench, excused(" ")).contains(&"binding.exception_reason"));
    let alice = operator("i|alice", Role::Editor);
    assert_eq!(status_of(&bench.apply(&alice, &[spec(excused("pilot"))]).unwrap()), Lifecycle::Pending);
}

#[test]
fn an_editor_of_another_team_can_neither_write_nor_take_over() {
    let mut bench = Bench::dev();
    let mallory = scoped("i|mallory", Role::Editor, "mallory");
    let taken = with(binding("dev", "sealed://bot#token"), "owner", json!("mallory"));
    assert_eq!(bench.apply(&mallory, &[spec(taken)]), Err(vec!["operator.forbidden"]));
    let changed = with(binding("dev", "sealed://bot#token"), "risk", json!("read"));
    assert_eq!(bench.apply(&mallory, &[spec(changed)]), Err(vec!["operator.forbidden"]));
}

#[test]
fn tightening_acts_at_once_and_loosening_waits_beside_it() {
    let mut bench = Bench::production();
    let alice = operator("i|alice", Role::Editor);
    for tighter in [
        with(binding("production", SECRET), "risk", json!("read")),
        with(with(binding("production", SECRET), "risk", json!("read")), "tools", json!(["list"])),
        with(with(binding("production", SECRET), "risk", json!("read")), "tools", json!(["list"]))
            .as_object()
            .map(|o| with(o.clone().into(), "limits", json!({"calls_per_minute": 5})))
            .unwrap(),
    ] {
        assert_eq!(status_of(&bench.apply(&alice, &[spec(tighter)]).unwrap()), Lifecycle::Active);
    }
    let looser = bench.apply(&alice, &[spec(binding("production", SECRET))]).unwrap();
    assert_eq!(status_of(&looser), Lifecycle::Pending);
    let active = bench.state.active(&bench.key(BINDING)).unwrap();
    assert_eq!(active.revision, Revision(4));
    assert!(active.pins.is_some(), "a tightened binding keeps what was approved");
}

#[test]
fn a_newer_pending_revision_withdraws_the_older() {
    let mut bench = Bench::production();
    let alice = operator("i|alice", Role::Editor);
    for tools in [json!(["list", "comment", "a"]), json!(["list", "comment", "b"])] {
        bench.apply(&alice, &[spec(with(binding("production", SECRET), "tools", tools))]).unwrap();
    }
    assert_eq!(bench.status(BINDING, 2), Lifecycle::Withdrawn);
    assert_eq!(
        bench.approve(&operator("i|bob", Role::Approver), BINDING, 2),
        Err(vec!["approval.not_pending"])
    );
    assert_eq!(bench.approve(&operator("i|bob", Role::Approver), BINDING, 3), Ok(Lifecycle::Active));
    assert_eq!(bench.status(BINDING, 1), Lifecycle::Superseded);
}

#[test]
fn a_loosened_policy_or_a_new_route_waits_and_then_asks_for_its_bindings_again() {
    let mut bench = Bench::production();
    let (alice, bob) = (operator("i|alice", Role::Editor), operator("i|bob", Role::Approver));
    let moved = with(server("production"), "route", json!({"url": "https://evil.example/mcp"}));
    let cases = [
        (
            policy("production", "permit (principal, action, resource) when { true };"),
            "Policy/production/triage",
        ),
        (spec(moved), "Server/production/github"),
    ];
    for (round, (changed, key)) in (2..).zip(cases) {
        assert_eq!(status_of(&bench.apply(&alice, &[changed]).unwrap()), Lifecycle::Pending);
        assert_eq!(bench.state.active(&bench.key(key)).unwrap().revision, Revision(1));
        let before = bench.state.active(&bench.key(BINDING)).unwrap().pins.clone();
        assert_eq!(bench.approve(&bob, key, 2), Ok(Lifecycle::Active));
        assert_eq!(bench.state.active(&bench.key(BINDING)).unwrap().pins, before, "the old content decides");
        assert_eq!(bench.status(BINDING, round), Lifecycle::Pending);
        assert_eq!(bench.approve(&bob, BINDING, round), Ok(Lifecycle::Active));
    }
    let pins = bench.state.active(&bench.key(BINDING)).unwrap().pins.clone().unwrap();
    assert_eq!((pins.server, pins.policy), (Revision(2), Revision(2)));
}

#[test]
fn a_raised_risk_acts_at_once_and_pins_follow() {
    let mut bench = Bench::production();
    let riskier = with(server("production"), "tools", json!({"default_risk": "destructive"}));
    let written = bench.apply(&operator("i|alice", Role::Editor), &[spec(riskier)]).unwrap();
    assert_eq!(status_of(&written), Lifecycle::Active);
    assert_eq!(bench.state.active(&bench.key(BINDING)).unwrap().pins.clone().unwrap().server, Revision(2));
}

#[test]
fn a_changed_policy_in_dev_repins_at_once() {
    let mut bench = Bench::dev();
    bench
        .apply(&operator("i|alice", Role::Editor), &[policy("dev", "forbid (principal, action, resource);")])
        .unwrap();
    let active = bench.state.active(&bench.key(DEV_BINDING)).unwrap();
    assert_eq!((active.revision, active.pins.clone().unwrap().policy), (Revision(1), Revision(2)));
}

#[test]
fn another_teams_path_needs_that_teams_consent() {
    let mut bench = Bench::production();
    let alice = operator("i|alice", Role::Editor);
    let foreign = binding("production", "vault://kv/platform/root#token");
    let written = bench.apply(&alice, &[spec(foreign)]).unwrap();
    assert_eq!(written.first().unwrap().missing.len(), 2, "environment and path");
    let support = scoped("i|bob", Role::Approver, "support");
    assert_eq!(bench.approve(&support, BINDING, 2), Ok(Lifecycle::Pending));
    assert_eq!(bench.approve(&support, BINDING, 2), Err(vec!["approval.already"]));
    assert_eq!(
        bench.approve(&scoped("i|eve", Role::Approver, "support"), BINDING, 2),
        Err(vec!["operator.forbidden"])
    );
    assert_eq!(
        bench.approve(&scoped("i|pam", Role::Approver, "platform"), BINDING, 2),
        Ok(Lifecycle::Active)
    );
}

#[test]
fn raising_the_tier_is_refused_while_bindings_break_the_stricter_rules() {
    let mut bench = Bench::dev();
    let codes =
        bench.apply(&operator("i|alice", Role::Editor), &[environment("dev", "production")]).unwrap_err();
    assert_eq!(codes, ["environment.tier"]);
}

#[test]
fn lowering_the_approval_rule_of_production_needs_an_approval_itself() {
    let mut bench = Bench::production();
    let written =
        bench.apply(&operator("i|alice", Role::Admin), &[environment("production", "dev")]).unwrap();
    assert_eq!(status_of(&written), Lifecycle::Pending);
}

#[test]
fn prune_disables_what_is_missing_and_nothing_elsewhere() {
    let mut bench = Bench::dev();
    let alice = operator("i|alice", Role::Editor);
    let environments = ["dev".parse().unwrap()];
    let manifests = Manifests { specs: &[environment("dev", "dev")], prune: &environments };
    let applied = apply(&bench.context(&alice), &manifests).unwrap();
    bench.commit(&applied.change.unwrap());
    assert_eq!(bench.status(DEV_BINDING, 1), Lifecycle::Disabled);
    assert_eq!(bench.status("Policy/dev/triage", 1), Lifecycle::Active, "what it forbids still holds");
}

#[test]
fn diff_tells_fields_and_effects_and_export_comes_back_unchanged() {
    let mut bench = Bench::dev();
    let wanted = spec(with(binding("dev", "sealed://bot#token"), "risk", json!("read")));
    let differences = diff(&bench.state, &[wanted]);
    let changed = differences.iter().find(|d| d.kind == DifferenceKind::Changed).unwrap();
    assert_eq!((changed.fields[0].field, changed.fields[0].effect), ("risk", Effect::Tightening));
    assert!(differences.iter().any(|d| d.kind == DifferenceKind::Undeclared));
    let exported = export(&bench.state);
    let written = bench.apply(&operator("i|alice", Role::Editor), &exported).unwrap();
    assert!(written.iter().all(|w| w.outcome == WrittenAs::Unchanged));
}
