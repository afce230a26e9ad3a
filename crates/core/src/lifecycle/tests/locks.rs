//! Locks: who may make and lift them, and what is refused.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::audit::EventKind;
use crate::lock::{LONGEST, LockSelector};

fn wish(bench: &Bench, selector: serde_json::Value) -> LockWish {
    LockWish {
        selector: serde_json::from_value::<LockSelector>(selector).unwrap(),
        reason: "a key leaked".to_owned(),
        until: bench.now.plus(Duration::from_secs(3_600)),
    }
}

impl Bench {
    fn lock(&mut self, who: &Operator, wish: LockWish) -> Result<String, Vec<&'static str>> {
        let id = format!("lock-{}", self.state.locks.len());
        let (record, change) = create_lock(&self.context(who), wish, id).map_err(codes)?;
        self.commit(&change);
        Ok(record.id)
    }

    fn lift(&mut self, who: &Operator, id: &str) -> Result<(), Vec<&'static str>> {
        let (_, change) = lift_lock(&self.context(who), id).map_err(codes)?;
        self.commit(&change);
        Ok(())
    }
}

#[test]
fn an_editor_locks_within_the_environment_and_only_an_administrator_beyond() {
    let mut bench = Bench::production();
    let (alice, root) = (operator("i|alice", Role::Editor), operator("i|root", Role::Admin));
    let carol = operator("i|carol", Role::Viewer);
    let here = json!({"environment": "production", "server": "github"});
    assert_eq!(bench.lock(&alice, wish(&bench, here.clone())), Ok("lock-0".to_owned()));
    assert_eq!(bench.lock(&carol, wish(&bench, here)), Err(vec!["operator.forbidden"]));
    for beyond in [json!({"everything": true}), json!({"agent": "bot"}), json!({"server": "github"})] {
        assert_eq!(bench.lock(&alice, wish(&bench, beyond.clone())), Err(vec!["operator.forbidden"]));
        bench.lock(&root, wish(&bench, beyond)).unwrap();
    }
    // A team locks what is its own, and nothing else of the environment.
    let (own, other) = (scoped("i|eve", Role::Editor, "support"), scoped("i|fay", Role::Editor, "platform"));
    let agent = json!({"environment": "production", "agent": "bot"});
    bench.lock(&own, wish(&bench, agent.clone())).unwrap();
    assert_eq!(bench.lock(&other, wish(&bench, agent)), Err(vec!["operator.forbidden"]));
    let whole = json!({"environment": "production"});
    assert_eq!(bench.lock(&own, wish(&bench, whole)), Err(vec!["operator.forbidden"]));
}

#[test]
fn refuses_locks_on_nothing_without_reason_or_without_end() {
    let mut bench = Bench::production();
    let root = operator("i|root", Role::Admin);
    for (selector, code) in [
        (json!({}), "lock.selector"),
        (json!({"everything": true, "server": "github"}), "lock.selector"),
        (json!({"user": "alice"}), "lock.selector"),
        (json!({"environment": "prodution"}), "lock.undeclared"),
        (json!({"environment": "production", "server": "gitlab"}), "lock.undeclared"),
        (json!({"binding": "nothing"}), "lock.undeclared"),
        (json!({"agent": "nobody"}), "lock.undeclared"),
        (json!({"store": "elsewhere"}), "lock.undeclared"),
    ] {
        assert_eq!(bench.lock(&root, wish(&bench, selector.clone())), Err(vec![code]), "{selector}");
    }
    let all = || wish(&Bench::new(), json!({"everything": true}));
    let long = "x".repeat(501);
    for reason in ["", "  ", "two\nlines", long.as_str()] {
        let wish = LockWish { reason: reason.to_owned(), ..all() };
        assert_eq!(bench.lock(&root, wish), Err(vec!["lock.reason"]), "{reason}");
    }
    for until in [bench.now, bench.now.plus(LONGEST + Duration::from_secs(1))] {
        let wish = LockWish { until, ..all() };
        assert_eq!(bench.lock(&root, wish), Err(vec!["lock.until"]));
    }
    let longest = LockWish { until: bench.now.plus(LONGEST), ..all() };
    bench.lock(&root, longest).unwrap();
    assert_eq!(bench.state.locks.len(), 1);
}

