//! Agents.

use serde::{Deserialize, Serialize};

use super::{Limits, Risk};
use crate::id::{AgentName, EnvironmentName, ServerName, TeamName, ToolName, WorkloadName};

/// A registered non-human caller.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentSpec {
    /// Its name.
    pub name: AgentName,
    /// The environments it may enter.
    pub environments: Vec<EnvironmentName>,
    /// The team that answers for it.
    pub owner: TeamName,
    /// What it is for, in a sentence, for reviewers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub purpose: String,
    /// The highest risk it may ever cause.
    pub risk_ceiling: Risk,
    /// What proves that a caller is this agent; without one only agent tokens do (`token: true`).
    pub proofs: Vec<AgentProof>,
    /// Rate and concurrency over all its calls, so that a looping agent cannot lock out an account
    /// that others share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// The tools it may ever call, whatever a binding or policy allows; empty means that this list does
    /// not limit it. Bindings of mode `agent_scoped` serve only agents that own tools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<OwnedTools>,
    /// The client applications it may come through (`client_id` or `azp`); empty means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub surfaces: Vec<String>,
}

/// Tools of one server that an agent owns.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnedTools {
    /// The server, in whichever of the agent's environments.
    pub server: ServerName,
    /// The tools; empty means every tool of the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolName>,
}

impl AgentSpec {
    /// Whether its own list lets it call the tool.
    pub fn owns(&self, server: &ServerName, tool: &ToolName) -> bool {
        let owned = |entry: &OwnedTools| {
            entry.server == *server && (entry.tools.is_empty() || entry.tools.contains(tool))
        };
        self.tools.is_empty() || self.tools.iter().any(owned)
    }

    /// Whether it may come through this client application.
    pub fn comes_through(&self, surface: Option<&str>) -> bool {
        self.surfaces.is_empty() || surface.is_some_and(|surface| self.surfaces.iter().any(|s| s == surface))
    }
}

/// One way to prove to be the agent (DESIGN, sections 11.3 and 12.4).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AgentProof {
    /// A confidential OAuth client: this approved line is the statement that it is confidential.
    ConfidentialClient {
        /// The issuer, exactly as configured.
        issuer: String,
        /// Its `client_id` or `azp`.
        client_id: String,
    },
    /// The outermost `act.sub` of a delegated token (RFC 8693, section 4.1).
    ActSubject {
        /// The issuer, exactly as configured.
        issuer: String,
        /// The acting subject.
        subject: String,
    },
    /// A gateway-issued agent token.
    AgentToken,
    /// A workload mapping: whoever is attested to be that workload is this agent.
    Workload(WorkloadName),
}
