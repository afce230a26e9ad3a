//! The manifests that the demo applies, as an operator would write them.

use std::fmt;

use url::Url;

use super::failure::Failure;
use crate::config::manifest::{Source, parse};

/// A place in a store of the gateway's own.
pub(super) struct Place {
    pub(super) store: &'static str,
    pub(super) path: &'static str,
    pub(super) field: &'static str,
}

/// Where the adopted key lives, in the development store.
pub(super) const ADOPTED: Place = Place { store: "local", path: "issues/adopted", field: "key" };
/// Where production's key lives, in production's own store.
pub(super) const RELEASE: Place = Place { store: "local-production", path: "issues/release", field: "key" };

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}#{}", self.store, self.path, self.field)
    }
}

/// The adoption: one server, its agents, one policy, two bindings.
pub(super) fn development(url: &Url, header: &str, format: &str) -> String {
    format!(
        r#"kind: Environment
name: dev
tier: dev
---
kind: Server
name: issues
environment: dev
owner: support
route: {{ url: "{url}", addresses: [loopback] }}
tools:
  default_risk: write
  echo: read
  whoami: read
  leak: read
  slow: read
  list_issues: read
  delete_everything: destructive
---
kind: Agent
name: triage-bot
environments: [dev]
owner: support
purpose: sorts incoming issues
risk_ceiling: write
proofs: [agent_token]
---
kind: Agent
name: report-bot
environments: [dev]
owner: support
purpose: writes the weekly report
risk_ceiling: read
proofs: [agent_token]
---
kind: Agent
name: stray-bot
environments: [dev]
owner: marketing
purpose: has no binding for this server
risk_ceiling: read
proofs: [agent_token]
---
kind: Policy
name: issue-triage
environment: dev
owner: support
cedar: |
  permit (principal, action == Action::"call_tool", resource)
  when {{ principal has agent && principal.agent.owner_team == "support" && context.risk_level < 2 }};
---
kind: Binding
name: issues-triage
environment: dev
server: issues
tools: [echo, whoami, leak, slow, list_issues, add_comment]
actor: {{ agents: [triage-bot] }}
mode: service_account
secret: {ADOPTED}
inject: {{ header: {header}, format: "{format}" }}
policy: issue-triage
risk: write
owner: support
review_by: 2027-03-01
---
kind: Binding
name: issues-report
environment: dev
server: issues
tools: [whoami, list_issues]
actor: {{ agents: [report-bot] }}
mode: service_account
secret: {ADOPTED}
inject: {{ header: {header}, format: "{format}" }}
policy: issue-triage
risk: read
owner: support
"#
    )
}

/// Production: its own server, agent, policy and binding, with the exceptions that a demo on one
/// machine needs, each with its reason.
pub(super) fn production(url: &Url) -> String {
    format!(
        r#"kind: Environment
name: production
tier: production
approvals: 1
agent_tokens: true
---
kind: Server
name: issues
environment: production
owner: support
route: {{ url: "{url}", addresses: [loopback] }}
tools: {{ default_risk: write, whoami: read, list_issues: read, delete_everything: destructive }}
---
kind: Agent
name: release-bot
environments: [production]
owner: support
purpose: reads the issues of a release
risk_ceiling: read
proofs: [agent_token]
---
kind: Policy
name: release-notes
environment: production
owner: support
cedar: |
  permit (principal, action == Action::"call_tool", resource)
  when {{ principal has agent && principal.agent.owner_team == "support" && context.risk_level == 0 }};
---
kind: Binding
name: issues-release
environment: production
server: issues
tools: [whoami, list_issues]
actor: {{ agents: [release-bot] }}
mode: service_account
secret: {RELEASE}
inject: {{ header: Authorization, format: "Bearer {{secret}}" }}
policy: release-notes
risk: read
owner: support
review_by: 2027-03-01
exceptions:
  - {{ rule: local_store, reason: "a demo on one machine has no secret store of an enterprise" }}
  - {{ rule: process_durability, reason: "a demo need not survive a power cut" }}
"#
    )
}

/// The manifests as the control API takes them.
pub(super) fn specs(name: &str, text: &str) -> Result<serde_json::Value, Failure> {
    let source = Source { name: name.to_owned(), text: text.to_owned() };
    let manifests = parse(&[source]).map_err(|problems| Failure::at("the demo's manifests", problems))?;
    let specs: Vec<_> = manifests.into_iter().map(|manifest| manifest.spec).collect();
    Ok(serde_json::to_value(specs)?)
}
