//! The versions of a binding's secret: which are alive, and where each stands. Never a value.

use axum::extract::{Path, State};
use axum::response::Response;
use gateway_core::card::{CardRotation, rotation};
use gateway_core::manifest::Spec;
use serde::Serialize;

use super::binding::visible;
use super::{BindingPath, Shared, binding_key, json};
use crate::auth::Caller;
use crate::problem::Problem;

#[derive(Serialize)]
struct Versions {
    binding: String,
    rotation: Option<CardRotation>,
}

/// The versions of the binding's secret, where each stands, and when the next rotation is due.
#[utoipa::path(get, path = "/v1/bindings/{environment}/{name}/versions", tag = "bindings",
    params(("environment" = String, Path), ("name" = String, Path)), security(("bearer" = [])),
    responses((status = 200, description = "`rotation` with its `versions`; `null` where nobody looks after it", body = Value)))]
pub(crate) async fn list(
    State(context): Shared,
    caller: Caller,
    Path((environment, name)): BindingPath,
) -> Result<Response, Problem> {
    let state = context.state.load().await?;
    let key = binding_key(&environment, &name)?;
    let record = visible(&state, &key, &caller)?;
    let Spec::Binding(spec) = &record.spec else { return Err(Problem::no_route()) };
    let rotation = rotation(&state, spec).map(|rotation| rotation.at(context.now()));
    Ok(json(&Versions { binding: format!("{}/{}", spec.environment, spec.name), rotation }))
}
