//! The state in a database: SQLite for one node, PostgreSQL for several. One schema, one set of
//! statements; the backends differ in how they connect and in how a change is heard of.

mod config;
mod failure;
mod postgres;
mod read;
mod remembered;
mod revocations;
mod session;
mod sqlite;
mod tickets;
mod write;

use std::sync::Arc;

use gateway_core::ports::{Random, Revocations, StateError, StateWriter, Tickets};
use gateway_core::time::Clock;
use sqlx::migrate::MigrateError;

pub use config::{StateConfig, StateConfigError};
pub use postgres::PostgresState;
pub use remembered::Remembered;
pub use sqlite::SqliteState;

/// Why the state cannot be opened. Never repeats a password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A newer gateway has migrated the database.
    #[error("the state database has migration {0}, which this version does not know: run the newer version")]
    Newer(i64),
    /// A migration that was applied is not the one this version holds.
    #[error("migration {0} of the state database is not the one this version holds")]
    Altered(i64),
    /// The file of the password cannot be used.
    #[error("state_password_file `{path}`: {reason}")]
    PasswordFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The database file cannot be used.
    #[error("state file `{path}`: {reason}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The database does not answer, or what it holds is not ours.
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<MigrateError> for OpenError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(version) => Self::Newer(version),
            MigrateError::VersionMismatch(version) => Self::Altered(version),
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                Self::State(failure::from_sqlx(error))
            }
            other => Self::State(StateError::Corrupt(other.to_string())),
        }
    }
}

/// One open database, by what it is used for.
#[derive(Clone, Debug)]
pub struct Database {
    /// The state, read once for each epoch.
    pub state: Arc<dyn StateWriter>,
    /// The short-lived records that the replicas share.
    pub tickets: Arc<dyn Tickets>,
    /// What revocations leave behind.
    pub revocations: Arc<dyn Revocations>,
}

impl Database {
    fn of(backend: Arc<impl StateWriter + Tickets + Revocations + 'static>, clock: Arc<dyn Clock>) -> Self {
        Self {
            state: Arc::new(Remembered::new(Arc::clone(&backend) as Arc<dyn StateWriter>, clock)),
            tickets: Arc::clone(&backend) as Arc<dyn Tickets>,
            revocations: backend,
        }
    }
}

/// Opens the configured database, after bringing its schema up to date. The clock decides which tokens
/// have expired when the state is read; the random bytes name the rows of the outbox.
///
/// # Errors
/// See [`OpenError`]; a database that is newer than this version is never touched.
pub async fn open(
    config: &StateConfig,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Result<Database, OpenError> {
    Ok(match config {
        StateConfig::Sqlite { path } => {
            let state = SqliteState::open(path, Arc::clone(&clock), random).await?;
            Database::of(Arc::new(state), clock)
        }
        StateConfig::Postgres { .. } => {
            let state = PostgresState::open(config, Arc::clone(&clock), random).await?;
            Database::of(Arc::new(state), clock)
        }
    })
}

#[cfg(test)]
mod tests;
