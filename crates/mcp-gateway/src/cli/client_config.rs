//! `client-config`: what to paste into a client so that it reaches a server through the gateway.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, ValueEnum};
use gateway_adopt::{Client, ClientConfiguration, Door, Login, client_configuration};
use gateway_core::id::{EnvironmentName, ServerName};
use serde_json::json;
use url::Url;

use super::failure::{Exit, Failure};
use super::print::Output;
use super::session::{InEnvironment, Session};
use crate::config;

/// For whom, and for what.
#[derive(Args, Debug)]
pub(super) struct ClientConfigArguments {
    /// The client
    #[arg(long = "for", value_name = "CLIENT", value_parser = clients())]
    client: Client,
    /// The server, as `ENVIRONMENT/SERVER`
    #[arg(value_name = "ENVIRONMENT/SERVER")]
    server: InEnvironment,
    /// The gateway's configuration, which says its public URL and whether people can log in
    #[arg(long, value_name = "FILE", conflicts_with_all = ["gateway"])]
    config: Option<PathBuf>,
    /// The gateway's public URL
    #[arg(long, value_name = "URL", requires = "way")]
    gateway: Option<Url>,
    /// How the client gets its token; by default what the configuration offers
    #[arg(long, value_enum, group = "way")]
    login: Option<LoginWay>,
    /// For a client that only speaks stdio: it starts `mcp-gateway connect`, which logs the person in
    #[arg(long, group = "way")]
    stdio: bool,
    /// The name under which the client shows the server; the server's own where absent
    #[arg(long, value_name = "NAME")]
    name: Option<ServerName>,
}

/// How a client gets its token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum LoginWay {
    /// The person logs in by the browser (OAuth)
    Browser,
    /// An agent's token, from a variable or a private file
    Token,
}

fn clients() -> impl clap::builder::TypedValueParser<Value = Client> {
    PossibleValuesParser::new(Client::ALL.map(Client::word))
        .try_map(|word| Client::from_word(&word).ok_or("no such client"))
}

/// Prints it: the text to standard output, what to do with it to standard error.
pub(super) fn run(session: &mut Session, arguments: &ClientConfigArguments) -> Result<Exit, Failure> {
    let environment = EnvironmentName::parse(&arguments.server.environment).map_err(Failure::usage)?;
    let server = ServerName::parse(&arguments.server.name).map_err(Failure::usage)?;
    let (gateway, login) = arguments.reach()?;
    let url = door(gateway, environment.as_str(), server.as_str())?;
    let name = arguments.name.as_ref().unwrap_or(&server).to_string();
    let made = client_configuration(arguments.client, &Door { url, name }, login);
    show(session, &made);
    Ok(Exit::Ok)
}

impl ClientConfigArguments {
    fn reach(&self) -> Result<(Url, Login), Failure> {
        let asked = self.login.map(|way| match way {
            LoginWay::Browser => Login::Browser,
            LoginWay::Token => Login::Token,
        });
        let asked = if self.stdio { Some(Login::Stdio) } else { asked };
        if let Some(gateway) = &self.gateway {
            return Ok((gateway.clone(), asked.unwrap_or(Login::Token)));
        }
        let hint =
            "or name the gateway yourself: `--gateway URL --login browser|token`, or `--gateway URL --stdio`";
        let Some(file) = &self.config else {
            return Err(Failure::usage("say which gateway: `--config gateway.yaml`").hint(hint));
        };
        let config = config::load(file).map_err(|problems| super::manifests::wrong(&problems))?;
        let offered = config.login.as_ref().is_some_and(|login| login.clients.is_some());
        match asked {
            Some(Login::Browser | Login::Stdio) if !offered => {
                Err(Failure::usage("this gateway has no login for people's clients")
                    .hint("add `login.clients` to its configuration (docs/login.md)"))
            }
            Some(login) => Ok((config.public_url, login)),
            None => Ok((config.public_url, if offered { Login::Browser } else { Login::Token })),
        }
    }
}

fn door(mut gateway: Url, environment: &str, server: &str) -> Result<Url, Failure> {
    let refused = "the gateway's URL is http:// or https://, without user information, query or fragment";
    let plain = matches!(gateway.scheme(), "http" | "https")
        && gateway.username().is_empty()
        && gateway.password().is_none()
        && gateway.query().is_none()
        && gateway.fragment().is_none();
    match gateway.path_segments_mut() {
        Ok(mut segments) if plain => {
            segments.pop_if_empty().extend(["mcp", environment, server]);
        }
        _ => return Err(Failure::usage(refused)),
    }
    Ok(gateway)
}

fn show(session: &mut Session, made: &ClientConfiguration) {
    if session.printer.output() == Output::Json {
        session.printer.json(&json!({"file": made.file, "text": made.text, "steps": made.steps}));
        return;
    }
    session.printer.note(&format!("merge this into {}:", made.file));
    session.printer.bytes(made.text.as_bytes());
    for step in &made.steps {
        session.printer.note(&format!("- {step}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_server_is_built_from_its_parts() {
        let made = |gateway: &str| door(Url::parse(gateway).unwrap(), "dev", "github").map(String::from);
        assert_eq!(made("https://mcp.example.com").unwrap(), "https://mcp.example.com/mcp/dev/github");
        assert_eq!(made("http://127.0.0.1:8080/").unwrap(), "http://127.0.0.1:8080/mcp/dev/github");
        for bad in ["https://a:b@h", "https://h?x=1", "ftp://h", "mailto:a"] {
            assert!(made(bad).is_err(), "{bad}");
        }
    }
}
