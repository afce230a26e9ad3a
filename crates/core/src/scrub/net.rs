//! One automaton with what streaming needs around it: the length of the live prefix of every state,
//! and a filter that skips text in which no pattern can begin.

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};
use zeroize::Zeroizing;

use super::NeedleError;
use super::forms::{Forms, Pattern};

/// One state per net; equal states mean equal futures.
pub(super) type States = [StateID; 2];

/// The nets of one set of needles: the exact forms, and the caseless ones where there are any.
#[derive(Default)]
pub(super) struct Nets(Vec<Net>);

impl Nets {
    /// Builds the nets; without patterns there is nothing to look for.
    pub(super) fn build(forms: &Forms) -> Result<Self, NeedleError> {
        let mut nets = Vec::new();
        for (patterns, ignore_case) in [(&forms.exact, false), (&forms.caseless, true)] {
            if !patterns.is_empty() {
                nets.push(Net::build(patterns, ignore_case)?);
            }
        }
        Ok(Self(nets))
    }

    /// Whether there is nothing to look for.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The states before any byte.
    pub(super) fn start(&self) -> States {
        let mut states = [StateID::default(); 2];
        states.iter_mut().zip(&self.0).for_each(|(state, net)| *state = net.start);
        states
    }

    /// How many of the bytes that led to `states` may be the beginning of a (longer) match.
    pub(super) fn live(&self, states: &States) -> usize {
        self.0.iter().zip(states).map(|(net, state)| net.live(*state)).max().unwrap_or(0)
    }

    /// Steps over `bytes` and calls `hit(end, length)` for what ends at each index.
    pub(super) fn scan(&self, states: &mut States, bytes: &[u8], mut hit: impl FnMut(usize, usize)) {
        for (net, state) in self.0.iter().zip(states) {
            *state = net.scan(*state, bytes, &mut hit);
        }
    }
}

/// An Aho-Corasick automaton that is stepped by hand, so that its state survives chunk borders.
struct Net {
    nfa: NFA,
    start: StateID,
    /// Sorted by state: how many of the last bytes may still grow into a match. Absent means none.
    live: Vec<(StateID, usize)>,
    filter: Filter,
}

impl Net {
    /// Builds the net; `patterns` are non-empty, sorted and distinct.
    fn build(patterns: &[Pattern], ignore_case: bool) -> Result<Self, NeedleError> {
        let nfa = NFA::builder()
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(ignore_case)
            .prefilter(false)
            .dense_depth(1)
            .build(patterns.iter().map(|pattern| pattern.as_slice()))
            .map_err(|_too_many_states| NeedleError::TooLarge)?;
        let start = nfa.start_state(Anchored::No).map_err(|_unsupported| NeedleError::TooLarge)?;
        let live = live_prefixes(&nfa, start, patterns);
        Ok(Self { nfa, start, live, filter: Filter::new(patterns, ignore_case) })
    }

    /// How many of the bytes that led to `state` may be the beginning of a (longer) match.
    fn live(&self, state: StateID) -> usize {
        if state == self.start {
            return 0;
        }
        let found = self.live.binary_search_by_key(&state, |entry| entry.0);
        found.ok().and_then(|index| self.live.get(index)).map_or(0, |entry| entry.1)
    }

    /// Steps over `bytes` and calls `hit(end, length)` for the longest match that ends at each index.
    fn scan(&self, from: StateID, bytes: &[u8], mut hit: impl FnMut(usize, usize)) -> StateID {
        let mut state = from;
        let mut at = 0;
        while at < bytes.len() {
            let mut through = at;
            if state == self.start {
                (at, through) = self.filter.next_window(bytes, at);
            }
            for byte in bytes.get(at..).unwrap_or_default() {
                state = self.nfa.next_state(Anchored::No, state, *byte);
                at += 1;
                if self.nfa.is_special(state) && self.nfa.is_match(state) {
                    hit(at, self.longest(state));
                }
                if state == self.start && at > through {
                    break;
                }
            }
        }
        state
    }

