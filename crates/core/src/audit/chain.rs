//! The chain: one JSON line a record, each bound to the line before it by SHA-256.
//!
//! A segment opens with a header line, which is a link like any other: it carries the hash of the last
//! record of the segment before it, and the segment's first record carries the header's. The very first
//! header carries zeros, and its hash comes from the random chain id: no two chains share a link.
//! Lines have one spelling only; a byte that differs anywhere is found.

use std::io::Write;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Event;
use crate::id::Epoch;
use crate::ports::Sequence;

/// Separates record hashes from all other uses of SHA-256. With the fixed fields it fills one block.
const RECORD_DOMAIN: &[u8; 16] = b"mcpgw.audit.rec1";
/// Separates header hashes.
const HEADER_DOMAIN: &[u8; 16] = b"mcpgw.audit.seg1";

/// Reads lower-case hex of exactly `N` bytes: one spelling only, or a changed letter's case would pass.
fn from_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0_u8; N];
    let lower = text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

macro_rules! hex_types {
    ($($(#[$doc:meta])* $name:ident, $bytes:literal, $expected:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Wraps the raw bytes.
            pub const fn new(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The raw bytes.
            pub const fn bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = &'static str;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                from_hex(text.as_bytes()).map(Self).ok_or($expected)
            }
        }
    )+};
}

hex_types! {
    /// Names one chain: 16 random bytes, shown as 32 hex digits.
    ChainId, 16, "not 32 lower-case hex digits";
    /// The hash of one line, shown as 64 hex digits.
    LinkHash, 32, "not 64 lower-case hex digits";
}

impl LinkHash {
    /// What the first header of a chain carries as its predecessor.
    pub const ZERO: Self = Self([0; 32]);
}

/// The end of the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tip {
    /// The last record's number; 0 before the first.
    pub sequence: Sequence,
    /// The last record's hash; zeros before the first.
    pub record: LinkHash,
    /// What the next line carries as its predecessor: the last record's hash, or the header's after one.
    pub link: LinkHash,
}

impl Tip {
    /// Before the first header.
    pub const START: Self = Self { sequence: Sequence(0), record: LinkHash::ZERO, link: LinkHash::ZERO };
}

/// The first line of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The segment's number, from 1.
    pub segment: u64,
    /// The chain.
    pub chain: ChainId,
    /// The number of the segment's first record.
    pub first: Sequence,
    /// The highest epoch that any record before it names.
    pub epoch: Epoch,
    /// No record before this one is an intent that was still open when the segment began.
    pub open_from: Sequence,
    /// The hash of the last line of the segment before it.
    pub prev: LinkHash,
}

/// [`Header`] as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine {
    segment: u64,
    chain: ChainId,
    first: Sequence,
    epoch: Epoch,
    open_from: Sequence,
    prev: LinkHash,
    #[serde(rename = "hash")]
    _hash: LinkHash,
}

impl Header {
    /// SHA-256 over the domain and every field at a fixed width.
    pub fn hash(&self) -> LinkHash {
        let digest = Sha256::new()
            .chain_update(HEADER_DOMAIN)
            .chain_update(self.segment.to_be_bytes())
            .chain_update(self.chain.bytes())
            .chain_update(self.first.0.to_be_bytes())
            .chain_update(self.epoch.0.to_be_bytes())
            .chain_update(self.open_from.0.to_be_bytes())
            .chain_update(self.prev.bytes());
        LinkHash(digest.finalize().into())
    }

    /// The line, with its newline.
    pub fn line(&self) -> String {
        let Self { segment, chain, first: Sequence(first), epoch, open_from: Sequence(open), prev } = self;
        let hash = self.hash();
        format!(
            "{{\"segment\":{segment},\"chain\":\"{chain}\",\"first\":{first},\"epoch\":{epoch},\
             \"open_from\":{open},\"prev\":\"{prev}\",\"hash\":\"{hash}\"}}\n"
        )
    }

    /// Reads a line without its newline; nothing where it is not exactly what [`Header::line`] writes.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let HeaderLine { segment, chain, first, epoch, open_from, prev, _hash } =
            serde_json::from_slice(line).ok()?;
        let header = Self { segment, chain, first, epoch, open_from, prev };
        (header.line().as_bytes().strip_suffix(b"\n") == Some(line)).then_some(header)
    }
}

