//! An anchor: the gateway's signed word on which segments it removed, so that what is left still proves
//! itself. The chain then begins at the anchor instead of at its first header.

use serde::{Deserialize, Serialize};

use super::chain::{ChainId, LinkHash};
use super::checkpoint::Signature;
use crate::ports::Sequence;
use crate::time::Timestamp;

/// Separates what is signed here from all other uses of the key.
const DOMAIN: &[u8; 16] = b"mcpgw.audit.anc1";

/// Everything up to here was removed on purpose.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The chain.
    pub chain: ChainId,
    /// The last segment removed.
    pub segment: u64,
    /// Its last record: as many records were removed since the chain's beginning.
    pub sequence: Sequence,
    /// That record's hash: the next segment's header carries it as its predecessor.
    pub hash: LinkHash,
    /// The record in which the chain itself says so; written before anything was removed.
    pub recorded: Sequence,
    /// When it was signed.
    pub time: Timestamp,
    /// The key: RFC 7638 thumbprint of its public half.
    pub key_id: String,
}

impl Anchor {
    /// The bytes that are signed: domain, fixed-width fields, then the key id with its length.
    pub fn canonical(&self) -> Vec<u8> {
        let key_length = u64::try_from(self.key_id.len()).unwrap_or(u64::MAX);
        let mut bytes = Vec::with_capacity(112 + self.key_id.len());
        bytes.extend_from_slice(DOMAIN);
        bytes.extend_from_slice(self.chain.bytes());
        bytes.extend_from_slice(&self.segment.to_be_bytes());
        bytes.extend_from_slice(&self.sequence.0.to_be_bytes());
        bytes.extend_from_slice(self.hash.bytes());
        bytes.extend_from_slice(&self.recorded.0.to_be_bytes());
        bytes.extend_from_slice(&self.time.micros().to_be_bytes());
        bytes.extend_from_slice(&key_length.to_be_bytes());
        bytes.extend_from_slice(self.key_id.as_bytes());
        bytes
    }

    /// Signs it with whatever holds the key.
    pub fn sign(self, signature: impl FnOnce(&[u8]) -> [u8; 64]) -> SignedAnchor {
        let signature = Signature::new(signature(&self.canonical()));
        SignedAnchor { anchor: self, signature }
    }
}

/// An anchor and its signature; one JSON line in `anchors.jsonl`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedAnchor {
    /// What is signed.
    pub anchor: Anchor,
    /// Over [`Anchor::canonical`].
    pub signature: Signature,
}

impl SignedAnchor {
    /// Whether `verify`, given the signed bytes and the signature, accepts it.
    pub fn holds(&self, verify: impl FnOnce(&[u8], &[u8]) -> bool) -> bool {
        verify(&self.anchor.canonical(), self.signature.bytes())
    }
}
