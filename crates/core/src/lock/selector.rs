//! What a lock stops: parts that must all hold. A fact that is not known yet, or not there, matches no part
//! that asks for it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::id::{AgentName, BindingName, EnvironmentName, ProviderName, ServerName, StoreName, WorkloadName};
use crate::manifest::{BindingSpec, CredentialSource, Pattern, ToolSelector};
use crate::session::SessionActor;

/// What a lock stops.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LockSelector {
    /// Every call of every caller; stands alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub everything: bool,
    /// An environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// A server; without an environment, every server of that name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerName>,
    /// Tools, exactly or with `*` and `**`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<Pattern>,
    /// A binding, in any revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<BindingName>,
    /// What is obtained from a provider. With environment and user: one grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderName>,
    /// What is kept in a store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreName>,
    /// A registered agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// A user, as `iss|sub`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A workload mapping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadName>,
    /// A client application. It is unproven, so it may only take away: which is what a lock does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surface: Option<String>,
}

/// What is known of a use, from its first stage on.
#[derive(Clone, Copy, Debug, Default)]
pub struct LockFacts<'a> {
    /// The environment.
    pub environment: Option<&'a EnvironmentName>,
    /// The server.
    pub server: Option<&'a ServerName>,
    /// Who asks.
    pub actor: Option<&'a Actor>,
    /// The tool.
    pub tool: Option<&'a str>,
    /// The binding that decides.
    pub binding: Option<&'a BindingSpec>,
    /// The provider, where no binding is chosen.
    pub provider: Option<&'a ProviderName>,
}

impl<'a> LockFacts<'a> {
    /// Of what the gateway does for a binding by itself: nobody calls, and no tool.
    pub const fn of_own(binding: &'a BindingSpec) -> Self {
        Self {
            environment: Some(&binding.environment),
            server: Some(&binding.server),
            actor: None,
            tool: None,
            binding: Some(binding),
            provider: None,
        }
    }
}

fn same<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
    wanted.is_none() || wanted == found
}

impl LockSelector {
    /// Whether it asks for nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether everything that it asks for is known to hold.
    pub fn matches(&self, facts: &LockFacts<'_>) -> bool {
        if self.everything {
            return true;
        }
        let tool = self.tool.as_ref().is_none_or(|tool| facts.tool.is_some_and(|name| tool.matches(name)));
        let provider = self.provider.as_ref().is_none_or(|provider| {
            facts.provider == Some(provider) || facts.binding.is_some_and(|spec| asks(spec, provider))
        });
        !self.is_empty()
            && same(self.environment.as_ref(), facts.environment)
            && same(self.server.as_ref(), facts.server)
            && tool
            && provider
            && self.names(facts.binding)
            && self.is_party(&facts.actor.map(SessionActor::from).unwrap_or_default())
    }

    /// Whether binding and store are those of this binding.
    fn names(&self, binding: Option<&BindingSpec>) -> bool {
        let store = || binding?.place().map(crate::reference::SecretReference::store);
        same(self.binding.as_ref(), binding.map(|spec| &spec.name))
            && (self.store.is_none() || self.store.as_ref() == store())
    }

    /// Whether all that it asks for of the caller is this one.
    pub fn is_party(&self, actor: &SessionActor) -> bool {
        same(self.agent.as_ref(), actor.agent.as_ref())
            && same(self.user.as_ref(), actor.user.as_ref())
            && same(self.workload.as_ref(), actor.workload.as_ref())
            && same(self.surface.as_ref(), actor.surface.as_ref())
    }

    /// Whether all that it asks for of the place is this binding, whoever calls and whichever tool.
    pub fn is_place(&self, binding: &BindingSpec) -> bool {
        let place = Self { tool: None, ..self.without_party() };
        place.is_empty() || place.matches(&LockFacts::of_own(binding))
    }

    fn without_party(&self) -> Self {
        Self { agent: None, user: None, workload: None, surface: None, ..self.clone() }
    }

    /// Whether it asks for anything of the caller.
    pub fn asks_party(&self) -> bool {
        self.without_party() != *self
    }

    /// The agent, where that is all that it asks for.
    pub fn agent_alone(&self) -> Option<&AgentName> {
        let alone = Self { agent: self.agent.clone(), ..Self::default() };
        self.agent.as_ref().filter(|_| alone == *self)
    }

    /// Whether it may stop some call under this binding: for cards, which know no caller.
    pub fn may_concern(&self, binding: &BindingSpec) -> bool {
        let tool = self.tool.as_ref().is_none_or(|pattern| match &binding.tools {
            ToolSelector::All => true,
            ToolSelector::Named(tools) => tools.iter().any(|tool| pattern.matches(tool.as_str())),
        });
        let actor = &binding.actor;
        let listed = |wanted: bool, empty: bool| wanted || empty;
        let agent = self
            .agent
            .as_ref()
            .is_none_or(|agent| listed(actor.agents.contains(agent), actor.agents.is_empty()));
        let user =
            self.user.as_ref().is_none_or(|user| listed(actor.users.contains(user), actor.users.is_empty()));
        let workload = self
            .workload
            .as_ref()
            .is_none_or(|workload| listed(actor.workloads.contains(workload), actor.workloads.is_empty()));
        self.is_place(binding) && tool && agent && user && workload
    }
}

fn asks(binding: &BindingSpec, provider: &ProviderName) -> bool {
    binding.source.iter().flat_map(CredentialSource::providers).any(|asked| asked == provider)
}

impl fmt::Display for LockSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.everything {
            return f.write_str("everything");
        }
        let mut parts = Vec::new();
        let mut part =
            |word: &str, name: Option<String>| parts.extend(name.map(|name| format!("{word} {name}")));
        part("environment", self.environment.as_ref().map(ToString::to_string));
        part("server", self.server.as_ref().map(ToString::to_string));
        part("tool", self.tool.as_ref().map(ToString::to_string));
        part("binding", self.binding.as_ref().map(ToString::to_string));
        part("provider", self.provider.as_ref().map(ToString::to_string));
        part("store", self.store.as_ref().map(ToString::to_string));
        part("agent", self.agent.as_ref().map(ToString::to_string));
        part("user", self.user.clone());
        part("workload", self.workload.as_ref().map(ToString::to_string));
        part("surface", self.surface.clone());
        f.write_str(&parts.join(", "))
    }
}
