//! Removes sealed segments whose time is over, and leaves a chain that still proves itself.
//!
//! The order makes it safe at any crash: the chain records what will go, a signed anchor that names it is
//! durable, the archive has it, and only then the files go, the oldest first. Whatever of that is unfinished
//! is finished by the next sweep.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::audit::{Anchor, Event, EventKind, SignedAnchor, Verifier};
use gateway_core::manifest::ContentHash;
use gateway_core::ports::{AuditError, AuditSink as _, Sequence};
use gateway_core::time::Clock;
use serde::Serialize;

use super::archive;
use super::checkpointer::Checkpointer;
use super::config::RetentionConfig;
use super::directory::{ANCHORS, Line, Lines, header, read_signed, segment_path, segments};
use super::disk::sync_directory;
use super::log::AuditLog;
use super::reader::last_time;

/// How often the segments are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What says up to which record everything left the host.
pub type Delivered = Arc<dyn Fn() -> Sequence + Send + Sync>;

/// Removes segments.
pub struct Retention {
    log: Arc<AuditLog>,
    checkpointer: Arc<Checkpointer>,
    config: RetentionConfig,
    delivered: Delivered,
    clock: Arc<dyn Clock>,
}

/// What a sweep removed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Removed {
    /// How many segments.
    pub segments: u64,
    /// How many bytes.
    pub bytes: u64,
}

