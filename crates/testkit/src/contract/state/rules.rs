//! The rules that the state itself holds, whoever writes.

use gateway_core::id::{OperatorName, Revision};
use gateway_core::manifest::ContentHash;
use gateway_core::state::Lifecycle::{
    Active, Disabled, Draft, Expired, Pending, Revoked, Superseded, Withdrawn,
};
use gateway_core::state::{Approval, Lifecycle, Operation, RevisionRecord};

use super::{NOW, StateDatabase, refuse, sample, write};

const STATUSES: [Lifecycle; 8] = [Draft, Pending, Active, Disabled, Expired, Revoked, Superseded, Withdrawn];

fn step(record: &RevisionRecord, status: Lifecycle) -> Operation {
    Operation::SetStatus { key: record.key.clone(), revision: record.revision, status, at: NOW }
}

fn way_to(status: Lifecycle) -> &'static [Lifecycle] {
    match status {
        Draft => &[],
        Pending => &[Pending],
        Active => &[Pending, Active],
        Disabled => &[Active, Disabled],
        Expired => &[Active, Expired],
        Revoked => &[Revoked],
        Superseded => &[Active, Superseded],
        Withdrawn => &[Pending, Withdrawn],
    }
}

pub(super) async fn only_the_steps_of_the_lifecycle_exist(database: &dyn StateDatabase) {
    let state = database.open().await;
    for from in STATUSES {
        for to in STATUSES {
            let name = format!("{from}-{to}");
            let record = RevisionRecord { status: Draft, ..sample::agent(&name) };
            let mut steps = vec![sample::insert(record.clone())];
            steps.extend(way_to(from).iter().map(|status| step(&record, *status)));
            write(&*state, steps).await.unwrap();
            if from.may_become(to) {
                write(&*state, vec![step(&record, to)]).await.unwrap();
                assert_eq!(state.load().await.unwrap().history(&record.key).next().unwrap().status, to);
            } else {
                refuse(&*state, &name, vec![step(&record, to)]).await;
            }
        }
    }
    let missing = RevisionRecord { revision: Revision(2), ..sample::agent("draft-draft") };
    refuse(&*state, "a revision that is not there", vec![step(&missing, Pending)]).await;
    refuse(&*state, "an object that is not there", vec![step(&sample::agent("nobody"), Pending)]).await;
}

pub(super) async fn a_second_standing_revision_is_refused(database: &dyn StateDatabase) {
    let state = database.open().await;
    let first = sample::agent("triage-bot");
    let second = RevisionRecord { revision: Revision(2), ..first.clone() };
    write(&*state, vec![sample::insert(first.clone())]).await.unwrap();
    refuse(&*state, "two active", vec![sample::insert(second.clone())]).await;
    write(&*state, vec![step(&first, Disabled)]).await.unwrap();
    refuse(&*state, "one disabled, one active", vec![sample::insert(second.clone())]).await;
    write(&*state, vec![step(&first, Superseded), sample::insert(second.clone())]).await.unwrap();
    let read = state.load().await.unwrap();
    assert_eq!(read.active(&first.key).map(|record| record.revision), Some(Revision(2)));
    let fourth = RevisionRecord { revision: Revision(4), status: Pending, ..first.clone() };
    refuse(&*state, "a gap between revisions", vec![sample::insert(fourth)]).await;
    let repeated = RevisionRecord { revision: Revision(1), status: Pending, ..first };
    refuse(&*state, "a number used twice", vec![sample::insert(repeated)]).await;
}

