//! The documents of revocations: signed, kept, and followed by another one when something outside has come to its
//! end.

use std::sync::Arc;

use gateway_core::audit::{Event, EventKind};
use gateway_core::id::Epoch;
use gateway_core::manifest::ContentHash;
use gateway_core::ports::{DocumentSigner, Publisher, Revocations, StateError};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::revocation::{OutsideEnd, RevocationDocument, SignedRevocation};
use gateway_core::time::Clock;

/// How often a document is written anew because another replica was faster.
const TRIES: usize = 5;

/// Signs and keeps documents.
#[derive(Clone, Debug)]
pub struct Documents {
    /// Where they are kept, with what goes back to outside parties.
    pub records: Arc<dyn Revocations>,
    /// Who signs them.
    pub signer: Arc<dyn DocumentSigner>,
    /// Brings their evidence from the outbox into the chain.
    pub publisher: Arc<dyn Publisher>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who they are from: the gateway's public URL.
    pub issuer: String,
}

impl Documents {
    /// Signs and keeps a document together with its evidence. That is in the chain when this answers; where the chain
    /// cannot be written now, it waits in the outbox.
    ///
    /// # Errors
    /// No key signs, the records do not answer, or there is such a document already.
    pub async fn write(&self, document: &RevocationDocument) -> Result<SignedRevocation, Refusal> {
        let jws = self.signer.sign_revocation(&document.claims())?;
        let signed = SignedRevocation::of(document, jws);
        let evidence = about(document, &signed, &*self.clock);
        if !self.records.keep(&signed, evidence).await.map_err(unavailable)? {
            return Err(unavailable(StateError::Conflict));
        }
        // Any state will do: it is about the outbox.
        if let Err(refusal) = self.publisher.publish(Epoch::default()).await {
            let inside = refusal.inside().unwrap_or("");
            tracing::error!(inside, "the evidence of a revocation's document waits in the outbox");
        }
        Ok(signed)
    }

    /// Writes the next document of a revocation where something that went back has changed its state; gives the
    /// newest one.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn advance(&self, revocation: &str) -> Result<Option<SignedRevocation>, Refusal> {
        for _ in 0..TRIES {
            let newest = self.records.documents(revocation).await.map_err(unavailable)?.pop();
            let Some(newest) = newest else { return Ok(None) };
            let Some(document) = newest.document() else {
                return Err(Refusal::new(Code::Internal).because("a kept document cannot be read"));
            };
            let returns = self.records.returns_of(revocation).await.map_err(unavailable)?;
            let outside = returns.iter().map(OutsideEnd::from).collect();
            let Some(next) = document.next(outside, &newest.jws, self.clock.now()) else {
                return Ok(Some(newest));
            };
            match self.write(&next).await {
                Ok(signed) => return Ok(Some(signed)),
                Err(refusal) if is_conflict(&refusal) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Err(unavailable(StateError::Conflict))
    }
}

fn about(document: &RevocationDocument, signed: &SignedRevocation, clock: &dyn Clock) -> Event {
    let mut event = Event::new(EventKind::RevocationSigned, clock.now());
    event.operator = Some(document.requested_by.clone());
    event.environment.clone_from(&document.subject.environment);
    event.revocation = Some(format!("{}.{}", signed.id, signed.serial));
    event.content = ContentHash::try_from(SignedRevocation::hash_of(&signed.jws)).ok();
    event.status = Some(signed.status.word().to_owned());
    event.ended = Some(document.ended);
    event
}

fn unavailable(error: StateError) -> Refusal {
    Refusal::new(Code::StateStale).because(error)
}

fn is_conflict(refusal: &Refusal) -> bool {
    refusal.inside() == Some(StateError::Conflict.to_string().as_str())
}
