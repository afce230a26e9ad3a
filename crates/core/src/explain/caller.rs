//! The callers that declarations know: agents by each of their proofs, workloads, and the persons and combinations
//! that bindings ask for. Each is resolved to its actor as the data path resolves one.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use crate::actor::{Actor, ActorSelector, Groups, UserIdentity};
use crate::id::{AgentName, EnvironmentName, GroupName, ServerName, WorkloadName};
use crate::identity::{ProofKind, VerifiedClaims};
use crate::manifest::{AgentProof, AgentSpec, CredentialMode};
use crate::snapshot::{EnvironmentView, ServerView, Snapshot};
use crate::time::Timestamp;

/// Stands for a person whom no declaration names.
const SOMEBODY: &str = "*";

/// The most callers that are looked at for one server.
const MOST_CALLERS: usize = 5_000;
/// The most combinations that are tried for one server.
const MOST_TRIED: usize = 100_000;

/// A caller, as far as declarations name one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct DeclaredCaller {
    /// The agent, and how it proves to be that.
    pub agent: Option<Appearance>,
    /// The workload.
    pub workload: Option<WorkloadName>,
    /// The person on whose behalf.
    pub person: Option<Person>,
}

/// An agent by one of its proofs, through one of its surfaces.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Appearance {
    /// The agent.
    pub name: AgentName,
    /// The place of the proof among those that the agent lists.
    proof: usize,
    /// The proof in words.
    pub by: String,
    /// The client application, where the agent comes through certain ones only.
    pub surface: Option<String>,
}

/// A person: one, or everybody of whom a token says something. Neither means anybody.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Person {
    /// This one, as `iss|sub`.
    pub user: Option<String>,
    /// Whoever is in this group.
    pub group: Option<GroupName>,
}

impl Person {
    /// Whether it stands for more than one person.
    pub const fn is_set(&self) -> bool {
        self.user.is_none()
    }

    fn identity(&self) -> UserIdentity {
        let named = self.user.as_deref().and_then(|user| user.rsplit_once('|'));
        let (issuer, subject) = named.unwrap_or((SOMEBODY, SOMEBODY));
        UserIdentity { issuer: issuer.into(), subject: subject.into() }
    }

    fn groups(&self) -> Groups {
        self.group.as_ref().map_or(Groups::Unknown, |group| Groups::Known([group.clone()].into()))
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.user, &self.group) {
            (Some(user), Some(group)) => write!(f, "user {user}, if in group {group}"),
            (Some(user), None) => write!(f, "user {user}"),
            (None, Some(group)) => write!(f, "any person in group {group}"),
            (None, None) => f.write_str("any person who may enter"),
        }
    }
}

impl fmt::Display for DeclaredCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(agent) = &self.agent {
            let through = agent.surface.as_ref().map(|surface| format!(" through {surface}"));
            parts.push(format!("agent {} by {}{}", agent.name, agent.by, through.unwrap_or_default()));
        }
        let told = |workload: &WorkloadName| {
            self.agent.as_ref().is_some_and(|agent| agent.by == format!("workload {workload}"))
        };
        if let Some(workload) = self.workload.as_ref().filter(|workload| !told(workload)) {
            parts.push(format!("workload {workload}"));
        }
        if let Some(person) = &self.person {
            let word = if parts.is_empty() { "" } else { "for " };
            parts.push(format!("{word}{person}"));
        }
        f.write_str(&parts.join(" "))
    }
}

impl DeclaredCaller {
    /// The actor that the data path would make of it at this server.
    ///
    /// # Errors
    /// Why nobody can be this caller there, and what would change that.
    pub(super) fn actor(
        &self,
        snapshot: &Snapshot,
        environment: &EnvironmentView,
        server: &ServerName,
        now: Timestamp,
    ) -> Result<Actor, (String, String)> {
        let name = &environment.spec.name;
        let proof = self.agent.as_ref().and_then(|agent| proof_of(snapshot, agent));
        if let (Some(agent), Some(AgentProof::AgentToken)) = (&self.agent, &proof) {
            let agent = &agent.name;
            if !environment.spec.allows_agent_tokens() {
                let change = "set `agent_tokens` of the environment, or prove the agent otherwise";
                return Err(("agent tokens are off in this environment".to_owned(), change.to_owned()));
            }
            if !snapshot.has_token(agent, name, server, now) {
                let because = "no living agent token opens this server".to_owned();
                return Err((because, format!("issue one: `agent token issue {agent}`")));
            }
        }
        let actor = snapshot.actor_as(&self.claims(proof.as_ref(), now), self.workload.clone(), name);
        let wanted = self.agent.as_ref().map(|agent| &agent.name);
        if actor.agent.as_ref() == wanted {
            return Ok(actor);
        }
        let because = "the proof does not make the caller this agent alone".to_owned();
        let change = "let no other agent of the environment have the same proof, and let its `surfaces` \
                      name what the proof comes through";
        Err((because, change.to_owned()))
    }

