//! Calls of late, counted: for the owner of a server or an agent, and for who looks after everything.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use gateway_core::audit::{Event, EventKind};
use gateway_core::id::{EnvironmentName, ServerName};
use gateway_core::lifecycle::{may_touch, rule};
use gateway_core::manifest::{Kind, ObjectKey, Spec};
use gateway_core::operator::{Role, Scope};
use gateway_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::binding::visible;
use super::token::agent_of;
use super::{Shared, json};
use crate::auth::Caller;
use crate::body::Query;
use crate::context::ControlContext;
use crate::page::reach;
use crate::ports::{AuditEntry, AuditQuery};
use crate::problem::Problem;

/// The span looked at where nobody says: a day, and the longest: a week.
const DAY: u32 = 24 * 60;
const WEEK: u32 = 7 * DAY;
/// How many ends of calls and how many refusals are looked at, the newest of each.
const MOST: u32 = 500;
/// How many lines of counts, and how many single calls, are told.
const LINES: usize = 100;
const LATEST: usize = 20;

/// Which calls at a server.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DoorQuery {
    /// Of the last so many minutes; 1,440 where absent, 10,080 is the most.
    #[serde(default)]
    minutes: Option<u32>,
}

/// Which calls.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallsQuery {
    /// Of the last so many minutes; 1,440 where absent, 10,080 is the most.
    #[serde(default)]
    minutes: Option<u32>,
    /// Only of this environment.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    environment: Option<EnvironmentName>,
}

/// What came of some calls.
#[derive(Serialize)]
struct Calls {
    since: Timestamp,
    /// Uses of a credential that ended.
    uses: u64,
    /// Calls that were refused before any use.
    refusals: u64,
    /// Whether there are more than were counted.
    more: bool,
    /// Who did what, the most frequent first.
    by: Vec<Line>,
    /// The newest ones.
    latest: Vec<Latest>,
}

#[derive(Serialize, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    /// The agent, else the workload, else the user.
    who: String,
    environment: String,
    server: String,
    mode: String,
    /// `answered`, `failed` or `refused`.
    outcome: &'static str,
    /// The code of a refusal or failure, else the server's status.
    detail: String,
}

#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    group: Group,
    calls: u64,
    last: Timestamp,
}

#[derive(Serialize)]
struct Latest {
    time: Timestamp,
    request_id: Option<String>,
    #[serde(flatten)]
    group: Group,
    tool: Option<String>,
    binding: Option<String>,
}

fn told<T: ToString>(value: Option<&T>) -> String {
    value.map(T::to_string).unwrap_or_default()
}

impl Group {
    fn of(event: &Event) -> Self {
        let agent = event.agent.as_ref().map(ToString::to_string);
        let workload = event.workload.as_ref().map(ToString::to_string);
        let status = event.outcome.as_ref().and_then(|outcome| outcome.upstream_status);
        let aborted = event.outcome.as_ref().is_some_and(|outcome| outcome.aborted);
        let reason = event.reason.clone();
        let outcome = match event.kind {
            EventKind::Refused => "refused",
            _ if reason.is_some() || aborted || status.is_some_and(|status| status >= 400) => "failed",
            _ => "answered",
        };
        let cut = aborted.then(|| "cut off".to_owned());
        Self {
            who: agent.or(workload).or_else(|| event.user.clone()).unwrap_or_default(),
            environment: told(event.environment.as_ref()),
            server: told(event.server.as_ref()),
            mode: event.mode.map(|mode| mode.word().to_owned()).unwrap_or_default(),
            outcome,
            detail: reason.or(cut).or_else(|| status.map(|status| status.to_string())).unwrap_or_default(),
        }
    }
}

/// The newest calls that match, of one kind of end; and whether there are more.
async fn newest(
    context: &ControlContext,
    query: &AuditQuery,
    kind: EventKind,
) -> Result<(Vec<AuditEntry>, bool), Problem> {
    let query = AuditQuery { kind: Some(kind), limit: Some(MOST), ..query.clone() };
    let page = context.audit_reader.search(&query).await?;
    Ok((page.records, page.more))
}

