//! Environments.

use serde::{Deserialize, Serialize};

use super::ReviewRule;
use crate::id::EnvironmentName;

/// How strict the rules of an environment are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// For building: no approvals unless asked for, every store kind allowed.
    #[default]
    Dev,
    /// For rehearsal: the rules are those the environment states.
    Staging,
    /// For real: approvals, no `any` actor, exceptions only by approval (DESIGN, section 11.5).
    Production,
}

/// An environment: a hard boundary for bindings, stores, servers and callers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentSpec {
    /// Its name, the first part of every data-plane URL.
    pub name: EnvironmentName,
    /// Which set of rules holds.
    #[serde(default)]
    pub tier: Tier,
    /// How many approvers a change needs; production has at least one.
    #[serde(default)]
    pub approvals: u8,
    /// Whether gateway-issued agent tokens may enter; in production off unless switched on here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_tokens: Option<bool>,
    /// How often people look at its bindings again, and what happens if nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviews: Option<ReviewRule>,
    /// The one environment whose manifests are promoted to this one; absent means those of the tier below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotes_from: Option<EnvironmentName>,
}

impl EnvironmentSpec {
    /// Approvers that a loosening change needs besides its author.
    pub fn required_approvals(&self) -> u8 {
        match self.tier {
            Tier::Production => self.approvals.max(1),
            Tier::Dev | Tier::Staging => self.approvals,
        }
    }

    /// Whether gateway-issued agent tokens may enter.
    pub fn allows_agent_tokens(&self) -> bool {
        self.agent_tokens.unwrap_or(self.tier != Tier::Production)
    }
}
