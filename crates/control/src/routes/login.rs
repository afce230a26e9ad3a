//! The bootstrap login, and who one is.

use axum::extract::State;
use axum::response::Response;
use gateway_core::id::OperatorName;
use gateway_core::identity::TokenDigest;
use gateway_core::lifecycle::{MintedToken, rule};
use gateway_core::operator::RoleGrant;
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Shared, json};
use crate::auth::{Caller, take_bearer};
use crate::body::Body;
use crate::context::ControlContext;
use crate::ports::TokenKind;
use crate::problem::Problem;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// The name under which the operator acts from now on.
    name: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct LoggedIn {
    /// The operator.
    #[schema(value_type = String)]
    operator: OperatorName,
    /// The operator's token, shown once.
    token: String,
    /// When it ends.
    #[schema(value_type = String)]
    expires_at: Timestamp,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Me {
    /// Who.
    #[schema(value_type = String)]
    operator: OperatorName,
    /// What for.
    #[schema(value_type = Vec<serde_json::Value>)]
    grants: Vec<RoleGrant>,
}

/// Uses up the bootstrap token, sent as the bearer, for a named operator's token.
#[utoipa::path(post, path = "/v1/login", tag = "operators", request_body = Login, responses(
    (status = 200, description = "The operator's token, once", body = LoggedIn),
    (status = 401, description = "The token is wrong, used up or expired"),
))]
pub(crate) async fn login(
    State(context): Shared,
    mut headers: HeaderMap,
    Body(wish): Body<Login>,
) -> Result<Response, Problem> {
    let presented = take_bearer(&mut headers)
        .ok_or_else(|| Problem::new(&rule::LOGIN_REFUSED, "no bearer token was sent"))?;
    let (token, minted) = minted(&context, TokenKind::Operator);
    let now = context.now();
    let (record, epoch) = context
        .commit(|state| {
            let (record, change) =
                gateway_core::lifecycle::login(state, presented.digest(), &wish.name, &minted, now)?;
            Ok((record, Some(change)))
        })
        .await?;
    // The bootstrap token is used up: whatever else fails, its successor must reach the operator.
    if let Some(epoch) = epoch {
        drop(context.publish(epoch).await);
    }
    let (operator, expires_at) = (record.operator, record.expires_at);
    Ok(json(&LoggedIn { operator, token, expires_at }))
}

/// Makes a token: its text for the one answer that shows it, and what the state keeps.
pub(super) fn minted(context: &ControlContext, kind: TokenKind) -> (String, MintedToken) {
    let (token, digest): (Secret, TokenDigest) = context.tokens.mint(kind);
    (text(&token), MintedToken { digest, id: context.token_id() })
}

#[expect(clippy::disallowed_methods, reason = "a token just made is shown to its owner, once")]
fn text(token: &Secret) -> String {
    String::from_utf8_lossy(token.expose()).into_owned()
}

#[utoipa::path(get, path = "/v1/me", tag = "operators", security(("bearer" = [])), responses(
    (status = 200, description = "Who the token says one is", body = Me),
))]
pub(crate) async fn me(caller: Caller) -> Response {
    json(&Me { operator: caller.0.name, grants: caller.0.grants })
}
