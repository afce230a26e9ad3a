//! What was begun is carried to its end, whether or not whoever asked for it still waits.
//!
//! A server drops what it does for a connection that is gone. An act that was dropped between two of its steps would
//! have happened without its evidence, or with what it ends half ended; who hangs up at the right moment could even
//! choose that. So each act runs as a task of its own.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tracing::Instrument as _;

use crate::problem::Problem;

/// Runs everything but mere reading (RFC 9110, section 9.2.1) to its end.
pub(crate) async fn carried(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    match tokio::spawn(next.run(request).in_current_span()).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::error!(%error, "an act did not come to its end");
            Problem::senseless().into_response()
        }
    }
}
