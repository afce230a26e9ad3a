//! Lists of objects of every kind but bindings.

use axum::extract::State as Extracted;
use axum::response::{IntoResponse as _, Response};
use gateway_core::id::{EnvironmentName, OperatorName, Revision, TeamName};
use gateway_core::lifecycle::{Requirement, declared, may_touch, pending, still_missing};
use gateway_core::manifest::{Kind, ObjectKey, Spec};
use gateway_core::operator::Role;
use gateway_core::state::{Approval, Lifecycle, RevisionRecord, State};
use gateway_core::stores::Stores;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::Shared;
use crate::auth::Caller;
use crate::body::Query;
use crate::context::ControlContext;
use crate::entity::EntityTag;
use crate::masking::shown;
use crate::page::{Cursor, Limit, Page, mentions, place_of};
use crate::problem::Problem;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectQuery {
    /// Only of this environment.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    environment: Option<EnvironmentName>,
    /// Only of this owner team.
    #[serde(default)]
    owner: Option<String>,
    /// Only of this status; `pending` also finds those with a pending revision.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    status: Option<Lifecycle>,
    /// Only those whose name, environment or owner holds this text, whatever its case.
    #[serde(default)]
    text: Option<String>,
    /// `next` of the page before.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
    /// How many at most, 1 to 500; all of them where absent.
    #[serde(default)]
    #[param(value_type = Option<u32>)]
    limit: Option<Limit<500>>,
}

impl ObjectQuery {
    fn finds(&self, state: &State, record: &RevisionRecord) -> bool {
        let key = &record.key;
        let owner = record.spec.owner().map_or("", TeamName::as_str);
        let environments = record.spec.environments();
        let here = self.environment.as_ref().is_none_or(|wanted| environments.contains(&wanted));
        let waits = || pending(state, key).is_some();
        let stands = self
            .status
            .is_none_or(|wanted| record.status == wanted || (wanted == Lifecycle::Pending && waits()));
        let words = environments.iter().map(|name| name.as_str()).chain([key.name.as_str(), owner]);
        here && stands
            && self.owner.as_deref().is_none_or(|wanted| wanted == owner)
            && mentions(self.text.as_deref(), words)
    }
}

#[derive(Serialize)]
struct Object<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<EntityTag>,
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
    let found = keys.into_iter().filter_map(|key| declared(&state, key));
    let seen = found.filter(|record| may_touch(&caller.0, Role::Viewer, &record.spec));
    let wanted = seen.filter(|record| query.finds(&state, record));
    let placed = wanted.map(|record| (place_of(&record.key), record));
    let page = Page::cut(placed, query.cursor.as_ref(), query.limit.map(Limit::items))?;
    let covered = |record: &RevisionRecord| context.presentation.covers(&caller.0, &record.spec);
    let told = |record: &RevisionRecord| shown(&show(&state, &context.stores, record), covered(record));
    Ok(page.map(told).into_response())
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
        etag: EntityTag::of_object(state, &record.key),
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
