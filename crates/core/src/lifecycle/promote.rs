//! Promotion: what decides in one environment, as manifests for the next. Nothing that belongs to the one is taken
//! along: every reference, route, provider, workload and agent must be the target's own, or promotion is refused.

mod map;
mod order;
mod places;
mod route;

use std::collections::BTreeSet;

use serde::Serialize;

pub use map::PromotionMap;

use places::{Places, places, settled};
use route::{fresh, with_url};

use super::Context;
use super::rule::{self, Finding, Rule};
use super::world::{provider_key, server_key, workload_key};
use crate::id::{AgentName, EnvironmentName, ProviderName, WorkloadName};
use crate::manifest::{BindingSpec, CredentialSource, Kind, ObjectKey, PolicySpec, Route, ServerSpec, Spec};
use crate::policy_text::{self, Statement};
use crate::reference::SecretReference;
use crate::state::State;

/// The kinds that are promoted. Environments, agents and workloads stand above environments, and a provider is a
/// registration of one environment: those are declared for the target by themselves.
pub const PROMOTED: [Kind; 3] = [Kind::Server, Kind::Policy, Kind::Binding];

/// What is to be promoted.
#[derive(Clone, Copy, Debug)]
pub struct PromotionWish<'a> {
    /// The environment that it comes from.
    pub from: &'a EnvironmentName,
    /// The environment that it goes to.
    pub to: &'a EnvironmentName,
    /// The objects of the source, and whatever else of it is known: what is there may not be taken along.
    pub source: &'a [Spec],
    /// Only these, as kind and name; empty means every server, policy and binding.
    pub select: &'a [(Kind, String)],
    /// What the target has in the place of what the source has.
    pub map: &'a PromotionMap,
}

/// The manifests for the target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Promotion {
    /// The objects, in the order in which `apply` writes.
    pub specs: Vec<Spec>,
    /// What was put in the place of what the source has.
    pub replaced: Vec<Replaced>,
    /// Entries of the map that nothing asked for.
    pub unused: Vec<String>,
    /// Texts that are taken along as they are and name the source environment: people must look at them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flagged: Vec<Flagged>,
}

/// A text that names the source environment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Flagged {
    /// The object, in the target.
    #[serde(serialize_with = "super::key_text")]
    pub object: ObjectKey,
    /// The field.
    pub field: &'static str,
    /// The statements that name it.
    pub statements: Vec<Statement>,
    /// What that means.
    pub message: String,
}

/// One part of an object that is another one in the target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Replaced {
    /// The object, in the target.
    #[serde(serialize_with = "super::key_text")]
    pub object: ObjectKey,
    /// The field.
    pub field: &'static str,
    /// What the source has.
    pub before: String,
    /// What the target has.
    pub after: String,
    /// `map` where the map says so, `target` where it stands there already, `template` where the place depends on the
    /// environment by itself.
    pub by: &'static str,
}

/// Decides what the manifests of the target are.
///
/// # Errors
/// Every finding at once: where the order of environments forbids it, and each reference that would cross over.
pub fn promote(context: &Context<'_>, wish: &PromotionWish<'_>) -> Result<Promotion, Vec<Finding>> {
    let mut findings: Vec<Finding> = order::refuse(context.state, wish).into_iter().collect();
    // What the operator may not see there must not be taken along either.
    let standing = context.state.revisions.iter().map(|record| &record.spec);
    let mut mover = Mover {
        context,
        wish,
        taken: places(wish.source.iter().chain(standing), wish.from),
        used: BTreeSet::new(),
        replaced: Vec::new(),
        flagged: Vec::new(),
        findings: Vec::new(),
    };
    let mut specs: Vec<Spec> = mover.selected().into_iter().filter_map(|spec| mover.spec(spec)).collect();
    specs.sort_by_key(Spec::key);
    findings.append(&mut mover.findings);
    if !findings.is_empty() {
        return Err(findings);
    }
    let unused = wish.map.entries().filter(|entry| !mover.used.contains(entry)).collect();
    Ok(Promotion { specs, replaced: mover.replaced, unused, flagged: mover.flagged })
}

struct Mover<'a> {
    context: &'a Context<'a>,
    wish: &'a PromotionWish<'a>,
    taken: Places,
    used: BTreeSet<String>,
    replaced: Vec<Replaced>,
    flagged: Vec<Flagged>,
    findings: Vec<Finding>,
}

