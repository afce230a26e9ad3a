//! Tickets: one statement each, so that what is taken is taken by one.

use gateway_core::ports::{StateError, Ticket, TicketKind};
use gateway_core::time::Timestamp;

use super::session::{Session, Value, corrupt};

// An expired row is as if absent, also where nobody has swept it yet.
const INSERT: &str = "INSERT INTO tickets (kind, key, content, expires_at) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (kind, key) DO UPDATE SET content = excluded.content, expires_at = excluded.expires_at \
    WHERE tickets.expires_at <= $5";
const READ: &str = "SELECT content, expires_at FROM tickets WHERE kind = $1 AND key = $2 AND expires_at > $3";
const TAKE: &str = "DELETE FROM tickets WHERE kind = $1 AND key = $2 AND expires_at > $3 \
    RETURNING content, expires_at";
const REPLACE: &str = "UPDATE tickets SET content = $1, expires_at = $2 \
    WHERE kind = $3 AND key = $4 AND content = $5 AND expires_at > $6";
const LIST: &str = "SELECT key, content, expires_at FROM tickets WHERE kind = $1 AND expires_at > $2";
const COUNT: &str = "SELECT COUNT(*) FROM tickets WHERE kind = $1 AND key LIKE $2 AND expires_at > $3";
const SWEEP: &str = "DELETE FROM tickets WHERE expires_at <= $1";

pub(super) async fn insert(
    session: &mut dyn Session,
    ticket: &Ticket,
    now: Timestamp,
) -> Result<bool, StateError> {
    let values = [
        Value::Text(ticket.kind.word()),
        Value::Text(&ticket.key),
        Value::Text(&ticket.content),
        Value::Number(ticket.expires_at.micros()),
        Value::Number(now.micros()),
    ];
    Ok(session.execute(INSERT, &values).await? == 1)
}

pub(super) async fn read(
    session: &mut dyn Session,
    kind: TicketKind,
    key: &str,
    now: Timestamp,
) -> Result<Option<Ticket>, StateError> {
    one(session, READ, kind, key, now).await
}

pub(super) async fn take(
    session: &mut dyn Session,
    kind: TicketKind,
    key: &str,
    now: Timestamp,
) -> Result<Option<Ticket>, StateError> {
    one(session, TAKE, kind, key, now).await
}

pub(super) async fn replace(
    session: &mut dyn Session,
    expected: &str,
    ticket: &Ticket,
    now: Timestamp,
) -> Result<bool, StateError> {
    let values = [
        Value::Text(&ticket.content),
        Value::Number(ticket.expires_at.micros()),
        Value::Text(ticket.kind.word()),
        Value::Text(&ticket.key),
        Value::Text(expected),
        Value::Number(now.micros()),
    ];
    Ok(session.execute(REPLACE, &values).await? == 1)
}

pub(super) async fn list(
    session: &mut dyn Session,
    kind: TicketKind,
    now: Timestamp,
) -> Result<Vec<Ticket>, StateError> {
    let values = [Value::Text(kind.word()), Value::Number(now.micros())];
    let rows = session.rows(LIST, &values).await?.into_iter().map(|mut row| {
        let (key, content) = (row.text()?, row.text()?);
        Ok(Ticket { kind, key, content, expires_at: Timestamp::from_micros(row.number()?) })
    });
    rows.collect()
}

pub(super) async fn count(
    session: &mut dyn Session,
    kind: TicketKind,
    beginning: &str,
    now: Timestamp,
) -> Result<u64, StateError> {
    let pattern = format!("{beginning}%");
    let values = [Value::Text(kind.word()), Value::Text(&pattern), Value::Number(now.micros())];
    let Some(mut row) = session.rows(COUNT, &values).await?.pop() else { return Ok(0) };
    u64::try_from(row.number()?).map_err(corrupt)
}

pub(super) async fn sweep(session: &mut dyn Session, now: Timestamp) -> Result<u64, StateError> {
    session.execute(SWEEP, &[Value::Number(now.micros())]).await
}

async fn one(
    session: &mut dyn Session,
    sql: &'static str,
    kind: TicketKind,
    key: &str,
    now: Timestamp,
) -> Result<Option<Ticket>, StateError> {
    let values = [Value::Text(kind.word()), Value::Text(key), Value::Number(now.micros())];
    let Some(mut row) = session.rows(sql, &values).await?.pop() else { return Ok(None) };
    let content = row.text()?;
    let expires_at = Timestamp::from_micros(row.number()?);
    Ok(Some(Ticket { kind, key: key.to_owned(), content, expires_at }))
}

/// The same statements on either backend; they differ in where a reading connection comes from.
macro_rules! tickets {
    ($state:ty, $reading:ident, $writing:ident) => {
        #[async_trait::async_trait]
        impl gateway_core::ports::Tickets for $state {
            async fn insert(&self, ticket: &Ticket, now: Timestamp) -> Result<bool, StateError> {
                insert(&mut *self.$writing().await?, ticket, now).await
            }

            async fn read(
                &self,
                kind: TicketKind,
                key: &str,
                now: Timestamp,
            ) -> Result<Option<Ticket>, StateError> {
                read(&mut *self.$reading().await?, kind, key, now).await
            }

            async fn take(
                &self,
                kind: TicketKind,
                key: &str,
                now: Timestamp,
            ) -> Result<Option<Ticket>, StateError> {
                take(&mut *self.$writing().await?, kind, key, now).await
            }

            async fn replace(
                &self,
                expected: &str,
                ticket: &Ticket,
                now: Timestamp,
            ) -> Result<bool, StateError> {
                replace(&mut *self.$writing().await?, expected, ticket, now).await
            }

            async fn list(&self, kind: TicketKind, now: Timestamp) -> Result<Vec<Ticket>, StateError> {
                list(&mut *self.$reading().await?, kind, now).await
            }

            async fn count(
                &self,
                kind: TicketKind,
                beginning: &str,
                now: Timestamp,
            ) -> Result<u64, StateError> {
                count(&mut *self.$reading().await?, kind, beginning, now).await
            }

            async fn sweep(&self, now: Timestamp) -> Result<u64, StateError> {
                sweep(&mut *self.$writing().await?, now).await
            }
        }
    };
}

tickets!(super::SqliteState, reading, writing);
tickets!(super::PostgresState, connection, connection);
