//! Bindings, read: cards, validation and explanation.

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use gateway_core::actor::{Actor, Groups, UserIdentity};
use gateway_core::card::{Card, Neighbours, card, card_among};
use gateway_core::explain::{Asked, Call, Explanation, explain as tell};
use gateway_core::id::{AgentName, EnvironmentName, GroupName, ServerName, ToolName, WorkloadName};
use gateway_core::lifecycle::{self, declared, may_touch, rule};
use gateway_core::manifest::{BindingSpec, Kind, ObjectKey, Spec};
use gateway_core::operator::Role;
use gateway_core::review::{ReviewStage, appointment};
use gateway_core::state::{Lifecycle, RevisionRecord, State as Objects};
use gateway_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{BindingPath, Shared, binding_key, json};
use crate::auth::Caller;
use crate::body::{Body, Query, object};
use crate::context::ControlContext;
use crate::entity::{EntityTag, IfNoneMatch, Tagged};
use crate::masking::shown as presented;
use crate::page::{Cursor, Limit, Page, mentions, place_of};
use crate::problem::Problem;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(crate) struct BindingQuery {
    /// Only of this environment.
    environment: Option<String>,
    /// Only on this server.
    server: Option<String>,
    /// Only those that name this agent.
    agent: Option<String>,
    /// Only under this policy.
    policy: Option<String>,
    /// Only of this owner team.
    owner: Option<String>,
    /// Only of this status; `pending` also finds those with a pending revision.
    #[param(value_type = Option<String>)]
    status: Option<Lifecycle>,
    /// Only those whose review stands there.
    #[param(value_type = Option<String>)]
    review: Option<ReviewStage>,
    /// Only those whose name, environment, server, owner, reference or people hold this text, whatever its case.
    text: Option<String>,
    /// `next` of the page before; `after` is an older name for it.
    #[serde(alias = "after")]
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
    /// How many at most; 50 where absent, 500 is the most.
    #[param(value_type = Option<u32>)]
    limit: Option<Limit<500>>,
}

/// The cards of the bindings that one may see.
#[utoipa::path(get, path = "/v1/bindings", tag = "bindings", params(BindingQuery), security(("bearer" = [])),
    responses((status = 200, description = "`items` and the place of the `next` page", body = Value)))]
pub(crate) async fn list(
    State(context): Shared,
    caller: Caller,
    Query(query): Query<BindingQuery>,
) -> Result<Response, Problem> {
    let state = context.state.load().await?;
    let now = context.now();
    // The state keeps them in the order of their keys.
    let mut keys: Vec<&ObjectKey> = state.of_kind(Kind::Binding).iter().map(|record| &record.key).collect();
    keys.dedup();
    let found = keys.into_iter().filter(|key| wanted(&query, &context, &state, key, &caller, now));
    let limit = query.limit.map_or(50, Limit::items);
    let page = Page::cut(found.map(|key| (place_of(key), key)), query.cursor.as_ref(), Some(limit))?;
    let neighbours = Neighbours::of(&state);
    let shown = |key: &ObjectKey| {
        let etag = EntityTag::of_object(&state, key)?;
        let card = card_among(&state, &context.stores, &neighbours, key)?;
        Some((etag, told(&context, &caller, &state, key, card)))
    };
    let cards: Vec<(EntityTag, serde_json::Value)> = page.items.into_iter().filter_map(shown).collect();
    let items = cards.iter().map(|(etag, shown)| Tagged { etag, shown }).collect();
    Ok(Page { items, next: page.next }.into_response())
}

/// The card as the operator may see it.
fn told(
    context: &ControlContext,
    caller: &Caller,
    state: &Objects,
    key: &ObjectKey,
    mut card: Card,
) -> serde_json::Value {
    if let (Some(waits), Some(record)) = (&mut card.pending, lifecycle::pending(state, key)) {
        waits.yours = lifecycle::signs(&context.deciding(state, &caller.0), record);
    }
    let spec = shown(state, key).map(|record| &record.spec);
    let covered = spec.is_none_or(|spec| context.presentation.covers(&caller.0, spec));
    presented(&card.at(context.now()), covered)
}

fn shown<'a>(state: &'a Objects, key: &ObjectKey) -> Option<&'a RevisionRecord> {
    declared(state, key).or_else(|| state.history(key).last())
}

fn wanted(
    query: &BindingQuery,
    context: &ControlContext,
    state: &Objects,
    key: &ObjectKey,
    caller: &Caller,
    now: Timestamp,
) -> bool {
    let Some(record) = shown(state, key) else { return false };
    let Spec::Binding(spec) = &record.spec else { return false };
    let same = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
    let agent = query
        .agent
        .as_deref()
        .is_none_or(|wanted| spec.actor.agents.iter().any(|agent| agent.as_str() == wanted));
    let status = query.status.is_none_or(|wanted| {
        record.status == wanted || (wanted == Lifecycle::Pending && lifecycle::pending(state, key).is_some())
    });
    may_touch(&caller.0, Role::Viewer, &record.spec)
        && agent
        && status
        && same(&query.environment, spec.environment.as_str())
        && same(&query.server, spec.server.as_str())
        && same(&query.policy, spec.policy.as_str())
        && same(&query.owner, spec.owner.as_str())
        && query
            .review
            .is_none_or(|wanted| appointment(state, key).is_some_and(|next| next.stage(now) == wanted))
        && query.text.as_ref().is_none_or(|text| {
            let covered = context.presentation.covers(&caller.0, &record.spec);
            holds_text(text, spec, covered)
        })
}

