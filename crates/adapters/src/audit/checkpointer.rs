//! Signs where the chain stands, now and then, and keeps what it signed in `checkpoints.jsonl`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gateway_core::audit::{Checkpoint, SignedCheckpoint};
use gateway_core::ports::{AuditError, Sequence};
use gateway_core::time::Clock;
use tokio::time::Instant;

use super::config::AuditConfig;
use super::directory::{CHECKPOINTS, Line, Lines};
use super::log::AuditLog;
use super::signer::Signer;

/// How often the number of new records is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Makes checkpoints.
#[derive(Debug)]
pub struct Checkpointer {
    log: Arc<AuditLog>,
    signer: Signer,
    clock: Arc<dyn Clock>,
    every: Duration,
    after: u64,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    file: File,
    /// Bytes of whole lines.
    length: u64,
    last: Option<SignedCheckpoint>,
}

impl Checkpointer {
    /// Goes on with the log's checkpoints; cuts off a line that a crash left torn. Blocks on the disk.
    ///
    /// # Errors
    /// The file cannot be opened, or its last line is no checkpoint.
    pub fn open(
        log: Arc<AuditLog>,
        signer: Signer,
        config: &AuditConfig,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let path = config.directory.join(CHECKPOINTS);
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        let mut lines = Lines::open(&path)?;
        let mut line = None;
        while let Line::Whole(whole) = lines.next()? {
            line = Some(whole.to_vec());
        }
        let last = line.map(|line| serde_json::from_slice(&line)).transpose()?;
        let length = lines.offset();
        file.set_len(length)?;
        let kept = Mutex::new(Kept { file, length, last });
        let (every, after) = (config.checkpoint_every(), config.checkpoint_after());
        Ok(Self { log, signer, clock, every, after, kept })
    }

    /// The newest checkpoint.
    pub fn latest(&self) -> Option<SignedCheckpoint> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).last.clone()
    }

    /// The key it signs with.
    pub const fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Syncs the log and signs where it stands; nothing where no record is new. Blocks on the disk.
    ///
    /// # Errors
    /// The log cannot be synced, or the checkpoint cannot be kept.
    pub fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, AuditError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Synced first: no checkpoint may vouch for what a power loss can take away.
        let durable = self.log.sync()?;
        if durable.tip.sequence <= last_sequence(&kept) {
            return Ok(None);
        }
        let checkpoint = Checkpoint {
            chain: durable.chain,
            sequence: durable.tip.sequence,
            hash: durable.tip.record,
            epoch: durable.epoch,
            time: self.clock.now(),
            key_id: String::new(),
        };
        let signed = self.signer.sign(checkpoint).map_err(|error| AuditError(error.to_string()))?;
        kept.keep(&signed).map_err(|error| AuditError(format!("{CHECKPOINTS}: {error}")))?;
        kept.last = Some(signed.clone());
        Ok(Some(signed))
    }

    /// Makes a checkpoint whenever enough records are new, or enough time has passed, for ever. The
    /// binary runs it, and calls [`Checkpointer::checkpoint`] once more when it stops.
    pub async fn run(self: Arc<Self>) {
        let mut since = Instant::now();
        loop {
            tokio::time::sleep(LOOK_EVERY.min(self.every)).await;
            let last = last_sequence(&self.kept.lock().unwrap_or_else(PoisonError::into_inner));
            let new = self.log.sequence().0.saturating_sub(last.0);
            if new == 0 || (new < self.after && since.elapsed() < self.every) {
                continue;
            }
            since = Instant::now();
            let this = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || this.checkpoint()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::error!(%error, "no checkpoint could be made"),
                Err(error) => tracing::error!(%error, "making a checkpoint panicked"),
            }
        }
    }
}

fn last_sequence(kept: &Kept) -> Sequence {
    kept.last.as_ref().map_or(Sequence(0), |last| last.checkpoint.sequence)
}

impl Kept {
    fn keep(&mut self, signed: &SignedCheckpoint) -> io::Result<()> {
        let line = signed.line()?;
        // Cut to whole lines first: an earlier attempt may have left a part of one.
        self.file.set_len(self.length)?;
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        self.length = self.length.saturating_add(u64::try_from(line.len()).unwrap_or(0));
        Ok(())
    }
}
