//! Builds the index of one sealed segment.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use gateway_core::audit::Verifier;
use gateway_core::audit::chain::Header;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::file::{Head, MAGIC};
use crate::audit::directory::{Line, Lines};
use crate::audit::reader::time_of;
use crate::audit::terms;

/// What a walk over the segment collects.
#[derive(Default)]
struct Collected {
    /// Each record's offset and time in microseconds.
    records: Vec<(u64, i64)>,
    /// Each pair's number and a record that has it.
    pairs: Vec<(u64, u32)>,
}

/// Writes the index; says no where the segment is not a whole chain of records: then its lines must be
/// read, so that whoever searches is told what cannot be.
pub(super) fn build(source: &Path, segment: u64, path: &Path) -> io::Result<bool> {
    let mut lines = Lines::open(source)?;
    let Line::Whole(line) = lines.next()? else { return Ok(false) };
    let Some(header) = Header::parse(line).filter(|header| header.segment == segment) else {
        return Ok(false);
    };
    let mut walk = Verifier::from_segment(&header);
    if walk.enter(segment, line).is_err() {
        return Ok(false);
    }
    let mut collected = Collected::default();
    loop {
        let offset = lines.offset();
        match lines.next()? {
            Line::Whole(line) => {
                let Ok(record) = walk.take(line) else { return Ok(false) };
                if !collected.see(record.event, offset) {
                    return Ok(false);
                }
            }
            Line::Torn(_) => return Ok(false),
            Line::End => break,
        }
    }
    let length = lines.offset();
    collected.pairs.sort_unstable();
    collected.pairs.dedup();
    let head = Head {
        segment,
        header: *header.hash().bytes(),
        length,
        first: header.first.0,
        records: count(collected.records.len()),
        terms: count(distinct(&collected.pairs)),
        earliest: collected.records.iter().map(|(_, time)| *time).min().unwrap_or(i64::MAX),
        latest: collected.records.iter().map(|(_, time)| *time).max().unwrap_or(i64::MIN),
    };
    write(path, &head, &collected)?;
    Ok(true)
}

impl Collected {
    fn see(&mut self, event: &[u8], offset: u64) -> bool {
        let (Ok(ordinal), Some(time)) = (u32::try_from(self.records.len()), time_of(event)) else {
            return false;
        };
        let Ok(value) = serde_json::from_slice::<Value>(event) else { return false };
        self.records.push((offset, time.micros()));
        terms::each(&value, &mut |name, text| self.pairs.push((terms::hash(name, text), ordinal)));
        true
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn distinct(pairs: &[(u64, u32)]) -> usize {
    pairs.chunk_by(|one, next| one.0 == next.0).count()
}

/// Beside it, then renamed: a reader sees a whole index or none. Not synced: the checksum tells.
fn write(path: &Path, head: &Head, collected: &Collected) -> io::Result<()> {
    let beside = path.with_extension("new");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    let mut out = Summed { out: BufWriter::new(file), sum: Sha256::new() };
    out.put(MAGIC)?;
    out.put(&head.bytes())?;
    for (offset, time) in &collected.records {
        out.put(&offset.to_le_bytes())?;
        out.put(&time.to_le_bytes())?;
    }
    let mut start = 0_u64;
    for same in collected.pairs.chunk_by(|one, next| one.0 == next.0) {
        let hash = same.first().map_or(0, |(hash, _)| *hash);
        out.put(&hash.to_le_bytes())?;
        out.put(&start.to_le_bytes())?;
        out.put(&count(same.len()).to_le_bytes())?;
        start = start.saturating_add(count(same.len()));
    }
    for (_, ordinal) in &collected.pairs {
        out.put(&ordinal.to_le_bytes())?;
    }
    let Summed { mut out, sum } = out;
    out.write_all(&sum.finalize())?;
    out.flush()?;
    std::fs::rename(&beside, path)
}

struct Summed<W> {
    out: W,
    sum: Sha256,
}

impl<W: Write> Summed<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.out.write_all(bytes)
    }
}
