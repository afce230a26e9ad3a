//! Rotation: the new credential is fetched and tried before anything changes.

use axum::extract::{Path, State};
use axum::response::Response;
use gateway_core::audit::{Decision, Event, EventKind};
use gateway_core::id::Revision;
use gateway_core::lease::VersionId;
use gateway_core::lifecycle::{self, Requirement, RotationStep};
use gateway_core::manifest::{BindingSpec, ExceptionRule, ObjectKey};
use gateway_core::policy::{Permit, SystemUse};
use gateway_core::ports::{Candidate, StateError};
use gateway_core::reference::{ResolvedReference, SecretReference, TemplateValues};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::secret::{Fingerprint, Secret};
use gateway_core::state::Change;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::binding::visible;
use super::{BindingPath, Shared, binding_key, status};
use crate::auth::Caller;
use crate::body::Body;
use crate::context::ControlContext;
use crate::problem::Problem;
use crate::write::TRIES;

/// Below this many bytes the scrubber cannot tell a value from ordinary text.
const SHORT: usize = 16;

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
    version: VersionId,
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
    State(context): Shared,
    caller: Caller,
    Path((environment, name)): BindingPath,
    Body(body): Body<Rotate>,
) -> Result<Response, Problem> {
    let key = binding_key(&environment, &name)?;
    for _ in 0..TRIES {
        let state = context.state.load().await?;
        visible(&state, &key, &caller)?;
        let deciding = context.deciding(&state, &caller.0);
        let rotation = lifecycle::rotate(&deciding, &key, body.reference.as_ref())?;
        context.rehearse(&state, &rotation.change)?;
        let tried = match &rotation.step {
            RotationStep::Waits(..) => None,
            RotationStep::Refreshed(_) | RotationStep::Switched(_) => {
                Some(attempt(&context, &caller, &key, &rotation.spec).await?)
            }
        };
        match context.state.commit(stamped(rotation.change, tried.as_ref())).await {
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
    let (version, fingerprint) = tried.map(|tried| (tried.version, tried.fingerprint)).unzip();
    status(code, &Rotated { object: key.to_string(), outcome, revision, version, fingerprint, missing })
}

fn stamped(mut change: Change, tried: Option<&Tried>) -> Change {
    for event in change.events.iter_mut().filter(|event| event.kind == EventKind::BindingRotated) {
        event.secret_version = tried.map(|tried| tried.version.clone());
        event.fingerprint = tried.map(|tried| tried.fingerprint);
    }
    change
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
        last = Some(try_one(context, spec, &reference).await?);
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

async fn try_one(
    context: &ControlContext,
    spec: &BindingSpec,
    reference: &ResolvedReference,
) -> Result<Tried, Refusal> {
    let snapshot = context.snapshots.current();
    let view = snapshot.environment(spec.environment.as_str());
    let binding = view
        .and_then(|view| view.server(spec.server.as_str()))
        .and_then(|server| server.binding(&spec.name))
        .ok_or_else(|| Refusal::new(Code::StateStale).because("the binding is not in the snapshot"))?;
    let injection = spec.inject.as_ref().ok_or_else(|| Refusal::new(Code::ReferenceRefused))?;
    let entry = context.stores.open(&spec.environment, &reference.store)?;
    // Past the cache and not into it: until the upstream has taken the value, calls go on with the old one.
    let material = entry.uncached.fetch(reference).await?;
    check_usable(&material.secret, spec.excepts(ExceptionRule::ShortSecret))?;
    let tried = Tried {
        version: material.version.clone(),
        fingerprint: material.secret.fingerprint(&context.fingerprints),
    };
    let permit = Permit::for_system(SystemUse::Probe, std::sync::Arc::clone(binding), snapshot.epoch);
    let (environment, route) = (&spec.environment, &binding.route);
    context.probe.probe(&permit, Candidate { environment, route, injection, material }).await?;
    Ok(tried)
}

/// The rules of the data path, asked before the upstream is: wherever a value goes, it is visible
/// ASCII and long enough for the scrubber.
fn check_usable(secret: &Secret, short_allowed: bool) -> Result<(), Refusal> {
    if secret.is_empty() {
        return Err(Code::SecretEmpty.into());
    }
    if secret.len() < SHORT && !short_allowed {
        return Err(Refusal::new(Code::SecretUnusable).because("the value is shorter than 16 bytes"));
    }
    if !secret.is_header_safe() {
        return Err(
            Refusal::new(Code::SecretUnusable).because("the value holds characters no header may hold")
        );
    }
    Ok(())
}
