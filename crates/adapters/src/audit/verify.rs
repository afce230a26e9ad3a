//! Verifies a whole audit directory, or a copy of one, against the checkpoints in it and elsewhere. Of
//! several things that are not as they were written, it names the first in the chain's order.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use gateway_core::audit::chain::Record;
use gateway_core::audit::{
    Anchor, ChainId, LinkHash, Problem, ProblemKind, SignedAnchor, SignedCheckpoint, SignedHandover, Verifier,
};
use gateway_core::manifest::ContentHash;
use gateway_core::ports::Sequence;
use serde::{Deserialize, Serialize};

use super::directory::{
    ANCHORS, CHECKPOINTS, HANDOVERS, Line, Lines, header, read_signed, segment_path, segments,
};
use super::key_chain::KeyChain;
use super::signer::PublicKey;

/// What verification found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct VerifyReport {
    /// The chain.
    pub chain: Option<ChainId>,
    /// Segments walked.
    pub segments: u64,
    /// Records found whole and in their place.
    pub records: u64,
    /// The last record that was removed on purpose, as a signed anchor says; nothing before it is here.
    pub begins_after: Option<Sequence>,
    /// The hash of the last of them.
    pub last_hash: Option<LinkHash>,
    /// Checkpoints in the directory.
    pub checkpoints: u64,
    /// Checkpoints from elsewhere that it was compared against.
    pub against: u64,
    /// The last record that a checkpoint from elsewhere vouches for: up to there nothing was cut or
    /// re-made, whoever holds this host.
    pub anchored: Option<Sequence>,
    /// Bytes of an unfinished last line, as a crash leaves them (or a write under way).
    pub torn_tail: u64,
    /// The first thing that is not as it was written.
    pub first_problem: Option<Problem>,
}

impl VerifyReport {
    /// Whether everything is as it was written.
    pub const fn holds(&self) -> bool {
        self.first_problem.is_none()
    }
}

/// Verifies the directory. `keys` are the only keys that count, with those that they handed over to; take
/// them from elsewhere than the directory. `against` are checkpoints that left the host. Blocks on the disk.
///
/// # Errors
/// A file cannot be read; what is wrong with the evidence stands in the report.
pub fn verify_directory(
    directory: &Path,
    keys: &[PublicKey],
    against: Option<&[SignedCheckpoint]>,
) -> io::Result<VerifyReport> {
    let against = against.unwrap_or_default();
    loop {
        // What is signed first: a gateway at work adds to the chain before it adds there.
        let signed = Signed::read(directory)?;
        let verified = verify_once(directory, &signed, keys, against);
        if verified.as_ref().is_ok_and(VerifyReport::holds)
            || read_signed::<SignedAnchor>(&directory.join(ANCHORS))?.0.len() <= signed.anchors.len()
        {
            return verified;
        }
        // Segments were removed on purpose meanwhile: what was found missing may be those.
    }
}

fn verify_once(
    directory: &Path,
    signed: &Signed,
    keys: &[PublicKey],
    against: &[SignedCheckpoint],
) -> io::Result<VerifyReport> {
    let (vouchers, beside) = Vouchers::new(signed, against, keys);
    let mut report = VerifyReport {
        checkpoints: count(signed.checkpoints.len()),
        against: count(against.len()),
        ..VerifyReport::default()
    };
    let walked = walk(directory, &vouchers, &mut report)?.err();
    let missing = signed.lacks(against);
    let problems = walked.into_iter().chain(beside).chain(missing);
    report.first_problem = problems.min_by_key(|problem| problem.sequence);
    if report.holds() {
        report.anchored = against.iter().map(|signed| signed.checkpoint.sequence).max();
    }
    Ok(report)
}

