//! Revocation (RFC 7009): a client gives back what it holds.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use gateway_core::login::Fault;
use http::{HeaderMap, Response, StatusCode};
use serde_json::json;

use super::token::client_id;
use super::{json_answer, json_refusal, refresh};
use crate::context::{Login, Source};
use crate::evidence::About;
use crate::fields::Fields;
use crate::pages::Connected;

pub(super) async fn revoke(
    State(login): State<Arc<Login>>,
    connected: Connected,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    match give_back(&login, &headers, &body).await {
        Ok(()) => json_answer(StatusCode::OK, &json!({})),
        Err(fault) => {
            let source = connected.map(|Extension(Source(address))| address);
            login.refused(fault, About { source, ..About::default() });
            json_refusal(fault)
        }
    }
}

async fn give_back(login: &Login, headers: &HeaderMap, body: &[u8]) -> Result<(), Fault> {
    let fields = Fields::form(headers, body)?;
    let client = client_id(headers, &fields)?;
    let text = fields.required("token")?;
    // A JWT that looks like one of our access tokens: it cannot be called back, and we say so.
    if !text.starts_with(refresh::PREFIX) && text.matches('.').count() == 2 {
        return Err(Fault::TokenKind);
    }
    let token = fields.secret("token").ok_or(Fault::RequestMalformed)?;
    login.revoke(&token, client).await
}
