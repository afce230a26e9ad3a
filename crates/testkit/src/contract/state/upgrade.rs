//! A database that an older version has filled: what this version makes of it.

use std::fmt::Write as _;

use gateway_core::id::Epoch;
use gateway_core::state::{Lifecycle, Operation, RevisionRecord};

use super::{NOW, StateDatabase, refuse, sample, write};

/// What [`first_version`] holds, as it is read.
fn records() -> Vec<RevisionRecord> {
    let signed = RevisionRecord { approvals: vec![sample::approval()], ..sample::binding("dev", "triage") };
    let revoked = RevisionRecord { status: Lifecycle::Revoked, ..sample::binding("dev", "was-revoked") };
    let mut records = vec![
        sample::environment("dev"),
        sample::server("dev", "github"),
        sample::agent("triage-bot"),
        sample::policy("dev", "triage"),
        signed,
        revoked,
    ];
    records.sort_by(|one, other| one.key.cmp(&other.key));
    records
}

/// Statements that fill the tables of migration 1 with a row of everything, in either dialect.
pub fn first_version() -> String {
    let mut sql = String::new();
    for record in records() {
        let kind = record.key.kind.word();
        let environment =
            record.key.environment.as_ref().map_or("NULL".to_owned(), |name| format!("'{name}'"));
        let name = &record.key.name;
        writeln!(
            sql,
            "INSERT INTO objects (kind, environment, name) VALUES ('{kind}', {environment}, '{name}');"
        )
        .unwrap();
    }
    for record in records() {
        let (kind, name) = (record.key.kind.word(), &record.key.name);
        let spec = serde_json::to_string(&record.spec).unwrap().replace('\'', "''");
        let server = if kind == "Binding" {
            "(SELECT id FROM objects WHERE kind = 'Server'), 'Server', 'dev'"
        } else {
            "NULL, NULL, NULL"
        };
        writeln!(
            sql,
            "INSERT INTO revisions SELECT id, kind, environment, 1, '{spec}', '{content}', '{status}', \
             '{author}', {now}, {now}, NULL, {server} FROM objects WHERE kind = '{kind}' AND name = '{name}';",
            content = record.content,
            status = record.status,
            author = record.author,
            now = NOW.micros(),
        )
        .unwrap();
        for approval in &record.approvals {
            writeln!(
                sql,
                "INSERT INTO approvals (object_id, revision, author, approver, capacities, signed_at) \
                 SELECT object_id, 1, author, '{approver}', '{capacities}', {now} FROM revisions \
                 WHERE status = 'active' AND kind = '{kind}';",
                approver = approval.approver,
                capacities = serde_json::to_string(&approval.capacities).unwrap(),
                now = approval.at.micros(),
            )
            .unwrap();
        }
    }
    sql.push_str("UPDATE state_epoch SET epoch = 7;");
    sql
}

/// Opens the database that holds [`first_version`]: all of it is there, its rules hold, and the new kinds
/// and tables can be used.
///
/// # Panics
/// Where anything of it was lost.
pub async fn upgraded(database: &dyn StateDatabase) {
    let state = database.open().await;
    let read = state.load().await.unwrap();
    assert_eq!(read.epoch, Epoch(7));
    assert_eq!(read.revisions, records());
    let again =
        RevisionRecord { revision: gateway_core::id::Revision(2), ..sample::binding("dev", "was-revoked") };
    refuse(&*state, "a revoked name", vec![sample::insert(again)]).await;
    for sql in [
        "DELETE FROM objects",
        "DELETE FROM revisions",
        "UPDATE revisions SET spec = '{}'",
        "UPDATE revisions SET status = 'active' WHERE status = 'revoked'",
        "UPDATE revisions SET object_id = 4711 WHERE kind = 'Agent'",
        "INSERT INTO objects (kind, environment, name) VALUES ('Server', 'dev', 'github')",
        "INSERT INTO objects (kind, environment, name) VALUES ('Workload', 'dev', 'a')",
        "INSERT INTO objects (kind, environment, name) VALUES ('Provider', NULL, 'a')",
        "INSERT INTO objects (kind, environment, name) VALUES ('Surprise', 'dev', 'a')",
        "INSERT INTO approvals (object_id, revision, author, approver, capacities, signed_at) \
         VALUES (4711, 1, 'a', 'b', '[]', 0)",
    ] {
        assert!(database.raw(sql).await.is_err(), "{sql}");
    }
    let steps = vec![
        sample::insert(sample::provider("dev", "github")),
        sample::insert(sample::workload("triage-runner")),
        Operation::InsertAgentToken(sample::agent_token("agent-1")),
    ];
    write(&*state, steps).await.unwrap();
    let steps = vec![sample::insert(sample::binding("dev", "new"))];
    write(&*state, steps).await.unwrap();
    assert_eq!(database.open().await.load().await.unwrap().revisions.len(), records().len() + 3);
}
