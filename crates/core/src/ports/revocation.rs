//! The records of revocations, who takes back what outside parties hold, and who signs the documents.

use std::fmt;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::StateError;
use crate::audit::Event;
use crate::refusal::Refusal;
use crate::revocation::{Attempt, Return, RevocationRequest, SignedRevocation};
use crate::time::Timestamp;

/// What revocations leave behind, shared by all replicas: what goes back to outside parties, and the signed
/// documents. Not part of the state: it moves no epoch. Nothing in it can hold a token.
#[async_trait]
pub trait Revocations: Send + Sync + fmt::Debug {
    /// Files what goes back. One of the same id is brought up to date and stays with its revocation.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn file(&self, returns: &[Return]) -> Result<(), StateError> {
        self.settle(returns, &[], Vec::new()).await
    }

    /// Files what goes back as it is now, strikes out what needs to go back no more (unless it is the evidence of a
    /// revocation), and files the events in the outbox: a crash leaves all of it or nothing.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn settle(
        &self,
        returns: &[Return],
        dropped: &[String],
        evidence: Vec<Event>,
    ) -> Result<(), StateError>;

    /// The one of this id.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn filed(&self, id: &str) -> Result<Option<Return>, StateError>;

    /// What something is to be done about by now, the longest due first.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<Return>, StateError>;

    /// What belongs to no revocation yet.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn unassigned(&self) -> Result<Vec<Return>, StateError>;

    /// Makes it the evidence of a revocation, where it is of none yet.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn assign(&self, ids: &[String], revocation: &str) -> Result<(), StateError>;

    /// Everything that went back in the course of a revocation, the oldest first.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn returns_of(&self, revocation: &str) -> Result<Vec<Return>, StateError>;

    /// Keeps a signed document; `false` where there is one of this revocation and serial. In the same step it files
    /// the document's evidence in the outbox and strikes out that it was asked for: a crash leaves all of it or
    /// nothing.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn keep(&self, signed: &SignedRevocation, evidence: Event) -> Result<bool, StateError>;

    /// Every document of a revocation, the first one first.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn documents(&self, revocation: &str) -> Result<Vec<SignedRevocation>, StateError>;

    /// The newest document of each revocation, the latest revocation first; only those after the one of this time
    /// and id, where one is named.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn newest(
        &self,
        after: Option<(Timestamp, &str)>,
        limit: u32,
    ) -> Result<Vec<SignedRevocation>, StateError>;

    /// The revocations that were decided and have no document yet, the longest asked for first.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn asked(&self, limit: u32) -> Result<Vec<RevocationRequest>, StateError>;

    /// Strikes out one that gets no document of its own, for an earlier one goes on; one that is gone already is no
    /// mistake.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn answered(&self, id: &str) -> Result<(), StateError>;

    /// Deletes what is done with, belongs to no revocation and was filed before; says how many.
    ///
    /// # Errors
    /// See [`StateError`].
    async fn forget_returns(&self, before: Timestamp) -> Result<u64, StateError>;
}

/// Asks outside parties to take back what was filed.
#[async_trait]
pub trait TakesBack: Send + Sync + fmt::Debug {
    /// Asks once more; says what became of it.
    async fn take_back(&self, one: &Return) -> Attempt;

    /// Nobody is asked about it any more: drops what was kept for that.
    async fn let_go(&self, one: &Return);

    /// Files what could not be filed when it ended.
    async fn settle(&self);
}

/// Signs the gateway's own documents.
pub trait DocumentSigner: Send + Sync + fmt::Debug {
    /// Signs what a revocation ended: a compact JWS (RFC 7515, section 3.1).
    ///
    /// # Errors
    /// [`Code::Internal`](crate::refusal::Code::Internal) where no key signs.
    fn sign_revocation(&self, claims: &Map<String, Value>) -> Result<String, Refusal>;
}
