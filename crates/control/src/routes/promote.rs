//! Promotion: what decides in one environment, as manifests for the next. Nothing is written here: the manifests are
//! applied as any others are, so that the signatures of the target are asked for.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use gateway_core::id::EnvironmentName;
use gateway_core::lifecycle::{
    self, Difference, DifferenceKind, Finding, Manifests, PROMOTED, Promotion, PromotionMap, PromotionWish,
    Written, may_touch, rule,
};
use gateway_core::manifest::{Kind, ObjectKey, Spec};
use gateway_core::operator::{Role, Scope};
use gateway_core::state::{Lifecycle, State as Objects};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::apply::{check_policies, read_specs, visible};
use super::foresight::{Foresight, Window, foresee};
use super::{Shared, json};
use crate::auth::Caller;
use crate::body::{Body, object};
use crate::context::ControlContext;
use crate::problem::Problem;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PromotionBody {
    /// The environment that it comes from.
    #[schema(value_type = String, example = "dev")]
    from: EnvironmentName,
    /// The environment that it goes to.
    #[schema(value_type = String, example = "staging")]
    to: EnvironmentName,
    /// Only these, as `KIND/NAME`; absent means every server, policy and binding.
    #[serde(default)]
    #[schema(example = json!(["Binding/triage-bot-github"]))]
    select: Vec<String>,
    /// What the target has in the place of what the source has: `references`, `routes`, `providers`, `workloads`,
    /// `agents`.
    #[serde(default, deserialize_with = "object")]
    #[schema(value_type = Object, example = json!({"references": {"vault-dev://kv/github#token": "vault-staging://kv/github#token"}}))]
    map: PromotionMap,
    /// The manifests of the source, where it stands on another gateway; absent means what decides here.
    #[serde(default)]
    specs: Option<Vec<Value>>,
}

#[derive(Serialize)]
struct Told {
    from: EnvironmentName,
    to: EnvironmentName,
    #[serde(flatten)]
    promotion: Promotion,
    /// What `apply` would do with them.
    objects: Vec<Written>,
    /// How many would wait for signatures.
    pending: usize,
    /// What differs from what stands in the target.
    differences: Vec<Difference>,
    /// What would change in the target once everything is signed.
    effect: Foresight,
    /// Whether there may be more in the source than was promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    limited: Option<&'static str>,
}

/// Told to operators who see a part of the source only.
const PARTLY: &str = "only what your roles cover in the source is promoted: there may be more";

/// Makes manifests for one environment of what decides in another. Refused are references, routes, providers,
/// workloads and agents that are not the target's own, and ways that the order of environments does not have.
#[utoipa::path(post, path = "/v1/promote", tag = "manifests", request_body = PromotionBody,
    security(("bearer" = [])), responses(
    (status = 200, description = "`specs` for the target, what was `replaced`, and what they would do there", body = Value),
    (status = 400, description = "The question is malformed"),
    (status = 401, description = "No operator"),
    (status = 403, description = "The roles do not cover the target, or do not see where the source's secrets are"),
    (status = 409, description = "Drift or a revoked name in the target"),
    (status = 422, description = "Findings: each reference that would cross over, with its object")))]
pub(crate) async fn promote(
    State(context): Shared,
    caller: Caller,
    Body(body): Body<PromotionBody>,
) -> Result<Response, Problem> {
    let state = context.state.load().await?;
    let (is_given, whole) = (
        body.specs.is_some(),
        caller.0.may(Role::Viewer, Scope { team: None, environment: Some(&body.from) }),
    );
    let limited = (!is_given && !whole && body.select.is_empty()).then_some(PARTLY);
    let source = match body.specs {
        Some(given) => read_specs(given)?.specs,
        None => deciding(&visible(&caller, &state)),
    };
    let select = selectors(&body.select)?;
    let selected = |spec: &&Spec| {
        let key = spec.key();
        let chosen = || select.iter().any(|(kind, name)| *kind == key.kind && *name == key.name);
        PROMOTED.contains(&key.kind)
            && key.environment.as_ref() == Some(&body.from)
            && (select.is_empty() || chosen())
    };
    refuse_unseen(&context, &state, &caller, source.iter().filter(selected), &body.to)?;
    let wish =
        PromotionWish { from: &body.from, to: &body.to, source: &source, select: &select, map: &body.map };
    let judged = context.deciding(&state, &caller.0);
    let promotion = lifecycle::promote(&judged, &wish)?;
    check_policies(&context, &promotion.specs)?;
    let objects = lifecycle::apply(&judged, &Manifests { specs: &promotion.specs, prune: &[] })?.written;
    let pending = objects.iter().filter(|object| !object.missing.is_empty()).count();
    let mut differences = lifecycle::diff(&visible(&caller, &state), &promotion.specs);
    differences.retain(|difference| difference.kind != DifferenceKind::Undeclared);
    let ahead = foresee(&context, &caller, Arc::clone(&state), &promotion.specs, &body.to, Window::default());
    let effect = Box::pin(ahead).await?;
    Ok(json(&Told {
        from: body.from,
        to: body.to,
        promotion,
        objects,
        pending,
        differences,
        effect,
        limited,
    }))
}

/// Everything that decides, as it decides.
fn deciding(state: &Objects) -> Vec<Spec> {
    let active = state.revisions.iter().filter(|record| record.status == Lifecycle::Active);
    active.map(|record| record.spec.clone()).collect()
}

fn selectors(texts: &[String]) -> Result<Vec<(Kind, String)>, Problem> {
    let read = |text: &String| {
        let (kind, name) = text.split_once('/')?;
        Some((Kind::from_word(kind)?, name.to_owned())).filter(|(_, name)| !name.is_empty())
    };
    texts
        .iter()
        .map(|text| {
            let wrong = || Problem::new(&rule::PROMOTION_SELECTION, "`select` holds what is no `KIND/NAME`");
            read(text).ok_or_else(wrong)
        })
        .collect()
}

/// Manifests name where secrets are, so that only who may see that of the source can make them; and of what stands in
/// their place in the target, whose own references and routes are put in.
fn refuse_unseen<'a>(
    context: &ControlContext,
    state: &Objects,
    caller: &Caller,
    promoted: impl Iterator<Item = &'a Spec>,
    to: &EnvironmentName,
) -> Result<(), Problem> {
    let covers = |spec: &Spec| context.presentation.covers(&caller.0, spec);
    let mut findings = Vec::new();
    for spec in promoted {
        if covers(spec) {
            let message = "your roles do not see where the secrets are of what would be promoted";
            findings.push(Finding::of(&rule::OPERATOR_FORBIDDEN, &spec.key(), message));
        }
        let target = ObjectKey { environment: Some(to.clone()), ..spec.key() };
        let own = lifecycle::declared(state, &target).map(|record| &record.spec);
        if own.is_some_and(|own| covers(own) || !may_touch(&caller.0, Role::Viewer, own)) {
            let message = "your roles do not cover this team and environment";
            findings.push(Finding::of(&rule::OPERATOR_FORBIDDEN, &target, message));
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(findings.into()) }
}
