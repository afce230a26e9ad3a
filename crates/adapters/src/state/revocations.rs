//! What revocations leave behind: what goes back to outside parties, and the signed documents.

use gateway_core::audit::Event;
use gateway_core::ports::{Random, StateError};
use gateway_core::revocation::{Return, RevocationRequest, RevocationStatus, SignedRevocation};
use gateway_core::time::Timestamp;

use super::failure::from_sqlx;
use super::session::{Row, Session, Value, corrupt};
use super::write;

const FILE: &str = "INSERT INTO outside_returns (id, revocation, state, filed_at, due_at, content) \
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET state = excluded.state, \
    due_at = excluded.due_at, content = excluded.content";
const FILED: &str = "SELECT revocation, content FROM outside_returns WHERE id = $1";
const DUE: &str =
    "SELECT revocation, content FROM outside_returns WHERE due_at <= $1 ORDER BY due_at, id LIMIT $2";
const UNASSIGNED: &str =
    "SELECT revocation, content FROM outside_returns WHERE revocation IS NULL ORDER BY filed_at, id";
const ASSIGN: &str = "UPDATE outside_returns SET revocation = $1 WHERE id = $2 AND revocation IS NULL";
const RETURNS_OF: &str =
    "SELECT revocation, content FROM outside_returns WHERE revocation = $1 ORDER BY filed_at, id";
const KEEP: &str = "INSERT INTO revocations (id, serial, status, requested_at, document) \
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id, serial) DO NOTHING";
const DOCUMENTS: &str =
    "SELECT id, serial, status, requested_at, document FROM revocations WHERE id = $1 ORDER BY serial";
const NEWEST: &str = "SELECT id, serial, status, requested_at, document FROM revocations AS one \
    WHERE serial = (SELECT MAX(serial) FROM revocations AS other WHERE other.id = one.id) \
    AND (requested_at < $1 OR (requested_at = $2 AND id > $3)) ORDER BY requested_at DESC, id LIMIT $4";
const FORGET: &str =
    "DELETE FROM outside_returns WHERE revocation IS NULL AND due_at IS NULL AND filed_at < $1";

const DROP: &str = "DELETE FROM outside_returns WHERE id = $1 AND revocation IS NULL";
const ASKED: &str = "SELECT content FROM revocation_requests ORDER BY requested_at, id LIMIT $1";
const ANSWERED: &str = "DELETE FROM revocation_requests WHERE id = $1";

async fn asked(session: &mut dyn Session, limit: u32) -> Result<Vec<RevocationRequest>, StateError> {
    let rows = session.rows(ASKED, &[Value::Number(i64::from(limit))]).await?;
    rows.into_iter().map(|mut row| serde_json::from_str(&row.text()?).map_err(corrupt)).collect()
}

/// Files one that goes back, or brings it up to date.
pub(super) async fn file(session: &mut dyn Session, one: &Return) -> Result<(), StateError> {
    let content = content(one)?;
    let values = [
        Value::Text(&one.id),
        Value::MaybeText(one.revocation.as_deref()),
        Value::Text(one.state.word()),
        Value::Number(one.filed_at.micros()),
        Value::MaybeNumber(one.due_at.map(Timestamp::micros)),
        Value::Text(&content),
    ];
    session.execute(FILE, &values).await.map(|_| ())
}

/// Strikes one out that is nobody's evidence.
pub(super) async fn drop_return(session: &mut dyn Session, id: &str) -> Result<(), StateError> {
    session.execute(DROP, &[Value::Text(id)]).await.map(|_| ())
}

/// Within a transaction of the caller's.
async fn settle(
    session: &mut dyn Session,
    returns: &[Return],
    dropped: &[String],
    evidence: Vec<Event>,
    random: &dyn Random,
) -> Result<(), StateError> {
    for one in returns {
        file(session, one).await?;
    }
    for id in dropped {
        drop_return(session, id).await?;
    }
    for event in evidence {
        write::file(session, event, random).await?;
    }
    Ok(())
}