/// A path that one may not see is not searched either: it could be guessed letter by letter.
fn holds_text(text: &str, spec: &BindingSpec, covered: bool) -> bool {
    let place = spec.place().filter(|_| !covered).map(ToString::to_string).unwrap_or_default();
    let who = spec.actor.to_string();
    let names = [spec.name.as_str(), spec.environment.as_str(), spec.server.as_str(), spec.owner.as_str()];
    mentions(Some(text), names.into_iter().chain([who.as_str(), place.as_str()]))
}

/// The object, if it exists and the caller may see it; both look the same from outside.
pub(super) fn visible<'a>(
    state: &'a Objects,
    key: &ObjectKey,
    caller: &Caller,
) -> Result<&'a RevisionRecord, Problem> {
    shown(state, key)
        .filter(|record| may_touch(&caller.0, Role::Viewer, &record.spec))
        .ok_or_else(|| Problem::about(&rule::OBJECT_UNKNOWN, key, "no such object"))
}

/// The card of one binding.
#[utoipa::path(get, path = "/v1/bindings/{environment}/{name}", tag = "bindings",
    params(("environment" = String, Path), ("name" = String, Path)), security(("bearer" = [])),
    responses((status = 200, description = "The card", body = Value), (status = 404, description = "No such binding")))]
pub(crate) async fn card_of(
    State(context): Shared,
    caller: Caller,
    unless: IfNoneMatch,
    Path((environment, name)): BindingPath,
) -> Result<Response, Problem> {
    let state = context.state.load().await?;
    let key = binding_key(&environment, &name)?;
    visible(&state, &key, &caller)?;
    let shown = card(&state, &context.stores, &key).zip(EntityTag::of_object(&state, &key));
    let (card, tag) = shown.ok_or_else(|| Problem::about(&rule::OBJECT_UNKNOWN, &key, "no such object"))?;
    Ok(tag.answer(&unless, &told(&context, &caller, &state, &key, card)))
}

#[derive(Serialize)]
struct Validation {
    valid: bool,
    findings: Vec<lifecycle::Finding>,
}

/// Judges a binding as it stands by the rules of today; fetches nothing.
#[utoipa::path(post, path = "/v1/bindings/{environment}/{name}/validate", tag = "bindings",
    params(("environment" = String, Path), ("name" = String, Path)), security(("bearer" = [])),
    responses((status = 200, description = "`valid` and the findings", body = Value)))]
pub(crate) async fn validate(
    State(context): Shared,
    caller: Caller,
    Path((environment, name)): BindingPath,
) -> Result<Response, Problem> {
    let state = context.state.load().await?;
    let key = binding_key(&environment, &name)?;
    let record = visible(&state, &key, &caller)?;
    let findings = lifecycle::validate(&context.deciding(&state, &caller.0), &record.spec);
    Ok(json(&Validation { valid: findings.is_empty(), findings }))
}

/// Who would call, for explanations.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WhoBody {
    /// The registered agent.
    #[schema(value_type = Option<String>)]
    agent: Option<AgentName>,
    /// The attested workload.
    #[schema(value_type = Option<String>)]
    workload: Option<WorkloadName>,
    /// The user, as `iss|sub`.
    user: Option<String>,
    /// The user's groups; absent means unknown.
    #[schema(value_type = Option<Vec<String>>)]
    groups: Option<Vec<GroupName>>,
    /// The client application.
    surface: Option<String>,
}

impl WhoBody {
    fn actor(&self) -> Actor {
        let user = self.user.as_deref().and_then(|user| user.rsplit_once('|'));
        Actor {
            user: user
                .map(|(issuer, subject)| UserIdentity { issuer: issuer.into(), subject: subject.into() }),
            groups: self
                .groups
                .as_ref()
                .map_or(Groups::Unknown, |groups| Groups::Known(groups.iter().cloned().collect())),
            agent: self.agent.clone(),
            workload: self.workload.clone(),
            surface: self.surface.as_deref().map(Into::into),
        }
    }
}

/// What would be called, for explanations.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplainBody {
    /// Who would call.
    #[serde(default, deserialize_with = "object")]
    actor: WhoBody,
    /// The tool; exclusive with `method`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    tool: Option<ToolName>,
    /// The JSON-RPC method.
    #[serde(default)]
    method: Option<String>,
}

impl ExplainBody {
    pub(super) fn explain(
        &self,
        context: &ControlContext,
        environment: &EnvironmentName,
        server: &ServerName,
    ) -> Result<Explanation, Problem> {
        let wanted = match (&self.tool, &self.method) {
            (Some(tool), None) => Asked::Tool(tool),
            (None, Some(method)) => Asked::Method(method),
            _ => return Err(Problem::contradictory("exactly one of `tool` and `method` is needed")),
        };
        let actor = self.actor.actor();
        let call = Call { actor: &actor, environment, server, wanted };
        Ok(tell(&context.snapshots.current(), &call, context.now()))
    }
}

/// Which binding a call on this binding's server would use, and why.
#[utoipa::path(post, path = "/v1/bindings/{environment}/{name}/explain", tag = "bindings",
    params(("environment" = String, Path), ("name" = String, Path)), request_body = ExplainBody,
    security(("bearer" = [])), responses((status = 200, description = "The whole story of the decision", body = Value)))]
pub(crate) async fn explain(
    State(context): Shared,
    caller: Caller,
    Path((environment, name)): BindingPath,
    Body(body): Body<ExplainBody>,
) -> Result<Response, Problem> {
    let state = context.state.load().await?;
    let record = visible(&state, &binding_key(&environment, &name)?, &caller)?;
    let Spec::Binding(spec) = &record.spec else { return Err(Problem::no_route()) };
    Ok(json(&body.explain(&context, &spec.environment, &spec.server)?))
}
