use std::time::Duration;

use serde_json::json;

use super::*;
use crate::audit::EventKind;
use crate::identity::{Entry, TokenDigest};
use crate::secret::Secret;

#[test]
fn another_version_switches_at_once_and_another_path_waits() {
    let mut bench = Bench::production();
    let alice = operator("i|alice", Role::Editor);
    let step = bench.rotate(&alice, BINDING, Some("vault://kv/support/bot#token?version=2"));
    assert_eq!(step, Ok(RotationStep::Switched(Revision(2))));
    assert_eq!(bench.status(BINDING, 1), Lifecycle::Superseded);
    let step = bench.rotate(&alice, BINDING, Some("vault://kv/support/other#token"));
    assert!(matches!(step, Ok(RotationStep::Waits(Revision(3), _))), "{step:?}");
    assert_eq!(bench.state.active(&bench.key(BINDING)).unwrap().revision, Revision(2));
    assert_eq!(bench.rotate(&alice, BINDING, None), Ok(RotationStep::Refreshed(Revision(2))));
}

#[test]
fn an_approver_who_rotates_is_author_and_no_longer_approver() {
    let mut bench = Bench::production();
    let bob = operator("i|bob", Role::Admin);
    bench.rotate(&bob, BINDING, Some("vault://kv/support/bot#token?version=2")).unwrap();
    assert!(bench.state.active(&bench.key(BINDING)).unwrap().approvals.is_empty());
}

#[test]
fn a_manifest_from_before_a_rotation_is_drift_and_the_same_reference_is_not() {
    let mut bench = Bench::production();
    let alice = operator("i|alice", Role::Editor);
    bench.rotate(&alice, BINDING, Some("vault://kv/support/bot#token?version=2")).unwrap();
    bench.rotate(&alice, BINDING, Some("vault://kv/support/bot#token?version=3")).unwrap();
    let stale = spec(binding("production", SECRET));
    assert_eq!(bench.apply(&alice, &[stale]), Err(vec!["binding.drift"]));
    let same = spec(binding("production", "vault://kv/support/bot#token?version=3"));
    assert_eq!(bench.apply(&alice, &[same]).unwrap()[0].outcome, WrittenAs::Unchanged);
}

#[test]
fn revoking_ends_every_revision_and_the_name_stays_refused() {
    let mut bench = Bench::production();
    let alice = operator("i|alice", Role::Editor);
    bench.apply(&alice, &[spec(with(binding("production", SECRET), "tools", json!(["x"])))]).unwrap();
    let switched = revoke(&bench.context(&alice), &bench.key(BINDING)).unwrap();
    assert!(switched.change.events.iter().any(|event| event.kind == EventKind::BindingRevoked));
    bench.commit(&switched.change);
    assert_eq!(
        (bench.status(BINDING, 1), bench.status(BINDING, 2)),
        (Lifecycle::Revoked, Lifecycle::Revoked)
    );
    let again = bench.apply(&alice, &[spec(binding("production", SECRET))]);
    assert!(again.unwrap_err().contains(&"binding.revoked_name"));
    assert_eq!(
        bench.approve(&operator("i|bob", Role::Approver), BINDING, 2),
        Err(vec!["approval.not_pending"])
    );
    assert_eq!(codes(revoke(&bench.context(&alice), &bench.key(BINDING)).unwrap_err()), ["object.state"]);
}

#[test]
fn enabling_in_production_is_an_approvers_act_and_disabling_is_not() {
    let mut bench = Bench::production();
    let (alice, bob) = (operator("i|alice", Role::Editor), operator("i|bob", Role::Approver));
    let change = disable(&bench.context(&alice), &bench.key(BINDING)).unwrap().change;
    bench.commit(&change);
    assert_eq!(
        codes(enable(&bench.context(&alice), &bench.key(BINDING)).unwrap_err()),
        ["operator.forbidden"]
    );
    let change = enable(&bench.context(&bob), &bench.key(BINDING)).unwrap().change;
    bench.commit(&change);
    assert_eq!(bench.status(BINDING, 1), Lifecycle::Active);
}