#[test]
fn with_approvals_somebody_else_lifts_and_without_them_the_author_may() {
    let mut bench = Bench::production();
    let (alice, bob) = (operator("i|alice", Role::Editor), operator("i|bob", Role::Approver));
    let both = operator("i|alice", Role::Admin);
    let id = bench.lock(&alice, wish(&bench, json!({"environment": "production"}))).unwrap();
    assert_eq!(bench.lift(&alice, &id), Err(vec!["operator.forbidden"]));
    assert_eq!(bench.lift(&both, &id), Err(vec!["lock.own"]), "not even an administrator lifts their own");
    assert_eq!(bench.lift(&bob, "lock-9"), Err(vec!["object.unknown"]));
    assert_eq!(bench.lift(&bob, &id), Ok(()));
    assert_eq!(bench.lift(&bob, &id), Err(vec!["lock.ended"]));
    assert_eq!(bench.state.locks[0].ended.as_ref().unwrap().by.as_ref().unwrap().as_str(), "i|bob");

    let mut bench = Bench::dev();
    let id = bench.lock(&alice, wish(&bench, json!({"environment": "dev", "server": "github"}))).unwrap();
    assert_eq!(bench.lift(&alice, &id), Ok(()));
}

#[test]
fn whoever_has_no_role_in_the_environment_sees_no_lock_of_it() {
    let mut bench = Bench::production();
    let id = bench
        .lock(&operator("i|root", Role::Admin), wish(&bench, json!({"environment": "production"})))
        .unwrap();
    let elsewhere = Operator {
        grants: vec![RoleGrant {
            role: Role::Admin,
            teams: None,
            environments: Some(vec!["dev".parse().unwrap()]),
        }],
        ..operator("i|dan", Role::Admin)
    };
    assert!(!may_see_lock(&elsewhere, &bench.state.locks[0]));
    assert_eq!(bench.lift(&elsewhere, &id), Err(vec!["object.unknown"]));
    let nobody = Operator { grants: Vec::new(), ..elsewhere };
    bench.lock(&operator("i|root", Role::Admin), wish(&bench, json!({"everything": true}))).unwrap();
    assert!(!may_see_lock(&nobody, &bench.state.locks[1]));
}

#[test]
fn evidence_names_the_lock_and_what_it_stops_and_never_the_reason() {
    let mut bench = Bench::production();
    let alice = operator("i|alice", Role::Editor);
    let selector =
        json!({"environment": "production", "server": "github", "tool": "del*", "binding": "bot-github"});
    let (_, change) =
        create_lock(&bench.context(&alice), wish(&bench, selector), "lock-0".to_owned()).unwrap();
    let event = &change.events[0];
    assert_eq!((event.kind, event.lock.as_deref()), (EventKind::LockCreated, Some("lock-0")));
    assert_eq!(event.tool.as_ref().map(|tool| tool.as_str()), Some("del*"));
    assert_eq!(event.object.as_ref().map(|key| key.name.as_str()), Some("bot-github"));
    assert!(!serde_json::to_string(event).unwrap().contains("leaked"));
    bench.commit(&change);
    assert!(expire_locks(&bench.state, bench.now).is_none());
    let over = expire_locks(&bench.state, bench.now.plus(Duration::from_secs(3_600))).unwrap();
    assert_eq!(over.events[0].kind, EventKind::LockExpired);
    bench.commit(&over);
    let end = bench.state.locks[0].ended.clone().unwrap();
    assert_eq!((end.at, end.by), (bench.now.plus(Duration::from_secs(3_600)), None));
    assert!(expire_locks(&bench.state, bench.now.plus(LONGEST)).is_none(), "once");
}
