//! Opening a directory: whose it is, whether its chain's end is as it was written, and what was under
//! way when the last process stopped.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use gateway_core::audit::chain::Record;
use gateway_core::audit::{ChainId, Event, EventKind, ProblemKind, SignedAnchor, SignedCheckpoint, Verifier};
use gateway_core::id::{Epoch, RequestId};
use gateway_core::ports::{AuditError, Random, Sequence};
use serde::Deserialize;

use super::config::AuditConfig;
use super::directory::{
    ANCHORS, CHECKPOINTS, LOCK, Line, Lines, header, last_line, prepare, read_signed, segment_path, segments,
};
use super::disk::{Disk, Segment};
use super::remembered::Remembered;
use super::writer::Writer;

/// What opening found.
#[derive(Clone, PartialEq, Debug)]
pub struct Opened {
    /// Whether a new chain was begun.
    pub created: bool,
    /// The line that a crash left torn, cut off now.
    pub torn: Option<Torn>,
    /// Intents without an outcome, oldest first: record `OutcomeUnknown` for each.
    pub open_intents: Vec<OpenIntent>,
    /// The highest epoch that any record names: a state below it is stale.
    pub epoch: Epoch,
    /// The last record.
    pub sequence: Sequence,
}

/// A torn last line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Torn {
    /// Its segment.
    pub segment: u64,
    /// How many bytes were cut off.
    pub bytes: u64,
}

/// A use whose end is not recorded.
#[derive(Clone, PartialEq, Debug)]
pub struct OpenIntent {
    /// The intent's number.
    pub sequence: Sequence,
    /// The intent.
    pub event: Event,
}

/// As much of an event as opening needs; later versions' events have it too.
#[derive(Deserialize)]
struct Glimpse {
    kind: String,
    request_id: Option<RequestId>,
    epoch: Option<Epoch>,
    outbox_id: Option<String>,
}

pub(super) fn open(
    disk: Box<dyn Disk>,
    config: &AuditConfig,
    random: &dyn Random,
) -> Result<(File, Writer, Opened), AuditError> {
    let directory = config.directory.as_path();
    let failed = |error: io::Error| AuditError(format!("{}: {error}", directory.display()));
    prepare(directory).map_err(failed)?;
    let lock = lock(directory)?;
    let mut present = segments(directory).map_err(failed)?;
    drop_unborn(directory, &mut present).map_err(failed)?;
    let anchor = last_checkpoint(directory)?;
    if present.is_empty() {
        if anchor.is_some() {
            return Err(AuditError(
                "there are checkpoints, but no segments: the chain was removed".to_owned(),
            ));
        }
        let mut chain = [0_u8; 16];
        random.fill(&mut chain);
        let writer = Writer::begin(disk, directory.to_owned(), config.segment_limit(), ChainId::new(chain))
            .map_err(failed)?;
        let opened = Opened {
            created: true,
            torn: None,
            open_intents: Vec::new(),
            epoch: Epoch::default(),
            sequence: Sequence(0),
        };
        return Ok((lock, writer, opened));
    }
    begins_where_it_may(directory, &present)?;
    let (writer, opened) = resume(disk, config, &present, anchor.as_ref())?;
    Ok((lock, writer, opened))
}

fn lock(directory: &Path) -> Result<File, AuditError> {
    let path = directory.join(LOCK);
    let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = open.map_err(|error| AuditError(format!("{}: {error}", path.display())))?;
    file.try_lock().map_err(|_| AuditError("another process holds the audit directory".to_owned()))?;
    Ok(file)
}

/// Removes a last segment whose header was never wholly written: it holds no record.
fn drop_unborn(directory: &Path, present: &mut Vec<u64>) -> io::Result<()> {
    if let Some(last) = present.last().copied() {
        let path = segment_path(directory, last);
        if matches!(Lines::open(&path)?.next()?, Line::Torn(_) | Line::End) {
            std::fs::remove_file(&path)?;
            present.pop();
        }
    }
    Ok(())
}