impl<'a> Mover<'a> {
    fn state(&self) -> &'a State {
        self.context.state
    }

    fn find(&mut self, rule: &'static Rule, key: &ObjectKey, message: impl std::fmt::Display) {
        self.findings.push(Finding::of(rule, key, message));
    }

    /// The objects that are asked for; what is asked for and not there is a finding.
    fn selected(&mut self) -> Vec<&'a Spec> {
        let wish = self.wish;
        let mine = |spec: &&Spec| {
            let key = spec.key();
            key.environment.as_ref() == Some(wish.from) && PROMOTED.contains(&key.kind)
        };
        let all: Vec<&Spec> = wish.source.iter().filter(mine).collect();
        if wish.select.is_empty() {
            if all.is_empty() {
                let message = format!("nothing that could be promoted decides in `{}`", wish.from);
                self.findings.push(Finding::general(&rule::PROMOTION_SELECTION, message));
            }
            return all;
        }
        let mut chosen = Vec::new();
        for (kind, name) in wish.select {
            let wanted = ObjectKey { kind: *kind, environment: Some(wish.from.clone()), name: name.clone() };
            match all.iter().find(|spec| spec.key() == wanted) {
                Some(spec) => chosen.push(*spec),
                None if !PROMOTED.contains(kind) => {
                    let message = "only servers, policies and bindings are promoted";
                    self.find(&rule::PROMOTION_SELECTION, &wanted, message);
                }
                None => self.find(&rule::PROMOTION_SELECTION, &wanted, "it does not decide there"),
            }
        }
        chosen
    }

    fn spec(&mut self, spec: &Spec) -> Option<Spec> {
        let environment = self.wish.to.clone();
        match spec {
            Spec::Server(server) => self.server(server).map(Spec::Server),
            Spec::Policy(policy) => {
                let moved = Spec::Policy(PolicySpec { environment, ..policy.clone() });
                self.flag(&policy.cedar, moved.key());
                Some(moved)
            }
            Spec::Binding(binding) => Some(Spec::Binding(self.binding(binding))),
            _ => None,
        }
    }

    /// What a text says of the source it does not say of the target: a permission would never hold there, and what
    /// is forbidden would be allowed.
    fn flag(&mut self, cedar: &str, object: ObjectKey) {
        let from = self.wish.from;
        let statements = policy_text::naming(cedar, from.as_str());
        if !statements.is_empty() {
            let message =
                format!("the text names `{from}`: what it says of that it does not say of the target");
            self.flagged.push(Flagged { object, field: "cedar", statements, message });
        }
    }

    /// Whether the source uses the place, by this or by another name of its store.
    fn is_taken(&self, place: &SecretReference) -> bool {
        let stores = self.taken.get(&settled(place, self.wish.to));
        let facts = self.context.facts;
        stores.is_some_and(|stores| stores.iter().any(|store| facts.is_one_place(store, place.store())))
    }

    fn server(&mut self, server: &ServerSpec) -> Option<ServerSpec> {
        let target = server_key(self.wish.to, &server.name);
        let own = match self.state().standing(&target).map(|record| &record.spec) {
            Some(Spec::Server(own)) => Some(own.route.clone()),
            _ => None,
        };
        let before = server.route.destination();
        let (route, by) = match self.mapped_route(&before) {
            Some(url) => (own.map_or_else(|| fresh(&server.route, &url), |own| with_url(own, &url)), "map"),
            None => (own, "target"),
        };
        let source = server_key(self.wish.from, &server.name);
        let Some(route) = route else {
            let message = format!(
                "route: `{before}` is a place of `{}`; `{}` has none of its own",
                self.wish.from, self.wish.to
            );
            self.find(&rule::PROMOTION_ROUTE, &source, message);
            return None;
        };
        if route.destination() == before && matches!(route, Route::Http(_)) {
            let message = format!("route: `{before}` would be the same place as in `{}`", self.wish.from);
            self.find(&rule::PROMOTION_ROUTE, &source, message);
            return None;
        }
        self.note(target, "route", before, route.destination(), by);
        Some(ServerSpec { environment: self.wish.to.clone(), route, ..server.clone() })
    }

    fn mapped_route(&mut self, before: &str) -> Option<url::Url> {
        let url = self.wish.map.route(before)?;
        self.used.insert(format!("routes: {before}"));
        Some(url)
    }

    fn note(
        &mut self,
        object: ObjectKey,
        field: &'static str,
        before: String,
        after: String,
        by: &'static str,
    ) {
        if before != after || by == "template" {
            self.replaced.push(Replaced { object, field, before, after, by });
        }
    }

    fn binding(&mut self, binding: &BindingSpec) -> BindingSpec {
        let key = Spec::Binding(binding.clone()).key();
        let mut moved = BindingSpec { environment: self.wish.to.clone(), ..binding.clone() };
        let target = Spec::Binding(moved.clone()).key();
        let own = match self.state().standing(&target).map(|record| &record.spec) {
            Some(Spec::Binding(own)) => own.place().cloned(),
            _ => None,
        };
        if let Some(place) = binding.place() {
            let place = self.reference(&key, &target, place, own.as_ref());
            match (&mut moved.secret, &mut moved.source) {
                (Some(secret), _) => *secret = place,
                (None, Some(CredentialSource::Leased(leased))) => leased.role = place,
                (None, _) => {}
            }
        }
        if let Some(source) = moved.source.as_mut() {
            for name in source.providers_mut() {
                *name = self.provider(&key, &target, name);
            }
        }
        for name in &mut moved.actor.workloads {
            *name = self.workload(&key, &target, name);
        }
        for name in &mut moved.actor.agents {
            *name = self.agent(&key, &target, name);
        }
        moved
    }

    /// The target's own reference: by the map, as it stands there, or because the place depends on the environment.
    fn reference(
        &mut self,
        key: &ObjectKey,
        target: &ObjectKey,
        before: &SecretReference,
        own: Option<&SecretReference>,
    ) -> SecretReference {
        let (from, to) = (self.wish.from, self.wish.to);
        let varies = settled(before, from) != settled(before, to);
        let (after, by) = match (self.wish.map.reference(before), own) {
            (Some((entry, mapped)), _) => {
                self.used.insert(format!("references: {entry}"));
                (mapped.clone(), "map")
            }
            (None, Some(own)) => (own.clone(), "target"),
            (None, None) if varies => (before.clone(), "template"),
            (None, None) => {
                let message =
                    format!("secret: `{before}` is a place of `{from}`, and `{to}` has none of its own");
                self.find(&rule::PROMOTION_REFERENCE, key, message);
                return before.clone();
            }
        };
        let told = if by == "map" { "secret: the map's" } else { "secret:" };
        match self.context.stores.entry(after.store()) {
            None => {
                let message = format!("{told} `{after}` names a store that is not configured");
                self.find(&rule::STORE_UNKNOWN, key, message);
            }
            Some(entry) if !entry.environments.contains(to) => {
                let message = format!("{told} `{after}` is in a store that does not serve `{to}`");
                self.find(&rule::PROMOTION_REFERENCE, key, message);
            }
            Some(_) if self.is_taken(&after) => {
                let message = format!(
                    "{told} `{after}` is a place that `{from}` uses, under this name of its store or another"
                );
                self.find(&rule::PROMOTION_REFERENCE, key, message);
            }
            Some(_) => self.note(target.clone(), "secret", before.to_string(), after.to_string(), by),
        }
        after
    }

    /// A provider of the target, which must have its own registration there.
    fn provider(&mut self, key: &ObjectKey, target: &ObjectKey, before: &ProviderName) -> ProviderName {
        let (from, to) = (self.wish.from, self.wish.to);
        let after = self.mapped("providers", before.as_str(), self.wish.map.providers.get(before), before);
        match self.state().standing(&provider_key(to, &after)).map(|record| &record.spec) {
            Some(Spec::Provider(provider)) => {
                if provider.references().any(|place| self.is_taken(place)) {
                    // Which one it is, is for those to see who see the provider.
                    let message =
                        format!("source: provider `{after}` of `{to}` uses a place that `{from}` uses");
                    self.find(&rule::PROMOTION_PROVIDER, key, message);
                }
                self.note(target.clone(), "source", before.to_string(), after.to_string(), "map");
            }
            _ => {
                let message = format!("source: `{to}` has no provider `{after}` of its own");
                self.find(&rule::PROMOTION_PROVIDER, key, message);
            }
        }
        after
    }

    /// A workload of the target: one that may enter both is one runtime for two environments.
    fn workload(&mut self, key: &ObjectKey, target: &ObjectKey, before: &WorkloadName) -> WorkloadName {
        let (from, to) = (self.wish.from, self.wish.to);
        let after = self.mapped("workloads", before.as_str(), self.wish.map.workloads.get(before), before);
        let why = match self.state().standing(&workload_key(&after)).map(|record| &record.spec) {
            Some(Spec::Workload(workload)) if !workload.environments.contains(to) => {
                format!("may not enter `{to}`")
            }
            Some(Spec::Workload(workload)) if workload.environments.contains(from) => {
                format!("runs in `{from}` as well: it would be one runtime for both")
            }
            Some(Spec::Workload(_)) => {
                self.note(target.clone(), "actor", before.to_string(), after.to_string(), "map");
                return after;
            }
            _ => "is not declared".to_owned(),
        };
        self.find(&rule::PROMOTION_WORKLOAD, key, format!("actor: workload `{after}` {why}"));
        after
    }

    fn agent(&mut self, key: &ObjectKey, target: &ObjectKey, before: &AgentName) -> AgentName {
        let to = self.wish.to;
        let after = self.mapped("agents", before.as_str(), self.wish.map.agents.get(before), before);
        let agent = ObjectKey { kind: Kind::Agent, environment: None, name: after.to_string() };
        match self.state().standing(&agent).map(|record| &record.spec) {
            Some(Spec::Agent(agent)) if agent.environments.contains(to) => {
                self.note(target.clone(), "actor", before.to_string(), after.to_string(), "map");
            }
            Some(_) => {
                self.find(
                    &rule::PROMOTION_AGENT,
                    key,
                    format!("actor: agent `{after}` may not enter `{to}`"),
                );
            }
            None => {
                self.find(&rule::PROMOTION_AGENT, key, format!("actor: agent `{after}` is not declared"));
            }
        }
        after
    }

    fn mapped<T: Clone>(&mut self, list: &str, name: &str, mapped: Option<&T>, before: &T) -> T {
        if mapped.is_some() {
            self.used.insert(format!("{list}: {name}"));
        }
        mapped.unwrap_or(before).clone()
    }
}
