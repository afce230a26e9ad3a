//! Reads records back. Needs no lock: it works beside a running gateway, and on a copy.

use std::io;
use std::path::{Path, PathBuf};

use gateway_core::audit::chain::Record;
use gateway_core::audit::{Event, LinkHash};
use gateway_core::ports::Sequence;
use memchr::memmem::Finder;
use serde::Serialize;

use super::directory::{Line, Lines, header, segment_path, segments};
use super::filter::{Filter, Order};
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
}

impl Reader {
    /// Of this directory.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
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
        let mut present = self.segments_after(filter.after.unwrap_or(Sequence(0)))?;
        if order == Order::NewestFirst {
            present.reverse();
        }
        let mut hunt = Hunt { filter, finders: filter.finders(), limit, found: Found::default() };
        for segment in present {
            let path = segment_path(&self.directory, segment);
            let go_on = match order {
                Order::OldestFirst => hunt.forwards(&path)?,
                Order::NewestFirst => hunt.backwards(&path)?,
            };
            if !go_on {
                break;
            }
        }
        Ok(hunt.found)
    }

    /// The segments that may hold records after this one, in order.
    fn segments_after(&self, after: Sequence) -> io::Result<Vec<u64>> {
        let mut present = segments(&self.directory)?;
        let mut keep = 0;
        for (index, segment) in present.iter().enumerate().rev() {
            let header = header(&segment_path(&self.directory, *segment))?;
            if header.is_some_and(|header| header.first <= after) {
                keep = index;
                break;
            }
            if after == Sequence(0) {
                break;
            }
        }
        Ok(present.split_off(keep))
    }
}

struct Hunt<'f> {
    filter: &'f Filter,
    finders: Vec<Finder<'f>>,
    limit: usize,
    found: Found,
}

impl Hunt<'_> {
    fn forwards(&mut self, path: &Path) -> io::Result<bool> {
        let mut lines = Lines::open(path)?;
        while let Line::Whole(line) = lines.next()? {
            if !self.look(line) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn backwards(&mut self, path: &Path) -> io::Result<bool> {
        let mut lines = ReverseLines::open(path)?;
        while let Some(line) = lines.next()? {
            if !self.look(&line) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Looks at one line; says whether to go on.
    fn look(&mut self, line: &[u8]) -> bool {
        if !self.finders.iter().all(|finder| finder.find(line).is_some())
            || line.starts_with(b"{\"segment\":")
        {
            return true;
        }
        let Some(record) = Record::parse(line) else {
            self.found.unreadable = self.found.unreadable.saturating_add(1);
            return true;
        };
        if self.filter.after.is_some_and(|after| record.sequence <= after) {
            return true;
        }
        let Ok(event) = record.event() else {
            self.found.unreadable = self.found.unreadable.saturating_add(1);
            return true;
        };
        if !self.filter.matches(&event) {
            return true;
        }
        if self.found.records.len() >= self.limit {
            self.found.more = true;
            return false;
        }
        self.found.records.push(Stored { sequence: record.sequence, hash: record.hash, event });
        true
    }
}