    fn longest(&self, state: StateID) -> usize {
        let matches = 0..self.nfa.match_len(state);
        matches.map(|index| self.nfa.pattern_len(self.nfa.match_pattern(state, index))).max().unwrap_or(0)
    }
}

/// The live prefix of each state: for a state inside a pattern its whole depth, for the end of a
/// pattern that no longer one continues that of its longest suffix.
fn live_prefixes(nfa: &NFA, start: StateID, patterns: &[Pattern]) -> Vec<(StateID, usize)> {
    let step = |state, byte: &u8| nfa.next_state(Anchored::No, state, *byte);
    let mut live = Vec::new();
    for pattern in patterns {
        let mut state = start;
        for (index, byte) in pattern.iter().enumerate().take(pattern.len().saturating_sub(1)) {
            state = step(state, byte);
            live.push((state, index + 1));
        }
    }
    live.sort_unstable();
    live.dedup();
    let mut by_length: Vec<&Pattern> = patterns.iter().collect();
    by_length.sort_by_key(|pattern| pattern.len());
    for pattern in by_length {
        let whole = pattern.iter().fold(start, step);
        let suffix = pattern.iter().skip(1).fold(start, step);
        let of_suffix = live.binary_search_by_key(&suffix, |entry| entry.0).ok();
        let length = of_suffix.and_then(|index| live.get(index)).map_or(0, |entry| entry.1);
        if let Err(place) = live.binary_search_by_key(&whole, |entry| entry.0)
            && length > 0
        {
            live.insert(place, (whole, length));
        }
    }
    live
}

/// Bytes per probe of the filter.
const BLOCK: usize = 3;
/// Longest stretch the filter can skip at once.
const LONGEST_WINDOW: usize = 32;

/// The set of all blocks within the first `window` bytes of any pattern (after Wu and Manber). A
/// block that is not in it proves that no pattern begins in the `window - BLOCK + 1` places before
/// its end, so most text is passed by at one probe per window.
struct Filter {
    /// 0 where a pattern is too short for this to pay.
    window: usize,
    /// Bits set in every byte before hashing, so that letters compare without regard to case.
    mask: u8,
    shift: u32,
    bits: Zeroizing<Vec<u64>>,
}

impl Filter {
    fn new(patterns: &[Pattern], ignore_case: bool) -> Self {
        let shortest = patterns.iter().map(|pattern| pattern.len()).min().unwrap_or(0);
        let window = if shortest > BLOCK { shortest.min(LONGEST_WINDOW) } else { 0 };
        let mask = if ignore_case { 0x20 } else { 0 };
        let wanted = (patterns.len() * window * 32).next_power_of_two().clamp(1 << 10, 1 << 16);
        let bits = Zeroizing::new(vec![0; wanted / 64]);
        let mut filter = Self { window, mask, shift: 32 - wanted.trailing_zeros(), bits };
        for pattern in patterns {
            for block in pattern.get(..window).unwrap_or_default().windows(BLOCK) {
                let slot = filter.slot(block);
                if let Some(word) = filter.bits.get_mut(slot / 64) {
                    *word |= 1 << (slot % 64);
                }
            }
        }
        filter
    }

    fn slot(&self, block: &[u8]) -> usize {
        let folded = block.iter().fold(0_u32, |key, byte| (key << 8) | u32::from(byte | self.mask));
        (folded.wrapping_mul(0x9E37_79B1) >> self.shift) as usize
    }

    fn holds(&self, block: &[u8]) -> bool {
        let slot = self.slot(block);
        self.bits.get(slot / 64).is_some_and(|word| (word >> (slot % 64)) & 1 == 1)
    }

    /// Where to go on stepping, and through which index at least, given that no pattern is under way
    /// at `from`.
    fn next_window(&self, bytes: &[u8], from: usize) -> (usize, usize) {
        if self.window == 0 {
            return (from, bytes.len());
        }
        let mut from = from;
        loop {
            let probe = from + self.window - BLOCK;
            match bytes.get(probe..probe + BLOCK) {
                None => return (from, bytes.len()),
                Some(block) if self.holds(block) => return (from, probe),
                Some(_) => from = probe + 1,
            }
        }
    }
}
