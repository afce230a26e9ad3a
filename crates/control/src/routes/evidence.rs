//! The evidence of a revocation: collected, signed, told.

use std::time::Duration;

use gateway_core::audit::{Ended, EventKind};
use gateway_core::id::{Epoch, OperatorName};
use gateway_core::lifecycle::Reach;
use gateway_core::manifest::Kind;
use gateway_core::ports::{Sequence, StateError};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::revocation::{
    Called, DocumentAudit, OutsideEnd, Return, RevocationDocument, RevocationStatus, RevocationSubject,
    SignedRevocation, ThingEnded,
};
use gateway_core::time::Timestamp;
use serde::Serialize;

use crate::context::ControlContext;
use crate::ports::{AuditOrder, AuditQuery};

/// How long the audit log is searched for the first and the last call.
const SEARCHING: Duration = Duration::from_secs(3);

/// How far the clocks of replicas may differ: what another one filed a moment before by its clock counts.
const SKEW: Duration = Duration::from_secs(5);

/// What is known of a revocation when everything here has ended.
pub(super) struct Facts {
    /// The public id of its documents.
    pub(super) id: String,
    pub(super) requested_by: OperatorName,
    pub(super) subject: RevocationSubject,
    pub(super) reach: Reach,
    pub(super) things: Vec<ThingEnded>,
    pub(super) ended: Ended,
    pub(super) requested_at: Timestamp,
    pub(super) ended_at: Timestamp,
    pub(super) epoch: Epoch,
    pub(super) decided: Option<Sequence>,
    pub(super) completed: Option<Sequence>,
    pub(super) pending: bool,
    pub(super) replicas: Vec<String>,
}

/// What the answer says of the document.
#[derive(Serialize)]
pub(super) struct Told {
    pub(super) id: String,
    serial: u32,
    status: RevocationStatus,
    /// Things outside that may still open doors.
    outstanding: usize,
    /// The compact JWS.
    document: String,
}

impl Told {
    pub(super) fn of(signed: SignedRevocation) -> Self {
        let outside = signed.document().map(|document| document.outside).unwrap_or_default();
        let outstanding = outside.iter().filter(|end| end.state.is_open()).count();
        let SignedRevocation { id, serial, status, jws, .. } = signed;
        Self { id, serial, status, outstanding, document: jws }
    }
}

/// Signs and keeps the document; absent where that fails, which the log tells: the revocation holds all the same.
pub(super) async fn tell(context: &ControlContext, facts: Facts) -> Option<Told> {
    match write(context, facts).await {
        Ok(signed) => Some(Told::of(signed)),
        Err(refusal) => {
            tracing::error!(inside = refusal.inside().unwrap_or(""), "a revocation has no signed document");
            None
        }
    }
}

async fn write(context: &ControlContext, facts: Facts) -> Result<SignedRevocation, Refusal> {
    let id = facts.id.clone();
    let outside = collect(context, &id, &facts).await.map_err(unavailable)?;
    let (first_call, last_call) = calls(context, &facts.subject).await;
    let document = RevocationDocument {
        iss: context.documents.issuer.clone(),
        jti: format!("{id}.1"),
        iat: context.now().seconds(),
        revocation: id,
        serial: 1,
        previous: None,
        status: RevocationStatus::of(&outside),
        subject: facts.subject,
        requested_by: facts.requested_by,
        requested_at: facts.requested_at,
        ended_at: facts.ended_at,
        epoch: facts.epoch,
        ended: facts.ended,
        things: facts.things,
        outside,
        first_call,
        last_call,
        audit: DocumentAudit { decided: facts.decided, completed: facts.completed, pending: facts.pending },
        replicas: facts.replicas,
    };
    let signed = context.documents.write(&document).await?;
    // What was settled while the document was being written.
    let newest = context.documents.advance(&signed.id).await?;
    Ok(newest.unwrap_or(signed))
}

/// Makes everything that went back in the course of it its evidence: also what an earlier `disable` left open.
async fn collect(context: &ControlContext, id: &str, facts: &Facts) -> Result<Vec<OutsideEnd>, StateError> {
    let records = &context.documents.records;
    let since = facts.requested_at.micros().saturating_sub(i64::try_from(SKEW.as_micros()).unwrap_or(0));
    let ours = |one: &Return| {
        let fresh = one.filed_at.micros() >= since;
        covers(&facts.reach, one) && (fresh || one.state.is_open())
    };
    let mut filed = records.unassigned().await?;
    filed.retain(ours);
    let ids: Vec<String> = filed.iter().map(|one| one.id.clone()).collect();
    records.assign(&ids, id).await?;
    // Every replica has ended its own by now: what still stands was a dead process's, and goes back.
    let now = context.now();
    filed.retain(Return::stands);
    filed.iter_mut().for_each(|one| one.due_at = Some(now));
    if !filed.is_empty() {
        records.file(&filed).await?;
    }
    Ok(records.returns_of(id).await?.iter().map(OutsideEnd::from).collect())
}

fn covers(reach: &Reach, one: &Return) -> bool {
    let subject = &one.subject;
    if let Some(grant) = &subject.grant {
        return reach.grants.iter().any(|(reached, _)| reached.id == *grant);
    }
    let agent = reach.agent.is_some() && subject.agent == reach.agent;
    agent || subject.binding.as_ref().is_some_and(|binding| reach.has_binding(&subject.environment, binding))
}

/// The first and the last use, where the audit log can be asked for them.
async fn calls(context: &ControlContext, subject: &RevocationSubject) -> (Option<Called>, Option<Called>) {
    let mut query = AuditQuery { kind: Some(EventKind::Intent), limit: Some(1), ..AuditQuery::default() };
    query.environment = subject.environment.as_ref().map(ToString::to_string);
    let name = Some(subject.name.clone());
    match Kind::from_word(&subject.kind) {
        Some(Kind::Binding) => query.binding = name,
        Some(Kind::Server) => query.server = name,
        Some(Kind::Environment) => query.environment = name,
        Some(Kind::Agent) => query.agent = name,
        Some(Kind::Workload) => query.workload = name,
        _ => return (None, None),
    }
    let first = AuditQuery { order: AuditOrder::OldestFirst, ..query.clone() };
    let last = AuditQuery { order: AuditOrder::NewestFirst, ..query };
    futures::join!(called(context, first), called(context, last))
}

async fn called(context: &ControlContext, query: AuditQuery) -> Option<Called> {
    let found = tokio::time::timeout(SEARCHING, context.audit_reader.search(&query)).await.ok()?.ok()?;
    let entry = found.records.first()?;
    Some(Called { sequence: entry.sequence, time: entry.event.time })
}

fn unavailable(error: StateError) -> Refusal {
    Refusal::new(Code::StateStale).because(error)
}
