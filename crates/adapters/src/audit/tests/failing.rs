//! A disk that fails on cue: the log stops, says so, and comes back without a scar.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::super::disk::{Disk, RealDisk, SegmentFile};
use super::*;

/// What is wrong with the disk, shared with its files.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Bytes that still fit; then half of a write is taken, and the rest is refused.
    pub(super) full: AtomicBool,
    pub(super) sync_fails: AtomicBool,
    pub(super) open_fails: AtomicBool,
    pub(super) writes: AtomicUsize,
    pub(super) syncs: AtomicUsize,
    /// A sync takes this lock: whoever holds it holds the disk.
    pub(super) gate: Mutex<()>,
}

#[derive(Debug)]
pub(super) struct FaultyDisk(pub(super) Arc<Faults>);

#[derive(Debug)]
struct FaultyFile(Box<dyn SegmentFile>, Arc<Faults>);

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(FaultyFile(RealDisk.create(path)?, Arc::clone(&self.0))))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        if self.0.open_fails.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        Ok(Box::new(FaultyFile(RealDisk.open(path)?, Arc::clone(&self.0))))
    }
}

impl SegmentFile for FaultyFile {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        self.1.writes.fetch_add(1, Ordering::SeqCst);
        if !self.1.full.load(Ordering::SeqCst) {
            return self.0.append(bytes);
        }
        if bytes.len() < 200 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.append(&bytes[..bytes.len() / 2])
    }

    fn sync(&self) -> io::Result<()> {
        let _held = self.1.gate.lock().unwrap();
        self.1.syncs.fetch_add(1, Ordering::SeqCst);
        if self.1.sync_fails.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.0.sync()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }
}

pub(super) fn faulty(durability: Durability) -> (tempfile::TempDir, Arc<Faults>, Arc<AuditLog>) {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let config = AuditConfig::new(directory.path(), durability);
    let disk = Box::new(FaultyDisk(Arc::clone(&faults)));
    let (log, _) = AuditLog::open_on(disk, &config, &random()).unwrap();
    (directory, faults, Arc::new(log))
}

async fn recovered(log: &AuditLog, number: u64) -> Sequence {
    log.shared.lock().retry_now();
    log.record(intent(number)).await.unwrap()
}

#[tokio::test]
async fn a_full_disk_stops_records_and_notes_and_leaves_no_half_line_behind() {
    let (directory, faults, log) = faulty(Durability::Process);
    log.record(intent(1)).await.unwrap();
    log.note(outcome(1)).unwrap();
    faults.full.store(true, Ordering::SeqCst);
    assert!(log.record(intent(2)).await.is_err());
    assert!(log.status().failed.is_some());
    let writes = faults.writes.load(Ordering::SeqCst);
    assert!(log.record(intent(3)).await.is_err());
    assert!(log.note(outcome(3)).is_err());
    assert_eq!(faults.writes.load(Ordering::SeqCst), writes, "the disk is left alone for a second");

    faults.full.store(false, Ordering::SeqCst);
    assert_eq!(recovered(&log, 4).await, Sequence(3), "the refused ones took no number");
    assert_eq!(log.status().failed, None);
    let report = verified(directory.path());
    assert_eq!((report.records, report.torn_tail), (3, 0));
    let found = log.reader().unwrap().tail(Sequence(0), 9).unwrap();
    let events: Vec<_> = found.records.into_iter().map(|record| record.event).collect();
    assert_eq!(events, [intent(1), outcome(1), intent(4)], "the note taken before the failure is there");
}

#[tokio::test]
async fn a_log_that_dies_failed_opens_again() {
    let (directory, faults, log) = faulty(Durability::Process);
    log.record(intent(1)).await.unwrap();
    faults.full.store(true, Ordering::SeqCst);
    assert!(log.record(intent(2)).await.is_err());
    drop(log);
    let (log, opened) = open(&process(directory.path()));
    assert!(opened.torn.is_some());
    assert_eq!(log.record(intent(3)).await.unwrap(), Sequence(2));
    assert_eq!(verified(directory.path()).records, 2);
}

#[tokio::test]
async fn a_disk_that_cannot_be_opened_again_keeps_the_log_failed() {
    let (directory, faults, log) = faulty(Durability::Process);
    faults.full.store(true, Ordering::SeqCst);
    assert!(log.record(intent(1)).await.is_err());
    faults.full.store(false, Ordering::SeqCst);
    faults.open_fails.store(true, Ordering::SeqCst);
    log.shared.lock().retry_now();
    assert!(log.record(intent(2)).await.is_err());
    faults.open_fails.store(false, Ordering::SeqCst);
    assert_eq!(recovered(&log, 3).await, Sequence(1));
    assert_eq!(verified(directory.path()).records, 1);
}

#[tokio::test]
async fn a_failed_rotation_stops_the_log_and_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let disk = Box::new(FaultyDisk(Arc::clone(&faults)));
    let (log, _) = AuditLog::open_on(disk, &small_segments(directory.path()), &random()).unwrap();
    while std::fs::metadata(segment(directory.path(), 1)).unwrap().len() < 4_096 {
        log.record(intent(1)).await.unwrap();
    }
    faults.sync_fails.store(true, Ordering::SeqCst);
    assert!(log.record(intent(2)).await.is_err());
    faults.sync_fails.store(false, Ordering::SeqCst);
    recovered(&log, 3).await;
    assert_eq!(log.status().segment, 2);
    assert_eq!(verified(directory.path()).records, log.sequence().0);
}
