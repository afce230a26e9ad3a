//! One declared caller at one tool: the way it has, or what bars it.

use serde::{Serialize, Serializer};

use super::caller::{DeclaredCaller, is_by_agent_token};
use super::change::{self, Reasons};
use super::{Asked, Call, decide, explain};
use crate::actor::Actor;
use crate::audit::BindingRevision;
use crate::id::{
    AgentName, BindingName, EnvironmentName, GroupName, PolicyName, ProviderName, ServerName, StoreName,
    TeamName, ToolName, WorkloadName,
};
use crate::manifest::{AgentSpec, BindingSpec, CredentialMode, CredentialSource, Risk, WorkloadSpec};
use crate::operator::{Operator, Role, Scope};
use crate::reference::SecretReference;
use crate::refusal::Code;
use crate::snapshot::{ActiveBinding, EnvironmentView, ServerView, Snapshot, Wanted};
use crate::time::Timestamp;

/// Where a credential is, as far as whoever asks may know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// The reference.
    Shown(SecretReference),
    /// The store alone.
    Masked(StoreName),
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Shown(reference) => serializer.collect_str(reference),
            Self::Masked(store) => serializer.collect_str(&format_args!("{store}://(masked)")),
        }
    }
}

/// A declared caller that gets through.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Way {
    /// Who, in words.
    pub who: String,
    /// Who, part by part.
    #[serde(flatten)]
    pub caller: Parts,
    /// The binding that decides.
    pub binding: BindingRevision,
    /// How the credential is obtained.
    pub mode: CredentialMode,
    /// From what, where it is no stored secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'static str>,
    /// Where the secret is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<Place>,
    /// The provider that is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderName>,
    /// The risk of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// The policies that permit.
    pub policies: Vec<PolicyName>,
    /// What they said.
    pub reasons: Vec<String>,
    /// What must be so besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<String>,
}

/// A declared caller that something stands in the way of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Barred {
    /// Who, in words.
    pub who: String,
    /// Who, part by part.
    #[serde(flatten)]
    pub caller: Parts,
    /// The stable code that the call would get, where it comes to that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Code>,
    /// What stands in the way.
    pub because: String,
    /// What would have to change.
    pub change: Vec<String>,
}

/// The parts of a declared caller.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Parts {
    /// The agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// How it proves to be that agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// The client application it comes through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surface: Option<String>,
    /// The workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadName>,
    /// The person, where it is a certain one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The group that the person must be in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// Whether it stands for everybody of whom that holds, and not for one caller.
    pub everybody: bool,
}

impl From<&DeclaredCaller> for Parts {
    fn from(caller: &DeclaredCaller) -> Self {
        let (agent, person) = (caller.agent.as_ref(), caller.person.as_ref());
        Self {
            agent: agent.map(|agent| agent.name.clone()),
            proof: agent.map(|agent| agent.by.clone()),
            surface: agent.and_then(|agent| agent.surface.clone()),
            workload: caller.workload.clone(),
            user: person.and_then(|person| person.user.clone()),
            group: person.and_then(|person| person.group.clone()),
            everybody: person.is_some_and(super::caller::Person::is_set),
        }
    }
}

/// What an operator may see: objects of its teams and environments.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// Who looks.
    pub operator: &'a Operator,
    /// The same, with nothing but the roles that see where a secret is.
    pub places: &'a Operator,
}

impl Sight<'_> {
    fn all<'b>(self, team: &TeamName, environments: impl IntoIterator<Item = &'b EnvironmentName>) -> bool {
        environments.into_iter().all(|environment| {
            self.operator.may(Role::Viewer, Scope { team: Some(team), environment: Some(environment) })
        })
    }

    pub(super) fn server(self, server: &ServerView) -> bool {
        self.all(&server.spec.owner, [&server.spec.environment])
    }

    pub(super) fn binding(self, binding: &BindingSpec) -> bool {
        self.all(&binding.owner, [&binding.environment])
    }

    pub(super) fn agent(self, agent: &AgentSpec) -> bool {
        self.all(&agent.owner, &agent.environments)
    }

    pub(super) fn workload(self, workload: &WorkloadSpec) -> bool {
        self.all(&workload.owner, &workload.environments)
    }

    pub(super) fn caller(self, snapshot: &Snapshot, caller: &DeclaredCaller) -> bool {
        let agent = caller.agent.as_ref().and_then(|agent| snapshot.agent(&agent.name));
        let workload = caller
            .workload
            .as_ref()
            .and_then(|name| snapshot.workloads().find(|workload| workload.name == *name));
        agent.is_none_or(|agent| self.agent(agent)) && workload.is_none_or(|workload| self.workload(workload))
    }

    fn place(self, binding: &BindingSpec, reference: &SecretReference) -> Place {
        let scope = Scope { team: Some(&binding.owner), environment: Some(&binding.environment) };
        let sees = self.places.may(Role::Viewer, scope);
        if sees { Place::Shown(reference.clone()) } else { Place::Masked(reference.store().clone()) }
    }

    /// Whether this operator sees everything that is in the environment.
    pub fn is_whole(self, environment: &EnvironmentName) -> bool {
        self.operator.may(Role::Viewer, Scope { team: None, environment: Some(environment) })
    }
}

