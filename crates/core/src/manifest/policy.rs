//! Policies.

use serde::{Deserialize, Serialize};

use crate::id::{EnvironmentName, PolicyName, TeamName};

/// A named set of Cedar statements of one environment. The policy that a binding names must itself
/// permit; no policy of the environment may forbid.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySpec {
    /// Its name.
    pub name: PolicyName,
    /// The environment it decides in.
    pub environment: EnvironmentName,
    /// The team that answers for it; its absence leaves it to the environment's administrators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<TeamName>,
    /// The Cedar text.
    pub cedar: String,
}
