//! Which binding a call would use and why: the same selection and the same policies as the data
//! path, with every step said aloud. Secret-free by construction.

mod access;
mod caller;
mod change;
mod way;
mod workload;

use serde::Serialize;

pub use access::{
    AccessChange, AccessChanges, NoWay, Reached, Reaches, Subject, WhoReaches, access_changes, what_reaches,
    who_reaches,
};
pub use caller::{DeclaredCaller, Person};
pub use way::{Barred, Place, Sight, Way};
pub use workload::{
    ExplainedEnvironment, ExplainedMapping, SelectedBinding, WorkloadExplanation, explain_workload,
};

use crate::actor::Actor;
use crate::audit::BindingRevision;
use crate::id::{AgentName, EnvironmentName, Epoch, PolicyName, ServerName, ToolName};
use crate::lock::LockFacts;
use crate::manifest::{CredentialMode, Risk};
use crate::policy::{Action, Question};
use crate::refusal::Code;
use crate::snapshot::{ActiveBinding, EnvironmentView, ServerView, Snapshot, Wanted};
use crate::time::Timestamp;

/// What is to be explained.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Who would call.
    pub actor: &'a Actor,
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// The server.
    pub server: &'a ServerName,
    /// The tool or method.
    pub wanted: Asked<'a>,
}

/// The tool or method asked for.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// `tools/call`.
    Tool(&'a ToolName),
    /// Another method, by its JSON-RPC name.
    Method(&'a str),
}

/// The whole story of one decision.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Explanation {
    /// The epoch it was made under.
    pub epoch: Epoch,
    /// Whether the call would be let through.
    pub allowed: bool,
    /// The stable code of the refusal, where it would be refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Code>,
    /// The lock that stops it, where nothing else stands in its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// In words.
    pub because: String,
    /// What would have to change, where selection is not what stands in the way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub change: Vec<String>,
    /// Every binding of the server, and why it matched or did not.
    pub candidates: Vec<ExplainedBinding>,
    /// The binding that decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub winner: Option<BindingRevision>,
    /// How the winner would obtain the credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<CredentialMode>,
    /// The risk judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// What the policies said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<ExplainedVerdict>,
}

/// One binding and why it matched or not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ExplainedBinding {
    /// The binding.
    pub binding: BindingRevision,
    /// Whether it takes part.
    pub matches: bool,
    /// Whether it won.
    pub wins: bool,
    /// How it would obtain the credential.
    pub mode: CredentialMode,
    /// From what, where it is no stored secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'static str>,
    /// Why.
    pub because: Vec<String>,
    /// What would have to change for it to decide, or to obtain the credential.
    pub change: Vec<String>,
}

/// One part in which what was presented differs from what was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Difference {
    /// The part: `issuer`, `subject` or `claims.NAME`.
    pub part: String,
    /// What the mapping asks for.
    pub wanted: String,
    /// What is there; absent where nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

/// What the policies said.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ExplainedVerdict {
    /// Whether they permit.
    pub allowed: bool,
    /// The policy version.
    pub version: crate::manifest::ContentHash,
    /// The policies that decided.
    pub policies: Vec<PolicyName>,
    /// Statement ids and evaluation errors.
    pub reasons: Vec<String>,
}

/// Explains one call, with every binding of the server.
pub fn explain(snapshot: &Snapshot, call: &Call<'_>, now: Timestamp) -> Explanation {
    let mut story = decide(snapshot, call, now);
    let environment = snapshot.environment(call.environment.as_str());
    let Some(server) = environment.and_then(|view| view.server(call.server.as_str())) else { return story };
    let chosen = story.winner.as_ref();
    let tell =
        |binding: &std::sync::Arc<ActiveBinding>| change::explained(snapshot, binding, call, chosen, now);
    let mut candidates: Vec<ExplainedBinding> = server.bindings.iter().map(tell).collect();
    candidates.sort_by(|one, other| one.binding.name.cmp(&other.binding.name));
    story.candidates = candidates;
    story
}

/// Decides one call as the data path does, without a word about the bindings that do not decide.
pub fn decide(snapshot: &Snapshot, call: &Call<'_>, now: Timestamp) -> Explanation {
    let mut story = Explanation {
        epoch: snapshot.epoch,
        allowed: false,
        refusal: Some(Code::ServerUnknown),
        lock: None,
        because: String::new(),
        change: Vec::new(),
        candidates: Vec::new(),
        winner: None,
        mode: None,
        risk: None,
        verdict: None,
    };
    let Some(environment) = snapshot.environment(call.environment.as_str()) else {
        story.because = format!("environment `{}` is not served here", call.environment);
        return story;
    };
    let Some(server) = environment.server(call.server.as_str()) else {
        story.because = format!("no active server `{}` in `{}`", call.server, call.environment);
        return story;
    };
    let wanted = wanted(call.wanted);
    match server.select(call.actor, wanted, now) {
        Ok(binding) => {
            judge(&mut story, snapshot, environment, server, binding, call);
            heed_locks(&mut story, snapshot, binding, call, now);
        }
        Err(refusal) => {
            story.refusal = Some(refusal.code());
            refusal.code().row().text.clone_into(&mut story.because);
        }
    }
    story
}

