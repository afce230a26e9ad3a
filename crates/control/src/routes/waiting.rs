//! What waits and what ends soon: the two lists that people are reminded by.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use gateway_core::card::rotation;
use gateway_core::id::EnvironmentName;
use gateway_core::lifecycle::{may_touch, pending, signs};
use gateway_core::manifest::{BindingSpec, Kind, ObjectKey, Spec};
use gateway_core::operator::Role;
use gateway_core::review::appointment;
use gateway_core::state::{AgentTokenRecord, Lifecycle, RevisionRecord, State as Objects};
use gateway_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::Shared;
use super::token::agent_of;
use super::whole::Waiting;
use crate::auth::Caller;
use crate::body::Query;
use crate::masking::shown;
use crate::page::{Cursor, Limit, Page, PageQuery, place_among_kinds, place_in_time, reach};
use crate::problem::Problem;

/// How many days ahead are looked at where nobody says, and at most.
const DAYS: u32 = 14;
const MOST_DAYS: u32 = 366;

#[derive(Serialize)]
struct Waits<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a EnvironmentName>,
    name: &'a str,
    /// Whether the one who asks can sign it now.
    yours: bool,
    #[serde(flatten)]
    waiting: Waiting<'a>,
}

/// Every pending revision that one may see, with what it changes and whose signatures are missing; what others rest on
/// comes first.
#[utoipa::path(get, path = "/v1/waiting", tag = "approvals", params(PageQuery), security(("bearer" = [])),
    responses((status = 200, description = "`items`, of every kind; `yours` where one can sign", body = Value)))]
pub(crate) async fn list(
    State(context): Shared,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let state = context.state.load().await?;
    let deciding = context.deciding(&state, &caller.0);
    let mut keys: Vec<&ObjectKey> =
        state.revisions.iter().filter(|one| one.status == Lifecycle::Pending).map(|one| &one.key).collect();
    // What others rest on comes first: that is the order in which it can be signed.
    keys.sort();
    keys.dedup();
    let seen = keys.into_iter().filter_map(|key| pending(&state, key));
    let seen = seen.filter(|record| may_touch(&caller.0, Role::Viewer, &record.spec));
    let placed = seen.map(|record| (place_among_kinds(&record.key), record));
    let page = Page::cut(placed, query.cursor.as_ref(), query.limit.map(Limit::items))?;
    let told = |record: &RevisionRecord| {
        let waits = Waits {
            kind: record.key.kind.word(),
            environment: record.key.environment.as_ref(),
            name: &record.key.name,
            yours: signs(&deciding, record),
            waiting: Waiting::of(&state, &context, record),
        };
        shown(&waits, context.presentation.covers(&caller.0, &record.spec))
    };
    Ok(page.map(told).into_response())
}

/// How far ahead, and which page.
#[derive(Deserialize, IntoParams, Default)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ahead {
    /// So many days; 14 where absent, 366 is the most.
    days: Option<u32>,
    /// `next` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
    /// How many at most, 1 to 500; all of them where absent.
    #[param(value_type = Option<u32>)]
    limit: Option<Limit<500>>,
}

/// Why something needs somebody soon.
#[derive(Serialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Due {
    /// A binding stops by itself.
    Ends,
    /// People are to look at a binding again.
    Review,
    /// A secret is to be rotated.
    Rotation,
    /// An agent's token opens nothing any more.
    AgentToken,
}

impl Due {
    const fn word(self) -> &'static str {
        match self {
            Self::Ends => "ends",
            Self::Review => "review",
            Self::Rotation => "rotation",
            Self::AgentToken => "agent_token",
        }
    }
}

#[derive(Serialize)]
struct Soon<'a> {
    /// When.
    at: Timestamp,
    due: Due,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a EnvironmentName>,
    /// The binding, or the agent.
    name: &'a str,
    overdue: bool,
    /// Tells tokens of one agent apart.
    #[serde(skip)]
    id: &'a str,
}

impl Soon<'_> {
    /// Its place in the order of the list: by time, then by what and whose it is.
    fn place(&self) -> String {
        let environment = self.environment.map_or("", EnvironmentName::as_str);
        place_in_time(self.at, &format!("{}\n{environment}\n{}\n{}", self.due.word(), self.name, self.id))
    }
}

/// What ends or is due soon, of what one may see; the earliest first.
#[utoipa::path(get, path = "/v1/expiring", tag = "objects", params(Ahead), security(("bearer" = [])),
    responses((status = 200, description = "`items`: ends of bindings, reviews, rotations, agent tokens", body = Value)))]
pub(crate) async fn expiring(
    State(context): Shared,
    caller: Caller,
    Query(ahead): Query<Ahead>,
) -> Result<Response, Problem> {
    let state = context.state.load().await?;
    let now = context.now();
    let days = u64::from(reach("days", ahead.days, DAYS, MOST_DAYS)?);
    let span = Span { now, until: now.plus(Duration::from_secs(days.saturating_mul(24 * 3_600))) };
    let seen = |record: &&RevisionRecord| may_touch(&caller.0, Role::Viewer, &record.spec);
    let bindings = state.all_active(Kind::Binding).filter(seen);
    let mut items: Vec<Soon<'_>> = bindings
        .filter_map(|record| match &record.spec {
            Spec::Binding(spec) => Some(span.of_binding(&state, &record.key, spec)),
            _ => None,
        })
        .flatten()
        .collect();
    items.extend(span.tokens(&state, &caller));
    let mut placed: Vec<(String, Soon<'_>)> = items.into_iter().map(|one| (one.place(), one)).collect();
    placed.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(Page::cut(placed, ahead.cursor.as_ref(), ahead.limit.map(Limit::items))?.into_response())
}

/// From now until then.
#[derive(Clone, Copy)]
struct Span {
    now: Timestamp,
    until: Timestamp,
}

impl Span {
    fn of_binding<'a>(self, state: &Objects, key: &ObjectKey, spec: &'a BindingSpec) -> Vec<Soon<'a>> {
        let review = appointment(state, key).map(|review| review.end);
        let next = rotation(state, spec).and_then(|rotation| rotation.next_due);
        let due = [(Due::Ends, spec.expires_at), (Due::Review, review), (Due::Rotation, next)];
        let due = due.into_iter().filter_map(|(due, at)| Some((due, at.filter(|at| *at <= self.until)?)));
        due.map(|(due, at)| Soon {
            at,
            due,
            environment: Some(&spec.environment),
            name: spec.name.as_str(),
            overdue: at <= self.now,
            id: "",
        })
        .collect()
    }

    fn tokens<'a>(self, state: &'a Objects, caller: &Caller) -> Vec<Soon<'a>> {
        let alive = state.agent_tokens.iter().filter(|token| {
            token.revoked_at.is_none() && token.expires_at > self.now && token.expires_at <= self.until
        });
        let seen = alive.filter(|token| {
            let key = agent_of(token.agent.as_str()).ok().map(|(_, key)| key);
            let record = key.and_then(|key| state.standing(&key));
            record.is_some_and(|record| may_touch(&caller.0, Role::Viewer, &record.spec))
        });
        let soon = |token: &'a AgentTokenRecord| Soon {
            at: token.expires_at,
            due: Due::AgentToken,
            environment: None,
            name: token.agent.as_str(),
            overdue: false,
            id: &token.id,
        };
        seen.map(soon).collect()
    }
}
