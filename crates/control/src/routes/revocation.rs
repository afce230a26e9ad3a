//! Revocations: of servers and environments, and the signed documents of all.

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use gateway_core::id::{EnvironmentName, OperatorName};
use gateway_core::lifecycle::{self, rule};
use gateway_core::manifest::{Kind, ObjectKey};
use gateway_core::operator::{Role, Scope};
use gateway_core::revocation::{RevocationDocument, RevocationStatus, SignedRevocation};
use gateway_core::state::Lifecycle;
use gateway_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::ending::{Mode, Order, end};
use super::{Shared, json};
use crate::auth::Caller;
use crate::body::Query;
use crate::entity::IfMatch;
use crate::masking::shown;
use crate::page::{Cursor, Limit, Page, place_in_time, time_and_id};
use crate::problem::Problem;

/// The size of a page where nobody says.
const PAGE: usize = 100;
/// How many documents are read at a time.
const LOOKED_THROUGH: u32 = 500;

/// Ends a server for ever, with every binding on it, their calls, streams, sessions, processes, leases and tokens, the
/// users' grants that no other server needs, and the agent tokens that open nothing else.
#[utoipa::path(post, path = "/v1/servers/{environment}/{name}/revoke", tag = "revocations",
    params(("environment" = String, Path), ("name" = String, Path), Mode), security(("bearer" = [])), responses(
    (status = 200, description = "What was ended, and the signed document", body = Value),
    (status = 503, description = "Revoked and blocked, but not all traffic ended in time", body = Value)))]
pub(crate) async fn server(
    State(context): Shared,
    caller: Caller,
    only_if: IfMatch,
    Path((environment, name)): Path<(String, String)>,
    Query(mode): Query<Mode>,
) -> Result<Response, Problem> {
    let environment = EnvironmentName::parse(&environment).map_err(|_| unknown("server"))?;
    let key = ObjectKey { kind: Kind::Server, environment: Some(environment), name };
    let order = Order { key, act: lifecycle::revoke, status: Lifecycle::Revoked, only_if };
    end(&context, &caller, order, &mode).await
}

/// Ends an environment for ever, with everything in it; an administrator's act.
#[utoipa::path(post, path = "/v1/environments/{name}/revoke", tag = "revocations",
    params(("name" = String, Path), Mode), security(("bearer" = [])), responses(
    (status = 200, description = "What was ended, and the signed document", body = Value),
    (status = 503, description = "Revoked and blocked, but not all traffic ended in time", body = Value)))]
pub(crate) async fn environment(
    State(context): Shared,
    caller: Caller,
    only_if: IfMatch,
    Path(name): Path<String>,
    Query(mode): Query<Mode>,
) -> Result<Response, Problem> {
    let key = ObjectKey { kind: Kind::Environment, environment: None, name };
    let order = Order { key, act: lifecycle::revoke, status: Lifecycle::Revoked, only_if };
    end(&context, &caller, order, &mode).await
}

fn unknown(what: &str) -> Problem {
    Problem::new(&rule::OBJECT_UNKNOWN, format!("no such {what}"))
}

/// Which of them.
#[derive(Deserialize, IntoParams, Default)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Selection {
    /// Only those where something outside may still open doors.
    outstanding: bool,
    /// `next` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
    /// How many at most; 100 where absent, 1,000 is the most.
    #[param(value_type = Option<u32>)]
    limit: Option<Limit<1_000>>,
}

#[derive(Serialize)]
struct Shown {
    id: String,
    serial: u32,
    status: RevocationStatus,
    subject: String,
    requested_by: OperatorName,
    requested_at: Timestamp,
    signed_at: Timestamp,
    /// Things outside that may still open doors.
    outstanding: usize,
}