pub(super) async fn a_revoked_name_stays_refused(database: &dyn StateDatabase) {
    let state = database.open().await;
    let first = sample::binding("dev", "triage");
    let second = RevisionRecord { revision: Revision(2), status: Pending, ..first.clone() };
    let steps = vec![sample::insert(sample::server("dev", "github")), sample::insert(first.clone())];
    write(&*state, steps).await.unwrap();
    write(&*state, vec![step(&first, Revoked)]).await.unwrap();
    refuse(&*state, "a revision of a revoked name", vec![sample::insert(second)]).await;
    let copy = "INSERT INTO revisions SELECT object_id, kind, environment, 2, spec, content, 'pending', author, \
        created_at, changed_at, pins, server_id, server_kind, server_environment FROM revisions \
        WHERE kind = 'Binding'";
    let refusal = database.raw(copy).await.unwrap_err();
    assert!(refusal.contains("a revoked name never gets a new revision"), "{refusal}");
    let revive = "UPDATE revisions SET status = 'active' WHERE status = 'revoked'";
    let refusal = database.raw(revive).await.unwrap_err();
    assert!(refusal.contains("a revoked revision stays revoked"), "{refusal}");
    // The same name in another environment is another object.
    let elsewhere = vec![
        sample::insert(sample::server("staging", "github")),
        sample::insert(sample::binding("staging", "triage")),
    ];
    write(&*state, elsewhere).await.unwrap();
}

pub(super) async fn another_environments_server_is_refused_by_the_database(database: &dyn StateDatabase) {
    let state = database.open().await;
    let steps = vec![
        sample::insert(sample::server("production", "github")),
        sample::insert(sample::server("dev", "github")),
        sample::insert(sample::binding("dev", "triage")),
    ];
    write(&*state, steps).await.unwrap();
    let lost = sample::insert(sample::binding("staging", "triage"));
    refuse(&*state, "the server is in other environments only", vec![lost]).await;
    let copy = |server_environment: &str| {
        format!(
            "INSERT INTO revisions SELECT object_id, kind, environment, 2, spec, content, 'pending', author, \
             created_at, changed_at, pins, \
             (SELECT id FROM objects WHERE kind = 'Server' AND environment = 'production'), 'Server', \
             '{server_environment}' FROM revisions WHERE kind = 'Binding'"
        )
    };
    let check = database.raw(&copy("production")).await.unwrap_err();
    assert!(check.to_lowercase().contains("check constraint"), "{check}");
    let foreign_key = database.raw(&copy("dev")).await.unwrap_err();
    assert!(foreign_key.to_lowercase().contains("foreign key"), "{foreign_key}");
}

pub(super) async fn an_author_never_approves(database: &dyn StateDatabase) {
    let state = database.open().await;
    let record = RevisionRecord { status: Pending, ..sample::agent("triage-bot") };
    write(&*state, vec![sample::insert(record.clone())]).await.unwrap();
    let sign = |approver: &OperatorName| Operation::AddApproval {
        key: record.key.clone(),
        revision: record.revision,
        approval: Approval { approver: approver.clone(), ..sample::approval() },
    };
    refuse(&*state, "the author's own signature", vec![sign(&record.author)]).await;
    write(&*state, vec![sign(&OperatorName::parse("i|bob").unwrap())]).await.unwrap();
}

pub(super) async fn written_content_stays(database: &dyn StateDatabase) {
    let state = database.open().await;
    write(&*state, vec![sample::insert(sample::agent("triage-bot"))]).await.unwrap();
    for sql in [
        "UPDATE revisions SET spec = '{}'",
        "UPDATE revisions SET author = 'somebody else'",
        "UPDATE revisions SET revision = 7",
        "DELETE FROM revisions",
        "DELETE FROM objects",
        "UPDATE revisions SET status = 'enabled'",
        "UPDATE state_epoch SET epoch = -1",
        "INSERT INTO state_epoch (one, epoch) VALUES (2, 0)",
    ] {
        assert!(database.raw(sql).await.is_err(), "{sql}");
    }
    assert_eq!(state.load().await.unwrap().revisions, [sample::agent("triage-bot")]);
}

pub(super) async fn a_revision_is_what_it_says(database: &dyn StateDatabase) {
    let state = database.open().await;
    let honest = sample::agent("triage-bot");
    let other_hash = RevisionRecord { content: ContentHash::of(b"another content"), ..honest.clone() };
    refuse(&*state, "another content's hash", vec![sample::insert(other_hash)]).await;
    let other_key = RevisionRecord { key: sample::agent("other-bot").key, ..honest.clone() };
    refuse(&*state, "another object's key", vec![sample::insert(other_key)]).await;
    for status in [Disabled, Expired, Revoked, Superseded, Withdrawn] {
        let late = RevisionRecord { status, ..honest.clone() };
        refuse(&*state, "a revision that does not begin", vec![sample::insert(late)]).await;
    }
}
