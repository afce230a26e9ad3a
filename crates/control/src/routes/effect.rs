//! What a pending revision would do to calls that were made of late.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use gateway_core::audit::Event;
use gateway_core::id::Revision;
use gateway_core::lifecycle::{self, may_touch, prospect, rule};
use gateway_core::manifest::{ObjectKey, Spec};
use gateway_core::operator::Role;
use gateway_core::replay::{Replay, replay};
use gateway_core::snapshot::Snapshot;
use gateway_core::state::{Change, RevisionRecord, State as Objects};
use gateway_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::binding::visible;
use super::foresight::{reads_all, retain_readable, traffic};
use super::{BindingPath, ObjectPath, Shared, binding_key, json, object_key};
use crate::auth::Caller;
use crate::body::Query;
use crate::context::ControlContext;
use crate::ports::AuditQuery;
use crate::problem::Problem;
use crate::write::policy_problem;

/// How many calls and how many refusals are looked at, the newest of each.
const MOST: u32 = 5_000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct EffectQuery {
    /// The pending revision.
    #[param(value_type = u32)]
    revision: Revision,
}

#[derive(Serialize)]
struct Told {
    object: String,
    revision: Revision,
    /// The oldest call that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    /// Whether there are older ones that were not.
    more: bool,
    /// Whose calls were left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    limited: Option<&'static str>,
    #[serde(flatten)]
    replay: Replay,
}

/// Told to who does not read of all calls where the object decides.
const PARTLY: &str = "only calls at servers that your roles cover are looked at: there may be others";

/// Which callers would gain or lose what by a pending revision of a binding, and which would move to another
/// credential: their calls of late, decided anew.
#[utoipa::path(get, path = "/v1/bindings/{environment}/{name}/effect", tag = "approvals",
    params(("environment" = String, Path), ("name" = String, Path), EffectQuery), security(("bearer" = [])),
    responses((status = 200, description = "`gains`, `losses`, `moves`, and what cannot be told", body = Value),
    (status = 404, description = "No such binding or revision"),
    (status = 409, description = "Not pending, or what it rests on is not active yet")))]
pub(crate) async fn of_binding(
    State(context): Shared,
    caller: Caller,
    Path((environment, name)): BindingPath,
    Query(query): Query<EffectQuery>,
) -> Result<Response, Problem> {
    tell(&context, &caller, &binding_key(&environment, &name)?, query.revision).await
}

/// The same for any object; `-` stands for no environment.
#[utoipa::path(get, path = "/v1/objects/{kind}/{environment}/{name}/effect", tag = "approvals",
    params(("kind" = String, Path), ("environment" = String, Path), ("name" = String, Path), EffectQuery),
    security(("bearer" = [])), responses(
    (status = 200, description = "`gains`, `losses`, `moves`, and what cannot be told", body = Value),
    (status = 404, description = "No such object or revision"),
    (status = 409, description = "Not pending, or what it rests on is not active yet")))]
pub(crate) async fn of_object(
    State(context): Shared,
    caller: Caller,
    Path((kind, environment, name)): ObjectPath,
    Query(query): Query<EffectQuery>,
) -> Result<Response, Problem> {
    tell(&context, &caller, &object_key(&kind, &environment, name)?, query.revision).await
}

async fn tell(
    context: &Arc<ControlContext>,
    caller: &Caller,
    key: &ObjectKey,
    revision: Revision,
) -> Result<Response, Problem> {
    let state = context.state.load().await?;
    let record = visible(&state, key, caller)?;
    // It tells who called what: evidence, for those who sign, and for those who read evidence anyway.
    if ![Role::Approver, Role::Auditor].into_iter().any(|role| may_touch(&caller.0, role, &record.spec)) {
        let why = "this takes the role `approver` or `auditor`";
        return Err(Problem::about(&rule::OPERATOR_FORBIDDEN, key, why));
    }
    let change = prospect(&context.deciding(&state, &caller.0), key, revision)?;
    let pending = state.exact(key, revision).unwrap_or(record);
    let (mut events, more) = recent(context, pending).await?;
    retain_readable(&state, &caller.0, &mut events);
    events.sort_by_key(|event| event.time);
    let since = events.first().map(|event| event.time);
    let touched = pending.spec.environments();
    let whole = touched.into_iter().all(|environment| reads_all(&caller.0, environment));
    let limited = (!whole).then_some(PARTLY);
    // Building both sides and deciding takes a while.
    let (now, context, state) = (context.now(), Arc::clone(context), Arc::clone(&state));
    let replayed = tokio::task::spawn_blocking(move || {
        let (before, after) = (snapshot(&context, &state)?, changed(&context, &state, &change)?);
        Ok::<_, Problem>(replay(&before, &after, &events, now))
    });
    let replay = replayed.await.map_err(|_| Problem::busy())??;
    Ok(json(&Told { object: key.to_string(), revision, since, more, limited, replay }))
}

fn snapshot(context: &ControlContext, state: &Objects) -> Result<Snapshot, Problem> {
    let built = Snapshot::build(state, &*context.compiler, &[]);
    built.map_err(|error| policy_problem(&error.environment, &error.issues))
}

fn changed(context: &ControlContext, state: &Objects, change: &Change) -> Result<Snapshot, Problem> {
    let mut after = state.clone();
    lifecycle::commit(&mut after, change)?;
    snapshot(context, &after)
}

/// The newest calls and refusals where the object decides, and whether there are more.
async fn recent(context: &ControlContext, record: &RevisionRecord) -> Result<(Vec<Event>, bool), Problem> {
    let mut query = AuditQuery::default();
    match &record.spec {
        Spec::Binding(binding) => {
            query.environment = Some(binding.environment.to_string());
            query.server = Some(binding.server.to_string());
        }
        Spec::Server(server) => {
            query.environment = Some(server.environment.to_string());
            query.server = Some(server.name.to_string());
        }
        Spec::Agent(agent) => query.agent = Some(agent.name.to_string()),
        Spec::Environment(environment) => query.environment = Some(environment.name.to_string()),
        Spec::Policy(policy) => query.environment = Some(policy.environment.to_string()),
        Spec::Provider(provider) => query.environment = Some(provider.environment.to_string()),
        Spec::Workload(_) => {}
    }
    traffic(context, query, MOST).await
}
