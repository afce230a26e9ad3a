//! Who can reach a tool, and what a caller can reach: by what decides now.

use axum::extract::State;
use axum::response::Response;
use gateway_core::explain::{Reaches, Sight, Subject, WhoReaches, what_reaches, who_reaches};
use gateway_core::id::{AgentName, EnvironmentName, GroupName, ServerName, ToolName, WorkloadName};
use gateway_core::lifecycle::rule;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::{Shared, json};
use crate::auth::Caller;
use crate::body::Query;
use crate::problem::Problem;

/// Told to operators who see a part of an environment only.
const PARTLY: &str = "only what your roles cover is told: there may be more";

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhoQuery {
    /// The environment.
    #[param(value_type = String)]
    environment: EnvironmentName,
    /// The server.
    #[param(value_type = String)]
    server: ServerName,
    /// The tool.
    #[param(value_type = String)]
    tool: ToolName,
}

#[derive(Serialize)]
struct Who {
    #[serde(flatten)]
    story: WhoReaches,
    #[serde(skip_serializing_if = "Option::is_none")]
    limited: Option<&'static str>,
}

/// Who can reach a tool: every declared caller that gets through, by which binding and policy; who nearly does,
/// and what is missing; and who has no way at all.
#[utoipa::path(get, path = "/v1/access/who", tag = "access", params(WhoQuery), security(("bearer" = [])), responses(
    (status = 200, description = "`reaches`, `nearly` and `nobody`", body = Value),
    (status = 400, description = "The question is malformed"),
    (status = 401, description = "No operator"),
    (status = 404, description = "No such server")))]
pub(crate) async fn who(
    State(context): Shared,
    caller: Caller,
    Query(query): Query<WhoQuery>,
) -> Result<Response, Problem> {
    let (snapshot, now) = (context.snapshots.current(), context.now());
    let places = context.presentation.beyond(&caller.0);
    let whole = Sight { operator: &caller.0, places: &places }.is_whole(&query.environment);
    let told = tokio::task::spawn_blocking(move || {
        let place = (&query.environment, &query.server, &query.tool);
        who_reaches(&snapshot, place, Sight { operator: &caller.0, places: &places }, now)
    });
    let story = told.await.map_err(|_| Problem::busy())?;
    let story = story.ok_or_else(|| Problem::new(&rule::OBJECT_UNKNOWN, "no such server"))?;
    Ok(json(&Who { story, limited: (!whole).then_some(PARTLY) }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhatQuery {
    /// The agent; exactly one of `agent`, `workload`, `group` and `user` is asked of.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    agent: Option<AgentName>,
    /// The workload.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    workload: Option<WorkloadName>,
    /// A group of the identity provider.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    group: Option<GroupName>,
    /// The user, as `issuer|subject`.
    #[serde(default)]
    user: Option<String>,
    /// Only in this environment.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    environment: Option<EnvironmentName>,
}

impl WhatQuery {
    fn subject(&self) -> Result<Subject, Problem> {
        let found = [
            self.agent.clone().map(Subject::Agent),
            self.workload.clone().map(Subject::Workload),
            self.group.clone().map(Subject::Group),
            self.user.clone().map(Subject::User),
        ];
        let mut found = found.into_iter().flatten();
        match (found.next(), found.next()) {
            (Some(Subject::User(user)), None) if !user.contains('|') => {
                Err(Problem::contradictory("a user is written as `issuer|subject`"))
            }
            (Some(subject), None) => Ok(subject),
            _ => Err(Problem::contradictory(
                "exactly one of `agent`, `workload`, `group` and `user` is needed",
            )),
        }
    }
}

#[derive(Serialize)]
struct What {
    #[serde(flatten)]
    story: Reaches,
    #[serde(skip_serializing_if = "Option::is_none")]
    limited: Option<&'static str>,
}

/// What an agent, a workload, a group or a user can reach: servers and tools, by which binding and policy; and what
/// it nearly reaches.
#[utoipa::path(get, path = "/v1/access/what", tag = "access", params(WhatQuery), security(("bearer" = [])), responses(
    (status = 200, description = "`reaches` and `nearly`", body = Value),
    (status = 400, description = "The question is malformed"),
    (status = 401, description = "No operator"),
    (status = 404, description = "No such agent or workload")))]
pub(crate) async fn what(
    State(context): Shared,
    caller: Caller,
    Query(query): Query<WhatQuery>,
) -> Result<Response, Problem> {
    let subject = query.subject()?;
    let (snapshot, now) = (context.snapshots.current(), context.now());
    let places = context.presentation.beyond(&caller.0);
    let whole = {
        let sight = Sight { operator: &caller.0, places: &places };
        snapshot.environments().all(|view| sight.is_whole(&view.spec.name))
    };
    let told = tokio::task::spawn_blocking(move || {
        let sight = Sight { operator: &caller.0, places: &places };
        what_reaches(&snapshot, &subject, query.environment.as_ref(), sight, now)
    });
    let story = told.await.map_err(|_| Problem::busy())?;
    let story = story.ok_or_else(|| Problem::new(&rule::OBJECT_UNKNOWN, "no such agent or workload"))?;
    Ok(json(&What { story, limited: (!whole).then_some(PARTLY) }))
}