async fn count(
    context: &ControlContext,
    minutes: Option<u32>,
    mut query: AuditQuery,
) -> Result<Calls, Problem> {
    let minutes = reach("minutes", minutes, DAY, WEEK)?;
    let span = Duration::from_secs(u64::from(minutes).saturating_mul(60));
    let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    let since = Timestamp::from_micros(context.now().micros().saturating_sub(micros));
    query.from = Some(since);
    let (used, refused) = futures::try_join!(
        newest(context, &query, EventKind::Outcome),
        newest(context, &query, EventKind::Refused),
    )?;
    let ((used, more_uses), (refused, more_refusals)) = (used, refused);
    let (uses, refusals) = (used.len() as u64, refused.len() as u64);
    let mut entries: Vec<AuditEntry> = used.into_iter().chain(refused).collect();
    entries.sort_by_key(|entry| std::cmp::Reverse((entry.event.time, entry.sequence)));
    let mut groups: BTreeMap<Group, (u64, Timestamp)> = BTreeMap::new();
    for entry in &entries {
        let seen = groups.entry(Group::of(&entry.event)).or_insert((0, entry.event.time));
        seen.0 = seen.0.saturating_add(1);
    }
    let mut by: Vec<Line> =
        groups.into_iter().map(|(group, (calls, last))| Line { group, calls, last }).collect();
    by.sort_by_key(|line| std::cmp::Reverse((line.calls, line.last)));
    let more = more_uses || more_refusals || by.len() > LINES;
    by.truncate(LINES);
    let latest = entries.iter().take(LATEST).map(|entry| latest(&entry.event)).collect();
    Ok(Calls { since, uses, refusals, more, by, latest })
}

fn latest(event: &Event) -> Latest {
    Latest {
        time: event.time,
        request_id: event.request_id.as_ref().map(|id| id.as_str().to_owned()),
        group: Group::of(event),
        tool: event.tool.as_ref().map(ToString::to_string).or_else(|| event.method.clone()),
        binding: event.binding.as_ref().map(ToString::to_string),
    }
}

/// Calls are evidence: for those who read evidence, and for whoever answers for the thing or signs for it.
fn demand(caller: &Caller, key: &ObjectKey, spec: &Spec) -> Result<(), Problem> {
    let roles = [Role::Auditor, Role::Approver, Role::Editor];
    if roles.into_iter().any(|role| may_touch(&caller.0, role, spec)) {
        return Ok(());
    }
    let why = "this takes the role `auditor`, `approver` or `editor` for it";
    Err(Problem::about(&rule::OPERATOR_FORBIDDEN, key, why))
}

/// Calls at the door of a server, by who called, in which mode, and what came of it.
#[utoipa::path(get, path = "/v1/servers/{environment}/{name}/calls", tag = "servers",
    params(("environment" = String, Path), ("name" = String, Path), DoorQuery), security(("bearer" = [])), responses(
    (status = 200, description = "Counts in `by`, and the `latest` calls", body = Value),
    (status = 403, description = "No role for it", body = Value),
    (status = 404, description = "No such server", body = Value)))]
pub(crate) async fn of_server(
    State(context): Shared,
    caller: Caller,
    Path((environment, name)): Path<(String, String)>,
    Query(query): Query<DoorQuery>,
) -> Result<Response, Problem> {
    let unknown = || Problem::new(&rule::OBJECT_UNKNOWN, "no such server");
    let environment = EnvironmentName::parse(&environment).map_err(|_| unknown())?;
    let name = ServerName::parse(&name).map_err(|_| unknown())?.to_string();
    let key = ObjectKey { kind: Kind::Server, environment: Some(environment.clone()), name: name.clone() };
    let state = context.state.load().await?;
    demand(&caller, &key, &visible(&state, &key, &caller)?.spec)?;
    let (environment, server) = (Some(environment.to_string()), Some(name));
    let wanted = AuditQuery { environment, server, ..AuditQuery::default() };
    Ok(json(&count(&context, query.minutes, wanted).await?))
}

/// Calls of an agent, by server, mode, and what came of them.
#[utoipa::path(get, path = "/v1/agents/{name}/calls", tag = "agents",
    params(("name" = String, Path), CallsQuery), security(("bearer" = [])), responses(
    (status = 200, description = "Counts in `by`, and the `latest` calls", body = Value),
    (status = 403, description = "No role for it", body = Value),
    (status = 404, description = "No such agent", body = Value)))]
pub(crate) async fn of_agent(
    State(context): Shared,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<CallsQuery>,
) -> Result<Response, Problem> {
    let key = agent_of(&name)?.1;
    let state = context.state.load().await?;
    demand(&caller, &key, &visible(&state, &key, &caller)?.spec)?;
    let environment = query.environment.map(|environment| environment.to_string());
    let wanted = AuditQuery { agent: Some(name), environment, ..AuditQuery::default() };
    Ok(json(&count(&context, query.minutes, wanted).await?))
}

/// Calls of everybody, or in one environment.
#[utoipa::path(get, path = "/v1/calls", tag = "audit", params(CallsQuery), security(("bearer" = [])), responses(
    (status = 200, description = "Counts in `by`, and the `latest` calls", body = Value),
    (status = 403, description = "No role for it", body = Value)))]
pub(crate) async fn of_everybody(
    State(context): Shared,
    caller: Caller,
    Query(query): Query<CallsQuery>,
) -> Result<Response, Problem> {
    caller.demand(Role::Auditor, Scope { team: None, environment: query.environment.as_ref() })?;
    let environment = query.environment.map(|environment| environment.to_string());
    let wanted = AuditQuery { environment, ..AuditQuery::default() };
    Ok(json(&count(&context, query.minutes, wanted).await?))
}
