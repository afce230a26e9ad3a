use std::time::Duration;

use serde_json::json;

use super::*;
use crate::audit::EventKind;
use crate::lease::VersionId;
use crate::rotation::{Reminded, VersionState, held_reference, is_held};

fn seen(version: &str) -> SeenVersion {
    SeenVersion { version: VersionId::new(version), created_at: None }
}

impl Bench {
    fn moves(&mut self, decide: impl FnOnce(&mut VersionMoves)) -> Vec<EventKind> {
        let mut moves = VersionMoves::of(&self.state, &self.key(BINDING), None, self.now).unwrap();
        decide(&mut moves);
        let change = moves.finish().unwrap();
        let kinds = change.events.iter().map(|event| event.kind).collect();
        self.commit(&change);
        kinds
    }

    fn states(&self) -> Vec<(String, VersionState)> {
        self.state.versions.iter().map(|known| (known.version.to_string(), known.state)).collect()
    }

    fn held(&self) -> Option<String> {
        let Spec::Binding(spec) = &self.state.active(&self.key(BINDING)).unwrap().spec else { return None };
        held_reference(&self.state, spec).map(|reference| reference.to_string())
    }

    fn watched() -> Self {
        let mut bench = Self::production();
        let watch =
            with(binding("production", SECRET), "rotation", json!({"watch": "30s", "max_age": "90d"}));
        let written = bench.apply(&operator("i|alice", Role::Editor), &[spec(watch)]).unwrap();
        assert_eq!(
            written[0].status,
            Lifecycle::Active,
            "to begin looking after a secret needs no signature"
        );
        bench
    }
}

#[test]
fn a_watched_binding_is_held_at_the_active_version_until_a_newer_one_was_taken() {
    use VersionState::{Active, Draining, Probing, Retired, Staged};
    let mut bench = Bench::watched();
    assert_eq!(bench.held(), None, "what the store gives, until a version is known");
    assert_eq!(bench.moves(|moves| moves.activate(&seen("1"), None).unwrap()), []);
    assert_eq!(bench.moves(|moves| moves.stage(&seen("2"), None).unwrap()), [EventKind::VersionStaged]);
    assert_eq!(bench.moves(|moves| moves.stage(&seen("2"), Some("upstream.timeout")).unwrap()), []);
    assert_eq!(bench.states(), [("1".into(), Active), ("2".into(), Staged)]);
    bench.moves(|moves| moves.probing(&seen("2")).unwrap());
    assert_eq!(bench.states(), [("1".into(), Active), ("2".into(), Probing)]);
    assert_eq!(bench.held().as_deref(), Some("vault://kv/support/bot#token?version=1"));
    let kind = EventKind::VersionActivated;
    assert_eq!(bench.moves(|moves| moves.activate(&seen("2"), Some(kind)).unwrap()), [kind]);
    assert_eq!(bench.states(), [("1".into(), Draining), ("2".into(), Active)]);
    assert_eq!(bench.held().as_deref(), Some("vault://kv/support/bot#token?version=2"));
    let spent = [bench.state.versions[0].clone()];
    let change = retire(&bench.state, &spent, bench.now).unwrap().unwrap();
    assert_eq!(change.events[0].kind, EventKind::VersionRetired);
    bench.commit(&change);
    assert_eq!(bench.states(), [("1".into(), Retired), ("2".into(), Active)]);
}

#[test]
fn a_version_that_is_overtaken_before_it_was_tried_is_retired() {
    let mut bench = Bench::watched();
    bench.moves(|moves| moves.activate(&seen("1"), None).unwrap());
    bench.moves(|moves| moves.stage(&seen("2"), None).unwrap());
    bench.moves(|moves| moves.stage(&seen("3"), None).unwrap());
    assert_eq!(
        bench.states()[1..],
        [("2".into(), VersionState::Retired), ("3".into(), VersionState::Staged)]
    );
}

#[test]
fn a_refused_version_holds_an_unwatched_binding_until_another_one_was_taken() {
    let mut bench = Bench::production();
    bench.moves(|moves| moves.activate(&seen("1"), None).unwrap());
    assert_eq!(bench.held(), None, "an unwatched binding follows its store");
    let told = bench.moves(|moves| moves.refuse(&seen("2"), "upstream.unauthorized").unwrap());
    assert_eq!(told, [EventKind::RotationRolledBack]);
    assert_eq!(bench.held().as_deref(), Some("vault://kv/support/bot#token?version=1"));
    bench.now = bench.now.plus(Duration::from_secs(1));
    bench.moves(|moves| moves.activate(&seen("3"), None).unwrap());
    assert_eq!(bench.held(), None);
}

