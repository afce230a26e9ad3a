//! Whatever operators do in whatever order, these hold.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::manifest::Kind;

#[derive(Clone, Debug)]
enum Act {
    Apply { who: usize, what: usize },
    Approve { who: usize, record: usize },
    Rotate { who: usize, to: usize },
    Disable { who: usize },
    Enable { who: usize },
    Revoke { who: usize },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (0..4_usize, 0..9_usize).prop_map(|(who, what)| Act::Apply { who, what }),
        8 => (0..4_usize, 0..40_usize).prop_map(|(who, record)| Act::Approve { who, record }),
        3 => (0..4_usize, 0..3_usize).prop_map(|(who, to)| Act::Rotate { who, to }),
        1 => (0..4_usize).prop_map(|who| Act::Disable { who }),
        1 => (0..4_usize).prop_map(|who| Act::Enable { who }),
        1 => (0..4_usize).prop_map(|who| Act::Revoke { who }),
    ];
    proptest::collection::vec(act, 1..40)
}

fn people() -> [Operator; 4] {
    let mut alice = operator("i|alice", Role::Editor);
    alice.grants.push(RoleGrant::everywhere(Role::Approver));
    [
        alice,
        operator("i|bob", Role::Admin),
        operator("i|carol", Role::Approver),
        scoped("i|dan", Role::Editor, "support"),
    ]
}

fn menu(what: usize) -> Vec<Spec> {
    let base = || binding("production", SECRET);
    match what {
        0 => world("production"),
        1 => vec![spec(with(base(), "tools", json!(["list", "comment", "x"])))],
        2 => vec![spec(with(base(), "risk", json!("read")))],
        3 => vec![policy("production", "permit (principal, action, resource) when { true };")],
        4 => vec![spec(with(server("production"), "route", json!({"url": "https://other.internal/mcp"})))],
        5 => vec![environment("production", "dev")],
        6 => vec![spec(with(base(), "secret", json!("vault://kv/platform/x#y")))],
        7 => vec![spec(with(base(), "environment", json!("dev")))],
        _ => vec![spec(base())],
    }
}

fn perform_act(bench: &mut Bench, act: &Act) {
    let people = people();
    match act {
        Act::Apply { who, what } => drop(bench.apply(&people[*who], &menu(*what))),
        Act::Approve { who, record } => {
            let target = bench.state.revisions.iter().rev().nth(*record).map(|r| (r.key.clone(), r.revision));
            if let Some((key, revision)) = target
                && let Ok(signed) = approve(&bench.context(&people[*who]), &key, revision)
            {
                bench.commit(&signed.change);
            }
        }
        Act::Rotate { who, to } => {
            let to =
                ["vault://kv/support/bot#token?version=2", "vault://kv/support/b#c", "sealed://x#y"][*to];
            drop(bench.rotate(&people[*who], BINDING, Some(to)));
        }
        Act::Disable { who } | Act::Enable { who } | Act::Revoke { who } => {
            let (key, context) = (bench.key(BINDING), bench.context(&people[*who]));
            let switched = match act {
                Act::Disable { .. } => disable(&context, &key),
                Act::Enable { .. } => enable(&context, &key),
                _ => revoke(&context, &key),
            };
            if let Ok(switched) = switched {
                bench.commit(&switched.change);
            }
        }
    }
}

fn check(bench: &Bench, revoked: &mut bool) -> Result<(), TestCaseError> {
    let key = bench.key(BINDING);
    for record in &bench.state.revisions {
        prop_assert!(
            record.approvals.iter().all(|approval| approval.approver != record.author),
            "{record:?}"
        );
        if let Spec::Binding(spec) = &record.spec {
            let store = spec.secret.as_ref().and_then(|secret| bench.stores.entry(secret.store())).unwrap();
            prop_assert!(store.environments.contains(&spec.environment), "environments are equal");
        }
    }
    let standing =
        bench.state.history(&key).filter(|r| matches!(r.status, Lifecycle::Active | Lifecycle::Disabled));
    prop_assert!(standing.count() <= 1);
    if *revoked {
        prop_assert!(bench.state.standing(&key).is_none(), "revoked never comes back");
    }
    *revoked |= bench.state.history(&key).any(|record| record.status == Lifecycle::Revoked);
    // A path of another team decides only with that team's signature.
    if let Some(record) = bench.state.active(&key)
        && record.spec != spec(binding("production", SECRET))
        && matches!(&record.spec, Spec::Binding(b) if b.secret.as_ref().unwrap().to_string().contains("platform"))
    {
        let by_platform = record.approvals.iter().flat_map(|approval| &approval.capacities);
        let consent = crate::state::Capacity::Path("platform".parse().unwrap());
        prop_assert!(by_platform.into_iter().any(|capacity| *capacity == consent));
    }
    // Nobody alone gets a route, policy or binding into force in production.
    for record in bench.state.revisions.iter().filter(|r| r.status == Lifecycle::Active) {
        if matches!(record.key.kind, Kind::Server | Kind::Policy) && record.revision > Revision(0) {
            prop_assert!(!record.approvals.is_empty() || lowered(bench), "{record:?}");
        }
    }
    Ok(())
}

/// Whether the environment's own rule was lowered, which takes an approval itself.
fn lowered(bench: &Bench) -> bool {
    bench
        .state
        .history(&bench.key("Environment/production"))
        .any(|r| r.revision > Revision(1) && !r.approvals.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn no_path_breaks_the_rules(acts in acts()) {
        let mut bench = Bench::new();
        bench.apply(&people()[0], &menu(0)).unwrap();
        let mut revoked = false;
        for act in &acts {
            perform_act(&mut bench, act);
            check(&bench, &mut revoked)?;
        }
    }

    #[test]
    fn what_is_narrowed_and_widened_again_is_a_loosening(risk in 0..3_usize, other in 0..3_usize) {
        let risks = ["read", "write", "destructive"];
        let of = |risk: usize| spec(with(binding("production", SECRET), "risk", json!(risks[risk])));
        let expected = if other > risk { Effect::Loosening } else { Effect::Tightening };
        prop_assert_eq!(effect(Some(&of(risk)), &of(other)), expected);
    }
}
