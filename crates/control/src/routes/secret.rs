//! Secrets: whether a reference resolves, and putting values into a store of ours. A value goes in
//! and never comes out.

use axum::response::Response;
use gateway_core::audit::{Decision, Event, EventKind};
use gateway_core::id::{EnvironmentName, StoreName};
use gateway_core::lease::VersionId;
use gateway_core::lifecycle::{binding_key, rule};
use gateway_core::manifest::Spec;
use gateway_core::operator::{Role, Scope};
use gateway_core::reference::{SecretReference, TemplateValues};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::rotation::{VersionRecord, VersionState};
use gateway_core::secret::Fingerprint;
use gateway_core::state::State;
use gateway_core::stores::StoreEntry;
use gateway_core::time::Timestamp;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Shared, json, status};
use crate::auth::Caller;
use crate::body::{Body, SecretText};
use crate::problem::Problem;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Check {
    /// The environment for which it is to be read.
    #[schema(value_type = String)]
    environment: EnvironmentName,
    /// The reference, without templates.
    #[schema(value_type = String)]
    reference: SecretReference,
}

#[derive(Serialize)]
struct Checked {
    reference: SecretReference,
    resolvable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<VersionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<Fingerprint>,
    #[serde(flatten)]
    rotation: Rotation,
}

/// What the bindings on the place say about it.
#[derive(Serialize, Default)]
struct Rotation {
    /// Where the version stands, where it is looked after.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<VersionState>,
    /// The earliest of the times at which the next rotation is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_rotation: Option<Timestamp>,
    /// Whether that has passed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    overdue: bool,
}

/// The operator edits for a team that owns the place, in the environment.
fn demand_place(
    caller: &Caller,
    entry: &StoreEntry,
    reference: &SecretReference,
    environment: &EnvironmentName,
) -> Result<(), Problem> {
    let environment = Some(environment);
    let owners = entry.owners_of(reference).unwrap_or_default();
    let owned = owners.iter().any(|team| caller.0.may(Role::Editor, Scope { team: Some(team), environment }));
    if owned {
        return Ok(());
    }
    caller.demand(Role::Editor, Scope { team: None, environment })
}

fn rotation_of(state: &State, reference: &SecretReference, version: &VersionId, now: Timestamp) -> Rotation {
    let of_binding = |record: &&VersionRecord| state.active(&binding_key(record)).is_some();
    let here = state.versions.iter().filter(|record| record.is(reference, version)).filter(of_binding);
    let due = |record: &VersionRecord| match &state.active(&binding_key(record))?.spec {
        Spec::Binding(spec) if record.state == VersionState::Active => record.due_at(spec.rotation.as_ref()?),
        _ => None,
    };
    let known: Vec<&VersionRecord> = here.collect();
    let next_rotation = known.iter().filter_map(|record| due(record)).min();
    Rotation {
        state: known.iter().map(|record| record.state).min_by_key(|state| *state != VersionState::Active),
        next_rotation,
        overdue: next_rotation.is_some_and(|due| due <= now),
    }
}

/// Whether a reference resolves: version, age and keyed fingerprint, never the value.
#[utoipa::path(post, path = "/v1/secrets/check", tag = "secrets", request_body = Check,
    security(("bearer" = [])), responses((status = 200, description = "Whether, and which version", body = Value)))]