async fn returns(
    session: &mut dyn Session,
    sql: &'static str,
    values: &[Value<'_>],
) -> Result<Vec<Return>, StateError> {
    session.rows(sql, values).await?.into_iter().map(one_return).collect()
}

/// The column says whose evidence it is: it is set after the content was written.
fn one_return(mut row: Row) -> Result<Return, StateError> {
    let revocation = row.maybe_text()?;
    let one: Return = serde_json::from_str(&row.text()?).map_err(corrupt)?;
    Ok(Return { revocation, ..one })
}

fn content(one: &Return) -> Result<String, StateError> {
    serde_json::to_string(one).map_err(|error| StateError::Constraint(error.to_string()))
}

/// Within a transaction of the caller's.
async fn keep(
    session: &mut dyn Session,
    signed: &SignedRevocation,
    evidence: Event,
    random: &dyn Random,
) -> Result<bool, StateError> {
    let values = [
        Value::Text(&signed.id),
        Value::Number(i64::from(signed.serial)),
        Value::Text(signed.status.word()),
        Value::Number(signed.requested_at.micros()),
        Value::Text(&signed.jws),
    ];
    if session.execute(KEEP, &values).await? != 1 {
        return Ok(false);
    }
    session.execute(ANSWERED, &[Value::Text(&signed.id)]).await?;
    write::file(session, evidence, random).await?;
    Ok(true)
}

async fn documents(
    session: &mut dyn Session,
    sql: &'static str,
    values: &[Value<'_>],
) -> Result<Vec<SignedRevocation>, StateError> {
    session.rows(sql, values).await?.into_iter().map(document).collect()
}

fn document(mut row: Row) -> Result<SignedRevocation, StateError> {
    let (id, serial) = (row.text()?, u32::try_from(row.number()?).map_err(corrupt)?);
    let status = match row.text()?.as_str() {
        "complete" => RevocationStatus::Complete,
        "outstanding" => RevocationStatus::Outstanding,
        _ => return Err(corrupt("unknown status of a revocation")),
    };
    let requested_at = Timestamp::from_micros(row.number()?);
    Ok(SignedRevocation { id, serial, status, requested_at, jws: row.text()? })
}

/// The same statements on either backend.
macro_rules! revocations {
    ($state:ty, $reading:ident, $writing:ident) => {
        #[async_trait::async_trait]
        impl gateway_core::ports::Revocations for $state {
            async fn settle(
                &self,
                returns: &[Return],
                dropped: &[String],
                evidence: Vec<Event>,
            ) -> Result<(), StateError> {
                let mut transaction = self.transaction().await?;
                settle(&mut *transaction, returns, dropped, evidence, &*self.random).await?;
                transaction.commit().await.map_err(from_sqlx)
            }

            async fn filed(&self, id: &str) -> Result<Option<Return>, StateError> {
                let found = returns(&mut *self.$reading().await?, FILED, &[Value::Text(id)]).await?;
                Ok(found.into_iter().next())
            }

            async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<Return>, StateError> {
                let values = [Value::Number(now.micros()), Value::Number(i64::from(limit))];
                returns(&mut *self.$reading().await?, DUE, &values).await
            }

            async fn unassigned(&self) -> Result<Vec<Return>, StateError> {
                returns(&mut *self.$reading().await?, UNASSIGNED, &[]).await
            }

            async fn assign(&self, ids: &[String], revocation: &str) -> Result<(), StateError> {
                let mut connection = self.$writing().await?;
                for id in ids {
                    let values = [Value::Text(revocation), Value::Text(id)];
                    Session::execute(&mut *connection, ASSIGN, &values).await?;
                }
                Ok(())
            }

            async fn returns_of(&self, revocation: &str) -> Result<Vec<Return>, StateError> {
                returns(&mut *self.$reading().await?, RETURNS_OF, &[Value::Text(revocation)]).await
            }

            async fn keep(&self, signed: &SignedRevocation, evidence: Event) -> Result<bool, StateError> {
                let mut transaction = self.transaction().await?;
                let kept = keep(&mut *transaction, signed, evidence, &*self.random).await?;
                transaction.commit().await.map_err(from_sqlx)?;
                Ok(kept)
            }

            async fn documents(&self, revocation: &str) -> Result<Vec<SignedRevocation>, StateError> {
                documents(&mut *self.$reading().await?, DOCUMENTS, &[Value::Text(revocation)]).await
            }

            async fn newest(
                &self,
                after: Option<(Timestamp, &str)>,
                limit: u32,
            ) -> Result<Vec<SignedRevocation>, StateError> {
                let (time, id) = after.unwrap_or((Timestamp::from_micros(i64::MAX), ""));
                let time = time.micros();
                let limit = Value::Number(i64::from(limit));
                let values = [Value::Number(time), Value::Number(time), Value::Text(id), limit];
                documents(&mut *self.$reading().await?, NEWEST, &values).await
            }

            async fn asked(&self, limit: u32) -> Result<Vec<RevocationRequest>, StateError> {
                asked(&mut *self.$reading().await?, limit).await
            }

            async fn answered(&self, id: &str) -> Result<(), StateError> {
                let value = [Value::Text(id)];
                Session::execute(&mut *self.$writing().await?, ANSWERED, &value).await.map(|_| ())
            }

            async fn forget_returns(&self, before: Timestamp) -> Result<u64, StateError> {
                let value = [Value::Number(before.micros())];
                Session::execute(&mut *self.$writing().await?, FORGET, &value).await
            }
        }
    };
}

revocations!(super::SqliteState, reading, writing);
revocations!(super::PostgresState, connection, connection);
