//! Every path of the pages and of the authorization server.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::map_response;
use axum::routing::{get, post};

use crate::context::Login;
use crate::{connect, oauth, page, pages};

/// The paths below which this crate answers.
pub const PREFIXES: [&str; 5] =
    ["/login", "/oauth", "/connect", "/grants", "/.well-known/oauth-authorization-server"];

/// The largest body taken, in bytes.
const BODY_BYTES: usize = 32 * 1024;

/// The whole site. Where there is no authorization server or nothing to connect, their paths lead to nothing.
pub fn login_router(login: Arc<Login>) -> Router {
    let mut router = Router::new()
        .route("/login", get(pages::login))
        .route("/login/callback", get(pages::callback))
        .route("/login/out", post(pages::sign_out))
        .route(page::STYLE_PATH, get(pages::style));
    if login.facade.is_some() {
        router = router.merge(oauth::routes());
    }
    if login.connections.is_some() {
        router = router.merge(connect::routes());
    }
    router
        .with_state(login)
        .fallback(pages::nothing)
        .method_not_allowed_fallback(pages::nothing)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(map_response(|mut response: axum::response::Response| async move {
            page::guard(&mut response);
            response
        }))
}