impl Shown {
    fn of(document: &RevocationDocument) -> Self {
        Self {
            id: document.revocation.clone(),
            serial: document.serial,
            status: document.status,
            subject: document.subject.to_string(),
            requested_by: document.requested_by.clone(),
            requested_at: document.requested_at,
            signed_at: Timestamp::from_seconds(document.iat),
            outstanding: document.outside.iter().filter(|end| end.state.is_open()).count(),
        }
    }
}

#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    shown: Shown,
    /// What the newest document says.
    claims: RevocationDocument,
    /// Every document, as it was signed, the first one first: each names the hash of the one before. Absent for those
    /// who do not see the paths of secrets: what is signed cannot be masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    documents: Option<Vec<String>>,
}

/// Who may read evidence of this environment may read the documents about it.
fn may_read(caller: &Caller, document: &RevocationDocument) -> bool {
    let environment = environment_of(document);
    caller.demand(Role::Auditor, Scope { team: None, environment: environment.as_ref() }).is_ok()
}

fn environment_of(document: &RevocationDocument) -> Option<EnvironmentName> {
    let named = (document.subject.kind == Kind::Environment.word())
        .then(|| EnvironmentName::parse(&document.subject.name).ok())
        .flatten();
    document.subject.environment.clone().or(named)
}

/// The newest document of each revocation, the latest first.
#[utoipa::path(get, path = "/v1/revocations", tag = "revocations", params(Selection), security(("bearer" = [])),
    responses((status = 200, description = "`items`: revocations, and whether they are complete", body = Value)))]
pub(crate) async fn list(
    State(context): Shared,
    caller: Caller,
    Query(selection): Query<Selection>,
) -> Result<Response, Problem> {
    let limit = selection.limit.map_or(PAGE, Limit::items);
    let mut place = selection.cursor.as_ref().map(Cursor::place).transpose()?;
    let (mut items, mut last) = (Vec::new(), None);
    let reads_any = caller.0.grants.iter().any(|grant| matches!(grant.role, Role::Auditor | Role::Admin));
    // Neither the length of a page nor its cursor may tell of revocations that are not the caller's to see.
    if !reads_any {
        return Ok(Page::of(items, None).into_response());
    }
    loop {
        let after = place.as_deref().map(time_and_id).transpose()?;
        let looked = context.documents.records.newest(after, LOOKED_THROUGH).await?;
        for (signed, document) in looked.iter().filter_map(|signed| Some((signed, signed.document()?))) {
            let wanted = !selection.outstanding || document.status == RevocationStatus::Outstanding;
            if !wanted || !may_read(&caller, &document) {
                continue;
            }
            if items.len() == limit {
                return Ok(Page::of(items, last).into_response());
            }
            last = Some(place_in_time(signed.requested_at, &signed.id));
            items.push(Shown::of(&document));
        }
        if !usize::try_from(LOOKED_THROUGH).is_ok_and(|most| looked.len() >= most) {
            return Ok(Page::of(items, None).into_response());
        }
        place = looked.last().map(|oldest| place_in_time(oldest.requested_at, &oldest.id));
    }
}

/// One revocation with all of its documents.
#[utoipa::path(get, path = "/v1/revocations/{id}", tag = "revocations", params(("id" = String, Path)),
    security(("bearer" = [])), responses(
    (status = 200, description = "What the newest document says, and every document as it was signed", body = Value),
    (status = 404, description = "No such revocation", body = Value)))]
pub(crate) async fn show(
    State(context): Shared,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let documents = context.documents.records.documents(&id).await?;
    let newest = documents.last().and_then(SignedRevocation::document);
    let Some(claims) = newest.filter(|document| may_read(&caller, document)) else {
        return Err(unknown("revocation"));
    };
    let covered = context.presentation.covers_evidence(&caller.0, environment_of(&claims).as_ref());
    let documents = (!covered).then(|| documents.into_iter().map(|signed| signed.jws).collect());
    Ok(json(&shown(&Whole { shown: Shown::of(&claims), claims, documents }, covered)))
}
