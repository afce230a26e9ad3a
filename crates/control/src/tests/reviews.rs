//! Reviews: signed over the API, told once over all replicas, and switched off with everything that runs.

use std::time::Duration;

use gateway_core::operator::{Role, RoleGrant};
use gateway_core::time::Clock as _;

use super::*;
use crate::ReviewKeeper;

const DAY: u64 = 86_400;
const REVIEW: &str = "/v1/bindings/production/bot-github/review";

/// A process that has run for so long that its clock is known.
const LONG: Duration = Duration::from_secs(3_600);

impl Office {
    async fn reviewing(on_expiry: &str) -> Self {
        let office = Self::production().await;
        let environment = json!({"kind": "Environment", "name": "production", "tier": "production", "agent_tokens": true,
            "reviews": {"every_days": 90, "on_expiry": on_expiry}});
        let answer = office.apply("alice", &[environment]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        office
    }

    fn keeper_of_reviews(&self) -> ReviewKeeper {
        ReviewKeeper::new(Arc::clone(&self.context))
    }

    /// Two looks, between which the clock went as time did.
    async fn looks(&self, keeper: &ReviewKeeper, running: Duration) {
        keeper.round(running).await;
        self.pass(11);
        keeper.round(running + Duration::from_secs(11)).await;
    }

    fn pass(&self, seconds: u64) {
        self.plain.1.fetch_add(seconds, Ordering::SeqCst);
    }

    fn told(&self, kind: EventKind) -> usize {
        self.chain.all().iter().filter(|event| event.kind == kind).count()
    }
}

#[tokio::test]
async fn an_approver_reviews_what_was_read_and_the_author_does_not() {
    let office = Office::reviewing("remind").await;
    let wish = json!({"revision": 1});
    for (who, status, code) in [
        ("alice", 403, "operator.forbidden"),
        ("carol", 403, "operator.forbidden"),
        ("nobody", 404, "object.unknown"),
    ] {
        let answer = office.post(who, REVIEW, wish.clone()).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{who}: {}", answer.body);
    }
    office.people.add("alice", vec![RoleGrant::everywhere(Role::Approver)]);
    assert_eq!(office.post("alice", REVIEW, wish.clone()).await.code(), "review.own_work");
    assert_eq!(office.post("bob", REVIEW, json!({"revision": 7})).await.code(), "review.revision");
    assert_eq!(
        office.post("bob", REVIEW, json!({"revision": 1, "until": "never"})).await.code(),
        "review.until"
    );
    office.pass(80 * DAY);
    let listed = office.get("carol", "/v1/bindings?review=due").await.body;
    assert_eq!(listed["items"][0]["review"]["stage"], "due", "{listed}");
    let answer = office.post("bob", REVIEW, wish).await;
    assert_eq!((answer.status, &answer.body["missing"]), (200, &json!(0)), "{}", answer.body);
    let due = office.plain.now().plus(Duration::from_secs(90 * DAY)).to_string();
    assert_eq!(answer.body["due_at"], due.as_str());
    assert!(office.saw(EventKind::BindingReviewed));
    let card = office.get("carol", BINDING).await.body;
    assert_eq!(
        (&card["review"]["stage"], &card["review"]["by"]),
        (&json!("current"), &json!(["idp|bob"])),
        "{card}"
    );
    assert_eq!(office.get("carol", "/v1/bindings?review=due").await.body["items"], json!([]));
}

#[tokio::test]
async fn each_reminder_comes_once_however_many_replicas_look() {
    let office = Office::reviewing("remind").await;
    let (one, other) = (office.keeper_of_reviews(), office.keeper_of_reviews());
    office.looks(&one, LONG).await;
    assert_eq!((office.told(EventKind::ReviewDue), office.told(EventKind::ReviewOverdue)), (0, 0));
    office.pass(80 * DAY);
    for _ in 0..3 {
        tokio::join!(one.round(LONG), other.round(LONG));
    }
    // Started anew, it has still been said.
    office.looks(&office.keeper_of_reviews(), LONG).await;
    assert_eq!((office.told(EventKind::ReviewDue), office.told(EventKind::ReviewOverdue)), (1, 0));
    office.pass(11 * DAY);
    for _ in 0..3 {
        tokio::join!(one.round(LONG), other.round(LONG));
    }
    office.pass(10 * DAY);
    office.looks(&one, LONG).await;
    assert_eq!((office.told(EventKind::ReviewDue), office.told(EventKind::ReviewOverdue)), (1, 1));
    assert_eq!(office.get("carol", BINDING).await.body["status"], "active", "this environment only reminds");
}

#[tokio::test]
async fn a_clock_set_far_ahead_switches_nothing_off_at_once_and_is_forgotten_when_it_comes_back() {
    let office = Office::reviewing("disable").await;
    let keeper = office.keeper_of_reviews();
    office.looks(&keeper, LONG).await;
    office.pass(4_000 * DAY);
    office.looks(&keeper, LONG + Duration::from_secs(20)).await;
    assert_eq!((office.told(EventKind::ReviewOverdue), office.live.ended.lock().unwrap().len()), (1, 0));
    // Set back, and later late for good: it is said again, and there is a day's grace again.
    office.plain.1.fetch_sub(4_000 * DAY, Ordering::SeqCst);
    office.pass(91 * DAY);
    office.looks(&keeper, 2 * LONG).await;
    assert_eq!((office.told(EventKind::ReviewOverdue), office.live.ended.lock().unwrap().len()), (2, 0));
}

#[tokio::test]
async fn what_nobody_reviewed_ends_with_everything_that_runs_and_comes_back_by_a_review() {
    let office = Office::reviewing("disable").await;
    let keeper = office.keeper_of_reviews();
    office.pass(91 * DAY);
    office.looks(&keeper, LONG).await;
    assert_eq!(office.told(EventKind::ReviewOverdue), 1);
    office.pass(2 * DAY);
    keeper.round(LONG + Duration::from_secs(12)).await;
    assert_eq!(
        office.get("carol", BINDING).await.body["status"],
        "active",
        "the clock has only just jumped there"
    );
    office.pass(11);
    let other = office.keeper_of_reviews();
    other.round(LONG).await;
    keeper.round(LONG + Duration::from_secs(23)).await;
    assert_eq!(*office.live.ended.lock().unwrap(), ["bot-github"], "once, by the one whose clock was steady");
    let card = office.get("carol", BINDING).await.body;
    assert_eq!(card["status"], "disabled");
    assert!(card["review"]["disabled_at"].is_string(), "{card}");
    let events = office.chain.all();
    let ended = events.iter().find(|event| event.kind == EventKind::RevocationCompleted).unwrap();
    assert_eq!((ended.reason.as_deref(), &ended.operator), (Some("review.overdue"), &None));
    assert!(!office.world.awaited.lock().unwrap().is_empty(), "every replica is waited for");
    let enable = format!("{BINDING}/enable");
    assert_eq!(office.post("bob", &enable, Value::Null).await.code(), "review.overdue");
    assert_eq!(office.post("bob", REVIEW, json!({"revision": 1})).await.status, 200);
    assert_eq!(office.post("bob", &enable, Value::Null).await.status, 200);
    assert_eq!(office.get("carol", BINDING).await.body["status"], "active");
}

#[tokio::test]
async fn it_is_switched_off_while_the_evidence_cannot_be_written() {
    let office = Office::reviewing("disable").await;
    let keeper = office.keeper_of_reviews();
    office.pass(91 * DAY);
    office.looks(&keeper, LONG).await;
    office.pass(DAY);
    office.chain.down.store(true, Ordering::SeqCst);
    office.looks(&keeper, LONG + Duration::from_secs(20)).await;
    assert_eq!(office.get("carol", BINDING).await.body["status"], "disabled");
    assert_eq!(*office.live.ended.lock().unwrap(), ["bot-github"]);
}
