use std::time::Duration;

use serde_json::json;

use super::*;
use crate::audit::EventKind;
use crate::review::{ReviewStage, appointment};

const DAY: u64 = 86_400;

fn reviewing(approvals: u8, reviews: serde_json::Value) -> Spec {
    spec(json!({"kind": "Environment", "name": "production", "tier": "production", "approvals": approvals,
        "reviews": reviews}))
}

fn wish(revision: u32, until: Option<&str>) -> ReviewWish {
    ReviewWish { revision: Revision(revision), until: until.map(str::to_owned) }
}

/// The day that many days from now.
fn day(bench: &Bench, days: u64) -> String {
    bench.now.plus(Duration::from_secs(days * DAY)).to_string().chars().take(10).collect()
}

impl Bench {
    /// Production in which a review lasts 90 days.
    fn reviewed(approvals: u8, on_expiry: &str) -> Self {
        let mut bench = Self::production();
        let rule = json!({"every_days": 90, "remind_days_before": 10, "on_expiry": on_expiry});
        let written = bench.apply(&operator("i|alice", Role::Editor), &[reviewing(approvals, rule)]).unwrap();
        assert_eq!(written[0].status, Lifecycle::Active, "to ask for reviews needs no signature");
        bench
    }

    fn later(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    fn review(&mut self, who: &Operator, key: &str, wish: &ReviewWish) -> Result<u8, Vec<&'static str>> {
        let given = review(&self.context(who), &self.key(key), wish).map_err(codes)?;
        self.commit(&given.change);
        Ok(given.missing)
    }

    /// What the gateway does by itself now: its events, and how many bindings it switches off.
    fn round(&mut self, steady: bool) -> (Vec<EventKind>, usize) {
        let Some(round) = review_round(&self.state, |_| true, steady, self.now).unwrap() else {
            return (Vec::new(), 0);
        };
        self.commit(&round.change);
        assert_eq!(round.off.len(), round.reach.bindings.len());
        (round.change.events.iter().map(|event| event.kind).collect(), round.off.len())
    }

    fn stage(&self) -> Option<ReviewStage> {
        appointment(&self.state, &self.key(BINDING)).map(|next| next.stage(self.now))
    }
}

#[test]
fn a_signature_of_the_revision_is_a_review_and_a_binding_without_a_date_has_none() {
    let bench = Bench::production();
    assert_eq!(bench.stage(), None);
    let mut bench = Bench::reviewed(1, "remind");
    assert_eq!(bench.stage(), Some(ReviewStage::Current));
    bench.later(85 * DAY);
    assert_eq!(bench.stage(), Some(ReviewStage::Due));
    let (alice, bob) = (operator("i|alice", Role::Editor), operator("i|bob", Role::Approver));
    bench.apply(&alice, &[spec(with(binding("production", SECRET), "tools", json!(["list"])))]).unwrap();
    assert_eq!(bench.stage(), Some(ReviewStage::Due), "a tightening acts at once, and nobody looked");
    let more = spec(with(binding("production", SECRET), "tools", json!(["list", "comment", "x"])));
    bench.apply(&alice, &[more]).unwrap();
    assert_eq!(bench.stage(), Some(ReviewStage::Due), "it waits for a signature");
    bench.approve(&bob, BINDING, 3).unwrap();
    assert_eq!(bench.stage(), Some(ReviewStage::Current));
}