/// A record's line taken apart, its event still as written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'l> {
    /// Its number.
    pub sequence: Sequence,
    /// The hash of the line before it.
    pub prev: LinkHash,
    /// The event's exact bytes, JSON.
    pub event: &'l [u8],
    /// Its own hash, as it claims.
    pub hash: LinkHash,
}

impl<'l> Record<'l> {
    /// Takes a line without its newline apart; nothing where it is not spelled as [`append`] spells.
    /// Does not check the hash.
    pub fn parse(line: &'l [u8]) -> Option<Self> {
        let rest = line.strip_prefix(b"{\"seq\":")?;
        let (digits, rest) = rest.split_at_checked(rest.iter().position(|byte| *byte == b',')?)?;
        let canonical = digits.first() != Some(&b'0') && digits.iter().all(u8::is_ascii_digit);
        let sequence = std::str::from_utf8(digits).ok()?.parse().ok().filter(|_| canonical)?;
        let (prev, rest) = rest.strip_prefix(b",\"prev\":\"")?.split_at_checked(64)?;
        let rest = rest.strip_prefix(b"\",\"event\":")?.strip_suffix(b"\"}")?;
        let (rest, hash) = rest.split_at_checked(rest.len().checked_sub(64)?)?;
        let event = rest.strip_suffix(b",\"hash\":\"")?;
        Some(Self {
            sequence: Sequence(sequence),
            prev: LinkHash(from_hex(prev)?),
            event,
            hash: LinkHash(from_hex(hash)?),
        })
    }

    /// Whether its hash is the hash of what it says.
    pub fn is_whole(&self) -> bool {
        record_hash(self.sequence, &self.prev, self.event) == self.hash
    }

    /// Reads the event.
    ///
    /// # Errors
    /// The bytes are no event that this version knows.
    pub fn event(&self) -> Result<Event, serde_json::Error> {
        serde_json::from_slice(self.event)
    }
}

/// Appends the event's line, newline included, to `buffer`, and gives the new end of the chain. The
/// buffer is as it was where this fails.
///
/// # Errors
/// The event cannot be written as JSON; no event of ours can fail so.
pub fn append(tip: &Tip, event: &Event, buffer: &mut Vec<u8>) -> Result<Tip, serde_json::Error> {
    let before = buffer.len();
    write_record(tip, event, buffer).inspect_err(|_| buffer.truncate(before))
}

fn write_record(tip: &Tip, event: &Event, buffer: &mut Vec<u8>) -> Result<Tip, serde_json::Error> {
    let sequence = Sequence(tip.sequence.0.saturating_add(1));
    buffer.extend_from_slice(b"{\"seq\":");
    write!(buffer, "{}", sequence.0).map_err(serde_json::Error::io)?;
    buffer.extend_from_slice(b",\"prev\":\"");
    push_hex(&tip.link, buffer);
    buffer.extend_from_slice(b"\",\"event\":");
    let from = buffer.len();
    serde_json::to_writer(&mut *buffer, event)?;
    let hash = record_hash(sequence, &tip.link, buffer.get(from..).unwrap_or_default());
    buffer.extend_from_slice(b",\"hash\":\"");
    push_hex(&hash, buffer);
    buffer.extend_from_slice(b"\"}\n");
    Ok(Tip { sequence, record: hash, link: hash })
}

/// SHA-256 over domain, number, predecessor, length and bytes of the event: no two inputs read alike.
fn record_hash(sequence: Sequence, prev: &LinkHash, event: &[u8]) -> LinkHash {
    let length = u64::try_from(event.len()).unwrap_or(u64::MAX);
    let digest = Sha256::new()
        .chain_update(RECORD_DOMAIN)
        .chain_update(sequence.0.to_be_bytes())
        .chain_update(prev.bytes())
        .chain_update(length.to_be_bytes())
        .chain_update(event);
    LinkHash(digest.finalize().into())
}

fn push_hex(hash: &LinkHash, buffer: &mut Vec<u8>) {
    let mut text = [0_u8; 64];
    if hex::encode_to_slice(hash.bytes(), &mut text).is_ok() {
        buffer.extend_from_slice(&text);
    }
}

#[cfg(test)]
mod tests;
