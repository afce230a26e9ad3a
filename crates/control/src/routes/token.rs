//! Agents' tokens.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use gateway_core::id::{AgentName, OperatorName};
use gateway_core::identity::Entry;
use gateway_core::lifecycle::{TokenWish, issue_agent_token, revoke_agent_token, rule};
use gateway_core::manifest::{Kind, ObjectKey};
use gateway_core::state::AgentTokenRecord;
use gateway_core::time::Timestamp;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::binding::visible;
use super::login::minted;
use super::{Shared, status};
use crate::auth::Caller;
use crate::body::{Body, Query, objects, whole};
use crate::idempotency::ShownOnce;
use crate::page::{Limit, Page, PageQuery, place_in_time};
use crate::ports::TokenKind;
use crate::problem::Problem;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenBody {
    /// The doors it opens: `environment`, and `servers` where not all of them.
    #[schema(value_type = Vec<Value>)]
    #[serde(deserialize_with = "objects")]
    entries: Vec<Entry>,
    /// How long it holds, in seconds; at most 90 days.
    #[serde(deserialize_with = "whole")]
    lifetime_seconds: u64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct IssuedToken {
    /// Its public id.
    id: String,
    /// The token, shown once.
    token: String,
    /// When it ends.
    #[schema(value_type = String)]
    expires_at: Timestamp,
}

#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    agent: &'a AgentName,
    entries: &'a [Entry],
    created_at: Timestamp,
    expires_at: Timestamp,
    revoked_at: Option<Timestamp>,
    issued_by: &'a OperatorName,
}

impl<'a> Listed<'a> {
    fn of(token: &'a AgentTokenRecord) -> Self {
        Self {
            id: &token.id,
            agent: &token.agent,
            entries: &token.entries,
            created_at: token.created_at,
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
            issued_by: &token.issued_by,
        }
    }
}

pub(super) fn agent_of(name: &str) -> Result<(AgentName, ObjectKey), Problem> {
    let agent = AgentName::parse(name).map_err(|_| Problem::new(&rule::OBJECT_UNKNOWN, "no such agent"))?;
    let key = ObjectKey { kind: Kind::Agent, environment: None, name: agent.to_string() };
    Ok((agent, key))
}

/// Issues a token for an agent; it is shown in this answer and never again.
#[utoipa::path(post, path = "/v1/agents/{name}/tokens", tag = "tokens", params(("name" = String, Path)),
    request_body = TokenBody, security(("bearer" = [])),
    responses((status = 201, description = "The token, once", body = IssuedToken)))]
pub(crate) async fn issue(
    State(context): Shared,
    caller: Caller,
    Path(name): Path<String>,
    Body(body): Body<TokenBody>,
) -> Result<Response, Problem> {
    let (agent, key) = agent_of(&name)?;
    let (token, minted) = minted(&context, TokenKind::Agent);
    let lifetime = Duration::from_secs(body.lifetime_seconds);
    let record = context
        .write(|state| {
            visible(state, &key, &caller)?;
            let wish = TokenWish { agent: &agent, entries: &body.entries, lifetime };
            let (record, change) = issue_agent_token(&context.deciding(state, &caller.0), &wish, &minted)?;
            Ok((record, Some(change)))
        })
        .await?;
    let (id, expires_at) = (record.id, record.expires_at);
    let mut answer = status(StatusCode::CREATED, &IssuedToken { id, token, expires_at });
    answer.extensions_mut().insert(ShownOnce);
    Ok(answer)
}

/// An agent's tokens, without the tokens, the oldest first.
#[utoipa::path(get, path = "/v1/agents/{name}/tokens", tag = "tokens", params(("name" = String, Path), PageQuery),
    security(("bearer" = [])), responses((status = 200, description = "The tokens' ids and doors", body = Value)))]
pub(crate) async fn list(
    State(context): Shared,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let (agent, key) = agent_of(&name)?;
    let state = context.state.load().await?;
    visible(&state, &key, &caller)?;
    let mut tokens: Vec<(String, &AgentTokenRecord)> = state
        .agent_tokens
        .iter()
        .filter(|token| token.agent == agent)
        .map(|token| (place_in_time(token.created_at, &token.id), token))
        .collect();
    tokens.sort_by(|one, other| one.0.cmp(&other.0));
    let page = Page::cut(tokens, query.cursor.as_ref(), query.limit.map(Limit::items))?;
    Ok(page.map(Listed::of).into_response())
}

/// Revokes an agent's token by its id.
#[utoipa::path(delete, path = "/v1/agent-tokens/{id}", tag = "tokens", params(("id" = String, Path)),
    security(("bearer" = [])), responses((status = 204, description = "It opens nothing any more")))]
pub(crate) async fn revoke(
    State(context): Shared,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    context
        .write(|state| Ok(((), Some(revoke_agent_token(&context.deciding(state, &caller.0), &id)?))))
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
