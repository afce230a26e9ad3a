//! Manifests in and out.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use gateway_core::id::{BindingName, EnvironmentName};
use gateway_core::lifecycle::{self, Finding, Manifests, Written, WrittenAs, may_touch, pending, rule};
use gateway_core::manifest::{Kind, ObjectKey, Spec, misplaced_list};
use gateway_core::operator::Role;
use gateway_core::policy::PolicySource;
use gateway_core::state::State as Objects;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{Shared, json, status};
use crate::auth::Caller;
use crate::body::{Body, Query, shape};
use crate::context::ControlContext;
use crate::entity::{EntityTag, NONE_YET, Tagged};
use crate::masking::shown;
use crate::problem::Problem;
use crate::write::policy_problem;

/// How long pruned bindings may take to end their traffic.
const PRUNE_DEADLINE: Duration = Duration::from_secs(30);

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManifestBody {
    /// The declared objects, each with its `kind`; with `etag`, only where it still is as it was read, and with
    /// `etag: none`, only where there is none yet.
    specs: Vec<Value>,
    /// Environments in which undeclared servers and bindings are disabled.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    prune: Vec<EnvironmentName>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplyQuery {
    /// Decide and tell, write nothing.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Answer {
    dry_run: bool,
    pending: usize,
    objects: Vec<Written>,
}

/// The objects as declared, and how those have to stand that say so.
#[derive(Default)]
pub(super) struct Declared {
    pub(super) specs: Vec<Spec>,
    expected: Vec<(ObjectKey, String)>,
}

pub(super) fn read_specs(values: Vec<Value>) -> Result<Declared, Problem> {
    let mut declared = Declared::default();
    let mut findings = Vec::new();
    for (index, mut value) in values.into_iter().enumerate() {
        if !value.is_object() {
            let message = format!("object {index}: a value has the wrong type or form: expected an object");
            findings.push(Finding::general(&rule::MANIFEST_MALFORMED, message));
            continue;
        }
        if let Some(place) = misplaced_list(&value) {
            let message = format!("object {index}: a list stands at `{place}`, where none belongs");
            findings.push(Finding::general(&rule::MANIFEST_MALFORMED, message));
            continue;
        }
        // No field of an object, but what the author has seen of it.
        let etag = value.as_object_mut().and_then(|fields| fields.remove("etag"));
        let etag = etag.map(serde_json::from_value::<String>).transpose();
        match serde_json::from_value::<Spec>(value).and_then(|spec| Ok((spec, etag?))) {
            Ok((spec, etag)) => {
                declared.expected.extend(etag.map(|etag| (spec.key(), etag)));
                declared.specs.push(spec);
            }
            Err(error) => {
                let message = format!("object {index}: {}", shape(&error));
                findings.push(Finding::general(&rule::MANIFEST_MALFORMED, message));
            }
        }
    }
    if findings.is_empty() { Ok(declared) } else { Err(findings.into()) }
}

impl Declared {
    /// Who may not write a thing and does not see where its secret is must not find out by declaring guesses: that
    /// one of them is right already is as much as that it is forbidden.
    fn refuse_guesses(
        &self,
        context: &ControlContext,
        state: &Objects,
        caller: &Caller,
    ) -> Result<(), Problem> {
        let guessed = |spec: &&Spec| {
            let is_there = state.history(&spec.key()).next().is_some();
            is_there
                && context.presentation.covers(&caller.0, spec)
                && !may_touch(&caller.0, Role::Editor, spec)
        };
        let why = "your roles do not cover this team and environment";
        let refused = self
            .specs
            .iter()
            .filter(guessed)
            .map(|spec| Finding::of(&rule::OPERATOR_FORBIDDEN, &spec.key(), why));
        let findings: Vec<Finding> = refused.collect();
        if findings.is_empty() { Ok(()) } else { Err(findings.into()) }
    }

    /// Refuses to overwrite what the author has not seen. What is there already as declared is not overwritten.
    fn check(&self, state: &Objects, caller: &Caller) -> Result<(), Problem> {
        let stale = |(key, expected): &(ObjectKey, String)| {
            let newest = state.history(key).last();
            let seen = newest.filter(|newest| may_touch(&caller.0, Role::Viewer, &newest.spec));
            let content = self.specs.iter().find(|spec| spec.key() == *key).map(Spec::content_hash);
            let stands = pending(state, key).or_else(|| state.standing(key)).map(|record| record.content);
            let current = seen.and_then(|_| EntityTag::of_object(state, key));
            let current = current.as_ref().map_or(NONE_YET, EntityTag::as_str);
            if current == expected || (stands.is_some() && stands == content) {
                return None;
            }
            let message = format!("it has changed since it was read: it is at `{current}` now");
            Some(Finding::of(&rule::OBJECT_CHANGED, key, message))
        };
        let findings: Vec<Finding> = self.expected.iter().filter_map(stale).collect();
        if findings.is_empty() { Ok(()) } else { Err(findings.into()) }
    }
}

