//! A checkpoint: the gateway's signed word on where the chain stood. One that left the host anchors
//! everything before it: the chain can no longer be cut or re-made up to there without being found.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::chain::{ChainId, LinkHash};
use crate::id::Epoch;
use crate::ports::Sequence;
use crate::time::Timestamp;

/// Separates what is signed here from all other uses of the key.
const DOMAIN: &[u8; 16] = b"mcpgw.audit.ckp1";

/// Where the chain stood.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The chain.
    pub chain: ChainId,
    /// Its last record.
    pub sequence: Sequence,
    /// That record's hash.
    pub hash: LinkHash,
    /// The highest epoch that any record up to there names: a restored state below it is stale.
    pub epoch: Epoch,
    /// When it was signed.
    pub time: Timestamp,
    /// The key: RFC 7638 thumbprint of its public half.
    pub key_id: String,
}

impl Checkpoint {
    /// The bytes that are signed: domain, fixed-width fields, then the key id with its length.
    pub fn canonical(&self) -> Vec<u8> {
        let key_length = u64::try_from(self.key_id.len()).unwrap_or(u64::MAX);
        let mut bytes = Vec::with_capacity(96 + self.key_id.len());
        bytes.extend_from_slice(DOMAIN);
        bytes.extend_from_slice(self.chain.bytes());
        bytes.extend_from_slice(&self.sequence.0.to_be_bytes());
        bytes.extend_from_slice(self.hash.bytes());
        bytes.extend_from_slice(&self.epoch.0.to_be_bytes());
        bytes.extend_from_slice(&self.time.micros().to_be_bytes());
        bytes.extend_from_slice(&key_length.to_be_bytes());
        bytes.extend_from_slice(self.key_id.as_bytes());
        bytes
    }

    /// Signs it with whatever holds the key.
    pub fn sign(self, signature: impl FnOnce(&[u8]) -> [u8; 64]) -> SignedCheckpoint {
        let signature = Signature(signature(&self.canonical()));
        SignedCheckpoint { checkpoint: self, signature }
    }
}

/// An Ed25519 signature (RFC 8032), shown as base64url without padding.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Signature([u8; 64]);

impl Signature {
    /// Wraps the raw bytes.
    pub const fn new(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    pub const fn bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl From<Signature> for String {
    fn from(signature: Signature) -> Self {
        URL_SAFE_NO_PAD.encode(signature.0)
    }
}

impl TryFrom<String> for Signature {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| "not base64url")?;
        bytes.try_into().map(Self).map_err(|_| "an Ed25519 signature has 64 bytes")
    }
}

/// A checkpoint and its signature; one JSON line in `checkpoints.jsonl` and at the sink.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedCheckpoint {
    /// What is signed.
    pub checkpoint: Checkpoint,
    /// Over [`Checkpoint::canonical`].
    pub signature: Signature,
}

impl SignedCheckpoint {
    /// Every checkpoint line begins so, and no other line of ours does.
    pub const PREFIX: &'static [u8] = b"{\"checkpoint\":";

    /// Whether `verify`, given the signed bytes and the signature, accepts it.
    pub fn holds(&self, verify: impl FnOnce(&[u8], &[u8]) -> bool) -> bool {
        verify(&self.checkpoint.canonical(), &self.signature.0)
    }

    /// The line, with its newline.
    ///
    /// # Errors
    /// Cannot happen for what this type holds; JSON is written through serde all the same.
    pub fn line(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

#[cfg(test)]
mod tests;
