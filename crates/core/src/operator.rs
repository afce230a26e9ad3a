//! Operators and what they may do: role × team × environment (DESIGN, section 11.1).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{EnvironmentName, OperatorName, TeamName};

/// What an operator may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Read objects and cards.
    Viewer,
    /// Read objects and the audit log.
    Auditor,
    /// Write objects; disable, rotate and revoke bindings of its teams.
    Editor,
    /// Sign what others wrote.
    Approver,
    /// Everything, and still not approve its own work.
    Admin,
}

/// One role within a scope. Absent lists mean everywhere.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleGrant {
    /// The role.
    pub role: Role,
    /// The teams whose objects it covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teams: Option<Vec<TeamName>>,
    /// The environments it covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environments: Option<Vec<EnvironmentName>>,
}

/// An authenticated operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operator {
    /// Who: `iss|sub`, or the name given at a bootstrap login.
    pub name: OperatorName,
    /// What for.
    pub grants: Vec<RoleGrant>,
}

/// What an act is about, for deciding whether an operator may do it.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The team that owns the thing; absent for things of the deployment.
    pub team: Option<&'a TeamName>,
    /// The environment; absent for things of no environment.
    pub environment: Option<&'a EnvironmentName>,
}

impl RoleGrant {
    /// A role everywhere.
    pub const fn everywhere(role: Role) -> Self {
        Self { role, teams: None, environments: None }
    }

    fn covers(&self, scope: Scope<'_>) -> bool {
        // A grant limited to teams or environments never covers what belongs to none of them.
        let team = self.teams.as_ref().is_none_or(|own| scope.team.is_some_and(|team| own.contains(team)));
        let environment = self
            .environments
            .as_ref()
            .is_none_or(|own| scope.environment.is_some_and(|environment| own.contains(environment)));
        team && environment
    }
}

impl Operator {
    /// Whether the operator holds the role for the scope. `Admin` includes the others; `Editor` and
    /// `Auditor` include `Viewer`; `Approver` includes `Viewer`.
    pub fn may(&self, role: Role, scope: Scope<'_>) -> bool {
        self.grants.iter().any(|grant| {
            let enough = grant.role == role || grant.role == Role::Admin || role == Role::Viewer;
            enough && grant.covers(scope)
        })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Auditor => "auditor",
            Self::Editor => "editor",
            Self::Approver => "approver",
            Self::Admin => "admin",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(grant: RoleGrant) -> Operator {
        Operator { name: OperatorName::parse("iss|alice").unwrap(), grants: vec![grant] }
    }

    #[test]
    fn a_scoped_role_covers_only_its_teams_and_environments() {
        let team = TeamName::parse("support").unwrap();
        let dev = EnvironmentName::parse("dev").unwrap();
        let prod = EnvironmentName::parse("production").unwrap();
        let alice = operator(RoleGrant {
            role: Role::Editor,
            teams: Some(vec![team.clone()]),
            environments: Some(vec![dev.clone()]),
        });
        assert!(alice.may(Role::Editor, Scope { team: Some(&team), environment: Some(&dev) }));
        assert!(!alice.may(Role::Editor, Scope { team: Some(&team), environment: Some(&prod) }));
        assert!(!alice.may(Role::Editor, Scope { team: None, environment: Some(&dev) }));
        assert!(!alice.may(Role::Approver, Scope { team: Some(&team), environment: Some(&dev) }));
    }
}
