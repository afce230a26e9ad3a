//! `policy test`: cases, each a call and whether it should be allowed, decided by the same selection and
//! the same policies as the data path. Here against manifests, or by a gateway against what stands.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use gateway_core::actor::{Actor, Groups, UserIdentity};
use gateway_core::explain::{Asked, Call, Explanation, explain};
use gateway_core::id::{
    AgentName, EnvironmentName, GroupName, OperatorName, Revision, ServerName, ToolName, WorkloadName,
};
use gateway_core::manifest::{BindingSpec, CredentialSource, Kind, ObjectKey, Spec};
use gateway_core::snapshot::Snapshot;
use gateway_core::state::{Lifecycle, Pins, RevisionRecord, State};
use gateway_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::failure::{Detail, Exit, Failure};
use super::pick::{is_true, list, text};
use super::session::Session;
use super::view::{Table, View};
use super::{manifests, policy};

/// What is tested.
#[derive(Args, Debug)]
pub(super) struct TestArguments {
    /// The cases, in YAML or JSON
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Decide here, against these manifests instead of what stands in the gateway; may be repeated
    #[arg(long = "manifests", short = 'f', value_name = "FILE|DIRECTORY")]
    manifests: Vec<PathBuf>,
}

/// The file of cases.
#[derive(Deserialize, Serialize, Debug)]
#[serde(deny_unknown_fields)]
struct Cases {
    cases: Vec<Case>,
}

/// One call, and what should come of it: as the API takes it, and the binding that should decide.
#[derive(Deserialize, Serialize, Debug)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    expect: Expect,
    environment: EnvironmentName,
    server: ServerName,
    #[serde(default)]
    actor: Who,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tool: Option<ToolName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    /// Judged here: the API answers which binding decides.
    #[serde(default, skip_serializing)]
    binding: Option<String>,
}

/// Who calls.
#[derive(Deserialize, Serialize, Debug, Default)]
#[serde(deny_unknown_fields, default)]
struct Who {
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<AgentName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workload: Option<WorkloadName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<GroupName>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    surface: Option<String>,
}

#[derive(Deserialize, Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Allow,
    Deny,
}

/// Runs the cases.
pub(super) fn run(session: &mut Session, arguments: &TestArguments) -> Result<Exit, Failure> {
    let cases = read(&arguments.file)?;
    let answer = if arguments.manifests.is_empty() {
        let body = serde_json::to_value(&cases)
            .map_err(|error| Failure::usage("the cases cannot be sent").because(&error))?;
        session.client()?.post(&["policies", "test"], &body)?
    } else {
        decide_here(&cases, &arguments.manifests)?
    };
    let results = results(&cases.cases, list(&answer, "/cases"))?;
    let held = results.iter().filter(|result| is_true(result, "/ok")).count();
    let all = held == results.len();
    let answer = json!({"ok": all, "results": results});
    session.printer.show(&answer, |_| results_view(&results, held));
    Ok(if all { Exit::Ok } else { Exit::Refused })
}

/// Each case beside its decision. An answer with fewer cases than were asked proves nothing.
fn results(cases: &[Case], decided: &[Value]) -> Result<Vec<Value>, Failure> {
    if cases.len() != decided.len() {
        return Err(Failure::new(
            Exit::Refused,
            "the gateway decided another number of cases than it was asked",
        ));
    }
    Ok(cases.iter().zip(decided).map(|(case, decided)| judge(case, decided)).collect())
}

fn judge(case: &Case, decided: &Value) -> Value {
    let allowed = is_true(decided, "/explanation/allowed");
    let outcome = if allowed { Expect::Allow } else { Expect::Deny };
    let winner = text(decided, "/explanation/winner");
    let name = winner.split_once('@').map_or(winner.as_str(), |(name, _)| name);
    let right = case.binding.as_ref().is_none_or(|wanted| wanted == name);
    let because =
        if right { text(decided, "/explanation/because") } else { "another binding decides".to_owned() };
    json!({
        "name": case.name, "ok": outcome == case.expect && right, "expected": case.expect, "decided": outcome,
        "binding": winner, "because": because,
    })
}

