//! A revocation that was decided and has no document yet.

use serde::{Deserialize, Serialize};

use super::RevocationSubject;
use crate::id::{Epoch, OperatorName};
use crate::lifecycle::Reach;
use crate::time::Timestamp;

/// What is needed to carry a revocation to its end and to write its document. It is written with the decision, in one
/// transaction, and struck out when the document is kept: a process that dies in between leaves it to the next one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationRequest {
    /// The public id that the revocation's documents will have.
    pub id: String,
    /// What is revoked.
    pub subject: RevocationSubject,
    /// Who asked.
    pub requested_by: OperatorName,
    /// When.
    pub requested_at: Timestamp,
    /// The epoch from which it holds.
    pub epoch: Epoch,
    /// What is to be ended.
    pub reach: Reach,
    /// How many agent tokens ended with it.
    pub tokens: u32,
}
