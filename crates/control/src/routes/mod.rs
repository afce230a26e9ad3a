//! The routes, by noun.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use gateway_core::id::{BindingName, EnvironmentName};
use gateway_core::lifecycle::rule;
use gateway_core::manifest::{Kind, ObjectKey};
use http::StatusCode;
use serde::Serialize;

use crate::context::ControlContext;
use crate::problem::Problem;

pub(crate) mod act;
pub(crate) mod agent;
pub(crate) mod apply;
pub(crate) mod audit;
pub(crate) mod binding;
pub(crate) mod calls;
pub(crate) mod condition;
pub(crate) mod effect;
pub(crate) mod ending;
mod evidence;
pub(crate) mod grant;
pub(crate) mod health;
pub(crate) mod lock;
pub(crate) mod login;
pub(crate) mod object;
pub(crate) mod policy;
pub(crate) mod review;
pub(crate) mod revocation;
pub(crate) mod rotate;
pub(crate) mod secret;
pub(crate) mod session;
pub(crate) mod store;
pub(crate) mod summary;
pub(crate) mod token;
pub(crate) mod unfinished;
pub(crate) mod versions;
pub(crate) mod waiting;
pub(crate) mod whole;
pub(crate) mod workload;

pub(crate) type Shared = axum::extract::State<Arc<ControlContext>>;

/// A path that names a binding.
pub(crate) type BindingPath = axum::extract::Path<(String, String)>;

pub(crate) fn binding_key(environment: &str, name: &str) -> Result<ObjectKey, Problem> {
    let unknown = || Problem::new(&rule::OBJECT_UNKNOWN, "no such binding");
    let environment = EnvironmentName::parse(environment).map_err(|_| unknown())?;
    let name = BindingName::parse(name).map_err(|_| unknown())?.to_string();
    Ok(ObjectKey { kind: Kind::Binding, environment: Some(environment), name })
}

pub(crate) fn json<T: Serialize>(value: &T) -> Response {
    status(StatusCode::OK, value)
}

pub(crate) fn status<T: Serialize>(status: StatusCode, value: &T) -> Response {
    (status, Json(value)).into_response()
}
