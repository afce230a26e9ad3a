//! A handover: the key that signed checkpoints so far names the one that signs from now on. Whoever
//! holds the first public key can follow to the newest, and knows where each key's word ends.

use serde::{Deserialize, Serialize};

use super::chain::ChainId;
use super::checkpoint::Signature;
use crate::ports::Sequence;
use crate::time::Timestamp;

/// Separates what is signed here from all other uses of the key.
const DOMAIN: &[u8; 16] = b"mcpgw.audit.key1";

/// One key hands over to the next.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handover {
    /// The chain.
    pub chain: ChainId,
    /// The last record that the former key may vouch for.
    pub sequence: Sequence,
    /// The former public key, base64url without padding (the `x` of RFC 8037).
    pub from: String,
    /// The next public key, spelled alike.
    pub to: String,
    /// When.
    pub time: Timestamp,
}

impl Handover {
    /// The bytes that are signed: domain, fixed-width fields, then both keys with their lengths.
    pub fn canonical(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(160);
        bytes.extend_from_slice(DOMAIN);
        bytes.extend_from_slice(self.chain.bytes());
        bytes.extend_from_slice(&self.sequence.0.to_be_bytes());
        bytes.extend_from_slice(&self.time.micros().to_be_bytes());
        for key in [&self.from, &self.to] {
            bytes.extend_from_slice(&u64::try_from(key.len()).unwrap_or(u64::MAX).to_be_bytes());
            bytes.extend_from_slice(key.as_bytes());
        }
        bytes
    }

    /// Signs it with whatever holds the former key.
    pub fn sign(self, signature: impl FnOnce(&[u8]) -> [u8; 64]) -> SignedHandover {
        let signature = Signature::new(signature(&self.canonical()));
        SignedHandover { handover: self, signature }
    }
}

/// A handover and the former key's signature; one JSON line in `checkpoint-keys.jsonl`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHandover {
    /// What is signed.
    pub handover: Handover,
    /// Over [`Handover::canonical`].
    pub signature: Signature,
}

impl SignedHandover {
    /// Whether `verify`, given the signed bytes and the signature, accepts it.
    pub fn holds(&self, verify: impl FnOnce(&[u8], &[u8]) -> bool) -> bool {
        verify(&self.handover.canonical(), self.signature.bytes())
    }
}