    /// The actor it would be if its proof held.
    pub(super) fn supposed(&self) -> Actor {
        Actor {
            user: self.person.as_ref().map(Person::identity),
            groups: self.person.as_ref().map_or(Groups::Unknown, Person::groups),
            agent: self.agent.as_ref().map(|agent| agent.name.clone()),
            workload: self.workload.clone(),
            surface: self.agent.as_ref().and_then(|agent| agent.surface.as_deref().map(Arc::from)),
        }
    }

    fn claims(&self, proof: Option<&AgentProof>, now: Timestamp) -> VerifiedClaims {
        let surface = self.agent.as_ref().and_then(|agent| agent.surface.as_deref());
        let mut claims = VerifiedClaims {
            proof: ProofKind::Jwt,
            issuer: Arc::from(SOMEBODY),
            subject: Arc::from(SOMEBODY),
            user: self.person.as_ref().map(Person::identity),
            groups: self.person.as_ref().map_or(Groups::Unknown, Person::groups),
            client: surface.map(Arc::from),
            act_subject: None,
            agent: None,
            attested: None,
            entries: Vec::new(),
            expires_at: now,
        };
        match proof {
            Some(AgentProof::AgentToken) => {
                claims.proof = ProofKind::AgentToken;
                claims.agent = self.agent.as_ref().map(|agent| agent.name.clone());
            }
            Some(AgentProof::ConfidentialClient { issuer, client_id }) => {
                (claims.issuer, claims.client) = (issuer.as_str().into(), Some(client_id.as_str().into()));
            }
            Some(AgentProof::ActSubject { issuer, subject }) => {
                (claims.issuer, claims.act_subject) = (issuer.as_str().into(), Some(subject.as_str().into()));
            }
            Some(AgentProof::Workload(_)) | None => {}
        }
        claims
    }
}

fn proof_of(snapshot: &Snapshot, appearance: &Appearance) -> Option<AgentProof> {
    snapshot.agent(&appearance.name)?.proofs.get(appearance.proof).cloned()
}

/// Whether the agent comes by a token that the gateway issued, which speaks for no person and is never exchanged.
pub(super) fn is_by_agent_token(snapshot: &Snapshot, caller: &DeclaredCaller) -> bool {
    let proof = caller.agent.as_ref().and_then(|agent| proof_of(snapshot, agent));
    proof == Some(AgentProof::AgentToken)
}

fn words(proof: &AgentProof) -> String {
    match proof {
        AgentProof::AgentToken => "agent token".to_owned(),
        AgentProof::ConfidentialClient { issuer, client_id } => format!("client {client_id} of {issuer}"),
        AgentProof::ActSubject { issuer, subject } => format!("acting subject {subject} of {issuer}"),
        AgentProof::Workload(workload) => format!("workload {workload}"),
    }
}

/// Every way in which the agent can appear, with the workload that the proof implies.
fn appearances(agent: &AgentSpec) -> Vec<(Appearance, Option<WorkloadName>, bool)> {
    let mut found = Vec::new();
    for (proof, kind) in agent.proofs.iter().enumerate() {
        let named = matches!(kind, AgentProof::ConfidentialClient { .. } | AgentProof::AgentToken);
        let surfaces: Vec<Option<String>> = if named || agent.surfaces.is_empty() {
            vec![None]
        } else {
            agent.surfaces.iter().cloned().map(Some).collect()
        };
        let workload = match kind {
            AgentProof::Workload(workload) => Some(workload.clone()),
            _ => None,
        };
        let speaks_for_persons = *kind != AgentProof::AgentToken;
        for surface in surfaces {
            let appearance = Appearance { name: agent.name.clone(), proof, by: words(kind), surface };
            found.push((appearance, workload.clone(), speaks_for_persons));
        }
    }
    found
}