/// A chain whose first segments are gone begins at an anchor. Whether a key of ours signed it is for
/// `audit verify` to say.
fn begins_where_it_may(directory: &Path, present: &[u64]) -> Result<(), AuditError> {
    let Some(first) = present.first().copied().filter(|first| *first > 1) else { return Ok(()) };
    let path = directory.join(ANCHORS);
    let (anchors, _) =
        read_signed::<SignedAnchor>(&path).map_err(|error| AuditError(format!("{ANCHORS}: {error}")))?;
    let removed = anchors.last().map_or(0, |signed| signed.anchor.segment);
    if removed.saturating_add(1) >= first {
        return Ok(());
    }
    let segment = removed.saturating_add(1);
    Err(AuditError(format!("segment {segment}: {}", ProblemKind::SegmentMissing)))
}

fn last_checkpoint(directory: &Path) -> Result<Option<SignedCheckpoint>, AuditError> {
    let unreadable = |error: String| AuditError(format!("{CHECKPOINTS}: {error}"));
    let line = last_line(&directory.join(CHECKPOINTS)).map_err(|error| unreadable(error.to_string()))?;
    line.map(|line| serde_json::from_slice(&line).map_err(|error| unreadable(error.to_string()))).transpose()
}

fn resume(
    disk: Box<dyn Disk>,
    config: &AuditConfig,
    present: &[u64],
    anchor: Option<&SignedCheckpoint>,
) -> Result<(Writer, Opened), AuditError> {
    let directory = config.directory.as_path();
    let mut scan = Scan::start(directory, present)?;
    let last = present.last().copied().unwrap_or(0);
    let first = scan.first_segment;
    for segment in present.iter().copied().filter(|segment| *segment >= first) {
        scan.segment(directory, segment, segment == last, anchor)?;
    }
    let tip = scan.verifier.tip();
    scan.reaches(anchor)?;
    let path = segment_path(directory, last);
    let failed = |error: io::Error| AuditError(format!("{}: {error}", path.display()));
    let file = Segment::new(disk.open(&path).map_err(failed)?);
    let torn = (scan.torn > 0).then_some(Torn { segment: last, bytes: scan.torn });
    if torn.is_some() {
        file.truncate(scan.length).and_then(|()| file.sync()).map_err(failed)?;
    }
    let opened = Opened {
        created: false,
        torn,
        open_intents: scan.open_intents()?,
        epoch: scan.remembered.epoch,
        sequence: tip.sequence,
    };
    let chain = scan.chain;
    let (limit, length) = (config.segment_limit(), scan.length);
    let mut writer =
        Writer::at(disk, directory.to_owned(), limit, chain, file, last, length, tip, scan.remembered);
    writer.earlier_bytes = earlier_bytes(directory, present);
    Ok((writer, opened))
}

fn earlier_bytes(directory: &Path, present: &[u64]) -> u64 {
    let (_, earlier) = present.split_last().unwrap_or((&0, &[]));
    earlier
        .iter()
        .filter_map(|segment| std::fs::metadata(segment_path(directory, *segment)).ok())
        .map(|file| file.len())
        .sum()
}

/// A walk over the end of the chain.
struct Scan {
    first_segment: u64,
    chain: ChainId,
    verifier: Verifier,
    remembered: Remembered,
    /// Per request, its open intents' bytes.
    open: HashMap<RequestId, Vec<(Sequence, Vec<u8>)>>,
    /// Whole lines of the last segment, in bytes.
    length: u64,
    torn: u64,
}

impl Scan {
    /// Begins where the oldest use that may still be open is, and a segment before the last in any
    /// case, so that recent outbox ids are seen.
    fn start(directory: &Path, present: &[u64]) -> Result<Self, AuditError> {
        let read = |segment: u64| {
            let path = segment_path(directory, segment);
            let found = header(&path).map_err(|error| AuditError(format!("{}: {error}", path.display())))?;
            found.ok_or_else(|| AuditError(format!("segment {segment}: {}", ProblemKind::HeaderChanged)))
        };
        let mut back = present.iter().rev();
        let last = read(back.next().copied().unwrap_or(0))?;
        let mut start = last;
        for segment in back {
            if start.segment < last.segment && start.first <= last.open_from {
                break;
            }
            start = read(*segment)?;
        }
        let mut remembered = Remembered::default();
        remembered.epoch = start.epoch;
        Ok(Self {
            first_segment: start.segment,
            chain: start.chain,
            verifier: Verifier::from_segment(&start),
            remembered,
            open: HashMap::new(),
            length: 0,
            torn: 0,
        })
    }

