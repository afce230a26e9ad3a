//! `provider …`: what is declared, and a draft of what could be.
//!
//! `discover` runs on the operator's machine and not in the gateway: whom a server names is a stranger's word,
//! and the gateway connects to nobody whom no approver has signed. It prints a manifest and applies nothing.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use gateway_adapters::source::provider::{
    Advertised, AdvertisedError, AuthorizationServer, Reach, advertised,
};
use gateway_core::client::CALLBACK_PATH;
use gateway_core::id::{EnvironmentName, ProviderName, TeamName};
use gateway_core::manifest::{AddressScope, Kind};
use gateway_proxy::mcp::challenge::resource_metadata;
use serde_json::{Value, json};
use url::Url;

use super::binding::items;
use super::failure::{Exit, Failure};
use super::object::{self, GetArguments, ListArguments, ReadCommand};
use super::pick::{list, text};
use super::print::Output;
use super::session::{InEnvironment, Session};
use super::wiring;

/// What to do with providers.
#[derive(Subcommand, Debug)]
pub(super) enum ProviderCommand {
    /// List them
    List(ListArguments),
    /// Show one
    Get(GetArguments),
    /// Read what an MCP server says about who issues its tokens, and print manifests to review and apply
    Discover(Box<DiscoverArguments>),
}

/// Which server is asked, and what is drafted.
#[derive(Args, Debug)]
pub(super) struct DiscoverArguments {
    /// A registered server
    #[arg(long, value_name = "ENVIRONMENT/NAME", required_unless_present = "url", conflicts_with = "url")]
    server: Option<InEnvironment>,
    /// The address of a server that is not registered
    #[arg(long, value_name = "URL", requires = "environment", requires = "owner")]
    url: Option<Url>,
    /// The environment of the provider; by default the server's
    #[arg(long)]
    environment: Option<EnvironmentName>,
    /// The team that answers for the provider; by default the server's
    #[arg(long, value_name = "TEAM")]
    owner: Option<TeamName>,
    /// The provider's name; by default the host of its issuer
    #[arg(long)]
    name: Option<ProviderName>,
    /// The client id that the gateway has there, where somebody registered it: the first choice
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// A kind of address beyond public ones that may be connected to: loopback, private, link-local; may be
    /// repeated
    #[arg(long, value_name = "KIND", value_parser = scope)]
    addresses: Vec<AddressScope>,
    /// PEM file of the only certificate authorities to trust for the server and those whom it names
    #[arg(long, value_name = "FILE")]
    trust_file: Option<PathBuf>,
}

fn scope(word: &str) -> Result<AddressScope, &'static str> {
    serde_json::from_value(word.into()).map_err(|_| "the kinds are loopback, private and link-local")
}

/// Runs one of them.
pub(super) fn run(session: &mut Session, command: ProviderCommand) -> Result<Exit, Failure> {
    match command {
        ProviderCommand::List(arguments) => {
            object::read(session, Kind::Provider, &ReadCommand::List(arguments))
        }
        ProviderCommand::Get(arguments) => {
            object::read(session, Kind::Provider, &ReadCommand::Get(arguments))
        }
        ProviderCommand::Discover(arguments) => discover(session, &arguments),
    }
}

/// The server that is asked, and what its manifest says for the draft.
struct Asked {
    url: Url,
    environment: String,
    owner: String,
    addresses: Vec<AddressScope>,
}

