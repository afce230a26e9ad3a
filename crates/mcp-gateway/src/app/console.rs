//! The console: the operators' pages, wired to the management API of this process and to the identity provider.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use gateway_adapters::identity::{OidcOperators, OidcSignIn};
use gateway_console::{Console, ControlApi, OperatorRoles, console_router};
use gateway_control::{ControlContext, OperatorRoutes};
use gateway_core::login::Person;
use gateway_core::operator::Operator;
use gateway_login::{Login, Realm, SealKey, Wiring};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;

use super::parts::{self, Parts};
use super::system::SystemClock;
use super::{StartError, keys};
use crate::config::ConsoleConfig;

/// Opens the pages.
///
/// # Errors
/// A file cannot be read or made, or the section is contradictory.
pub(super) fn router(
    section: &ConsoleConfig,
    context: &Arc<ControlContext>,
    parts: &Parts,
) -> Result<Router, StartError> {
    let key = keys::private_key(&section.key_file, &*parts.entropy)
        .map_err(|error| StartError::machine(section.key_file.display().to_string(), error))?;
    let provider = OidcSignIn::new(section.provider.clone(), Arc::clone(&parts.stores))
        .map_err(|issues| parts::identity(&issues))?;
    let login = Login::new(Wiring {
        public_url: section.public_url.as_str().to_owned(),
        realm: Realm::Operators,
        provider: Arc::new(provider),
        tickets: Arc::clone(&parts.tickets),
        audit: parts.audit.clone(),
        clock: Arc::new(SystemClock),
        random: parts.entropy.clone(),
        key: SealKey::new(&key),
        sessions: section.sessions,
        facade: None,
        connections: None,
        locks: Arc::new(gateway_core::lock::OutOfReach),
    });
    let api = InProcess { routes: OperatorRoutes::new(context), context: Arc::clone(context) };
    let roles = Roles(Arc::clone(&parts.operators));
    Ok(console_router(Arc::new(Console { login, roles: Arc::new(roles), api: Arc::new(api) })))
}

/// The management API without a connection in between.
struct InProcess {
    routes: OperatorRoutes,
    context: Arc<ControlContext>,
}

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InProcess(..)")
    }
}

#[async_trait]
impl ControlApi for InProcess {
    async fn call(&self, operator: Operator, request: Request<Bytes>) -> Response<Bytes> {
        let response = self.routes.call(operator, request.map(Body::from)).await;
        let (head, body) = response.into_parts();
        match body.collect().await {
            Ok(body) => Response::from_parts(head, body.to_bytes()),
            Err(_) => {
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            }
        }
    }

    async fn waiting_for(&self) -> Vec<String> {
        self.context.pages.readiness().await.waiting_for
    }
}

/// The roles that the configuration gives.
#[derive(Debug)]
struct Roles(Arc<OidcOperators>);

impl OperatorRoles for Roles {
    fn of(&self, person: &Person) -> Option<Operator> {
        self.0.of_person(person)
    }
}
