//! One database session, reduced to what the statements need: text, whole numbers and rows of them.
//! Both backends understand `$1`, so every statement is written once.

use async_trait::async_trait;
use gateway_core::ports::StateError;
use sqlx::{Row as _, TypeInfo as _, ValueRef as _};

use super::failure::from_sqlx;

/// A bound value. The kind stays known where the value is absent, as PostgreSQL wants it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    /// Text.
    Text(&'a str),
    /// Text that may be absent.
    MaybeText(Option<&'a str>),
    /// A whole number.
    Number(i64),
    /// A whole number that may be absent.
    MaybeNumber(Option<i64>),
}

/// A column of a row.
#[derive(Debug)]
pub(super) enum Cell {
    /// SQL's NULL.
    Null,
    /// Text.
    Text(String),
    /// A whole number.
    Number(i64),
}

/// A row, read from its first column to its last.
#[derive(Debug)]
pub(super) struct Row(std::vec::IntoIter<Cell>);

impl Row {
    /// The next column, which may be NULL.
    pub(super) fn maybe_text(&mut self) -> Result<Option<String>, StateError> {
        match self.0.next() {
            Some(Cell::Text(text)) => Ok(Some(text)),
            Some(Cell::Null) => Ok(None),
            _ => Err(corrupt("a column is no text")),
        }
    }

    /// The next column.
    pub(super) fn text(&mut self) -> Result<String, StateError> {
        self.maybe_text()?.ok_or_else(|| corrupt("a column is empty"))
    }

    /// The next column, which may be NULL.
    pub(super) fn maybe_number(&mut self) -> Result<Option<i64>, StateError> {
        match self.0.next() {
            Some(Cell::Number(number)) => Ok(Some(number)),
            Some(Cell::Null) => Ok(None),
            _ => Err(corrupt("a column is no number")),
        }
    }

    /// The next column.
    pub(super) fn number(&mut self) -> Result<i64, StateError> {
        self.maybe_number()?.ok_or_else(|| corrupt("a column is empty"))
    }
}

/// What is stored cannot be what we wrote.
pub(super) fn corrupt(what: impl std::fmt::Display) -> StateError {
    StateError::Corrupt(what.to_string())
}

/// One session, inside a transaction of its backend.
#[async_trait]
pub(super) trait Session: Send {
    /// Runs a statement; says how many rows it touched.
    async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, StateError>;

    /// Runs a query.
    async fn rows(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, StateError>;
}

macro_rules! session {
    ($connection:ty, $row:ty) => {
        #[async_trait]
        impl Session for $connection {
            async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, StateError> {
                let query = values.iter().fold(sqlx::query(sql), |query, value| match *value {
                    Value::Text(text) => query.bind(text.to_owned()),
                    Value::MaybeText(text) => query.bind(text.map(str::to_owned)),
                    Value::Number(number) => query.bind(number),
                    Value::MaybeNumber(number) => query.bind(number),
                });
                Ok(query.execute(self).await.map_err(from_sqlx)?.rows_affected())
            }

            async fn rows(
                &mut self,
                sql: &'static str,
                values: &[Value<'_>],
            ) -> Result<Vec<Row>, StateError> {
                let query = values.iter().fold(sqlx::query(sql), |query, value| match *value {
                    Value::Text(text) => query.bind(text.to_owned()),
                    Value::MaybeText(text) => query.bind(text.map(str::to_owned)),
                    Value::Number(number) => query.bind(number),
                    Value::MaybeNumber(number) => query.bind(number),
                });
                let rows: Vec<$row> = query.fetch_all(self).await.map_err(from_sqlx)?;
                rows.iter()
                    .map(|row| {
                        let cells = (0..row.len()).map(|column| {
                            let raw = row.try_get_raw(column).map_err(from_sqlx)?;
                            if raw.is_null() {
                                return Ok(Cell::Null);
                            }
                            let is_text = raw.type_info().name() == "TEXT";
                            if is_text {
                                row.try_get(column).map(Cell::Text).map_err(from_sqlx)
                            } else {
                                row.try_get(column).map(Cell::Number).map_err(from_sqlx)
                            }
                        });
                        Ok(Row(cells.collect::<Result<Vec<_>, StateError>>()?.into_iter()))
                    })
                    .collect()
            }
        }
    };
}

session!(sqlx::SqliteConnection, sqlx::sqlite::SqliteRow);
session!(sqlx::PgConnection, sqlx::postgres::PgRow);