fn discover(session: &mut Session, arguments: &DiscoverArguments) -> Result<Exit, Failure> {
    let asked = match (&arguments.server, &arguments.url) {
        (Some(server), _) => registered(session, server)?,
        (None, Some(url)) => Asked {
            url: url.clone(),
            environment: String::new(),
            owner: String::new(),
            addresses: Vec::new(),
        },
        (None, None) => return Err(Failure::usage("name a `--server` or a `--url`")),
    };
    let asked = asked.overridden(arguments);
    let reach = Reach { addresses: asked.addresses.clone(), ca_file: arguments.trust_file.clone() };
    let told = wiring::runtime()?.block_on(advertised(&asked.url, &reach, resource_metadata));
    let told = told.map_err(|error| nothing(&error))?;
    let drafts = Draft::all(&asked, arguments, &told);
    let refused: Vec<Value> = told.authorization_servers.iter().filter_map(refusal).collect();
    let document = json!({
        "resource": told.resource,
        "scopes": told.scopes,
        "drafts": drafts.iter().map(|draft| json!({"spec": draft.spec, "notes": draft.notes})).collect::<Vec<_>>(),
        "refused": refused,
    });
    match session.printer.output() {
        Output::Json => session.printer.json(&document),
        Output::Table | Output::Markdown => {
            for draft in &drafts {
                session.printer.text(&draft.manifest()?);
            }
        }
    }
    for one in &refused {
        session.printer.note(&format!("{} is of no use: {}", text(one, "/issuer"), text(one, "/because")));
    }
    Ok(if drafts.is_empty() { Exit::Refused } else { Exit::Ok })
}

impl Asked {
    fn overridden(mut self, arguments: &DiscoverArguments) -> Self {
        if let Some(environment) = &arguments.environment {
            self.environment = environment.to_string();
        }
        if let Some(owner) = &arguments.owner {
            self.owner = owner.to_string();
        }
        if !arguments.addresses.is_empty() {
            self.addresses.clone_from(&arguments.addresses);
        }
        self
    }
}

/// A registered server's address, from the gateway.
fn registered(session: &Session, wanted: &InEnvironment) -> Result<Asked, Failure> {
    let query = [("environment", wanted.environment.clone())];
    let answer = session.client()?.every(&["servers"], &query)?;
    let named = |one: &&Value| {
        (text(one, "/spec/environment"), text(one, "/spec/name"))
            == (wanted.environment.clone(), wanted.name.clone())
    };
    let found = items(&answer).iter().find(named);
    let found = found.ok_or_else(|| {
        Failure::new(Exit::Refused, format!("there is no server `{wanted}` that you may see"))
    })?;
    let url = text(found, "/spec/route/url").parse();
    let url = url.map_err(|_| Failure::usage(format!("server `{wanted}` is not reached over HTTP")))?;
    let addresses = list(found, "/spec/route/addresses").iter();
    let addresses = addresses.filter_map(|word| serde_json::from_value(word.clone()).ok()).collect();
    Ok(Asked { url, environment: wanted.environment.clone(), owner: text(found, "/spec/owner"), addresses })
}

fn nothing(error: &AdvertisedError) -> Failure {
    let hint = match error {
        AdvertisedError::Unreachable(_) => {
            "the server must be reachable from this machine; name what is not public with `--addresses`, and a \
             private authority with `--trust-file`"
        }
        AdvertisedError::Resource { .. } => {
            "the route must be written exactly as the server calls itself, or the server's metadata is wrong"
        }
        _ => {
            "ask the server's owner which authorization server issues its tokens, and declare that one by hand"
        }
    };
    let exit = match error {
        AdvertisedError::Unreachable(_) => Exit::NoAnswer,
        _ => Exit::Refused,
    };
    Failure::new(exit, error).hint(hint)
}

fn refusal((issuer, said): &(String, Result<AuthorizationServer, AdvertisedError>)) -> Option<Value> {
    let because = said.as_ref().err()?.to_string();
    Some(json!({"issuer": issuer, "because": because}))
}

/// A manifest that nobody has approved.
struct Draft {
    spec: Value,
    notes: Vec<String>,
}

impl Draft {
    fn all(asked: &Asked, arguments: &DiscoverArguments, told: &Advertised) -> Vec<Self> {
        let usable: Vec<_> =
            told.authorization_servers.iter().filter_map(|(_, said)| said.as_ref().ok()).collect();
        let alone = usable.len() == 1;
        let draft = |server: &&AuthorizationServer| {
            let given = arguments.name.as_ref().filter(|_| alone).map(ToString::to_string);
            let name = given.unwrap_or_else(|| name_of(&server.issuer));
            Self::of(asked, arguments.client_id.as_deref().filter(|_| alone), told, server, &name)
        };
        usable.iter().map(draft).collect()
    }

