//! The pages for people: wired to the identity provider, the records and the keys, and brought to the
//! data plane as its site.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use gateway_adapters::identity::{FacadeVerifier, GuardedDocuments, OidcSignIn, OidcVerifier};
use gateway_adapters::signing::Signer;
use gateway_core::connect::Connections;
use gateway_core::lock::LockWatch;
use gateway_core::ports::{AuditSink, IdentityVerifier, Tickets};
use gateway_core::stores::Stores;
use gateway_login::context::{FacadeWiring, Source};
use gateway_login::{Login, PREFIXES, Realm, SealKey, Wiring, login_router};
use gateway_proxy::site::Site;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tokio::runtime::Handle;
use tower::ServiceExt as _;

use super::system::{SystemClock, SystemEntropy};
use super::{StartError, keys, parts};
use crate::config::{Config, LoginConfig};

/// What the pages share with the rest of the gateway.
pub(super) struct Shared {
    pub(super) accounts: Arc<dyn Connections>,
    pub(super) locks: Arc<dyn LockWatch>,
    pub(super) stores: Arc<Stores>,
    pub(super) tickets: Arc<dyn Tickets>,
    pub(super) audit: Arc<dyn AuditSink>,
    pub(super) entropy: Arc<SystemEntropy>,
    pub(super) signer: Arc<Signer>,
}

/// Opens the pages. Must run inside the service runtime, which then answers them.
///
/// # Errors
/// A file cannot be read or made, or the section is contradictory.
pub(super) fn open(config: &Config, login: &LoginConfig, shared: Shared) -> Result<Arc<Login>, StartError> {
    let key = keys::private_key(&login.key_file, &*shared.entropy)
        .map_err(|error| StartError::machine(login.key_file.display().to_string(), error))?;
    let provider = OidcSignIn::new(login.provider.clone(), Arc::clone(&shared.stores))
        .map_err(|issues| parts::identity(&issues))?;
    let facade = match &login.clients {
        None => None,
        Some(clients) => {
            let documents = GuardedDocuments::new(clients.addresses.clone(), clients.ca_file.clone())
                .map_err(|error| StartError::machine("login.clients.ca_file", error))?;
            Some(FacadeWiring {
                signer: shared.signer,
                documents: Arc::new(documents),
                settings: clients.settings.clone(),
            })
        }
    };
    Ok(Login::new(Wiring {
        public_url: config.public_url.as_str().to_owned(),
        realm: Realm::People,
        provider: Arc::new(provider),
        tickets: shared.tickets,
        audit: shared.audit,
        clock: Arc::new(SystemClock),
        random: shared.entropy,
        key: SealKey::new(&key),
        sessions: login.sessions,
        facade,
        connections: Some(shared.accounts),
        locks: shared.locks,
    }))
}

/// The verifier of the data plane: the configured issuers, and our own tokens where we issue any.
pub(super) fn verifier(
    config: &Config,
    others: &Arc<OidcVerifier>,
    signer: &Arc<Signer>,
) -> Arc<dyn IdentityVerifier> {
    match config.login.as_ref().filter(|login| login.clients.is_some()) {
        Some(login) => Arc::new(FacadeVerifier::new(
            Arc::clone(others),
            config.public_url.as_str(),
            &login.provider.issuer,
            Arc::clone(signer),
        )),
        None => others.clone(),
    }
}

/// The pages as the data plane sees them.
pub(super) struct Pages {
    router: Router,
    runtime: Handle,
}

impl Pages {
    /// Answers in the runtime that this is called in.
    pub(super) fn new(login: Arc<Login>) -> Self {
        Self { router: login_router(login), runtime: Handle::current() }
    }
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pages(..)")
    }
}

#[async_trait]
impl Site for Pages {
    fn serves(&self, path: &str) -> bool {
        PREFIXES.iter().any(|prefix| {
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    async fn answer(&self, request: Request<Bytes>, source: IpAddr) -> Response<Bytes> {
        let mut request = request.map(Body::from);
        request.extensions_mut().insert(Source(source));
        let router = self.router.clone();
        // Beside the data threads: a page may wait for the database or another site.
        let answered = self.runtime.spawn(async move {
            let Ok(response) = router.oneshot(request).await;
            let (parts, body) = response.into_parts();
            body.collect().await.map(|body| Response::from_parts(parts, body.to_bytes()))
        });
        match answered.await {
            Ok(Ok(response)) => response,
            _ => {
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            }
        }
    }
}