fn results_view(results: &[Value], held: usize) -> View {
    let mut table = Table::new(&["", "case", "expected", "decided", "binding", "because"]);
    for result in results {
        let mark = if is_true(result, "/ok") { "ok" } else { "FAILED" };
        let cell = |pointer: &str| text(result, pointer);
        table.row([
            mark.to_owned(),
            cell("/name"),
            cell("/expected"),
            cell("/decided"),
            cell("/binding"),
            cell("/because"),
        ]);
    }
    View::default().table("", table).text(format!("{held} of {} cases hold", results.len()))
}

fn read(path: &Path) -> Result<Cases, Failure> {
    let shown = path.display();
    let unusable = |what: &str| Failure::usage(format!("the cases in `{shown}` {what}"));
    let text = std::fs::read_to_string(path).map_err(|error| unusable("cannot be read").because(&error))?;
    let cases: Cases = serde_saphyr::from_str(&text).map_err(|error| {
        unusable("are not as they should be")
            .because(&error)
            .hint("`mcp-gateway policy test --help` and docs/cli.md show a case")
    })?;
    if cases.cases.is_empty() {
        return Err(unusable("are none: a test without a case proves nothing"));
    }
    for case in &cases.cases {
        if case.tool.is_some() == case.method.is_some() {
            return Err(unusable(&format!("name in `{}` not exactly one of `tool` and `method`", case.name)));
        }
        if case.actor.user.as_ref().is_some_and(|user| !user.contains('|')) {
            return Err(unusable(&format!("name in `{}` a user that is not `issuer|subject`", case.name)));
        }
    }
    Ok(cases)
}

fn decide_here(cases: &Cases, paths: &[PathBuf]) -> Result<Value, Failure> {
    let specs: Vec<Spec> = manifests::read(paths)?.into_iter().map(|manifest| manifest.spec).collect();
    let state = as_if_approved(&specs)?;
    let compiler = policy::compiler()?;
    let snapshot = Snapshot::build(&state, &compiler, &[]).map_err(|error| {
        let details = error.issues.iter().map(|issue| Detail {
            place: format!("Policy/{}/{}:{}:{}", error.environment, issue.policy, issue.line, issue.column),
            code: "policy.invalid".to_owned(),
            message: issue.message.clone(),
            hint: issue.hint.clone(),
        });
        Failure { details: details.collect(), ..Failure::new(Exit::Refused, error.to_string()) }
    })?;
    let decided: Result<Vec<Value>, _> = cases
        .cases
        .iter()
        .map(|case| {
            Ok(json!({"name": case.name, "explanation": serde_json::to_value(decide(case, &snapshot))?}))
        })
        .collect();
    let decided: Result<_, serde_json::Error> = decided;
    let decided =
        decided.map_err(|error| Failure::new(Exit::Refused, "a decision cannot be shown").because(&error))?;
    Ok(json!({"cases": decided}))
}

/// The state as it would be with every manifest approved.
fn as_if_approved(specs: &[Spec]) -> Result<State, Failure> {
    let author = OperatorName::parse("policy-test").map_err(Failure::usage)?;
    let mut state = State::default();
    for spec in specs {
        state.revisions.push(RevisionRecord {
            key: spec.key(),
            revision: Revision(1),
            spec: spec.clone(),
            content: spec.content_hash(),
            status: Lifecycle::Active,
            author: author.clone(),
            created_at: START,
            changed_at: START,
            approvals: Vec::new(),
            pins: match spec {
                Spec::Binding(binding) => Some(pins(binding, specs)?),
                _ => None,
            },
        });
    }
    state.put_in_order();
    Ok(state)
}

/// Before every `expires_at`: a case is about who may do what, not about when.
const START: Timestamp = Timestamp::from_micros(0);

fn pins(binding: &BindingSpec, specs: &[Spec]) -> Result<Pins, Failure> {
    let declared = |kind, name: &str| {
        let key = ObjectKey { kind, environment: Some(binding.environment.clone()), name: name.to_owned() };
        specs.iter().find(|spec| spec.key() == key).ok_or_else(|| {
            let message =
                format!("binding `{}` names {key}, which these manifests do not declare", binding.name);
            Failure::usage(message).hint("give every manifest that takes part with `--manifests`")
        })
    };
    declared(Kind::Server, binding.server.as_str())?;
    let policy = declared(Kind::Policy, binding.policy.as_str())?;
    let mut providers = BTreeMap::new();
    for name in binding.source.iter().flat_map(CredentialSource::providers) {
        declared(Kind::Provider, name.as_str())?;
        providers.insert(name.clone(), Revision(1));
    }
    Ok(Pins { server: Revision(1), policy: Revision(1), policy_hash: policy.content_hash(), providers })
}

