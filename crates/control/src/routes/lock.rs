//! Locks: time-limited emergency stops, in force everywhere when the answer comes.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use gateway_core::audit::{Ended, EventKind};
use gateway_core::id::OperatorName;
use gateway_core::lifecycle::{LockWish, about_lock, create_lock, lift_lock, may_see_lock, rule};
use gateway_core::lock::{LockEnd, LockRecord, LockSelector};
use gateway_core::ports::Sequence;
use gateway_core::time::Timestamp;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ending::{END_DEADLINE, publish};
use super::{Shared, json, status};
use crate::auth::Caller;
use crate::body::{Body, Query, maybe_whole, object};
use crate::context::ControlContext;
use crate::entity::{EntityTag, IfMatch, IfNoneMatch};
use crate::page::{Cursor, Limit, Page, place_in_time};
use crate::problem::Problem;

/// A lock to be made. Exactly one of `until` and `seconds` is there.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LockBody {
    /// What it stops: `everything`, or any of `environment`, `server`, `tool` (`*` within a name), `binding`,
    /// `provider`, `store`, `agent`, `user`, `workload` and `surface`, all of which must hold.
    #[schema(value_type = Value)]
    #[serde(deserialize_with = "object")]
    selector: LockSelector,
    /// Why, for operators.
    reason: String,
    /// When it ends by itself, within 30 days.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    until: Option<Timestamp>,
    /// After how many seconds it ends by itself.
    #[serde(default, deserialize_with = "maybe_whole")]
    seconds: Option<u64>,
}

/// Which locks.
#[derive(Deserialize, IntoParams, Default)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Which {
    /// Whether to list those too that ended within the last 30 days.
    ended: bool,
    /// `next` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
    /// How many at most, 1 to 500; all of them where absent.
    #[param(value_type = Option<u32>)]
    limit: Option<Limit<500>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    id: &'a str,
    selector: &'a LockSelector,
    /// The selector in words.
    stops: String,
    reason: &'a str,
    author: &'a OperatorName,
    created_at: Timestamp,
    until: Timestamp,
    /// Whether it stops anything now.
    stands: bool,
    /// For how many seconds it will.
    remaining_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<&'a LockEnd>,
}

impl<'a> Shown<'a> {
    fn of(lock: &'a LockRecord, now: Timestamp) -> Self {
        let stands = lock.stands_at(now);
        Self {
            id: &lock.id,
            selector: &lock.selector,
            stops: lock.selector.to_string(),
            reason: &lock.reason,
            author: &lock.author,
            created_at: lock.created_at,
            until: lock.until,
            stands,
            remaining_seconds: if stands { lock.until.since(now).as_secs() } else { 0 },
            ended: lock.ended.as_ref(),
        }
    }
}

#[derive(Serialize)]
struct Made<'a> {
    lock: Shown<'a>,
    /// When it held on every replica.
    completed_at: Timestamp,
    /// What ran here and was ended.
    ended: Ended,
    /// Where the end of it all stands in the audit log; absent while the log cannot be written.
    audit: Option<Sequence>,
}

#[derive(Serialize)]
struct Lifted<'a> {
    lock: Shown<'a>,
    /// Whether every replica lets calls through again; those that do not yet will within their lease.
    everywhere: bool,
}

/// The locks that one may see, the oldest first.
#[utoipa::path(get, path = "/v1/locks", tag = "locks", params(Which), security(("bearer" = [])),
    responses((status = 200, description = "`items`: locks with their remaining time", body = Value)))]
pub(crate) async fn list(
    State(context): Shared,
    caller: Caller,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    let (state, now) = (context.state.load().await?, context.now());
    let seen = state.locks.iter().filter(|lock| may_see_lock(&caller.0, lock));
    let wanted = seen.filter(|lock| which.ended || lock.stands_at(now));
    let mut wanted: Vec<(String, &LockRecord)> =
        wanted.map(|lock| (place_in_time(lock.created_at, &lock.id), lock)).collect();
    wanted.sort_by(|one, other| one.0.cmp(&other.0));
    let page = Page::cut(wanted, which.cursor.as_ref(), which.limit.map(Limit::items))?;
    Ok(page.map(|lock| Shown::of(lock, now)).into_response())
}

/// One lock.
#[utoipa::path(get, path = "/v1/locks/{id}", tag = "locks", params(("id" = String, Path)), security(("bearer" = [])),
    responses((status = 200, description = "The lock", body = Value), (status = 404, description = "No such lock", body = Value)))]
pub(crate) async fn show(
    State(context): Shared,
    caller: Caller,
    unless: IfNoneMatch,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let state = context.state.load().await?;
    let found = state.locks.iter().find(|lock| lock.id == id && may_see_lock(&caller.0, lock));
    let lock = found.ok_or_else(|| Problem::new(&rule::OBJECT_UNKNOWN, "no such lock"))?;
    Ok(EntityTag::of_lock(lock).answer(&unless, &Shown::of(lock, context.now())))
}

