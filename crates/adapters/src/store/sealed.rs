//! The embedded store: one file, every value sealed under a key of its own, those keys wrapped by the
//! key-encryption key in the key file.
//!
//! The file is replaced as a whole: a new one is written beside it, synced, and renamed over it, so a
//! crash leaves the old one or the new one. Writers, in however many processes, take turns by a lock
//! file; readers need no lock.

mod disk;
mod envelope;
mod key;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::ports::{SecretStore, SecretWriter, StoreError, StoreErrorKind};
use gateway_core::reference::{ResolvedReference, VersionSelector};
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;

use self::disk::Record;
use self::envelope::Place;
use self::key::WrappingKey;
use super::blocking::blocking;
use super::private_file;

/// How many versions of one value are kept; the oldest go first.
pub const KEPT_VERSIONS: usize = 32;
/// The largest value taken, in bytes.
pub const MAX_VALUE: usize = 1024 * 1024;

/// Why the sealed store cannot be opened.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct SealedError(String);

/// The sealed store. Values are decrypted at each fetch; none is kept.
#[derive(Clone)]
pub struct SealedStore(Arc<Sealed>);

struct Sealed {
    name: String,
    path: PathBuf,
    key: WrappingKey,
}

impl fmt::Debug for SealedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedStore").field("path", &self.0.path).field("key", &self.0.key.id()).finish()
    }
}

impl SealedStore {
    /// Opens the store, and makes the key file and an empty store where neither exists. Blocks.
    ///
    /// # Errors
    /// The key file is missing although the store exists, belongs to somebody else, may be read by
    /// others, is malformed, or is not the key that the values were sealed with.
    pub fn open(name: &str, path: &Path, key_file: &Path) -> Result<Self, SealedError> {
        for file in [path, key_file] {
            private_file::make_directory(file).map_err(|error| SealedError(error.inside))?;
        }
        let _lock = private_file::lock(path).map_err(|error| SealedError(error.inside))?;
        let exists = path.exists();
        let key = match WrappingKey::read(key_file) {
            Ok(key) => key,
            Err(error) if error.kind == StoreErrorKind::NotFound && !exists => {
                WrappingKey::create(key_file).map_err(|error| SealedError(error.inside))?
            }
            Err(error) => return Err(SealedError(error.inside)),
        };
        if !exists {
            disk::write(path, &[]).map_err(|error| SealedError(error.inside))?;
        }
        let sealed = Sealed { name: name.to_owned(), path: path.to_owned(), key };
        sealed.check_key().map_err(|error| SealedError(error.inside))?;
        Ok(Self(Arc::new(sealed)))
    }
}

impl Sealed {
    /// Whether the newest value was sealed with our key: found at start, not at the first call.
    fn check_key(&self) -> Result<(), StoreError> {
        let records = disk::read(&self.path)?;
        match records.last() {
            Some(newest) if newest.key_id != self.key.id() => Err(self.wrong_key(&newest.key_id)),
            _ => Ok(()),
        }
    }

    fn wrong_key(&self, sealed_with: &str) -> StoreError {
        let ours = self.key.id();
        let inside = format!("sealed with key {sealed_with}, but the key file holds key {ours}");
        StoreError::new(StoreErrorKind::Denied, inside)
    }

    fn fetch(&self, wanted: &ResolvedReference) -> Result<SecretVersion, StoreError> {
        let no_field = || StoreError::new(StoreErrorKind::Malformed, "name the field: `store://path#field`");
        let field = wanted.field.as_deref().ok_or_else(no_field)?;
        let pinned = match &wanted.version {
            None => None,
            Some(VersionSelector::Version(version)) => Some(version.as_str()),
            Some(VersionSelector::Stage(_)) => {
                return Err(StoreError::new(StoreErrorKind::Malformed, "the sealed store has no stages"));
            }
        };
        let records = disk::read(&self.path)?;
        let here = records.iter().filter(|record| record.path == wanted.path && record.field == field);
        let found = match pinned {
            None => here.max_by_key(|record| record.version),
            Some(pinned) => here.into_iter().find(|record| record.version.to_string() == pinned),
        };
        let record = found.ok_or_else(|| StoreError::new(StoreErrorKind::NotFound, "no such value"))?;
        if record.key_id != self.key.id() {
            return Err(self.wrong_key(&record.key_id));
        }
        let secret = envelope::open(&self.key, &self.place(record), &record.envelope)?;
        Ok(SecretVersion {
            secret,
            version: VersionId::new(&record.version.to_string()),
            created_at: Some(record.created_at),
            expires_at: None,
            store_request_id: None,
        })
    }

