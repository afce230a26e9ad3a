//! Workload mappings: which attested runtime identities are which workload.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Pattern;
use crate::id::{EnvironmentName, TeamName, WorkloadName};
use crate::identity::Attested;

/// One workload and the identities that are it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadSpec {
    /// Its name: the subject that bindings select.
    pub name: WorkloadName,
    /// The environments it may enter.
    pub environments: Vec<EnvironmentName>,
    /// The team that answers for it.
    pub owner: TeamName,
    /// What it is, in a sentence, for reviewers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub purpose: String,
    /// The identities, any of which will do.
    pub identities: Vec<WorkloadIdentity>,
}

/// One identity: every part that is named must hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadIdentity {
    /// The issuer or, for SVIDs, the trust domain (`spiffe://example.org`), exactly as configured.
    pub issuer: String,
    /// The subject; the SPIFFE ID for SVIDs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Pattern>,
    /// Further claims by their path, such as `repository` or `kubernetes.io/namespace`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, Pattern>,
}

impl WorkloadIdentity {
    /// Whether it asks for more than the issuer: an issuer alone would be everybody.
    pub fn is_narrow(&self) -> bool {
        let asks = |pattern: &Pattern| !pattern.matches_all();
        self.subject.as_ref().is_some_and(asks) || self.claims.values().any(asks)
    }

    /// What does not hold, part by part; empty where the identity is this one.
    pub fn differences(&self, attested: &Attested) -> Vec<String> {
        let mut found = Vec::new();
        if *attested.issuer != *self.issuer {
            found.push("issuer".to_owned());
        }
        if self.subject.as_ref().is_some_and(|pattern| !pattern.matches(&attested.subject)) {
            found.push("subject".to_owned());
        }
        for (name, pattern) in &self.claims {
            if !attested.claims.get(name).is_some_and(|value| pattern.matches(value)) {
                found.push(format!("claims.{name}"));
            }
        }
        found
    }
}

impl WorkloadSpec {
    /// Whether the attested identity is this workload.
    pub fn is(&self, attested: &Attested) -> bool {
        self.identities.iter().any(|identity| identity.differences(attested).is_empty())
    }
}