/// Makes a lock, and answers when nothing that it matches runs or begins on any replica. Never needs approval.
#[utoipa::path(post, path = "/v1/locks", tag = "locks", request_body = LockBody, security(("bearer" = [])), responses(
    (status = 201, description = "The lock, and what it ended", body = Value),
    (status = 403, description = "No role for what it would stop", body = Value),
    (status = 422, description = "It stops nothing, or has no reason or no bounded end", body = Value),
    (status = 503, description = "It stands, but not all traffic ended in time", body = Value)))]
pub(crate) async fn create(
    State(context): Shared,
    caller: Caller,
    Body(wanted): Body<LockBody>,
) -> Result<Response, Problem> {
    let until = match (wanted.until, wanted.seconds) {
        (Some(until), None) => until,
        (None, Some(seconds)) => context.now().plus(Duration::from_secs(seconds)),
        _ => return Err(Problem::contradictory("exactly one of `until` and `seconds` is needed")),
    };
    let wish = LockWish { selector: wanted.selector, reason: wanted.reason.trim().to_owned(), until };
    let id = context.token_id();
    let (lock, epoch) = context
        .commit(|state| {
            let (lock, change) = create_lock(&context.deciding(state, &caller.0), wish.clone(), id.clone())?;
            Ok((lock, Some(change)))
        })
        .await?;
    let ended = hold(&context, &lock, epoch).await?;
    let completed_at = context.now();
    let mut event = about_lock(EventKind::LockInForce, &lock, completed_at);
    event.operator = Some(caller.0.name.clone());
    event.ended = Some(ended);
    let audit = context.evidence(event).await;
    let made = Made { lock: Shown::of(&lock, completed_at), completed_at, ended, audit };
    Ok(status(StatusCode::CREATED, &made))
}

/// Brings the lock into force here and everywhere. It is committed: with the audit log down it still holds at
/// once, and its evidence waits in the outbox.
async fn hold(
    context: &ControlContext,
    lock: &LockRecord,
    epoch: Option<gateway_core::id::Epoch>,
) -> Result<Ended, Problem> {
    let incomplete = |refusal: gateway_core::refusal::Refusal| {
        tracing::error!(%refusal, lock = %lock.id, inside = refusal.inside().unwrap_or(""), "a lock is not in force everywhere");
        Problem::lock_incomplete(&lock.id)
    };
    // The end comes first, for the new snapshot lets streams end by themselves, and then nobody counts them; and
    // once more, for what began until the snapshot decided.
    let ending = context.live.end_locked(lock, END_DEADLINE);
    let (ended, published) = futures::join!(ending, publish(context, epoch));
    if let Err(refusal) = published {
        tracing::error!(%refusal, inside = refusal.inside().unwrap_or(""), "a lock's evidence is pending");
    }
    let late = context.live.end_locked(lock, END_DEADLINE).await.map_err(incomplete)?;
    let ended = together(ended.map_err(incomplete)?, late);
    let Some(epoch) = epoch else { return Ok(ended) };
    context.publisher.everywhere(epoch, END_DEADLINE).await.map_err(incomplete)?;
    Ok(ended)
}

const fn together(one: Ended, other: Ended) -> Ended {
    Ended {
        calls: one.calls.saturating_add(other.calls),
        streams: one.streams.saturating_add(other.streams),
        sessions: one.sessions.saturating_add(other.sessions),
        children: one.children.saturating_add(other.children),
        cached_values: one.cached_values.saturating_add(other.cached_values),
        tokens: one.tokens.saturating_add(other.tokens),
    }
}

/// Lifts a lock before its time; where the environment asks for approvals, an approver does it who did not make it.
#[utoipa::path(post, path = "/v1/locks/{id}/lift", tag = "locks", params(("id" = String, Path)),
    security(("bearer" = [])), responses((status = 200, description = "It stops nothing any more", body = Value),
    (status = 403, description = "One's own lock, or no role for it", body = Value),
    (status = 404, description = "No such lock", body = Value), (status = 409, description = "It has ended", body = Value)))]
pub(crate) async fn lift(
    State(context): Shared,
    caller: Caller,
    only_if: IfMatch,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (lock, epoch) = context
        .commit(|state| {
            let lifted = lift_lock(&context.deciding(state, &caller.0), &id)?;
            if let Some(standing) = state.locks.iter().find(|lock| lock.id == id) {
                only_if.check(&EntityTag::of_lock(standing))?;
            }
            let (lock, change) = lifted;
            Ok((lock, Some(change)))
        })
        .await?;
    let mut everywhere = true;
    if let Some(epoch) = epoch {
        context.publish(epoch).await?;
        everywhere = context.publisher.everywhere(epoch, END_DEADLINE).await.is_ok();
    }
    Ok(json(&Lifted { lock: Shown::of(&lock, context.now()), everywhere }))
}
