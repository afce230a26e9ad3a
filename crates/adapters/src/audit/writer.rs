//! The writing end of the chain, behind the log's lock.
//!
//! INVARIANT: bytes `0..written` of the current segment are whole lines of the chain, and `pending`
//! holds exactly the lines that follow them up to `tip`. After a failed write the file may hold more
//! than `written`; nothing is appended before recovery has cut it back.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::audit::chain::{self, Header, Record, Tip};
use gateway_core::audit::{ChainId, Event};
use gateway_core::ports::{AuditError, Sequence};
use tokio::time::Instant;

use super::commit::Waiting;
use super::directory::{segment_path, segments};
use super::disk::{Disk, Segment, read_range, sync_directory};
use super::remembered::Remembered;

/// How long a failed log waits before it tries the disk again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Pending notes beyond this many bytes are written at once, without waiting for the next record.
const PENDING_LIMIT: usize = 1024 * 1024;

#[derive(Debug)]
struct Failure {
    reason: String,
    retry_at: Instant,
}

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) disk: Box<dyn Disk>,
    pub(super) directory: PathBuf,
    pub(super) limit: u64,
    pub(super) chain: ChainId,
    pub(super) file: Arc<Segment>,
    pub(super) segment: u64,
    /// Bytes of this segment that are in the file for sure.
    pub(super) written: u64,
    /// Bytes of this segment that are on the disk for sure.
    pub(super) synced: u64,
    /// Bytes of the segments before this one.
    pub(super) earlier_bytes: u64,
    pub(super) tip: Tip,
    pub(super) pending: Vec<u8>,
    pub(super) remembered: Remembered,
    /// Who waits for a record to be synced, in the order of the records.
    pub(super) waiting: VecDeque<Waiting>,
    /// The newest record that somebody waits to see synced.
    pub(super) wanted: Sequence,
    /// Whether somebody syncs already.
    pub(super) syncing: bool,
    failure: Option<Failure>,
    /// A sync failed: bytes from `synced` on are not trusted to reach the disk.
    distrusted: bool,
}

impl Writer {
    /// Begins a new chain with its first segment.
    pub(super) fn begin(
        disk: Box<dyn Disk>,
        directory: PathBuf,
        limit: u64,
        chain: ChainId,
    ) -> io::Result<Self> {
        let first = Sequence(1);
        let header = Header {
            segment: 1,
            chain,
            first,
            epoch: Default::default(),
            open_from: first,
            prev: Tip::START.link,
        };
        let (file, length) = create_segment(disk.as_ref(), &directory, &header)?;
        let tip = Tip { link: header.hash(), ..Tip::START };
        Ok(Self::at(disk, directory, limit, chain, file, 1, length, tip, Remembered::default()))
    }

    /// Goes on at the end of a segment.
    #[expect(clippy::too_many_arguments, reason = "the fields of the one struct it makes")]
    pub(super) fn at(
        disk: Box<dyn Disk>,
        directory: PathBuf,
        limit: u64,
        chain: ChainId,
        file: Segment,
        segment: u64,
        length: u64,
        tip: Tip,
        remembered: Remembered,
    ) -> Self {
        Self {
            disk,
            directory,
            limit,
            chain,
            file: Arc::new(file),
            segment,
            written: length,
            synced: length,
            earlier_bytes: 0,
            tip,
            pending: Vec::with_capacity(16 * 1024),
            remembered,
            waiting: VecDeque::new(),
            wanted: tip.sequence,
            syncing: false,
            failure: None,
            distrusted: false,
        }
    }

    /// Puts the event into the chain and everything pending into the file.
    pub(super) fn record(&mut self, event: &Event) -> Result<Sequence, AuditError> {
        self.make_room()?;
        let (tip, length) = (self.tip, self.pending.len());
        self.encode(event)?;
        if let Err(error) = self.write_pending() {
            // The event did not happen: the notes before it stay pending, in their places.
            self.pending.truncate(length);
            self.tip = tip;
            return Err(error);
        }
        self.remembered.see(event, self.tip.sequence);
        Ok(self.tip.sequence)
    }

    /// Puts the event into the chain; the file gets it with the next write.
    pub(super) fn note(&mut self, event: &Event) -> Result<Sequence, AuditError> {
        self.make_room()?;
        if self.pending.len() >= PENDING_LIMIT {
            self.write_pending()?;
        }
        self.encode(event)?;
        self.remembered.see(event, self.tip.sequence);
        Ok(self.tip.sequence)
    }

    fn encode(&mut self, event: &Event) -> Result<(), AuditError> {
        self.tip = chain::append(&self.tip, event, &mut self.pending)
            .map_err(|error| AuditError(format!("the event cannot be encoded: {error}")))?;
        Ok(())
    }

    /// Refuses while failed, tries to recover when it is time, begins a new segment when one is full.
    fn make_room(&mut self) -> Result<(), AuditError> {
        self.ready()?;
        let pending = u64::try_from(self.pending.len()).unwrap_or(u64::MAX);
        if self.written.saturating_add(pending) >= self.limit { self.rotate() } else { Ok(()) }
    }

    /// Whether the log works, after a try to recover it where that is due.
    pub(super) fn ready(&mut self) -> Result<(), AuditError> {
        match &self.failure {
            None => Ok(()),
            Some(failure) if Instant::now() < failure.retry_at => Err(AuditError(failure.reason.clone())),
            Some(_) => self.recover(),
        }
    }

