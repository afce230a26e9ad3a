//! One object with all of its revisions, and what each of them changed.

use axum::extract::{Path, State};
use axum::response::Response;
use gateway_core::id::{EnvironmentName, OperatorName, Revision};
use gateway_core::lifecycle::{FieldChange, Requirement, field_changes, pending, rule, still_missing};
use gateway_core::manifest::Spec;
use gateway_core::state::{Approval, Lifecycle, RevisionRecord, State as Objects};
use gateway_core::time::Timestamp;
use serde::Serialize;

use super::binding::visible;
use super::{ObjectPath, Shared, object_key};
use crate::auth::Caller;
use crate::context::ControlContext;
use crate::entity::{EntityTag, IfNoneMatch};
use crate::masking::shown;
use crate::problem::Problem;

#[derive(Serialize)]
struct Whole<'a> {
    kind: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a EnvironmentName>,
    revision: Revision,
    status: Lifecycle,
    author: &'a OperatorName,
    approvals: &'a [Approval],
    spec: &'a Spec,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<Waiting<'a>>,
    /// Every revision, the newest first.
    history: Vec<Past<'a>>,
}

/// A revision that waits for signatures.
#[derive(Serialize)]
pub(super) struct Waiting<'a> {
    revision: Revision,
    author: &'a OperatorName,
    created_at: Timestamp,
    spec: &'a Spec,
    approvals: &'a [Approval],
    missing: Vec<Requirement>,
    /// What it changes against the standing revision; empty where there is none.
    changes: Vec<FieldChange>,
}

#[derive(Serialize)]
struct Past<'a> {
    revision: Revision,
    status: Lifecycle,
    author: &'a OperatorName,
    created_at: Timestamp,
    changed_at: Timestamp,
    approvals: &'a [Approval],
    spec: &'a Spec,
    /// What it changed against the revision before it.
    changes: Vec<FieldChange>,
}

impl<'a> Waiting<'a> {
    pub(super) fn of(state: &'a Objects, context: &ControlContext, record: &'a RevisionRecord) -> Self {
        let standing = state.standing(&record.key);
        Self {
            revision: record.revision,
            author: &record.author,
            created_at: record.created_at,
            spec: &record.spec,
            approvals: &record.approvals,
            missing: still_missing(state, &context.stores, record),
            changes: standing.map(|before| field_changes(&before.spec, &record.spec)).unwrap_or_default(),
        }
    }
}

/// One object of any kind: what stands, what waits, and every revision with what it changed. `-` stands for no
/// environment.
#[utoipa::path(get, path = "/v1/objects/{kind}/{environment}/{name}", tag = "objects",
    params(("kind" = String, Path), ("environment" = String, Path), ("name" = String, Path)),
    security(("bearer" = [])), responses(
    (status = 200, description = "The object with its `history`", body = Value),
    (status = 404, description = "No such object", body = Value)))]
pub(crate) async fn show(
    State(context): Shared,
    caller: Caller,
    unless: IfNoneMatch,
    Path((kind, environment, name)): ObjectPath,
) -> Result<Response, Problem> {
    let key = object_key(&kind, &environment, name)?;
    let state = context.state.load().await?;
    let record = visible(&state, &key, &caller)?;
    let revisions: Vec<&RevisionRecord> = state.history(&key).collect();
    let earlier = std::iter::once(None).chain(revisions.iter().copied().map(Some));
    let mut history: Vec<Past<'_>> =
        revisions.iter().zip(earlier).map(|(one, before)| past(one, before)).collect();
    history.reverse();
    let whole = Whole {
        kind: key.kind.word(),
        name: &record.key.name,
        environment: record.key.environment.as_ref(),
        revision: record.revision,
        status: record.status,
        author: &record.author,
        approvals: &record.approvals,
        spec: &record.spec,
        pending: pending(&state, &key).map(|waiting| Waiting::of(&state, &context, waiting)),
        history,
    };
    let unknown = || Problem::about(&rule::OBJECT_UNKNOWN, &key, "no such object");
    let tag = EntityTag::of_object(&state, &key).ok_or_else(unknown)?;
    Ok(tag.answer(&unless, &shown(&whole, context.presentation.covers(&caller.0, &record.spec))))
}

fn past<'a>(one: &'a RevisionRecord, before: Option<&RevisionRecord>) -> Past<'a> {
    Past {
        revision: one.revision,
        status: one.status,
        author: &one.author,
        created_at: one.created_at,
        changed_at: one.changed_at,
        approvals: &one.approvals,
        spec: &one.spec,
        changes: before.map(|before| field_changes(&before.spec, &one.spec)).unwrap_or_default(),
    }
}
