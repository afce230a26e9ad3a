//! All routes on one page, and the document that describes them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use gateway_core::operator::Operator;
use http::header;
use tower::ServiceExt as _;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{Caller, Strangers, authenticate, named, record};
use crate::carried::carried;
use crate::context::ControlContext;
use crate::idempotency::once;
use crate::masking::veil;
use crate::page::link;
use crate::problem::Problem;
use crate::routes::{
    access, act, agent, apply, audit, binding, calls, condition, effect, grant, health, lock, login, object,
    policy, policy_diff, promote, review, revocation, rotate, secret, session, store, summary, token,
    versions, waiting, whole, workload,
};

/// The most that a body may hold: 1 MiB, and 16 MiB for manifests.
const BODY_BYTES: usize = 1024 * 1024;
const MANIFEST_BYTES: usize = 16 * 1024 * 1024;

#[derive(OpenApi)]
#[openapi(info(
    title = "MCP gateway control API",
    description = "Operators, manifests, approvals, rotation, revocation and evidence. Errors are RFC 9457 \
                   problems with a stable `code`, a `hint`, a `fixer` and, for manifests, `findings`."
))]
struct Description;

type Routes = OpenApiRouter<Arc<ControlContext>>;

fn manifests() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(apply::apply))
        .routes(routes!(apply::diff))
        .routes(routes!(policy_diff::diff))
        .routes(routes!(promote::promote))
        .layer(DefaultBodyLimit::max(MANIFEST_BYTES))
}

fn operators() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(apply::export))
        .routes(routes!(binding::list))
        .routes(routes!(binding::card_of))
        .routes(routes!(binding::validate))
        .routes(routes!(binding::explain))
        .routes(routes!(access::who))
        .routes(routes!(access::what))
        .routes(routes!(act::approve_binding))
        .routes(routes!(act::approve_object))
        .routes(routes!(effect::of_binding))
        .routes(routes!(effect::of_object))
        .routes(routes!(act::disable))
        .routes(routes!(act::enable))
        .routes(routes!(act::revoke))
        .routes(routes!(review::review))
        .routes(routes!(agent::disable))
        .routes(routes!(agent::enable))
        .routes(routes!(agent::revoke))
        .routes(routes!(rotate::rotate))
        .routes(routes!(versions::list))
        .routes(routes!(condition::health))
        .routes(routes!(object::servers))
        .routes(routes!(object::agents))
        .routes(routes!(object::policies))
        .routes(routes!(object::environments))
        .routes(routes!(object::workloads))
        .routes(routes!(object::providers))
        .routes(routes!(whole::show))
        .routes(routes!(summary::show))
        .routes(routes!(waiting::list))
        .routes(routes!(waiting::expiring))
        .routes(routes!(store::list))
        .routes(routes!(store::probe))
        .routes(routes!(calls::of_server))
        .routes(routes!(calls::of_agent))
        .routes(routes!(calls::of_everybody))
        .routes(routes!(workload::explain))
        .routes(routes!(workload::disable))
        .routes(routes!(workload::enable))
        .routes(routes!(workload::revoke))
        .routes(routes!(grant::list))
        .routes(routes!(grant::revoke))
        .routes(routes!(lock::list, lock::create))
        .routes(routes!(lock::show))
        .routes(routes!(lock::lift))
        .routes(routes!(revocation::server))
        .routes(routes!(revocation::environment))
        .routes(routes!(revocation::list))
        .routes(routes!(revocation::show))
        .routes(routes!(session::list))
        .routes(routes!(session::terminate_all))
        .routes(routes!(session::terminate))
        .routes(routes!(token::issue, token::list))
        .routes(routes!(token::revoke))
        .routes(routes!(secret::check))
        .routes(routes!(secret::put))
        .routes(routes!(policy::check))
        .routes(routes!(policy::test))
        .routes(routes!(policy::explain))
        .routes(routes!(audit::search))
        .routes(routes!(audit::tail))
        .routes(routes!(audit::verify))
        .routes(routes!(login::me))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
}

fn open() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(login::login))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(health::jwks))
}

fn describe(api: &mut utoipa::openapi::OpenApi) {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = api.components.get_or_insert_with(Default::default);
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
}

/// The OpenAPI document of every route, with what holds for all of them.
pub fn openapi_document() -> serde_json::Value {
    let router = OpenApiRouter::with_openapi(Description::openapi());
    let mut api = router.merge(manifests()).merge(operators()).merge(open()).into_openapi();
    describe(&mut api);
    crate::openapi::completed(&api)
}

/// The routes of operators, for a caller inside this process that has proven itself who the operator is: the
/// console. Decisions, evidence and answers are those of the API.
#[derive(Clone, Debug)]
pub struct OperatorRoutes(Router);

impl OperatorRoutes {
    /// The same state as the router of the listener.
    pub fn new(context: &Arc<ControlContext>) -> Self {
        let (routes, _) = manifests().merge(operators()).split_for_parts();
        let routes = routes
            .route_layer(from_fn_with_state(Arc::clone(context), once))
            .route_layer(from_fn_with_state(Arc::clone(context), veil))
            .route_layer(from_fn(named))
            .fallback(|| async { Problem::no_route() })
            .layer(from_fn_with_state((Arc::clone(context), Arc::new(Strangers::default())), record))
            .layer(from_fn(carried));
        Self(routes.with_state(Arc::clone(context)))
    }

    /// Answers as the API answers this operator.
    pub async fn call(&self, operator: Operator, mut request: Request) -> Response {
        request.extensions_mut().insert(Caller(operator));
        let Ok(response) = self.0.clone().oneshot(request).await;
        response
    }
}

/// The whole control plane, for its own listener.
pub fn control_router(context: Arc<ControlContext>) -> Router {
    let document: Arc<str> = openapi_document().to_string().into();
    let openapi = move || async move {
        ([(header::CONTENT_TYPE, "application/json")], document.to_string()).into_response()
    };
    let guarded = manifests().merge(operators());
    let (guarded, _) = guarded.split_for_parts();
    let (open, _) = open().split_for_parts();
    guarded
        .route_layer(from_fn_with_state(Arc::clone(&context), once))
        .route_layer(from_fn_with_state(Arc::clone(&context), veil))
        .route_layer(from_fn_with_state(Arc::clone(&context), authenticate))
        .merge(open)
        .route("/v1/openapi.json", get(openapi))
        .fallback(|| async { Problem::no_route() })
        .method_not_allowed_fallback(|| async { Problem::no_method() })
        .layer(from_fn(link))
        .layer(from_fn_with_state((Arc::clone(&context), Arc::new(Strangers::default())), record))
        .layer(from_fn(carried))
        .with_state(context)
}
