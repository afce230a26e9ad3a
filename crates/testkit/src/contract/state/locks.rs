//! Locks: written with a bounded end, ended once, never deleted, never changed.

use std::time::Duration;

use gateway_core::id::{EnvironmentName, OperatorName, ServerName};
use gateway_core::lock::{LONGEST, LockEnd, LockRecord, LockSelector};
use gateway_core::manifest::Pattern;
use gateway_core::ports::StateWriter;
use gateway_core::state::Operation;
use gateway_core::time::Timestamp;

use super::{NOW, StateDatabase, refuse, write};

const DAY: i64 = 86_400 * 1_000_000;

fn lock(id: &str) -> LockRecord {
    LockRecord {
        id: id.to_owned(),
        selector: LockSelector {
            environment: EnvironmentName::parse("dev").ok(),
            server: ServerName::parse("github").ok(),
            tool: Some(Pattern::new("delete_*")),
            user: Some("https://idp.internal|älice".to_owned()),
            ..LockSelector::default()
        },
        reason: "a key leaked; ticket 4711 \u{1F980}".to_owned(),
        author: OperatorName::parse("https://idp.internal|bob").unwrap(),
        created_at: NOW,
        until: NOW.plus(LONGEST),
        ended: None,
    }
}

fn insert(lock: LockRecord) -> Operation {
    Operation::InsertLock(Box::new(lock))
}

fn end(id: &str, by: Option<&str>) -> Operation {
    let by = by.map(|name| OperatorName::parse(name).unwrap());
    Operation::EndLock { id: id.to_owned(), end: LockEnd { at: NOW, by } }
}

/// What every state does, one in memory included.
pub async fn locks_are_kept_and_end_once(state: &dyn StateWriter) {
    let everything = LockSelector { everything: true, ..LockSelector::default() };
    let (one, two) = (lock("l-1"), LockRecord { selector: everything, ..lock("l-2") });
    write(state, vec![insert(one.clone()), insert(two.clone())]).await.unwrap();
    assert_eq!(state.load().await.unwrap().locks, [one.clone(), two.clone()]);
    let longer = LockRecord { until: NOW.plus(LONGEST + Duration::from_micros(1)), ..lock("l-3") };
    for (what, lock) in [
        ("an id used twice", lock("l-1")),
        ("no id", LockRecord { id: String::new(), ..lock("l-3") }),
        ("no selector", LockRecord { selector: LockSelector::default(), ..lock("l-3") }),
        ("no reason", LockRecord { reason: String::new(), ..lock("l-3") }),
        ("no time", LockRecord { until: NOW, ..lock("l-3") }),
        ("too long a time", longer),
    ] {
        refuse(state, what, vec![insert(lock)]).await;
    }
    write(state, vec![end("l-1", Some("i|carol")), end("l-2", None)]).await.unwrap();
    refuse(state, "ended twice", vec![end("l-1", None)]).await;
    refuse(state, "never there", vec![end("l-9", None)]).await;
    refuse(state, "an ended lock's id", vec![insert(lock("l-2"))]).await;
    let by = OperatorName::parse("i|carol").ok();
    let expected = [
        LockRecord { ended: Some(LockEnd { at: NOW, by }), ..one },
        LockRecord { ended: Some(LockEnd { at: NOW, by: None }), ..two },
    ];
    assert_eq!(state.load().await.unwrap().locks, expected);
}

pub(super) async fn long_ended_locks_are_not_loaded(database: &dyn StateDatabase) {
    let state = database.open().await;
    let ended = |id: &str, days: i64| {
        let at = Timestamp::from_micros(NOW.micros() - days * DAY);
        LockRecord { ended: Some(LockEnd { at, by: None }), ..lock(id) }
    };
    let steps = [ended("today", 0), ended("recent", 29), ended("long-ago", 30), ended("older", 400)];
    write(&*state, steps.map(insert).into()).await.unwrap();
    let ids: Vec<_> = state.load().await.unwrap().locks.iter().map(|lock| lock.id.clone()).collect();
    assert_eq!(ids, ["recent", "today"]);
    refuse(&*state, "an id that is no longer loaded", vec![insert(lock("older"))]).await;
}

pub(super) async fn the_database_keeps_the_rules_of_locks(database: &dyn StateDatabase) {
    let state = database.open().await;
    write(&*state, vec![insert(lock("l-1")), insert(lock("l-2"))]).await.unwrap();
    write(&*state, vec![end("l-2", Some("i|carol"))]).await.unwrap();
    let before = state.load().await.unwrap().locks.clone();
    for sql in [
        "UPDATE locks SET selector = '{\"server\":\"other\"}'",
        "UPDATE locks SET reason = 'none'",
        "UPDATE locks SET until_at = until_at - 1",
        "UPDATE locks SET author = 'i|mallory'",
        "UPDATE locks SET ended_at = NULL, ended_by = NULL WHERE id = 'l-2'",
        "UPDATE locks SET ended_by = 'i|mallory' WHERE id = 'l-1'",
        "DELETE FROM locks WHERE id = 'l-1'",
        "DELETE FROM locks WHERE id = 'l-2'",
        "INSERT INTO locks (id, selector, reason, author, created_at, until_at) VALUES ('l-3', '{}', 'r', 'a', 1, 2)",
    ] {
        assert!(database.raw(sql).await.is_err(), "{sql}");
    }
    assert_eq!(state.load().await.unwrap().locks, before);
}