    /// Puts the value on top of the newest version, or only on top of the expected one.
    fn put(
        &self,
        path: &str,
        field: &str,
        value: &Secret,
        expected: Option<&VersionId>,
        now: Timestamp,
    ) -> Result<Option<VersionId>, StoreError> {
        if path.is_empty() || field.is_empty() {
            return Err(StoreError::new(StoreErrorKind::Malformed, "path and field must not be empty"));
        }
        if value.is_empty() {
            return Err(StoreError::new(StoreErrorKind::Empty, "an empty value is never stored"));
        }
        if value.len() > MAX_VALUE {
            let inside = format!("the value is larger than {MAX_VALUE} bytes");
            return Err(StoreError::new(StoreErrorKind::Malformed, inside));
        }
        let _lock = private_file::lock(&self.path)?;
        let mut records = disk::read(&self.path)?;
        let same = |record: &Record| record.path == path && record.field == field;
        let here = records.iter().filter(|record| same(record)).map(|record| record.version);
        let (newest, count) = here.fold((0, 0), |(newest, count), version| (version.max(newest), count + 1));
        if expected.is_some_and(|expected| expected.as_str() != newest.to_string()) {
            return Ok(None);
        }
        let version = newest + 1;
        if count >= KEPT_VERSIONS {
            let oldest = records.iter().filter(|r| same(r)).map(|r| r.version).min().unwrap_or(0);
            records.retain(|record| !(same(record) && record.version == oldest));
        }
        let place = Place { store: &self.name, path, field, version };
        let envelope = envelope::seal(&self.key, &place, value)?;
        records.push(Record {
            path: path.to_owned(),
            field: field.to_owned(),
            version,
            created_at: now,
            key_id: self.key.id().to_owned(),
            envelope,
        });
        disk::write(&self.path, &records)?;
        Ok(Some(VersionId::new(&version.to_string())))
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        let _lock = private_file::lock(&self.path)?;
        let mut records = disk::read(&self.path)?;
        let before = records.len();
        records.retain(|record| record.path != path);
        if records.len() == before { Ok(()) } else { disk::write(&self.path, &records) }
    }

    fn place<'a>(&'a self, record: &'a Record) -> Place<'a> {
        Place { store: &self.name, path: &record.path, field: &record.field, version: record.version }
    }
}

#[async_trait]
impl SecretStore for SealedStore {
    async fn fetch(&self, reference: &ResolvedReference) -> Result<Arc<SecretVersion>, StoreError> {
        let (sealed, reference) = (self.0.clone(), reference.clone());
        blocking(move || sealed.fetch(&reference)).await.map(Arc::new)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let sealed = self.0.clone();
        blocking(move || sealed.check_key()).await
    }

    fn keeps_versions(&self) -> bool {
        true
    }
}

#[async_trait]
impl SecretWriter for SealedStore {
    async fn put(
        &self,
        path: &str,
        field: &str,
        value: Secret,
        now: Timestamp,
    ) -> Result<VersionId, StoreError> {
        let (sealed, path, field) = (self.0.clone(), path.to_owned(), field.to_owned());
        let written = blocking(move || sealed.put(&path, &field, &value, None, now)).await?;
        written.ok_or_else(|| StoreError::new(StoreErrorKind::Unavailable, "the value was not written"))
    }

    async fn replace(
        &self,
        path: &str,
        field: &str,
        value: Secret,
        expected: &VersionId,
        now: Timestamp,
    ) -> Result<Option<VersionId>, StoreError> {
        let (sealed, path, field) = (self.0.clone(), path.to_owned(), field.to_owned());
        let expected = expected.clone();
        blocking(move || sealed.put(&path, &field, &value, Some(&expected), now)).await
    }

    async fn delete(&self, path: &str) -> Result<(), StoreError> {
        let (sealed, path) = (self.0.clone(), path.to_owned());
        blocking(move || sealed.delete(&path)).await
    }
}

#[cfg(test)]
mod tests;