/// Reads checkpoints out of lines: a `checkpoints.jsonl`, or everything that a sink received.
///
/// # Errors
/// The number of the first line that is neither a checkpoint nor of a chain.
pub fn read_checkpoints(bytes: &[u8]) -> Result<Vec<SignedCheckpoint>, usize> {
    let mut found = Vec::new();
    for (number, line) in (1_usize..).zip(bytes.split(|byte| *byte == b'\n')) {
        if line.is_empty() || line.starts_with(b"{\"segment\":") || line.starts_with(b"{\"seq\":") {
            continue;
        }
        found.push(serde_json::from_slice(line).map_err(|_| number)?);
    }
    Ok(found)
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Everything signed that is in the directory.
struct Signed {
    checkpoints: Vec<SignedCheckpoint>,
    anchors: Vec<SignedAnchor>,
    handovers: Vec<SignedHandover>,
    /// What could not be read among them, where it would have stood.
    malformed: Option<Problem>,
}

impl Signed {
    fn read(directory: &Path) -> io::Result<Self> {
        let (checkpoints, broken) = read_signed::<SignedCheckpoint>(&directory.join(CHECKPOINTS))?;
        let (anchors, anchors_broken) = read_signed::<SignedAnchor>(&directory.join(ANCHORS))?;
        // Last: a key signs only after its handover stands there.
        let (handovers, keys_broken) = read_signed::<SignedHandover>(&directory.join(HANDOVERS))?;
        let due = |last: Option<Sequence>, kind| {
            let sequence = Sequence(last.unwrap_or(Sequence(0)).0.saturating_add(1));
            Problem { segment: 0, sequence, kind }
        };
        let handed = handovers.last().map(|signed| signed.handover.sequence);
        let anchored = anchors.last().map(|signed| signed.anchor.sequence);
        let vouched = checkpoints.last().map(|signed| signed.checkpoint.sequence);
        let broken = [
            keys_broken.then(|| due(handed, ProblemKind::HandoverForged)),
            anchors_broken.then(|| due(anchored, ProblemKind::AnchorForged)),
            broken.then(|| due(vouched, ProblemKind::CheckpointMalformed)),
        ];
        let malformed = broken.into_iter().flatten().min_by_key(|problem| problem.sequence);
        Ok(Self { checkpoints, anchors, handovers, malformed })
    }

    /// The first checkpoint that left the host and is not here: the gateway keeps each before it sends it.
    fn lacks(&self, against: &[SignedCheckpoint]) -> Option<Problem> {
        let mut here: Vec<_> =
            self.checkpoints.iter().map(|signed| String::from(signed.signature.clone())).collect();
        here.sort_unstable();
        let missing = against
            .iter()
            .filter(|signed| here.binary_search(&String::from(signed.signature.clone())).is_err());
        let sequence = missing.map(|signed| signed.checkpoint.sequence).min()?;
        Some(Problem { segment: 0, sequence, kind: ProblemKind::CheckpointMissing })
    }
}

/// What checkpoints and anchors say about records.
struct Vouchers {
    hashes: BTreeMap<Sequence, Vec<(ChainId, LinkHash)>>,
    anchors: Vec<Anchor>,
}

impl Vouchers {
    /// Those that hold, and the first of those that do not.
    fn new(signed: &Signed, against: &[SignedCheckpoint], keys: &[PublicKey]) -> (Self, Option<Problem>) {
        let (keys, broken) = KeyChain::follow(keys, &signed.handovers);
        let mut problems: Vec<Problem> = broken.into_iter().chain(signed.malformed).collect();
        let mut hashes: BTreeMap<Sequence, Vec<(ChainId, LinkHash)>> = BTreeMap::new();
        for signed in signed.checkpoints.iter().chain(against) {
            match keys.vouches(signed) {
                Ok(()) => {
                    let said = &signed.checkpoint;
                    hashes.entry(said.sequence).or_default().push((said.chain, said.hash));
                }
                Err(problem) => problems.push(problem),
            }
        }
        let mut anchors = Vec::new();
        for signed in &signed.anchors {
            match keys.anchors(signed) {
                Ok(()) => {
                    let said = &signed.anchor;
                    hashes.entry(said.sequence).or_default().push((said.chain, said.hash));
                    anchors.push(said.clone());
                }
                Err(problem) => problems.push(problem),
            }
        }
        (Self { hashes, anchors }, problems.into_iter().min_by_key(|problem| problem.sequence))
    }

    /// Where the walk over these segments begins.
    fn start(&self, directory: &Path, present: &[u64]) -> io::Result<Result<Verifier, Problem>> {
        let Some(first) = present.first().copied().filter(|first| *first > 1) else {
            return Ok(Ok(Verifier::new()));
        };
        if let Some(anchor) = self.anchors.iter().find(|anchor| anchor.segment.saturating_add(1) == first) {
            return Ok(Ok(Verifier::from_anchor(anchor)));
        }
        // A removal that was interrupted left segments that the anchor covers: they must lead up to it, and
        // the chain goes on behind it. Where it ends there, it is an archive, and nothing may be missing.
        let goes_on = |anchor: &&Anchor| present.last().is_some_and(|last| *last > anchor.segment);
        if self.anchors.iter().filter(goes_on).any(|anchor| anchor.segment >= first) {
            let header = header(&segment_path(directory, first))?;
            let problem = Problem { segment: first, sequence: Sequence(1), kind: ProblemKind::HeaderChanged };
            return Ok(header.map(|header| Verifier::from_segment(&header)).ok_or(problem));
        }
        let before = self.anchors.iter().rfind(|anchor| anchor.segment < first);
        let (segment, sequence) = before.map_or((0, 0), |anchor| (anchor.segment, anchor.sequence.0));
        Ok(Err(Problem {
            segment: segment.saturating_add(1),
            sequence: Sequence(sequence.saturating_add(1)),
            kind: ProblemKind::SegmentMissing,
        }))
    }

    fn agree(&self, verifier: &Verifier, record: &Record<'_>) -> Result<(), Problem> {
        let here = |kind| Problem { segment: verifier.segment(), sequence: record.sequence, kind };
        let agree = self.hashes.get(&record.sequence).is_none_or(|vouched| {
            vouched.iter().all(|(chain, hash)| Some(*chain) == verifier.chain() && *hash == record.hash)
        });
        if !agree {
            return Err(here(ProblemKind::CheckpointDiffers));
        }
        let mut recorded = self.anchors.iter().filter(|anchor| anchor.recorded == record.sequence);
        if recorded.all(|anchor| announces(record.event, anchor)) {
            Ok(())
        } else {
            Err(here(ProblemKind::AnchorDiffers))
        }
    }

    fn reached(&self, verifier: &Verifier) -> Result<(), Problem> {
        let tip = verifier.tip().sequence;
        let vouched = self.hashes.keys().next_back().copied().unwrap_or(Sequence(0));
        // Where removed segments are kept, the chain ends with what the newest anchor removed.
        let recorded = self.anchors.last().filter(|anchor| anchor.sequence != tip);
        let vouched = recorded.map_or(vouched, |anchor| vouched.max(anchor.recorded));
        let cut = vouched > tip;
        if cut { Err(verifier.problem(ProblemKind::Truncated { vouched })) } else { Ok(()) }
    }
}

/// Whether the event says what the anchor says.
fn announces(event: &[u8], anchor: &Anchor) -> bool {
    #[derive(Deserialize)]
    struct Said {
        kind: String,
        count: Option<u64>,
        content: Option<ContentHash>,
    }
    serde_json::from_slice::<Said>(event).is_ok_and(|said| {
        said.kind == "audit_truncated"
            && said.count == Some(anchor.sequence.0)
            && said.content == Some(ContentHash::from_bytes(*anchor.hash.bytes()))
    })
}

fn walk(directory: &Path, vouchers: &Vouchers, report: &mut VerifyReport) -> io::Result<Result<(), Problem>> {
    let present = segments(directory)?;
    let mut verifier = match vouchers.start(directory, &present)? {
        Ok(verifier) => verifier,
        Err(problem) => return Ok(Err(problem)),
    };
    let removed = verifier.tip().sequence;
    report.begins_after = (removed > Sequence(0)).then_some(removed);
    for number in &present {
        let last = Some(number) == present.last();
        let mut lines = Lines::open(&segment_path(directory, *number))?;
        let walked = walk_segment(&mut verifier, &mut lines, *number, last, vouchers, report)?;
        report.chain = verifier.chain();
        report.records = verifier.tip().sequence.0.saturating_sub(removed.0);
        if let Err(problem) = walked {
            return Ok(Err(problem));
        }
        report.segments = report.segments.saturating_add(1);
    }
    Ok(vouchers.reached(&verifier))
}

fn walk_segment(
    verifier: &mut Verifier,
    lines: &mut Lines,
    number: u64,
    last: bool,
    vouchers: &Vouchers,
    report: &mut VerifyReport,
) -> io::Result<Result<(), Problem>> {
    let mut entered = false;
    loop {
        let step = match lines.next()? {
            Line::Whole(line) if !entered => {
                entered = true;
                verifier.enter(number, line).map(|_| ())
            }
            Line::Whole(line) => match verifier.take(line) {
                Ok(record) => vouchers.agree(verifier, &record),
                Err(problem) => Err(problem),
            },
            Line::Torn(bytes) if last => {
                report.torn_tail = bytes;
                return Ok(Ok(()));
            }
            Line::Torn(_) => Err(Problem { segment: number, ..verifier.problem(ProblemKind::Torn) }),
            Line::End if !entered && !last => {
                Err(Problem { segment: number, ..verifier.problem(ProblemKind::HeaderChanged) })
            }
            Line::End => return Ok(Ok(())),
        };
        if let Err(problem) = step {
            return Ok(Err(problem));
        }
        report.last_hash = Some(verifier.tip().record);
    }
}
