//! The store's file: read as a whole, replaced as a whole.

use std::path::Path;

use gateway_core::ports::{StoreError, StoreErrorKind};
use gateway_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::envelope::Envelope;
use crate::store::private_file::{self, Readers};

const FORMAT: &str = "mcp-gateway sealed store 1";
/// The largest store file read, in bytes.
const MAX_STORE: usize = 256 * 1024 * 1024;

/// One version of one value.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// The path.
    pub(super) path: String,
    /// The field.
    pub(super) field: String,
    /// Counts from 1.
    pub(super) version: u64,
    /// When it was put.
    pub(super) created_at: Timestamp,
    /// Which key wraps the data key.
    pub(super) key_id: String,
    /// The sealed value.
    pub(super) envelope: Envelope,
}

#[derive(Deserialize)]
struct Content {
    format: String,
    records: Vec<Record>,
}

#[derive(Serialize)]
struct ContentRef<'a> {
    format: &'a str,
    records: &'a [Record],
}

/// Reads every record, oldest first.
pub(super) fn read(path: &Path) -> Result<Vec<Record>, StoreError> {
    let unreadable = |inside: String| StoreError::new(StoreErrorKind::Unavailable, inside);
    // A store file that is gone is an outage, not a missing secret.
    let file = private_file::read(path, Readers::Owner, MAX_STORE).map_err(|error| match error.kind {
        StoreErrorKind::NotFound => unreadable(error.inside),
        _ => error,
    })?;
    let content: Content = serde_json::from_slice(&file.content)
        .map_err(|error| unreadable(format!("`{}` is damaged: {error}", path.display())))?;
    if content.format != FORMAT {
        return Err(unreadable(format!("`{}` is of another format than `{FORMAT}`", path.display())));
    }
    Ok(content.records)
}

/// Replaces the file. The caller holds the lock.
pub(super) fn write(path: &Path, records: &[Record]) -> Result<(), StoreError> {
    let content = serde_json::to_vec(&ContentRef { format: FORMAT, records })
        .map_err(|error| StoreError::new(StoreErrorKind::Malformed, error))?;
    private_file::replace(path, &content)
}
