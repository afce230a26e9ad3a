//! The held-back tail of a stream and the hits in it that are not yet cut out.

use std::mem;
use std::ops::Range;

use zeroize::Zeroizing;

/// Bytes that have arrived and not left. Positions are raw stream positions.
pub(super) struct Tail {
    held: Zeroizing<Vec<u8>>,
    /// Position of the first held byte.
    base: u64,
    /// Hits that end after `base`.
    pub(super) hits: Vec<Range<u64>>,
    /// The first hit has begun before `base` and is marked already.
    open: bool,
}

impl Tail {
    /// Nothing held.
    pub(super) fn new() -> Self {
        Self { held: Zeroizing::new(Vec::new()), base: 0, hits: Vec::new(), open: false }
    }

    /// Position of the first byte that has not left.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// Position after the last byte that has arrived.
    pub(super) fn end(&self) -> u64 {
        self.base + self.held.len() as u64
    }

    /// Takes `part` in and lets everything before `cut` out, with each hit replaced by `marker`.
    /// No later hit begins before `cut`. Returns how many markers left.
    pub(super) fn pass(&mut self, part: &[u8], cut: u64, marker: &str, out: &mut Vec<u8>) -> u64 {
        if self.hits.is_empty() && self.held.is_empty() {
            let (ready, held) = part.split_at_checked(self.index(cut)).unwrap_or((part, &[]));
            out.extend_from_slice(ready);
            self.held.extend_from_slice(held);
            self.base += ready.len() as u64;
            return 0;
        }
        self.held.extend_from_slice(part);
        self.merge_overlapping();
        let (mut cursor, mut marked) = (self.base, 0);
        let mut hits = mem::take(&mut self.hits);
        let leaving = hits.partition_point(|hit| hit.start < cut);
        for hit in hits.drain(..leaving) {
            out.extend_from_slice(self.between(cursor, hit.start));
            if !self.open {
                out.extend_from_slice(marker.as_bytes());
                marked += 1;
            }
            cursor = hit.end.min(cut);
            self.open = hit.end > cut;
            if self.open {
                self.hits.push(cut..hit.end);
            }
        }
        self.hits.append(&mut hits);
        out.extend_from_slice(self.between(cursor, cut));
        let gone = self.index(cut).min(self.held.len());
        self.held.drain(..gone);
        self.base = cut;
        marked
    }

    fn between(&self, from: u64, to: u64) -> &[u8] {
        self.held.get(self.index(from)..self.index(to)).unwrap_or_default()
    }

    fn index(&self, position: u64) -> usize {
        position.saturating_sub(self.base) as usize
    }

    /// Hits that share a byte become one.
    fn merge_overlapping(&mut self) {
        self.hits.sort_unstable_by_key(|hit| (hit.start, hit.end));
        self.hits.dedup_by(|next, hit| {
            let overlap = next.start < hit.end;
            if overlap {
                hit.end = hit.end.max(next.end);
            }
            overlap
        });
    }
}
