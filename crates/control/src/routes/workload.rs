//! Workloads: what a runtime's own token proves here.

use axum::extract::State;
use axum::response::Response;
use gateway_core::explain::{WorkloadExplanation, explain_workload};
use gateway_core::id::EnvironmentName;
use gateway_core::identity::{IdentityError, Presented};
use gateway_core::operator::{Role, Scope};
use gateway_core::refusal::{Code, Refusal};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Shared, json};
use crate::auth::Caller;
use crate::body::{Body, SecretText};
use crate::problem::Problem;

#[derive(Deserialize, ToSchema)]
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
