//! What a verified token attests, and what follows from it: mappings, agents and bindings.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Difference;
use crate::audit::BindingRevision;
use crate::id::{AgentName, EnvironmentName, ServerName, WorkloadName};
use crate::identity::{Attested, VerifiedIdentity};
use crate::manifest::{CredentialMode, WorkloadIdentity};
use crate::snapshot::{EnvironmentView, Snapshot};
use crate::time::Timestamp;

/// The whole story of one attested identity.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct WorkloadExplanation {
    /// The issuer, or the trust domain.
    pub issuer: String,
    /// The subject.
    pub subject: String,
    /// Whether the issuer vouches for runtimes; otherwise no mapping can match.
    pub attested: bool,
    /// The claims that mappings are matched against, by their path.
    pub claims: BTreeMap<String, String>,
    /// When the proof ends.
    pub expires_at: Timestamp,
    /// Every mapping, and what differs.
    pub mappings: Vec<ExplainedMapping>,
    /// What it comes to in each environment.
    pub environments: Vec<ExplainedEnvironment>,
}

/// One mapping.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ExplainedMapping {
    /// The workload.
    pub workload: WorkloadName,
    /// Where it may enter.
    pub environments: Vec<EnvironmentName>,
    /// Whether one of its identities is this one.
    pub matches: bool,
    /// What differs from each of its identities; nothing where that one is it.
    pub identities: Vec<Vec<Difference>>,
}

/// What the identity comes to in one environment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ExplainedEnvironment {
    /// The environment.
    pub environment: EnvironmentName,
    /// Whether the token's audience opens it.
    pub opened: bool,
    /// The workload it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadName>,
    /// The agent that it proves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// What stands in the way, in words.
    pub because: Vec<String>,
    /// The bindings whose selector it meets.
    pub bindings: Vec<SelectedBinding>,
}

/// A binding that serves the identity.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SelectedBinding {
    /// The server.
    pub server: ServerName,
    /// The binding.
    pub binding: BindingRevision,
    /// How it obtains the credential.
    pub mode: CredentialMode,
}

/// Explains what was verified, in all environments or in one.
pub fn explain_workload(
    snapshot: &Snapshot,
    identity: &VerifiedIdentity,
    environment: Option<&EnvironmentName>,
    now: Timestamp,
) -> WorkloadExplanation {
    let claims = identity.claims();
    let attested = claims.attested.as_deref();
    let here = |name: &EnvironmentName| environment.is_none_or(|wanted| wanted == name);
    let mut mappings: Vec<ExplainedMapping> = snapshot
        .workloads()
        .filter(|workload| workload.environments.iter().any(here))
        .map(|workload| ExplainedMapping {
            workload: workload.name.clone(),
            environments: workload.environments.clone(),
            matches: attested.is_some_and(|attested| workload.is(attested)),
            identities: workload.identities.iter().map(|identity| differences(identity, attested)).collect(),
        })
        .collect();
    mappings.sort_by(|one, other| one.workload.cmp(&other.workload));
    let views = snapshot.environments().filter(|view| here(&view.spec.name));
    let mut environments: Vec<ExplainedEnvironment> =
        views.map(|view| within(snapshot, view, identity, &mappings, now)).collect();
    environments.sort_by(|one, other| one.environment.cmp(&other.environment));
    WorkloadExplanation {
        issuer: claims.issuer.to_string(),
        subject: claims.subject.to_string(),
        attested: attested.is_some(),
        claims: attested.map(|attested| attested.claims.clone()).unwrap_or_default(),
        expires_at: claims.expires_at,
        mappings,
        environments,
    }
}

/// What differs, part by part, with what was found.
fn differences(identity: &WorkloadIdentity, attested: Option<&Attested>) -> Vec<Difference> {
    let Some(attested) = attested else {
        return vec![Difference { part: "issuer".to_owned(), wanted: identity.issuer.clone(), found: None }];
    };
    let told = |part: String| {
        let (wanted, found) = match part.strip_prefix("claims.") {
            Some(name) => (
                identity.claims.get(name).map(ToString::to_string),
                attested.claims.get(name).map(String::as_str),
            ),
            None if part == "subject" => {
                (identity.subject.as_ref().map(ToString::to_string), Some(&*attested.subject))
            }
            None => (Some(identity.issuer.clone()), Some(&*attested.issuer)),
        };
        Difference { part, wanted: wanted.unwrap_or_default(), found: found.map(str::to_owned) }
    };
    identity.differences(attested).into_iter().map(told).collect()
}

fn within(
    snapshot: &Snapshot,
    view: &EnvironmentView,
    identity: &VerifiedIdentity,
    mappings: &[ExplainedMapping],
    now: Timestamp,
) -> ExplainedEnvironment {
    let environment = &view.spec.name;
    let actor = snapshot.actor(identity, environment);
    let opened = identity.claims().entries.iter().any(|entry| entry.environment == *environment);
    let mut because = Vec::new();
    if !opened {
        because.push("no audience of the token opens this environment".to_owned());
    }
    let matching: Vec<&str> = mappings
        .iter()
        .filter(|mapping| mapping.matches && mapping.environments.contains(environment))
        .map(|mapping| mapping.workload.as_str())
        .collect();
    match matching.as_slice() {
        [] => because.push("no mapping of this environment matches".to_owned()),
        [_] => {}
        several => because.push(format!(
            "{} match at once, which is nobody: make their identities exclude one another",
            several.join(" and ")
        )),
    }
    let mut bindings: Vec<SelectedBinding> = Vec::new();
    for server in view.servers().filter(|_| opened) {
        let name = &server.spec.name;
        let enters = identity.claims().entries.iter().any(|entry| entry.opens(environment, name));
        let serving = server
            .bindings
            .iter()
            .filter(|binding| enters && binding.holds_at(now) && binding.spec.actor.matches(&actor));
        bindings.extend(serving.map(|binding| SelectedBinding {
            server: name.clone(),
            binding: binding.name_at_revision(),
            mode: binding.spec.mode,
        }));
    }
    bindings
        .sort_by(|one, other| (&one.server, &one.binding.name).cmp(&(&other.server, &other.binding.name)));
    if opened && bindings.is_empty() {
        because.push("no active binding serves it".to_owned());
    }
    ExplainedEnvironment {
        environment: environment.clone(),
        opened,
        workload: actor.workload,
        agent: actor.agent,
        because,
        bindings,
    }
}
