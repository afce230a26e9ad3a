//! Which keys count: those that were given, and those that they handed over to.

use std::collections::BTreeMap;

use gateway_core::audit::{Problem, ProblemKind, SignedAnchor, SignedCheckpoint, SignedHandover};
use gateway_core::ports::Sequence;

use super::signer::PublicKey;

/// The accepted keys, by their ids; each with the last record that it may vouch for, if it has handed over.
#[derive(Debug, Default)]
pub(super) struct KeyChain(BTreeMap<String, (PublicKey, Option<Sequence>)>);

impl KeyChain {
    /// Begins with these keys and follows the handovers. A handover that no accepted key signed, or the
    /// second of one key, ends the following and is a problem.
    pub(super) fn follow(keys: &[PublicKey], handovers: &[SignedHandover]) -> (Self, Option<Problem>) {
        let given = keys.iter().map(|key| (key.key_id(), (key.clone(), None)));
        let mut chain = Self(given.collect());
        for signed in handovers {
            if !chain.accept(signed) {
                let sequence = signed.handover.sequence;
                let problem = Problem { segment: 0, sequence, kind: ProblemKind::HandoverForged };
                return (chain, Some(problem));
            }
        }
        (chain, None)
    }

    fn accept(&mut self, signed: &SignedHandover) -> bool {
        let handover = &signed.handover;
        let Some(next) = PublicKey::decoded(&handover.to) else { return false };
        let Some(former) = PublicKey::decoded(&handover.from) else { return false };
        let Some((key, until)) = self.0.get_mut(&former.key_id()) else { return false };
        if until.is_some() || !key.handed_over(signed) {
            return false;
        }
        *until = Some(handover.sequence);
        self.0.entry(next.key_id()).or_insert((next, None));
        true
    }

    /// Whether an accepted key signed the checkpoint while it was the one that signs.
    pub(super) fn vouches(&self, signed: &SignedCheckpoint) -> Result<(), Problem> {
        let sequence = signed.checkpoint.sequence;
        let kind = match self.0.get(&signed.checkpoint.key_id) {
            None => ProblemKind::CheckpointKeyUnknown,
            Some((key, _)) if !key.signed(signed) => ProblemKind::CheckpointForged,
            Some((_, Some(until))) if sequence > *until => ProblemKind::CheckpointKeyRetired,
            Some(_) => return Ok(()),
        };
        Err(Problem { segment: 0, sequence, kind })
    }

    /// Whether an accepted key signed the anchor.
    pub(super) fn anchors(&self, signed: &SignedAnchor) -> Result<(), Problem> {
        let anchor = &signed.anchor;
        let key = self.0.get(&anchor.key_id);
        let holds = key.is_some_and(|(key, until)| {
            until.is_none_or(|until| anchor.recorded <= until) && key.signed_anchor(signed)
        });
        if holds {
            return Ok(());
        }
        let (segment, sequence) = (anchor.segment, anchor.sequence);
        Err(Problem { segment, sequence, kind: ProblemKind::AnchorForged })
    }
}
