//! One immutable view of everything that decides, built from the state at one epoch.
//!
//! A request takes one snapshot at its start and keeps it. Building is pure: the same state gives
//! the same snapshot on every replica.

mod build;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use self::build::environment_view;

use crate::actor::{Actor, UserIdentity};
use crate::audit::BindingRevision;
use crate::id::{
    AgentName, BindingName, EnvironmentName, Epoch, ProviderName, Revision, ServerName, WorkloadName,
};
use crate::identity::{Entry, ProofKind, TokenDigest, VerifiedClaims, VerifiedIdentity};
use crate::lock::Locks;
use crate::manifest::{
    AgentProof, AgentSpec, BindingSpec, ContentHash, CredentialNeed, EnvironmentSpec, Kind, ProviderSpec,
    Risk, Route, ServerSpec, Spec, WorkloadSpec,
};
use crate::policy::{PolicyCompiler, PolicyEngine, PolicyIssue};
use crate::reference::SecretReference;
use crate::refusal::{Code, Refusal};
use crate::review::{Appointment, calendar};
use crate::rotation::{VersionRecord, VersionState};
use crate::state::{GrantRecord, Pins, State};
use crate::time::Timestamp;

/// Everything that decides, at one epoch.
#[derive(Debug)]
pub struct Snapshot {
    /// The epoch it was built from.
    pub epoch: Epoch,
    environments: HashMap<EnvironmentName, EnvironmentView>,
    agents: HashMap<AgentName, Arc<AgentSpec>>,
    workloads: Vec<Arc<WorkloadSpec>>,
    tokens: HashMap<TokenDigest, AgentToken>,
    /// Living grants by user.
    grants: HashMap<String, Vec<Arc<GrantRecord>>>,
    draining: Vec<VersionRecord>,
    /// The bindings whose secrets are looked after.
    looked_after: Vec<Arc<ActiveBinding>>,
    locks: Locks,
    /// The next reviews of the bindings of these environments.
    reviews: Vec<Appointment>,
}

#[derive(Debug)]
struct AgentToken {
    agent: AgentName,
    entries: Vec<Entry>,
    expires_at: Timestamp,
}

/// One environment.
#[derive(Debug)]
pub struct EnvironmentView {
    /// Its declaration.
    pub spec: EnvironmentSpec,
    /// Its compiled policies.
    pub engine: Arc<dyn PolicyEngine>,
    servers: HashMap<ServerName, Arc<ServerView>>,
}

/// One server with the bindings that open it.
#[derive(Debug)]
pub struct ServerView {
    /// Its current declaration.
    pub spec: ServerSpec,
    /// The revision of that declaration.
    pub revision: Revision,
    /// The active bindings on it.
    pub bindings: Vec<Arc<ActiveBinding>>,
}

/// An active binding with what its approval pinned.
#[derive(Debug)]
pub struct ActiveBinding {
    /// Its content.
    pub spec: BindingSpec,
    /// Its revision.
    pub revision: Revision,
    /// The approved route: the only place its credential may go.
    pub route: Route,
    /// The hash of that route, for evidence.
    pub route_id: ContentHash,
    /// Whether calls carry a credential.
    pub credential: CredentialNeed,
    /// The approved risks; bindings that pinned one revision share it.
    pub pinned_server: Arc<ServerSpec>,
    /// What was pinned.
    pub pins: Pins,
    /// The approved providers that its source asks, in the order of asking.
    pub providers: Vec<Arc<ProviderSpec>>,
    /// The binding's reference at the version that calls must use, where the state names one.
    pub held: Option<SecretReference>,
    /// The version that the state names as active: the server has taken it.
    pub active_version: Option<VersionRecord>,
    /// Whether it stays at that version because the server refused a newer one.
    pub is_held_back: bool,
}

impl ActiveBinding {
    /// `name@revision`, for evidence and the upstream header.
    pub fn name_at_revision(&self) -> BindingRevision {
        BindingRevision { name: self.spec.name.clone(), revision: self.revision }
    }

    /// Where its secret is: what the state holds it to, else what it names.
    pub fn reference(&self) -> Option<&SecretReference> {
        self.held.as_ref().or(self.spec.secret.as_ref())
    }

