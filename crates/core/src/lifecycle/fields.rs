//! Which change of which field tightens (acts at once) and which loosens (waits for approval).
//!
//! Every struct is taken apart without `..`, so a new field does not compile until it stands here.
//! What is not clearly a tightening is a loosening (DESIGN, section 12.6).

use serde::Serialize;

use crate::actor::ActorSelector;
use crate::manifest::{
    AgentSpec, BindingSpec, EnvironmentSpec, Limits, PolicySpec, ProviderSpec, ServerSpec, Spec, Tier,
    ToolRisks, ToolSelector, WorkloadSpec,
};

/// What a change does to what is allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Allows less, or the same: acts at once.
    Tightening,
    /// May allow more: needs what approval the environment asks for.
    Loosening,
}

/// The fields that differ, with what each difference does. Both specs must be of one object.
pub fn changes(old: &Spec, new: &Spec) -> Vec<(&'static str, Effect)> {
    match (old, new) {
        (Spec::Environment(old), Spec::Environment(new)) => environment(old, new),
        (Spec::Server(old), Spec::Server(new)) => server(old, new),
        (Spec::Provider(old), Spec::Provider(new)) => provider(old, new),
        (Spec::Workload(old), Spec::Workload(new)) => workload(old, new),
        (Spec::Agent(old), Spec::Agent(new)) => agent(old, new),
        (Spec::Policy(old), Spec::Policy(new)) => policy(old, new),
        (Spec::Binding(old), Spec::Binding(new)) => binding(old, new),
        _ => vec![("kind", Effect::Loosening)],
    }
}

/// The effect of writing `new` over `old` as a whole. The first revision of an environment opens
/// nothing and so acts at once; the first of anything else loosens.
pub fn effect(old: Option<&Spec>, new: &Spec) -> Effect {
    match old {
        None if matches!(new, Spec::Environment(_)) => Effect::Tightening,
        None => Effect::Loosening,
        Some(old) if changes(old, new).iter().all(|(_, effect)| *effect == Effect::Tightening) => {
            Effect::Tightening
        }
        Some(_) => Effect::Loosening,
    }
}

