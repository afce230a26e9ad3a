//! Acts on objects: approve, disable, enable, revoke.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use gateway_core::audit::{BindingRevision, Decision, Ended, Event, EventKind};
use gateway_core::id::{BindingName, EnvironmentName, Revision};
use gateway_core::lifecycle::{self, PendingBinding, Requirement, Switched, rule};
use gateway_core::manifest::{Kind, ObjectKey};
use gateway_core::ports::Sequence;
use gateway_core::state::{Capacity, Change, Lifecycle};
use gateway_core::time::Timestamp;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::binding::visible;
use super::{BindingPath, Shared, binding_key, json, status};
use crate::auth::Caller;
use crate::body::Body;
use crate::context::ControlContext;
use crate::ports::AuditQuery;
use crate::problem::Problem;

/// How long a binding's traffic may take to end.
pub(super) const END_DEADLINE: Duration = Duration::from_secs(30);

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approve {
    /// The pending revision that was read: one signs what one has seen.
    #[schema(value_type = u32)]
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
    Path((environment, name)): BindingPath,
    Body(body): Body<Approve>,
) -> Result<Response, Problem> {
    approve(&context, &caller, &binding_key(&environment, &name)?, body.revision).await
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
    Path((kind, environment, name)): Path<(String, String, String)>,
    Body(body): Body<Approve>,
) -> Result<Response, Problem> {
    let unknown = || Problem::new(&rule::OBJECT_UNKNOWN, "no such object");
    let kind = Kind::from_word(&kind).ok_or_else(unknown)?;
    let environment = match environment.as_str() {
        "-" => None,
        name => Some(EnvironmentName::parse(name).map_err(|_| unknown())?),
    };
    approve(&context, &caller, &ObjectKey { kind, environment, name }, body.revision).await
}

async fn approve(
    context: &ControlContext,
    caller: &Caller,
    key: &ObjectKey,
    revision: Revision,
) -> Result<Response, Problem> {
    let signed = context
        .write(|state| {
            // A signer for a path or a server may sign what is not its own team's: role decides there.
            let signed = lifecycle::approve(&context.deciding(state, &caller.0), key, revision)?;
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

#[derive(Serialize)]
struct Standing {
    binding: BindingRevision,
    status: Lifecycle,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<Ended>,
}

struct Target {
    key: ObjectKey,
    environment: EnvironmentName,
    name: BindingName,
}

fn target(environment: &str, name: &str) -> Result<Target, Problem> {
    let key = binding_key(environment, name)?;
    let unknown = || Problem::new(&rule::OBJECT_UNKNOWN, "no such binding");
    let environment = key.environment.clone().ok_or_else(unknown)?;
    let name = BindingName::parse(&key.name).map_err(|_| unknown())?;
    Ok(Target { key, environment, name })
}

pub(super) type Act = fn(&lifecycle::Context<'_>, &ObjectKey) -> Result<Switched, Vec<lifecycle::Finding>>;

fn decide(
    context: &ControlContext,
    caller: &Caller,
    key: &ObjectKey,
    act: Act,
    state: &gateway_core::state::State,
) -> Result<(Revision, Option<Change>), Problem> {
    visible(state, key, caller)?;
    let switched = act(&context.deciding(state, &caller.0), key)?;
    Ok((switched.revision, Some(switched.change)))
}

/// Switches a binding off and ends its traffic. Never needs approval.
#[utoipa::path(post, path = "/v1/bindings/{environment}/{name}/disable", tag = "bindings",
    params(("environment" = String, Path), ("name" = String, Path)), security(("bearer" = [])),
    responses((status = 200, description = "It is off, and what was ended", body = Value)))]
pub(crate) async fn disable(
    State(context): Shared,
    caller: Caller,
    Path((environment, name)): BindingPath,
) -> Result<Response, Problem> {
    let target = target(&environment, &name)?;
    let (revision, epoch) =
        context.commit(|state| decide(&context, &caller, &target.key, lifecycle::disable, state)).await?;
    let end = context.live.end(&target.environment, &target.name, END_DEADLINE);
    // The end comes first: the new snapshot lets streams end by themselves, and then nobody counts them.
    let (ended, published) = futures::join!(end, publish(&context, epoch));
    published.map_err(|refusal| Problem::not_published(&refusal))?;
    let ended = ended?;
    context.everywhere(epoch, END_DEADLINE).await?;
    let binding = BindingRevision { name: target.name, revision };
    Ok(json(&Standing { binding, status: Lifecycle::Disabled, ended: Some(ended) }))
}

pub(super) async fn publish(
    context: &ControlContext,
    epoch: Option<gateway_core::id::Epoch>,
) -> Result<Option<Sequence>, gateway_core::refusal::Refusal> {
    match epoch {
        Some(epoch) => context.publisher.publish(epoch).await,
        None => Ok(None),
    }
}

/// Switches a disabled binding on again; an approver's act where the environment asks for approvals.
#[utoipa::path(post, path = "/v1/bindings/{environment}/{name}/enable", tag = "bindings",
    params(("environment" = String, Path), ("name" = String, Path)), security(("bearer" = [])),
    responses((status = 200, description = "It is on", body = Value)))]
