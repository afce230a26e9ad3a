//! Reads records back. Needs no lock: it works beside a running gateway, and on a copy.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway_core::audit::chain::Record;
use gateway_core::audit::{ChainId, Event, LinkHash};
use gateway_core::ports::Sequence;
use gateway_core::time::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::directory::{Line, Lines, header, segment_path, segments};
use super::filter::{Filter, Order, Wanted};
use super::index::{Index, SegmentIndex};
use super::reverse::ReverseLines;

/// A record as it stands in the chain.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Stored {
    /// Its number.
    pub sequence: Sequence,
    /// Its hash.
    pub hash: LinkHash,
    /// The event.
    pub event: Event,
}

/// What a search found.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Found {
    /// The records, in the order asked for.
    pub records: Vec<Stored>,
    /// Lines that are no record of this version: verify the chain.
    pub unreadable: u64,
    /// Whether the limit was reached before the end.
    pub more: bool,
}

/// Reads an audit directory. Every function blocks on the disk.
#[derive(Clone, Debug)]
pub struct Reader {
    directory: PathBuf,
    index: Option<Arc<Index>>,
}

impl Reader {
    /// Of this directory, line by line.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), index: None }
    }

    /// By the index where a segment has one: it says where to look, and the chain's lines are the answer.
    #[must_use]
    pub fn with_index(mut self, index: Arc<Index>) -> Self {
        self.index = Some(index);
        self
    }

    /// The records after `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn tail(&self, after: Sequence, limit: usize) -> io::Result<Found> {
        let filter = Filter { after: Some(after), ..Filter::default() };
        self.search(&filter, Order::OldestFirst, limit)
    }

    /// The records that the filter wants, at most `limit`.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn search(&self, filter: &Filter, order: Order, limit: usize) -> io::Result<Found> {
        let wanted = filter.wanted();
        let mut found = Found::default();
        let mut take = |stored: Stored| {
            found.more = found.records.len() >= limit;
            if !found.more {
                found.records.push(stored);
            }
            !found.more
        };
        let unreadable = self.walk(&wanted, order, &mut take)?;
        found.unreadable = unreadable;
        Ok(found)
    }

    /// Hands every record that the filter wants to `take`, oldest first, until it says no. Holds one record
    /// at a time. Gives the number of lines that are no record of this version.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn stream(&self, filter: &Filter, take: &mut dyn FnMut(Stored) -> bool) -> io::Result<u64> {
        self.walk(&filter.wanted(), Order::OldestFirst, take)
    }

    fn walk(&self, wanted: &Wanted, order: Order, take: &mut dyn FnMut(Stored) -> bool) -> io::Result<u64> {
        let mut present = self.segments_within(wanted)?;
        if order == Order::NewestFirst {
            present.reverse();
        }
        let mut hunt = Hunt { wanted, take, unreadable: 0, seen: None };
        for segment in present {
            let path = segment_path(&self.directory, segment);
            let indexed = self.index.as_ref().and_then(|index| index.of(segment));
            let looked = match &indexed {
                Some(indexed) => hunt.by_index(indexed, &path, order),
                None => hunt.scan(&path, order),
            };
            match looked {
                Ok(true) => {}
                Ok(false) => break,
                // Removed on purpose meanwhile, or by somebody else: `verify` tells which.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(hunt.unreadable)
    }

    /// The segments that may hold records within the bounds, in order.
    fn segments_within(&self, wanted: &Wanted) -> io::Result<Vec<u64>> {
        let mut present = segments(&self.directory)?;
        if wanted.after.is_none() && wanted.before.is_none() {
            return Ok(present);
        }
        let (mut from, mut to) = (0, present.len());
        for (index, segment) in present.iter().enumerate().rev() {
            let Some(first) = self.first_of(*segment)? else { continue };
            if wanted.before.is_some_and(|before| first >= before) {
                to = index;
            }
            if wanted.after.is_some_and(|after| first <= after) {
                from = index;
                break;
            }
        }
        present.truncate(to);
        Ok(if from >= present.len() { Vec::new() } else { present.split_off(from) })
    }

    fn first_of(&self, segment: u64) -> io::Result<Option<Sequence>> {
        match header(&segment_path(&self.directory, segment)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => Ok(other?.map(|header| header.first)),
        }
    }
}

struct Hunt<'h> {
    wanted: &'h Wanted,
    take: &'h mut dyn FnMut(Stored) -> bool,
    unreadable: u64,
    /// The last record that an index named, in the order of the walk.
    seen: Option<(Order, Sequence)>,
}

