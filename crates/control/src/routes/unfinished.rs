//! What is left of a revocation after its decision: ended, waited for, given back, told.

use gateway_core::audit::{Ended, EventKind};
use gateway_core::manifest::{Kind, ObjectKey};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::revocation::RevocationRequest;
use gateway_core::state::Lifecycle;

use super::ending::{END_DEADLINE, completed, decided_sequence, give_back, stop, told_sequence};
use super::evidence::{Facts, tell};
use crate::context::ControlContext;
use crate::problem::Problem;

/// Carries it to its end and writes its document; what was done before is done again, and finds nothing left to do.
pub(crate) async fn finish(context: &ControlContext, request: &RevocationRequest) -> Result<(), Problem> {
    let records = &context.documents.records;
    if !records.documents(&request.id).await?.is_empty() {
        // An older gateway died between keeping the document and striking this out.
        return Ok(records.answered(&request.id).await?);
    }
    let (things, _) = Box::pin(stop(context, &request.reach, Some(request.epoch))).await?;
    let mut ended = things.iter().fold(Ended::default(), |sum, thing| sum.plus(thing.ended));
    ended.tokens = ended.tokens.saturating_add(request.tokens);
    let replicas = context.everywhere(Some(request.epoch), END_DEADLINE).await?;
    Box::pin(give_back(context, &request.requested_by, &request.reach)).await;
    let ended_at = context.now();
    let (by, subject) = (&request.requested_by, &request.subject);
    let (mut decided, mut last) = (None, None);
    let object = key(request);
    if let (Some(key), Some(revision)) = (&object, subject.revision) {
        let (done, status) = (EventKind::RevocationCompleted, Lifecycle::Revoked);
        decided = decided_sequence(context, key, status, revision).await;
        last = told_sequence(context, done, key, status, revision).await;
        if last.is_none() {
            last = context.evidence(completed(Some(by), key, revision, ended, (status, ended_at))).await;
        }
    }
    let pending = object.is_some() && (decided.is_none() || last.is_none());
    let facts = Facts {
        id: request.id.clone(),
        requested_by: by.clone(),
        subject: subject.clone(),
        reach: request.reach.clone(),
        things,
        ended,
        requested_at: request.requested_at,
        ended_at,
        epoch: request.epoch,
        decided,
        completed: last,
        pending,
        replicas,
    };
    match Box::pin(tell(context, facts)).await {
        Some(_) => Ok(()),
        None => Err(Problem::not_published(&Refusal::new(Code::StateStale))),
    }
}

/// The object that was revoked; a grant is none.
fn key(request: &RevocationRequest) -> Option<ObjectKey> {
    let kind = Kind::from_word(&request.subject.kind)?;
    Some(ObjectKey {
        kind,
        environment: request.subject.environment.clone(),
        name: request.subject.name.clone(),
    })
}
