//! Secrets in files: what Kubernetes, systemd and Docker mount.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::ports::{SecretStore, StoreError, StoreErrorKind};
use gateway_core::reference::{ResolvedReference, VersionSelector};
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use sha2::{Digest, Sha256};

use super::blocking::blocking;
use super::json_text::{Fields, secret_field};
use super::private_file::{self, PrivateFile, Readers};

/// The largest file read, in bytes.
pub const MAX_FILE: usize = 64 * 1024;

/// Reads files, at each fetch anew. A field selects a key of a JSON object in the file.
#[derive(Debug)]
pub struct FileStore {
    base: Option<PathBuf>,
    readers: Readers,
}

impl FileStore {
    /// A store of the files below `base`, or of any file by its absolute path where there is no base.
    pub fn new(base: Option<PathBuf>, allow_group_read: bool) -> Self {
        let readers = if allow_group_read { Readers::Group } else { Readers::Owner };
        Self { base, readers }
    }
}

/// The real path of the file: symbolic links may lead anywhere within the base, and nowhere else.
fn locate(base: Option<&Path>, path: &str) -> Result<PathBuf, StoreError> {
    let real = |path: &Path| path.canonicalize().map_err(|error| private_file::failed(path, &error));
    let Some(base) = base else {
        if !path.starts_with('/') {
            let inside = "without a base directory the path must be absolute: `store:///path/to/file`";
            return Err(StoreError::new(StoreErrorKind::Malformed, inside));
        }
        return real(Path::new(path));
    };
    // A base that is missing is an outage (a volume not mounted), not a missing secret.
    let base = base.canonicalize().map_err(|error| {
        StoreError::new(StoreErrorKind::Unavailable, format!("base directory `{}`: {error}", base.display()))
    })?;
    let file = real(&base.join(path.trim_start_matches('/')))?;
    if !file.starts_with(&base) {
        let inside = format!("`{path}` leads out of the base directory");
        return Err(StoreError::new(StoreErrorKind::Denied, inside));
    }
    Ok(file)
}

/// Names what is there by when it was written, never by what it says.
fn version_of(file: &PrivateFile) -> VersionId {
    let hash = Sha256::new()
        .chain_update(file.modified.to_be_bytes())
        .chain_update(file.content.len().to_be_bytes())
        .chain_update(file.inode.to_be_bytes())
        .finalize();
    VersionId::new(&hex::encode(hash.get(..8).unwrap_or_default()))
}

fn read(
    base: Option<&Path>,
    readers: Readers,
    wanted: &ResolvedReference,
) -> Result<SecretVersion, StoreError> {
    let file = private_file::read(&locate(base, &wanted.path)?, readers, MAX_FILE)?;
    let version = version_of(&file);
    match &wanted.version {
        None => {}
        Some(VersionSelector::Version(pinned)) if pinned == version.as_str() => {}
        Some(VersionSelector::Version(_)) => {
            let inside = "a file keeps no versions, and the pinned one is not the one that is there";
            return Err(StoreError::new(StoreErrorKind::NotFound, inside));
        }
        Some(VersionSelector::Stage(_)) => {
            return Err(StoreError::new(StoreErrorKind::Malformed, "a file has no stages"));
        }
    }
    let secret = match &wanted.field {
        None => Secret::copy_from(private_file::without_line_end(&file.content)),
        Some(field) => {
            let fields: Fields<'_> = serde_json::from_slice(&file.content).map_err(|_| {
                StoreError::new(
                    StoreErrorKind::Malformed,
                    "a field is asked of a file that is no JSON object",
                )
            })?;
            secret_field(&fields, field)?
        }
    };
    if secret.is_empty() {
        return Err(StoreError::new(StoreErrorKind::Empty, "the file is empty"));
    }
    let created_at = Some(Timestamp::from_micros(file.modified));
    Ok(SecretVersion { secret, version, created_at, expires_at: None, store_request_id: None })
}

#[async_trait]
impl SecretStore for FileStore {
    async fn fetch(&self, reference: &ResolvedReference) -> Result<Arc<SecretVersion>, StoreError> {
        let (base, readers, reference) = (self.base.clone(), self.readers, reference.clone());
        blocking(move || read(base.as_deref(), readers, &reference)).await.map(Arc::new)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let Some(base) = self.base.clone() else { return Ok(()) };
        blocking(move || match std::fs::read_dir(&base) {
            Ok(_) => Ok(()),
            Err(error) => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!("base directory `{}`: {error}", base.display()),
            )),
        })
        .await
    }
}

#[cfg(test)]
mod tests;
