//! Acts on agents: disable, enable, revoke. An agent's end takes everything with it: its tokens, its calls
//! and streams, its sessions and processes, and what was issued for it.

use axum::extract::{Path, State};
use axum::response::Response;
use gateway_core::lifecycle;
use gateway_core::state::Lifecycle;

use super::Shared;
use super::ending::{self, Mode, Order, end};
use super::token::agent_of;
use crate::auth::Caller;
use crate::body::Query;
use crate::entity::IfMatch;
use crate::problem::Problem;

/// Switches an agent off, with everything that it holds and that runs for it. Never needs approval. Its
/// tokens are gone for good.
#[utoipa::path(post, path = "/v1/agents/{name}/disable", tag = "agents", params(("name" = String, Path)),
    security(("bearer" = [])), responses(
    (status = 200, description = "It is off, and what was ended", body = Value),
    (status = 503, description = "Off and blocked, but not all traffic ended in time", body = Value)))]
pub(crate) async fn disable(
    State(context): Shared,
    caller: Caller,
    only_if: IfMatch,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let key = agent_of(&name)?.1;
    let order = Order { key, act: lifecycle::disable, status: Lifecycle::Disabled, only_if };
    end(&context, &caller, order, &Mode::default()).await
}

/// Ends an agent for ever, and answers when nothing flows for it any more, with the evidence.
#[utoipa::path(post, path = "/v1/agents/{name}/revoke", tag = "agents", params(("name" = String, Path), Mode),
    security(("bearer" = [])), responses(
    (status = 200, description = "What was ended, when, and where it stands in the audit log", body = Value),
    (status = 503, description = "Revoked and blocked, but not all traffic ended in time", body = Value)))]
pub(crate) async fn revoke(
    State(context): Shared,
    caller: Caller,
    only_if: IfMatch,
    Path(name): Path<String>,
    Query(mode): Query<Mode>,
) -> Result<Response, Problem> {
    let key = agent_of(&name)?.1;
    let order = Order { key, act: lifecycle::revoke, status: Lifecycle::Revoked, only_if };
    end(&context, &caller, order, &mode).await
}

/// Switches a disabled agent on again; an approver's act where its environments ask for approvals.
#[utoipa::path(post, path = "/v1/agents/{name}/enable", tag = "agents", params(("name" = String, Path)),
    security(("bearer" = [])), responses((status = 200, description = "It is on", body = Value)))]
pub(crate) async fn enable(
    State(context): Shared,
    caller: Caller,
    only_if: IfMatch,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    ending::enable(&context, &caller, agent_of(&name)?.1, only_if).await
}
