//! SPIFFE trust domains, and the certificates that the agents' listener takes.

use gateway_adapters::identity::validate_trust_domains;
use gateway_core::spiffe::TrustDomain;

use super::ClientCertificates;
use super::issue::{Findings, IssueCode};
use super::raw::RawConfig;
use super::yaml::Node;

/// Judges the trust domains.
pub(super) fn trust_domains(raw: &RawConfig, document: &Node, findings: &mut Findings) {
    let configured = &raw.identity.trust_domains;
    for issue in validate_trust_domains(configured, &raw.identity.issuers, &raw.public_url) {
        // Of two entries for one trust domain, the last is the one too many.
        let of = |name: &str| issue.issuer.strip_prefix("spiffe://") == Some(name);
        let index = configured.iter().rposition(|domain| of(&domain.trust_domain)).unwrap_or_default();
        let place = document.place_of(&format!("identity.trust_domains[{index}].{}", issue.field));
        // A value in the message would be repeated: only the field is named.
        let message = match issue.field {
            "audiences" if issue.message.contains('`') => "cannot be used with the other entries",
            _ => issue.message.as_str(),
        };
        let added = findings.add(place, IssueCode::InvalidValue, format!("`{}` {message}", issue.field));
        if let Some(hint) = issue.hint {
            added.hint(hint);
        }
    }
    let Some(served) = &raw.environments else { return };
    for (index, domain) in configured.iter().enumerate() {
        if domain.audiences.iter().any(|audience| !served.contains(&audience.environment)) {
            let place = document.place_of(&format!("identity.trust_domains[{index}]"));
            let message = "an audience opens an environment that this process does not serve";
            findings.add(place, IssueCode::EnvironmentMismatch, message);
        }
    }
}

/// Judges `tls.clients`.
pub(super) fn clients(
    raw: &RawConfig,
    document: &Node,
    findings: &mut Findings,
) -> Option<ClientCertificates> {
    let clients = raw.tls.as_ref()?.clients.as_ref()?;
    if clients.trust_domains.is_empty() {
        let place = document.place_of("tls.clients.trust_domains");
        findings.add(place, IssueCode::InvalidValue, "names no trust domain");
    }
    let mut named = Vec::new();
    for (index, name) in clients.trust_domains.iter().enumerate() {
        let known = raw.identity.trust_domains.iter().any(|domain| domain.trust_domain == *name);
        match TrustDomain::parse(name) {
            Ok(domain) if known => named.push(domain),
            _ => {
                let place = document.place_of(&format!("tls.clients.trust_domains[{index}]"));
                findings
                    .add(place, IssueCode::InvalidValue, "is not configured")
                    .hint("describe the trust domain under `identity.trust_domains`");
            }
        }
    }
    Some(ClientCertificates { trust_domains: named, required: clients.required })
}
