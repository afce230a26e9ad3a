//! The scrubber of one response body.

use std::fmt;
use std::sync::Arc;

use super::Needles;
use super::events::EventEnds;
use super::lane::{Lanes, Source};
use super::net::States;
use super::spans::Tail;

/// Bytes handled at once, so that the lanes' working space stays small and in cache.
const STEP: usize = 4096;
/// Bytes handled at once while a lane is at work: it may park soon, and what follows be skipped.
const SHORT_STEP: usize = 256;

/// Scrubs one response body as it streams.
///
/// What comes out does not depend on how the input is cut into chunks. Everything that cannot be the
/// beginning of a form leaves at once. Call [`Scrubber::finish`] at the end of the body, or what is
/// held back is lost.
pub struct Scrubber {
    needles: Arc<Needles>,
    state: State,
    events: Option<EventEnds>,
}

impl Scrubber {
    /// A scrubber for a body that is one text. For server-sent events whose frames the caller
    /// parses anyway, [`Scrubber::flush_event`] ends each text.
    pub fn new(needles: Arc<Needles>) -> Self {
        let state = State::new(&needles);
        Self { needles, state, events: None }
    }

    /// A scrubber for a `text/event-stream` that finds the blank lines itself and holds nothing back
    /// over the end of an event.
    pub fn for_events(needles: Arc<Needles>) -> Self {
        Self { events: Some(EventEnds::new()), ..Self::new(needles) }
    }

    /// Takes the next bytes and appends to `out` what may leave.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let mut rest = chunk;
        if let Some(events) = self.events.as_mut().filter(|_| !self.needles.is_empty()) {
            while let Some((event, next)) = events.next(rest).and_then(|end| rest.split_at_checked(end)) {
                self.state.push(&self.needles, event, out);
                self.state.flush(&self.needles, out);
                rest = next;
            }
        }
        self.state.push(&self.needles, rest, out);
    }

    /// Ends an event: appends all that is held back and starts afresh. A value split over two events
    /// is not recognised.
    pub fn flush_event(&mut self, out: &mut Vec<u8>) {
        self.state.flush(&self.needles, out);
    }

    /// Ends the body: appends all that is held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.state.flush(&self.needles, out);
    }

    /// How many replacements have left so far.
    pub fn redactions(&self) -> u64 {
        self.state.redactions()
    }
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrubber(..)")
    }
}

/// The moving parts, apart from the needles they belong to.
pub(super) struct State {
    raw: States,
    lanes: Lanes,
    tail: Tail,
    /// Working space: raw positions of the raw stream's live bytes and of the current step.
    raw_at: Vec<u64>,
    redactions: u64,
}

impl State {
    /// The state before any byte.
    pub(super) fn new(needles: &Needles) -> Self {
        let (raw, lanes) = (needles.nets.start(), Lanes::new(needles.spaced));
        Self { raw, lanes, tail: Tail::new(), raw_at: Vec::new(), redactions: 0 }
    }

    /// Takes bytes of the current text.
    pub(super) fn push(&mut self, needles: &Needles, chunk: &[u8], out: &mut Vec<u8>) {
        if needles.is_empty() {
            out.extend_from_slice(chunk);
            return;
        }
        let mut rest = chunk;
        while !rest.is_empty() {
            let step = if self.lanes.are_active() { SHORT_STEP } else { STEP };
            let (part, next) = rest.split_at_checked(step).unwrap_or((rest, &[]));
            self.step(needles, part, false, out);
            rest = next;
        }
    }

    /// Ends the current text.
    pub(super) fn flush(&mut self, needles: &Needles, out: &mut Vec<u8>) {
        if needles.is_empty() {
            return;
        }
        self.step(needles, &[], true, out);
        self.raw = needles.nets.start();
        self.lanes.reset();
    }

    /// How many replacements have left.
    pub(super) fn redactions(&self) -> u64 {
        self.redactions
    }

    fn step(&mut self, needles: &Needles, part: &[u8], last: bool, out: &mut Vec<u8>) {
        let nets = &needles.nets;
        let start = self.tail.end();
        let end = start + part.len() as u64;
        let prior = self.raw;
        let hits = &mut self.tail.hits;
        nets.scan(&mut self.raw, part, |stop, length| {
            let stop = start + stop as u64;
            hits.push(stop.saturating_sub(length as u64)..stop);
        });
        let live = nets.live(&self.raw);
        let mut cut = if last { end } else { end.saturating_sub(live as u64) };
        let skipped = self.skip_harmless(needles, part);
        let rest = part.get(skipped..).unwrap_or_default();
        if self.lanes.are_active() || self.lanes.are_needed(rest) {
            let prior = if skipped > 0 { nets.start() } else { prior };
            let from = (start + skipped as u64).saturating_sub(nets.live(&prior) as u64);
            self.raw_at.clear();
            self.raw_at.extend(from..end);
            let source = Source { bytes: rest, at: &self.raw_at, end, states: prior };
            self.lanes.feed(nets, &source, last, &mut self.tail.hits);
            if !last {
                cut = self.lanes.floor(nets, cut);
            }
            let dead = self.raw_at.len().saturating_sub(live);
            self.lanes.settle(nets, self.raw, self.raw_at.get(dead..).unwrap_or_default());
        }
        for hit in &mut self.tail.hits {
            *hit = self.lanes.widen_start(hit.start)..self.lanes.widen_end(hit.end);
        }
        let cut = self.lanes.widen_start(cut);
        self.redactions += self.tail.pass(part, cut, needles.marker_text(), out);
        self.lanes.forget_units(self.tail.base());
    }

    /// How much of `part`, whose raw bytes are matched already, the parked lanes need not see: a
    /// stretch without a hit, with nothing under way at its end, in which every escape breaks what it
    /// stands in. Up to its first escape a lane would do as the raw stream did, and nothing that it
    /// has under way then outlives the escape.
    fn skip_harmless(&self, needles: &Needles, part: &[u8]) -> usize {
        if !self.tail.hits.is_empty() || self.lanes.are_active() {
            return 0;
        }
        let at_rest = self.raw == needles.nets.start();
        let calm = if at_rest { part.len() } else { needles.telling.calm_prefix(part) };
        let stretch = part.get(..calm).unwrap_or_default();
        if self.lanes.may_skip(stretch, &needles.telling) { calm } else { 0 }
    }
}
