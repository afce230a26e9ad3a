//! Revocations as evidence: what goes back to outside parties, and the one document that says what was ended
//! (issue 5, point 4). "Revoked" is never claimed for what only stopped here.

mod document;
mod request;
mod returns;

pub use document::{
    Called, DocumentAudit, OutsideEnd, RevocationDocument, RevocationStatus, RevocationSubject,
    SignedRevocation, ThingEnded,
};
pub use request::RevocationRequest;
pub use returns::{Attempt, MOST_REFUSALS, Return, ReturnKind, ReturnState, ReturnSubject, Way};
