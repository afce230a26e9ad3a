//! How far a sink has come, and what comes next.

use std::io;
use std::path::Path;

use gateway_core::audit::chain::Record;
use gateway_core::audit::{ChainId, SignedCheckpoint};
use gateway_core::ports::Sequence;
use serde::{Deserialize, Serialize};

use super::directory::{CHECKPOINTS, Line, Lines, header, segment_path, segments};
use super::disk::replace_file;
use super::log::Durable;

/// A place in the chain's files: everything before it is with the sink, or was sent to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cursor {
    pub(super) chain: ChainId,
    /// The segment and the byte in it where the next line begins.
    segment: u64,
    offset: u64,
    /// The last record sent.
    pub(super) sequence: Sequence,
    /// The byte in the checkpoints' file where the next one begins.
    checkpoints: u64,
}

/// Lines to send in one piece.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) body: Vec<u8>,
    pub(super) lines: usize,
    /// The cursor once they are sent.
    pub(super) after: Cursor,
}

impl Cursor {
    /// The chain's start, or the oldest segment that is still there.
    fn start(directory: &Path, chain: ChainId) -> io::Result<Self> {
        let start = Self { chain, segment: 1, offset: 0, sequence: Sequence(0), checkpoints: 0 };
        let Some(oldest) = segments(directory)?.first().copied() else { return Ok(start) };
        let first = header(&segment_path(directory, oldest))?.map_or(1, |header| header.first.0);
        Ok(Self { segment: oldest, sequence: Sequence(first.saturating_sub(1)), ..start })
    }

    /// Reads it back from the file of this name, or begins at the start where there is none or it is of
    /// another chain.
    pub(super) fn load(directory: &Path, file: &str, chain: ChainId) -> io::Result<Self> {
        let bytes = match std::fs::read(directory.join(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::start(directory, chain),
            other => other?,
        };
        let cursor: Self = serde_json::from_slice(&bytes)?;
        if cursor.chain == chain { Ok(cursor) } else { Self::start(directory, chain) }
    }

    pub(super) fn save(&self, directory: &Path, file: &str) -> io::Result<()> {
        replace_file(&directory.join(file), &serde_json::to_vec(self)?)
    }

    /// The next lines, at most `max_lines` of them and about `max_bytes`, none beyond what is durable:
    /// the chain's, then the checkpoints for records that are sent by then.
    pub(super) fn next(
        mut self,
        directory: &Path,
        durable: &Durable,
        max_lines: usize,
        max_bytes: usize,
    ) -> io::Result<Batch> {
        let mut batch = Batch { body: Vec::new(), lines: 0, after: self };
        while batch.has_room(max_lines, max_bytes) && self.is_behind(durable) {
            self.take_segment(directory, durable, &mut batch, max_lines, max_bytes)?;
        }
        self.take_checkpoints(directory, &mut batch, max_lines)?;
        batch.after = self;
        Ok(batch)
    }

    fn is_behind(&self, durable: &Durable) -> bool {
        (self.segment, self.offset) < (durable.segment, durable.length)
    }

    /// Whether everything before it is before the other, too.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        let place = |cursor: &Self| (cursor.segment, cursor.offset, cursor.checkpoints);
        place(self) <= place(other)
    }

    fn take_segment(
        &mut self,
        directory: &Path,
        durable: &Durable,
        batch: &mut Batch,
        max_lines: usize,
        max_bytes: usize,
    ) -> io::Result<()> {
        let mut lines = Lines::open_at(&segment_path(directory, self.segment), self.offset)?;
        while batch.has_room(max_lines, max_bytes) && self.is_behind(durable) {
            match lines.next()? {
                Line::Whole(line) => {
                    if let Some(record) = Record::parse(line) {
                        self.sequence = record.sequence;
                    }
                    batch.push(line);
                    self.offset = lines.offset();
                }
                Line::End if self.segment < durable.segment => {
                    self.segment = self.segment.saturating_add(1);
                    self.offset = 0;
                    return Ok(());
                }
                Line::End | Line::Torn(_) => {
                    return Err(io::Error::other("a segment is shorter than it was"));
                }
            }
        }
        Ok(())
    }

    fn take_checkpoints(&mut self, directory: &Path, batch: &mut Batch, max_lines: usize) -> io::Result<()> {
        let mut lines = match Lines::open_at(&directory.join(CHECKPOINTS), self.checkpoints) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        // One more than the limit may go, so that a batch of one line does not starve them.
        while batch.lines <= max_lines
            && let Line::Whole(line) = lines.next()?
        {
            let signed: SignedCheckpoint = serde_json::from_slice(line)?;
            if signed.checkpoint.sequence > self.sequence {
                break;
            }
            batch.push(line);
            self.checkpoints = lines.offset();
        }
        Ok(())
    }
}

impl Batch {
    /// Its lines, without their newlines.
    pub(super) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
    }

    fn has_room(&self, max_lines: usize, max_bytes: usize) -> bool {
        self.lines < max_lines && self.body.len() < max_bytes
    }

    fn push(&mut self, line: &[u8]) {
        self.body.extend_from_slice(line);
        self.body.push(b'\n');
        self.lines = self.lines.saturating_add(1);
    }
}