    /// Whether the next rotation of its secret is late.
    pub fn rotation_due(&self, now: Timestamp) -> bool {
        let due = self.active_version.as_ref().zip(self.spec.rotation.as_deref());
        due.and_then(|(version, rotation)| version.due_at(rotation)).is_some_and(|due| due <= now)
    }

    /// Whether it has not passed its end.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.spec.expires_at.is_none_or(|end| now < end)
    }

    /// The risk of a tool: the higher of what was approved and what the owner says now.
    pub fn risk_of(&self, server: &ServerView, tool: &str) -> Risk {
        self.pinned_server.tools.of(tool).max(server.spec.tools.of(tool))
    }
}

/// Why a state cannot become a snapshot: its policies do not compile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policies of environment `{environment}` do not compile")]
pub struct SnapshotError {
    /// The environment.
    pub environment: EnvironmentName,
    /// Every problem.
    pub issues: Vec<PolicyIssue>,
}

impl Snapshot {
    /// Builds the view. `served` limits it to some environments (DESIGN, section 11.6); empty means all.
    ///
    /// # Errors
    /// The first environment whose policies do not compile.
    pub fn build(
        state: &State,
        compiler: &dyn PolicyCompiler,
        served: &[EnvironmentName],
    ) -> Result<Self, SnapshotError> {
        Self::build_beside(None, state, compiler, served)
    }

    /// The same view, which shares with another one the bindings that are the same in both. It costs less to make and to
    /// drop: most changes leave all bindings but a few as they were.
    ///
    /// # Errors
    /// The first environment whose policies do not compile.
    pub fn build_beside(
        other: Option<&Self>,
        state: &State,
        compiler: &dyn PolicyCompiler,
        served: &[EnvironmentName],
    ) -> Result<Self, SnapshotError> {
        let mut environments = HashMap::new();
        for record in state.all_active(Kind::Environment) {
            let Spec::Environment(spec) = &record.spec else { continue };
            if !served.is_empty() && !served.contains(&spec.name) {
                continue;
            }
            let beside = other.and_then(|other| other.environment(spec.name.as_str()));
            environments.insert(spec.name.clone(), environment_view(state, spec, compiler, beside)?);
        }
        let agents = state.all_active(Kind::Agent).filter_map(|record| match &record.spec {
            Spec::Agent(spec) => Some((spec.name.clone(), Arc::new(spec.clone()))),
            _ => None,
        });
        let tokens = state.agent_tokens.iter().filter(|token| token.revoked_at.is_none()).map(|token| {
            let kept = AgentToken {
                agent: token.agent.clone(),
                entries: token.entries.clone(),
                expires_at: token.expires_at,
            };
            (token.digest, kept)
        });
        let workloads = state.all_active(Kind::Workload).filter_map(|record| match &record.spec {
            Spec::Workload(spec) => Some(Arc::new(spec.clone())),
            _ => None,
        });
        let mut grants: HashMap<String, Vec<Arc<GrantRecord>>> = HashMap::new();
        for grant in state.grants.iter().filter(|grant| grant.ended.is_none()) {
            grants.entry(grant.user.clone()).or_default().push(Arc::new(grant.clone()));
        }
        let draining = state.versions.iter().filter(|known| known.state == VersionState::Draining);
        let servers = environments.values().flat_map(EnvironmentView::servers);
        let looked_after = servers
            .flat_map(|server| &server.bindings)
            .filter(|binding| binding.spec.rotation.is_some() || binding.active_version.is_some())
            .cloned()
            .collect();
        let mut reviews = calendar(state);
        reviews.retain(|review| environments.contains_key(&review.environment));
        Ok(Self {
            epoch: state.epoch,
            environments,
            agents: agents.collect(),
            workloads: workloads.collect(),
            tokens: tokens.collect(),
            grants,
            draining: draining.cloned().collect(),
            looked_after,
            locks: Locks::of(&state.locks),
            reviews,
        })
    }

    /// An environment that this process serves.
    pub fn environment(&self, name: &str) -> Option<&EnvironmentView> {
        self.environments.get(name)
    }

    /// Every environment, in no order.
    pub fn environments(&self) -> impl Iterator<Item = &EnvironmentView> {
        self.environments.values()
    }

    /// A registered agent.
    pub fn agent(&self, name: &AgentName) -> Option<&Arc<AgentSpec>> {
        self.agents.get(name)
    }

