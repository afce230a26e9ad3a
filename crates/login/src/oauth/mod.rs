//! The authorization server for people's clients (OAuth 2.1; RFC 8414, 7591, 7009, 8707, 9207): it logs
//! nobody in itself, and its tokens open this gateway alone.

mod assertion;
mod authorize;
mod client;
mod code;
mod consent;
mod document;
mod metadata;
pub mod redirect;
mod refresh;
mod register;
mod request;
mod resource;
mod revoke;
mod token;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use gateway_core::login::{AccessTokenSigner, ClientDocuments, Fault};
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::allowance::Allowance;
use crate::context::{FacadeWiring, Login};

/// What the authorization server may do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FacadeSettings {
    /// Hosts whose client ID metadata documents are taken; none: no such clients.
    pub metadata_domains: Vec<MetadataDomain>,
    /// Whether clients may register themselves.
    pub registration: bool,
    /// Whether assertions of the identity provider (ID-JAG) are taken.
    pub assertions: bool,
    /// How long access tokens last.
    pub access_lifetime: Duration,
    /// How long a family of refresh tokens may rest.
    pub refresh_idle: Duration,
    /// How long it may last.
    pub refresh_lifetime: Duration,
}

/// Hosts at which client ID metadata documents may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MetadataDomain {
    /// Every host, said explicitly.
    Any,
    /// This host.
    Host(String),
    /// Every host below this domain, and not the domain itself.
    Below(String),
}

impl MetadataDomain {
    /// Reads `*`, `host.example` or `*.example.org`; nothing for everything else.
    pub fn parse(text: &str) -> Option<Self> {
        let is_name = |name: &str| {
            let plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
            name.contains('.') && name.bytes().all(plain) && !name.split('.').any(str::is_empty)
        };
        match text.strip_prefix("*.") {
            _ if text == "*" => Some(Self::Any),
            Some(domain) if is_name(domain) => Some(Self::Below(domain.to_owned())),
            None if is_name(text) || text == "localhost" => Some(Self::Host(text.to_owned())),
            _ => None,
        }
    }

    pub(crate) fn covers(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Host(own) => own == host,
            Self::Below(domain) => {
                host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
        }
    }
}

/// The authorization server's own parts.
#[derive(Debug)]
pub(crate) struct Facade {
    pub(crate) signer: Arc<dyn AccessTokenSigner>,
    pub(crate) documents: document::Documents,
    pub(crate) registrations: Allowance,
    pub(crate) settings: FacadeSettings,
}

impl Facade {
    pub(crate) fn new(wiring: FacadeWiring) -> Self {
        let documents: Arc<dyn ClientDocuments> = wiring.documents;
        Self {
            signer: wiring.signer,
            documents: document::Documents::new(documents, wiring.settings.metadata_domains.clone()),
            registrations: register::allowance(),
            settings: wiring.settings,
        }
    }
}

impl Login {
    pub(crate) fn facade(&self) -> Result<&Facade, Fault> {
        self.facade.as_ref().ok_or(Fault::Unavailable)
    }
}

pub(crate) const AUTHORIZE: &str = "/oauth/authorize";
pub(crate) const CONSENT: &str = "/oauth/consent";
pub(crate) const TOKEN: &str = "/oauth/token";
pub(crate) const REGISTER: &str = "/oauth/register";
pub(crate) const REVOKE: &str = "/oauth/revoke";
pub(crate) const METADATA: &str = "/.well-known/oauth-authorization-server";

pub(crate) fn routes() -> Router<Arc<Login>> {
    Router::new()
        .route(METADATA, get(metadata::metadata))
        .route(AUTHORIZE, get(authorize::authorize))
        .route(CONSENT, post(consent::consent))
        .route(TOKEN, post(token::token))
        .route(REGISTER, post(register::register))
        .route(REVOKE, post(revoke::revoke))
}

/// An answer for a client.
fn json_answer(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A refusal for a client (RFC 6749, section 5.2; RFC 7591, section 3.2.2). `error_description` begins
/// with our stable code.
fn json_refusal(fault: Fault) -> Response<Body> {
    let row = fault.row();
    let status = StatusCode::from_u16(row.status).unwrap_or(StatusCode::BAD_REQUEST);
    json_answer(
        status,
        &json!({"error": row.oauth, "error_description": format!("{}: {}", row.code, row.text)}),
    )
}
