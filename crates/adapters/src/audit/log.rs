//! The audit log: appends events to the chain, and answers only when they are as durable as configured.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::audit::chain::Tip;
use gateway_core::audit::{ChainId, Event, LinkHash};
use gateway_core::id::Epoch;
use gateway_core::ports::{AuditError, AuditSink, Random, Sequence};
use serde::Serialize;
use tokio::sync::{Notify, oneshot};

use super::commit;
use super::config::{AuditConfig, Durability};
use super::disk::{Disk, RealDisk};
use super::open::{self, Opened};
use super::reader::Reader;
use super::writer::Writer;

/// How long a note may wait for a record to carry it to the file.
const FLUSH_AFTER: Duration = Duration::from_millis(50);
/// Without `fsync`: unsynced bytes beyond which the disk is asked to catch up, so that a new segment
/// never waits for a long sync.
const SYNC_AFTER: u64 = 4 * 1024 * 1024;

/// The log. One process at a time holds a directory.
#[derive(Debug)]
pub struct AuditLog {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) writer: Mutex<Writer>,
    durability: Durability,
    directory: PathBuf,
    reserve: u64,
    /// Wakes the flusher: a note is pending, or the disk should catch up.
    wake: Notify,
    /// Locked while this lives.
    _lock: File,
}

/// A place in the chain before which everything is on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Durable {
    /// The chain.
    pub chain: ChainId,
    /// The current segment.
    pub segment: u64,
    /// Bytes of it that are on the disk.
    pub length: u64,
    /// The last record there.
    pub tip: Tip,
    /// The highest epoch that any record names.
    pub epoch: Epoch,
}

/// How the log is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AuditStatus {
    /// The chain.
    pub chain: ChainId,
    /// The last record.
    pub sequence: Sequence,
    /// Its hash.
    pub hash: LinkHash,
    /// The current segment.
    pub segment: u64,
    /// Bytes in all segments.
    pub bytes: u64,
    /// The highest epoch that any record names.
    pub epoch: Epoch,
    /// Intents without an outcome: uses under way.
    pub open_intents: usize,
    /// Why nothing can be written, where that is so.
    pub failed: Option<String>,
    /// Bytes free on the disk; absent where the system does not say.
    pub disk_free: Option<u64>,
    /// Whether less than the reserve is free.
    pub disk_low: bool,
}

impl AuditLog {
    /// Opens the directory, or begins a chain in an empty one: locks it, verifies the chain's end, and
    /// cuts off a line that a crash left torn. Blocks on the disk.
    ///
    /// # Errors
    /// Another process holds the directory, the disk refuses, or the chain is not as it was written:
    /// then nothing is appended to it.
    pub fn open(config: &AuditConfig, random: &dyn Random) -> Result<(Self, Opened), AuditError> {
        Self::open_on(Box::new(RealDisk), config, random)
    }

    pub(super) fn open_on(
        disk: Box<dyn Disk>,
        config: &AuditConfig,
        random: &dyn Random,
    ) -> Result<(Self, Opened), AuditError> {
        let (lock, mut writer, opened) = open::open(disk, config, random)?;
        writer.wanted = writer.tip.sequence;
        let shared = Shared {
            writer: Mutex::new(writer),
            durability: config.durability,
            directory: config.directory.clone(),
            reserve: config.reserve(),
            wake: Notify::new(),
            _lock: lock,
        };
        Ok((Self { shared: Arc::new(shared) }, opened))
    }

    /// Carries notes to the file within 50 ms, for ever. The binary runs it; without it notes wait for
    /// the next record.
    pub async fn run_flusher(self: Arc<Self>) {
        loop {
            self.shared.wake.notified().await;
            tokio::time::sleep(FLUSH_AFTER).await;
            let log = Arc::clone(&self);
            let settled = tokio::task::spawn_blocking(move || log.settle()).await;
            if !matches!(settled, Ok(Ok(()))) {
                // The log has said why. What is pending stays so, and is tried again.
                self.shared.wake.notify_one();
            }
        }
    }

    fn settle(&self) -> Result<(), AuditError> {
        let unsynced = {
            let mut writer = self.shared.lock();
            writer.ready()?;
            writer.write_pending()?;
            writer.unsynced()
        };
        if self.shared.durability == Durability::Fsync || unsynced >= SYNC_AFTER {
            commit::sync(&self.shared)?;
        }
        Ok(())
    }

