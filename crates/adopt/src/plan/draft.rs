//! The manifests of a plan, as an operator would write them.

use serde_json::json;
use url::{Host, Url};

use super::{Draft, PlanOptions};
use crate::finding::{Finding, Slot};
use crate::servers::{ServerEntry, Way};

/// The policy of everything that one agent adopts.
pub(super) fn policy(options: &PlanOptions) -> Draft {
    let PlanOptions { environment, owner, agent, .. } = options;
    let name = format!("adopted-{agent}");
    let manifest = format!(
        "kind: Policy\nname: {name}\nenvironment: {environment}\nowner: {owner}\ncedar: |\n  \
         permit (principal, action == Action::\"call_tool\", resource)\n  \
         when {{ principal has agent && principal.agent.name == {} && context.risk != \"destructive\" }};\n",
        json!(agent)
    );
    Draft { object: format!("Policy/{environment}/{name}"), manifest }
}

/// The server and its binding.
pub(super) fn objects(
    name: &str,
    server: &ServerEntry,
    finding: &Finding,
    reference: &str,
    options: &PlanOptions,
) -> Result<[Draft; 2], &'static str> {
    let PlanOptions { environment, owner, agent, .. } = options;
    let route = route(&server.way)?;
    let inject = inject(&finding.place.slot)?;
    let declared = format!(
        "kind: Server\nname: {name}\nenvironment: {environment}\nowner: {owner}\n{route}\
         tools: {{ default_risk: write }}\n"
    );
    let binding = format!("{name}-{agent}");
    let bound = format!(
        "kind: Binding\nname: {binding}\nenvironment: {environment}\nserver: {name}\n\
         actor: {{ agents: [{agent}] }}\nmode: service_account\nsecret: {}\ninject: {inject}\n\
         policy: adopted-{agent}\nrisk: write\nowner: {owner}\n",
        json!(reference)
    );
    Ok([
        Draft { object: format!("Server/{environment}/{name}"), manifest: declared },
        Draft { object: format!("Binding/{environment}/{binding}"), manifest: bound },
    ])
}

fn route(way: &Way) -> Result<String, &'static str> {
    match way {
        Way::Http { url: Some(url), whole: true } => {
            Ok(format!("route: {{ url: {}{} }}\n", json!(url.as_str()), addresses(url)))
        }
        Way::Http { .. } => Err("its address cannot be shown whole: write the server's manifest by hand"),
        Way::Process { command, arguments, variables } => {
            let absolute = command.starts_with('/');
            let program = if absolute { command.clone() } else { format!("/path/to/{command}") };
            let words = std::iter::once(Some(program)).chain(arguments.iter().cloned());
            let shown: Vec<String> = words
                .enumerate()
                .map(|(at, word)| word.unwrap_or_else(|| format!("ARGUMENT-{at}-OF-THE-CONFIGURATION")))
                .collect();
            let others = if variables.len() > 1 {
                format!("  # the client's entry has these variables too: {}\n", variables.join(", "))
            } else {
                String::new()
            };
            Ok(format!(
                "route:\n  # the program as an absolute path on the gateway's machine; allow it under `stdio.commands`\n  \
                 command: {}\n{others}",
                json!(shown)
            ))
        }
        Way::Unknown => Err("how the client reaches this server is not plain: write its manifest by hand"),
    }
}

/// The address guard lets nothing but public addresses through unless the route says so.
fn addresses(url: &Url) -> &'static str {
    let loopback = ", addresses: [loopback]";
    match url.host() {
        Some(Host::Domain("localhost")) => loopback,
        Some(Host::Ipv4(address)) if address.is_loopback() => loopback,
        Some(Host::Ipv6(address)) if address.is_loopback() => loopback,
        Some(Host::Ipv4(address)) if address.is_private() => ", addresses: [private]",
        _ => "",
    }
}

fn inject(slot: &Slot) -> Result<String, &'static str> {
    Ok(match slot {
        Slot::Header { name, before } if before.is_empty() => format!("{{ header: {} }}", json!(name)),
        Slot::Header { name, before } => {
            format!("{{ header: {}, format: {} }}", json!(name), json!(format!("{before}{{secret}}")))
        }
        Slot::Query(name) => format!("{{ query: {} }}", json!(name)),
        Slot::Environment(name) => format!("{{ environment: {} }}", json!(name)),
        Slot::UrlPassword => {
            return Err(
                "the user of the address belongs into `inject: { basic: { user: … } }`: write the binding by hand",
            );
        }
        _ => return Err("no binding can put the value where it stands"),
    })
}