    /// The names of the registered agents, in no order.
    pub fn agents(&self) -> impl Iterator<Item = &AgentName> {
        self.agents.keys()
    }

    /// Every living grant, in no order.
    pub fn grants(&self) -> impl Iterator<Item = &Arc<GrantRecord>> {
        self.grants.values().flatten()
    }

    /// The locks, each of which stands until its own time.
    pub const fn locks(&self) -> &Locks {
        &self.locks
    }

    /// Looks up a gateway-issued token by its digest.
    pub fn agent_token(&self, digest: TokenDigest) -> Option<VerifiedClaims> {
        let token = self.tokens.get(&digest)?;
        let agent = self.agents.get(&token.agent)?;
        agent.proofs.contains(&AgentProof::AgentToken).then(|| VerifiedClaims {
            proof: ProofKind::AgentToken,
            issuer: Arc::from("gateway"),
            subject: Arc::from(token.agent.as_str()),
            user: None,
            groups: crate::actor::Groups::default(),
            client: None,
            act_subject: None,
            attested: None,
            agent: Some(token.agent.clone()),
            entries: token.entries.clone(),
            expires_at: token.expires_at,
        })
    }

    /// Whether a living token of the agent opens the server.
    pub(crate) fn has_token(
        &self,
        agent: &AgentName,
        environment: &EnvironmentName,
        server: &ServerName,
        now: Timestamp,
    ) -> bool {
        let opens = |token: &AgentToken| token.entries.iter().any(|entry| entry.opens(environment, server));
        self.tokens.values().any(|token| token.agent == *agent && now < token.expires_at && opens(token))
    }

    /// The grant of a user at a provider.
    pub fn grant(
        &self,
        environment: &EnvironmentName,
        provider: &ProviderName,
        user: &UserIdentity,
    ) -> Option<&Arc<GrantRecord>> {
        self.grants
            .get(&user.to_string())?
            .iter()
            .find(|grant| grant.environment == *environment && grant.provider == *provider)
    }

    /// The living grants of a user, the oldest first.
    pub fn grants_of(&self, user: &UserIdentity) -> &[Arc<GrantRecord>] {
        self.grants.get(&user.to_string()).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether this very grant has not ended.
    pub fn grant_lives(&self, grant: &GrantRecord) -> bool {
        self.grants.get(&grant.user).is_some_and(|known| known.iter().any(|known| known.id == grant.id))
    }

    /// The bindings whose secrets are looked after: those that say so, and those that were rotated.
    pub fn looked_after(&self) -> &[Arc<ActiveBinding>] {
        &self.looked_after
    }

    /// The next reviews of its bindings, those that are switched off included.
    pub fn reviews(&self) -> &[Appointment] {
        &self.reviews
    }

    /// The versions of secrets that were replaced and may still be used.
    pub fn draining(&self) -> &[VersionRecord] {
        &self.draining
    }

    /// Every workload mapping, in no order.
    pub fn workloads(&self) -> impl Iterator<Item = &Arc<WorkloadSpec>> {
        self.workloads.iter()
    }

    /// Resolves a verified identity to the composite actor: an agent is only what a declared proof
    /// proves, a workload only what a mapping names. Two of a kind proven at once is nobody.
    pub fn actor(&self, identity: &VerifiedIdentity, environment: &EnvironmentName) -> Actor {
        let claims = identity.claims();
        let mapped = self.workloads.iter().filter(|workload| {
            workload.environments.contains(environment)
                && claims.attested.as_ref().is_some_and(|attested| workload.is(attested))
        });
        let workload = only(mapped).map(|workload| workload.name.clone());
        self.actor_as(claims, workload, environment)
    }

    /// The second half of [`Self::actor`], once it is known which workload attests: also for callers that are
    /// only supposed, so that they are resolved as callers are.
    pub(crate) fn actor_as(
        &self,
        claims: &VerifiedClaims,
        workload: Option<WorkloadName>,
        environment: &EnvironmentName,
    ) -> Actor {
        let proven = self.agents.values().filter(|agent| {
            agent.environments.contains(environment)
                && agent.comes_through(claims.client.as_deref())
                && agent.proofs.iter().any(|proof| proves(proof, agent, claims, workload.as_ref()))
        });
        Actor {
            user: claims.user.clone(),
            groups: claims.groups.clone(),
            agent: only(proven).map(|agent| agent.name.clone()),
            workload,
            surface: claims.client.clone(),
        }
    }
}

fn only<T>(mut found: impl Iterator<Item = T>) -> Option<T> {
    let first = found.next();
    first.filter(|_| found.next().is_none())
}

fn proves(
    proof: &AgentProof,
    agent: &AgentSpec,
    claims: &VerifiedClaims,
    workload: Option<&WorkloadName>,
) -> bool {
    match proof {
        AgentProof::AgentToken => {
            claims.proof == ProofKind::AgentToken && claims.agent.as_ref() == Some(&agent.name)
        }
        AgentProof::ConfidentialClient { issuer, client_id } => {
            claims.proof == ProofKind::Jwt
                && *claims.issuer == **issuer
                && claims.client.as_deref() == Some(client_id.as_str())
        }
        AgentProof::ActSubject { issuer, subject } => {
            claims.proof == ProofKind::Jwt
                && *claims.issuer == **issuer
                && claims.act_subject.as_deref() == Some(subject.as_str())
        }
        AgentProof::Workload(name) => workload == Some(name),
    }
}

impl EnvironmentView {
    /// A server of this environment.
    pub fn server(&self, name: &str) -> Option<&Arc<ServerView>> {
        self.servers.get(name)
    }

