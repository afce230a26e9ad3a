//! Operators who sign in at an identity provider: their own issuers, audience and cache, so that
//! neither door's token opens the other (DESIGN, section 10.14).

use std::collections::HashMap;
use std::path::PathBuf;

use gateway_core::actor::Groups;
use gateway_core::id::{EnvironmentName, GroupName, OperatorName, TeamName};
use gateway_core::identity::{IdentityError, Presented};
use gateway_core::login::Person;
use gateway_core::operator::{Operator, Role, RoleGrant};
use gateway_core::time::Timestamp;
use serde::Deserialize;
use url::Url;

use super::algorithm::JwtAlgorithm;
use super::config::{
    Basics, IdentityIssue, IssuerConfig, Preset, default_algorithms, default_leeway, default_token_types,
};
use super::rules::{Issuer, IssuerRules};
use super::verifier::{IssuerHealth, Verifier};

/// One issuer whose people may operate the gateway. The fields it shares with [`IssuerConfig`] mean
/// the same.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorIssuerConfig {
    /// Its identifier.
    pub issuer: String,
    /// Where its keys are; found by discovery where absent.
    #[serde(default)]
    pub jwks_url: Option<Url>,
    /// PEM file of the only certificate authorities to trust for it.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The proxy to reach it through.
    #[serde(default)]
    pub proxy: Option<Url>,
    /// The algorithms it may sign with.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<JwtAlgorithm>,
    /// The control plane's own audience; never one of the data plane.
    pub audience: String,
    /// The claim with the stable id of the subject.
    #[serde(default)]
    pub subject_claim: Option<String>,
    /// The claim with the groups.
    #[serde(default)]
    pub groups_claim: Option<String>,
    /// The identity provider's own ways.
    #[serde(default)]
    pub preset: Option<Preset>,
    /// How far clocks may differ, in seconds.
    #[serde(default = "default_leeway")]
    pub leeway_seconds: u32,
    /// The token types taken.
    #[serde(default = "default_token_types")]
    pub token_types: Vec<String>,
    /// Who has which role.
    pub roles: Vec<RoleMapping>,
}

/// A role for the members of a group, or for one person.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleMapping {
    /// The role.
    pub role: Role,
    /// The group; exactly one of `group` and `subject` is there.
    #[serde(default)]
    pub group: Option<GroupName>,
    /// The person's subject.
    #[serde(default)]
    pub subject: Option<String>,
    /// The teams whose objects it covers; absent means all.
    #[serde(default)]
    pub teams: Option<Vec<TeamName>>,
    /// The environments it covers; absent means all.
    #[serde(default)]
    pub environments: Option<Vec<EnvironmentName>>,
}

impl OperatorIssuerConfig {
    fn basics(&self) -> Basics<'_> {
        Basics {
            issuer: &self.issuer,
            jwks_url: self.jwks_url.as_ref(),
            algorithms: &self.algorithms,
            subject_claim: self.subject_claim.as_deref(),
            preset: self.preset,
            workloads: false,
            leeway_seconds: self.leeway_seconds,
            token_types: &self.token_types,
        }
    }

    fn issues(&self) -> Vec<IdentityIssue> {
        let basics = self.basics();
        let mut found = basics.issues();
        if self.preset.is_some_and(Preset::is_of_workloads) {
            found.push(basics.issue("preset", "is of an issuer that vouches for runtimes, not people", None));
        }
        if self.audience.is_empty() {
            found.push(basics.issue("audience", "must not be empty", None));
        }
        if self.roles.is_empty() {
            found.push(basics.issue("roles", "must not be empty", Some("nobody could do anything")));
        }
        let by_group = self.roles.iter().any(|role| role.group.is_some());
        if by_group && self.groups_claim.is_none() && self.preset.is_none() {
            found.push(basics.issue("groups_claim", "is missing: roles go by group", Some("name the claim")));
        }
        for role in &self.roles {
            if role.group.is_some() == role.subject.is_some() {
                found.push(basics.issue("roles", "each needs exactly one of `group` and `subject`", None));
            }
        }
        found
    }
}

