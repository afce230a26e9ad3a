//! The file of one segment's index, read in place: only what a search needs leaves the disk.
//!
//! ```text
//! magic (8) · head (88) · per record: offset, time (16) · per pair, in order: number, start, count (24) ·
//! postings: ordinals of records (4 each) · SHA-256 of all before (32); integers little-endian
//! ```

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use gateway_core::audit::chain::Record;
use gateway_core::ports::Sequence;
use gateway_core::time::Timestamp;
use sha2::{Digest, Sha256};

use crate::audit::directory::header;
use crate::audit::filter::Wanted;
use crate::audit::terms;

pub(super) const MAGIC: &[u8; 8] = b"mcpgidx1";
const HEAD: usize = 88;
const RECORD: u64 = 16;
const TERM: u64 = 24;
const POSTING: u64 = 4;
const SUM: u64 = 32;

/// What the index is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) segment: u64,
    /// The hash of the segment's header line, which no other segment has.
    pub(super) header: [u8; 32],
    /// The segment's bytes.
    pub(super) length: u64,
    /// Its first record.
    pub(super) first: u64,
    pub(super) records: u64,
    pub(super) terms: u64,
    /// The times of its records, in microseconds.
    pub(super) earliest: i64,
    pub(super) latest: i64,
}

impl Head {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD);
        bytes.extend_from_slice(&self.segment.to_le_bytes());
        bytes.extend_from_slice(&self.header);
        for number in [self.length, self.first, self.records, self.terms] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.earliest.to_le_bytes());
        bytes.extend_from_slice(&self.latest.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8; HEAD]) -> Option<Self> {
        let (segment, rest) = bytes.split_first_chunk::<8>()?;
        let (header, rest) = rest.split_first_chunk::<32>()?;
        let mut numbers = rest.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number));
        Some(Self {
            segment: u64::from_le_bytes(*segment),
            header: *header,
            length: numbers.next()?,
            first: numbers.next()?,
            records: numbers.next()?,
            terms: numbers.next()?,
            earliest: numbers.next()?.cast_signed(),
            latest: numbers.next()?.cast_signed(),
        })
    }
}

/// The index of one segment.
#[derive(Debug)]
pub(in crate::audit) struct SegmentIndex {
    file: File,
    head: Head,
    wrong: AtomicBool,
}