impl Hunt<'_> {
    /// Looks at every line; says whether to go on.
    fn scan(&mut self, path: &Path, order: Order) -> io::Result<bool> {
        match order {
            Order::OldestFirst => {
                let mut lines = Lines::open(path)?;
                while let Line::Whole(line) = lines.next()? {
                    if !self.look(line) {
                        return Ok(false);
                    }
                }
            }
            Order::NewestFirst => {
                let mut lines = ReverseLines::open(path)?;
                while let Some(line) = lines.next()? {
                    if !self.look(&line) {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Looks at the lines that the index names; at the rest of the segment where one is not what it says.
    fn by_index(&mut self, index: &SegmentIndex, path: &Path, order: Order) -> io::Result<bool> {
        let mut ordinals = index.ordinals(self.wanted)?;
        if order == Order::NewestFirst {
            ordinals.reverse();
        }
        let file = File::open(path)?;
        for ordinal in ordinals {
            let Some((sequence, line)) = index.line(ordinal, &file)? else {
                index.distrust();
                return self.scan(path, order);
            };
            if !self.look(&line) {
                return Ok(false);
            }
            self.seen = Some((order, sequence));
        }
        Ok(true)
    }

    /// Whether the walk has come by this record already.
    fn is_behind(&self, sequence: Sequence) -> bool {
        self.seen.is_some_and(|(order, seen)| match order {
            Order::OldestFirst => sequence <= seen,
            Order::NewestFirst => sequence >= seen,
        })
    }

    /// Looks at one line; says whether to go on.
    fn look(&mut self, line: &[u8]) -> bool {
        if !self.wanted.may_be(line) || line.starts_with(b"{\"segment\":") {
            return true;
        }
        let Some(record) = Record::parse(line) else {
            self.unreadable = self.unreadable.saturating_add(1);
            return true;
        };
        if !self.wanted.is_in_reach(record.sequence) || self.is_behind(record.sequence) {
            return true;
        }
        if time_of(record.event).is_some_and(|time| !self.wanted.is_in_time(time)) {
            return true;
        }
        let matches = self.wanted.terms.is_empty()
            || serde_json::from_slice::<Value>(record.event).is_ok_and(|event| self.wanted.holds(&event));
        if !matches {
            return true;
        }
        let Ok(event) = record.event() else {
            self.unreadable = self.unreadable.saturating_add(1);
            return true;
        };
        if !self.wanted.is_in_time(event.time) {
            return true;
        }
        (self.take)(Stored { sequence: record.sequence, hash: record.hash, event })
    }
}

/// The chain that a directory holds; nothing where it holds none.
///
/// # Errors
/// A file cannot be read.
pub fn chain_of(directory: &Path) -> io::Result<Option<ChainId>> {
    let Some(first) = segments(directory)?.first().copied() else { return Ok(None) };
    Ok(header(&segment_path(directory, first))?.map(|header| header.chain))
}

/// The time of an event as written: it comes first.
pub(super) fn time_of(event: &[u8]) -> Option<Timestamp> {
    let rest = event.strip_prefix(b"{\"time\":\"")?;
    let (time, _) = rest.split_at_checked(memchr::memchr(b'"', rest)?)?;
    Timestamp::parse(std::str::from_utf8(time).ok()?).ok()
}

/// The time of a segment's last record.
pub(super) fn last_time(path: &Path) -> io::Result<Option<Timestamp>> {
    let last = ReverseLines::open(path)?.next()?;
    Ok(last.and_then(|line| time_of(Record::parse(&line)?.event)))
}
