//! Policies tried out: compiled, tested and explained. Nothing is written.

use axum::extract::State;
use axum::response::Response;
use gateway_core::explain::Explanation;
use gateway_core::id::{EnvironmentName, PolicyName, Revision, ServerName};
use gateway_core::manifest::ContentHash;
use gateway_core::operator::{Role, Scope};
use gateway_core::policy::{PolicyIssue, PolicySource};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::binding::ExplainBody;
use super::{Shared, json};
use crate::auth::Caller;
use crate::body::{Body, objects};
use crate::context::ControlContext;
use crate::problem::Problem;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyText {
    /// The name.
    #[schema(value_type = String)]
    name: PolicyName,
    /// The Cedar text.
    cedar: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckBody {
    /// The texts of one environment.
    #[serde(deserialize_with = "objects")]
    policies: Vec<PolicyText>,
}

#[derive(Serialize)]
struct CheckAnswer {
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<ContentHash>,
    issues: Vec<PolicyIssue>,
}

/// Compiles policies against the schema.
#[utoipa::path(post, path = "/v1/policies/check", tag = "policies", request_body = CheckBody,
    security(("bearer" = [])), responses((status = 200, description = "`valid` and every issue with its position", body = Value)))]
pub(crate) async fn check(State(context): Shared, _: Caller, Body(body): Body<CheckBody>) -> Response {
    let source = |text: PolicyText| PolicySource {
        name: text.name,
        revision: Revision(1),
        hash: ContentHash::of(text.cedar.as_bytes()),
        cedar: text.cedar,
        current: true,
    };
    let sources: Vec<PolicySource> = body.policies.into_iter().map(source).collect();
    let (version, issues) = match context.compiler.compile(&sources) {
        Ok(engine) => (Some(engine.version()), Vec::new()),
        Err(issues) => (None, issues),
    };
    json(&CheckAnswer { valid: issues.is_empty(), version, issues })
}

/// One call to explain.
#[derive(Deserialize, ToSchema)]
pub(crate) struct CallBody {
    /// The environment.
    #[schema(value_type = String)]
    environment: EnvironmentName,
    /// The server.
    #[schema(value_type = String)]
    server: ServerName,
    /// Who and what.
    #[serde(flatten)]
    call: ExplainBody,
}

impl CallBody {
    fn explain(&self, context: &ControlContext, caller: &Caller) -> Result<Explanation, Problem> {
        let snapshot = context.snapshots.current();
        let server = snapshot
            .environment(self.environment.as_str())
            .and_then(|environment| environment.server(self.server.as_str()));
        let team = server.map(|server| &server.spec.owner);
        caller.demand(Role::Viewer, Scope { team, environment: Some(&self.environment) })?;
        self.call.explain(context, &self.environment, &self.server)
    }
}

/// Which binding a call would use and what the policies say, by what decides now.
#[utoipa::path(post, path = "/v1/policies/explain", tag = "policies", request_body = CallBody,
    security(("bearer" = [])), responses((status = 200, description = "The whole story of the decision", body = Value)))]
pub(crate) async fn explain(
    State(context): Shared,
    caller: Caller,
    Body(body): Body<CallBody>,
) -> Result<Response, Problem> {
    Ok(json(&body.explain(&context, &caller)?))
}

/// What a case must come to.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Expected {
    /// Let through.
    Allow,
    /// Refused.
    Deny,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct Case {
    /// What is claimed.
    #[serde(default)]
    name: String,
    /// What it must come to.
    expect: Expected,
    /// The call.
    #[serde(flatten)]
    call: CallBody,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestBody {
    /// The cases.
    #[serde(deserialize_with = "objects")]
    cases: Vec<Case>,
}

#[derive(Serialize)]
struct CaseResult {
    name: String,
    passed: bool,
    expected: Expected,
    explanation: Explanation,
}

#[derive(Serialize)]
struct TestAnswer {
    passed: bool,
    cases: Vec<CaseResult>,
}

/// Runs cases against what decides now.
#[utoipa::path(post, path = "/v1/policies/test", tag = "policies", request_body = TestBody,
    security(("bearer" = [])), responses((status = 200, description = "Each case with its explanation", body = Value)))]
pub(crate) async fn test(
    State(context): Shared,
    caller: Caller,
    Body(body): Body<TestBody>,
) -> Result<Response, Problem> {
    let mut cases = Vec::new();
    for case in body.cases {
        let explanation = case.call.explain(&context, &caller)?;
        let passed = explanation.allowed == (case.expect == Expected::Allow);
        cases.push(CaseResult { name: case.name, passed, expected: case.expect, explanation });
    }
    Ok(json(&TestAnswer { passed: cases.iter().all(|case| case.passed), cases }))
}
