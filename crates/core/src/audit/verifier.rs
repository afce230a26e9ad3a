//! Walks a chain line by line and stops at the first thing that is not as it was written.

use serde::Serialize;

use super::anchor::Anchor;
use super::chain::{ChainId, Header, Record, Tip};
use crate::ports::Sequence;

/// What is wrong, where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, thiserror::Error)]
#[error("segment {segment}, record {}: {kind}", sequence.0)]
pub struct Problem {
    /// The segment.
    pub segment: u64,
    /// The record that was due there.
    pub sequence: Sequence,
    /// What is wrong.
    pub kind: ProblemKind,
}

/// What is wrong with a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// A segment file is not there.
    #[error("the segment is missing")]
    SegmentMissing,
    /// The header line was changed or is missing.
    #[error("the segment's header was changed or is missing")]
    HeaderChanged,
    /// The header is whole but does not follow the segment before it.
    #[error("the segment does not follow the one before it: records are missing, or it was replaced")]
    HeaderMisplaced,
    /// The line is not spelled as a record.
    #[error("the line is not a record")]
    Malformed,
    /// The record's hash is not that of its content.
    #[error("the record was changed")]
    Changed,
    /// A later record stands where this one was due.
    #[error("record {} stands in its place: it is missing, or was moved", found.0)]
    Missing {
        /// What stands there.
        found: Sequence,
    },
    /// An earlier record stands where this one was due.
    #[error("record {} stands in its place: that one is doubled, or was moved", found.0)]
    Repeated {
        /// What stands there.
        found: Sequence,
    },
    /// The record is whole and in its place but does not follow the line before it.
    #[error("the record does not follow the one before it: history was rewritten")]
    Relinked,
    /// A line without its end, and it is not the chain's last.
    #[error("the line has no end, yet the chain goes on")]
    Torn,
    /// The chain ends before a record that a checkpoint vouches for.
    #[error("the chain ends here, and a checkpoint vouches for record {}: records were cut off", vouched.0)]
    Truncated {
        /// The record vouched for.
        vouched: Sequence,
    },
    /// A checkpoint vouches for another hash, or another chain.
    #[error("a signed checkpoint vouches for another record: history was rewritten")]
    CheckpointDiffers,
    /// A checkpoint's signature is wrong.
    #[error("a checkpoint's signature is wrong")]
    CheckpointForged,
    /// A checkpoint is signed by a key that is not among the accepted ones.
    #[error("a checkpoint is signed by an unknown key")]
    CheckpointKeyUnknown,
    /// A checkpoint is signed by a key that had handed over to another one before that record.
    #[error("a checkpoint is signed by a key that had been replaced by then")]
    CheckpointKeyRetired,
    /// A line among the checkpoints is none.
    #[error("a line among the checkpoints cannot be read")]
    CheckpointMalformed,
    /// A checkpoint that left the host is not among those in the directory.
    #[error("a checkpoint that left the host is not in the directory: checkpoints were removed or changed")]
    CheckpointMissing,
    /// What stands among the anchors is not signed by an accepted key, or cannot be read.
    #[error("an anchor is forged: it is not signed by an accepted key, or cannot be read")]
    AnchorForged,
    /// The chain does not say what the anchor says.
    #[error("an anchor is not what the chain says: segments were removed without a record of it")]
    AnchorDiffers,
    /// A statement that one key follows another is not signed by the former, or cannot be read.
    #[error("a key's handover is forged: it is not signed by an accepted key, or cannot be read")]
    HandoverForged,
}

/// Follows a chain from line to line.
#[derive(Clone, Copy, Debug)]
pub struct Verifier {
    chain: Option<ChainId>,
    segment: u64,
    tip: Tip,
}

impl Verifier {
    /// For a whole chain, from its first segment.
    pub const fn new() -> Self {
        Self { chain: None, segment: 0, tip: Tip::START }
    }

    /// For the part of a chain that begins with this header, taken on trust. Feed it the header next.
    pub fn from_segment(header: &Header) -> Self {
        let sequence = Sequence(header.first.0.saturating_sub(1));
        let tip = Tip { sequence, link: header.prev, ..Tip::START };
        Self { chain: Some(header.chain), segment: header.segment.saturating_sub(1), tip }
    }

    /// For a chain whose segments up to this anchor's were removed. The anchor's signature must have been
    /// checked.
    pub const fn from_anchor(anchor: &Anchor) -> Self {
        let tip = Tip { sequence: anchor.sequence, record: anchor.hash, link: anchor.hash };
        Self { chain: Some(anchor.chain), segment: anchor.segment, tip }
    }

    /// Where the chain stands.
    pub const fn tip(&self) -> Tip {
        self.tip
    }

    /// The chain's id, once a header was seen.
    pub const fn chain(&self) -> Option<ChainId> {
        self.chain
    }

    /// The segment it is in; 0 before the first.
    pub const fn segment(&self) -> u64 {
        self.segment
    }

    /// Names a problem at the place where the walk stands.
    pub fn problem(&self, kind: ProblemKind) -> Problem {
        let sequence = Sequence(self.tip.sequence.0.saturating_add(1));
        Problem { segment: self.segment, sequence, kind }
    }

    /// Enters the next segment by its header line, without its newline. `number` is what the file's
    /// name says.
    ///
    /// # Errors
    /// The header is not what belongs there.
    pub fn enter(&mut self, number: u64, line: &[u8]) -> Result<Header, Problem> {
        let expected = self.segment.saturating_add(1);
        self.segment = expected;
        if number != expected {
            return Err(self.problem(ProblemKind::SegmentMissing));
        }
        let header = Header::parse(line).ok_or_else(|| self.problem(ProblemKind::HeaderChanged))?;
        let same_chain = self.chain.is_none_or(|chain| chain == header.chain);
        let follows = header.segment == number
            && header.prev == self.tip.link
            && header.first.0 == self.tip.sequence.0.saturating_add(1);
        if !(same_chain && follows) {
            return Err(self.problem(ProblemKind::HeaderMisplaced));
        }
        self.chain = Some(header.chain);
        self.tip.link = header.hash();
        Ok(header)
    }

    /// Takes the next record's line, without its newline.
    ///
    /// # Errors
    /// The record is not what belongs there.
    pub fn take<'l>(&mut self, line: &'l [u8]) -> Result<Record<'l>, Problem> {
        let record = Record::parse(line).ok_or_else(|| self.problem(ProblemKind::Malformed))?;
        let due = self.tip.sequence.0.saturating_add(1);
        let found = record.sequence;
        let kind = if !record.is_whole() {
            Some(ProblemKind::Changed)
        } else if found.0 > due {
            Some(ProblemKind::Missing { found })
        } else if found.0 < due {
            Some(ProblemKind::Repeated { found })
        } else if record.prev != self.tip.link {
            Some(ProblemKind::Relinked)
        } else {
            None
        };
        if let Some(kind) = kind {
            return Err(self.problem(kind));
        }
        self.tip = Tip { sequence: found, record: record.hash, link: record.hash };
        Ok(record)
    }
}

impl Default for Verifier {
    fn default() -> Self {
        Self::new()
    }
}