/// A call that is let through by everything else may still be stopped by a lock.
fn heed_locks(
    story: &mut Explanation,
    snapshot: &Snapshot,
    binding: &ActiveBinding,
    call: &Call<'_>,
    now: Timestamp,
) {
    let tool = match call.wanted {
        Asked::Tool(tool) => Some(tool.as_str()),
        Asked::Method(_) => None,
    };
    let facts = LockFacts {
        environment: Some(call.environment),
        server: Some(call.server),
        actor: Some(call.actor),
        tool,
        binding: Some(&binding.spec),
        provider: None,
    };
    let Some(lock) = snapshot.locks().stopping(&facts, now).filter(|_| story.allowed) else { return };
    (story.allowed, story.refusal, story.lock) = (false, Some(Code::LockActive), Some(lock.id.clone()));
    story.because = format!("lock `{}` stops it until {}: {}", lock.id, lock.until, lock.selector);
    story.change.push(format!("lift lock `{}`, or wait for its end", lock.id));
}

fn wanted<'a>(asked: Asked<'a>) -> Wanted<'a> {
    match asked {
        Asked::Tool(tool) => Wanted::Tool(tool.as_str()),
        Asked::Method("initialize" | "ping" | "server/discover") => Wanted::Session,
        Asked::Method(method) if method.ends_with("/list") => Wanted::List,
        Asked::Method(method) => Wanted::Method(method),
    }
}

fn judge(
    story: &mut Explanation,
    snapshot: &Snapshot,
    environment: &EnvironmentView,
    server: &ServerView,
    binding: &std::sync::Arc<ActiveBinding>,
    call: &Call<'_>,
) {
    let agent = call.actor.agent.as_ref().and_then(|name: &AgentName| snapshot.agent(name));
    let (action, tool, method) = match call.wanted {
        Asked::Tool(tool) => (Action::CallTool, Some(tool), "tools/call"),
        Asked::Method(method) if method.starts_with("resources/") => (Action::ReadResource, None, method),
        Asked::Method(method) if method.starts_with("prompts/") => (Action::GetPrompt, None, method),
        Asked::Method(method) => (Action::OtherMethod, None, method),
    };
    if matches!(wanted(call.wanted), Wanted::Session | Wanted::List) {
        story.winner = Some(binding.name_at_revision());
        (story.allowed, story.refusal, story.mode) = (true, None, Some(binding.spec.mode));
        "whoever the binding serves may open the server; what it may call is decided per tool"
            .clone_into(&mut story.because);
        return;
    }
    let risk = match (tool, action) {
        (Some(tool), _) => binding.risk_of(server, tool.as_str()),
        // As on the data path: what nobody classified has the server's default.
        (None, Action::OtherMethod) => server.spec.tools.default_risk(),
        (None, _) => Risk::Read,
    };
    let hidden = if tool.is_some() { Code::ToolUnknown } else { Code::MethodUnknown };
    (story.winner, story.mode) = (Some(binding.name_at_revision()), Some(binding.spec.mode));
    (story.risk, story.refusal) = (Some(risk), Some(hidden));
    let agent = agent.map(std::sync::Arc::as_ref);
    let actor = call.actor;
    let question = Question { actor, agent, action, environment, server, tool, method, risk, binding };
    if let Some(why) = question.beyond() {
        story.because = why;
        story.change = within_ceilings(&question);
        return;
    }
    let verdict = environment.engine.decide(&question);
    story.allowed = verdict.allowed;
    if verdict.allowed {
        story.refusal = None;
    } else {
        let policy = &binding.spec.policy;
        story.change.push(format!("policy `{policy}` would have to permit it, and no other to forbid it"));
    }
    story.because = if verdict.allowed { "the policies permit".into() } else { "the policies deny".into() };
    story.verdict = Some(ExplainedVerdict {
        allowed: verdict.allowed,
        version: environment.engine.version(),
        policies: verdict.policies,
        reasons: verdict.reasons,
    });
}

/// What would bring a call within what policies may permit.
fn within_ceilings(question: &Question<'_>) -> Vec<String> {
    let mut change = Vec::new();
    let (risk, spec) = (question.risk, &question.binding.spec);
    if risk > spec.risk {
        change.push(format!("raise `risk` of binding `{}` to `{risk}`", spec.name));
    }
    let Some(agent) = question.agent else { return change };
    if risk > agent.risk_ceiling {
        change.push(format!("raise `risk_ceiling` of agent `{}` to `{risk}`", agent.name));
    }
    if let Some(tool) = question.tool.filter(|tool| !agent.owns(&question.server.spec.name, tool)) {
        change.push(format!("add `{tool}` to the `tools` of agent `{}`", agent.name));
    }
    change
}
