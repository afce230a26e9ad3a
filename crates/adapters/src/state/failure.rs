//! What a database error means for the state.

use gateway_core::ports::StateError;
use sqlx::error::{DatabaseError, ErrorKind};

/// SQLite's extended code for `RAISE(ABORT, …)` in a trigger (SQLITE_CONSTRAINT_TRIGGER).
const SQLITE_TRIGGER: &str = "1811";
/// PostgreSQL: a serialisation failure or a deadlock; the transaction may be tried again.
const RETRY: [&str; 2] = ["40001", "40P01"];

/// Sorts an error of the driver. Messages of databases name constraints and columns, never values.
pub(super) fn from_sqlx(error: sqlx::Error) -> StateError {
    match error {
        sqlx::Error::Database(error) => from_database(error.as_ref()),
        sqlx::Error::RowNotFound
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_) => StateError::Corrupt(error.to_string()),
        other => StateError::Unavailable(other.to_string()),
    }
}

fn from_database(error: &dyn DatabaseError) -> StateError {
    let code = error.code();
    let code = code.as_deref().unwrap_or_default();
    let broken = matches!(
        error.kind(),
        ErrorKind::UniqueViolation
            | ErrorKind::ForeignKeyViolation
            | ErrorKind::NotNullViolation
            | ErrorKind::CheckViolation
    );
    if broken || code == SQLITE_TRIGGER {
        StateError::Constraint(error.message().to_owned())
    } else if RETRY.contains(&code) {
        StateError::Conflict
    } else {
        StateError::Unavailable(error.message().to_owned())
    }
}