/// The declared callers of one server, and whether there are more than are looked at.
pub(super) fn callers(
    snapshot: &Snapshot,
    environment: &EnvironmentView,
    server: &ServerView,
    besides: Option<&Person>,
) -> (Vec<DeclaredCaller>, bool) {
    let name = &environment.spec.name;
    let mut search = Search::default();
    for agent in snapshot.agents().filter_map(|agent| snapshot.agent(agent)) {
        if !agent.environments.contains(name) {
            continue;
        }
        for (appearance, workload, _) in appearances(agent) {
            search.found.insert(DeclaredCaller { agent: Some(appearance), workload, person: None });
        }
    }
    for workload in snapshot.workloads().filter(|workload| workload.environments.contains(name)) {
        let workload = Some(workload.name.clone());
        search.found.insert(DeclaredCaller { workload, ..DeclaredCaller::default() });
    }
    if let Some(person) = besides {
        search.found.insert(DeclaredCaller { person: Some(person.clone()), ..DeclaredCaller::default() });
    }
    for binding in &server.bindings {
        let delegated = binding.spec.mode == CredentialMode::UserDelegated;
        search.asked_for(snapshot, name, &binding.spec.actor, delegated);
    }
    let entering = snapshot.workloads().filter(|workload| workload.environments.contains(name));
    let entering: HashSet<&WorkloadName> = entering.map(|workload| &workload.name).collect();
    let Search { mut found, is_cut, .. } = search;
    found.retain(|caller| caller.workload.as_ref().is_none_or(|workload| entering.contains(workload)));
    let more = is_cut || found.len() > MOST_CALLERS;
    (found.into_iter().take(MOST_CALLERS).collect(), more)
}

/// Callers, as far as they are looked for: a selector of a few thousand users and groups asks for millions of
/// combinations.
#[derive(Default)]
struct Search {
    found: BTreeSet<DeclaredCaller>,
    /// How many combinations were tried.
    tried: usize,
    /// Whether there are more.
    is_cut: bool,
}

impl Search {
    /// Every combination that a selector asks for.
    fn asked_for(
        &mut self,
        snapshot: &Snapshot,
        environment: &EnvironmentName,
        selector: &ActorSelector,
        delegated: bool,
    ) {
        let known = selector.agents.iter().filter_map(|agent| snapshot.agent(agent));
        let agents: Vec<_> = known
            .filter(|agent| agent.environments.contains(environment))
            .flat_map(|agent| appearances(agent))
            .collect();
        for workload in or_none(&selector.workloads) {
            for person in persons(selector, delegated) {
                if selector.agents.is_empty() {
                    let workload = workload.cloned();
                    self.add(Some(DeclaredCaller { agent: None, workload, person: person.clone() }));
                }
                for appearance in &agents {
                    self.add(combined(appearance, workload, person.as_ref()));
                }
                // Also where no agent is left who could be one of them.
                self.tried = self.tried.saturating_add(1);
                if self.is_full() {
                    return;
                }
            }
        }
    }

    fn add(&mut self, caller: Option<DeclaredCaller>) {
        self.tried = self.tried.saturating_add(1);
        if !self.is_full() {
            self.found.extend(caller);
        }
    }

    fn is_full(&mut self) -> bool {
        self.is_cut |= self.found.len() > MOST_CALLERS || self.tried > MOST_TRIED;
        self.is_cut
    }
}

/// The agent in this appearance, with the workload and the person of a selector; nothing where that is nobody.
fn combined(
    (appearance, implied, speaks): &(Appearance, Option<WorkloadName>, bool),
    workload: Option<&WorkloadName>,
    person: Option<&Person>,
) -> Option<DeclaredCaller> {
    let clash = workload.is_some() && implied.is_some() && workload != implied.as_ref();
    let is_somebody = !clash && (person.is_none() || *speaks);
    is_somebody.then(|| DeclaredCaller {
        agent: Some(appearance.clone()),
        workload: workload.or(implied.as_ref()).cloned(),
        person: person.cloned(),
    })
}

fn persons(selector: &ActorSelector, delegated: bool) -> impl Iterator<Item = Option<Person>> {
    let nobody_else = selector.agents.is_empty() && selector.workloads.is_empty();
    let anybody = delegated || (selector.any && nobody_else);
    or_none(&selector.users).into_iter().flat_map(move |user| {
        or_none(&selector.groups).into_iter().map(move |group| {
            let person = Person { user: user.cloned(), group: group.cloned() };
            (anybody || person != Person::default()).then_some(person)
        })
    })
}

fn or_none<T>(list: &[T]) -> Vec<Option<&T>> {
    if list.is_empty() { vec![None] } else { list.iter().map(Some).collect() }
}

#[cfg(test)]
mod tests;
