//! Small key files of the gateway's own, made at first use.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use gateway_core::ports::Random;
use gateway_core::secret::FingerprintKey;
use zeroize::Zeroizing;

/// Reads the deployment's fingerprint key, or makes it.
///
/// # Errors
/// The file cannot be read or made, others may read it, or it does not hold 32 bytes.
pub(super) fn fingerprint_key(path: &Path, random: &dyn Random) -> io::Result<FingerprintKey> {
    private_key(path, random).map(|bytes| FingerprintKey::new(*bytes))
}

/// Reads 32 bytes that only the owner may read, or makes them.
///
/// # Errors
/// As for [`fingerprint_key`].
pub(super) fn private_key(path: &Path, random: &dyn Random) -> io::Result<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    match OpenOptions::new().read(true).open(path) {
        Ok(mut file) => {
            if file.metadata()?.mode() & 0o077 != 0 {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    "others may read it: use mode 0600",
                ));
            }
            file.read_exact(&mut *bytes)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            random.fill(&mut *bytes);
            write_private(path, &*bytes)?;
        }
        Err(error) => return Err(error),
    }
    Ok(bytes)
}

/// Writes a file that only its owner may read; one that is there stays as it is.
///
/// # Errors
/// It exists, or the disk refuses.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
