//! Reviews of bindings: somebody has looked at one again.

use axum::extract::{Path, State};
use axum::response::Response;
use gateway_core::audit::Ended;
use gateway_core::id::{Epoch, Revision};
use gateway_core::lifecycle::{self, ReviewRound, ReviewWish, SwitchedOff, rule};
use gateway_core::state::Lifecycle;
use gateway_core::time::Timestamp;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::binding::visible;
use super::ending::{END_DEADLINE, completed, stop};
use super::{BindingPath, Shared, binding_key, status};
use crate::auth::Caller;
use crate::body::{Body, revision};
use crate::context::ControlContext;
use crate::entity::IfMatch;
use crate::problem::Problem;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Review {
    /// The revision that was read: one signs what one has seen.
    #[schema(value_type = u32)]
    #[serde(deserialize_with = "revision")]
    revision: Revision,
    /// Until which day the review holds, as `YYYY-MM-DD`; needed where the environment has no `reviews.every_days`.
    #[serde(default)]
    until: Option<String>,
}

#[derive(Serialize)]
struct ReviewedNow {
    binding: String,
    revision: Revision,
    /// How many signatures are missing.
    missing: u8,
    /// When the next review is late.
    due_at: Option<Timestamp>,
}

/// Signs the review of a binding; with the last signature the next one is counted from now. What is switched off stays
/// off until somebody enables it.
#[utoipa::path(post, path = "/v1/bindings/{environment}/{name}/review", tag = "approvals",
    params(("environment" = String, Path), ("name" = String, Path)), request_body = Review,
    security(("bearer" = [])), responses(
    (status = 200, description = "Reviewed, and when the next review is due", body = Value),
    (status = 202, description = "Signed; further signatures are missing", body = Value),
    (status = 403, description = "Own work, or no role for it", body = Value),
    (status = 409, description = "Another revision stands, or you have signed", body = Value)))]
pub(crate) async fn review(
    State(context): Shared,
    caller: Caller,
    only_if: IfMatch,
    Path((environment, name)): BindingPath,
    Body(body): Body<Review>,
) -> Result<Response, Problem> {
    let key = binding_key(&environment, &name)?;
    let wish = ReviewWish { revision: body.revision, until: body.until };
    let given = context
        .write(|state| {
            visible(state, &key, &caller)?;
            only_if.check_object(state, &key)?;
            let given = lifecycle::review(&context.deciding(state, &caller.0), &key, &wish)?;
            let change = given.change.clone();
            Ok((given, Some(change)))
        })
        .await?;
    let code = if given.missing == 0 { StatusCode::OK } else { StatusCode::ACCEPTED };
    let binding = format!("{environment}/{name}");
    let answer = ReviewedNow { binding, revision: given.revision, missing: given.missing, due_at: given.end };
    Ok(status(code, &answer))
}

/// Ends what ran under bindings that the gateway switched off, in the way in which an operator's act does.
pub(crate) async fn settle(
    context: &ControlContext,
    round: &ReviewRound,
    epoch: Epoch,
) -> Result<(), Problem> {
    let (things, _) = Box::pin(stop(context, &round.reach, Some(epoch))).await?;
    context.everywhere(Some(epoch), END_DEADLINE).await?;
    for SwitchedOff { key, revision } in &round.off {
        let own = things.iter().filter(|thing| {
            thing.environment == key.environment && thing.name == format!("{}@{revision}", key.name)
        });
        let ended = own.fold(Ended::default(), |sum, thing| sum.plus(thing.ended));
        let mut event = completed(None, key, *revision, ended, (Lifecycle::Disabled, context.now()));
        event.reason = Some(rule::REVIEW_OVERDUE.code.to_owned());
        context.evidence(event).await;
    }
    Ok(())
}
