//! Every rule that a declared object must keep, judged without touching anything outside.

use super::rule::{self, Finding, Rule};
use super::world::{World, policy_key, workload_key};
use super::{Context, Facts};
use crate::id::{AgentName, EnvironmentName, WorkloadName};
use crate::manifest::{
    AgentProof, AgentSpec, BindingSpec, CredentialMode, CredentialNeed, EnvironmentSpec, Exception,
    ExceptionRule, Injection, Kind, ObjectKey, ReviewRule, Risk, Route, ServerSpec, Spec, Tier,
};
use crate::reference::{SecretReference, TemplateValues};
use crate::stores::{StoreClass, StoreEntry, Stores};
use crate::time::Timestamp;

/// What is wrong with an object as it would stand in the state at hand.
pub fn validate(context: &Context<'_>, spec: &Spec) -> Vec<Finding> {
    let batch = std::slice::from_ref(spec);
    let world = World::new(context.state, batch);
    let mut judge = Judge::new(context, &world);
    judge.spec(spec);
    judge.findings
}

pub(super) struct Judge<'a> {
    pub(super) world: &'a World<'a>,
    pub(super) stores: &'a Stores,
    pub(super) facts: &'a Facts,
    now: Timestamp,
    pub(super) findings: Vec<Finding>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(context: &'a Context<'_>, world: &'a World<'a>) -> Self {
        let (stores, facts, now) = (context.stores, context.facts, context.now);
        Self { world, stores, facts, now, findings: Vec::new() }
    }

    pub(super) fn spec(&mut self, spec: &Spec) {
        let key = spec.key();
        if !matches!(spec, Spec::Environment(_)) {
            for name in spec.environments() {
                self.known_environment(&key, name);
            }
        }
        match spec {
            Spec::Environment(spec) => self.environment(&key, spec),
            Spec::Server(spec) => self.server(&key, spec),
            Spec::Provider(spec) => self.provider(&key, spec),
            Spec::Workload(spec) => self.workload(&key, spec),
            Spec::Agent(spec) => self.agent(&key, spec),
            // Whether the Cedar text holds is for the policy compiler to say.
            Spec::Policy(_) => {}
            Spec::Binding(spec) => self.binding(&key, spec),
        }
    }

    pub(super) fn find(&mut self, rule: &'static Rule, key: &ObjectKey, message: impl std::fmt::Display) {
        self.findings.push(Finding::of(rule, key, message));
    }

    fn known_environment(&mut self, key: &ObjectKey, name: &EnvironmentName) {
        if self.world.environment(name).is_none() {
            self.find(&rule::ENVIRONMENT_UNKNOWN, key, format!("environment `{name}` is not declared"));
        }
    }

    /// Raising the tier acts at once, so what already stands must keep the stricter rules.
    fn environment(&mut self, key: &ObjectKey, spec: &EnvironmentSpec) {
        if spec.promotes_from.as_ref() == Some(&spec.name) {
            self.find(&rule::PROMOTION_ORDER, key, "an environment is not promoted to itself");
        }
        if let Some(trouble) = spec.reviews.as_ref().and_then(ReviewRule::trouble) {
            self.find(&rule::ENVIRONMENT_REVIEWS, key, trouble);
        }
        if spec.tier != Tier::Production {
            return;
        }
        let bindings = self.world.bindings(&spec.name);
        let broken: Vec<_> = bindings
            .into_iter()
            .filter(|binding| {
                let mut judge = Judge { findings: Vec::new(), ..*self };
                judge.production(key, binding);
                !judge.findings.is_empty()
            })
            .map(|binding| format!("`{}`", binding.name))
            .collect();
        if !broken.is_empty() {
            let message = format!("these bindings break the rules of production: {}", broken.join(", "));
            self.find(&rule::ENVIRONMENT_TIER, key, message);
        }
    }

    fn server(&mut self, key: &ObjectKey, spec: &ServerSpec) {
        if let Err(error) = spec.route.check() {
            self.find(&rule::SERVER_ROUTE, key, error);
        }
        if let Route::Stdio(route) = &spec.route
            && !self.facts.stdio.allows(&route.command)
        {
            self.find(&rule::SERVER_COMMAND, key, "the gateway's configuration does not allow this command");
        }
        if let Some(probe) = &spec.probe {
            if spec.tools.of(probe.tool.as_str()) != Risk::Read {
                self.find(&rule::SERVER_PROBE, key, format!("tool `{}` may do more than read", probe.tool));
            }
            if matches!(spec.route, Route::Stdio(_)) {
                self.find(&rule::SERVER_PROBE, key, "a process is tried by its handshake alone");
            }
        }
    }

    fn agent(&mut self, key: &ObjectKey, spec: &AgentSpec) {
        if spec.proofs.is_empty() {
            self.find(&rule::AGENT_PROOF, key, "the agent has no proof, so nobody can be it");
        }
        if spec.environments.is_empty() {
            self.find(&rule::AGENT_ENVIRONMENT, key, "the agent may enter no environment");
        }
        if spec.surfaces.iter().any(|surface| surface.trim().is_empty()) {
            self.find(&rule::AGENT_SURFACE, key, "a surface is empty");
        }
        for proof in &spec.proofs {
            if let AgentProof::Workload(name) = proof
                && self.world.spec(&workload_key(name)).is_none()
            {
                self.find(&rule::WORKLOAD_UNKNOWN, key, format!("workload `{name}` is not declared"));
            }
        }
    }

    fn binding(&mut self, key: &ObjectKey, spec: &BindingSpec) {
        self.plain_fields(key, spec);
        self.actor(key, spec);
        match self.world.server(spec) {
            Some(server) => self.credential(key, spec, server),
            None if self.world.server_elsewhere(spec) => {
                let message =
                    format!("server `{}` exists, but not in environment `{}`", spec.server, spec.environment);
                self.find(&rule::SERVER_ENVIRONMENT, key, message);
            }
            None => {
                self.find(&rule::SERVER_UNKNOWN, key, format!("server `{}` is not declared", spec.server));
            }
        }
        if self.world.spec(&policy_key(&spec.environment, &spec.policy)).is_none() {
            self.find(&rule::POLICY_UNKNOWN, key, format!("policy `{}` is not declared", spec.policy));
        }
        if let Some(secret) = spec.place() {
            self.reference(key, spec, secret);
        }
        self.source(key, spec);
        self.rotation(key, spec);
        if self.world.is_production(&spec.environment) {
            self.production(key, spec);
        }
        self.ties(key, spec);
    }

    fn plain_fields(&mut self, key: &ObjectKey, spec: &BindingSpec) {
        if let Some(limits) = spec.limits
            && (limits.calls_per_minute == Some(0) || limits.concurrent_calls == Some(0))
        {
            self.find(&rule::BINDING_LIMITS, key, "a limit of 0 would refuse every call");
        }
        if let Some(day) = &spec.review_by
            && Timestamp::parse(&format!("{day}T00:00:00Z")).is_err()
        {
            self.find(&rule::BINDING_REVIEW_BY, key, "`review_by` is no date");
        }
        if spec.expires_at.is_some_and(|end| end <= self.now) {
            self.find(&rule::BINDING_EXPIRES, key, "`expires_at` has passed");
        }
        let exceptions: &[Exception] = &spec.exceptions;
        let repeated =
            exceptions.iter().any(|one| exceptions.iter().filter(|other| other.rule == one.rule).count() > 1);
        if repeated || exceptions.iter().any(|exception| exception.reason.trim().is_empty()) {
            self.find(&rule::BINDING_EXCEPTION, key, "an exception has no reason, or stands twice");
        }
    }

    fn actor(&mut self, key: &ObjectKey, spec: &BindingSpec) {
        if spec.actor.is_empty() {
            self.find(&rule::BINDING_NO_ACTOR, key, "the actor selector selects nobody");
        }
        for agent in &spec.actor.agents {
            self.named_agent(key, spec, agent);
        }
        for workload in &spec.actor.workloads {
            self.named_workload(key, spec, workload);
        }
        if spec.actor.users.iter().any(|user| !user.contains('|')) {
            self.find(&rule::BINDING_ACTOR_USER, key, "a user is not written as `issuer|subject`");
        }
    }

    fn named_workload(&mut self, key: &ObjectKey, spec: &BindingSpec, name: &WorkloadName) {
        match self.world.spec(&workload_key(name)) {
            Some(Spec::Workload(workload)) if workload.environments.contains(&spec.environment) => {}
            Some(_) => {
                let message = format!("workload `{name}` may not enter environment `{}`", spec.environment);
                self.find(&rule::WORKLOAD_ENVIRONMENT, key, message);
            }
            None => self.find(&rule::WORKLOAD_UNKNOWN, key, format!("workload `{name}` is not declared")),
        }
    }

    fn named_agent(&mut self, key: &ObjectKey, spec: &BindingSpec, name: &AgentName) {
        let agent_key = ObjectKey { kind: Kind::Agent, environment: None, name: name.to_string() };
        let Some(Spec::Agent(agent)) = self.world.spec(&agent_key) else {
            self.find(&rule::AGENT_UNKNOWN, key, format!("agent `{name}` is not declared"));
            return;
        };
        if !agent.environments.contains(&spec.environment) {
            let message = format!("agent `{name}` may not enter environment `{}`", spec.environment);
            self.find(&rule::AGENT_ENVIRONMENT, key, message);
        }
        if spec.mode == CredentialMode::AgentScoped && agent.tools.is_empty() {
            self.find(&rule::AGENT_TOOLS, key, format!("agent `{name}` owns no tools"));
        }
        if spec.risk > agent.risk_ceiling {
            let message = format!("risk `{}` is above the ceiling of agent `{name}`", spec.risk);
            self.find(&rule::BINDING_RISK, key, message);
        }
    }

    fn credential(&mut self, key: &ObjectKey, spec: &BindingSpec, server: &ServerSpec) {
        let of_process = matches!(server.route, Route::Stdio(_));
        if spec.inject.as_ref().is_some_and(|injection| injection.is_for_process() != of_process) {
            self.find(&rule::BINDING_INJECT_ROUTE, key, "the server cannot be given a secret there");
        }
        match (server.credential, spec.names_material(), &spec.inject) {
            (CredentialNeed::Required, false, _) => {
                self.find(&rule::BINDING_SECRET_MISSING, key, "the binding names no secret");
            }
            (CredentialNeed::Required, true, None) => {
                self.find(
                    &rule::BINDING_INJECT_MISSING,
                    key,
                    "the binding does not say where the secret goes",
                );
            }
            (CredentialNeed::None, true, _) => {
                self.find(&rule::BINDING_SECRET_UNEXPECTED, key, "the server takes no credential");
            }
            (CredentialNeed::None, false, Some(_)) => {
                self.find(&rule::BINDING_INJECT_UNEXPECTED, key, "there is no secret to inject");
            }
            (CredentialNeed::Required, true, Some(_)) | (CredentialNeed::None, false, None) => {}
        }
    }

    fn reference(&mut self, key: &ObjectKey, spec: &BindingSpec, secret: &SecretReference) {
        // Every part of the actor that a template asks for must be one that the selector demands.
        let agent = (!spec.actor.agents.is_empty()).then_some("x");
        let by_user = !spec.actor.users.is_empty() || spec.mode == CredentialMode::UserDelegated;
        let user = (by_user && spec.mode != CredentialMode::ServiceAccount).then_some("x");
        let values = TemplateValues { agent, user, environment: &spec.environment };
        if secret.resolve(&values).is_err() {
            let message = "the reference asks for a part of the actor that may be absent";
            self.find(&rule::REFERENCE_TEMPLATE, key, message);
        }
        self.place(key, &spec.environment, secret);
    }

    /// A version that was tried must be the one that calls get, so the store has to give out both by name.
    fn rotation(&mut self, key: &ObjectKey, spec: &BindingSpec) {
        let Some(rotation) = &spec.rotation else { return };
        let Some(secret) = &spec.secret else {
            self.find(&rule::ROTATION_SECRET, key, "there is no secret to rotate");
            return;
        };
        if rotation.watch.is_none() {
            return;
        }
        if secret.has_templates() {
            self.find(&rule::ROTATION_WATCH, key, "a place with a template is another one for each caller");
        }
        if self.stores.entry(secret.store()).is_some_and(|entry| !entry.uncached.keeps_versions()) {
            let message = format!("store `{}` keeps no versions", secret.store());
            self.find(&rule::ROTATION_WATCH, key, message);
        }
    }

    pub(super) fn place(&mut self, key: &ObjectKey, environment: &EnvironmentName, secret: &SecretReference) {
        let name = secret.store();
        let Some(entry) = self.stores.entry(name) else {
            self.find(&rule::STORE_UNKNOWN, key, format!("store `{name}` is not configured"));
            return;
        };
        if !entry.environments.contains(environment) {
            let message = format!("store `{name}` does not serve environment `{environment}`");
            self.find(&rule::STORE_ENVIRONMENT, key, message);
        }
        if !entry.paths.is_empty() && entry.owners_of(secret).is_none() {
            self.find(&rule::PATH_UNOWNED, key, format!("no team owns this path of store `{name}`"));
        }
    }

    fn production(&mut self, key: &ObjectKey, spec: &BindingSpec) {
        if spec.actor.any {
            self.find(&rule::PRODUCTION_ANY, key, "the actor `any` is refused in production");
        }
        let query = matches!(spec.inject, Some(Injection::Query { .. }));
        if query && !spec.excepts(ExceptionRule::QueryInjection) {
            self.find(&rule::PRODUCTION_QUERY, key, "the secret would stand in the URL");
        }
        if self.facts.process_durability && !spec.excepts(ExceptionRule::ProcessDurability) {
            let message = "the audit log of this gateway does not survive a loss of power";
            self.find(&rule::PRODUCTION_DURABILITY, key, message);
        }
        let process = self.world.server(spec).is_some_and(|server| matches!(server.route, Route::Stdio(_)));
        if process && !self.facts.stdio.own_users && !spec.excepts(ExceptionRule::StdioUser) {
            let message = "the server's process would run as the gateway's own user";
            self.find(&rule::PRODUCTION_STDIO_USER, key, message);
        }
        let entry = spec.place().and_then(|secret| self.stores.entry(secret.store()));
        if let Some(StoreEntry { class, paths, .. }) = entry {
            if *class == StoreClass::Local && !spec.excepts(ExceptionRule::LocalStore) {
                self.find(&rule::PRODUCTION_LOCAL_STORE, key, "the store is local to this machine");
            }
            if paths.is_empty() {
                self.find(&rule::STORE_UNDELEGATED, key, "the store's paths are delegated to no team");
            }
        }
    }

    /// Two bindings that some call would match equally well: that call would always be refused.
    fn ties(&mut self, key: &ObjectKey, spec: &BindingSpec) {
        let tied: Vec<_> = self
            .world
            .bindings(&spec.environment)
            .into_iter()
            .filter(|other| other.name != spec.name && other.server == spec.server && ties(spec, other))
            .map(|other| other.name.clone())
            .collect();
        for other in tied {
            let message = format!("as specific as binding `{other}` for the same actors and tools");
            self.find(&rule::BINDING_TIED, key, message);
        }
    }
}

fn ties(one: &BindingSpec, other: &BindingSpec) -> bool {
    let (tools, others) = (one.tools.is_named(), other.tools.is_named());
    one.actor.specificity(tools) == other.actor.specificity(others)
        && meet(&one.actor.agents, &other.actor.agents)
        && meet(&one.actor.workloads, &other.actor.workloads)
        && meet(&one.actor.users, &other.actor.users)
        && meet(&one.actor.groups, &other.actor.groups)
        && tools_meet(one, other)
}

fn meet<T: PartialEq>(one: &[T], other: &[T]) -> bool {
    (one.is_empty() && other.is_empty()) || one.iter().any(|entry| other.contains(entry))
}

pub(crate) fn tools_meet(one: &BindingSpec, other: &BindingSpec) -> bool {
    use crate::manifest::ToolSelector::{All, Named};
    match (&one.tools, &other.tools) {
        (All, _) | (_, All) => true,
        (Named(one), Named(other)) => meet(one, other),
    }
}
