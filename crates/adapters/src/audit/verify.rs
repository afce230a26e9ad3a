//! Verifies a whole audit directory, or a copy of one, against the checkpoints in it and elsewhere.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use gateway_core::audit::{ChainId, LinkHash, Problem, ProblemKind, SignedCheckpoint, Verifier};
use gateway_core::ports::Sequence;
use serde::Serialize;

use super::directory::{CHECKPOINTS, Line, Lines, segment_path, segments};
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

/// Verifies the directory. `keys` are the only keys whose checkpoints count; take them from elsewhere
/// than the directory. `against` are checkpoints that left the host. Blocks on the disk.
///
/// # Errors
/// A file cannot be read; what is wrong with the evidence stands in the report.
pub fn verify_directory(
    directory: &Path,
    keys: &[PublicKey],
    against: Option<&[SignedCheckpoint]>,
) -> io::Result<VerifyReport> {
    let mut report = VerifyReport::default();
    // The checkpoints first: a gateway at work adds to the chain before it adds here.
    let local = local_checkpoints(directory)?;
    let against = against.unwrap_or_default();
    let outcome = match &local {
        Err(problem) => Err(*problem),
        Ok(local) => {
            report.checkpoints = count(local.len());
            report.against = count(against.len());
            match Vouchers::new(local.iter().chain(against), keys) {
                Err(problem) => Err(problem),
                Ok(vouchers) => walk(directory, &vouchers, &mut report)?,
            }
        }
    };
    report.first_problem = outcome.err();
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

fn local_checkpoints(directory: &Path) -> io::Result<Result<Vec<SignedCheckpoint>, Problem>> {
    let mut bytes = match std::fs::read(directory.join(CHECKPOINTS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other?,
    };
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline.saturating_add(1));
    bytes.truncate(whole);
    let kind = ProblemKind::CheckpointMalformed;
    Ok(read_checkpoints(&bytes).map_err(|_| Problem { segment: 0, sequence: Sequence(0), kind }))
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// What checkpoints say about records.
struct Vouchers(BTreeMap<Sequence, Vec<(ChainId, LinkHash)>>);

impl Vouchers {
    fn new<'c>(
        checkpoints: impl Iterator<Item = &'c SignedCheckpoint>,
        keys: &[PublicKey],
    ) -> Result<Self, Problem> {
        let keys: BTreeMap<String, &PublicKey> = keys.iter().map(|key| (key.key_id(), key)).collect();
        let mut vouchers: BTreeMap<Sequence, Vec<(ChainId, LinkHash)>> = BTreeMap::new();
        for signed in checkpoints {
            let checkpoint = &signed.checkpoint;
            let problem = |kind| Problem { segment: 0, sequence: checkpoint.sequence, kind };
            let key =
                keys.get(&checkpoint.key_id).ok_or_else(|| problem(ProblemKind::CheckpointKeyUnknown))?;
            if !key.signed(signed) {
                return Err(problem(ProblemKind::CheckpointForged));
            }
            vouchers.entry(checkpoint.sequence).or_default().push((checkpoint.chain, checkpoint.hash));
        }
        Ok(Self(vouchers))
    }

    fn agree(&self, verifier: &Verifier) -> Result<(), Problem> {
        let tip = verifier.tip();
        let agree = self.0.get(&tip.sequence).is_none_or(|vouched| {
            vouched.iter().all(|(chain, hash)| Some(*chain) == verifier.chain() && *hash == tip.record)
        });
        let kind = ProblemKind::CheckpointDiffers;
        if agree {
            Ok(())
        } else {
            Err(Problem { segment: verifier.segment(), sequence: tip.sequence, kind })
        }
    }

    fn reached(&self, verifier: &Verifier) -> Result<(), Problem> {
        let vouched = self.0.keys().next_back().copied().unwrap_or(Sequence(0));
        let cut = vouched > verifier.tip().sequence;
        if cut { Err(verifier.problem(ProblemKind::Truncated { vouched })) } else { Ok(()) }
    }
}

fn walk(directory: &Path, vouchers: &Vouchers, report: &mut VerifyReport) -> io::Result<Result<(), Problem>> {
    let present = segments(directory)?;
    let mut verifier = Verifier::new();
    for number in &present {
        let last = Some(number) == present.last();
        let mut lines = Lines::open(&segment_path(directory, *number))?;
        let walked = walk_segment(&mut verifier, &mut lines, *number, last, vouchers, report)?;
        report.chain = verifier.chain();
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
            Line::Whole(line) => verifier.take(line).map(|_| ()).and_then(|()| vouchers.agree(verifier)),
            Line::Torn(bytes) if last => {
                report.torn_tail = bytes;
                return Ok(Ok(()));
            }
            Line::Torn(_) => Err(verifier.problem(ProblemKind::Torn)),
            Line::End if !entered && !last => Err(verifier.problem(ProblemKind::HeaderChanged)),
            Line::End => return Ok(Ok(())),
        };
        if let Err(problem) = step {
            return Ok(Err(problem));
        }
        report.records = verifier.tip().sequence.0;
        report.last_hash = Some(verifier.tip().record);
    }
}