#[derive(Default)]
struct Table(Vec<(&'static str, Effect)>);

impl Table {
    /// A field whose every change loosens.
    fn loosens<T: PartialEq>(&mut self, field: &'static str, old: &T, new: &T) {
        self.judge(field, old, new, |_, _| false);
    }

    /// A field of which `tightens` knows the harmless changes.
    fn judge<T: PartialEq>(
        &mut self,
        field: &'static str,
        old: &T,
        new: &T,
        tightens: impl Fn(&T, &T) -> bool,
    ) {
        if old != new {
            let effect = if tightens(old, new) { Effect::Tightening } else { Effect::Loosening };
            self.0.push((field, effect));
        }
    }
}

fn environment(old: &EnvironmentSpec, new: &EnvironmentSpec) -> Vec<(&'static str, Effect)> {
    let EnvironmentSpec { name, tier, approvals, agent_tokens, reviews, promotes_from } = old;
    let mut table = Table::default();
    table.loosens("name", name, &new.name);
    table.judge("tier", tier, &new.tier, |old, new| strictness(*new) > strictness(*old));
    table.judge("approvals", approvals, &new.approvals, |old, new| new > old);
    table.judge("agent_tokens", agent_tokens, &new.agent_tokens, |_, _| {
        !new.allows_agent_tokens() || old.allows_agent_tokens()
    });
    table.judge("reviews", reviews, &new.reviews, |old, new| {
        new.unwrap_or_default().is_as_strict_as(&old.unwrap_or_default())
    });
    table.loosens("promotes_from", promotes_from, &new.promotes_from);
    // A field may look stricter while the whole is not: the effective rules have the last word.
    if new.required_approvals() < old.required_approvals()
        || (new.allows_agent_tokens() && !old.allows_agent_tokens())
    {
        table.0.iter_mut().for_each(|(_, effect)| *effect = Effect::Loosening);
    }
    table.0
}

const fn strictness(tier: Tier) -> u8 {
    match tier {
        Tier::Dev => 0,
        Tier::Staging => 1,
        Tier::Production => 2,
    }
}

fn server(old: &ServerSpec, new: &ServerSpec) -> Vec<(&'static str, Effect)> {
    let ServerSpec { name, environment, owner, route, tools, credential, probe } = old;
    let mut table = Table::default();
    table.loosens("name", name, &new.name);
    table.loosens("environment", environment, &new.environment);
    table.loosens("owner", owner, &new.owner);
    table.loosens("route", route, &new.route);
    table.judge("tools", tools, &new.tools, nothing_gets_less_risky);
    table.loosens("credential", credential, &new.credential);
    table.loosens("probe", probe, &new.probe);
    table.0
}

fn nothing_gets_less_risky(old: &ToolRisks, new: &ToolRisks) -> bool {
    let named = old.named().keys().chain(new.named().keys());
    new.default_risk() >= old.default_risk()
        && named.into_iter().all(|tool| new.of(tool.as_str()) >= old.of(tool.as_str()))
}

/// Whatever a provider says decides where a client credential goes.
fn provider(old: &ProviderSpec, new: &ProviderSpec) -> Vec<(&'static str, Effect)> {
    let ProviderSpec {
        name,
        environment,
        owner,
        issuer,
        origins,
        endpoints,
        client,
        grants,
        addresses,
        ca_file,
    } = old;
    let mut table = Table::default();
    table.loosens("name", name, &new.name);
    table.loosens("environment", environment, &new.environment);
    table.loosens("owner", owner, &new.owner);
    table.loosens("issuer", issuer, &new.issuer);
    table.loosens("origins", origins, &new.origins);
    table.loosens("endpoints", endpoints, &new.endpoints);
    table.loosens("client", client, &new.client);
    table.loosens("grants", grants, &new.grants);
    table.loosens("addresses", addresses, &new.addresses);
    table.loosens("ca_file", ca_file, &new.ca_file);
    table.0
}

fn workload(old: &WorkloadSpec, new: &WorkloadSpec) -> Vec<(&'static str, Effect)> {
    let WorkloadSpec { name, environments, owner, purpose, identities } = old;
    let mut table = Table::default();
    table.loosens("name", name, &new.name);
    table.judge("environments", environments, &new.environments, |old, new| shrinks(old, new));
    table.loosens("owner", owner, &new.owner);
    table.loosens("purpose", purpose, &new.purpose);
    table.judge("identities", identities, &new.identities, |old, new| shrinks(old, new));
    table.0
}

fn agent(old: &AgentSpec, new: &AgentSpec) -> Vec<(&'static str, Effect)> {
    let AgentSpec { name, environments, owner, purpose, risk_ceiling, proofs, limits, tools, surfaces } = old;
    let mut table = Table::default();
    table.loosens("name", name, &new.name);
    table.judge("environments", environments, &new.environments, |old, new| shrinks(old, new));
    table.loosens("owner", owner, &new.owner);
    table.loosens("purpose", purpose, &new.purpose);
    table.judge("risk_ceiling", risk_ceiling, &new.risk_ceiling, |old, new| new < old);
    table.judge("proofs", proofs, &new.proofs, |old, new| shrinks(old, new));
    table.judge("limits", limits, &new.limits, |old, new| lower_limits(*old, *new));
    table.judge("tools", tools, &new.tools, |old, new| {
        (old.is_empty() && !new.is_empty()) || shrinks(old, new)
    });
    table.judge("surfaces", surfaces, &new.surfaces, |old, new| {
        (old.is_empty() && !new.is_empty()) || shrinks(old, new)
    });
    table.0
}

fn policy(old: &PolicySpec, new: &PolicySpec) -> Vec<(&'static str, Effect)> {
    let PolicySpec { name, environment, owner, cedar } = old;
    let mut table = Table::default();
    table.loosens("name", name, &new.name);
    table.loosens("environment", environment, &new.environment);
    table.loosens("owner", owner, &new.owner);
    table.loosens("cedar", cedar, &new.cedar);
    table.0
}

fn binding(old: &BindingSpec, new: &BindingSpec) -> Vec<(&'static str, Effect)> {
    let BindingSpec {
        name,
        environment,
        server,
        tools,
        methods,
        actor,
        mode,
        secret,
        source,
        inject,
        policy,
        risk,
        owner,
        session,
        limits,
        rotation,
        review_by,
        expires_at,
        exceptions,
    } = old;
    let mut table = Table::default();
    table.loosens("name", name, &new.name);
    table.loosens("environment", environment, &new.environment);
    table.loosens("server", server, &new.server);
    table.judge("tools", tools, &new.tools, fewer_tools);
    table.judge("methods", methods, &new.methods, |old, new| {
        new.iter().all(|method| old.iter().any(|known| known == method || known == "*"))
    });
    table.judge("actor", actor, &new.actor, fewer_actors);
    table.loosens("mode", mode, &new.mode);
    // Another version of the same place is a rotation, which needs no approval (DESIGN, 10.6).
    table.judge(
        "secret",
        secret,
        &new.secret,
        |old, new| matches!((old, new), (Some(old), Some(new)) if old.same_place(new)),
    );
    table.loosens("source", source, &new.source);
    table.loosens("inject", inject, &new.inject);
    table.loosens("policy", policy, &new.policy);
    table.judge("risk", risk, &new.risk, |old, new| new < old);
    table.loosens("owner", owner, &new.owner);
    table.loosens("session", session, &new.session);
    table.judge("limits", limits, &new.limits, |old, new| lower_limits(*old, *new));
    // To begin looking after a secret takes nothing away; to stop it might.
    table.judge("rotation", rotation, &new.rotation, |old, _| old.is_none());
    table.judge("review_by", review_by, &new.review_by, earlier);
    table.judge("expires_at", expires_at, &new.expires_at, earlier);
    table.judge("exceptions", exceptions, &new.exceptions, |old, new| {
        new.iter().all(|exception| old.contains(exception))
    });
    table.0
}

/// From a list to a shorter one. From all to a list is none of these: it makes the binding more
/// specific, which may shadow another.
fn fewer_tools(old: &ToolSelector, new: &ToolSelector) -> bool {
    matches!((old, new), (ToolSelector::Named(old), ToolSelector::Named(new)) if shrinks(old, new))
}

/// Every list stays or gets shorter without becoming empty: an empty list asks for nothing.
fn fewer_actors(old: &ActorSelector, new: &ActorSelector) -> bool {
    let ActorSelector { agents, workloads, users, groups, any } = old;
    same_or_shrinks(agents, &new.agents)
        && same_or_shrinks(workloads, &new.workloads)
        && same_or_shrinks(users, &new.users)
        && same_or_shrinks(groups, &new.groups)
        && *any == new.any
}

fn same_or_shrinks<T: PartialEq>(old: &[T], new: &[T]) -> bool {
    old == new || shrinks(old, new)
}

fn shrinks<T: PartialEq>(old: &[T], new: &[T]) -> bool {
    !new.is_empty() && new.iter().all(|entry| old.contains(entry))
}

fn lower_limits(old: Option<Limits>, new: Option<Limits>) -> bool {
    let Some(new) = new else { return false };
    let Limits { calls_per_minute, concurrent_calls } = new;
    let lower = |old: Option<u32>, new: Option<u32>| match (old, new) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(old), Some(new)) => new <= old,
    };
    lower(old.and_then(|old| old.calls_per_minute), calls_per_minute)
        && lower(old.and_then(|old| old.concurrent_calls), concurrent_calls)
}

fn earlier<T: PartialOrd>(old: &Option<T>, new: &Option<T>) -> bool {
    match (old, new) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(old), Some(new)) => new < old,
    }
}
