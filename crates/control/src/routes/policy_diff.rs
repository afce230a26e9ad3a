//! What candidate policies would change: statement by statement, who could reach what, and recorded calls decided anew.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use gateway_core::id::{EnvironmentName, PolicyName};
use gateway_core::lifecycle::{Finding, declared, may_touch, rule};
use gateway_core::manifest::{ContentHash, PolicySpec, Spec};
use gateway_core::operator::Role;
use gateway_core::policy_text::{self, StatementChanges};
use gateway_core::state::State as Objects;
use gateway_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::apply::{check_policies, read_specs};
use super::foresight::{Foresight, Window, foresee};
use super::{Shared, json};
use crate::auth::Caller;
use crate::body::Body;
use crate::problem::Problem;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyDiffBody {
    /// The candidate policies, as manifests of kind `Policy`. Policies that are not among them stay as they are.
    #[schema(example = json!([{"kind": "Policy", "name": "triage", "environment": "staging",
        "cedar": "permit (principal, action, resource) when { context.risk == \"read\" };"}]))]
    specs: Vec<Value>,
    /// Only calls from this time on; RFC 3339.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "2026-11-20T00:00:00Z")]
    from: Option<Timestamp>,
    /// Only calls before this time.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    until: Option<Timestamp>,
}

#[derive(Serialize)]
struct Told {
    policies: Vec<PolicyChange>,
    environments: Vec<Foresight>,
}

/// One candidate beside what stands.
#[derive(Serialize)]
struct PolicyChange {
    policy: PolicyName,
    environment: EnvironmentName,
    /// `added`, `changed` or `unchanged`.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<ContentHash>,
    after: ContentHash,
    statements: StatementChanges,
}

/// Compares candidate policies with those that decide. Nothing is written. Recorded calls are told to approvers and
/// auditors only, of the servers that their roles cover.
#[utoipa::path(post, path = "/v1/policies/diff", tag = "policies", request_body = PolicyDiffBody,
    security(("bearer" = [])), responses(
    (status = 200, description = "`policies`, and for each of the `environments` who gains and loses what", body = Value),
    (status = 400, description = "The question is malformed"),
    (status = 401, description = "No operator"),
    (status = 403, description = "The roles do not cover a policy"),
    (status = 422, description = "Findings: what is no policy, does not compile, or could not be applied")))]
pub(crate) async fn diff(
    State(context): Shared,
    caller: Caller,
    Body(body): Body<PolicyDiffBody>,
) -> Result<Response, Problem> {
    let specs = read_specs(body.specs)?.specs;
    let state = context.state.load().await?;
    refuse_others(&state, &caller, &specs)?;
    check_policies(&context, &specs)?;
    let policies = specs.iter().filter_map(|spec| change(&state, spec)).collect();
    let touched: BTreeSet<EnvironmentName> = specs.iter().flat_map(Spec::environments).cloned().collect();
    let window = Window { from: body.from, until: body.until };
    let mut environments = Vec::new();
    for environment in &touched {
        environments.push(foresee(&context, &caller, Arc::clone(&state), &specs, environment, window).await?);
    }
    Ok(json(&Told { policies, environments }))
}

/// Only policies, and only the caller's affair: the candidates, and what stands under their names, whoever the
/// candidates say that it belongs to.
fn refuse_others(state: &Objects, caller: &Caller, specs: &[Spec]) -> Result<(), Problem> {
    if specs.is_empty() {
        return Err(Problem::malformed("`specs` names no policy"));
    }
    let sees = |spec: &Spec| may_touch(&caller.0, Role::Viewer, spec);
    let own = |spec: &Spec| declared(state, &spec.key()).is_none_or(|record| sees(&record.spec));
    let judged = specs.iter().filter_map(|spec| match spec {
        Spec::Policy(_) if sees(spec) && own(spec) => None,
        Spec::Policy(_) => {
            let message = "your roles do not cover this team and environment";
            Some(Finding::of(&rule::OPERATOR_FORBIDDEN, &spec.key(), message))
        }
        _ => Some(Finding::of(&rule::OBJECT_KIND, &spec.key(), "only policies are compared")),
    });
    let findings: Vec<Finding> = judged.collect();
    if findings.is_empty() { Ok(()) } else { Err(findings.into()) }
}

fn change(state: &Objects, spec: &Spec) -> Option<PolicyChange> {
    let Spec::Policy(policy) = spec else { return None };
    let standing = state.active(&spec.key());
    let text = |spec: &PolicySpec| spec.cedar.clone();
    let before = standing.and_then(|record| match &record.spec {
        Spec::Policy(policy) => Some(text(policy)),
        _ => None,
    });
    let statements = policy_text::changes(before.as_deref().unwrap_or_default(), &policy.cedar);
    let (before, after) = (standing.map(|record| record.content), spec.content_hash());
    let kind = match before {
        None => "added",
        Some(before) if before == after => "unchanged",
        Some(_) => "changed",
    };
    let (policy, environment) = (policy.name.clone(), policy.environment.clone());
    Some(PolicyChange { policy, environment, kind, before, after, statements })
}
