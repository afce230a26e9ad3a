//! Signs where the chain stands, now and then, and keeps what it signed in `checkpoints.jsonl`. Signs also
//! what was removed on purpose (`anchors.jsonl`), and which key follows it (`checkpoint-keys.jsonl`).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway_core::audit::{
    Anchor, Checkpoint, Event, EventKind, Handover, SignedAnchor, SignedCheckpoint, SignedHandover,
};
use gateway_core::ports::{AuditError, AuditSink as _, Sequence};
use gateway_core::time::Clock;
use tokio::time::Instant;

use super::config::AuditConfig;
use super::directory::{ANCHORS, CHECKPOINTS, HANDOVERS, Line, Lines, append_signed, read_signed};
use super::disk::sync_directory;
use super::log::{AuditLog, Durable};
use super::signer::{PublicKey, Signer, next_key_path};

/// How often the number of new records is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Makes checkpoints.
#[derive(Debug)]
pub struct Checkpointer {
    log: Arc<AuditLog>,
    key_path: PathBuf,
    clock: Arc<dyn Clock>,
    every: Duration,
    after: u64,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    signer: Signer,
    /// Every key that ever signed here, the first one first.
    keys: Vec<PublicKey>,
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
        let (handovers, broken) = read_signed::<SignedHandover>(&config.directory.join(HANDOVERS))?;
        if broken {
            return Err(io::Error::other(format!("{HANDOVERS}: a line cannot be read")));
        }
        let former = handovers.iter().filter_map(|signed| PublicKey::decoded(&signed.handover.from));
        let mut keys: Vec<PublicKey> = former.collect();
        if !keys.contains(signer.public_key()) {
            keys.push(signer.public_key().clone());
        }
        let kept = Mutex::new(Kept { signer, keys, file, length, last });
        let (every, after) = (config.checkpoint_every(), config.checkpoint_after());
        let this = Self { log, key_path: config.key_path(), clock, every, after, kept };
        this.take_next_key().map_err(|error| io::Error::other(error.0))?;
        let signs = this.kept().signer.public_key().encoded();
        if handovers.last().is_some_and(|last| last.handover.to != signs && last.handover.from == signs) {
            return Err(io::Error::other("the key has handed over to another one, which is not here"));
        }
        Ok(this)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest checkpoint.
    pub fn latest(&self) -> Option<SignedCheckpoint> {
        self.kept().last.clone()
    }

    /// Every key that ever signed here; the last one signs now.
    pub fn public_keys(&self) -> Vec<PublicKey> {
        self.kept().keys.clone()
    }

    /// Syncs the log and signs where it stands; nothing where no record is new. Blocks on the disk.
    ///
    /// # Errors
    /// The log cannot be synced, or the checkpoint cannot be kept.
    pub fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, AuditError> {
        let mut kept = self.kept();
        // Synced first: no checkpoint may vouch for what a power loss can take away.
        let durable = self.log.sync()?;
        self.sign(&mut kept, &durable)
    }

    fn sign(&self, kept: &mut Kept, durable: &Durable) -> Result<Option<SignedCheckpoint>, AuditError> {
        if durable.tip.sequence <= last_sequence(kept) {
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
        let signed = kept.signer.sign(checkpoint).map_err(|error| AuditError(error.to_string()))?;
        kept.keep(&signed).map_err(|error| AuditError(format!("{CHECKPOINTS}: {error}")))?;
        kept.last = Some(signed.clone());
        Ok(Some(signed))
    }

    /// Signs an anchor and keeps it, durably: from then on what it names may be removed. Blocks on the disk.
    ///
    /// # Errors
    /// It cannot be kept.
    pub(super) fn anchor(&self, anchor: Anchor) -> Result<SignedAnchor, AuditError> {
        let kept = self.kept();
        let signed = kept.signer.sign_anchor(anchor).map_err(|error| AuditError(error.to_string()))?;
        append_signed(&self.log.directory().join(ANCHORS), &signed)
            .map_err(|error| AuditError(format!("{ANCHORS}: {error}")))?;
        Ok(signed)
    }

    /// Lets the next key sign where an operator has put one beside the present one: the present key signs
    /// where the chain stands, then which key follows it. Says whether it did. Blocks on the disk.
    ///
    /// # Errors
    /// The next key cannot be used, or what is signed cannot be kept; the present key goes on.
    pub fn take_next_key(&self) -> Result<bool, AuditError> {
        let path = next_key_path(&self.key_path);
        if !path.exists() {
            return Ok(false);
        }
        let mut kept = self.kept();
        let next = Signer::open(&path).map_err(|error| AuditError(error.to_string()))?;
        let handovers = self.log.directory().join(HANDOVERS);
        let failed = |error: io::Error| AuditError(format!("{HANDOVERS}: {error}"));
        let (signed, _) = read_signed::<SignedHandover>(&handovers).map_err(failed)?;
        let encoded = next.public_key().encoded();
        // A crash came between the two: it is said already, and the file only has to be moved.
        if signed.last().is_none_or(|last| last.handover.to != encoded) {
            let mut event = Event::new(EventKind::AuditKeyRotated, self.clock.now());
            event.answer = Some(next.public_key().key_id());
            self.log.note(event)?;
            let durable = self.log.sync()?;
            self.sign(&mut kept, &durable)?;
            let handover = Handover {
                chain: durable.chain,
                sequence: durable.tip.sequence,
                from: String::new(),
                to: encoded,
                time: self.clock.now(),
            };
            let signed = kept.signer.hand_over(handover).map_err(|error| AuditError(error.to_string()))?;
            append_signed(&handovers, &signed).map_err(failed)?;
        }
        let directory = self.key_path.parent().unwrap_or_else(|| std::path::Path::new("."));
        std::fs::rename(&path, &self.key_path).and_then(|()| sync_directory(directory)).map_err(failed)?;
        kept.keys.push(next.public_key().clone());
        kept.signer = next;
        Ok(true)
    }

    /// Makes a checkpoint whenever enough records are new, or enough time has passed, for ever. The
    /// binary runs it, and calls [`Checkpointer::checkpoint`] once more when it stops.
    pub async fn run(self: Arc<Self>) {
        let mut since = Instant::now();
        loop {
            tokio::time::sleep(LOOK_EVERY.min(self.every)).await;
            if next_key_path(&self.key_path).exists() {
                let this = Arc::clone(&self);
                match tokio::task::spawn_blocking(move || this.take_next_key()).await {
                    Ok(Ok(_)) => tracing::info!("another key signs the checkpoints now"),
                    Ok(Err(error)) => tracing::error!(%error, "the next checkpoint key cannot be taken"),
                    Err(error) => tracing::error!(%error, "taking the next checkpoint key panicked"),
                }
            }
            let last = last_sequence(&self.kept());
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