#[test]
fn approving_a_change_of_a_disabled_binding_does_not_switch_it_on() {
    let mut bench = Bench::production();
    let (alice, bob) = (operator("i|alice", Role::Editor), operator("i|bob", Role::Approver));
    let change = disable(&bench.context(&alice), &bench.key(BINDING)).unwrap().change;
    bench.commit(&change);
    bench
        .apply(&alice, &[spec(with(binding("production", SECRET), "tools", json!(["list", "comment", "x"])))])
        .unwrap();
    assert_eq!(bench.approve(&bob, BINDING, 2), Ok(Lifecycle::Disabled));
}

#[test]
fn a_policy_cannot_be_switched_off() {
    let bench = Bench::dev();
    let admin = operator("i|alice", Role::Admin);
    assert_eq!(
        codes(disable(&bench.context(&admin), &bench.key("Policy/dev/triage")).unwrap_err()),
        ["object.kind"]
    );
}

#[test]
fn an_expired_binding_is_swept_once() {
    let mut bench = Bench::dev();
    let end = bench.now.plus(Duration::from_secs(10)).to_string();
    let ending = with(binding("dev", "sealed://bot#token"), "expires_at", json!(end));
    bench.apply(&operator("i|alice", Role::Editor), &[spec(ending)]).unwrap();
    assert!(expire(&bench.state, bench.now).is_none());
    let later = bench.now.plus(Duration::from_secs(11));
    let change = expire(&bench.state, later).unwrap();
    bench.commit(&change);
    assert_eq!(bench.status(DEV_BINDING, 2), Lifecycle::Expired);
    assert!(expire(&bench.state, later).is_none());
}

fn minted(seed: u8) -> MintedToken {
    let digest = TokenDigest::of(&Secret::new(vec![seed; 32]));
    MintedToken { digest, id: format!("id-{seed}") }
}

fn wish<'a>(agent: &'a crate::id::AgentName, entries: &'a [Entry], days: u64) -> TokenWish<'a> {
    TokenWish { agent, entries, lifetime: Duration::from_secs(days * 86_400) }
}

#[test]
fn agent_tokens_are_bounded_and_kept_out_of_production() {
    let mut bench = Bench::dev();
    let alice = operator("i|alice", Role::Editor);
    let bot = "bot".parse().unwrap();
    let token = minted(7);
    let dev = [Entry { environment: "dev".parse().unwrap(), servers: None }];
    let (record, change) = issue_agent_token(&bench.context(&alice), &wish(&bot, &dev, 90), &token).unwrap();
    bench.commit(&change);
    let long = issue_agent_token(&bench.context(&alice), &wish(&bot, &dev, 91), &token).unwrap_err();
    assert_eq!(codes(long), ["agent_token.lifetime"]);
    let change = revoke_agent_token(&bench.context(&alice), &record.id).unwrap();
    bench.commit(&change);
    assert!(bench.state.agent_tokens[0].revoked_at.is_some());

    let bench = Bench::production();
    let production = [Entry { environment: "production".parse().unwrap(), servers: None }];
    let refused = issue_agent_token(&bench.context(&alice), &wish(&bot, &production, 1), &token).unwrap_err();
    assert_eq!(codes(refused), ["agent_token.environment"]);
}

#[test]
fn a_bootstrap_token_opens_one_login_and_nothing_else() {
    let mut bench = Bench::new();
    let token = minted(1);
    let change = issue_bootstrap(&bench.state, &token, Duration::from_secs(60), bench.now).unwrap();
    bench.commit(&change);
    assert!(operator_by_token(&bench.state, token.digest, bench.now).is_none());
    let mine = minted(2);
    let stolen = login(&bench.state, token.digest, "https://idp|bob", &mine, bench.now);
    assert_eq!(codes(stolen.unwrap_err()), ["login.name"]);
    let (_, change) = login(&bench.state, token.digest, "alice", &mine, bench.now).unwrap();
    bench.commit(&change);
    let alice = operator_by_token(&bench.state, mine.digest, bench.now).unwrap();
    assert_eq!(alice.name.as_str(), "alice");
    let again = login(&bench.state, token.digest, "eve", &minted(3), bench.now);
    assert_eq!(codes(again.unwrap_err()), ["login.refused"]);
}