#[test]
fn a_version_that_the_binding_pins_stands_above_the_watch() {
    let mut bench = Bench::watched();
    bench.moves(|moves| moves.activate(&seen("4"), None).unwrap());
    let alice = operator("i|alice", Role::Editor);
    bench.rotate(&alice, BINDING, Some("vault://kv/support/bot#token?version=2")).unwrap();
    assert_eq!(bench.held(), None);
    bench.moves(|moves| moves.activate(&seen("2"), None).unwrap());
    assert_eq!(bench.states(), [("4".into(), VersionState::Draining), ("2".into(), VersionState::Active)]);
}

#[test]
fn only_the_last_ten_retired_versions_are_kept() {
    let mut bench = Bench::watched();
    for number in 1..=14 {
        bench.now = bench.now.plus(Duration::from_secs(1));
        bench.moves(|moves| moves.activate(&seen(&number.to_string()), None).unwrap());
        let spent: Vec<_> = bench
            .state
            .versions
            .iter()
            .filter(|known| known.state == VersionState::Draining)
            .cloned()
            .collect();
        if let Some(change) = retire(&bench.state, &spent, bench.now).unwrap() {
            bench.commit(&change);
        }
    }
    let versions: Vec<_> = bench.states().into_iter().map(|(version, _)| version).collect();
    assert_eq!(versions, (4..=14).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn people_are_reminded_of_the_active_version_and_an_overdue_binding_can_be_switched_off() {
    let mut bench = Bench::watched();
    bench.moves(|moves| moves.activate(&seen("1"), None).unwrap());
    let rotation = crate::manifest::RotationSpec {
        max_age: Some(crate::manifest::Span::seconds(90)),
        every: Some(crate::manifest::Span::seconds(60)),
        ..Default::default()
    };
    let active = bench.state.versions[0].clone();
    assert_eq!(active.due_at(&rotation), Some(bench.now.plus(Duration::from_secs(60))));
    assert_eq!(active.too_old_at(&rotation), Some(bench.now.plus(Duration::from_secs(90))));
    assert_eq!(bench.moves(|moves| moves.remind(Reminded::Due).unwrap()), [EventKind::RotationDue]);
    assert_eq!(bench.moves(|moves| moves.remind(Reminded::Overdue).unwrap()), [EventKind::RotationOverdue]);
    assert_eq!(bench.state.versions[0].reminded, Reminded::Overdue);
    assert_eq!(bench.moves(|moves| moves.disable().unwrap()), [EventKind::ObjectStatus]);
    assert_eq!(bench.status(BINDING, 2), Lifecycle::Disabled);
    assert!(VersionMoves::of(&bench.state, &bench.key(BINDING), None, bench.now).is_err(), "nothing decides");
}

#[test]
fn a_watch_needs_a_store_that_keeps_versions_and_one_place_for_all() {
    let mut bench = Bench::production();
    let alice = operator("i|alice", Role::Editor);
    let watched = |secret: &str| {
        let watch = with(binding("production", secret), "rotation", json!({"watch": "30s"}));
        spec(with(watch, "exceptions", json!([{"rule": "local_store", "reason": "a test"}])))
    };
    let template = "vault://kv/support/{agent.id}#token";
    assert_eq!(bench.apply(&alice, &[watched(template)]), Err(vec!["rotation.watch"]));
    assert_eq!(bench.apply(&alice, &[watched("local://s/bot#token")]), Err(vec!["rotation.watch"]));
    let mut without = with(binding("production", SECRET), "rotation", json!({"max_age": "90d"}));
    without.as_object_mut().unwrap().remove("secret");
    assert!(bench.apply(&alice, &[spec(without)]).unwrap_err().contains(&"rotation.no_secret"));
}

#[test]
fn to_stop_looking_after_a_secret_needs_a_signature() {
    let mut bench = Bench::watched();
    let alice = operator("i|alice", Role::Editor);
    let written = bench.apply(&alice, &[spec(binding("production", SECRET))]).unwrap();
    assert_eq!(written[0].status, Lifecycle::Pending);
    let Spec::Binding(spec) = &bench.state.active(&bench.key(BINDING)).unwrap().spec else { panic!() };
    assert!(spec.rotation.is_some() && !is_held(&bench.state, spec));
}
