//! Evidence, read and verified.

use axum::extract::State;
use axum::response::Response;
use gateway_core::id::EnvironmentName;
use gateway_core::lifecycle::rule;
use gateway_core::operator::{Role, Scope};
use gateway_core::ports::Sequence;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Shared, json};
use crate::auth::Caller;
use crate::body::Query;
use crate::context::ControlContext;
use crate::masking::shown;
use crate::page::further;
use crate::ports::AuditQuery;
use crate::problem::Problem;

const MAX_RECORDS: u32 = 1_000;

/// An auditor of everything, or of the one environment asked about; says whether paths of secrets are not for them.
fn demand(context: &ControlContext, caller: &Caller, environment: Option<&str>) -> Result<bool, Problem> {
    let environment = environment.map(EnvironmentName::parse).transpose();
    let environment = environment.map_err(|error| Problem::malformed(error.to_string()))?;
    caller.demand(Role::Auditor, Scope { team: None, environment: environment.as_ref() })?;
    Ok(context.presentation.covers_evidence(&caller.0, environment.as_ref()))
}

/// The size of a page: 100 where absent.
fn limited(limit: Option<u32>) -> Result<u32, Problem> {
    let limit = limit.unwrap_or(100);
    let fits = (1..=MAX_RECORDS).contains(&limit);
    fits.then_some(limit)
        .ok_or_else(|| Problem::malformed(format!("a page holds 1 to {MAX_RECORDS} records")))
}

/// Finds records by any of their fields and by time, a page at a time.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", security(("bearer" = [])),
    params(
        ("request_id" = Option<String>, Query), ("trace_id" = Option<String>, Query),
        ("user" = Option<String>, Query, description = "`iss|sub`"), ("agent" = Option<String>, Query),
        ("workload" = Option<String>, Query), ("surface" = Option<String>, Query),
        ("operator" = Option<String>, Query), ("source_address" = Option<String>, Query),
        ("session" = Option<String>, Query), ("environment" = Option<String>, Query),
        ("server" = Option<String>, Query), ("method" = Option<String>, Query),
        ("tool" = Option<String>, Query), ("risk" = Option<String>, Query),
        ("reason" = Option<String>, Query), ("policy_version" = Option<String>, Query),
        ("policy" = Option<String>, Query), ("mode" = Option<String>, Query),
        ("binding" = Option<String>, Query, description = "`name` or `name@revision`"),
        ("reference" = Option<String>, Query), ("secret_version" = Option<String>, Query),
        ("fingerprint" = Option<String>, Query), ("store_request_id" = Option<String>, Query),
        ("route_id" = Option<String>, Query), ("epoch" = Option<String>, Query),
        ("object" = Option<String>, Query, description = "`name` or `kind/environment/name`"),
        ("revision" = Option<String>, Query), ("content" = Option<String>, Query),
        ("status" = Option<String>, Query), ("source" = Option<String>, Query),
        ("provider" = Option<String>, Query), ("grant" = Option<String>, Query),
        ("scope" = Option<String>, Query), ("answer" = Option<String>, Query),
        ("upstream_status" = Option<String>, Query), ("revocation" = Option<String>, Query),
        ("lock" = Option<String>, Query), ("outbox_id" = Option<String>, Query),
        ("kind" = Option<String>, Query),
        ("decision" = Option<String>, Query, description = "`allow` or `deny`"),
        ("from" = Option<String>, Query), ("until" = Option<String>, Query), ("after" = Option<u64>, Query),
        ("before" = Option<u64>, Query),
        ("cursor" = Option<u64>, Query, description = "`next` of the page before"),
        ("order" = Option<String>, Query, description = "`newest_first` or `oldest_first`"),
        ("limit" = Option<u32>, Query),
    ),
    responses((status = 200, description = "`records`, whether there are `more`, and the `cursor` of the `next` page", body = Value)))]
pub(crate) async fn search(
    State(context): Shared,
    caller: Caller,
    Query(mut query): Query<AuditQuery>,
) -> Result<Response, Problem> {
    let covered = demand(&context, &caller, query.environment.as_deref())?;
    if covered && (query.reference.is_some() || query.fingerprint.is_some()) {
        // Who does not see a path must not find out by searching for guesses.
        let why = "searching by `reference` or `fingerprint` takes a role that sees the paths of secrets";
        return Err(Problem::new(&rule::OPERATOR_FORBIDDEN, why));
    }
    query.limit = Some(limited(query.limit)?);
    let page = context.audit_reader.search(&query).await?;
    let next = page.next;
    Ok(further(json(&shown(&page, covered)), next))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TailQuery {
    /// Only records after this one.
    #[serde(default)]
    after: u64,
    /// How many at most; 100 where absent, 1,000 is the most.
    #[serde(default)]
    limit: Option<u32>,
}

/// The records after one, oldest first: ask again with the last sequence number.
#[utoipa::path(get, path = "/v1/audit/tail", tag = "audit", params(TailQuery), security(("bearer" = [])),
    responses((status = 200, description = "`records`, and whether there are `more`", body = Value)))]
pub(crate) async fn tail(
    State(context): Shared,
    caller: Caller,
    Query(query): Query<TailQuery>,
) -> Result<Response, Problem> {
    let covered = demand(&context, &caller, None)?;
    let limit = limited(query.limit)?;
    Ok(json(&shown(&context.audit_reader.tail(Sequence(query.after), limit).await?, covered)))
}

/// Verifies the whole chain.
#[utoipa::path(post, path = "/v1/audit/verify", tag = "audit", security(("bearer" = [])),
    responses((status = 200, description = "Whether it holds, and the first problem", body = Value)))]
pub(crate) async fn verify(State(context): Shared, caller: Caller) -> Result<Response, Problem> {
    demand(&context, &caller, None)?;
    Ok(json(&context.audit_reader.verify().await?))
}
