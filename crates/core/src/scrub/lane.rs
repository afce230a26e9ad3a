//! Decoded views of the raw stream, each matched by the same nets.
//!
//! A lane undoes one kind of escape in what its parent (another lane, or the raw bytes) delivers, and
//! keeps for every decoded byte the raw position where its escape begins. While there is no escape to
//! undo, a lane would see exactly what its parent sees; it is then *parked*: it does no work, and its
//! state is by definition its parent's.

use std::mem;
use std::ops::Range;

use zeroize::Zeroizing;

use super::breaks::Telling;
use super::fold::{Fold, Piece};
use super::net::{Nets, States};

/// A kind of escape undone on top of a parent lane (by its index) or the raw bytes.
#[derive(Clone, Copy)]
struct Plan {
    fold: Fold,
    parent: Option<usize>,
}

/// All views; parents stand before their children.
const PLANS: [Plan; 7] = [
    Plan { fold: Fold::Json, parent: None },
    Plan { fold: Fold::Json, parent: Some(0) },
    Plan { fold: Fold::Percent, parent: None },
    Plan { fold: Fold::Percent, parent: Some(0) },
    Plan { fold: Fold::Percent, parent: Some(1) },
    Plan { fold: Fold::Form, parent: None },
    Plan { fold: Fold::Form, parent: Some(0) },
];

/// What a lane reads in one step.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// The new bytes.
    pub(super) bytes: &'a [u8],
    /// Raw start of each live byte before this step, then of each of `bytes`.
    pub(super) at: &'a [u64],
    /// Raw position after the last of `bytes`.
    pub(super) end: u64,
    /// The states before this step.
    pub(super) states: States,
}

/// All lanes of one stream; made when the first one is needed.
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    spaced: bool,
}

impl Lanes {
    /// Parked lanes. Only values with a space (`spaced`) need the form-encoded views.
    pub(super) fn new(spaced: bool) -> Self {
        Self { lanes: Vec::new(), spaced }
    }

    /// Whether any lane is at work.
    pub(super) fn are_active(&self) -> bool {
        self.lanes.iter().any(|lane| lane.active)
    }

    /// Whether parked lanes would stay parked over `raw`, given that no pattern is under way before
    /// and after and none hits the raw bytes.
    pub(super) fn may_skip(&self, raw: &[u8], telling: &Telling) -> bool {
        self.folds().iter().all(|fold| telling.spares(*fold, raw))
    }

    /// Whether `raw` has anything to decode.
    pub(super) fn are_needed(&self, raw: &[u8]) -> bool {
        self.folds().iter().any(|fold| fold.find(raw).is_some())
    }

