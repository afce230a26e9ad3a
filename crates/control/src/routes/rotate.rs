//! Rotation: the new credential is fetched and tried before anything changes.

use axum::extract::Path;
use axum::response::Response;
use gateway_core::audit::{Decision, Event, EventKind};
use gateway_core::id::{OperatorName, Revision};
use gateway_core::lease::VersionId;
use gateway_core::lifecycle::{self, Requirement, RotationStep, SeenVersion, VersionMoves};
use gateway_core::manifest::{BindingSpec, ObjectKey};
use gateway_core::ports::StateError;
use gateway_core::reference::{ResolvedReference, SecretReference, TemplateValues};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::secret::Fingerprint;
use gateway_core::state::{Change, State};
use gateway_core::time::Timestamp;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::binding::visible;
use super::{BindingPath, Shared, binding_key, status};
use crate::auth::Caller;
use crate::body::Body;
use crate::context::ControlContext;
use crate::entity::IfMatch;
use crate::problem::Problem;
use crate::write::TRIES;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotate {
    /// The new reference; absent means that the store holds a new value behind the present one.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    reference: Option<SecretReference>,
}

#[derive(Serialize)]
struct Rotated {
    object: String,
    outcome: &'static str,
    revision: Revision,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<VersionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<Fingerprint>,
    missing: Vec<Requirement>,
}

struct Tried {
    seen: SeenVersion,
    fingerprint: Fingerprint,
}

/// Switches a binding to another version of its secret, after an upstream took it; another place
/// waits for signatures and is not even read before.
#[utoipa::path(post, path = "/v1/bindings/{environment}/{name}/rotate", tag = "bindings",
    params(("environment" = String, Path), ("name" = String, Path)), request_body = Rotate,
    security(("bearer" = [])), responses(
    (status = 200, description = "The new value decides", body = Value),
    (status = 202, description = "The new reference waits for signatures", body = Value),
    (status = 502, description = "The upstream refused the new value; the old one stays", body = Value)))]
pub(crate) async fn rotate(
    axum::extract::State(context): Shared,
    caller: Caller,
    only_if: IfMatch,
    Path((environment, name)): BindingPath,
    Body(body): Body<Rotate>,
) -> Result<Response, Problem> {
    let key = binding_key(&environment, &name)?;
    for _ in 0..TRIES {
        let state = context.state.load().await?;
        visible(&state, &key, &caller)?;
        only_if.check_object(&state, &key)?;
        let deciding = context.deciding(&state, &caller.0);
        let rotation = lifecycle::rotate(&deciding, &key, body.reference.as_ref())?;
        context.rehearse(&state, &rotation.change)?;
        let tried = match &rotation.step {
            RotationStep::Waits(..) => None,
            RotationStep::Refreshed(_) | RotationStep::Switched(_) => {
                Some(attempt(&context, &caller, &key, &rotation.spec).await?)
            }
        };
        let change = stamped(rotation.change, &state, &key, (&caller.0.name, context.now()), tried.as_ref())?;
        match context.taken(change).await {
            Ok(epoch) => {
                context.publish(epoch).await?;
                if tried.is_some() {
                    forget(&context, &rotation.spec)?;
                }
                return Ok(answer(&key, rotation.step, tried));
            }
            Err(StateError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Problem::busy())
}

fn answer(key: &ObjectKey, step: RotationStep, tried: Option<Tried>) -> Response {
    let (outcome, revision, missing) = match step {
        RotationStep::Refreshed(revision) => ("refreshed", revision, Vec::new()),
        RotationStep::Switched(revision) => ("switched", revision, Vec::new()),
        RotationStep::Waits(revision, missing) => ("pending", revision, missing),
    };
    let code = if missing.is_empty() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let (version, fingerprint) = tried.map(|tried| (tried.seen.version, tried.fingerprint)).unzip();
    status(code, &Rotated { object: key.to_string(), outcome, revision, version, fingerprint, missing })
}

/// Adds what was tried: to the evidence, and as the version that calls use from now on.
fn stamped(
    mut change: Change,
    state: &State,
    key: &ObjectKey,
    (operator, now): (&OperatorName, Timestamp),
    tried: Option<&Tried>,
) -> Result<Change, Problem> {
    let Some(tried) = tried else { return Ok(change) };
    for event in change.events.iter_mut().filter(|event| event.kind == EventKind::BindingRotated) {
        event.secret_version = Some(tried.seen.version.clone());
        event.fingerprint = Some(tried.fingerprint);
    }
    let mut after = state.clone();
    lifecycle::commit(&mut after, &change)?;
    let mut moves = VersionMoves::of(&after, key, Some(operator), now)?;
    if moves.spec().secret.as_ref().is_some_and(|secret| !secret.has_templates()) {
        moves.activate(&tried.seen, None)?;
        change.operations.extend(moves.finish().into_iter().flat_map(|moved| moved.operations));
    }
    Ok(change)
}

async fn attempt(
    context: &ControlContext,
    caller: &Caller,
    key: &ObjectKey,
    spec: &BindingSpec,
) -> Result<Tried, Problem> {
    match try_all(context, spec).await {
        Ok(tried) => Ok(tried),
        Err(refusal) => {
            let mut event = Event::new(EventKind::RotationRefused, context.now());
            event.operator = Some(caller.0.name.clone());
            event.decision = Some(Decision::Deny);
            event.reason = Some(refusal.code().to_string());
            event.environment.clone_from(&key.environment);
            event.server = Some(spec.server.clone());
            event.object = Some(key.clone());
            context.evidence(event).await;
            Err(refusal.into())
        }
    }
}

/// Fetches every value that the reference can lead to, and shows each to the upstream.
async fn try_all(context: &ControlContext, spec: &BindingSpec) -> Result<Tried, Refusal> {
    let mut last = None;
    for reference in places(spec)? {
        let material = context.trial().of(spec, &reference).await?;
        last = Some(Tried {
            seen: SeenVersion { version: material.version.clone(), created_at: material.created_at },
            fingerprint: material.secret.fingerprint(&context.fingerprints),
        });
    }
    last.ok_or_else(|| Refusal::new(Code::ReferenceRefused))
}

/// Lets calls take what was tried.
fn forget(context: &ControlContext, spec: &BindingSpec) -> Result<(), Refusal> {
    for place in places(spec)? {
        context.stores.open(&spec.environment, &place.store)?.cache.forget(&place);
    }
    Ok(())
}

fn places(spec: &BindingSpec) -> Result<Vec<ResolvedReference>, Refusal> {
    let secret = spec.secret.as_ref().ok_or_else(|| Refusal::new(Code::ReferenceRefused))?;
    let environment = &spec.environment;
    let resolve = |agent: Option<&str>| {
        secret
            .resolve(&TemplateValues { agent, user: None, environment })
            .map_err(|error| Refusal::new(Code::ReferenceRefused).because(error))
    };
    if !secret.has_templates() || spec.actor.agents.is_empty() {
        return Ok(vec![resolve(None)?]);
    }
    let mut places = Vec::new();
    for agent in &spec.actor.agents {
        let place = resolve(Some(agent.as_str()))?;
        if !places.contains(&place) {
            places.push(place);
        }
    }
    Ok(places)
}