/// Writes what is declared: at once where nobody has to sign, else as pending revisions.
#[utoipa::path(post, path = "/v1/apply", tag = "manifests", params(ApplyQuery), request_body = ManifestBody,
    security(("bearer" = [])), responses(
    (status = 200, description = "Everything decides now", body = Value),
    (status = 202, description = "Some revisions wait for signatures", body = Value),
    (status = 409, description = "Drift or a revoked name", body = Value),
    (status = 412, description = "Something has changed since the author read it", body = Value),
    (status = 422, description = "Findings", body = Value),
))]
pub(crate) async fn apply(
    State(context): Shared,
    caller: Caller,
    Query(query): Query<ApplyQuery>,
    Body(body): Body<ManifestBody>,
) -> Result<Response, Problem> {
    let declared = read_specs(body.specs)?;
    check_policies(&context, &declared.specs)?;
    let written = context
        .write(|state| {
            declared.refuse_guesses(&context, state, &caller)?;
            declared.check(state, &caller)?;
            let manifests = Manifests { specs: &declared.specs, prune: &body.prune };
            let applied = lifecycle::apply(&context.deciding(state, &caller.0), &manifests)?;
            if let Some(change) = &applied.change {
                context.rehearse(state, change)?;
            }
            Ok((applied.written, applied.change.filter(|_| !query.dry_run)))
        })
        .await?;
    if !query.dry_run {
        end_pruned(&context, &written).await;
    }
    let pending = written.iter().filter(|object| !object.missing.is_empty()).count();
    let code = if pending > 0 { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(status(code, &Answer { dry_run: query.dry_run, pending, objects: written }))
}

/// Each text alone, so that a pending policy is known to be sound before anybody signs it.
pub(super) fn check_policies(context: &ControlContext, specs: &[Spec]) -> Result<(), Problem> {
    for spec in specs {
        let Spec::Policy(policy) = spec else { continue };
        let source = PolicySource {
            name: policy.name.clone(),
            revision: gateway_core::id::Revision(0),
            cedar: policy.cedar.clone(),
            hash: spec.content_hash(),
            current: true,
        };
        if let Err(issues) = context.compiler.compile(&[source]) {
            return Err(policy_problem(&policy.environment, &issues));
        }
    }
    Ok(())
}

async fn end_pruned(context: &ControlContext, written: &[Written]) {
    let pruned = written.iter().filter(|object| object.outcome == WrittenAs::Pruned);
    for object in pruned.filter(|object| object.object.kind == Kind::Binding) {
        let (Some(environment), Ok(name)) =
            (object.object.environment.as_ref(), BindingName::parse(&object.object.name))
        else {
            continue;
        };
        if let Err(refusal) = context.live.end(environment, &name, PRUNE_DEADLINE).await {
            tracing::error!(%refusal, binding = %name, "a pruned binding did not end in time");
        }
    }
}

/// What `apply` would change, field by field. Only objects that one may see are compared.
#[utoipa::path(post, path = "/v1/diff", tag = "manifests", request_body = ManifestBody,
    security(("bearer" = [])), responses((status = 200, description = "The differences", body = Value)))]
pub(crate) async fn diff(
    State(context): Shared,
    caller: Caller,
    Body(body): Body<ManifestBody>,
) -> Result<Response, Problem> {
    let specs = read_specs(body.specs)?.specs;
    let state = visible(&caller, &*context.state.load().await?);
    // Who does not see a path must not find out by comparing guesses.
    let keys: Vec<_> = specs.iter().map(Spec::key).collect();
    let covered = state.revisions.iter().filter(|record| keys.contains(&record.key));
    let mut covered = covered.filter(|record| context.presentation.covers(&caller.0, &record.spec));
    if let Some(record) = covered.next() {
        let why = "comparing takes a role that sees the paths of secrets";
        return Err(Problem::about(&rule::OPERATOR_FORBIDDEN, &record.key, why));
    }
    Ok(json(&lifecycle::diff(&state, &specs)))
}

#[derive(Deserialize, IntoParams, Default)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ExportQuery {
    /// Whether each manifest says by `etag` how its object stands: applied again, it changes only what nobody else
    /// has changed since.
    etags: bool,
}

/// Every object that one may see, as manifests.
#[utoipa::path(get, path = "/v1/export", tag = "manifests", params(ExportQuery), security(("bearer" = [])),
    responses((status = 200, description = "The manifests", body = Value)))]
pub(crate) async fn export(
    State(context): Shared,
    caller: Caller,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    let whole = context.state.load().await?;
    let specs = lifecycle::export(&visible(&caller, &whole));
    let told = specs.iter().map(|spec| {
        let covered = context.presentation.covers(&caller.0, spec);
        match EntityTag::of_object(&whole, &spec.key()).filter(|_| query.etags) {
            Some(etag) => shown(&Tagged { etag: &etag, shown: spec }, covered),
            None => shown(spec, covered),
        }
    });
    Ok(json(&told.collect::<Vec<_>>()))
}

pub(super) fn visible(caller: &Caller, state: &Objects) -> Objects {
    let mut state = state.clone();
    state.revisions.retain(|record| may_touch(&caller.0, Role::Viewer, &record.spec));
    state
}