    /// Every server, in no order.
    pub fn servers(&self) -> impl Iterator<Item = &Arc<ServerView>> {
        self.servers.values()
    }
}

/// What a call asks a binding for.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// A tool.
    Tool(&'a str),
    /// A handshake or session.
    Session,
    /// A list: any binding will do, each entry is decided for itself.
    List,
    /// Another method, which the binding must name.
    Method(&'a str),
}

impl ServerView {
    /// The bindings whose actor selector holds and that cover what is wanted.
    pub fn candidates<'a>(
        &'a self,
        actor: &Actor,
        wanted: Wanted<'_>,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a Arc<ActiveBinding>> {
        self.bindings.iter().filter(move |binding| {
            let covers = match wanted {
                Wanted::Tool(tool) => binding.spec.tools.covers(tool),
                Wanted::Session | Wanted::List => true,
                Wanted::Method(method) => binding.spec.names_method(method),
            };
            covers && binding.holds_at(now) && binding.spec.actor.matches(actor)
        })
    }

    /// Selects the one binding that decides: the most specific wins, a tie is a refusal (rule 2).
    /// For sessions a binding marked `session: true` wins over the others.
    ///
    /// # Errors
    /// [`Code::ServerUnknown`] where the actor has no usable binding at all, [`Code::ToolUnknown`] or
    /// [`Code::MethodUnknown`] where it has one but none for this, [`Code::BindingAmbiguous`] for a tie.
    pub fn select(
        &self,
        actor: &Actor,
        wanted: Wanted<'_>,
        now: Timestamp,
    ) -> Result<&Arc<ActiveBinding>, Refusal> {
        let rank = |binding: &ActiveBinding| {
            let session = matches!(wanted, Wanted::Session | Wanted::List) && binding.spec.session;
            (session, binding.spec.actor.specificity(binding.spec.tools.is_named()))
        };
        let mut best: Option<&Arc<ActiveBinding>> = None;
        let mut tied = false;
        for candidate in self.candidates(actor, wanted, now) {
            match best.map(|current| rank(candidate).cmp(&rank(current))) {
                None | Some(std::cmp::Ordering::Greater) => (best, tied) = (Some(candidate), false),
                Some(std::cmp::Ordering::Equal) => tied = true,
                Some(std::cmp::Ordering::Less) => {}
            }
        }
        match best {
            Some(_) if tied => Err(Code::BindingAmbiguous.into()),
            Some(binding) => Ok(binding),
            None if self.candidates(actor, Wanted::List, now).next().is_none() => {
                Err(Code::ServerUnknown.into())
            }
            None if matches!(wanted, Wanted::Tool(_)) => Err(Code::ToolUnknown.into()),
            None => Err(Code::MethodUnknown.into()),
        }
    }

    /// The active binding of this name.
    pub fn binding(&self, name: &BindingName) -> Option<&Arc<ActiveBinding>> {
        self.bindings.iter().find(|binding| binding.spec.name == *name)
    }
}