/// Where a caller knocks.
#[derive(Clone, Copy)]
pub(super) struct Door<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) environment: &'a EnvironmentView,
    pub(super) server: &'a ServerView,
    pub(super) now: Timestamp,
}

/// What comes of one caller at one tool.
pub(super) enum Outcome {
    Reaches(Box<Way>),
    Barred(Box<Barred>),
    /// No binding of the server serves the caller at all.
    NoWay,
}

impl Door<'_> {
    fn name(&self) -> &ServerName {
        &self.server.spec.name
    }

    /// Whether any binding of the server selects the actor.
    fn serves(&self, actor: &Actor) -> bool {
        self.server.candidates(actor, Wanted::List, self.now).next().is_some()
    }

    /// Decides as the data path decides, and looks at what obtaining needs besides.
    pub(super) fn knock(&self, caller: &DeclaredCaller, tool: &ToolName, sight: Sight<'_>) -> Outcome {
        let actor = match caller.actor(self.snapshot, self.environment, self.name(), self.now) {
            Ok(actor) => actor,
            Err(_) if !self.serves(&caller.supposed()) => return Outcome::NoWay,
            Err((because, change)) => return barred(caller, None, because, vec![change]),
        };
        let wanted = Asked::Tool(tool);
        let environment = &self.environment.spec.name;
        let call = Call { actor: &actor, environment, server: self.name(), wanted };
        let story = decide(self.snapshot, &call, self.now);
        let binding = story.winner.as_ref().and_then(|winner| self.server.binding(&winner.name));
        if !story.allowed {
            return match story.refusal {
                Some(Code::ServerUnknown) => Outcome::NoWay,
                refusal => {
                    let mut change = story.change;
                    if binding.is_none() {
                        change = self.nearly(&call, sight);
                    }
                    barred(caller, refusal, story.because, change)
                }
            };
        }
        let Some(binding) = binding else { return Outcome::NoWay };
        let mut conditions = Vec::new();
        if let Some((code, because, change)) = self.unobtainable(caller, binding, &call, &mut conditions) {
            return barred(caller, code, because, change);
        }
        if let Some(end) = binding.spec.expires_at {
            conditions.push(format!("until {end}, when the binding expires"));
        }
        let (policies, reasons) =
            story.verdict.map(|verdict| (verdict.policies, verdict.reasons)).unwrap_or_default();
        let place = binding.reference().or_else(|| binding.spec.place());
        let source = binding.spec.source.as_ref();
        Outcome::Reaches(Box::new(Way {
            who: caller.to_string(),
            caller: caller.into(),
            binding: binding.name_at_revision(),
            mode: binding.spec.mode,
            source: source.map(CredentialSource::word),
            reference: place.map(|place| sight.place(&binding.spec, place)),
            provider: source.and_then(CredentialSource::provider).cloned(),
            risk: story.risk,
            policies,
            reasons,
            conditions,
        }))
    }

    /// Bindings that are one step away.
    fn nearly(&self, call: &Call<'_>, sight: Sight<'_>) -> Vec<String> {
        let seen = |name: &BindingName| {
            self.server.binding(name).is_some_and(|binding| sight.binding(&binding.spec))
        };
        let candidates = explain(self.snapshot, call, self.now).candidates;
        let near = candidates.into_iter().filter(|one| one.change.len() == 1 && seen(&one.binding.name));
        near.flat_map(|one| {
            let name = one.binding.name;
            one.change.into_iter().map(move |change| format!("binding `{name}`: {change}"))
        })
        .collect()
    }

    /// What the credential source needs of the caller; for a set of persons this is a condition.
    fn unobtainable(
        &self,
        caller: &DeclaredCaller,
        binding: &ActiveBinding,
        call: &Call<'_>,
        conditions: &mut Vec<String>,
    ) -> Option<(Option<Code>, String, Vec<String>)> {
        let source = binding.spec.source.as_ref();
        if source.is_some_and(CredentialSource::presents_caller) && is_by_agent_token(self.snapshot, caller) {
            let because =
                "the source exchanges the caller's own token, and an agent token is none that could be";
            let change = vec!["prove the agent by a token of the identity provider".to_owned()];
            return Some((None, because.to_owned(), change));
        }
        let everybody = caller.person.as_ref().is_some_and(super::caller::Person::is_set);
        if let (Some(CredentialSource::Grant(request)), true) = (source, everybody) {
            let provider = &request.provider;
            conditions.push(format!("the person has connected their account at `{provider}`"));
            return None;
        }
        let mut reasons = Reasons::default();
        change::obtaining(self.snapshot, binding, call, &mut reasons);
        if reasons.change.is_empty() {
            conditions.extend(reasons.because);
            return None;
        }
        let code = grant_code(source, call.actor);
        Some((code, reasons.because.join("; "), reasons.change))
    }
}

fn grant_code(source: Option<&CredentialSource>, actor: &Actor) -> Option<Code> {
    match (source, &actor.user) {
        (Some(CredentialSource::Grant(_)), Some(_)) => Some(Code::GrantMissing),
        (Some(CredentialSource::Grant(_)), None) => Some(Code::GrantWithoutUser),
        _ => None,
    }
}

fn barred(caller: &DeclaredCaller, refusal: Option<Code>, because: String, change: Vec<String>) -> Outcome {
    let (who, caller) = (caller.to_string(), caller.into());
    Outcome::Barred(Box::new(Barred { who, caller, refusal, because, change }))
}
