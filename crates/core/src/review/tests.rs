use super::*;

const START: i64 = 1_795_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(START + seconds)
}

fn days(count: u64) -> Duration {
    DAY * u32::try_from(count).unwrap()
}

fn next(rule: ReviewRule, told: Option<ReviewTold>) -> Appointment {
    Appointment {
        environment: "dev".parse().unwrap(),
        binding: "bot".parse().unwrap(),
        revision: Revision(1),
        active: true,
        last: at(0),
        end: at(0).plus(days(90)),
        rule,
        told,
    }
}

fn disabling() -> ReviewRule {
    serde_json::from_value(serde_json::json!({"every_days": 90, "on_expiry": "disable"})).unwrap()
}

#[test]
fn a_day_ends_at_midnight_and_what_is_none_is_refused() {
    assert_eq!(end_of_day("2027-02-28").unwrap().to_string(), "2027-03-01T00:00:00Z");
    for text in ["2027-02-30", "soon", "", "2027-3-1", "2027-03-01T00:00:00Z", "+2027-03-01"] {
        assert_eq!(end_of_day(text), None, "{text}");
    }
}

#[test]
fn the_stage_is_near_two_weeks_before_the_end_and_late_at_it() {
    let next = next(ReviewRule::default(), None);
    for (day, stage) in [
        (0, ReviewStage::Current),
        (75, ReviewStage::Current),
        (76, ReviewStage::Due),
        (89, ReviewStage::Due),
        (90, ReviewStage::Overdue),
        (4_000, ReviewStage::Overdue),
    ] {
        assert_eq!(next.stage(at(0).plus(days(day))), stage, "day {day}");
    }
}

#[test]
fn people_are_told_once_of_each_stage_and_anew_of_another_end() {
    let (due, late) = (at(0).plus(days(80)), at(0).plus(days(91)));
    let fresh = next(ReviewRule::default(), None);
    assert_eq!(fresh.wanted(due, true), Wanted { tell: Some(ReviewStage::Due), disable: false });
    let told = ReviewTold { end: fresh.end, stage: ReviewStage::Due, at: due, disables: false };
    let near = next(ReviewRule::default(), Some(told));
    assert_eq!(near.wanted(due, true), Wanted::default());
    assert_eq!(near.wanted(late, true).tell, Some(ReviewStage::Overdue));
    let late_told = ReviewTold { stage: ReviewStage::Overdue, at: late, ..told };
    assert_eq!(next(ReviewRule::default(), Some(late_told)).wanted(late, true), Wanted::default());
    let of_another = ReviewTold { end: at(0), ..late_told };
    assert_eq!(next(ReviewRule::default(), Some(of_another)).wanted(due, true).tell, Some(ReviewStage::Due));
    let off = Appointment { active: false, ..fresh };
    assert_eq!(off.wanted(late, true), Wanted::default(), "what is off needs no reminder");
}

#[test]
fn nothing_is_switched_off_that_was_not_told_a_day_before_or_by_a_clock_that_jumps() {
    let late = at(0).plus(days(91));
    let silent = next(disabling(), None);
    assert_eq!(silent.wanted(late, true), Wanted { tell: Some(ReviewStage::Overdue), disable: false });
    let told = ReviewTold { end: silent.end, stage: ReviewStage::Overdue, at: late, disables: true };
    let warned = next(disabling(), Some(told));
    assert!(!warned.wanted(late.plus(days(1) - Duration::from_secs(1)), true).disable);
    assert!(warned.wanted(late.plus(days(1)), true).disable);
    assert!(!warned.wanted(late.plus(days(1)), false).disable, "the clock has just been set");
    assert_eq!(warned.disabled_from(late), Some(late.plus(GRACE)));
    // Said while the rule only reminded: nobody knew that it would be switched off.
    let mild = next(disabling(), Some(ReviewTold { disables: false, ..told }));
    let much_later = late.plus(days(30));
    assert_eq!(mild.wanted(much_later, true), Wanted { tell: Some(ReviewStage::Overdue), disable: false });
    let reminding = next(ReviewRule { every_days: Some(90), ..ReviewRule::default() }, Some(told));
    assert!(!reminding.wanted(much_later, true).disable);
}

#[test]
fn what_a_clock_said_that_was_far_ahead_counts_for_nothing() {
    let ahead = at(0).plus(days(4_000));
    let told =
        ReviewTold { end: at(0).plus(days(90)), stage: ReviewStage::Overdue, at: ahead, disables: true };
    let next = next(disabling(), Some(told));
    let due = at(0).plus(days(80));
    assert_eq!(next.wanted(due, true), Wanted { tell: Some(ReviewStage::Due), disable: false });
    let late = at(0).plus(days(95));
    assert_eq!(next.wanted(late, true), Wanted { tell: Some(ReviewStage::Overdue), disable: false });
}

#[test]
fn a_clock_is_steady_only_while_it_goes_as_time_does() {
    let mut clock = Steadiness::default();
    let ran = Duration::from_secs;
    assert_eq!(clock.look(at(0), ran(5)), Duration::ZERO);
    assert_eq!(clock.look(at(10), ran(15)), ran(10));
    assert_eq!(clock.look(at(20), ran(24)), ran(19), "a second of drift is no jump");
    assert_eq!(clock.look(at(400_000), ran(25)), Duration::ZERO, "set ahead");
    assert_eq!(clock.look(at(400_010), ran(35)), ran(10));
    assert_eq!(clock.look(at(30), ran(36)), Duration::ZERO, "set back");
    assert_eq!(clock.look(at(30), ran(400)), Duration::ZERO, "it stood still");
}