    /// Writes what is pending.
    pub(super) fn write_pending(&mut self) -> Result<(), AuditError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.append_all(&self.pending) {
            return Err(self.fail("write", &error));
        }
        self.written = self.written.saturating_add(u64::try_from(self.pending.len()).unwrap_or(0));
        self.pending.clear();
        self.pending.shrink_to(PENDING_LIMIT);
        Ok(())
    }

    pub(super) fn unsynced(&self) -> u64 {
        self.written.saturating_sub(self.synced)
    }

    pub(super) fn failed(&self) -> Option<&str> {
        self.failure.as_ref().map(|failure| failure.reason.as_str())
    }

    /// Makes the next call try the disk again.
    #[cfg(test)]
    pub(super) fn retry_now(&mut self) {
        if let Some(failure) = &mut self.failure {
            failure.retry_at = Instant::now();
        }
    }

    /// Stops the log until a later try finds the disk well.
    fn fail(&mut self, doing: &str, error: &io::Error) -> AuditError {
        let reason = format!("{doing} of segment {}: {error}", self.segment);
        tracing::error!(segment = self.segment, %error, doing, "the audit log failed; calls stop");
        self.failure = Some(Failure { reason: reason.clone(), retry_at: Instant::now() + RETRY_AFTER });
        AuditError(reason)
    }

    /// Stops the log because a sync failed: what was not synced before is written anew on recovery.
    pub(super) fn fail_sync(&mut self, error: &io::Error) -> AuditError {
        self.distrusted = true;
        self.fail("sync", error)
    }

    fn recover(&mut self) -> Result<(), AuditError> {
        if self.distrusted {
            self.take_back_unsynced()?;
        }
        let path = segment_path(&self.directory, self.segment);
        let reopened = self.disk.open(&path).map(Segment::new).and_then(|file| {
            file.truncate(self.written)?;
            file.append_all(&self.pending)?;
            file.sync()?;
            Ok(file)
        });
        match reopened {
            Ok(file) => self.file = Arc::new(file),
            Err(error) => return Err(self.fail("recovery", &error)),
        }
        self.written = self.written.saturating_add(u64::try_from(self.pending.len()).unwrap_or(0));
        self.synced = self.written;
        self.pending.clear();
        self.failure = None;
        tracing::info!(segment = self.segment, "the audit log works again");
        Ok(())
    }

    /// Takes the lines that may not have reached the disk back into `pending`.
    fn take_back_unsynced(&mut self) -> Result<(), AuditError> {
        let path = segment_path(&self.directory, self.segment);
        let mut lines = match read_range(&path, self.synced, self.unsynced()) {
            Ok(lines) => lines,
            Err(error) => return Err(self.fail("recovery", &error)),
        };
        let whole = lines.split_inclusive(|byte| *byte == b'\n').all(|line| {
            line.strip_suffix(b"\n").and_then(Record::parse).is_some_and(|record| record.is_whole())
        });
        if !whole {
            return Err(
                self.fail("recovery", &io::Error::other("the disk lost records that were not synced"))
            );
        }
        lines.extend_from_slice(&self.pending);
        self.pending = lines;
        self.written = self.synced;
        self.distrusted = false;
        Ok(())
    }

    /// Closes this segment and begins the next.
    fn rotate(&mut self) -> Result<(), AuditError> {
        self.write_pending()?;
        if let Err(error) = self.file.sync() {
            return Err(self.fail_sync(&error));
        }
        self.synced = self.written;
        let first = Sequence(self.tip.sequence.0.saturating_add(1));
        let header = Header {
            segment: self.segment.saturating_add(1),
            chain: self.chain,
            first,
            epoch: self.remembered.epoch,
            open_from: self.remembered.open_from(first),
            prev: self.tip.link,
        };
        match create_segment(self.disk.as_ref(), &self.directory, &header) {
            Ok((file, length)) => {
                self.earlier_bytes = self.earlier_bytes.saturating_add(self.written);
                self.file = Arc::new(file);
                self.segment = header.segment;
                self.written = length;
                self.synced = length;
                self.tip.link = header.hash();
                Ok(())
            }
            Err(error) => Err(self.fail("rotation", &error)),
        }
    }
}

/// Makes the file of a new segment, with its header, durably; leaves none behind where that fails.
fn create_segment(
    disk: &dyn Disk,
    directory: &std::path::Path,
    header: &Header,
) -> io::Result<(Segment, u64)> {
    let path = segment_path(directory, header.segment);
    // A leftover of a rotation that failed and could not be cleaned up: it holds no record.
    if segments(directory)?.contains(&header.segment)
        && std::fs::read(&path)?.iter().filter(|byte| **byte == b'\n').count() <= 1
    {
        std::fs::remove_file(&path)?;
    }
    let file = Segment::new(disk.create(&path)?);
    let line = header.line();
    let written =
        file.append_all(line.as_bytes()).and_then(|()| file.sync()).and_then(|()| sync_directory(directory));
    if let Err(error) = written {
        let _ = std::fs::remove_file(&path);
        return Err(error);
    }
    Ok((file, u64::try_from(line.len()).unwrap_or(u64::MAX)))
}
