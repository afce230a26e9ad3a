use super::*;
use crate::policy::no_judge::NoJudge;
use crate::state::State;

fn searched(selector: serde_json::Value) -> Search {
    let snapshot = Snapshot::build(&State::default(), &NoJudge, &[]).unwrap();
    let selector: ActorSelector = serde_json::from_value(selector).unwrap();
    let mut search = Search::default();
    search.asked_for(&snapshot, &"dev".parse().unwrap(), &selector, false);
    search
}

fn many(word: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{word}|{number}")).collect()
}

#[test]
fn every_combination_of_a_small_selector_is_a_caller() {
    let search = searched(serde_json::json!({"users": many("iss", 3), "groups": many("group", 4)}));
    assert_eq!((search.found.len(), search.is_cut), (12, false));
    let search = searched(serde_json::json!({"any": true}));
    assert_eq!((search.found.len(), search.is_cut), (1, false));
    let search = searched(serde_json::json!({"agents": ["unknown"], "users": many("iss", 3)}));
    assert_eq!((search.found.len(), search.is_cut), (0, false));
}

#[test]
fn a_selector_of_millions_of_combinations_is_cut_and_says_so() {
    let wide = serde_json::json!({"users": many("iss", 2_000), "groups": many("group", 2_000)});
    let search = searched(wide);
    assert!(search.is_cut);
    assert!(search.found.len() <= MOST_CALLERS + 1, "{}", search.found.len());
}

#[test]
fn combinations_that_are_nobody_are_not_tried_for_ever() {
    let wide = serde_json::json!({"agents": ["unknown"], "users": many("iss", 2_000), "groups": many("group", 2_000)});
    let search = searched(wide);
    assert!(search.is_cut && search.found.is_empty());
    assert!(search.tried <= MOST_TRIED + 1, "{}", search.tried);
}