    /// Writes what is pending, as durably as configured. Blocks on the disk.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn flush(&self) -> Result<(), AuditError> {
        if self.shared.durability == Durability::Fsync {
            return commit::sync(&self.shared).map(|_| ());
        }
        let mut writer = self.shared.lock();
        writer.ready()?;
        writer.write_pending()
    }

    /// Writes what is pending and syncs it in either durability. Blocks on the disk.
    ///
    /// # Errors
    /// The log cannot be written or synced.
    pub fn sync(&self) -> Result<Durable, AuditError> {
        commit::sync(&self.shared)
    }

    /// How the log is. Asks the file system for its free space.
    pub fn status(&self) -> AuditStatus {
        let disk_free = rustix::fs::statvfs(&self.shared.directory)
            .ok()
            .map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        let writer = self.shared.lock();
        let pending = u64::try_from(writer.pending.len()).unwrap_or(u64::MAX);
        AuditStatus {
            chain: writer.chain,
            sequence: writer.tip.sequence,
            hash: writer.tip.record,
            segment: writer.segment,
            bytes: writer.earlier_bytes.saturating_add(writer.written).saturating_add(pending),
            epoch: writer.remembered.epoch,
            open_intents: writer.remembered.open_count(),
            failed: writer.failed().map(str::to_owned),
            disk_free,
            disk_low: disk_free.is_some_and(|free| free < self.shared.reserve),
        }
    }

    /// The number under which an outbox row is in the chain already; looks at the newest 16,384.
    pub fn outbox_sequence(&self, id: &str) -> Option<Sequence> {
        self.shared.lock().remembered.outbox_sequence(id)
    }

    /// The outbox rows that are in the chain, oldest first; the newest 16,384.
    pub fn outbox_ids_in_tail(&self) -> Vec<String> {
        self.shared.lock().remembered.outbox_ids()
    }

    /// A reader of everything recorded so far. Blocks on the disk.
    ///
    /// # Errors
    /// What is pending cannot be written.
    pub fn reader(&self) -> Result<Reader, AuditError> {
        {
            let mut writer = self.shared.lock();
            writer.ready()?;
            writer.write_pending()?;
        }
        Ok(Reader::new(&self.shared.directory))
    }

    /// The chain.
    pub fn chain(&self) -> ChainId {
        self.shared.lock().chain
    }

    /// The current segment, and the oldest record that is an intent without its outcome (or the next record).
    pub(super) fn in_use(&self) -> (u64, Sequence) {
        let writer = self.shared.lock();
        let next = Sequence(writer.tip.sequence.0.saturating_add(1));
        (writer.segment, writer.remembered.open_from(next))
    }

    /// Segments of so many bytes were removed.
    pub(super) fn forget_bytes(&self, bytes: u64) {
        let mut writer = self.shared.lock();
        writer.earlier_bytes = writer.earlier_bytes.saturating_sub(bytes);
    }

    /// Where the log is.
    pub fn directory(&self) -> &Path {
        &self.shared.directory
    }

    /// The last record's number; cheap.
    pub fn sequence(&self) -> Sequence {
        self.shared.lock().tip.sequence
    }
}

#[async_trait]
impl AuditSink for AuditLog {
    async fn record(&self, event: Event) -> Result<Sequence, AuditError> {
        let (decided, lead) = {
            let mut writer = self.shared.writer.lock().map_err(poisoned)?;
            if self.shared.durability == Durability::Process {
                let sequence = writer.record(&event)?;
                if writer.unsynced() >= SYNC_AFTER {
                    self.shared.wake.notify_one();
                }
                return Ok(sequence);
            }
            // The sync writes what is pending: one write, too, serves everybody.
            let sequence = writer.note(&event)?;
            writer.wanted = sequence;
            let (waiting, decided) = oneshot::channel();
            writer.waiting.push_back((sequence, waiting));
            let lead = !writer.syncing;
            writer.syncing = true;
            (decided, lead)
        };
        commit::wait(&self.shared, decided, lead).await
    }

    fn note(&self, event: Event) -> Result<Sequence, AuditError> {
        let mut writer = self.shared.writer.lock().map_err(poisoned)?;
        let first = writer.pending.is_empty();
        let sequence = writer.note(&event)?;
        drop(writer);
        if first {
            self.shared.wake.notify_one();
        }
        Ok(sequence)
    }
}

impl Shared {
    /// The writer, to look at or to write out what it holds. Appending goes through the poison check.
    pub(super) fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner);
        if writer.ready().is_ok() {
            // A failure here was logged by the writer, and there is nobody left to tell.
            let _ = writer.write_pending();
        }
    }
}

/// A panic under the lock may have left half a line in the buffer: nothing may follow it.
fn poisoned<T>(_: PoisonError<T>) -> AuditError {
    AuditError("a panic interrupted the log; restart the gateway".to_owned())
}
