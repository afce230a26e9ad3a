//! What the authorization server says about itself (RFC 8414).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::{AUTHORIZE, REGISTER, REVOKE, TOKEN, json_answer};
use crate::context::Login;

pub(super) async fn metadata(State(login): State<Arc<Login>>) -> Response<Body> {
    let settings = login.facade.as_ref().map(|facade| &facade.settings);
    let mut grants = vec!["authorization_code", "refresh_token"];
    if settings.is_some_and(|settings| settings.assertions) {
        grants.push(super::assertion::GRANT_TYPE);
    }
    let mut document = json!({
        "issuer": login.origin(),
        "authorization_endpoint": login.at(AUTHORIZE),
        "token_endpoint": login.at(TOKEN),
        "revocation_endpoint": login.at(REVOKE),
        "jwks_uri": login.at("/.well-known/jwks/access-token.json"),
        "scopes_supported": super::token::SCOPES,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": grants,
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "authorization_response_iss_parameter_supported": true,
        "client_id_metadata_document_supported":
            settings.is_some_and(|settings| !settings.metadata_domains.is_empty()),
    });
    if settings.is_some_and(|settings| settings.registration)
        && let Some(fields) = document.as_object_mut()
    {
        fields.insert("registration_endpoint".to_owned(), login.at(REGISTER).into());
    }
    let mut response = json_answer(StatusCode::OK, &document);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
    response
}