#[test]
fn reviews_are_for_other_eyes_and_of_what_stands() {
    let mut bench = Bench::reviewed(1, "remind");
    let approver = |name| operator(name, Role::Approver);
    let bob = approver("i|bob");
    assert_eq!(
        bench.review(&operator("i|carl", Role::Editor), BINDING, &wish(1, None)),
        Err(vec!["operator.forbidden"])
    );
    assert_eq!(bench.review(&approver("i|alice"), BINDING, &wish(1, None)), Err(vec!["review.own_work"]));
    assert_eq!(
        bench.review(&scoped("i|eve", Role::Approver, "other"), BINDING, &wish(1, None)),
        Err(vec!["operator.forbidden"])
    );
    assert_eq!(bench.review(&bob, BINDING, &wish(2, None)), Err(vec!["review.revision"]));
    assert_eq!(bench.review(&bob, "Binding/production/nothing", &wish(1, None)), Err(vec!["object.unknown"]));
    assert_eq!(bench.review(&bob, "Server/production/github", &wish(1, None)), Err(vec!["object.kind"]));
    bench.later(85 * DAY);
    assert_eq!(bench.review(&bob, BINDING, &wish(1, None)), Ok(0));
    assert_eq!(bench.stage(), Some(ReviewStage::Current));
    let known = bench.state.review_of(&"production".parse().unwrap(), "bot-github").unwrap();
    assert_eq!(known.last.as_ref().unwrap().by, ["i|bob".parse().unwrap()]);
}

#[test]
fn two_approvers_sign_the_same_review_and_old_signatures_count_no_more() {
    let mut bench = Bench::reviewed(2, "remind");
    let approver = |name| operator(name, Role::Approver);
    let (bob, dan, eve) = (approver("i|bob"), approver("i|dan"), approver("i|eve"));
    bench.later(85 * DAY);
    assert_eq!(bench.review(&bob, BINDING, &wish(1, None)), Ok(1));
    assert_eq!(bench.stage(), Some(ReviewStage::Due), "one of two");
    assert_eq!(bench.review(&bob, BINDING, &wish(1, None)), Err(vec!["review.already"]));
    bench.later(8 * DAY);
    assert_eq!(bench.review(&dan, BINDING, &wish(1, None)), Ok(1), "the first one is too old");
    let until = day(&bench, 30);
    assert_eq!(bench.review(&eve, BINDING, &wish(1, Some(&until))), Ok(1), "she says another day");
    assert_eq!(bench.review(&bob, BINDING, &wish(1, Some(&until))), Ok(0));
    let known = bench.state.review_of(&"production".parse().unwrap(), "bot-github").unwrap();
    assert_eq!(known.last.as_ref().unwrap().by.len(), 2);
    assert!(known.signatures.is_empty());
}

#[test]
fn a_review_holds_until_its_day_within_the_rule() {
    let mut bench = Bench::reviewed(1, "remind");
    let bob = operator("i|bob", Role::Approver);
    for wrong in ["soon".to_owned(), "2020-01-01".to_owned(), day(&bench, 92)] {
        assert_eq!(bench.review(&bob, BINDING, &wish(1, Some(&wrong))), Err(vec!["review.until"]), "{wrong}");
    }
    let soon = day(&bench, 20);
    assert_eq!(bench.review(&bob, BINDING, &wish(1, Some(&soon))), Ok(0));
    bench.later(15 * DAY);
    assert_eq!(bench.stage(), Some(ReviewStage::Due), "its own day is earlier than the rule's");
    // Without a rule there must be a day.
    let mut bare = Bench::production();
    assert_eq!(bare.review(&bob, BINDING, &wish(1, None)), Err(vec!["review.until"]));
    let later = day(&bare, 200);
    assert_eq!(bare.review(&bob, BINDING, &wish(1, Some(&later))), Ok(0));
    assert_eq!(bare.stage(), Some(ReviewStage::Current));
}

#[test]
fn a_bindings_own_date_is_answered_by_a_review_until_the_binding_says_another() {
    let mut bench = Bench::dev();
    let alice = operator("i|alice", Role::Editor);
    let dated = |day: &str| spec(with(binding("dev", "sealed://bot#token"), "review_by", json!(day)));
    let stage =
        |bench: &Bench| appointment(&bench.state, &bench.key(DEV_BINDING)).map(|next| next.stage(bench.now));
    let first = day(&bench, 20);
    bench.apply(&alice, &[dated(&first)]).unwrap();
    bench.later(15 * DAY);
    assert_eq!(stage(&bench), Some(ReviewStage::Due));
    let next = day(&bench, 100);
    assert_eq!(
        bench.review(&alice, DEV_BINDING, &wish(2, Some(&next))),
        Ok(0),
        "no approvals: its author may"
    );
    assert_eq!(stage(&bench), Some(ReviewStage::Current));
    let sooner = day(&bench, 3);
    bench.apply(&alice, &[dated(&sooner)]).unwrap();
    assert_eq!(stage(&bench), Some(ReviewStage::Due), "the manifest says another day");
}

