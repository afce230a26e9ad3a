//! How many of what there is, in one look at the state.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use gateway_core::id::EnvironmentName;
use gateway_core::lifecycle::may_touch;
use gateway_core::operator::Role;
use gateway_core::state::Lifecycle;

use serde::Deserialize;
use utoipa::IntoParams;

use super::{Shared, json};
use crate::auth::Caller;
use crate::body::Query;
use crate::problem::Problem;

/// Which of them are counted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counted {
    /// Only those of this environment, and those that are registered for it.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    environment: Option<EnvironmentName>,
}

/// The current revisions that one may see, counted by kind and status. An object with a standing and a pending revision
/// counts as both.
#[utoipa::path(get, path = "/v1/summary", tag = "objects", params(Counted), security(("bearer" = [])),
    responses((status = 200, description = "For each kind the number of active, disabled and pending ones", body = Value)))]
pub(crate) async fn show(
    State(context): Shared,
    caller: Caller,
    Query(counted): Query<Counted>,
) -> Result<Response, Problem> {
    let state = context.state.load().await?;
    let mut counts: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::from([("bindings", BTreeMap::new())]);
    for record in &state.revisions {
        let current = matches!(record.status, Lifecycle::Active | Lifecycle::Disabled | Lifecycle::Pending);
        let wanted = counted.environment.as_ref();
        let here = wanted.is_none_or(|wanted| record.spec.environments().contains(&wanted));
        if current && here && may_touch(&caller.0, Role::Viewer, &record.spec) {
            let of_kind = counts.entry(plural(record.key.kind)).or_default();
            let count = of_kind.entry(record.status.word()).or_default();
            *count = count.saturating_add(1);
        }
    }
    Ok(json(&counts))
}

const fn plural(kind: gateway_core::manifest::Kind) -> &'static str {
    use gateway_core::manifest::Kind;
    match kind {
        Kind::Environment => "environments",
        Kind::Server => "servers",
        Kind::Provider => "providers",
        Kind::Workload => "workloads",
        Kind::Agent => "agents",
        Kind::Policy => "policies",
        Kind::Binding => "bindings",
    }
}