    fn of(
        asked: &Asked,
        client_id: Option<&str>,
        told: &Advertised,
        server: &AuthorizationServer,
        name: &str,
    ) -> Self {
        let mut notes = vec![format!("Drafted from what {} says. Nobody has approved it.", asked.url)];
        let client = client(client_id, server, &mut notes);
        let mut spec = json!({
            "kind": "Provider", "name": name, "environment": asked.environment, "owner": asked.owner,
            "issuer": server.issuer, "client": client,
        });
        let fields = [
            ("origins", json!(server.origins), !server.origins.is_empty()),
            ("addresses", json!(asked.addresses), !asked.addresses.is_empty()),
        ];
        for (field, value, there) in fields {
            if let (true, Some(spec)) = (there, spec.as_object_mut()) {
                spec.insert(field.to_owned(), value);
            }
        }
        if !server.origins.is_empty() {
            notes.push(
                "origins: its endpoints are not all at the issuer's origin. Is each of these its own?".into(),
            );
        }
        notes.push(
            "grants: add a place in a store that takes values (STORE://PATH), for what users grant.".into(),
        );
        if !server.offers_s256 {
            notes.push("It offers no PKCE with S256: the gateway sends nobody there.".into());
        }
        if !server.sends_issuer {
            notes.push("It does not promise `iss` in its answers (RFC 9207).".into());
        }
        if !server.revokes {
            notes.push("It takes no tokens back (RFC 7009): they hold until they expire.".into());
        }
        let scopes = told.scopes.join(", ");
        notes.push(format!(
            "A binding: source: {{ grant: {{ provider: {name}, scopes: [{scopes}], resource: \"{}\" }} }}",
            told.resource
        ));
        Self { spec, notes }
    }

    /// The manifest as YAML, the notes as comments in front.
    fn manifest(&self) -> Result<String, Failure> {
        let yaml = serde_saphyr::to_string(&self.spec).map_err(|error| {
            Failure::new(Exit::Refused, "the draft cannot be written as YAML").because(&error)
        })?;
        let mut manifest = String::from("---\n");
        for note in &self.notes {
            // A server's words must not become lines of the manifest.
            let line: String = note.chars().filter(|one| !one.is_control()).collect();
            manifest.push_str(&format!("# {line}\n"));
        }
        manifest.push_str(&yaml);
        Ok(manifest)
    }
}

/// Registered by hand where somebody did, else by the gateway's document, else by the gateway itself (MCP
/// 2025-11-25, Authorization, "Client Registration Approaches").
fn client(client_id: Option<&str>, server: &AuthorizationServer, notes: &mut Vec<String>) -> Value {
    if let Some(id) = client_id {
        notes.push("client: name under `authentication` how the gateway proves itself, if the client has a secret or a key.".into());
        return json!({ "id": id });
    }
    if server.reads_documents {
        notes.push(
            "client: it reads the gateway's client document; the gateway's `public_url` must be https."
                .into(),
        );
        return json!({ "registration": "metadata_document" });
    }
    if server.registers {
        notes.push(
            "client: the gateway registers itself there once; the registration is kept under `grants`."
                .into(),
        );
        return json!({ "registration": "dynamic" });
    }
    notes.push(format!(
        "client: register the gateway there by hand, with the redirect URI PUBLIC_URL{CALLBACK_PATH}, and write the id here."
    ));
    json!({ "id": "" })
}

/// A name for a provider, of its issuer's host.
fn name_of(issuer: &str) -> String {
    let host = Url::parse(issuer).ok().and_then(|url| url.host_str().map(str::to_ascii_lowercase));
    let slug: String = host
        .unwrap_or_default()
        .chars()
        .map(|one| if one.is_ascii_alphanumeric() { one } else { '-' })
        .collect();
    ProviderName::parse(slug.trim_matches('-'))
        .map_or_else(|_| "provider".to_owned(), |name| name.to_string())
}

#[cfg(test)]
mod tests;
