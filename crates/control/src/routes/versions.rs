//! The versions of a binding's secret: which are alive, and where each stands. Never a value.

use axum::extract::{Path, State};
use axum::response::Response;
use gateway_core::card::{CardRotation, CardVersion, rotation};
use gateway_core::manifest::Spec;
use serde::Serialize;

use super::binding::visible;
use super::{BindingPath, Shared, binding_key, json};
use crate::auth::Caller;
use crate::body::Query;
use crate::masking::shown;
use crate::page::{Cursor, Limit, Page, PageQuery, further, place_in_time};
use crate::problem::Problem;

#[derive(Serialize)]
struct Versions {
    binding: String,
    rotation: Option<CardRotation>,
    /// Where the next versions begin.
    next: Option<Cursor>,
}

/// The versions of the binding's secret, where each stands, and when the next rotation is due.
#[utoipa::path(get, path = "/v1/bindings/{environment}/{name}/versions", tag = "bindings",
    params(("environment" = String, Path), ("name" = String, Path), PageQuery), security(("bearer" = [])),
    responses((status = 200, description = "`rotation` with its `versions`; `null` where nobody looks after it", body = Value)))]
pub(crate) async fn list(
    State(context): Shared,
    caller: Caller,
    Path((environment, name)): BindingPath,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let state = context.state.load().await?;
    let key = binding_key(&environment, &name)?;
    let record = visible(&state, &key, &caller)?;
    let Spec::Binding(spec) = &record.spec else { return Err(Problem::no_route()) };
    let mut rotation = rotation(&state, spec).map(|rotation| rotation.at(context.now()));
    let all = rotation.as_mut().map(|rotation| std::mem::take(&mut rotation.versions)).unwrap_or_default();
    let covered = context.presentation.covers(&caller.0, &record.spec);
    // A cursor names a place, so there are no pages for those who may not see one.
    let page = if covered { Page { items: all, next: None } } else { cut(all, &query)? };
    if let Some(rotation) = &mut rotation {
        rotation.versions = page.items;
    }
    let binding = format!("{}/{}", spec.environment, spec.name);
    let answer = json(&shown(&Versions { binding, rotation, next: page.next.clone() }, covered));
    Ok(further(answer, page.next))
}

/// Pages are by the time since when a version stands where it does: one that moves meanwhile comes once more.
fn cut(versions: Vec<CardVersion>, query: &PageQuery) -> Result<Page<CardVersion>, Problem> {
    if query.limit.is_none() && query.cursor.is_none() {
        return Ok(Page { items: versions, next: None });
    }
    let place = |one: &CardVersion| place_in_time(one.since, &format!("{}\n{}", one.version, one.place));
    let mut placed: Vec<(String, CardVersion)> = versions.into_iter().map(|one| (place(&one), one)).collect();
    placed.sort_by(|one, other| one.0.cmp(&other.0));
    Page::cut(placed, query.cursor.as_ref(), query.limit.map(Limit::items))
}