impl fmt::Debug for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retention").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Retention {
    /// For this log. `delivered` gives the last record that every configured sink has: the largest number
    /// where there is none.
    pub fn new(
        log: Arc<AuditLog>,
        checkpointer: Arc<Checkpointer>,
        config: RetentionConfig,
        delivered: Delivered,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { log, checkpointer, config, delivered, clock }
    }

    /// Removes what is over, for ever. The binary runs it.
    pub async fn run(self: Arc<Self>) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        loop {
            tick.tick().await;
            let this = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || this.sweep()).await {
                Ok(Ok(removed)) if removed.segments > 0 => {
                    tracing::info!(
                        segments = removed.segments,
                        bytes = removed.bytes,
                        "audit segments were removed"
                    );
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::error!(%error, "audit segments cannot be removed; they stay"),
                Err(error) => tracing::error!(%error, "removing audit segments panicked"),
            }
        }
    }

    /// Removes what is over now. Blocks on the disk.
    ///
    /// # Errors
    /// Something could not be proved, kept or removed; what is not covered by a durable anchor stays.
    pub fn sweep(&self) -> Result<Removed, AuditError> {
        let mut removed = self.finish()?;
        if let Some(last) = self.last_to_go().map_err(failed)? {
            self.anchor(last)?;
            let more = self.finish()?;
            removed.segments = removed.segments.saturating_add(more.segments);
            removed.bytes = removed.bytes.saturating_add(more.bytes);
        }
        Ok(removed)
    }

    /// The newest of the oldest segments that may go now, and should.
    fn last_to_go(&self) -> io::Result<Option<u64>> {
        let directory = self.log.directory();
        let (current, open_from) = self.log.in_use();
        let vouched = self.checkpointer.latest().map_or(Sequence(0), |signed| signed.checkpoint.sequence);
        let settled = vouched.min((self.delivered)()).0.min(open_from.0.saturating_sub(1));
        let mut sealed: Vec<u64> =
            segments(directory)?.into_iter().filter(|number| *number < current).collect();
        // The newest sealed one stays: a restart looks there for changes that are recorded already.
        sealed.pop();
        let mut bytes = self.log.status().bytes;
        let mut last = None;
        for number in sealed {
            let next = header(&segment_path(directory, number.saturating_add(1)))?;
            let Some(next) = next.filter(|next| next.first.0.saturating_sub(1) <= settled) else { break };
            let path = segment_path(directory, number);
            let length = std::fs::metadata(&path)?.len();
            if next.segment != number.saturating_add(1) || !self.is_over(&path, bytes)? {
                break;
            }
            bytes = bytes.saturating_sub(length);
            last = Some(number);
        }
        Ok(last)
    }

    fn is_over(&self, path: &Path, bytes: u64) -> io::Result<bool> {
        if self.config.max_bytes.is_some_and(|most| bytes > most) {
            return Ok(true);
        }
        let Some(days) = self.config.days else { return Ok(false) };
        let age = Duration::from_secs(days.saturating_mul(86_400));
        let now = self.clock.now();
        Ok(last_time(path)?.is_some_and(|time| time.plus(age) <= now))
    }

    /// Records what will go up to this segment, and signs it.
    fn anchor(&self, segment: u64) -> Result<(), AuditError> {
        let tip = self.walk(segment)?;
        let mut event = Event::new(EventKind::AuditTruncated, self.clock.now());
        event.count = Some(tip.sequence.0);
        event.content = Some(ContentHash::from_bytes(*tip.record.bytes()));
        let recorded = self.log.note(event)?;
        let durable = self.log.sync()?;
        self.checkpointer.anchor(Anchor {
            chain: durable.chain,
            segment,
            sequence: tip.sequence,
            hash: tip.record,
            recorded,
            time: self.clock.now(),
            key_id: String::new(),
        })?;
        Ok(())
    }

    /// The end of the chain in this segment, proved from the first that is here: nothing goes that is not as
    /// it was written, or whoever looks for the fault finds nothing to look at.
    fn walk(&self, through: u64) -> Result<gateway_core::audit::chain::Tip, AuditError> {
        let directory = self.log.directory();
        let present = segments(directory).map_err(failed)?;
        let mut verifier: Option<Verifier> = None;
        for number in present.into_iter().filter(|number| *number <= through) {
            let path = segment_path(directory, number);
            let begins = header(&path).map_err(failed)?;
            let begins = begins.ok_or_else(|| AuditError(format!("segment {number} has no header")))?;
            let mut walk = verifier.unwrap_or_else(|| Verifier::from_segment(&begins));
            let mut lines = Lines::open(&path).map_err(failed)?;
            let mut entered = false;
            while let Line::Whole(line) = lines.next().map_err(failed)? {
                let step =
                    if entered { walk.take(line).map(|_| ()) } else { walk.enter(number, line).map(|_| ()) };
                step.map_err(|problem| AuditError(problem.to_string()))?;
                entered = true;
            }
            verifier = Some(walk);
        }
        let tip = verifier.map(|verifier| verifier.tip());
        let next = header(&segment_path(directory, through.saturating_add(1))).map_err(failed)?;
        tip.filter(|tip| next.is_some_and(|next| next.prev == tip.link && next.prev == tip.record))
            .ok_or_else(|| AuditError(format!("segment {through} does not lead to the next one")))
    }

    /// Moves away what the newest anchor covers.
    fn finish(&self) -> Result<Removed, AuditError> {
        let directory = self.log.directory();
        let (anchors, broken) = read_signed::<SignedAnchor>(&directory.join(ANCHORS)).map_err(failed)?;
        let Some(newest) = anchors.last().filter(|_| !broken) else { return Ok(Removed::default()) };
        let keys = self.checkpointer.public_keys();
        if !keys.iter().any(|key| key.key_id() == newest.anchor.key_id && key.signed_anchor(newest)) {
            return Err(AuditError(format!("{ANCHORS}: the newest anchor is not signed by this gateway")));
        }
        let gone: Vec<u64> = segments(directory)
            .map_err(failed)?
            .into_iter()
            .filter(|number| *number <= newest.anchor.segment)
            .collect();
        if gone.is_empty() {
            return Ok(Removed::default());
        }
        if let Some(archive) = &self.config.archive {
            archive::keep(directory, archive, &gone, &newest.anchor)
                .map_err(|error| AuditError(format!("the archive {}: {error}", archive.display())))?;
        }
        let mut removed = Removed::default();
        for number in gone {
            let path = segment_path(directory, number);
            let length = std::fs::metadata(&path).map_err(failed)?.len();
            std::fs::remove_file(&path).map_err(failed)?;
            removed.segments = removed.segments.saturating_add(1);
            removed.bytes = removed.bytes.saturating_add(length);
        }
        self.log.forget_bytes(removed.bytes);
        sync_directory(directory).map_err(failed)?;
        Ok(removed)
    }
}

fn failed(error: io::Error) -> AuditError {
    AuditError(format!("the audit directory: {error}"))
}
