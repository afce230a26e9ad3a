//! Sessions and live streams: listed, and ended by the same verb (DESIGN, section 10.7).

use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use gateway_core::audit::{Decision, Event, EventKind};
use gateway_core::lifecycle::{may_touch, rule};
use gateway_core::manifest::{Kind, ObjectKey};
use gateway_core::operator::Role;
use gateway_core::ports::Sequence;
use gateway_core::session::{LiveSession, SessionKind, Terminated};
use gateway_core::state::State as Objects;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::binding::visible;
use super::{Shared, json};
use crate::auth::Caller;
use crate::body::{Body, Query};
use crate::context::ControlContext;
use crate::page::{Cursor, Limit, Page, place_in_time};
use crate::problem::Problem;

/// How long what runs in one session may take to end.
const END_DEADLINE: Duration = Duration::from_secs(5);

/// How many are ended at once.
const ENDS_AT_ONCE: usize = 16;

/// Which sessions; all conditions that are set must hold.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Selection {
    /// Only of this environment.
    environment: Option<String>,
    /// Only on this server.
    server: Option<String>,
    /// Only of this actor: a user as `iss|sub`, an agent or a workload.
    actor: Option<String>,
    /// Only under this binding, whatever its revision.
    binding: Option<String>,
}

impl Selection {
    fn holds(&self, session: &LiveSession) -> bool {
        let same =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        let under = |name: &str| session.bindings.iter().any(|binding| binding.name.as_str() == name);
        same(&self.environment, session.environment.as_str())
            && same(&self.server, session.server.as_str())
            && self.actor.as_deref().is_none_or(|name| session.actor.is_named(name))
            && self.binding.as_deref().is_none_or(under)
    }

    const fn is_empty(&self) -> bool {
        self.environment.is_none() && self.server.is_none() && self.actor.is_none() && self.binding.is_none()
    }
}

/// Which sessions are listed; all conditions that are set must hold.
#[derive(Deserialize, IntoParams, Default)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SessionQuery {
    /// Only of this environment.
    environment: Option<String>,
    /// Only on this server.
    server: Option<String>,
    /// Only of this actor: a user as `iss|sub`, an agent or a workload.
    actor: Option<String>,
    /// Only under this binding, whatever its revision.
    binding: Option<String>,
    /// `next` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
    /// How many at most, 1 to 500; all of them where absent.
    #[param(value_type = Option<u32>)]
    limit: Option<Limit<500>>,
}

#[derive(Serialize)]
struct Ended {
    id: String,
    kind: SessionKind,
    #[serde(flatten)]
    terminated: Terminated,
    /// Where it stands in the audit log; absent while the log cannot be written.
    audit: Option<Sequence>,
}

#[derive(Serialize)]
struct AllEnded {
    terminated: Vec<Ended>,
}

/// A session is its server's owner's affair: who may see the server sees it, who may edit it ends it.
fn server_of(session: &LiveSession) -> ObjectKey {
    let (environment, name) = (Some(session.environment.clone()), session.server.to_string());
    ObjectKey { kind: Kind::Server, environment, name }
}

fn may_end(state: &Objects, caller: &Caller, session: &LiveSession) -> bool {
    let record = visible(state, &server_of(session), caller);
    record.is_ok_and(|record| may_touch(&caller.0, Role::Editor, &record.spec))
}

fn seen(state: &Objects, context: &ControlContext, caller: &Caller) -> Vec<LiveSession> {
    let mut all = context.sessions.sessions();
    all.retain(|session| visible(state, &server_of(session), caller).is_ok());
    all
}

/// The sessions and live streams of this replica, on servers that one may see; the oldest first.
#[utoipa::path(get, path = "/v1/sessions", tag = "sessions", params(SessionQuery), security(("bearer" = [])),
    responses((status = 200, description = "`items`: protocol sessions and live streams", body = Value)))]
