//! A derived index of sealed segments: for each pair of field and text, the records that have it. It says
//! where to look and is never the truth: what is found is read from the chain and compared. Deleting it
//! costs a rebuilding, on a thread of the lowest priority; until then segments are read line by line.

mod build;
mod file;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

pub(super) use self::file::SegmentIndex;
use super::directory::{INDEXES, prepare, segment_path, segments};

/// How often the builder looks for newly sealed segments.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Growth between two looks, in bytes, above which calls are many.
const BUSY: u64 = 1024 * 1024;
/// How many times as long as it built the builder then rests: two hundredths of a processor.
const REST: u32 = 50;
/// Larger segments are read line by line: building holds 16 bytes for each pair of field and text.
const LARGEST: u64 = 256 * 1024 * 1024;

/// The indexes of one audit directory.
#[derive(Debug)]
pub struct Index {
    directory: PathBuf,
    ready: Mutex<BTreeMap<u64, Slot>>,
}

#[derive(Debug)]
enum Slot {
    Ready(Arc<SegmentIndex>),
    /// The segment is no chain of records, or too large: looked at once, read line by line.
    None,
}

impl Index {
    /// Of this directory; nothing is indexed before [`Index::refresh`].
    pub fn new(directory: &Path) -> Arc<Self> {
        Arc::new(Self { directory: directory.to_owned(), ready: Mutex::new(BTreeMap::new()) })
    }

    /// Keeps the index current on a thread of the lowest priority, as long as somebody holds it.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(self: &Arc<Self>) -> io::Result<()> {
        let index = Arc::downgrade(self);
        std::thread::Builder::new().name("audit-index".to_owned()).spawn(move || keep(&index)).map(drop)
    }

    /// Indexes every sealed segment that is not, and forgets those that are gone. Says how many it built.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn refresh(&self) -> io::Result<usize> {
        let mut built = 0_usize;
        while self.step()? {
            built = built.saturating_add(1);
        }
        Ok(built)
    }

    /// Builds the index of the newest sealed segment that has none; says whether there was such a one.
    fn step(&self) -> io::Result<bool> {
        let mut sealed = segments(&self.directory)?;
        // The newest is still written to.
        sealed.pop();
        self.forget_all_but(&sealed);
        for segment in sealed.into_iter().rev() {
            if self.lock().contains_key(&segment) {
                continue;
            }
            let (slot, built) = self.slot(segment)?;
            self.lock().insert(segment, slot);
            if built {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where the chain's end is: the newest segment and its length.
    fn end(&self) -> io::Result<Option<(u64, u64)>> {
        let Some(newest) = segments(&self.directory)?.pop() else { return Ok(None) };
        Ok(Some((newest, std::fs::metadata(segment_path(&self.directory, newest))?.len())))
    }

    fn slot(&self, segment: u64) -> io::Result<(Slot, bool)> {
        let (source, path) = (segment_path(&self.directory, segment), self.path(segment));
        if std::fs::metadata(&source)?.len() > LARGEST {
            return Ok((Slot::None, false));
        }
        if let Some(index) = SegmentIndex::open(&path, &source, segment)? {
            return Ok((Slot::Ready(Arc::new(index)), false));
        }
        prepare(&self.directory.join(INDEXES))?;
        if !build::build(&source, segment, &path)? {
            return Ok((Slot::None, false));
        }
        let index = SegmentIndex::open(&path, &source, segment)?;
        Ok((index.map_or(Slot::None, |index| Slot::Ready(Arc::new(index))), true))
    }

    /// The index of a segment, where there is one that nobody has found wrong.
    pub(super) fn of(&self, segment: u64) -> Option<Arc<SegmentIndex>> {
        let mut ready = self.lock();
        let Some(Slot::Ready(index)) = ready.get(&segment) else { return None };
        if index.is_trusted() {
            return Some(Arc::clone(index));
        }
        // Built anew by the next refresh.
        ready.remove(&segment);
        drop(ready);
        drop(std::fs::remove_file(self.path(segment)));
        None
    }

    fn forget_all_but(&self, sealed: &[u64]) {
        let mut ready = self.lock();
        let gone: Vec<u64> = ready.keys().copied().filter(|segment| !sealed.contains(segment)).collect();
        for segment in gone {
            ready.remove(&segment);
            drop(std::fs::remove_file(self.path(segment)));
        }
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.directory.join(INDEXES).join(format!("segment-{segment:08}.index"))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Slot>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep(index: &Weak<Index>) {
    // Of this thread alone. Where it is refused, the thread is as any other.
    let _ = rustix::process::nice(19);
    let (mut end, mut rested) = (None, Instant::now());
    while let Some(index) = index.upgrade() {
        let began = Instant::now();
        let looked = index.end().and_then(|now| {
            let busy = is_busy(end, now);
            end = now;
            Ok((busy, (!busy || began >= rested) && index.step()?))
        });
        drop(index);
        match looked {
            // While calls are many, what this takes of a processor is bounded.
            Ok((busy, true)) => {
                rested = Instant::now() + began.elapsed().saturating_mul(REST);
                if !busy {
                    continue;
                }
            }
            Ok((_, false)) => {}
            Err(error) => {
                tracing::warn!(%error, "the audit index cannot be brought up to date; searches read line by line");
            }
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// Whether the chain grew by more than a quiet one does, between two looks.
fn is_busy(before: Option<(u64, u64)>, now: Option<(u64, u64)>) -> bool {
    before.zip(now).is_some_and(|(before, now)| before.0 != now.0 || now.1.saturating_sub(before.1) > BUSY)
}