    fn segment(
        &mut self,
        directory: &Path,
        number: u64,
        last: bool,
        anchor: Option<&SignedCheckpoint>,
    ) -> Result<(), AuditError> {
        let path = segment_path(directory, number);
        let failed = |error: io::Error| AuditError(format!("{}: {error}", path.display()));
        let mut lines = Lines::open(&path).map_err(failed)?;
        let mut first = true;
        loop {
            match lines.next().map_err(failed)? {
                Line::Whole(line) if first => {
                    self.verifier.enter(number, line).map_err(|problem| AuditError(problem.to_string()))?;
                    first = false;
                }
                Line::Whole(line) => {
                    let taken =
                        self.verifier.take(line).map_err(|problem| AuditError(problem.to_string()))?;
                    see(&mut self.remembered, &mut self.open, &taken)?;
                    self.compare(anchor)?;
                }
                Line::Torn(bytes) if last => {
                    self.torn = bytes;
                    break;
                }
                Line::Torn(_) => {
                    return Err(AuditError(self.verifier.problem(ProblemKind::Torn).to_string()));
                }
                Line::End => break,
            }
        }
        self.length = lines.offset();
        Ok(())
    }

    /// Where the last local checkpoint's record is, it must be the one vouched for.
    fn compare(&self, anchor: Option<&SignedCheckpoint>) -> Result<(), AuditError> {
        let Some(SignedCheckpoint { checkpoint, .. }) = anchor else { return Ok(()) };
        let tip = self.verifier.tip();
        if checkpoint.sequence == tip.sequence && checkpoint.hash != tip.record {
            return Err(AuditError(self.verifier.problem(ProblemKind::CheckpointDiffers).to_string()));
        }
        Ok(())
    }

    /// The chain must reach the last local checkpoint: a restored or cut one does not. A crash cannot
    /// cause this, since the chain is synced before a checkpoint is signed.
    fn reaches(&self, anchor: Option<&SignedCheckpoint>) -> Result<(), AuditError> {
        let Some(SignedCheckpoint { checkpoint, .. }) = anchor else { return Ok(()) };
        let kind = if checkpoint.chain != self.chain {
            ProblemKind::CheckpointDiffers
        } else if checkpoint.sequence > self.verifier.tip().sequence {
            ProblemKind::Truncated { vouched: checkpoint.sequence }
        } else {
            return Ok(());
        };
        Err(AuditError(self.verifier.problem(kind).to_string()))
    }

    fn open_intents(&mut self) -> Result<Vec<OpenIntent>, AuditError> {
        let mut found = Vec::new();
        for (sequence, bytes) in self.open.drain().flat_map(|(_, intents)| intents) {
            let event = serde_json::from_slice(&bytes)
                .map_err(|error| AuditError(format!("record {}: {error}", sequence.0)))?;
            found.push(OpenIntent { sequence, event });
        }
        found.sort_by_key(|intent| intent.sequence);
        Ok(found)
    }
}

fn see(
    remembered: &mut Remembered,
    open: &mut HashMap<RequestId, Vec<(Sequence, Vec<u8>)>>,
    record: &Record<'_>,
) -> Result<(), AuditError> {
    let sequence = record.sequence;
    let Glimpse { kind, request_id, epoch, outbox_id } = serde_json::from_slice(record.event)
        .map_err(|error| AuditError(format!("record {}: {error}", sequence.0)))?;
    remembered.epoch = remembered.epoch.max(epoch.unwrap_or_default());
    if let Some(id) = outbox_id {
        remembered.see_outbox(id, sequence);
    }
    let Some(request) = request_id else { return Ok(()) };
    match kind.as_str() {
        "intent" => {
            remembered.see_use(EventKind::Intent, Some(&request), sequence);
            open.entry(request).or_default().push((sequence, record.event.to_vec()));
        }
        "outcome" | "outcome_unknown" => {
            remembered.see_use(EventKind::Outcome, Some(&request), sequence);
            if let Some(intents) = open.get_mut(&request).filter(|intents| intents.len() > 1) {
                intents.remove(0);
            } else {
                open.remove(&request);
            }
        }
        _ => {}
    }
    Ok(())
}