pub(crate) async fn list(
    State(context): Shared,
    caller: Caller,
    Query(query): Query<SessionQuery>,
) -> Result<Response, Problem> {
    let state = context.state.load().await?;
    let SessionQuery { environment, server, actor, binding, cursor, limit } = query;
    let selection = Selection { environment, server, actor, binding };
    let seen = seen(&state, &context, &caller).into_iter().filter(|session| selection.holds(session));
    let mut wanted: Vec<(String, LiveSession)> =
        seen.map(|session| (place_in_time(session.opened_at, &session.id), session)).collect();
    wanted.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(Page::cut(wanted, cursor.as_ref(), limit.map(Limit::items))?.into_response())
}

/// Ends one session or stream: what runs in it is cut, and its client has to begin anew.
#[utoipa::path(post, path = "/v1/sessions/{id}/terminate", tag = "sessions", params(("id" = String, Path)),
    security(("bearer" = [])), responses((status = 200, description = "What was ended", body = Value),
    (status = 404, description = "No such session (any more)", body = Value)))]
pub(crate) async fn terminate(
    State(context): Shared,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let unknown = || Problem::new(&rule::OBJECT_UNKNOWN, "no such session");
    let state = context.state.load().await?;
    let session = seen(&state, &context, &caller).into_iter().find(|session| session.id == id);
    let session = session.ok_or_else(unknown)?;
    if !may_end(&state, &caller, &session) {
        let why = "your roles do not cover this server";
        return Err(Problem::about(&rule::OPERATOR_FORBIDDEN, &server_of(&session), why));
    }
    let ended = end(&context, &caller, session).await.ok_or_else(unknown)?;
    Ok(json(&ended))
}

/// Ends every session and stream that matches, on servers that one may edit. At least one condition is
/// needed.
#[utoipa::path(post, path = "/v1/sessions/terminate", tag = "sessions", request_body = Selection,
    security(("bearer" = [])), responses((status = 200, description = "What was ended, one by one", body = Value)))]
pub(crate) async fn terminate_all(
    State(context): Shared,
    caller: Caller,
    Body(selection): Body<Selection>,
) -> Result<Response, Problem> {
    if selection.is_empty() {
        return Err(Problem::contradictory(
            "one of `environment`, `server`, `actor` and `binding` is needed",
        ));
    }
    let state = context.state.load().await?;
    let mut chosen = seen(&state, &context, &caller);
    chosen.retain(|session| selection.holds(session));
    let allowed = chosen.iter().any(|session| may_end(&state, &caller, session));
    if let Some(first) = chosen.first().filter(|_| !allowed) {
        let why = "your roles do not cover these servers";
        return Err(Problem::about(&rule::OPERATOR_FORBIDDEN, &server_of(first), why));
    }
    chosen.retain(|session| may_end(&state, &caller, session));
    // A session takes its streams with it, and they are counted there.
    let sessions: Vec<String> =
        chosen.iter().filter(|one| one.kind == SessionKind::Session).map(|one| one.id.clone()).collect();
    chosen.retain(|one| one.session.as_ref().is_none_or(|session| !sessions.contains(session)));
    let ending = chosen.into_iter().map(|session| end(&context, &caller, session));
    let terminated = futures::stream::iter(ending).buffer_unordered(ENDS_AT_ONCE).collect::<Vec<_>>().await;
    let terminated = terminated.into_iter().flatten().collect();
    Ok(json(&AllEnded { terminated }))
}

async fn end(context: &ControlContext, caller: &Caller, session: LiveSession) -> Option<Ended> {
    let terminated = context.sessions.terminate(&session.id, END_DEADLINE).await?;
    let mut event = session.describe(Event::new(EventKind::SessionTerminated, context.now()));
    event.operator = Some(caller.0.name.clone());
    event.decision = Some(Decision::Allow);
    event.ended = Some(terminated.ended);
    let audit = context.evidence(event).await;
    Some(Ended { id: session.id, kind: session.kind, terminated, audit })
}