impl SegmentIndex {
    /// Opens it; nothing where there is none, it is of another segment, or its checksum is wrong. Reads all
    /// of it once.
    pub(super) fn open(path: &Path, source: &Path, segment: u64) -> io::Result<Option<Self>> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        if !is_whole(&mut file)? {
            return Ok(None);
        }
        let mut bytes = [0_u8; HEAD];
        file.read_exact_at(&mut bytes, length_of(MAGIC))?;
        let Some(head) = Head::parse(&bytes) else { return Ok(None) };
        let header = header(source)?.map(|header| *header.hash().bytes());
        let fits = head.segment == segment
            && header == Some(head.header)
            && std::fs::metadata(source)?.len() == head.length;
        Ok(fits.then_some(Self { file, head, wrong: AtomicBool::new(false) }))
    }

    /// Notes that it names a line that is not what it says.
    pub(in crate::audit) fn distrust(&self) {
        tracing::warn!(
            segment = self.head.segment,
            "the audit index does not fit its segment; it is built anew"
        );
        self.wrong.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_trusted(&self) -> bool {
        !self.wrong.load(Ordering::Relaxed)
    }

    /// The records that may be wanted, in order, counted from the segment's first.
    pub(in crate::audit) fn ordinals(&self, wanted: &Wanted) -> io::Result<Vec<u32>> {
        let (from, to) = self.reach(wanted);
        if from >= to || !self.may_be_in_time(wanted) {
            return Ok(Vec::new());
        }
        let mut places = Vec::with_capacity(wanted.terms.len());
        for (name, text) in &wanted.terms {
            match self.term(terms::hash(name, text))? {
                Some(place) => places.push(place),
                None => return Ok(Vec::new()),
            }
        }
        // The rarest first: what it does not have need not be looked for.
        places.sort_unstable_by_key(|(_, count)| *count);
        let mut found: Option<Vec<u32>> = None;
        for (start, count) in places {
            let postings = self.postings(start, count)?;
            found = Some(match found {
                None => postings,
                Some(found) => intersect(&found, &postings),
            });
        }
        let mut found = match found {
            Some(found) => found.into_iter().filter(|ordinal| (from..to).contains(ordinal)).collect(),
            None => (from..to).collect::<Vec<u32>>(),
        };
        if !self.is_all_in_time(wanted) {
            let times = self.times()?;
            found.retain(|ordinal| {
                let time = usize::try_from(*ordinal).ok().and_then(|ordinal| times.get(ordinal));
                time.is_none_or(|time| wanted.is_in_time(*time))
            });
        }
        Ok(found)
    }

    /// The line of a record, from the segment itself; nothing where it is not that record, whole.
    pub(in crate::audit) fn line(
        &self,
        ordinal: u32,
        source: &File,
    ) -> io::Result<Option<(Sequence, Vec<u8>)>> {
        let ordinal = u64::from(ordinal);
        let from = self.offset(ordinal)?;
        let next = ordinal.saturating_add(1);
        let to = if next < self.head.records { self.offset(next)? } else { self.head.length };
        let Some(length) = to.checked_sub(from).filter(|_| to <= self.head.length) else { return Ok(None) };
        let mut line = vec![0; usize::try_from(length).unwrap_or(0)];
        match source.read_exact_at(&mut line, from) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        if line.pop() != Some(b'\n') {
            return Ok(None);
        }
        let sequence = Sequence(self.head.first.saturating_add(ordinal));
        let same =
            Record::parse(&line).is_some_and(|record| record.sequence == sequence && record.is_whole());
        Ok(same.then_some((sequence, line)))
    }

    /// The ordinals within the wanted numbers.
    fn reach(&self, wanted: &Wanted) -> (u32, u32) {
        let ordinal = |sequence: u64| {
            let ordinal = sequence.saturating_sub(self.head.first).min(self.head.records);
            u32::try_from(ordinal).unwrap_or(u32::MAX)
        };
        let from = wanted.after.map_or(0, |after| ordinal(after.0.saturating_add(1)));
        let to = wanted.before.map_or_else(|| ordinal(u64::MAX), |before| ordinal(before.0));
        (from, to)
    }

    fn may_be_in_time(&self, wanted: &Wanted) -> bool {
        let (earliest, latest) =
            (Timestamp::from_micros(self.head.earliest), Timestamp::from_micros(self.head.latest));
        wanted.from.is_none_or(|from| latest >= from) && wanted.until.is_none_or(|until| earliest < until)
    }

    fn is_all_in_time(&self, wanted: &Wanted) -> bool {
        wanted.is_in_time(Timestamp::from_micros(self.head.earliest))
            && wanted.is_in_time(Timestamp::from_micros(self.head.latest))
    }

    fn offset(&self, ordinal: u64) -> io::Result<u64> {
        let mut bytes = [0_u8; 8];
        self.file
            .read_exact_at(&mut bytes, self.records_at().saturating_add(ordinal.saturating_mul(RECORD)))?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn times(&self) -> io::Result<Vec<Timestamp>> {
        let bytes = self.read(self.records_at(), self.head.records.saturating_mul(RECORD))?;
        let records = bytes.as_chunks::<16>().0.iter();
        let times = records.filter_map(|record| record.last_chunk::<8>());
        Ok(times.map(|time| Timestamp::from_micros(i64::from_le_bytes(*time))).collect())
    }

    /// Where the postings of a pair are, and how many.
    fn term(&self, hash: u64) -> io::Result<Option<(u64, u64)>> {
        let (mut from, mut to) = (0, self.head.terms);
        while from < to {
            let middle = from.midpoint(to);
            let mut bytes = [0_u8; 24];
            self.file
                .read_exact_at(&mut bytes, self.terms_at().saturating_add(middle.saturating_mul(TERM)))?;
            let mut numbers = bytes.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number));
            let (Some(found), Some(start), Some(count)) = (numbers.next(), numbers.next(), numbers.next())
            else {
                return Ok(None);
            };
            match found.cmp(&hash) {
                std::cmp::Ordering::Equal => return Ok(Some((start, count))),
                std::cmp::Ordering::Less => from = middle.saturating_add(1),
                std::cmp::Ordering::Greater => to = middle,
            }
        }
        Ok(None)
    }

    fn postings(&self, start: u64, count: u64) -> io::Result<Vec<u32>> {
        let at = self.terms_at().saturating_add(self.head.terms.saturating_mul(TERM));
        let bytes =
            self.read(at.saturating_add(start.saturating_mul(POSTING)), count.saturating_mul(POSTING))?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|ordinal| u32::from_le_bytes(*ordinal)).collect())
    }

    fn records_at(&self) -> u64 {
        length_of(MAGIC).saturating_add(u64::try_from(HEAD).unwrap_or(u64::MAX))
    }

    fn terms_at(&self) -> u64 {
        self.records_at().saturating_add(self.head.records.saturating_mul(RECORD))
    }

    fn read(&self, at: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
}

fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Whether the checksum at its end is that of everything before.
fn is_whole(file: &mut File) -> io::Result<bool> {
    let body = file.metadata()?.len().saturating_sub(SUM);
    if body < length_of(MAGIC).saturating_add(u64::try_from(HEAD).unwrap_or(u64::MAX)) {
        return Ok(false);
    }
    let mut sum = Sha256::new();
    let mut start = [0_u8; 8];
    let mut reader = io::BufReader::with_capacity(256 * 1024, file);
    if reader.read(&mut start)? != start.len() || &start != MAGIC {
        return Ok(false);
    }
    sum.update(start);
    let mut left = body.saturating_sub(length_of(MAGIC));
    let mut block = vec![0_u8; 64 * 1024];
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        let Some(part) = block.get_mut(..wanted) else { return Ok(false) };
        reader.read_exact(part)?;
        sum.update(&*part);
        left = left.saturating_sub(length_of(part));
    }
    let mut expected = [0_u8; 32];
    reader.read_exact(&mut expected)?;
    Ok(<[u8; 32]>::from(sum.finalize()) == expected)
}

/// What both lists have; both are in order.
fn intersect(one: &[u32], other: &[u32]) -> Vec<u32> {
    let mut found = Vec::with_capacity(one.len().min(other.len()));
    let mut rest = other;
    for ordinal in one {
        let at = rest.partition_point(|other| other < ordinal);
        rest = rest.get(at..).unwrap_or_default();
        if rest.first() == Some(ordinal) {
            found.push(*ordinal);
        }
    }
    found
}
