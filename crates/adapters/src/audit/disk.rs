//! The few things the log asks of a disk, so that tests can let each of them fail.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// An open segment file. Writes go to its end.
pub(super) trait SegmentFile: Send + Sync + fmt::Debug {
    /// One `write(2)`: gives the number of bytes taken.
    fn append(&self, bytes: &[u8]) -> io::Result<usize>;
    /// One `fdatasync(2)`.
    fn sync(&self) -> io::Result<()>;
    /// Cuts the file to this length.
    fn truncate(&self, length: u64) -> io::Result<()>;
}

/// Opens segment files.
pub(super) trait Disk: Send + Sync + fmt::Debug {
    /// Makes a file that must not exist.
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>>;
    /// Opens a file that must exist.
    fn open(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>>;
}

/// The operating system's disk.
#[derive(Debug)]
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(OpenOptions::new().append(true).open(path)?))
    }
}

impl SegmentFile for File {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self;
        file.write(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// A segment file whose first failed sync is its last: the kernel reports a lost write once per open
/// file, so a later "success" would be a lie to whoever did not see the first answer.
#[derive(Debug)]
pub(super) struct Segment {
    file: Box<dyn SegmentFile>,
    broken: Mutex<bool>,
}

impl Segment {
    pub(super) fn new(file: Box<dyn SegmentFile>) -> Self {
        Self { file, broken: Mutex::new(false) }
    }

    /// Writes all of it, as a rule by one `write(2)`.
    pub(super) fn append_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.append(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => bytes = bytes.get(taken..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        if *broken {
            return Err(io::Error::other("an earlier sync of this file failed"));
        }
        self.file.sync().inspect_err(|_| *broken = true)
    }

    pub(super) fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }
}

/// Reads `length` bytes from `offset` on.
pub(super) fn read_range(path: &Path, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    File::open(path)?.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// Makes the directory's own entries durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Writes a small file whole or not at all: beside it, synced, then renamed over it.
pub(super) fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    sync_directory(path.parent().unwrap_or_else(|| Path::new(".")))
}
