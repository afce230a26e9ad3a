//! Which binding a call would use and why: the same selection and the same policies as the data
//! path, with every step said aloud. Secret-free by construction.

use serde::Serialize;

use crate::actor::Actor;
use crate::audit::BindingRevision;
use crate::id::{AgentName, EnvironmentName, Epoch, PolicyName, ServerName, ToolName};
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
    /// In words.
    pub because: String,
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
    /// Why.
    pub because: Vec<String>,
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

/// Explains one call.
pub fn explain(snapshot: &Snapshot, call: &Call<'_>, now: Timestamp) -> Explanation {
    let mut story = Explanation {
        epoch: snapshot.epoch,
        allowed: false,
        refusal: Some(Code::ServerUnknown),
        because: String::new(),
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
    let winner = server.select(call.actor, wanted, now);
    let chosen = winner.as_ref().ok().map(|binding| binding.name_at_revision());
    story.candidates =
        server.bindings.iter().map(|binding| explained(binding, call, chosen.as_ref(), now)).collect();
    story.candidates.sort_by(|one, other| one.binding.name.cmp(&other.binding.name));
    match winner {
        Ok(binding) => judge(&mut story, snapshot, environment, server, binding, call),
        Err(refusal) => {
            story.refusal = Some(refusal.code());
            refusal.code().row().text.clone_into(&mut story.because);
        }
    }
    story
}

fn wanted<'a>(asked: Asked<'a>) -> Wanted<'a> {
    match asked {
        Asked::Tool(tool) => Wanted::Tool(tool.as_str()),
        Asked::Method("initialize" | "ping" | "server/discover") => Wanted::Session,
        Asked::Method(method) if method.ends_with("/list") => Wanted::List,
        Asked::Method(method) => Wanted::Method(method),
    }
}

fn explained(
    binding: &ActiveBinding,
    call: &Call<'_>,
    chosen: Option<&BindingRevision>,
    now: Timestamp,
) -> ExplainedBinding {
    let spec = &binding.spec;
    let mut against = Vec::new();
    match call.wanted {
        Asked::Tool(tool) if !spec.tools.covers(tool.as_str()) => {
            against.push(format!("does not cover tool `{tool}`"));
        }
        Asked::Method(method)
            if matches!(wanted(call.wanted), Wanted::Method(_)) && !spec.names_method(method) =>
        {
            against.push(format!("does not list method `{method}`"));
        }
        _ => {}
    }
    if !binding.holds_at(now) {
        against.push("has expired".to_owned());
    }
    if !spec.actor.matches(call.actor) {
        against.extend(unmatched_parts(binding, call.actor));
    }
    let name = binding.name_at_revision();
    let wins = chosen == Some(&name);
    let matches = against.is_empty();
    let because = match (matches, wins) {
        (false, _) => against,
        (true, true) => vec![format!("serves {}; the most specific that matches", spec.actor)],
        (true, false) => vec![format!("serves {}; another is more, or equally, specific", spec.actor)],
    };
    ExplainedBinding { binding: name, matches, wins, because }
}

fn unmatched_parts(binding: &ActiveBinding, actor: &Actor) -> Vec<String> {
    let selector = &binding.spec.actor;
    let mut against = Vec::new();
    let mut part = |word: &str, asked: bool, holds: bool, absent: bool| {
        if asked && !holds {
            let why = if absent { "the call has none" } else { "the call has another" };
            against.push(format!("asks for one {word} of its list, and {why}"));
        }
    };
    let agent = actor.agent.as_ref();
    let holds = agent.is_some_and(|agent| selector.agents.contains(agent));
    part("agent", !selector.agents.is_empty(), holds, agent.is_none());
    let workload = actor.workload.as_ref();
    let holds = workload.is_some_and(|workload| selector.workloads.contains(workload));
    part("workload", !selector.workloads.is_empty(), holds, workload.is_none());
    let user = actor.user.as_ref();
    let holds = user.is_some_and(|user| selector.users.contains(&user.to_string()));
    part("user", !selector.users.is_empty(), holds, user.is_none());
    let unknown = actor.groups == crate::actor::Groups::Unknown;
    let holds = selector.groups.iter().any(|group| actor.groups.contains(group));
    part("group", !selector.groups.is_empty(), holds, unknown);
    if against.is_empty() {
        against.push("selects nobody".to_owned());
    }
    against
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
        return;
    }
    let verdict = environment.engine.decide(&question);
    story.allowed = verdict.allowed;
    if verdict.allowed {
        story.refusal = None;
    }
    story.because = if verdict.allowed { "the policies permit".into() } else { "the policies deny".into() };
    story.verdict = Some(ExplainedVerdict {
        allowed: verdict.allowed,
        version: environment.engine.version(),
        policies: verdict.policies,
        reasons: verdict.reasons,
    });
}
