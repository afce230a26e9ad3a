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

pub(crate) mod access;
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
mod foresight;
pub(crate) mod grant;
pub(crate) mod health;
pub(crate) mod lock;
pub(crate) mod login;
pub(crate) mod object;
pub(crate) mod policy;
pub(crate) mod policy_diff;
pub(crate) mod promote;
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

/// A path that names an object of any kind.
pub(crate) type ObjectPath = axum::extract::Path<(String, String, String)>;

/// A path that names a binding.
pub(crate) type BindingPath = axum::extract::Path<(String, String)>;

pub(crate) fn binding_key(environment: &str, name: &str) -> Result<ObjectKey, Problem> {
    let unknown = || Problem::new(&rule::OBJECT_UNKNOWN, "no such binding");
    let environment = EnvironmentName::parse(environment).map_err(|_| unknown())?;
    let name = BindingName::parse(name).map_err(|_| unknown())?.to_string();
    Ok(ObjectKey { kind: Kind::Binding, environment: Some(environment), name })
}

/// The key of any object; `-` stands for no environment.
pub(crate) fn object_key(kind: &str, environment: &str, name: String) -> Result<ObjectKey, Problem> {
    let unknown = || Problem::new(&rule::OBJECT_UNKNOWN, "no such object");
    let kind = Kind::from_word(kind).ok_or_else(unknown)?;
    let environment = match environment {
        "-" => None,
        name => Some(EnvironmentName::parse(name).map_err(|_| unknown())?),
    };
    Ok(ObjectKey { kind, environment, name })
}

pub(crate) fn json<T: Serialize>(value: &T) -> Response {
    status(StatusCode::OK, value)
}

pub(crate) fn status<T: Serialize>(status: StatusCode, value: &T) -> Response {
    (status, Json(value)).into_response()
}
