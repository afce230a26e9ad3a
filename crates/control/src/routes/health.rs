//! Pages for machines; they need no operator.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use super::{Shared, json, status};

#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, description = "The process runs")))]
pub(crate) async fn livez() -> &'static str {
    "live\n"
}

#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "Traffic may be sent", body = serde_json::Value),
    (status = 503, description = "What it waits for", body = serde_json::Value),
))]
pub(crate) async fn readyz(State(context): Shared) -> Response {
    let readiness = context.pages.readiness().await;
    let ready = readiness.waiting_for.is_empty();
    status(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &readiness)
}

#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, description = "Prometheus text", body = String)))]
pub(crate) async fn metrics(State(context): Shared) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], context.pages.metrics()).into_response()
}

#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "health", responses((status = 200, description = "Public keys of checkpoints (RFC 7517)", body = serde_json::Value)))]
pub(crate) async fn jwks(State(context): Shared) -> Response {
    json(&context.pages.jwks())
}
