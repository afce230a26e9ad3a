//! Workloads: what a runtime's own token proves here.

use axum::extract::{Path, State};
use axum::response::Response;
use gateway_core::explain::{WorkloadExplanation, explain_workload};
use gateway_core::id::{EnvironmentName, WorkloadName};
use gateway_core::identity::{IdentityError, Presented};
use gateway_core::lifecycle::{self, rule};
use gateway_core::manifest::{Kind, ObjectKey};
use gateway_core::operator::{Role, Scope};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::state::Lifecycle;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ending::{self, Mode, Order, end};
use super::{Shared, json};
use crate::auth::Caller;
use crate::body::{Body, Query, SecretText};
use crate::entity::IfMatch;
use crate::problem::Problem;

#[derive(Deserialize, ToSchema)]
#[schema(as = WorkloadTokenBody)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenBody {
    /// The token as the runtime would present it.
    #[schema(value_type = String, write_only)]
    token: SecretText,
    /// Only this environment.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    environment: Option<EnvironmentName>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Told {
    Verified {
        verified: bool,
        #[serde(flatten)]
        story: WorkloadExplanation,
    },
    Refused {
        verified: bool,
        because: String,
    },
}

/// Switches a mapping off: from the next request on nothing is this workload, and what runs for it is
/// decided anew. Never needs approval.
#[utoipa::path(post, path = "/v1/workloads/{name}/disable", tag = "workloads", params(("name" = String, Path)),
    security(("bearer" = [])), responses((status = 200, description = "It is off", body = Value)))]
pub(crate) async fn disable(
    State(context): Shared,
    caller: Caller,
    only_if: IfMatch,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let order = Order { key: key_of(&name)?, act: lifecycle::disable, status: Lifecycle::Disabled, only_if };
    end(&context, &caller, order, &Mode::default()).await
}

/// Switches a mapping on again; an approver's act where its environments ask for approvals.
#[utoipa::path(post, path = "/v1/workloads/{name}/enable", tag = "workloads", params(("name" = String, Path)),
    security(("bearer" = [])), responses((status = 200, description = "It is on", body = Value)))]
pub(crate) async fn enable(
    State(context): Shared,
    caller: Caller,
    only_if: IfMatch,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    ending::enable(&context, &caller, key_of(&name)?, only_if).await
}

/// Ends a mapping for ever: nothing is this workload any more, and what runs for it is decided anew.
#[utoipa::path(post, path = "/v1/workloads/{name}/revoke", tag = "workloads",
    params(("name" = String, Path), Mode), security(("bearer" = [])), responses(
    (status = 200, description = "That it has ended, and the signed document", body = Value)))]
pub(crate) async fn revoke(
    State(context): Shared,
    caller: Caller,
    only_if: IfMatch,
    Path(name): Path<String>,
    Query(mode): Query<Mode>,
) -> Result<Response, Problem> {
    let order = Order { key: key_of(&name)?, act: lifecycle::revoke, status: Lifecycle::Revoked, only_if };
    end(&context, &caller, order, &mode).await
}

fn key_of(name: &str) -> Result<ObjectKey, Problem> {
    let unknown = |_| Problem::new(&rule::OBJECT_UNKNOWN, "no such workload");
    let name = WorkloadName::parse(name).map_err(unknown)?.to_string();
    Ok(ObjectKey { kind: Kind::Workload, environment: None, name })
}

/// What a token proves: claims, mappings and what differs, agents and bindings. The token is verified as
/// on the data plane, kept nowhere, and is in no answer and no evidence.
#[utoipa::path(post, path = "/v1/workloads/explain", tag = "workloads", request_body = TokenBody,
    security(("bearer" = [])), responses((status = 200, description = "Whether it is verified, and the whole story", body = Value)))]
pub(crate) async fn explain(
    State(context): Shared,
    caller: Caller,
    Body(body): Body<TokenBody>,
) -> Result<Response, Problem> {
    caller.demand(Role::Viewer, Scope { team: None, environment: body.environment.as_ref() })?;
    let presented = Presented::new(body.token.0);
    let now = context.now();
    let told = match context.identities.verify(&presented, now).await {
        Ok(identity) => {
            let snapshot = context.snapshots.current();
            let story = explain_workload(&snapshot, &identity, body.environment.as_ref(), now);
            Told::Verified { verified: true, story }
        }
        Err(IdentityError::KeysUnavailable) => {
            return Err(Problem::from(Refusal::new(Code::IssuerUnavailable)));
        }
        Err(error) => Told::Refused { verified: false, because: error.to_string() },
    };
    Ok(json(&told))
}
