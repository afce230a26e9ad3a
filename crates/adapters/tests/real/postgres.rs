//! The state in a real PostgreSQL server.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use gateway_adapters::state::{OpenError, PostgresState, StateConfig};
use gateway_core::id::Epoch;
use gateway_core::ports::{Revocations, StateError, StateReader as _, StateWriter, Tickets};
use gateway_core::state::Change;
use gateway_testkit::contract::state::{
    CountingRandom, StateDatabase, StateFixtures, StoppedClock, first_version, run, sample, upgraded,
};
use gateway_testkit::postgres::PostgresServer;
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

struct Server {
    server: Arc<PostgresServer>,
    databases: AtomicU32,
}

struct Database {
    server: Arc<PostgresServer>,
    name: String,
}

fn config(server: &PostgresServer, database: &str) -> StateConfig {
    let password_file = server.password_file();
    StateConfig::parse(&server.url(database), Some(&password_file), Path::new("/")).unwrap()
}

async fn open(server: &PostgresServer, database: &str) -> Result<PostgresState, OpenError> {
    let config = config(server, database);
    PostgresState::open(&config, Arc::new(StoppedClock), Arc::new(CountingRandom)).await
}

#[async_trait]
impl StateFixtures for Server {
    async fn fresh(&self) -> Box<dyn StateDatabase> {
        let name = format!("gateway_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.server.create_database(&name);
        Box::new(Database { server: Arc::clone(&self.server), name })
    }
}

#[async_trait]
impl StateDatabase for Database {
    async fn open(&self) -> Arc<dyn StateWriter> {
        Arc::new(open(&self.server, &self.name).await.unwrap())
    }

    async fn tickets(&self) -> Arc<dyn Tickets> {
        Arc::new(open(&self.server, &self.name).await.unwrap())
    }

    async fn revocations(&self) -> Arc<dyn Revocations> {
        Arc::new(open(&self.server, &self.name).await.unwrap())
    }

    async fn raw(&self, sql: &str) -> Result<(), String> {
        let mut connection = PgConnection::connect(&self.server.literal_url(&self.name)).await.unwrap();
        let outcome = connection.execute(AssertSqlSafe(sql)).await;
        connection.close().await.unwrap();
        outcome.map(|_| ()).map_err(|error| error.to_string())
    }

    fn pushes(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_passes_the_battery() {
    let server = Arc::new(PostgresServer::start());
    run(&Server { server, databases: AtomicU32::new(0) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filled_database_of_the_first_version_is_upgraded_whole() {
    let server = Arc::new(PostgresServer::start());
    server.create_database("gateway");
    let mut connection = PgConnection::connect(&server.literal_url("gateway")).await.unwrap();
    let known = sqlx::migrate!("src/state/migrations/postgres");
    let first = known.iter().filter(|migration| migration.version == 1).cloned();
    Migrator::with_migrations(first.collect()).run(&mut connection).await.unwrap();
    connection.execute(AssertSqlSafe(first_version())).await.unwrap();
    connection.close().await.unwrap();
    upgraded(&Database { server, name: "gateway".to_owned() }).await;
}

#[tokio::test]
async fn a_listener_survives_a_crash_of_the_server() {
    let server = PostgresServer::start();
    server.create_database("gateway");
    let (writer, waiter) = (open(&server, "gateway").await.unwrap(), open(&server, "gateway").await.unwrap());
    let change = |epoch: u64| Change {
        expected: Epoch(epoch),
        operations: vec![sample::insert(sample::environment(&format!("env-{epoch}")))],
        events: Vec::new(),
    };
    writer.commit(change(0)).await.unwrap();
    // The listener stands, and the floor passes without news.
    assert_eq!(waiter.changed(Epoch(1), Duration::from_millis(200)).await, Ok(Epoch(1)));
    server.crash();
    let down = waiter.changed(Epoch(1), Duration::from_millis(200)).await;
    assert!(matches!(down, Err(StateError::Unavailable(_))), "{down:?}");
    let down = writer.commit(change(1)).await;
    assert!(matches!(down, Err(StateError::Unavailable(_))), "{down:?}");
    server.resume();
    // What is committed while nobody listens is seen by the fresh look at the epoch.
    writer.commit(change(1)).await.unwrap();
    assert_eq!(waiter.changed(Epoch(1), Duration::from_secs(60)).await, Ok(Epoch(2)));
    // And the new listener hears again, long before the floor has passed.
    let began = std::time::Duration::from_secs(30);
    let heard = tokio::time::timeout(began, async {
        tokio::join!(waiter.changed(Epoch(2), Duration::from_secs(60)), async {
            tokio::task::yield_now().await;
            writer.commit(change(2)).await.unwrap();
        })
    });
    assert_eq!(heard.await.map(|(epoch, ())| epoch), Ok(Ok(Epoch(3))));
    assert_eq!(writer.load().await.unwrap().revisions.len(), 3);
}

#[tokio::test]
async fn refuses_a_newer_database_and_a_wrong_password() {
    let server = Arc::new(PostgresServer::start());
    server.create_database("gateway");
    drop(open(&server, "gateway").await.unwrap());
    let database = Database { server: Arc::clone(&server), name: "gateway".to_owned() };
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
        VALUES (9999, 'of the future', TRUE, '\\x00', 0)";
    database.raw(newer).await.unwrap();
    let refusal = open(&server, "gateway").await.unwrap_err();
    assert!(matches!(refusal, OpenError::Newer(9999)), "{refusal}");
    std::fs::write(server.password_file(), "not-the-password\n").unwrap();
    let refusal = open(&server, "gateway").await.unwrap_err();
    assert!(matches!(&refusal, OpenError::State(StateError::Unavailable(_))), "{refusal}");
    assert!(!format!("{refusal} {refusal:?}").contains("not-the-password"), "{refusal:?}");
    std::fs::write(server.password_file(), "\n").unwrap();
    let refusal = open(&server, "gateway").await.unwrap_err();
    assert!(matches!(refusal, OpenError::PasswordFile { .. }), "{refusal}");
    assert_eq!(
        format!("{:?}", config(&server, "gateway")).matches("password\"").count(),
        1,
        "the file's name"
    );
}
