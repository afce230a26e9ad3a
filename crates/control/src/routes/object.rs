//! Lists of servers, agents, policies and environments.

use axum::extract::State as Extracted;
use axum::response::Response;
use gateway_core::id::{EnvironmentName, OperatorName, Revision};
use gateway_core::lifecycle::{Requirement, declared, may_touch, pending, still_missing};
use gateway_core::manifest::{Kind, ObjectKey, Spec};
use gateway_core::operator::Role;
use gateway_core::state::{Approval, Lifecycle, RevisionRecord, State};
use gateway_core::stores::Stores;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::{Shared, json};
use crate::auth::Caller;
use crate::body::Query;
use crate::context::ControlContext;
use crate::problem::Problem;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectQuery {
    /// Only of this environment.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    environment: Option<EnvironmentName>,
}

#[derive(Serialize)]
struct Object<'a> {
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
}

#[derive(Serialize)]
struct Waiting<'a> {
    revision: Revision,
    author: &'a OperatorName,
    spec: &'a Spec,
    approvals: &'a [Approval],
    missing: Vec<Requirement>,
}

#[derive(Serialize)]
struct Objects<'a> {
    items: Vec<Object<'a>>,
}

async fn list(
    context: &ControlContext,
    caller: &Caller,
    kind: Kind,
    query: &ObjectQuery,
) -> Result<Response, Problem> {
    let state = context.state.load().await?;
    let mut keys: Vec<&ObjectKey> =
        state.revisions.iter().map(|record| &record.key).filter(|key| key.kind == kind).collect();
    keys.sort();
    keys.dedup();
    let here = |record: &RevisionRecord| {
        let wanted = query.environment.as_ref();
        wanted.is_none_or(|wanted| record.spec.environments().contains(&wanted))
            && may_touch(&caller.0, Role::Viewer, &record.spec)
    };
    let found = keys.into_iter().filter_map(|key| declared(&state, key)).filter(|record| here(record));
    let items = found.map(|record| show(&state, &context.stores, record)).collect();
    Ok(json(&Objects { items }))
}

fn show<'a>(state: &'a State, stores: &Stores, record: &'a RevisionRecord) -> Object<'a> {
    let waiting = pending(state, &record.key).filter(|waiting| waiting.revision != record.revision);
    let waiting = waiting.or((record.status == Lifecycle::Pending).then_some(record));
    let pending = waiting.map(|waiting| Waiting {
        revision: waiting.revision,
        author: &waiting.author,
        spec: &waiting.spec,
        approvals: &waiting.approvals,
        missing: still_missing(state, stores, waiting),
    });
    Object {
        name: &record.key.name,
        environment: record.key.environment.as_ref(),
        revision: record.revision,
        status: record.status,
        author: &record.author,
        approvals: &record.approvals,
        spec: &record.spec,
        pending,
    }
}

macro_rules! lists {
    ($($name:ident, $path:literal, $kind:ident, $what:literal;)+) => {$(
        #[doc = $what]
        #[utoipa::path(get, path = $path, tag = "objects", params(ObjectQuery), security(("bearer" = [])),
            responses((status = 200, description = "`items` with spec, status and pending revision", body = Value)))]
        pub(crate) async fn $name(
            Extracted(context): Shared,
            caller: Caller,
            Query(query): Query<ObjectQuery>,
        ) -> Result<Response, Problem> {
            list(&context, &caller, Kind::$kind, &query).await
        }
    )+};
}

lists! {
    servers, "/v1/servers", Server, "The servers that one may see.";
    agents, "/v1/agents", Agent, "The agents that one may see.";
    policies, "/v1/policies", Policy, "The policies that one may see.";
    environments, "/v1/environments", Environment, "The environments that one may see.";
    workloads, "/v1/workloads", Workload, "The workloads that one may see.";
    providers, "/v1/providers", Provider, "The providers that one may see.";
}
