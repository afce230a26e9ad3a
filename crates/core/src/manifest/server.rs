//! Servers and the risk of their tools.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Route;
use crate::id::{EnvironmentName, ServerName, TeamName, ToolName};

/// What a call may cause; set by the server's owner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Reads only.
    Read,
    /// Changes things in ways that can be undone.
    Write,
    /// Destroys, or cannot be undone.
    Destructive,
}

impl Risk {
    /// The word used in manifests, Cedar and evidence.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Destructive => "destructive",
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The risk of each tool; what is not named has the default.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, Risk>", into = "BTreeMap<String, Risk>")]
pub struct ToolRisks {
    default_risk: Risk,
    named: BTreeMap<ToolName, Risk>,
}

impl ToolRisks {
    /// Every tool has this risk.
    pub fn all(default_risk: Risk) -> Self {
        Self { default_risk, named: BTreeMap::new() }
    }

    /// The risk of one tool.
    pub fn of(&self, tool: &str) -> Risk {
        self.named.get(tool).copied().unwrap_or(self.default_risk)
    }

    /// The risk of tools that are not named.
    pub const fn default_risk(&self) -> Risk {
        self.default_risk
    }

    /// The tools with a risk of their own.
    pub const fn named(&self) -> &BTreeMap<ToolName, Risk> {
        &self.named
    }
}

impl TryFrom<BTreeMap<String, Risk>> for ToolRisks {
    type Error = String;
    fn try_from(mut map: BTreeMap<String, Risk>) -> Result<Self, String> {
        let default_risk = map.remove("default_risk").ok_or("`tools` needs a `default_risk`")?;
        let parse =
            |(name, risk): (String, Risk)| Ok((ToolName::parse(&name).map_err(|e| e.to_string())?, risk));
        Ok(Self { default_risk, named: map.into_iter().map(parse).collect::<Result<_, String>>()? })
    }
}

impl From<ToolRisks> for BTreeMap<String, Risk> {
    fn from(risks: ToolRisks) -> Self {
        let named = risks.named.into_iter().map(|(name, risk)| (name.to_string(), risk));
        named.chain([("default_risk".to_owned(), risks.default_risk)]).collect()
    }
}

/// Whether calls to the server carry a credential of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CredentialNeed {
    /// Every call needs a binding with a reference.
    #[default]
    Required,
    /// Calls carry none; a binding without a reference still has to be approved.
    None,
}

/// A registered upstream MCP server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSpec {
    /// Its name, the second part of its data-plane URL.
    pub name: ServerName,
    /// The environment it belongs to.
    pub environment: EnvironmentName,
    /// The team that answers for it and consents to bindings on it.
    pub owner: TeamName,
    /// Where it is.
    pub route: Route,
    /// What its tools may cause.
    pub tools: ToolRisks,
    /// Whether it needs a credential.
    #[serde(default)]
    pub credential: CredentialNeed,
    /// A call that shows whether a credential is good, where a handshake does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Box<ProbeCall>>,
}

/// A tool call that a new version of a secret is tried with, after the handshake. The tool must only read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeCall {
    /// The tool.
    pub tool: ToolName,
    /// What it is called with.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub arguments: serde_json::Map<String, serde_json::Value>,
}