pub(crate) async fn enable(
    State(context): Shared,
    caller: Caller,
    Path((environment, name)): BindingPath,
) -> Result<Response, Problem> {
    let target = target(&environment, &name)?;
    let revision =
        context.write(|state| decide(&context, &caller, &target.key, lifecycle::enable, state)).await?;
    context.live.admit(&target.environment, &target.name);
    let binding = BindingRevision { name: target.name, revision };
    Ok(json(&Standing { binding, status: Lifecycle::Active, ended: None }))
}

#[derive(Serialize)]
struct Revoked {
    binding: BindingRevision,
    environment: EnvironmentName,
    revoked_at: Timestamp,
    completed_at: Timestamp,
    ended: Ended,
    audit: RevokedAudit,
}

#[derive(Serialize)]
struct RevokedAudit {
    revoked: Option<Sequence>,
    completed: Option<Sequence>,
    /// Whether evidence still waits in the outbox because the chain cannot be written.
    pending: bool,
}

/// Ends a binding for ever, and answers when nothing flows under it any more, with the evidence.
#[utoipa::path(post, path = "/v1/bindings/{environment}/{name}/revoke", tag = "bindings",
    params(("environment" = String, Path), ("name" = String, Path)), security(("bearer" = [])), responses(
    (status = 200, description = "What was ended, when, and where it stands in the audit log", body = Value),
    (status = 503, description = "Revoked and blocked, but not all traffic ended in time", body = Value)))]
pub(crate) async fn revoke(
    State(context): Shared,
    caller: Caller,
    Path((environment, name)): BindingPath,
) -> Result<Response, Problem> {
    let target = target(&environment, &name)?;
    let revoked_at = context.now();
    let (revision, epoch) =
        context.commit(|state| decide(&context, &caller, &target.key, lifecycle::revoke, state)).await?;
    // The block does not wait for the chain: with the audit log down it still holds at once.
    let end = context.live.end(&target.environment, &target.name, END_DEADLINE);
    let (ended, published) = futures::join!(end, publish(&context, epoch));
    let drained = published.unwrap_or_else(|refusal| {
        tracing::error!(%refusal, inside = refusal.inside().unwrap_or(""), "a revocation's evidence is pending");
        None
    });
    let ended = ended.map_err(|refusal| {
        tracing::error!(%refusal, binding = %target.name, "a revoked binding did not end in time");
        Problem::incomplete()
    })?;
    context.everywhere(epoch, END_DEADLINE).await?;
    let binding = BindingRevision { name: target.name.clone(), revision };
    let completed_at = context.now();
    let event = completed(&caller, &target, &binding, ended, completed_at);
    let completed = context.evidence(event).await;
    let revoked = match drained {
        Some(sequence) => revoked_sequence(&context, &target, &binding).await.or(Some(sequence)),
        None => revoked_sequence(&context, &target, &binding).await,
    };
    let audit = RevokedAudit { revoked, completed, pending: revoked.is_none() || completed.is_none() };
    let environment = target.environment;
    Ok(json(&Revoked { binding, environment, revoked_at, completed_at, ended, audit }))
}

fn completed(
    caller: &Caller,
    target: &Target,
    binding: &BindingRevision,
    ended: Ended,
    now: Timestamp,
) -> Event {
    let kind = EventKind::RevocationCompleted;
    let mut event = Event::new(kind, now).about(target.key.clone(), binding.revision);
    event.operator = Some(caller.0.name.clone());
    event.decision = Some(Decision::Allow);
    event.binding = Some(binding.clone());
    event.ended = Some(ended);
    event
}

/// Where the chain says that the binding was revoked: other changes may have been drained with it.
async fn revoked_sequence(
    context: &ControlContext,
    target: &Target,
    binding: &BindingRevision,
) -> Option<Sequence> {
    let query = AuditQuery {
        kind: Some(EventKind::BindingRevoked),
        binding: Some(binding.to_string()),
        environment: Some(target.environment.to_string()),
        limit: Some(1),
        ..AuditQuery::default()
    };
    let found = context.audit_reader.search(&query).await.ok()?;
    found.records.first().map(|entry| entry.sequence)
}
