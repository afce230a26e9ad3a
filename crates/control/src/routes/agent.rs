//! Acts on agents: disable, enable, revoke. An agent's end takes everything with it: its tokens, its calls
//! and streams, its sessions and processes, and what was issued for it.

use axum::extract::{Path, State};
use axum::response::Response;
use gateway_core::audit::{Decision, Ended, Event, EventKind};
use gateway_core::id::{AgentName, Revision};
use gateway_core::lifecycle;
use gateway_core::manifest::ObjectKey;
use gateway_core::ports::Sequence;
use gateway_core::state::Lifecycle;
use gateway_core::time::Timestamp;
use serde::Serialize;

use super::act::{Act, END_DEADLINE, publish};
use super::binding::visible;
use super::token::agent_of;
use super::{Shared, json};
use crate::auth::Caller;
use crate::context::ControlContext;
use crate::problem::Problem;

#[derive(Serialize)]
struct AgentEnded {
    agent: AgentName,
    revision: Revision,
    status: Lifecycle,
    decided_at: Timestamp,
    completed_at: Timestamp,
    ended: Ended,
    audit: Evidence,
}

#[derive(Serialize)]
struct Evidence {
    decided: Option<Sequence>,
    completed: Option<Sequence>,
    /// Whether evidence still waits in the outbox because the chain cannot be written.
    pending: bool,
}

#[derive(Serialize)]
struct Standing {
    agent: AgentName,
    revision: Revision,
    status: Lifecycle,
}

/// Switches an agent off, with everything that it holds and that runs for it. Never needs approval. Its
/// tokens are gone for good.
#[utoipa::path(post, path = "/v1/agents/{name}/disable", tag = "agents", params(("name" = String, Path)),
    security(("bearer" = [])), responses(
    (status = 200, description = "It is off, and what was ended", body = Value),
    (status = 503, description = "Off and blocked, but not all traffic ended in time", body = Value)))]
pub(crate) async fn disable(
    State(context): Shared,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    end(&context, &caller, &name, lifecycle::disable, Lifecycle::Disabled).await
}

/// Ends an agent for ever, and answers when nothing flows for it any more, with the evidence.
#[utoipa::path(post, path = "/v1/agents/{name}/revoke", tag = "agents", params(("name" = String, Path)),
    security(("bearer" = [])), responses(
    (status = 200, description = "What was ended, when, and where it stands in the audit log", body = Value),
    (status = 503, description = "Revoked and blocked, but not all traffic ended in time", body = Value)))]
pub(crate) async fn revoke(
    State(context): Shared,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    end(&context, &caller, &name, lifecycle::revoke, Lifecycle::Revoked).await
}

/// Switches a disabled agent on again; an approver's act where its environments ask for approvals.
#[utoipa::path(post, path = "/v1/agents/{name}/enable", tag = "agents", params(("name" = String, Path)),
    security(("bearer" = [])), responses((status = 200, description = "It is on", body = Value)))]
pub(crate) async fn enable(
    State(context): Shared,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let (agent, key) = agent_of(&name)?;
    let revision = context
        .write(|state| {
            visible(state, &key, &caller)?;
            let switched = lifecycle::enable(&context.deciding(state, &caller.0), &key)?;
            Ok((switched.revision, Some(switched.change)))
        })
        .await?;
    context.live.admit_agent(&agent);
    Ok(json(&Standing { agent, revision, status: Lifecycle::Active }))
}

async fn end(
    context: &ControlContext,
    caller: &Caller,
    name: &str,
    act: Act,
    status: Lifecycle,
) -> Result<Response, Problem> {
    let (agent, key) = agent_of(name)?;
    let decided_at = context.now();
    let ((revision, tokens), epoch) = context
        .commit(|state| {
            visible(state, &key, caller)?;
            let switched = act(&context.deciding(state, &caller.0), &key)?;
            Ok(((switched.revision, switched.tokens), Some(switched.change)))
        })
        .await?;
    // The block does not wait for the chain: with the audit log down it still holds at once.
    let ending = context.live.end_agent(&agent, END_DEADLINE);
    let (ended, published) = futures::join!(ending, publish(context, epoch));
    let decided = published.unwrap_or_else(|refusal| {
        tracing::error!(%refusal, inside = refusal.inside().unwrap_or(""), "an agent's end waits to be recorded");
        None
    });
    let ended = ended.map_err(|refusal| {
        tracing::error!(%refusal, %agent, "an agent that was ended still has traffic");
        Problem::incomplete()
    })?;
    context.everywhere(epoch, END_DEADLINE).await?;
    let ended = Ended { tokens, ..ended };
    let completed_at = context.now();
    let completed =
        context.evidence(completed(caller, &agent, key, revision, ended, status, completed_at)).await;
    let audit = Evidence { decided, completed, pending: decided.is_none() || completed.is_none() };
    Ok(json(&AgentEnded { agent, revision, status, decided_at, completed_at, ended, audit }))
}

fn completed(
    caller: &Caller,
    agent: &AgentName,
    key: ObjectKey,
    revision: Revision,
    ended: Ended,
    status: Lifecycle,
    now: Timestamp,
) -> Event {
    let mut event = Event::new(EventKind::RevocationCompleted, now).about(key, revision);
    event.operator = Some(caller.0.name.clone());
    event.decision = Some(Decision::Allow);
    event.agent = Some(agent.clone());
    event.status = Some(status.word().to_owned());
    event.ended = Some(ended);
    event
}
