//! The state in PostgreSQL: every replica reads and writes it, and hears of commits by NOTIFY.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::id::Epoch;
use gateway_core::ports::{Random, StateError, StateReader, StateWriter};
use gateway_core::state::{Change, OutboxEntry, State};
use gateway_core::time::Clock;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions as _, PgPool, Postgres, Transaction};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use super::config::{bare_host, is_loopback};
use super::failure::from_sqlx;
use super::session::{Session as _, Value};
use super::{OpenError, StateConfig, read, write};

const CONNECTIONS: u32 = 8;
/// How long a caller waits for a connection, new ones included.
const ACQUIRE: Duration = Duration::from_secs(3);
const CHANNEL: &str = "mcp_gateway_state";
const NOTIFY: &str = "SELECT pg_notify('mcp_gateway_state', $1)";
const ONE_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("src/state/migrations/postgres");

/// The state in a PostgreSQL database.
pub struct PostgresState {
    pool: PgPool,
    /// Absent until somebody waits, and after the connection was lost.
    listener: Mutex<Option<PgListener>>,
    clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
}

impl PostgresState {
    /// Connects and brings the schema up to date; replicas that start together take turns.
    ///
    /// # Errors
    /// See [`OpenError`]. A configuration of SQLite is [`StateError::Unavailable`].
    pub async fn open(
        config: &StateConfig,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, OpenError> {
        let StateConfig::Postgres { url, password_file } = config else {
            return Err(StateError::Unavailable("`state` names no PostgreSQL database".to_owned()).into());
        };
        let options = connect_options(url, password_file.as_deref())?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE)
            .connect_with(options)
            .await
            .map_err(from_sqlx)?;
        MIGRATIONS.run(&pool).await?;
        Ok(Self { pool, listener: Mutex::new(None), clock, random })
    }

    pub(super) async fn connection(&self) -> Result<PoolConnection<Postgres>, StateError> {
        self.pool.acquire().await.map_err(from_sqlx)
    }

    pub(super) async fn transaction(&self) -> Result<Transaction<'static, Postgres>, StateError> {
        self.pool.begin().await.map_err(from_sqlx)
    }

    /// Waits until the server says that something was committed, or the connection that would have
    /// said so is lost. Dropping the future loses nothing: the listener stays in its place.
    async fn notified(&self, after: Epoch) -> Result<(), StateError> {
        let mut place = self.listener.lock().await;
        let listener = match &mut *place {
            Some(listener) => listener,
            empty => {
                let mut listener = PgListener::connect_with(&self.pool).await.map_err(from_sqlx)?;
                listener.eager_reconnect(false);
                listener.listen(CHANNEL).await.map_err(from_sqlx)?;
                empty.insert(listener)
            }
        };
        // What was committed before the server listened for us is seen here.
        if self.epoch().await? > after {
            return Ok(());
        }
        let heard = listener.try_recv().await;
        if !matches!(heard, Ok(Some(_))) {
            *place = None;
        }
        heard.map(|_| ()).map_err(from_sqlx)
    }
}

/// Everything is said here, so that neither the environment nor `.pgpass` can say it. The result
/// derives `Debug` with the password in it: it is never printed.
fn connect_options(url: &Url, password_file: Option<&Path>) -> Result<PgConnectOptions, OpenError> {
    let parameter = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value);
    let mode = match parameter("sslmode").as_deref() {
        Some("verify-ca") => PgSslMode::VerifyCa,
        Some("disable") => PgSslMode::Disable,
        None if is_loopback(url) => PgSslMode::Disable,
        _ => PgSslMode::VerifyFull,
    };
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(bare_host(url))
        .port(url.port().unwrap_or(5432))
        .username(url.username())
        .database(url.path().trim_start_matches('/'))
        .ssl_mode(mode)
        .application_name("mcp-gateway")
        .options([
            ("statement_timeout", "30s"),
            ("lock_timeout", "5s"),
            ("idle_in_transaction_session_timeout", "10s"),
        ])
        .disable_statement_logging();
    if let Some(file) = parameter("sslrootcert") {
        options = options.ssl_root_cert(&*file);
    }
    if let Some(file) = parameter("sslcert") {
        options = options.ssl_client_cert(&*file);
    }
    if let Some(file) = parameter("sslkey") {
        options = options.ssl_client_key(&*file);
    }
    let password = password_file.map(read_password).transpose()?;
    // Without a file the password is empty, not whatever the process environment holds.
    Ok(options.password(password.as_ref().map_or("", |password| password.as_str())))
}

/// The file's content without its last line end.
fn read_password(path: &Path) -> Result<Zeroizing<String>, OpenError> {
    let refuse = |reason: &dyn fmt::Display| OpenError::PasswordFile {
        path: path.display().to_string(),
        reason: reason.to_string(),
    };
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|error| refuse(&error))?);
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() || password.contains(char::is_control) {
        return Err(refuse(&"it must hold the password alone, in one line"));
    }
    Ok(Zeroizing::new(password.to_owned()))
}

impl fmt::Debug for PostgresState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresState(..)")
    }
}

#[async_trait]
impl StateReader for PostgresState {
    async fn load(&self) -> Result<Arc<State>, StateError> {
        self.load_knowing(&State::default()).await
    }

    async fn load_knowing(&self, known: &State) -> Result<Arc<State>, StateError> {
        let mut transaction = self.pool.begin_with(ONE_SNAPSHOT).await.map_err(from_sqlx)?;
        read::state(&mut *transaction, self.clock.now(), known).await.map(Arc::new)
    }

    async fn epoch(&self) -> Result<Epoch, StateError> {
        let mut connection = self.connection().await?;
        read::epoch(&mut *connection).await
    }

    /// Hears of every replica's commits at once. Where the server cannot be listened to, the floor
    /// passes first; a lost connection is answered with a fresh look at the epoch.
    async fn changed(&self, after: Epoch, floor: Duration) -> Result<Epoch, StateError> {
        let current = self.epoch().await?;
        if current > after {
            return Ok(current);
        }
        let deadline = Instant::now() + floor;
        if let Ok(Err(error)) = tokio::time::timeout_at(deadline, self.notified(after)).await {
            tracing::warn!(%error, "the state database cannot be listened to; polling");
            tokio::time::sleep_until(deadline).await;
        }
        self.epoch().await
    }
}

#[async_trait]
impl StateWriter for PostgresState {
    /// The row of the epoch is locked first, so writers take turns and the outbox is in their order.
    async fn commit(&self, change: Change) -> Result<Epoch, StateError> {
        let mut transaction = self.transaction().await?;
        let epoch = write::change(&mut *transaction, change, &*self.random).await?;
        transaction.execute(NOTIFY, &[Value::Text(&epoch.to_string())]).await?;
        transaction.commit().await.map_err(from_sqlx)?;
        Ok(epoch)
    }

    async fn outbox(&self, limit: u32) -> Result<Vec<OutboxEntry>, StateError> {
        let mut connection = self.connection().await?;
        read::outbox(&mut *connection, limit).await
    }

    async fn drained(&self, ids: &[String]) -> Result<(), StateError> {
        let mut transaction = self.transaction().await?;
        write::drained(&mut *transaction, ids).await?;
        transaction.commit().await.map_err(from_sqlx)
    }
}
