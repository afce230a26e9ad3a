//! Every path of the console.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::map_response;
use axum::routing::{get, post};
use gateway_login::{Login, login_router};

use crate::api::{ControlApi, OperatorRoles};
use crate::{acts, frame, pages};

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
        .route("/console/servers", get(pages::objects::servers))
        .route("/console/agents", get(pages::objects::agents))
        .route("/console/policies", get(pages::objects::policies))
        .route("/console/grants", get(pages::grants::page))
        .route("/console/sessions", get(pages::sessions::page))
        .route("/console/locks", get(pages::locks::page))
        .route("/console/audit", get(pages::audit::page))
        .route("/console/audit/{request}", get(pages::audit::one_call))
        .route("/console/act/{act}", post(acts::act))
        .route(frame::STYLE_PATH, get(frame::style))
        .with_state(console)
        .layer(DefaultBodyLimit::max(FORM_BYTES))
        .layer(map_response(|mut response: axum::response::Response| async move {
            gateway_login::page::guard(&mut response);
            response
        }))
        .merge(login)
}