    /// The folds whose escapes wake up a lane.
    fn folds(&self) -> &'static [Fold] {
        if self.spaced { &[Fold::Json, Fold::Form] } else { &[Fold::Json, Fold::Percent] }
    }

    /// Lets every lane decode and match its share. With `last`, incomplete escapes count as they stand.
    pub(super) fn feed(&mut self, nets: &Nets, raw: &Source<'_>, last: bool, hits: &mut Vec<Range<u64>>) {
        if self.lanes.is_empty() {
            let plans = PLANS.iter().filter(|plan| self.spaced || plan.fold != Fold::Form);
            self.lanes.extend(plans.map(|plan| Lane::new(*plan, nets.start())));
        }
        for index in 0..self.lanes.len() {
            let (parents, rest) = self.lanes.split_at_mut(index);
            if let Some(lane) = rest.first_mut() {
                let source = nearest_active(parents, lane.plan).map_or(*raw, Lane::as_source);
                lane.feed(nets, &source, last, hits);
            }
        }
    }

    /// The lowest raw position that may still become part of a hit in a lane, or `end`.
    pub(super) fn floor(&self, nets: &Nets, end: u64) -> u64 {
        let active = self.lanes.iter().filter(|lane| lane.active);
        active.map(|lane| lane.floor(nets)).min().map_or(end, |floor| floor.min(end))
    }

    /// Ends a step: forgets what is no longer live, and parks lanes that are level with their parent.
    /// `raw_states` and `raw_live` are the raw stream's states and live positions after the step.
    pub(super) fn settle(&mut self, nets: &Nets, raw_states: States, raw_live: &[u64]) {
        for index in 0..self.lanes.len() {
            let (parents, rest) = self.lanes.split_at_mut(index);
            let Some(lane) = rest.first_mut().filter(|lane| lane.active) else { continue };
            lane.forget_dead(nets);
            let (states, live) = nearest_active(parents, lane.plan)
                .map_or((raw_states, raw_live), |parent| (parent.states, parent.at.as_slice()));
            lane.active = !lane.carry.is_empty() || lane.states != states || lane.at != live;
        }
    }

    /// Moves a position that would split a JSON escape to the escape's start.
    pub(super) fn widen_start(&self, at: u64) -> u64 {
        self.lanes.iter().fold(at, |at, lane| lane.unit_around(at).map_or(at, |unit| unit.start))
    }

    /// Moves a position that would split a JSON escape to the escape's end.
    pub(super) fn widen_end(&self, at: u64) -> u64 {
        self.lanes.iter().fold(at, |at, lane| lane.unit_around(at).map_or(at, |unit| unit.end))
    }

    /// Forgets the escapes that lie before `at`.
    pub(super) fn forget_units(&mut self, at: u64) {
        for lane in &mut self.lanes {
            let gone = lane.units.partition_point(|unit| unit.end <= at);
            lane.units.drain(..gone);
        }
    }

    /// Parks all lanes at the beginning of a new text.
    pub(super) fn reset(&mut self) {
        for lane in &mut self.lanes {
            lane.active = false;
            lane.carry.clear();
            lane.carry_at.clear();
            lane.units.clear();
        }
    }
}

/// The closest ancestor that is not parked; `None` is the raw stream.
fn nearest_active(parents: &[Lane], plan: Plan) -> Option<&Lane> {
    let mut parent = parents.get(plan.parent?)?;
    while !parent.active {
        parent = parents.get(parent.plan.parent?)?;
    }
    Some(parent)
}

struct Lane {
    plan: Plan,
    active: bool,
    states: States,
    /// The states before the current step, for children that wake up in it.
    prior: States,
    /// An escape whose end has not arrived, and the raw start of each of its bytes.
    carry: Zeroizing<Vec<u8>>,
    carry_at: Vec<u64>,
    /// What this step decoded.
    bytes: Zeroizing<Vec<u8>>,
    /// Raw starts: of the live bytes before this step, then of `bytes`.
    at: Vec<u64>,
    /// Raw position after the last decoded byte.
    end: u64,
    /// Raw extents of JSON escapes that no cut may split, in order.
    units: Vec<Range<u64>>,
}

impl Lane {
    fn new(plan: Plan, start: States) -> Self {
        Self {
            plan,
            active: false,
            states: start,
            prior: start,
            carry: Zeroizing::new(Vec::new()),
            carry_at: Vec::new(),
            bytes: Zeroizing::new(Vec::new()),
            at: Vec::new(),
            end: 0,
            units: Vec::new(),
        }
    }