fn decide(case: &Case, snapshot: &Snapshot) -> Explanation {
    let who = &case.actor;
    let user = who.user.as_deref().and_then(|user| user.rsplit_once('|'));
    let known = |groups: &Vec<GroupName>| Groups::Known(groups.iter().cloned().collect());
    let actor = Actor {
        user: user.map(|(issuer, subject)| UserIdentity { issuer: issuer.into(), subject: subject.into() }),
        groups: who.groups.as_ref().map_or(Groups::Unknown, known),
        agent: who.agent.clone(),
        workload: who.workload.clone(),
        surface: who.surface.as_deref().map(Into::into),
    };
    let wanted = match (&case.tool, &case.method) {
        (Some(tool), _) => Asked::Tool(tool),
        (None, method) => Asked::Method(method.as_deref().unwrap_or_default()),
    };
    let call = Call { actor: &actor, environment: &case.environment, server: &case.server, wanted };
    explain(snapshot, &call, START)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFESTS: &str = r#"
kind: Environment
name: dev
---
kind: Server
name: github
environment: dev
owner: developer-platform
route: { url: "https://github-mcp.internal/mcp" }
tools: { default_risk: write, list_issues: read, delete_repository: destructive }
---
kind: Agent
name: triage-bot
environments: [dev]
owner: support
risk_ceiling: write
proofs: [agent_token]
---
kind: Policy
name: support-triage
environment: dev
cedar: |
  permit (principal, action == Action::"call_tool", resource)
  when { principal has agent && principal.agent.owner_team == "support" && context.risk != "destructive" };
---
kind: Binding
name: triage
environment: dev
server: github
actor: { agents: [triage-bot] }
mode: service_account
secret: local://github#token
inject: { header: Authorization, format: "Bearer {secret}" }
policy: support-triage
risk: destructive
owner: support
"#;

    fn run_cases(cases: &str) -> Result<Value, Failure> {
        let directory = tempfile::tempdir().unwrap();
        let (file, declared) = (directory.path().join("cases.yaml"), directory.path().join("manifests.yaml"));
        std::fs::write(&file, cases).unwrap();
        std::fs::write(&declared, MANIFESTS).unwrap();
        let cases = read(&file)?;
        let decided = decide_here(&cases, &[declared])?;
        Ok(json!({"results": results(&cases.cases, list(&decided, "/cases"))?}))
    }

    #[test]
    fn cases_are_decided_as_calls_are() {
        let answer = run_cases(
            "cases:
  - { name: may list, environment: dev, server: github, tool: list_issues, actor: { agent: triage-bot }, expect: allow, binding: triage }
  - { name: may not delete, environment: dev, server: github, tool: delete_repository, actor: { agent: triage-bot }, expect: deny }
  - { name: a stranger may not, environment: dev, server: github, tool: list_issues, expect: deny }
  - { name: a wrong expectation, environment: dev, server: github, tool: list_issues, actor: { agent: triage-bot }, expect: deny }
  - { name: another binding, environment: dev, server: github, tool: list_issues, actor: { agent: triage-bot }, expect: allow, binding: other }
",
        )
        .unwrap();
        let held: Vec<bool> = list(&answer, "/results").iter().map(|result| is_true(result, "/ok")).collect();
        assert_eq!(held, [true, true, true, false, false], "{answer:#}");
    }

    #[test]
    fn refuses_cases_that_ask_nothing_or_two_things() {
        for bad in [
            "cases: []",
            "cases:\n  - { name: x, environment: dev, server: github, expect: allow }",
            "cases:\n  - { name: x, environment: dev, server: github, tool: a, method: b, expect: allow }",
            "cases:\n  - { name: x, environment: dev, server: github, tool: a, expect: maybe }",
            "cases:\n  - { name: x, environment: dev, server: github, tool: a, actor: { user: alice }, expect: allow }",
            "cases:\n  - { name: x, environment: dev, server: github, tool: a, expect: allow, wat: 1 }",
        ] {
            assert_eq!(run_cases(bad).unwrap_err().exit, Exit::Usage, "{bad}");
        }
    }
}
