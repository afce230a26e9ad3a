//! What waits and what ends soon: the two lists that people are reminded by.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use gateway_core::card::rotation;
use gateway_core::id::EnvironmentName;
use gateway_core::lifecycle::{may_touch, pending, signs};
use gateway_core::manifest::{BindingSpec, Kind, ObjectKey, Spec};
use gateway_core::operator::Role;
use gateway_core::review::appointment;
use gateway_core::state::{Lifecycle, RevisionRecord, State as Objects};
use gateway_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::token::agent_of;
use super::whole::Waiting;
use super::{Shared, json};
use crate::auth::Caller;
use crate::body::Query;
use crate::masking::shown;
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

/// Every pending revision that one may see, with what it changes and whose signatures are missing.
#[utoipa::path(get, path = "/v1/waiting", tag = "approvals", security(("bearer" = [])),
    responses((status = 200, description = "`items`, of every kind; `yours` where one can sign", body = Value)))]
pub(crate) async fn list(State(context): Shared, caller: Caller) -> Result<Response, Problem> {
    let state = context.state.load().await?;
    let deciding = context.deciding(&state, &caller.0);
    let mut keys: Vec<&ObjectKey> =
        state.revisions.iter().filter(|one| one.status == Lifecycle::Pending).map(|one| &one.key).collect();
    // What others rest on comes first: that is the order in which it can be signed.
    keys.sort();
    keys.dedup();
    let seen = keys.into_iter().filter_map(|key| pending(&state, key));
    let seen = seen.filter(|record| may_touch(&caller.0, Role::Viewer, &record.spec));
    let items: Vec<serde_json::Value> = seen
        .map(|record| {
            let waits = Waits {
                kind: record.key.kind.word(),
                environment: record.key.environment.as_ref(),
                name: &record.key.name,
                yours: signs(&deciding, record),
                waiting: Waiting::of(&state, &context, record),
            };
            shown(&waits, context.presentation.covers(&caller.0, &record.spec))
        })
        .collect();
    Ok(json(&serde_json::json!({ "items": items })))
}

/// How far ahead.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ahead {
    /// So many days; 14 where absent, 366 is the most.
    #[serde(default)]
    days: Option<u32>,
}

/// Why something needs somebody soon.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct Soon {
    /// When.
    at: String,
    due: Due,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    /// The binding, or the agent.
    name: String,
    overdue: bool,
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
    let days = u64::from(ahead.days.unwrap_or(DAYS).clamp(1, MOST_DAYS));
    let span = Span { now, until: now.plus(Duration::from_secs(days.saturating_mul(24 * 3_600))) };
    let seen = |record: &&RevisionRecord| may_touch(&caller.0, Role::Viewer, &record.spec);
    let bindings = state.all_active(Kind::Binding).filter(seen);
    let mut items: Vec<Soon> = bindings
        .filter_map(|record| match &record.spec {
            Spec::Binding(spec) => Some(span.of_binding(&state, &record.key, spec)),
            _ => None,
        })
        .flatten()
        .collect();
    items.extend(span.tokens(&state, &caller));
    items.sort();
    Ok(json(&serde_json::json!({ "items": items })))
}

/// From now until then.
#[derive(Clone, Copy)]
struct Span {
    now: Timestamp,
    until: Timestamp,
}

impl Span {
    fn of_binding(self, state: &Objects, key: &ObjectKey, spec: &BindingSpec) -> Vec<Soon> {
        let soon = |due, at: String, overdue| Soon {
            at,
            due,
            environment: Some(spec.environment.to_string()),
            name: spec.name.to_string(),
            overdue,
        };
        let ends = spec.expires_at.filter(|at| *at <= self.until);
        let ends = ends.map(|at| soon(Due::Ends, at.to_string(), at <= self.now));
        let review = appointment(state, key).filter(|review| review.end <= self.until);
        let review = review.map(|review| soon(Due::Review, review.end.to_string(), review.end <= self.now));
        let next = rotation(state, spec).and_then(|rotation| rotation.next_due);
        let next = next.filter(|at| *at <= self.until);
        let next = next.map(|at| soon(Due::Rotation, at.to_string(), at <= self.now));
        [ends, review, next].into_iter().flatten().collect()
    }

    fn tokens(self, state: &Objects, caller: &Caller) -> Vec<Soon> {
        let alive = state.agent_tokens.iter().filter(|token| {
            token.revoked_at.is_none() && token.expires_at > self.now && token.expires_at <= self.until
        });
        let seen = alive.filter(|token| {
            let key = agent_of(token.agent.as_str()).ok().map(|(_, key)| key);
            let record = key.and_then(|key| state.standing(&key));
            record.is_some_and(|record| may_touch(&caller.0, Role::Viewer, &record.spec))
        });
        let soon = |token: &gateway_core::state::AgentTokenRecord| Soon {
            at: token.expires_at.to_string(),
            due: Due::AgentToken,
            environment: None,
            name: token.agent.to_string(),
            overdue: false,
        };
        seen.map(soon).collect()
    }
}
