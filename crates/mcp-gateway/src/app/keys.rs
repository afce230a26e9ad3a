//! Small key files of the gateway's own, made at first use.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

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
    match read_private(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read,
    }
    let mut bytes = Zeroizing::new([0_u8; 32]);
    random.fill(&mut *bytes);
    match write_private(path, &*bytes) {
        Ok(()) => Ok(bytes),
        // Another process of this machine was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read_private(path),
        Err(error) => Err(error),
    }
}

fn read_private(path: &Path) -> io::Result<Zeroizing<[u8; 32]>> {
    let mut file = File::open(path)?;
    if file.metadata()?.mode() & 0o077 != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others may read it: use mode 0600"));
    }
    let mut bytes = Zeroizing::new([0_u8; 32]);
    file.read_exact(&mut *bytes)?;
    Ok(bytes)
}

/// Writes a file that only its owner may read, whole or not at all; one that is there stays as it is.
///
/// # Errors
/// It exists, or the disk refuses.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = beside(path, &format!(".{}.new", std::process::id()));
    write_beside(&beside, bytes)?;
    put_in_place(&beside, path)
}

/// A name in the same directory.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Writes a private file, over what a crash left under this name.
///
/// # Errors
/// The disk refuses.
pub(super) fn write_beside(beside: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(directory) = beside.parent() {
        std::fs::create_dir_all(directory)?;
    }
    match std::fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Gives a written file its name; one that is there stays as it is.
///
/// # Errors
/// It exists, or the disk refuses.
pub(super) fn put_in_place(beside: &Path, path: &Path) -> io::Result<()> {
    match std::fs::hard_link(beside, path) {
        // What was written stays: it may be the only copy of what others know of already.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        linked => {
            std::fs::remove_file(beside)?;
            linked?;
        }
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::system::SystemEntropy;

    #[test]
    fn a_key_is_made_whole_once_and_is_the_same_from_then_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/key");
        let random = SystemEntropy::default();
        // What a process left that was killed while it wrote.
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(beside(&path, &format!(".{}.new", std::process::id())), "half").unwrap();
        let first = private_key(&path, &random).unwrap();
        assert_eq!(*private_key(&path, &random).unwrap(), *first);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(
            std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
        assert_eq!(write_private(&path, b"other").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(*private_key(&path, &random).unwrap(), *first);
    }

    #[test]
    fn refuses_a_key_that_others_may_read_or_that_is_cut_short() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write_private(&path, b"short").unwrap();
        let random = SystemEntropy::default();
        assert_eq!(private_key(&path, &random).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        assert_eq!(private_key(&path, &random).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
