//! Credential bindings.

use serde::{Deserialize, Serialize};

use super::{CredentialSource, Injection, Risk, RotationSpec};
use crate::actor::ActorSelector;
use crate::id::{BindingName, EnvironmentName, PolicyName, ServerName, TeamName, ToolName};
use crate::reference::SecretReference;
use crate::time::Timestamp;

/// How a binding obtains its credential. One explicit mode, no fallback (rule 2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialMode {
    /// A stored secret that belongs to the service.
    ServiceAccount,
    /// The user's own authority, by a grant.
    UserDelegated,
    /// A credential limited to the agent.
    AgentScoped,
    /// A credential selected by the workload's identity.
    WorkloadIdentity,
}

impl CredentialMode {
    /// The word used in manifests, Cedar and evidence.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ServiceAccount => "service_account",
            Self::UserDelegated => "user_delegated",
            Self::AgentScoped => "agent_scoped",
            Self::WorkloadIdentity => "workload_identity",
        }
    }
}

/// Which tools a binding covers.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<ToolName>", into = "Vec<ToolName>")]
pub enum ToolSelector {
    /// Every tool of the server.
    #[default]
    All,
    /// Exactly these.
    Named(Vec<ToolName>),
}

impl ToolSelector {
    /// Whether the tool is covered.
    pub fn covers(&self, tool: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(tools) => tools.iter().any(|name| name.as_str() == tool),
        }
    }

    /// Whether tools are named, which is more specific than all.
    pub const fn is_named(&self) -> bool {
        matches!(self, Self::Named(_))
    }
}

impl From<Vec<ToolName>> for ToolSelector {
    fn from(tools: Vec<ToolName>) -> Self {
        if tools.is_empty() { Self::All } else { Self::Named(tools) }
    }
}

impl From<ToolSelector> for Vec<ToolName> {
    fn from(selector: ToolSelector) -> Self {
        match selector {
            ToolSelector::All => Self::new(),
            ToolSelector::Named(tools) => tools,
        }
    }
}

/// A production rule that a binding breaks on purpose (DESIGN, section 11.5); approved with it and
/// shown on its card.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The rule.
    pub rule: ExceptionRule,
    /// Why, for the approver.
    pub reason: String,
}

/// The rules that can be excepted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExceptionRule {
    /// The store is of kind `sealed`, `file` or `env`.
    LocalStore,
    /// The credential goes into the query.
    QueryInjection,
    /// The audit log is `durability: process`.
    ProcessDurability,
    /// The server's process runs as the gateway's own user.
    StdioUser,
    /// The value is under 16 bytes, too short for the scrubber to tell from ordinary text.
    ShortSecret,
}

/// Limits of one binding over all its callers, or of one agent over all its calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Calls a minute, as a token bucket of that size; absent means unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_per_minute: Option<u32>,
    /// Calls at the same time; absent means unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent_calls: Option<u32>,
}

/// The versioned object that ties actor, server, tools, environment and policy to a mode, a
/// reference and an injection point.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BindingSpec {
    /// Its name.
    pub name: BindingName,
    /// The environment it holds in.
    pub environment: EnvironmentName,
    /// The server it opens.
    pub server: ServerName,
    /// The tools it covers; absent means all.
    #[serde(default, skip_serializing_if = "all_tools")]
    pub tools: ToolSelector,
    /// Further JSON-RPC methods it lets through by name (`resources/read`, `prompts/get`, unknown
    /// ones); handshakes, lists and `tools/call` need no entry. `*` means every method.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Whom it serves.
    pub actor: ActorSelector,
    /// How the credential is obtained.
    pub mode: CredentialMode,
    /// Where the secret is, for material that a store holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretReference>,
    /// How the material is obtained otherwise. Exactly one of `secret` and `source` is there, and
    /// neither for servers with `credential: none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<CredentialSource>,
    /// Where the material goes; present exactly where there is material.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inject: Option<Injection>,
    /// The policy that must itself permit.
    pub policy: PolicyName,
    /// The highest risk it may cause.
    pub risk: Risk,
    /// The team that answers for it.
    pub owner: TeamName,
    /// Whether handshakes and sessions of actors with several bindings use this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub session: bool,
    /// Rate and concurrency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// How its secret is kept fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Box<RotationSpec>>,
    /// When people look at it again, as `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_by: Option<String>,
    /// When it stops by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Production rules it breaks on purpose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<Exception>,
}

impl BindingSpec {
    /// Whether the approver let this rule be broken.
    pub fn excepts(&self, rule: ExceptionRule) -> bool {
        self.exceptions.iter().any(|exception| exception.rule == rule)
    }

    /// Whether it names the material at all, by either way.
    pub const fn names_material(&self) -> bool {
        self.secret.is_some() || self.source.is_some()
    }

    /// The place in a store that the material comes from, for either way that has one.
    pub const fn place(&self) -> Option<&SecretReference> {
        match (&self.secret, &self.source) {
            (Some(secret), _) => Some(secret),
            (None, Some(CredentialSource::Leased(leased))) => Some(&leased.role),
            (None, _) => None,
        }
    }

    /// Whether the material differs from caller to caller.
    pub fn is_per_caller(&self) -> bool {
        let by_place = self.secret.as_ref().is_some_and(SecretReference::has_templates);
        by_place || self.source.as_ref().is_some_and(CredentialSource::is_per_caller)
    }

    /// Whether it names the method, or all.
    pub fn names_method(&self, method: &str) -> bool {
        self.methods.iter().any(|name| name == "*" || name == method)
    }
}

fn all_tools(tools: &ToolSelector) -> bool {
    *tools == ToolSelector::All
}
