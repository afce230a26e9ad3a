//! The gateway's own credential for a store, in a file that is read anew at each login.

use std::path::Path;

use gateway_core::ports::{StoreError, StoreErrorKind};
use gateway_core::secret::Secret;
use zeroize::Zeroizing;

use super::blocking::blocking;
use super::private_file::{self, Readers, without_line_end};

/// The largest such file, in bytes.
const LARGEST: usize = 64 * 1024;

/// Reads the file. Whatever is wrong with it is no statement about the wanted secret, so it is
/// [`StoreErrorKind::Denied`].
pub(super) async fn read(file: &Path, readers: Readers) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let file = file.to_owned();
    let read = blocking(move || {
        // Kubernetes mounts tokens and secrets as links that it swaps; what they lead to is judged.
        let file = std::fs::canonicalize(&file).map_err(|error| private_file::failed(&file, &error))?;
        private_file::read(&file, readers, LARGEST)
    });
    read.await.map(|file| file.content).map_err(|error| refused(&error.inside))
}

/// Reads a file that holds one token and nothing else.
pub(super) async fn token(file: &Path, readers: Readers) -> Result<Secret, StoreError> {
    let content = read(file, readers).await?;
    let token = Secret::copy_from(without_line_end(&content));
    if token.is_empty() || !token.is_header_safe() {
        return Err(refused(&format!("`{}` is empty or holds no plain token", file.display())));
    }
    Ok(token)
}

/// The refusal of a credential of ours.
pub(super) fn refused(inside: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Denied, format!("the login's credential: {inside}"))
}
