//! Files that hold secrets: read only from owners and with permissions that keep others out, and
//! replaced whole.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use gateway_core::ports::{StoreError, StoreErrorKind};
use zeroize::Zeroizing;

/// Who besides the owner may read the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Readers {
    /// Nobody.
    Owner,
    /// The file's group.
    Group,
    /// Anybody: for tokens that the platform mounts and guards itself.
    Anybody,
}

impl Readers {
    fn forbidden_bits(self) -> u32 {
        match self {
            Self::Owner => 0o077,
            Self::Group => 0o027,
            Self::Anybody => 0o002,
        }
    }
}

/// What a private file holds.
pub(crate) struct PrivateFile {
    /// The bytes.
    pub(crate) content: Zeroizing<Vec<u8>>,
    /// Microseconds since the Unix epoch at the last change.
    pub(crate) modified: i64,
    /// The inode, which a replacement changes.
    pub(crate) inode: u64,
}

/// Reads the whole file. Blocks.
pub(crate) fn read(path: &Path, readers: Readers, limit: usize) -> Result<PrivateFile, StoreError> {
    // Not blocking on open, so that a pipe in the file's place cannot hang the caller.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = opened.map_err(|error| failed(path, &error))?;
    let metadata = check(&file, path, readers)?;
    let length = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    if length > limit {
        let inside = format!("`{}` is larger than {limit} bytes", path.display());
        return Err(StoreError::new(StoreErrorKind::Malformed, inside));
    }
    let mut content = Zeroizing::new(Vec::with_capacity(length.saturating_add(1)));
    let ceiling = u64::try_from(length).unwrap_or(u64::MAX).saturating_add(1);
    file.take(ceiling).read_to_end(&mut content).map_err(|error| failed(path, &error))?;
    if content.len() != length {
        let inside = format!("`{}` changed while it was read", path.display());
        return Err(StoreError::new(StoreErrorKind::Unavailable, inside));
    }
    let modified = metadata.mtime().saturating_mul(1_000_000).saturating_add(metadata.mtime_nsec() / 1_000);
    Ok(PrivateFile { content, modified, inode: metadata.ino() })
}

/// Judges the opened file, not the path, so that nothing can be swapped in between.
fn check(file: &File, path: &Path, readers: Readers) -> Result<std::fs::Metadata, StoreError> {
    let metadata = file.metadata().map_err(|error| failed(path, &error))?;
    let refused =
        |what: &str| Err(StoreError::new(StoreErrorKind::Denied, format!("`{}` {what}", path.display())));
    if !metadata.is_file() {
        return refused("is not a regular file");
    }
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return refused("belongs to another user");
    }
    if metadata.mode() & readers.forbidden_bits() != 0 {
        return refused(match readers {
            Readers::Owner => "may be read by others: chmod go-rwx",
            Readers::Group => "may be read by everybody or written by its group: chmod g-w,o-rwx",
            Readers::Anybody => "may be written by everybody: chmod o-w",
        });
    }
    Ok(metadata)
}

/// A failure of the file system as a failure of a store.
pub(crate) fn failed(path: &Path, error: &std::io::Error) -> StoreError {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => StoreErrorKind::NotFound,
        std::io::ErrorKind::PermissionDenied => StoreErrorKind::Denied,
        // A symbolic link where a file was expected.
        _ if error.raw_os_error() == Some(libc::ELOOP) => StoreErrorKind::Denied,
        _ => StoreErrorKind::Unavailable,
    };
    StoreError::new(kind, format!("`{}`: {error}", path.display()))
}

/// The content without one line end at its end: editors and `echo` add it, and no credential means it.
pub(crate) fn without_line_end(content: &[u8]) -> &[u8] {
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    content.strip_suffix(b"\r").unwrap_or(content)
}

/// Waits for the turn to write the file; held until dropped. Blocks.
pub(crate) fn lock(path: &Path) -> Result<File, StoreError> {
    let lock = beside(path, ".lock");
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock);
    let file = opened.map_err(|error| failed(&lock, &error))?;
    file.lock().map_err(|error| failed(&lock, &error))?;
    Ok(file)
}

/// Puts the content in the file's place, whole or not at all. The caller holds the lock. Blocks.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let next = beside(path, ".next");
    let replaced = write_synced(&next, content)
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
pub(crate) fn make_directory(path: &Path) -> Result<(), StoreError> {
    let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else { return Ok(()) };
    DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(|error| failed(parent, &error))
}

/// Makes the file's name in its directory survive a power loss.
pub(crate) fn sync_directory(path: &Path) -> std::io::Result<()> {
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
