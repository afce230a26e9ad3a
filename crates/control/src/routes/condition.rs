//! How a binding has been of late, for its card.

use axum::extract::{Path, State};
use axum::response::Response;
use gateway_core::audit::EventKind;
use gateway_core::manifest::Spec;
use gateway_core::time::Timestamp;
use serde::Serialize;

use super::binding::visible;
use super::store::{self, Health};
use super::{BindingPath, Shared, binding_key, json};
use crate::auth::Caller;
use crate::context::ControlContext;
use crate::ports::AuditQuery;
use crate::problem::Problem;

/// How a binding has been of late. Says when, not who: that is evidence.
#[derive(Serialize)]
struct BindingHealth {
    binding: String,
    /// The store of its secret, as this replica last found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<StoreHealth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_refusal: Option<LastRefusal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_rotated: Option<Timestamp>,
}

#[derive(Serialize)]
struct StoreHealth {
    name: String,
    #[serde(flatten)]
    health: Health,
}

#[derive(Serialize)]
struct LastRefusal {
    code: String,
    at: Timestamp,
}

/// How the binding has been of late: its store, its last use, its last refusal, its last rotation.
#[utoipa::path(get, path = "/v1/bindings/{environment}/{name}/health", tag = "bindings",
    params(("environment" = String, Path), ("name" = String, Path)), security(("bearer" = [])), responses(
    (status = 200, description = "`store`, `last_used`, `last_refusal`, `last_rotated`, as far as there are any", body = Value),
    (status = 404, description = "No such binding", body = Value)))]
pub(crate) async fn health(
    State(context): Shared,
    caller: Caller,
    Path((environment, name)): BindingPath,
) -> Result<Response, Problem> {
    let state = context.state.load().await?;
    let record = visible(&state, &binding_key(&environment, &name)?, &caller)?;
    let Spec::Binding(spec) = &record.spec else { return Err(Problem::no_route()) };
    let place = spec.place().and_then(|place| Some((place.store(), context.stores.entry(place.store())?)));
    let newest = async |kind, by_object| newest(&context, &environment, &name, kind, by_object).await;
    let (used, refused, rotated) = futures::join!(
        newest(EventKind::Intent, false),
        newest(EventKind::Refused, false),
        newest(EventKind::BindingRotated, true),
    );
    Ok(json(&BindingHealth {
        binding: format!("{environment}/{name}"),
        store: place
            .map(|(name, entry)| StoreHealth { name: name.to_string(), health: store::health(entry) }),
        last_used: used?.map(|(at, _)| at),
        last_refusal: refused?.map(|(at, code)| LastRefusal { code, at }),
        last_rotated: rotated?.map(|(at, _)| at),
    }))
}

/// The time and the reason of the newest such event about the binding.
async fn newest(
    context: &ControlContext,
    environment: &str,
    name: &str,
    kind: EventKind,
    by_object: bool,
) -> Result<Option<(Timestamp, String)>, Problem> {
    let mut query = AuditQuery { kind: Some(kind), limit: Some(1), ..AuditQuery::default() };
    query.environment = Some(environment.to_owned());
    if by_object {
        query.object = Some(format!("binding/{environment}/{name}"));
    } else {
        query.binding = Some(name.to_owned());
    }
    let found = context.audit_reader.search(&query).await?.records.into_iter().next();
    Ok(found.map(|entry| (entry.event.time, entry.event.reason.unwrap_or_default())))
}
