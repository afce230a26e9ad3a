//! SQLite against the battery, and what is its own; PostgreSQL's part runs against the real server.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::id::Epoch;
use gateway_core::ports::{Revocations, StateReader as _, StateWriter, Tickets};
use gateway_core::state::Change;
use gateway_testkit::contract::state::{
    CountingRandom, StateDatabase, StateFixtures, StoppedClock, first_version, run, sample, upgraded,
};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tempfile::TempDir;

use super::{OpenError, SqliteState, StateConfig, StateConfigError};

mod remembered;

struct Files;

struct File(TempDir);

impl File {
    fn path(&self) -> PathBuf {
        self.0.path().join("inner/state.db")
    }
}

async fn open(path: &Path) -> Result<SqliteState, OpenError> {
    SqliteState::open(path, Arc::new(StoppedClock), Arc::new(CountingRandom)).await
}

async fn raw(path: &Path, sql: &str) -> Result<(), String> {
    let options = SqliteConnectOptions::new().filename(path).foreign_keys(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let outcome = connection.execute(AssertSqlSafe(sql)).await;
    connection.close().await.unwrap();
    outcome.map(|_| ()).map_err(|error| error.to_string())
}

#[async_trait]
impl StateFixtures for Files {
    async fn fresh(&self) -> Box<dyn StateDatabase> {
        Box::new(File(TempDir::new().unwrap()))
    }
}

#[async_trait]
impl StateDatabase for File {
    async fn open(&self) -> Arc<dyn StateWriter> {
        Arc::new(open(&self.path()).await.unwrap())
    }

    async fn tickets(&self) -> Arc<dyn Tickets> {
        Arc::new(open(&self.path()).await.unwrap())
    }

    async fn revocations(&self) -> Arc<dyn Revocations> {
        Arc::new(open(&self.path()).await.unwrap())
    }

    async fn raw(&self, sql: &str) -> Result<(), String> {
        raw(&self.path(), sql).await
    }

    fn pushes(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_passes_the_battery() {
    run(&Files).await;
}

#[tokio::test]
async fn sqlite_files_are_for_their_owner_alone() {
    let file = File(TempDir::new().unwrap());
    let state = open(&file.path()).await.unwrap();
    let operations = vec![sample::insert(sample::environment("dev"))];
    state.commit(Change { expected: Epoch(0), operations, events: Vec::new() }).await.unwrap();
    let directory = file.path().parent().unwrap().to_owned();
    assert_eq!(directory.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["state.db", "state.db-shm", "state.db-wal"]);
}

#[tokio::test]
async fn refuses_a_file_that_others_may_read() {
    let file = File(TempDir::new().unwrap());
    drop(open(&file.path()).await.unwrap());
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
    let refusal = open(&file.path()).await.unwrap_err();
    assert!(matches!(&refusal, OpenError::File { .. }), "{refusal}");
}

#[tokio::test]
async fn refuses_a_database_that_is_newer_or_altered() {
    let file = File(TempDir::new().unwrap());
    drop(open(&file.path()).await.unwrap());
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
        VALUES (9999, 'of the future', TRUE, x'00', 0)";
    raw(&file.path(), newer).await.unwrap();
    let refusal = open(&file.path()).await.unwrap_err();
    assert!(matches!(refusal, OpenError::Newer(9999)), "{refusal}");
    raw(&file.path(), "DELETE FROM _sqlx_migrations WHERE version = 9999").await.unwrap();
    raw(&file.path(), "UPDATE _sqlx_migrations SET checksum = x'00'").await.unwrap();
    let refusal = open(&file.path()).await.unwrap_err();
    assert!(matches!(refusal, OpenError::Altered(1)), "{refusal}");
}

/// A database as the first version left it, with a row of everything.
async fn of_the_first_version(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let first = super::sqlite::MIGRATIONS.iter().filter(|migration| migration.version == 1).cloned();
    Migrator::with_migrations(first.collect()).run(&mut connection).await.unwrap();
    connection.execute(AssertSqlSafe(first_version())).await.unwrap();
    connection.close().await.unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filled_database_of_the_first_version_is_upgraded_whole() {
    let file = File(TempDir::new().unwrap());
    of_the_first_version(&file.path()).await;
    upgraded(&file).await;
    let state = open(&file.path()).await.unwrap();
    let broken = sqlx::query("PRAGMA foreign_key_check").fetch_all(&state.readers).await.unwrap();
    assert_eq!(broken.len(), 0, "every reference holds");
    let sound: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&state.readers).await.unwrap();
    assert_eq!(sound, "ok");
    let next: i64 = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'objects'")
        .fetch_one(&state.readers)
        .await
        .unwrap();
    let highest: i64 =
        sqlx::query_scalar("SELECT MAX(id) FROM objects").fetch_one(&state.readers).await.unwrap();
    assert_eq!(next, highest, "no id is handed out twice");
}

#[tokio::test]
async fn an_upgrade_that_fails_leaves_the_first_version_as_it_was() {
    let file = File(TempDir::new().unwrap());
    of_the_first_version(&file.path()).await;
    raw(&file.path(), "CREATE TABLE grants (a)").await.unwrap();
    let refusal = open(&file.path()).await.unwrap_err();
    assert!(refusal.to_string().contains("grants"), "{refusal}");
    raw(&file.path(), "DROP TABLE grants").await.unwrap();
    upgraded(&file).await;
}

#[tokio::test]
async fn every_commit_reaches_the_disk() {
    let file = File(TempDir::new().unwrap());
    let state = open(&file.path()).await.unwrap();
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&state.writer).await.unwrap();
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&state.writer).await.unwrap();
    assert_eq!((mode.as_str(), synchronous), ("wal", 2), "2 is FULL");
    let written = sqlx::query("DELETE FROM outbox").execute(&state.readers).await;
    assert!(written.is_err(), "readers cannot write");
}

#[tokio::test]
async fn tampered_content_is_corrupt_and_not_served() {
    let file = File(TempDir::new().unwrap());
    let state = open(&file.path()).await.unwrap();
    let operations = vec![sample::insert(sample::environment("dev"))];
    state.commit(Change { expected: Epoch(0), operations, events: Vec::new() }).await.unwrap();
    raw(&file.path(), "DROP TRIGGER revisions_keep_their_content").await.unwrap();
    raw(&file.path(), "UPDATE revisions SET spec = replace(spec, '\"approvals\":1', '\"approvals\":0')")
        .await
        .unwrap();
    let refusal = state.load().await.unwrap_err();
    assert!(matches!(refusal, gateway_core::ports::StateError::Corrupt(_)), "{refusal}");
}

fn parse(state: &str) -> Result<StateConfig, StateConfigError> {
    StateConfig::parse(state, None, Path::new("/etc/gateway"))
}

#[test]
fn relative_paths_are_taken_from_the_configurations_directory() {
    let path = PathBuf::from("/etc/gateway/./data/state.db");
    assert_eq!(parse("sqlite://./data/state.db"), Ok(StateConfig::Sqlite { path }));
    let path = PathBuf::from("/var/lib/state.db");
    assert_eq!(parse("sqlite:///var/lib/state.db"), Ok(StateConfig::Sqlite { path }));
    let with_file =
        StateConfig::parse("postgres://g@db/gw", Some(Path::new("pw")), Path::new("/etc/gateway"));
    let Ok(StateConfig::Postgres { password_file, .. }) = with_file else { panic!("{with_file:?}") };
    assert_eq!(password_file, Some(PathBuf::from("/etc/gateway/pw")));
}

#[test]
fn refuses_passwords_and_silent_downgrades_in_the_url() {
    use StateConfigError::{
        Incomplete, LiteralPassword, Parameter, PasswordFile, Path as NoPath, Scheme, TlsMode,
    };
    for (state, refusal) in [
        ("postgres://g:hunter2@db/gw", LiteralPassword),
        ("postgres://g@db/gw?password=hunter2", LiteralPassword),
        ("postgres://g@db/gw?sslmode=prefer", TlsMode),
        ("postgres://g@db/gw?sslmode=require", TlsMode),
        ("postgres://g@db/gw?sslmode=disable", TlsMode),
        ("postgres://g@db/gw?options=-csearch_path%3Dx", Parameter),
        ("postgres://g@db/gw?host=elsewhere", Parameter),
        ("postgres://g@db", Incomplete),
        ("postgres://db/gw", Incomplete),
        ("postgres:///gw", Incomplete),
        ("postgres://g@db/gw/more", Incomplete),
        ("mysql://g@db/gw", Scheme),
        ("hunter2", Scheme),
        ("sqlite://", NoPath),
        ("sqlite://x?mode=memory", NoPath),
    ] {
        assert_eq!(parse(state), Err(refusal), "{state}");
        assert!(!refusal.to_string().contains("hunter2"));
    }
    for good in
        ["postgres://g@127.0.0.1/gw?sslmode=disable", "postgresql://g@[::1]:5433/gw_1", "postgres://g@db/gw"]
    {
        assert!(parse(good).is_ok(), "{good}");
    }
    let file = StateConfig::parse("sqlite://x", Some(Path::new("pw")), Path::new("/"));
    assert_eq!(file, Err(PasswordFile));
}