pub(crate) async fn check(
    axum::extract::State(context): Shared,
    caller: Caller,
    Body(body): Body<Check>,
) -> Result<Response, Problem> {
    let entry = context.stores.open(&body.environment, body.reference.store()).map_err(Refusal::from)?;
    demand_place(&caller, entry, &body.reference, &body.environment)?;
    let values = TemplateValues { agent: None, user: None, environment: &body.environment };
    let place = body.reference.resolve(&values);
    let place = place.map_err(|error| Problem::new(&rule::REFERENCE_TEMPLATE, error))?;
    entry.cache.forget(&place);
    let found = entry.store.fetch(&place).await.map_err(Refusal::from);
    let mut answer = Checked {
        reference: body.reference,
        resolvable: found.is_ok(),
        code: found.as_ref().err().map(Refusal::code),
        hint: found.as_ref().err().map(|refusal| refusal.code().row().hint),
        version: None,
        created_at: None,
        age_seconds: None,
        fingerprint: None,
        rotation: Rotation::default(),
    };
    let mut event = Event::new(EventKind::SecretChecked, context.now());
    event.operator = Some(caller.0.name.clone());
    event.reference = Some(answer.reference.clone());
    event.environment = Some(body.environment);
    event.decision = Some(Decision::Allow);
    event.reason = answer.code.map(|code| code.to_string());
    if let Ok(material) = found {
        answer.version = Some(material.version.clone());
        answer.created_at = material.created_at;
        answer.age_seconds = material.created_at.map(|made| context.now().since(made).as_secs());
        answer.fingerprint = Some(material.secret.fingerprint(&context.fingerprints));
        let state = context.state.load().await?;
        answer.rotation = rotation_of(&state, &answer.reference, &material.version, context.now());
        event.secret_version = answer.version.clone();
        event.fingerprint = answer.fingerprint;
        event.store_request_id = material.store_request_id.clone();
    }
    context.evidence(event).await;
    Ok(json(&answer))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Put {
    /// The store.
    #[schema(value_type = String)]
    store: StoreName,
    /// The path in it.
    path: String,
    /// The field.
    field: String,
    /// The value.
    #[schema(value_type = String, write_only)]
    value: SecretText,
}

#[derive(Serialize)]
struct Stored {
    reference: String,
    version: VersionId,
    fingerprint: Fingerprint,
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '%' | '#' | '?' | '{' | '}' => escaped.push_str(&format!("%{:02X}", u32::from(c))),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Puts a value into a store of ours. It takes the role for every environment that the store serves.
#[utoipa::path(post, path = "/v1/secrets", tag = "secrets", request_body = Put, security(("bearer" = [])),
    responses((status = 201, description = "The reference, version and fingerprint", body = Value)))]
pub(crate) async fn put(
    axum::extract::State(context): Shared,
    caller: Caller,
    Body(body): Body<Put>,
) -> Result<Response, Problem> {
    let text = format!("{}://{}#{}", body.store, escaped(&body.path), escaped(&body.field));
    let reference =
        SecretReference::parse(&text).map_err(|error| Problem::new(&rule::REFERENCE_MALFORMED, error))?;
    let unknown = || Problem::new(&rule::STORE_UNKNOWN, "no such store");
    let entry = context.stores.entry(&body.store).ok_or_else(unknown)?;
    for environment in &entry.environments {
        demand_place(&caller, entry, &reference, environment)?;
    }
    let read_only = || Problem::new(&rule::STORE_READ_ONLY, "this store takes no values from the gateway");
    let writer = entry.writer.as_ref().ok_or_else(read_only)?;
    if body.value.0.is_empty() {
        return Err(Problem::from(Refusal::new(Code::SecretEmpty)));
    }
    let fingerprint = body.value.0.fingerprint(&context.fingerprints);
    let now = context.now();
    let version = writer.put(&body.path, &body.field, body.value.0, now).await.map_err(Refusal::from)?;
    if let Some(environment) = entry.environments.first() {
        let values = TemplateValues { agent: None, user: None, environment };
        if let Ok(place) = reference.resolve(&values) {
            entry.cache.forget(&place);
        }
    }
    let mut event = Event::new(EventKind::SecretStored, now);
    event.operator = Some(caller.0.name.clone());
    event.decision = Some(Decision::Allow);
    event.reference = Some(reference.clone());
    event.secret_version = Some(version.clone());
    event.fingerprint = Some(fingerprint);
    context.evidence(event).await;
    Ok(status(StatusCode::CREATED, &Stored { reference: reference.to_string(), version, fingerprint }))
}
