//! Agents.

use serde::{Deserialize, Serialize};

use super::{Limits, Risk};
use crate::id::{AgentName, EnvironmentName, TeamName};

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
}
