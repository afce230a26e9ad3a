//! Who operates: authentication before every route, and evidence of every refusal.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gateway_core::identity::{IdentityError, Presented};
use gateway_core::lifecycle::{refused, rule};
use gateway_core::operator::{Operator, Role, Scope};
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};

use crate::context::ControlContext;
use crate::problem::{Problem, Refused};

/// The authenticated operator of a request.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) Operator);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::unauthenticated("no operator"))
    }
}

impl Caller {
    pub(crate) fn demand(&self, role: Role, scope: Scope<'_>) -> Result<(), Problem> {
        if self.0.may(role, scope) {
            return Ok(());
        }
        Err(Problem::new(&rule::OPERATOR_FORBIDDEN, format!("this takes the role `{role}`")))
    }
}

/// Takes the bearer token out of the headers, so that nothing further in can see it.
pub(crate) fn take_bearer(headers: &mut HeaderMap) -> Option<Presented> {
    let value = headers.remove(header::AUTHORIZATION)?;
    let token = value.as_bytes().get(7..)?;
    let scheme = value.as_bytes().get(..7)?;
    let usable = scheme.eq_ignore_ascii_case(b"Bearer ") && (1..=16_384).contains(&token.len());
    usable.then(|| Presented::new(Secret::copy_from(token)))
}

/// Lets only authenticated operators through.
pub(crate) async fn authenticate(
    State(context): State<Arc<ControlContext>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(presented) = take_bearer(request.headers_mut()) else {
        return Problem::unauthenticated("no bearer token was sent").into_response();
    };
    match context.operators.verify(&presented, context.now()).await {
        Ok(operator) => {
            request.extensions_mut().insert(Caller(operator));
            named(request, next).await
        }
        Err(IdentityError::KeysUnavailable) => {
            Problem::from(gateway_core::refusal::Refusal::new(gateway_core::refusal::Code::IssuerUnavailable))
                .into_response()
        }
        Err(error) => Problem::unauthenticated(&error.to_string()).into_response(),
    }
}

/// Tells the recorder of refusals who acted.
pub(crate) async fn named(request: Request, next: Next) -> Response {
    let name = request.extensions().get::<Caller>().map(|caller| caller.0.name.clone());
    let mut response = next.run(request).await;
    if let Some(name) = name {
        response.extensions_mut().insert(name);
    }
    response
}

/// How many refused logins a minute leave evidence: strangers must not fill the disk.
const LOGINS_A_MINUTE: u32 = 10;

/// Counts refused logins within one minute.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<(i64, u32)>);

impl Strangers {
    fn admit(&self, now: Timestamp) -> bool {
        let minute = now.seconds().div_euclid(60);
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.0 != minute {
            *counted = (minute, 0);
        }
        counted.1 = counted.1.saturating_add(1);
        counted.1 <= LOGINS_A_MINUTE
    }
}

/// Gives each request an id, and files evidence of refused acts.
pub(crate) async fn record(
    State((context, strangers)): State<(Arc<ControlContext>, Arc<Strangers>)>,
    request: Request,
    next: Next,
) -> Response {
    let id = context.request_id();
    let mut response = next.run(request).await;
    if let Some(Refused { code, object }) = response.extensions_mut().remove::<Refused>() {
        let operator = response.extensions_mut().remove::<gateway_core::id::OperatorName>();
        let now = context.now();
        if operator.is_some() || strangers.admit(now) {
            let mut event = refused(operator.as_ref(), code, object.as_ref(), now);
            event.request_id = Some(id.clone());
            context.evidence(event).await;
        }
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        headers.insert("x-request-id", value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
