//! Why one binding takes part or does not, and what would have to change.

use super::{Asked, Call, ExplainedBinding, wanted};
use crate::actor::Groups;
use crate::audit::BindingRevision;
use crate::manifest::{CredentialMode, CredentialSource};
use crate::snapshot::{ActiveBinding, Snapshot, Wanted};
use crate::time::Timestamp;

/// Reasons, each with what would change it.
#[derive(Default)]
pub(super) struct Reasons {
    pub(super) because: Vec<String>,
    pub(super) change: Vec<String>,
}

impl Reasons {
    fn add(&mut self, because: impl Into<String>, change: impl Into<String>) {
        self.because.push(because.into());
        self.change.push(change.into());
    }
}

/// Explains one binding. `chosen` decides; absent where none does.
pub(super) fn explained(
    snapshot: &Snapshot,
    binding: &ActiveBinding,
    call: &Call<'_>,
    chosen: Option<&BindingRevision>,
    now: Timestamp,
) -> ExplainedBinding {
    let spec = &binding.spec;
    let mut against = Reasons::default();
    match call.wanted {
        Asked::Tool(tool) if !spec.tools.covers(tool.as_str()) => {
            against.add(format!("does not cover tool `{tool}`"), format!("add `{tool}` to its `tools`"));
        }
        Asked::Method(method)
            if matches!(wanted(call.wanted), Wanted::Method(_)) && !spec.names_method(method) =>
        {
            against
                .add(format!("does not list method `{method}`"), format!("add `{method}` to its `methods`"));
        }
        _ => {}
    }
    if !binding.holds_at(now) {
        against.add("has expired", "give it a later `expires_at`, or none");
    }
    if !spec.actor.matches(call.actor) {
        unmatched(binding, call, &mut against);
    }
    let name = binding.name_at_revision();
    let wins = chosen == Some(&name);
    let matches = against.because.is_empty();
    let mut reasons = match (matches, wins) {
        (false, _) => against,
        (true, true) => Reasons {
            because: vec![format!("serves {}; the most specific that matches", spec.actor)],
            change: Vec::new(),
        },
        (true, false) => outranked(binding, chosen),
    };
    if matches {
        obtaining(snapshot, binding, call, &mut reasons);
    }
    ExplainedBinding {
        binding: name,
        matches,
        wins,
        mode: spec.mode,
        source: spec.source.as_ref().map(CredentialSource::word),
        because: reasons.because,
        change: reasons.change,
    }
}

fn outranked(binding: &ActiveBinding, chosen: Option<&BindingRevision>) -> Reasons {
    let because = format!("serves {}; another is more, or equally, specific", binding.spec.actor);
    let change = match chosen {
        Some(winner) => format!("`{}` would have to serve others, or less specifically", winner.name),
        None => "one of the equally specific would have to name an agent, workload, user or tool".to_owned(),
    };
    Reasons { because: vec![because], change: vec![change] }
}

fn unmatched(binding: &ActiveBinding, call: &Call<'_>, against: &mut Reasons) {
    let (selector, actor) = (&binding.spec.actor, call.actor);
    let mut part = |word: &str, names: Vec<&str>, holds: bool, absent: &str, change: &str| {
        if !names.is_empty() && !holds {
            let because = format!("asks for one {word} of its list, and {absent}");
            against.add(because, format!("{change} {}", either(&names)));
        }
    };
    let absent = |absent: bool| if absent { "the call has none" } else { "the call has another" };
    let agent = actor.agent.as_ref();
    let holds = agent.is_some_and(|agent| selector.agents.contains(agent));
    let names = selector.agents.iter().map(crate::id::AgentName::as_str).collect();
    part("agent", names, holds, absent(agent.is_none()), "call as agent");
    let workload = actor.workload.as_ref();
    let holds = workload.is_some_and(|workload| selector.workloads.contains(workload));
    let names = selector.workloads.iter().map(crate::id::WorkloadName::as_str).collect();
    part("workload", names, holds, absent(workload.is_none()), "call from workload");
    let user = actor.user.as_ref();
    let holds = user.is_some_and(|user| selector.users.contains(&user.to_string()));
    let names = selector.users.iter().map(String::as_str).collect();
    part("user", names, holds, absent(user.is_none()), "call for user");
    let unknown = actor.groups == Groups::Unknown;
    let holds = selector.groups.iter().any(|group| actor.groups.contains(group));
    let names = selector.groups.iter().map(crate::id::GroupName::as_str).collect();
    let told = if unknown { "the call's groups are unknown" } else { "the call's are others" };
    part("group", names, holds, told, "be, by the token, in group");
    if against.because.is_empty() {
        against.add("selects nobody", "name somebody in its `actor`");
    }
}

/// What the mode and the source still need of the caller, beyond being selected.
pub(super) fn obtaining(
    snapshot: &Snapshot,
    binding: &ActiveBinding,
    call: &Call<'_>,
    reasons: &mut Reasons,
) {
    let (spec, actor) = (&binding.spec, call.actor);
    match &spec.source {
        Some(CredentialSource::Grant(request)) => {
            let Some(user) = &actor.user else {
                let change = format!("call for a user who has connected `{}`", request.provider);
                reasons.add("obtains a user's own grant, and the call has no user", change);
                return;
            };
            if snapshot.grant(call.environment, &request.provider, user).is_none() {
                let because = format!("the user has no grant at `{}`", request.provider);
                reasons.add(because, format!("the user connects their account at `{}`", request.provider));
            }
        }
        Some(source) if source.presents_caller() => {
            reasons
                .because
                .push("exchanges the caller's own token: agent tokens and certificates bring none".into());
        }
        _ => {}
    }
    if spec.mode == CredentialMode::UserDelegated && actor.user.is_none() && spec.source.is_none() {
        reasons.add("obtains a user's own authority, and the call has no user", "call for a user");
    }
    if let (Asked::Tool(tool), Some(agent)) = (call.wanted, &actor.agent)
        && let Some(agent) = snapshot.agent(agent)
        && !agent.owns(call.server, tool)
    {
        let because = format!("agent `{}` does not own tool `{tool}` of `{}`", agent.name, call.server);
        reasons.add(because, format!("add `{tool}` to the `tools` of agent `{}`", agent.name));
    }
}

fn either(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
}
