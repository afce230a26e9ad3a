//! Acts on objects: approve, disable, enable, revoke.

use axum::extract::{Path, State};
use axum::response::Response;
use gateway_core::id::Revision;
use gateway_core::lifecycle::{self, PendingBinding, Requirement};
use gateway_core::manifest::ObjectKey;
use gateway_core::state::{Capacity, Lifecycle};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ending::{self, Mode, Order, end};
use super::{BindingPath, ObjectPath, Shared, binding_key, object_key, status};
use crate::auth::Caller;
use crate::body::{Body, Query, revision};
use crate::context::ControlContext;
use crate::entity::IfMatch;
use crate::problem::Problem;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approve {
    /// The pending revision that was read: one signs what one has seen.
    #[schema(value_type = u32)]
    #[serde(deserialize_with = "revision")]
    revision: Revision,
}

#[derive(Serialize)]
struct Approved {
    object: String,
    revision: Revision,
    status: Lifecycle,
    signed_as: Vec<Capacity>,
    missing: Vec<Requirement>,
    asks_again: Vec<PendingBinding>,
}

/// Signs a pending revision of a binding.
#[utoipa::path(post, path = "/v1/bindings/{environment}/{name}/approve", tag = "approvals",
    params(("environment" = String, Path), ("name" = String, Path)), request_body = Approve,
    security(("bearer" = [])), responses(
    (status = 200, description = "It decides now", body = Value),
    (status = 202, description = "Signed; further signatures are missing", body = Value),
    (status = 403, description = "Own work, or no role for it", body = Value)))]
pub(crate) async fn approve_binding(
    State(context): Shared,
    caller: Caller,
    only_if: IfMatch,
    Path((environment, name)): BindingPath,
    Body(body): Body<Approve>,
) -> Result<Response, Problem> {
    approve(&context, &caller, &binding_key(&environment, &name)?, body.revision, &only_if).await
}

/// Signs a pending revision of any object; `-` stands for no environment.
#[utoipa::path(post, path = "/v1/objects/{kind}/{environment}/{name}/approve", tag = "approvals",
    params(("kind" = String, Path), ("environment" = String, Path), ("name" = String, Path)),
    request_body = Approve, security(("bearer" = [])), responses(
    (status = 200, description = "It decides now", body = Value),
    (status = 202, description = "Signed; further signatures are missing", body = Value),
    (status = 403, description = "Own work, or no role for it", body = Value)))]
pub(crate) async fn approve_object(
    State(context): Shared,
    caller: Caller,
    only_if: IfMatch,
    Path((kind, environment, name)): ObjectPath,
    Body(body): Body<Approve>,
) -> Result<Response, Problem> {
    approve(&context, &caller, &object_key(&kind, &environment, name)?, body.revision, &only_if).await
}

async fn approve(
    context: &ControlContext,
    caller: &Caller,
    key: &ObjectKey,
    revision: Revision,
    only_if: &IfMatch,
) -> Result<Response, Problem> {
    let signed = context
        .write(|state| {
            // A signer for a path or a server may sign what is not its own team's: role decides there.
            let signed = lifecycle::approve(&context.deciding(state, &caller.0), key, revision)?;
            only_if.check_object(state, key)?;
            context.rehearse(state, &signed.change)?;
            let change = signed.change.clone();
            Ok((signed, Some(change)))
        })
        .await?;
    let code = if signed.missing.is_empty() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(status(
        code,
        &Approved {
            object: key.to_string(),
            revision: signed.revision,
            status: signed.status,
            signed_as: signed.capacities,
            missing: signed.missing,
            asks_again: signed.repinned,
        },
    ))
}

/// Switches a binding off and ends its traffic. Never needs approval.
#[utoipa::path(post, path = "/v1/bindings/{environment}/{name}/disable", tag = "bindings",
    params(("environment" = String, Path), ("name" = String, Path)), security(("bearer" = [])),
    responses((status = 200, description = "It is off, and what was ended", body = Value)))]
pub(crate) async fn disable(
    State(context): Shared,
    caller: Caller,
    only_if: IfMatch,
    Path((environment, name)): BindingPath,
) -> Result<Response, Problem> {
    let key = binding_key(&environment, &name)?;
    let order = Order { key, act: lifecycle::disable, status: Lifecycle::Disabled, only_if };
    end(&context, &caller, order, &Mode::default()).await
}

/// Switches a disabled binding on again; an approver's act where the environment asks for approvals.
#[utoipa::path(post, path = "/v1/bindings/{environment}/{name}/enable", tag = "bindings",
    params(("environment" = String, Path), ("name" = String, Path)), security(("bearer" = [])),
    responses((status = 200, description = "It is on", body = Value)))]
pub(crate) async fn enable(
    State(context): Shared,
    caller: Caller,
    only_if: IfMatch,
    Path((environment, name)): BindingPath,
) -> Result<Response, Problem> {
    ending::enable(&context, &caller, binding_key(&environment, &name)?, only_if).await
}

/// Ends a binding for ever, and answers when nothing flows under it any more, with the evidence.
#[utoipa::path(post, path = "/v1/bindings/{environment}/{name}/revoke", tag = "bindings",
    params(("environment" = String, Path), ("name" = String, Path), Mode), security(("bearer" = [])), responses(
    (status = 200, description = "What was ended, when, where it stands in the audit log, and the signed document", body = Value),
    (status = 503, description = "Revoked and blocked, but not all traffic ended in time", body = Value)))]
pub(crate) async fn revoke(
    State(context): Shared,
    caller: Caller,
    only_if: IfMatch,
    Path((environment, name)): BindingPath,
    Query(mode): Query<Mode>,
) -> Result<Response, Problem> {
    let key = binding_key(&environment, &name)?;
    let order = Order { key, act: lifecycle::revoke, status: Lifecycle::Revoked, only_if };
    end(&context, &caller, order, &mode).await
}