#[test]
fn the_card_shows_who_what_where_and_what_waits() {
    let mut bench = Bench::production();
    let alice = operator("i|alice", Role::Editor);
    bench
        .apply(&alice, &[spec(with(binding("production", SECRET), "tools", json!(["list", "comment", "x"])))])
        .unwrap();
    let card = crate::card::card(&bench.state, &bench.stores, &bench.key(BINDING)).unwrap();
    assert_eq!(card.who, "agent bot");
    assert_eq!(card.destination.as_deref(), Some("https://github.internal/mcp"));
    assert_eq!(card.how.as_deref(), Some("header `authorization` as `Bearer {secret}`"));
    assert_eq!(card.approvals[0].approver.as_str(), "i|bob");
    let pending = card.pending.unwrap();
    assert_eq!((pending.changes[0].field, pending.missing.len()), ("tools", 1));
}

#[test]
fn the_card_names_the_active_bindings_that_it_shadows_alone_and_among_many() {
    let mut bench = Bench::dev();
    let alice = operator("i|alice", Role::Editor);
    let beside = |name: &str, field: &str, value: serde_json::Value| {
        spec(with(with(binding("dev", "sealed://bot#token"), "name", json!(name)), field, value))
    };
    let elsewhere = spec(with(server("dev"), "name", json!("other")));
    bench.apply(&alice, &[elsewhere, beside("off", "tools", json!([]))]).unwrap();
    let change = disable(&bench.context(&alice), &bench.key("Binding/dev/off")).unwrap().change;
    bench.commit(&change);
    let written = [
        beside("wide", "tools", json!([])),
        beside("apart", "tools", json!(["push"])),
        beside("far", "server", json!("other")),
    ];
    bench.apply(&alice, &written).unwrap();
    let neighbours = crate::card::Neighbours::of(&bench.state);
    for (name, shadowed) in [
        ("bot-github", vec!["wide"]),
        ("wide", vec![]),
        ("off", vec![]),
        ("apart", vec!["wide"]),
        ("far", vec![]),
    ] {
        let key = bench.key(&format!("Binding/dev/{name}"));
        let alone = crate::card::card(&bench.state, &bench.stores, &key).unwrap();
        let names: Vec<&str> = alone.shadows.iter().map(crate::id::BindingName::as_str).collect();
        assert_eq!(names, shadowed, "{name}");
        assert_eq!(crate::card::card_among(&bench.state, &bench.stores, &neighbours, &key).unwrap(), alone);
    }
}

#[test]
fn an_agents_tokens_end_with_it_for_good_and_its_name_stays_refused() {
    for (act, status) in [(disable as Act, Lifecycle::Disabled), (revoke as Act, Lifecycle::Revoked)] {
        let mut bench = Bench::dev();
        let (alice, bot) = (operator("i|alice", Role::Editor), "bot".parse().unwrap());
        let dev = [Entry { environment: "dev".parse().unwrap(), servers: None }];
        for seed in [7, 8] {
            let issued = issue_agent_token(&bench.context(&alice), &wish(&bot, &dev, 1), &minted(seed));
            let change = issued.unwrap().1;
            bench.commit(&change);
        }
        let key = bench.key("Agent/bot");
        let switched = act(&bench.context(&alice), &key).unwrap();
        assert_eq!(switched.tokens, 2);
        let told = switched.change.events.iter().filter(|event| event.kind == EventKind::AgentTokenRevoked);
        assert_eq!(told.count(), 2);
        bench.commit(&switched.change);
        assert_eq!(bench.status("Agent/bot", 1), status);
        assert!(bench.state.agent_tokens.iter().all(|token| token.revoked_at.is_some()));
        let stranger = act(&bench.context(&operator("i|carol", Role::Viewer)), &key);
        assert!(stranger.is_err());
    }
}

type Act = fn(&Context<'_>, &ObjectKey) -> Result<Switched, Vec<Finding>>;
