//! What operators declare: environments, servers, providers, workloads, agents, policies and bindings, as they are true
//! (the YAML as written, with its positions, belongs to the command line).

mod agent;
mod binding;
mod environment;
mod injection;
mod pattern;
mod policy;
mod provider;
mod review;
mod rotation;
mod route;
mod schema;
mod server;
mod source;
mod workload;

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use agent::{AgentProof, AgentSpec, OwnedTools};
pub use binding::{BindingSpec, CredentialMode, Exception, ExceptionRule, Limits, ToolSelector};
pub use environment::{EnvironmentSpec, Tier};
pub use injection::{BasicUser, Injection, InjectionError, LEASED_USER, ValueFormat};
pub use pattern::Pattern;
pub use policy::PolicySpec;
pub use provider::{ClientAuthentication, ProviderClient, ProviderEndpoints, ProviderSpec, Registration};
pub use review::ReviewRule;
pub use rotation::{OnOverdue, RotationSpec, Span, SpanError};
pub use route::{
    AddressScope, ChildLimits, ClientCertificate, HttpRoute, Route, RouteError, Spoken, StdioRoute,
    is_variable,
};
pub use schema::{SCHEMA, misplaced_list};
pub use server::{CredentialNeed, ProbeCall, Risk, ServerSpec, ToolRisks};
pub use source::{
    AppInstallation, AssertedSubject, CredentialSource, IdentityAssertion, JwtBearer, LeasedSecret,
    MintedToken, TokenExchange, TokenRequest, ToolScopes,
};
pub use workload::{WorkloadIdentity, WorkloadSpec};

use crate::id::{EnvironmentName, TeamName};

/// The kinds of object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// A hard boundary for bindings, stores, servers and callers.
    Environment,
    /// A registered upstream MCP server.
    Server,
    /// An OAuth provider.
    Provider,
    /// A workload mapping.
    Workload,
    /// A registered non-human caller.
    Agent,
    /// A Cedar policy.
    Policy,
    /// A credential binding.
    Binding,
}

impl Kind {
    /// Every kind, in the order in which `apply` must write them.
    pub const ALL: [Self; 7] = [
        Self::Environment,
        Self::Server,
        Self::Provider,
        Self::Workload,
        Self::Agent,
        Self::Policy,
        Self::Binding,
    ];

    /// The word used in manifests, the API and evidence.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Environment => "Environment",
            Self::Server => "Server",
            Self::Provider => "Provider",
            Self::Workload => "Workload",
            Self::Agent => "Agent",
            Self::Policy => "Policy",
            Self::Binding => "Binding",
        }
    }

    /// Reads the word, in any case.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word().eq_ignore_ascii_case(word))
    }
}

/// Names one object for ever: ids are never reused.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ObjectKey {
    /// The kind.
    pub kind: Kind,
    /// The environment; absent for environments themselves, and for agents and workloads, which list theirs.
    pub environment: Option<EnvironmentName>,
    /// The name, already checked by the spec's own type.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.environment {
            Some(environment) => write!(f, "{}/{}/{}", self.kind.word(), environment, self.name),
            None => write!(f, "{}/{}", self.kind.word(), self.name),
        }
    }
}

/// The declared content of one object. In JSON and YAML the `kind` field tells which.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum Spec {
    /// An environment.
    Environment(EnvironmentSpec),
    /// A server.
    Server(ServerSpec),
    /// A provider.
    Provider(ProviderSpec),
    /// A workload.
    Workload(WorkloadSpec),
    /// An agent.
    Agent(AgentSpec),
    /// A policy.
    Policy(PolicySpec),
    /// A binding.
    Binding(BindingSpec),
}

impl Spec {
    /// The object it describes.
    pub fn key(&self) -> ObjectKey {
        let (kind, environment, name) = match self {
            Self::Environment(spec) => (Kind::Environment, None, spec.name.as_str()),
            Self::Server(spec) => (Kind::Server, Some(&spec.environment), spec.name.as_str()),
            Self::Provider(spec) => (Kind::Provider, Some(&spec.environment), spec.name.as_str()),
            Self::Workload(spec) => (Kind::Workload, None, spec.name.as_str()),
            Self::Agent(spec) => (Kind::Agent, None, spec.name.as_str()),
            Self::Policy(spec) => (Kind::Policy, Some(&spec.environment), spec.name.as_str()),
            Self::Binding(spec) => (Kind::Binding, Some(&spec.environment), spec.name.as_str()),
        };
        ObjectKey { kind, environment: environment.cloned(), name: name.to_owned() }
    }

    /// The team that owns it, where one does.
    pub fn owner(&self) -> Option<&TeamName> {
        match self {
            Self::Environment(_) => None,
            Self::Server(spec) => Some(&spec.owner),
            Self::Provider(spec) => Some(&spec.owner),
            Self::Workload(spec) => Some(&spec.owner),
            Self::Agent(spec) => Some(&spec.owner),
            Self::Policy(spec) => spec.owner.as_ref(),
            Self::Binding(spec) => Some(&spec.owner),
        }
    }

    /// Every environment it touches; what approval rules are looked up by.
    pub fn environments(&self) -> Vec<&EnvironmentName> {
        match self {
            Self::Environment(spec) => vec![&spec.name],
            Self::Server(spec) => vec![&spec.environment],
            Self::Provider(spec) => vec![&spec.environment],
            Self::Workload(spec) => spec.environments.iter().collect(),
            Self::Agent(spec) => spec.environments.iter().collect(),
            Self::Policy(spec) => vec![&spec.environment],
            Self::Binding(spec) => vec![&spec.environment],
        }
    }

    /// The hash of the content: the same content has the same hash on every machine.
    pub fn content_hash(&self) -> ContentHash {
        // Struct fields serialise in declaration order and maps are sorted, so the text is canonical.
        // No spec has a map with keys that are not text, the only thing JSON could refuse.
        ContentHash::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// SHA-256 of some content, shown as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    /// Hashes the bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest that was made elsewhere.
    pub const fn from_bytes(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The raw digest.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hex digits, in the buffer.
    fn digits<'a>(&self, buffer: &'a mut [u8; 64]) -> &'a str {
        // Neither can fail: the buffer has two bytes for each of the hash, and digits are ASCII.
        let filled = hex::encode_to_slice(self.0, buffer).is_ok();
        std::str::from_utf8(buffer).ok().filter(|_| filled).unwrap_or_default()
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.digits(&mut [0; 64]))
    }
}

/// Written by hand: every record of the chain carries hashes, and a string made for each would cost
/// more than the rest of the record.
impl Serialize for ContentHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.digits(&mut [0; 64]))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<ContentHash> for String {
    fn from(hash: ContentHash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for ContentHash {
    type Error = hex::FromHexError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut bytes = [0_u8; 32];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests;
