//! The keeper: what it sees, tries, takes over, takes back and reminds of.

use std::time::Duration;

use gateway_core::lease::VersionId;
use gateway_core::ports::{RolledBack, Ticket, TicketKind, Tickets};
use gateway_core::rotation::VersionState;
use gateway_core::time::Clock;

use super::*;
use crate::{RotationKeeper, RotationParts, SnapshotSource};

fn keeper(office: &Office) -> RotationKeeper {
    RotationKeeper::new(RotationParts {
        state: Arc::clone(&office.state) as _,
        tickets: Arc::clone(&office.state) as _,
        stores: Arc::new(stores(&office.vault)),
        publisher: Arc::clone(&office.world) as _,
        live: Arc::clone(&office.live) as _,
        probe: Arc::clone(&office.probe) as _,
        snapshots: Arc::clone(&office.world) as _,
        clock: Arc::clone(&office.plain) as _,
        random: Arc::clone(&office.plain) as _,
    })
}

impl Office {
    async fn watched(rotation: Value) -> (Self, RotationKeeper) {
        let office = Self::production().await;
        let answer = office.apply("alice", &[binding("rotation", rotation)]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let keeper = keeper(&office);
        keeper.round().await;
        assert_eq!(office.states(), [("7".to_owned(), VersionState::Active)], "the first one serves already");
        (office, keeper)
    }

    fn states(&self) -> Vec<(String, VersionState)> {
        self.state.now().versions.iter().map(|known| (known.version.to_string(), known.state)).collect()
    }

    fn newest(&self, version: &str) {
        *self.vault.newest.lock().unwrap() = Some(version.to_owned());
    }

    fn put_forward(&self, seconds: u64) {
        self.plain.1.fetch_add(seconds, Ordering::SeqCst);
    }

    fn tries(&self) -> u64 {
        self.probe.tries.load(Ordering::SeqCst)
    }

    /// The version that calls would ask for.
    fn held(&self) -> Option<String> {
        let snapshot = self.world.current();
        let server = snapshot.environment("production").unwrap().server("github").unwrap();
        let held = server.bindings[0].held.as_ref()?;
        Some(held.to_string())
    }
}

const PLACE: &str = "vault://kv/support/bot#token";

#[tokio::test]
async fn a_newer_version_decides_once_the_server_took_it_and_the_former_one_drains() {
    use VersionState::{Active, Draining, Retired};
    let (office, keeper) = Office::watched(json!({"watch": "30s"})).await;
    office.newest("8");
    keeper.round().await;
    assert_eq!(office.states().len(), 1, "the store is not asked before it is time");
    office.put_forward(30);
    keeper.round().await;
    assert_eq!(office.states(), [("7".into(), Draining), ("8".into(), Active)]);
    assert_eq!((office.tries(), office.held()), (1, Some(format!("{PLACE}?version=8"))));
    assert!(office.saw(EventKind::VersionStaged) && office.saw(EventKind::VersionActivated));
    *office.live.in_use.lock().unwrap() = vec![VersionId::new("7")];
    office.put_forward(2);
    keeper.round().await;
    assert_eq!(office.states()[0].1, Draining, "a call still runs on it");
    office.live.in_use.lock().unwrap().clear();
    office.world.others_lag.store(true, Ordering::SeqCst);
    keeper.round().await;
    assert_eq!(office.states()[0].1, Draining, "another replica may still decide by it");
    office.world.others_lag.store(false, Ordering::SeqCst);
    keeper.round().await;
    assert_eq!(office.states()[0].1, Retired);
    assert!(office.saw(EventKind::VersionRetired));
}

#[tokio::test]
async fn a_version_that_another_replica_uses_is_not_retired() {
    let (office, one) = Office::watched(json!({"watch": "30s"})).await;
    let other = keeper(&office);
    office.newest("8");
    office.put_forward(30);
    one.round().await;
    *office.live.in_use.lock().unwrap() = vec![VersionId::new("7")];
    other.round().await;
    office.live.in_use.lock().unwrap().clear();
    office.put_forward(2);
    one.round().await;
    assert_eq!(office.states()[0].1, VersionState::Draining, "the other one has said that it uses it");
    office.put_forward(30);
    one.round().await;
    assert_eq!(office.states()[0].1, VersionState::Retired, "it has not said so for long");
}

#[tokio::test]
async fn a_bad_version_is_tried_once_and_another_one_after_it() {
    use VersionState::{Active, Refused};
    let (office, keeper) = Office::watched(json!({"watch": "1s"})).await;
    office.probe.refuses.store(true, Ordering::SeqCst);
    office.newest("8");
    for _ in 0..5 {
        office.put_forward(5);
        keeper.round().await;
    }
    assert_eq!(office.states(), [("7".into(), Active), ("8".into(), Refused)]);
    assert_eq!((office.tries(), office.held()), (1, Some(format!("{PLACE}?version=7"))));
    let events = office.chain.all();
    let back = events.iter().find(|event| event.kind == EventKind::RotationRolledBack).unwrap();
    assert_eq!(back.reason.as_deref(), Some("upstream.unauthorized"));
    let card = office.get("carol", BINDING).await.body;
    assert_eq!(card["rotation"]["held"], true, "{card}");
    assert_eq!(card["rotation"]["versions"][1]["reason"], "upstream.unauthorized");
    office.probe.refuses.store(false, Ordering::SeqCst);
    office.newest("9");
    office.put_forward(5);
    keeper.round().await;
    assert_eq!(office.held(), Some(format!("{PLACE}?version=9")));
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_says_nothing_about_a_version() {
    let (office, keeper) = Office::watched(json!({"watch": "1s"})).await;
    office.probe.unreachable.store(true, Ordering::SeqCst);
    office.newest("8");
    office.put_forward(2);
    keeper.round().await;
    assert_eq!(office.states()[1], ("8".into(), VersionState::Staged));
    assert_eq!(office.state.now().versions[1].reason.as_deref(), Some("upstream.unreachable"));
    keeper.round().await;
    assert_eq!(office.tries(), 1, "it waits before it tries again");
    office.probe.unreachable.store(false, Ordering::SeqCst);
    office.put_forward(10);
    keeper.round().await;
    assert_eq!(office.states()[1], ("8".into(), VersionState::Active));
}

#[tokio::test]
async fn a_locked_binding_asks_neither_its_store_nor_its_server_and_a_trial_under_way_is_given_up() {
    let (office, keeper) = Office::watched(json!({"watch": "1s"})).await;
    let selector = json!({"environment": "production", "server": "github"});
    let lock = json!({"selector": selector, "reason": "a key leaked", "seconds": 3_600});
    let made = office.post("alice", "/v1/locks", lock.clone()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    office.newest("8");
    let fetched = office.vault.fetched.lock().unwrap().len();
    office.put_forward(2);
    keeper.round().await;
    assert_eq!((office.tries(), office.states().len()), (0, 1));
    assert_eq!(office.vault.fetched.lock().unwrap().len(), fetched, "nor the store");
    // An operator's own rotation goes on: it is what mends a leaked key.
    let lift = format!("/v1/locks/{}/lift", made.body["lock"]["id"].as_str().unwrap());
    assert_eq!(office.post("bob", &lift, Value::Null).await.status, 200);
    office.probe.hangs.store(true, Ordering::SeqCst);
    office.put_forward(2);
    let ((), made) = tokio::join!(keeper.round(), office.post("alice", "/v1/locks", lock));
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(office.states(), [("7".into(), VersionState::Active), ("8".into(), VersionState::Staged)]);
    assert_eq!(office.state.now().versions[1].reason.as_deref(), Some("lock.active"));
    office.probe.hangs.store(false, Ordering::SeqCst);
    let rotated = office.post("alice", &format!("{BINDING}/rotate"), Value::Null).await;
    assert_eq!(rotated.status, 200, "whoever locks a leaked key rotates it next: {}", rotated.body);
}

#[tokio::test]
async fn one_replica_tries_at_a_time() {
    let (office, keeper) = Office::watched(json!({"watch": "1s"})).await;
    office.newest("8");
    office.put_forward(2);
    let now = office.plain.now();
    let lock = Ticket {
        kind: TicketKind::RotationLock,
        key: "Binding/production/bot-github".into(),
        content: "another replica".into(),
        expires_at: now.plus(Duration::from_secs(60)),
    };
    assert!(office.state.insert(&lock, now).await.unwrap());
    keeper.round().await;
    assert_eq!((office.tries(), office.states().len()), (0, 1));
    office.put_forward(61);
    keeper.round().await;
    assert_eq!(office.tries(), 1, "the other one is gone");
}

#[tokio::test]
async fn what_a_replica_went_back_from_is_written_down_for_all() {
    let office = Office::production().await;
    let keeper = keeper(&office);
    let back = RolledBack {
        environment: "production".parse().unwrap(),
        binding: "bot-github".parse().unwrap(),
        refused: VersionId::new("8"),
        kept: VersionId::new("7"),
    };
    office.newest("8");
    office.live.rolled_back.lock().unwrap().push(back);
    for _ in 0..3 {
        keeper.round().await;
    }
    assert_eq!(office.states(), [("7".into(), VersionState::Active), ("8".into(), VersionState::Refused)]);
    assert_eq!(office.held(), Some(format!("{PLACE}?version=7")));
    let told = office.chain.all().iter().filter(|event| event.kind == EventKind::RotationRolledBack).count();
    assert_eq!((told, office.tries()), (1, 0));
    // The operator knows better: the server takes it now.
    let answer = office.post("alice", &format!("{BINDING}/rotate"), Value::Null).await;
    assert_eq!((answer.status, &answer.body["version"]), (200, &json!("8")), "{}", answer.body);
    keeper.round().await;
    assert_eq!(
        office.states()[1],
        ("8".into(), VersionState::Active),
        "the replica's old word counts no more"
    );
    assert_eq!(office.held(), None);
}

#[tokio::test]
async fn people_are_reminded_once_and_an_overdue_binding_is_switched_off_where_it_says_so() {
    let rotation = json!({"max_age": "100d", "every": "10d", "on_overdue": "disable"});
    let (office, keeper) = Office::watched(rotation).await;
    let count = |kind| office.chain.all().iter().filter(|event| event.kind == kind).count();
    const DAY: u64 = 86_400;
    for (days, due, overdue) in [(8, 0, 0), (1, 1, 0), (0, 1, 0), (2, 1, 1), (30, 1, 1)] {
        office.put_forward(days * DAY);
        keeper.round().await;
        keeper.round().await;
        let told = (count(EventKind::RotationDue), count(EventKind::RotationOverdue));
        assert_eq!(told, (due, overdue), "after {days} days more");
    }
    let card = office.get("carol", BINDING).await.body;
    assert_eq!((&card["status"], &card["rotation"]["overdue"]), (&json!("active"), &json!(true)));
    assert_eq!(card["rotation"]["age_seconds"], 41 * DAY);
    office.put_forward(60 * DAY);
    keeper.round().await;
    assert_eq!(office.get("carol", BINDING).await.body["status"], "disabled");
    assert_eq!(*office.live.ended.lock().unwrap(), ["bot-github"]);
}

#[tokio::test]
async fn versions_are_listed_and_a_check_says_when_the_next_rotation_is_due() {
    let (office, _) = Office::watched(json!({"watch": "30s", "max_age": "90d"})).await;
    let answer = office.get("carol", &format!("{BINDING}/versions")).await;
    assert_eq!(answer.body["rotation"]["version"], "7", "{}", answer.body);
    assert_eq!(answer.body["rotation"]["versions"][0]["state"], "active");
    let check = json!({"environment": "production", "reference": PLACE});
    let checked = office.post("alice", "/v1/secrets/check", check).await.body;
    assert_eq!((&checked["state"], &checked["overdue"]), (&json!("active"), &Value::Null), "{checked}");
    let due = office.plain.now().plus(Duration::from_secs(90 * 86_400)).to_string();
    assert_eq!(checked["next_rotation"], due.as_str());
    let nobody = office.get("nobody", &format!("{BINDING}/versions")).await;
    assert_eq!(nobody.status, 404);
}