#[test]
fn people_are_told_once_and_nothing_is_switched_off_where_the_rule_only_reminds() {
    let mut bench = Bench::reviewed(1, "remind");
    assert_eq!(bench.round(true), (vec![], 0));
    bench.later(81 * DAY);
    assert_eq!(bench.round(true), (vec![EventKind::ReviewDue], 0));
    assert_eq!(bench.round(true), (vec![], 0));
    bench.later(10 * DAY);
    assert_eq!(bench.round(true), (vec![EventKind::ReviewOverdue], 0));
    bench.later(100 * DAY);
    assert_eq!(bench.round(true), (vec![], 0));
    assert_eq!(bench.status(BINDING, 1), Lifecycle::Active);
}

#[test]
fn what_nobody_reviews_is_switched_off_a_day_after_it_was_told_and_needs_a_review_to_come_back() {
    let mut bench = Bench::reviewed(1, "disable");
    let bob = operator("i|bob", Role::Approver);
    bench.later(91 * DAY);
    assert_eq!(bench.round(true), (vec![EventKind::ReviewOverdue], 0), "not at once");
    bench.later(DAY);
    assert_eq!(bench.round(false), (vec![], 0), "not by a clock that was just set");
    assert_eq!(bench.round(true), (vec![EventKind::ObjectStatus], 1));
    assert_eq!(bench.status(BINDING, 1), Lifecycle::Disabled);
    assert_eq!(bench.round(true), (vec![], 0), "once");
    assert_eq!(codes(enable(&bench.context(&bob), &bench.key(BINDING)).unwrap_err()), ["review.overdue"]);
    let card = crate::card::card(&bench.state, &bench.stores, &bench.key(BINDING)).unwrap().at(bench.now);
    let review = card.review.unwrap();
    assert_eq!((review.stage, review.disabled_at), (Some(ReviewStage::Overdue), Some(bench.now)));
    assert_eq!(bench.review(&bob, BINDING, &wish(1, None)), Ok(0));
    assert_eq!(bench.status(BINDING, 1), Lifecycle::Disabled, "a review is not an enabling");
    let change = enable(&bench.context(&bob), &bench.key(BINDING)).unwrap().change;
    bench.commit(&change);
    assert_eq!(bench.round(true), (vec![], 0));
}

#[test]
fn the_event_says_why_it_was_switched_off_and_names_no_operator() {
    let mut bench = Bench::reviewed(1, "disable");
    bench.later(91 * DAY);
    bench.round(true);
    bench.later(DAY);
    let round = review_round(&bench.state, |_| true, true, bench.now).unwrap().unwrap();
    let event = &round.change.events[0];
    assert_eq!(
        (event.reason.as_deref(), event.status.as_deref()),
        (Some("review.overdue"), Some("disabled"))
    );
    assert_eq!(
        (&event.operator, event.binding.as_ref().unwrap().to_string()),
        (&None, "bot-github@1".to_owned())
    );
    assert!(
        review_round(&bench.state, |_| false, true, bench.now).unwrap().is_none(),
        "another process serves it"
    );
}

#[test]
fn a_laxer_rule_of_reviews_needs_a_signature_and_a_senseless_one_is_refused() {
    let mut bench = Bench::reviewed(1, "disable");
    let alice = operator("i|alice", Role::Editor);
    let lax = reviewing(1, json!({"every_days": 365, "on_expiry": "disable"}));
    assert_eq!(bench.apply(&alice, &[lax]).unwrap()[0].status, Lifecycle::Pending);
    let without = environment("production", "production");
    assert_eq!(bench.apply(&alice, &[without]).unwrap()[0].status, Lifecycle::Pending);
    let senseless = reviewing(1, json!({"every_days": 5}));
    assert_eq!(bench.apply(&alice, &[senseless]), Err(vec!["environment.reviews"]));
}