/// Every mistake in the operators' issuers, and every audience that would open both doors.
pub fn validate_doors(
    issuers: &[IssuerConfig],
    operators: &[OperatorIssuerConfig],
    public_url: &Url,
) -> Vec<IdentityIssue> {
    let mut found: Vec<IdentityIssue> = Vec::new();
    let agents: Vec<String> = issuers
        .iter()
        .filter_map(|config| config.audiences(public_url).ok())
        .flatten()
        .map(|audience| audience.value)
        .collect();
    let mut seen: Vec<&str> = Vec::new();
    for config in operators {
        found.extend(config.issues());
        if seen.contains(&config.issuer.as_str()) {
            found.push(config.basics().issue("issuer", "is configured twice", None));
        }
        seen.push(&config.issuer);
        if agents.contains(&config.audience) {
            let message = "is an audience of the data plane too: one token would open both doors";
            found.push(config.basics().issue("audience", message, Some("use a value of its own")));
        }
    }
    found
}

/// Authenticates operators by the JWTs of their issuers.
#[derive(Debug)]
pub struct OidcOperators {
    verifier: Verifier,
    roles: HashMap<String, Vec<RoleMapping>>,
}

impl OidcOperators {
    /// Makes an authenticator. Check [`validate_doors`] first for what concerns both doors.
    ///
    /// # Errors
    /// Every mistake in the configuration.
    pub fn new(issuers: &[OperatorIssuerConfig]) -> Result<Self, Vec<IdentityIssue>> {
        let issues: Vec<_> = issuers.iter().flat_map(OperatorIssuerConfig::issues).collect();
        if !issues.is_empty() {
            return Err(issues);
        }
        let made = issuers.iter().map(|config| {
            let basics = config.basics();
            let audiences = HashMap::from([(config.audience.clone(), Vec::new())]);
            let rules = IssuerRules::new(&basics, config.groups_claim.as_ref(), audiences);
            Issuer::new(rules, &basics, config.ca_file.as_ref(), config.proxy.as_ref())
        });
        let verifier = Verifier::new(made)?;
        let roles = issuers.iter().map(|config| (config.issuer.clone(), config.roles.clone())).collect();
        Ok(Self { verifier, roles })
    }

    /// The operator behind the token, with the roles that the mapping gives. Somebody without any role
    /// is a known person who may do nothing.
    ///
    /// # Errors
    /// Why the token is not accepted; [`IdentityError::Claims`] where it speaks for no person.
    pub async fn authenticate(
        &self,
        presented: &Presented,
        now: Timestamp,
    ) -> Result<Operator, IdentityError> {
        let identity = self.verifier.verify(presented, now).await?;
        let claims = identity.claims();
        let user = claims.user.as_ref().ok_or(IdentityError::Claims)?;
        let name = OperatorName::parse(&user.to_string()).map_err(|_| IdentityError::Claims)?;
        Ok(Operator { name, grants: self.grants(&claims.issuer, &claims.subject, &claims.groups) })
    }

    /// Fetches keys that are no longer fresh; see [`super::OidcVerifier::refresh_stale`].
    pub async fn refresh_stale(&self, now: Timestamp) {
        self.verifier.refresh_stale(now).await;
    }

    /// Fetches every issuer's keys now.
    pub async fn probe(&self, now: Timestamp) -> Vec<IssuerHealth> {
        self.verifier.probe(now).await
    }

    /// The operator that a person is who has just logged in by the browser at one of the issuers; absent where the
    /// issuer is none of them, or no role is mapped to the person.
    pub fn of_person(&self, person: &Person) -> Option<Operator> {
        let name = OperatorName::parse(&person.user.to_string()).ok()?;
        let grants = self.grants(&person.user.issuer, &person.user.subject, &person.groups);
        (!grants.is_empty()).then_some(Operator { name, grants })
    }

    fn grants(&self, issuer: &str, person: &str, groups: &Groups) -> Vec<RoleGrant> {
        let mappings = self.roles.get(issuer).map(Vec::as_slice).unwrap_or_default();
        let held = mappings.iter().filter(|mapping| match (&mapping.group, &mapping.subject) {
            (Some(group), None) => groups.contains(group),
            (None, Some(subject)) => subject == person,
            _ => false,
        });
        held.map(|mapping| RoleGrant {
            role: mapping.role,
            teams: mapping.teams.clone(),
            environments: mapping.environments.clone(),
        })
        .collect()
    }
}