    fn as_source(&self) -> Source<'_> {
        Source { bytes: &self.bytes, at: &self.at, end: self.end, states: self.prior }
    }

    fn feed(&mut self, nets: &Nets, source: &Source<'_>, last: bool, hits: &mut Vec<Range<u64>>) {
        self.bytes.clear();
        let history = source.at.len().saturating_sub(source.bytes.len());
        let (before, new) = source.at.split_at_checked(history).unwrap_or_default();
        if !self.active {
            if self.plan.fold.find(source.bytes).is_none() {
                return;
            }
            self.active = true;
            self.states = source.states;
            self.at.clear();
            self.at.extend_from_slice(before);
        }
        self.prior = self.states;
        if self.carry.is_empty() {
            self.decode(source.bytes, new, source.end, last);
        } else {
            let mut bytes = mem::take(&mut self.carry);
            let mut at = mem::take(&mut self.carry_at);
            bytes.extend_from_slice(source.bytes);
            at.extend_from_slice(new);
            self.decode(&bytes, &at, source.end, last);
        }
        self.scan(nets, hits);
    }

    /// Decodes `bytes`, whose raw starts are `at`; keeps an incomplete escape for the next step.
    fn decode(&mut self, bytes: &[u8], at: &[u64], end: u64, last: bool) {
        let (mut bytes, mut at) = (bytes, at);
        while let Some(plain) = self.plan.fold.find(bytes) {
            self.copy(&mut bytes, &mut at, plain);
            match self.plan.fold.read(bytes) {
                Piece::Unit { taken, bytes: decoded } if !self.ends_outer_string(bytes, at, end) => {
                    let start = at.first().copied().unwrap_or(end);
                    bytes = bytes.get(taken..).unwrap_or_default();
                    at = at.get(taken..).unwrap_or_default();
                    self.bytes.extend_from_slice(decoded.as_slice());
                    self.at.extend(decoded.as_slice().iter().map(|_| start));
                    if self.plan.fold == Fold::Json {
                        self.units.push(start..at.first().copied().unwrap_or(end));
                    }
                }
                Piece::Incomplete if !last => {
                    self.carry.extend_from_slice(bytes);
                    self.carry_at.extend_from_slice(at);
                    self.end = at.first().copied().unwrap_or(end);
                    return;
                }
                _ => self.copy(&mut bytes, &mut at, 1),
            }
        }
        let rest = bytes.len();
        self.copy(&mut bytes, &mut at, rest);
        self.end = end;
    }

    /// Whether `\"` at the front is no escape of a nested document, because that quote stands bare in
    /// the raw bytes: it ends the outer string, and must not be taken for part of a hit.
    fn ends_outer_string(&self, bytes: &[u8], at: &[u64], end: u64) -> bool {
        let after = at.get(2).copied().unwrap_or(end);
        self.plan.fold == Fold::Json
            && self.plan.parent.is_some()
            && bytes.get(1) == Some(&b'"')
            && at.get(1).is_some_and(|quote| after - quote == 1)
    }

    /// Takes `count` bytes as they are.
    fn copy(&mut self, bytes: &mut &[u8], at: &mut &[u64], count: usize) {
        let (plain, rest) = bytes.split_at_checked(count).unwrap_or_default();
        let (plain_at, rest_at) = at.split_at_checked(count).unwrap_or_default();
        self.bytes.extend_from_slice(plain);
        self.at.extend_from_slice(plain_at);
        (*bytes, *at) = (rest, rest_at);
    }

    fn scan(&mut self, nets: &Nets, hits: &mut Vec<Range<u64>>) {
        let (at, end) = (&self.at, self.end);
        let history = at.len().saturating_sub(self.bytes.len());
        nets.scan(&mut self.states, &self.bytes, |stop, length| {
            let stop = history + stop;
            let start = stop.checked_sub(length).and_then(|index| at.get(index)).copied();
            let final_unit = stop.checked_sub(1).and_then(|index| at.get(index)).copied();
            // A value may end within an escape that stands for several bytes: all of it goes.
            let after = at.get(stop..).unwrap_or_default();
            let stop = after.iter().find(|next| Some(**next) != final_unit).copied().unwrap_or(end);
            hits.extend(start.map(|start| start..stop));
        });
    }

    fn floor(&self, nets: &Nets) -> u64 {
        let live = nets.live(&self.states);
        let first = self.at.len().checked_sub(live).and_then(|index| self.at.get(index));
        first.copied().unwrap_or(self.end)
    }

    fn forget_dead(&mut self, nets: &Nets) {
        let dead = self.at.len().saturating_sub(nets.live(&self.states));
        self.at.drain(..dead);
        self.bytes.clear();
    }

    fn unit_around(&self, at: u64) -> Option<&Range<u64>> {
        let index = self.units.partition_point(|unit| unit.start < at);
        self.units.get(index.checked_sub(1)?).filter(|unit| unit.end > at)
    }
}
