//! Several writers and readers at one database.

use std::time::Duration;

use gateway_core::id::{Epoch, Revision};
use gateway_core::ports::StateError;
use gateway_core::state::{Change, Lifecycle, Operation, State};
use tokio::time::Instant;

use super::{NOW, StateDatabase, sample, write};

pub(super) async fn a_stale_epoch_is_a_conflict(database: &dyn StateDatabase) {
    let (one, other) = (database.open().await, database.open().await);
    let change = |name: &str| Change {
        expected: Epoch(0),
        operations: vec![sample::insert(sample::environment(name))],
        events: Vec::new(),
    };
    assert_eq!(one.commit(change("dev")).await, Ok(Epoch(1)));
    assert_eq!(other.commit(change("staging")).await, Err(StateError::Conflict));
    let future = Change { expected: Epoch(7), operations: Vec::new(), events: Vec::new() };
    assert_eq!(other.commit(future).await, Err(StateError::Conflict));
    let read = other.load().await.unwrap();
    assert_eq!((read.epoch, read.revisions.len()), (Epoch(1), 1));
}

pub(super) async fn one_of_two_racing_writers_wins(database: &dyn StateDatabase) {
    let (one, other) = (database.open().await, database.open().await);
    for round in 0..50_u64 {
        let change = |writer: &str| Change {
            expected: Epoch(round),
            operations: vec![sample::insert(sample::environment(&format!("{writer}-{round}")))],
            events: Vec::new(),
        };
        let outcomes = tokio::join!(one.commit(change("one")), other.commit(change("other")));
        let winner = match outcomes {
            (Ok(epoch), Err(StateError::Conflict)) if epoch == Epoch(round + 1) => "one",
            (Err(StateError::Conflict), Ok(epoch)) if epoch == Epoch(round + 1) => "other",
            outcomes => panic!("round {round}: {outcomes:?}"),
        };
        let read = one.load().await.unwrap();
        assert_eq!(read.revisions.len() as u64, round + 1);
        assert!(read.active(&sample::environment(&format!("{winner}-{round}")).key).is_some());
    }
}

pub(super) async fn a_failing_step_leaves_nothing(database: &dyn StateDatabase) {
    let state = database.open().await;
    write(&*state, vec![sample::insert(sample::environment("dev"))]).await.unwrap();
    let waiting = state.outbox(10).await.unwrap().len();
    let steps = vec![
        sample::insert(sample::server("dev", "github")),
        Operation::InsertAgentToken(sample::agent_token("agent-1")),
        Operation::RevokeAgentToken { id: "no such token".to_owned(), at: NOW },
        sample::insert(sample::binding("dev", "triage")),
    ];
    super::refuse(&*state, "a step in the middle fails", steps).await;
    let read = database.open().await.load().await.unwrap();
    assert_eq!(read.revisions, [sample::environment("dev")]);
    assert_eq!(read.agent_tokens, []);
    assert_eq!(state.outbox(10).await.unwrap().len(), waiting, "no evidence of what did not happen");
    // The same object can be written afterwards: nothing of it was left behind.
    write(&*state, vec![sample::insert(sample::server("dev", "github"))]).await.unwrap();
}

pub(super) async fn a_load_is_one_snapshot(database: &dyn StateDatabase) {
    let (writer, reader) = (database.open().await, database.open().await);
    let writing = async {
        for round in 0..40_u64 {
            let steps = vec![
                sample::insert(sample::environment(&format!("env-{round}"))),
                Operation::InsertAgentToken(sample::agent_token(&format!("agent-{round}"))),
            ];
            write(&*writer, steps).await.unwrap();
        }
    };
    let reading = async {
        let mut seen = Epoch(0);
        while seen < Epoch(40) {
            let read = reader.load().await.unwrap();
            assert!(read.epoch >= seen, "time never runs backwards");
            assert_eq!(read.revisions.len() as u64, read.epoch.0);
            assert_eq!(read.agent_tokens.len() as u64, read.epoch.0);
            seen = read.epoch;
        }
    };
    tokio::join!(writing, reading);
}

pub(super) async fn a_load_that_knows_an_earlier_state_is_a_load(database: &dyn StateDatabase) {
    let (writer, reader) = (database.open().await, database.open().await);
    let first =
        vec![sample::insert(sample::environment("dev")), sample::insert(sample::server("dev", "github"))];
    write(&*writer, first).await.unwrap();
    let earlier = reader.load().await.unwrap();
    let (key, revision) = (sample::environment("dev").key, Revision(1));
    let disabled = Operation::SetStatus { key: key.clone(), revision, status: Lifecycle::Disabled, at: NOW };
    let signed = Operation::AddApproval { key, revision, approval: sample::approval() };
    write(&*writer, vec![signed, disabled, sample::insert(sample::binding("dev", "triage"))]).await.unwrap();
    // Of another life of the database: the same name and number, another content.
    let mut foreign = State::default();
    let mut other = sample::environment("dev");
    other.spec = sample::environment("elsewhere").spec;
    other.content = other.spec.content_hash();
    foreign.revisions.push(other);
    // Few are new, then many.
    for round in 0..2 {
        let read = database.open().await.load().await.unwrap();
        for known in [&*earlier, &foreign, &*read, &State::default()] {
            assert_eq!(*reader.load_knowing(known).await.unwrap(), *read, "round {round}");
        }
        let many = (0..80).map(|number| sample::insert(sample::environment(&format!("e-{round}-{number}"))));
        write(&*writer, many.collect()).await.unwrap();
    }
}

pub(super) async fn a_waiting_handle_hears_of_a_commit(database: &dyn StateDatabase) {
    let (writer, waiter) = (database.open().await, database.open().await);
    let short = Duration::from_millis(50);
    assert_eq!(waiter.changed(Epoch(0), short).await, Ok(Epoch(0)), "the floor passes and nothing moved");
    let floor = if database.pushes() { Duration::from_secs(60) } else { Duration::from_millis(200) };
    for round in 0..5_u64 {
        let began = Instant::now();
        let commit = async {
            // The waiter is let in first as often as not.
            if round % 2 == 0 {
                tokio::task::yield_now().await;
            }
            write(&*writer, vec![sample::insert(sample::environment(&format!("env-{round}")))])
                .await
                .unwrap();
        };
        // It *may* have moved: a late notification of the commit before wakes once too often, and without
        // pushing a look just before the commit is followed by one when the floor has passed.
        let moved = async {
            loop {
                match waiter.changed(Epoch(round), floor).await {
                    Ok(epoch) if epoch == Epoch(round) => {}
                    heard => return heard,
                }
            }
        };
        let (heard, ()) = tokio::join!(moved, commit);
        assert_eq!(heard, Ok(Epoch(round + 1)));
        assert!(began.elapsed() < Duration::from_secs(30), "the waiter heard of it before the floor passed");
    }
    // Its own commits wake a handle at once, on every backend.
    let own = async {
        tokio::task::yield_now().await;
        write(&*writer, vec![sample::insert(sample::environment("own"))]).await.unwrap();
    };
    let (heard, ()) = tokio::join!(writer.changed(Epoch(5), Duration::from_secs(60)), own);
    assert_eq!(heard, Ok(Epoch(6)));
    // What has moved already is told without waiting.
    assert_eq!(waiter.changed(Epoch(0), Duration::from_secs(60)).await, Ok(Epoch(6)));
}
