//! The state in one SQLite file: one writer, several readers, every commit synced to the disk.

use std::fmt;
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::id::Epoch;
use gateway_core::ports::{Random, StateError, StateReader, StateWriter};
use gateway_core::state::{Change, OutboxEntry, State};
use gateway_core::time::Clock;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Sqlite, SqlitePool, Transaction};
use tokio::sync::watch;

use super::failure::from_sqlx;
use super::{OpenError, read, write};

/// How long a statement waits for another process's lock.
const BUSY: Duration = Duration::from_secs(5);
const READERS: u32 = 4;

pub(super) static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("src/state/migrations/sqlite");

/// The state in a SQLite file.
pub struct SqliteState {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
    committed: watch::Sender<Epoch>,
    clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
}

impl SqliteState {
    /// Opens the file, or makes it with mode 0600, and brings its schema up to date.
    ///
    /// # Errors
    /// A file that others may read or write is refused; see [`OpenError`].
    pub async fn open(
        path: &Path,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, OpenError> {
        prepare(path).map_err(|error| OpenError::File {
            path: path.display().to_string(),
            reason: error.to_string(),
        })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .pragma("trusted_schema", "OFF")
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new().acquire_timeout(BUSY).idle_timeout(None).max_lifetime(None);
        let writer =
            pool.clone().max_connections(1).connect_with(options.clone()).await.map_err(from_sqlx)?;
        MIGRATIONS.run(&writer).await?;
        let readers = pool.max_connections(READERS).connect_lazy_with(options.pragma("query_only", "ON"));
        Ok(Self { writer, readers, committed: watch::Sender::new(Epoch(0)), clock, random })
    }
}

impl SqliteState {
    pub(super) async fn reading(&self) -> Result<PoolConnection<Sqlite>, StateError> {
        self.readers.acquire().await.map_err(from_sqlx)
    }

    pub(super) async fn writing(&self) -> Result<PoolConnection<Sqlite>, StateError> {
        self.writer.acquire().await.map_err(from_sqlx)
    }

    /// Locked from its first statement on: it waits for another writer now, and never fails for one later.
    pub(super) async fn transaction(&self) -> Result<Transaction<'static, Sqlite>, StateError> {
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(from_sqlx)
    }
}

/// Makes the file for its owner alone; SQLite gives its companions (`-wal`, `-shm`) the same mode.
fn prepare(path: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(io::Error::other("others may read or write it: `chmod 600` it"));
    }
    Ok(())
}

impl fmt::Debug for SqliteState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqliteState(..)")
    }
}

#[async_trait]
impl StateReader for SqliteState {
    async fn load(&self) -> Result<Arc<State>, StateError> {
        self.load_knowing(&State::default()).await
    }

    async fn load_knowing(&self, known: &State) -> Result<Arc<State>, StateError> {
        let mut transaction = self.readers.begin().await.map_err(from_sqlx)?;
        read::state(&mut *transaction, self.clock.now(), known).await.map(Arc::new)
    }

    async fn epoch(&self) -> Result<Epoch, StateError> {
        let mut connection = self.reading().await?;
        read::epoch(&mut *connection).await
    }

    /// Hears of this handle's commits at once, and of other processes' when the floor has passed.
    async fn changed(&self, after: Epoch, floor: Duration) -> Result<Epoch, StateError> {
        let mut committed = self.committed.subscribe();
        let current = self.epoch().await?;
        if current > after {
            return Ok(current);
        }
        // Elapsed or not, the database is asked.
        let _ = tokio::time::timeout(floor, committed.wait_for(|epoch| *epoch > after)).await;
        self.epoch().await
    }
}

#[async_trait]
impl StateWriter for SqliteState {
    async fn commit(&self, change: Change) -> Result<Epoch, StateError> {
        let mut transaction = self.transaction().await?;
        let epoch = write::change(&mut *transaction, change, &*self.random).await?;
        transaction.commit().await.map_err(from_sqlx)?;
        self.committed.send_modify(|newest| *newest = epoch.max(*newest));
        Ok(epoch)
    }

    async fn outbox(&self, limit: u32) -> Result<Vec<OutboxEntry>, StateError> {
        let mut connection = self.reading().await?;
        read::outbox(&mut *connection, limit).await
    }

    async fn drained(&self, ids: &[String]) -> Result<(), StateError> {
        let mut transaction = self.transaction().await?;
        write::drained(&mut *transaction, ids).await?;
        transaction.commit().await.map_err(from_sqlx)
    }
}
