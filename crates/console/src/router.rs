//! Every path of the console.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::map_response;
use axum::routing::{get, post};
use gateway_login::{Login, login_router};

use crate::api::{ControlApi, OperatorRoles};
use crate::{acts, frame, live, pages};

/// The path below which the console answers; its login stands beside it at `/login`.
pub const PREFIX: &str = "/console";

/// The largest form taken, in bytes.
const FORM_BYTES: usize = 32 * 1024;

/// What the console works with.
#[derive(Debug)]
pub struct Console {
    /// Logins and sessions, in the operators' realm.
    pub login: Arc<Login>,
    /// Who is an operator.
    pub roles: Arc<dyn OperatorRoles>,
    /// The management API.
    pub api: Arc<dyn ControlApi>,
}

/// The pages, the acts and the login.
pub fn console_router(console: Arc<Console>) -> Router {
    let login = login_router(Arc::clone(&console.login));
    Router::new()
        .route("/console", get(pages::overview::page))
        .route("/console/bindings", get(pages::bindings::page))
        .route("/console/bindings/{environment}/{name}", get(pages::card::page))
        .route("/console/approvals", get(pages::approvals::page))
        .route("/console/approvals/{kind}/{environment}/{name}", get(pages::approvals::one))
        .route("/console/access", get(pages::access::page))
        .route("/console/environments", get(pages::environments::page))
        .route("/console/environments/{name}", get(pages::environments::one))
        .route("/console/servers", get(pages::objects::servers))
        .route("/console/servers/{environment}/{name}", get(pages::server::page))
        .route("/console/agents", get(pages::objects::agents))
        .route("/console/agents/{name}", get(pages::agent::page))
        .route("/console/workloads", get(pages::objects::workloads))
        .route("/console/workloads/{name}", get(pages::workload::page))
        .route("/console/providers", get(pages::objects::providers))
        .route("/console/providers/{environment}/{name}", get(pages::provider::page))
        .route("/console/policies", get(pages::objects::policies))
        .route("/console/policies/{environment}/{name}", get(pages::policy::page))
        .route("/console/grants", get(pages::grants::page))
        .route("/console/sessions", get(pages::sessions::page))
        .route("/console/locks", get(pages::locks::page))
        .route("/console/revocations", get(pages::revocations::page))
        .route("/console/revocations/{id}", get(pages::revocations::one))
        .route("/console/revocations/{id}/{serial}", get(pages::revocations::document))
        .route("/console/stores", get(pages::stores::page))
        .route("/console/audit", get(pages::audit::page))
        .route("/console/audit/{request}", get(pages::audit::one_call))
        .route("/console/act/{act}", post(acts::act))
        .route(frame::STYLE_PATH, get(frame::style))
        .route(live::SCRIPT_PATH, get(live::script))
        .with_state(console)
        .layer(DefaultBodyLimit::max(FORM_BYTES))
        .layer(map_response(live::guard))
        .merge(login)
}
