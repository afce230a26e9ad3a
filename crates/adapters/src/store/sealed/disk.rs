//! The store's file: read as a whole, replaced as a whole.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use gateway_core::ports::{StoreError, StoreErrorKind};
use gateway_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::envelope::Envelope;
use crate::store::private_file::{self, Readers, failed};

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

/// Waits for the turn to write; held until dropped. Blocks.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let lock = beside(path, ".lock");
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock);
    let file = opened.map_err(|error| failed(&lock, &error))?;
    file.lock().map_err(|error| failed(&lock, &error))?;
    Ok(file)
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
    let next = beside(path, ".next");
    let replaced = write_synced(&next, &content)
        .and_then(|()| std::fs::rename(&next, path))
        .and_then(|()| sync_directory(path));
    replaced.map_err(|error| failed(path, &error))
}

fn write_synced(path: &Path, content: &[u8]) -> std::io::Result<()> {
    // What a crash left behind is overwritten; only the holder of the lock comes here.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes the directory of the file, for its owner alone, where it does not exist.
pub(super) fn make_directory(path: &Path) -> Result<(), StoreError> {
    let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else { return Ok(()) };
    DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(|error| failed(parent, &error))
}

/// Makes the file's name in its directory survive a power loss.
pub(super) fn sync_directory(path: &Path) -> std::io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
