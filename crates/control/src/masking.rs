//! Roles that see which store a secret is in, and not where in it. Everything that the API answers is covered here, so
//! that the command line, scripts and the console are all told the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use gateway_core::id::{EnvironmentName, StoreName};
use gateway_core::lifecycle::may_touch;
use gateway_core::manifest::Spec;
use gateway_core::operator::{Operator, Role, RoleGrant, Scope};
use gateway_core::reference::SecretReference;
use http::header;
use serde::Serialize;
use serde_json::Value;

use crate::auth::Caller;
use crate::context::ControlContext;
use crate::problem::Problem;

/// What stands in for a path; the same for every path, so that nothing can be compared.
const COVER: &str = "(masked)";

/// What the configuration says about how the API shows things.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Presentation {
    /// The roles that do not see the paths of secrets. A person who holds another role for the same thing sees them.
    pub masked: BTreeSet<Role>,
    /// The kind of each configured store, by its word in the configuration.
    pub store_kinds: BTreeMap<StoreName, String>,
}

impl Presentation {
    /// Whether the paths in this object are not for the operator, who may see the object.
    pub(crate) fn covers(&self, operator: &Operator, spec: &Spec) -> bool {
        !self.masked.is_empty() && !may_touch(&self.beyond(operator), Role::Viewer, spec)
    }

    /// The same for what belongs to no team: evidence.
    pub(crate) fn covers_evidence(&self, operator: &Operator, environment: Option<&EnvironmentName>) -> bool {
        let scope = Scope { team: None, environment };
        !self.masked.is_empty() && !self.beyond(operator).may(Role::Viewer, scope)
    }

    /// Whether no path of any thing is for the operator.
    fn covers_everything(&self, operator: &Operator) -> bool {
        let is_masked = |grant: &RoleGrant| self.masked.contains(&grant.role);
        !self.masked.is_empty() && operator.grants.iter().all(is_masked)
    }

    /// The operator with nothing but the roles that see paths.
    pub(crate) fn beyond(&self, operator: &Operator) -> Operator {
        let mut beyond = operator.clone();
        beyond.grants.retain(|grant| !self.masked.contains(&grant.role));
        beyond
    }
}

/// The answer without any path of a secret.
pub(crate) fn masked<T: Serialize>(value: &T) -> Value {
    let mut value = serde_json::to_value(value).unwrap_or_default();
    cover(&mut value);
    value
}

/// The answer as it is, or without any path.
pub(crate) fn shown<T: Serialize>(value: &T, hidden: bool) -> Value {
    if hidden { masked(value) } else { serde_json::to_value(value).unwrap_or_default() }
}

fn cover(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(covered) = covered(text) {
                *text = covered;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(cover),
        Value::Object(fields) => {
            // Two equal fingerprints would tell that two places hold the same value.
            fields.remove("fingerprint");
            fields.values_mut().for_each(cover);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The store of a reference. Addresses of the web and names of workloads look alike and are none.
fn covered(text: &str) -> Option<String> {
    let (scheme, _) = text.split_once("://")?;
    if matches!(scheme, "http" | "https" | "spiffe") {
        return None;
    }
    let reference = SecretReference::parse(text).ok()?;
    Some(format!("{}://{COVER}", reference.store()))
}

/// Covers every answer to an operator who is to see no path at all, whatever the route: a net below the routes, which
/// judge thing by thing. An answer that cannot be read is not given.
pub(crate) async fn veil(
    State(context): State<Arc<ControlContext>>,
    request: Request,
    next: Next,
) -> Response {
    let operator = request.extensions().get::<Caller>();
    let covered = operator.is_some_and(|caller| context.presentation.covers_everything(&caller.0));
    let response = next.run(request).await;
    let kind =
        response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !covered || !kind.contains("json") {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let read = axum::body::to_bytes(body, usize::MAX).await.ok();
    let told = read.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let Some(told) = told else {
        tracing::error!("an answer could not be read to cover the paths in it");
        return Problem::senseless().into_response();
    };
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, masked(&told).to_string().into())
}

#[cfg(test)]
mod tests {
    use gateway_core::id::OperatorName;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_reference_loses_its_path_field_and_version_wherever_it_stands() {
        let card = json!({
            "reference": "vault://kv/support/bot#token?version=3", "destination": "https://github.internal/mcp",
            "who": "spiffe://acme/agent", "history": [{ "reference": "vault://kv/old#token" }],
            "pending": { "changes": [{ "before": "bao://kv/{agent.id}/x", "after": { "role": "aws://roles/a#b" } }] },
            "fingerprint": "abc",
        });
        let text = masked(&card).to_string();
        for gone in ["kv/", "#token", "version=3", "roles/a", "abc", "agent.id"] {
            assert!(!text.contains(gone), "{gone} in {text}");
        }
        for left in
            ["vault://(masked)", "bao://(masked)", "https://github.internal/mcp", "spiffe://acme/agent"]
        {
            assert!(text.contains(left), "no {left} in {text}");
        }
    }

    #[test]
    fn another_role_for_the_same_thing_sees_paths_and_one_for_something_else_does_not() {
        let masks = Presentation { masked: [Role::Viewer, Role::Auditor].into(), ..Presentation::default() };
        let production = EnvironmentName::parse("production").unwrap();
        let dev = EnvironmentName::parse("dev").unwrap();
        let editor =
            RoleGrant { environments: Some(vec![dev.clone()]), ..RoleGrant::everywhere(Role::Editor) };
        let grants = vec![RoleGrant::everywhere(Role::Auditor), editor];
        let operator = Operator { name: OperatorName::parse("iss|alice").unwrap(), grants };
        assert!(
            masks.covers_evidence(&operator, Some(&production)) && masks.covers_evidence(&operator, None)
        );
        assert!(!masks.covers_evidence(&operator, Some(&dev)));
        assert!(
            !Presentation::default().covers_evidence(&operator, Some(&production)),
            "off unless asked for"
        );
    }
}
