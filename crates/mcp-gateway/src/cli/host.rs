//! What runs on the gateway's own machine: `serve`, `check`, `preflight`, `bootstrap-token`,
//! `rotate-signing-keys`.

use std::path::{Path, PathBuf};

use clap::Args;
use gateway_adapters::signing::Purpose;
use gateway_core::id::{EnvironmentName, ServerName};
use gateway_core::reference::SecretReference;
use serde_json::json;

use super::failure::{Exit, Failure};
use super::manifests;
use super::preflight;
use super::session::{InEnvironment, Session};
use super::view::View;
use super::{policy, wiring};
use crate::app::{PreflightLine, PreflightRequest};
use crate::config::manifest::{Manifest, against_config};
use crate::config::{self, Config};

/// The configuration file.
#[derive(Args, Debug)]
pub(super) struct ConfigFile {
    /// The gateway's configuration
    #[arg(long, value_name = "FILE", default_value = "gateway.yaml")]
    config: PathBuf,
}

/// What is checked.
#[derive(Args, Debug)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Manifests to check against the configuration: files or directories
    #[arg(value_name = "MANIFESTS")]
    manifests: Vec<PathBuf>,
    /// Also ask every store whether it answers and accepts the gateway's login
    #[arg(long)]
    probe: bool,
}

/// What is tried.
#[derive(Args, Debug)]
pub(super) struct PreflightArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// A file with a sample token of a caller: it is verified, and the actor it proves is shown
    #[arg(long, value_name = "FILE")]
    caller_token_file: Option<PathBuf>,
    /// A secret reference: it is resolved, and the value dropped at once
    #[arg(long, requires = "environment", value_parser = SecretReference::parse)]
    reference: Option<SecretReference>,
    /// The environment to resolve the reference in
    #[arg(long, requires = "reference")]
    environment: Option<EnvironmentName>,
    /// An upstream server: it is reached, and greeted by a handshake
    #[arg(long, value_name = "ENVIRONMENT/NAME")]
    server: Option<InEnvironment>,
}

/// Which signing keys make way.
#[derive(Args, Debug)]
pub(super) struct RotateArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// What the keys sign: minted, access-token, actor, assertion or receipt; all where absent
    #[arg(long, value_name = "PURPOSE", value_parser = purpose)]
    purpose: Option<Purpose>,
    /// Somebody else has the keys: withdraw them at once, and every token that they signed
    #[arg(long)]
    compromised: bool,
}

fn purpose(text: &str) -> Result<Purpose, &'static str> {
    let found = Purpose::ALL.into_iter().find(|purpose| purpose.word() == text);
    found.ok_or("the purposes are minted, access-token, actor, assertion, receipt and revocation")
}

impl ConfigFile {
    pub(super) fn load(&self) -> Result<Config, Failure> {
        load(&self.config)
    }
}

fn load(path: &Path) -> Result<Config, Failure> {
    config::load(path).map_err(|problems| manifests::wrong(&problems))
}

/// Serves until the process is told to stop.
pub(super) fn serve(file: &ConfigFile) -> Result<Exit, Failure> {
    wiring::serve(file.load()?)
}

/// Checks configuration and manifests; all problems at once.
pub(super) fn check(session: &mut Session, arguments: &CheckArguments) -> Result<Exit, Failure> {
    let loaded = arguments.config.load();
    let declared =
        if arguments.manifests.is_empty() { Ok(Vec::new()) } else { manifests::read(&arguments.manifests) };
    let (config, declared) = match (loaded, declared) {
        (Ok(config), Ok(declared)) => (config, declared),
        (Err(mut one), Err(other)) => {
            one.details.extend(other.details);
            let count = one.details.len();
            return Err(Failure { details: one.details, ..Failure::usage(format!("{count} problems")) });
        }
        (Err(failure), _) | (_, Err(failure)) => return Err(failure),
    };
    together(&config, &declared)?;
    if arguments.probe {
        session.printer.progress("asking every store …");
        let lines = wiring::probe_stores(&config)?;
        return Ok(match preflight::report(session, &lines) {
            Exit::Ok => Exit::Ok,
            _ => Exit::NoAnswer,
        });
    }
    let answer = json!({"ok": true, "stores": config.stores.len(), "manifests": declared.len()});
    session.printer.show(&answer, |_| {
        let stores = config.stores.len();
        View::default().text(match declared.len() {
            0 => format!("the configuration is usable; stores: {stores}"),
            count => format!("configuration and manifests are usable; stores: {stores}, objects: {count}"),
        })
    });
    Ok(Exit::Ok)
}

/// What only shows where configuration and manifests meet.
fn together(config: &Config, declared: &[Manifest]) -> Result<(), Failure> {
    let issues = against_config(declared, &config.stores, config.environments.as_deref());
    let mut details: Vec<_> = issues.iter().map(manifests::issue_detail).collect();
    details.extend(policy::problems(declared)?);
    if details.is_empty() {
        return Ok(());
    }
    let message =
        if details.len() == 1 { "1 problem".to_owned() } else { format!("{} problems", details.len()) };
    Err(Failure { details, ..Failure::usage(message) })
}

/// Tries what a first call needs.
pub(super) fn preflight(session: &mut Session, arguments: &PreflightArguments) -> Result<Exit, Failure> {
    let config = arguments.config.load()?;
    session.printer.progress("trying each part …");
    let request = PreflightRequest {
        token_file: arguments.caller_token_file.clone(),
        reference: arguments.reference.clone().zip(arguments.environment.clone()),
        server: arguments.server.as_ref().map(server).transpose()?,
    };
    let detail = format!("usable; stores: {}, issuers: {}", config.stores.len(), config.issuers.len());
    let mut lines = vec![PreflightLine { name: "configuration".to_owned(), ok: true, detail, hint: None }];
    lines.extend(wiring::preflight(&config, &request)?);
    Ok(preflight::report(session, &lines))
}

fn server(named: &InEnvironment) -> Result<(EnvironmentName, ServerName), Failure> {
    let environment = EnvironmentName::parse(&named.environment).map_err(Failure::usage)?;
    Ok((environment, ServerName::parse(&named.name).map_err(Failure::usage)?))
}

/// Writes a token for one login of an administrator, to a file of the host.
pub(super) fn bootstrap_token(session: &mut Session, file: &ConfigFile) -> Result<Exit, Failure> {
    let written = wiring::bootstrap_token(&file.load()?)?;
    let answer = json!({"bootstrap_token_file": written.display().to_string()});
    session.printer.show(&answer, |_| {
        View::default().title("A bootstrap token for one login was written").fields([
            ("file", written.display().to_string()),
            (
                "use it with",
                format!("mcp-gateway login --bootstrap-token-file {} --name NAME", written.display()),
            ),
        ])
    });
    Ok(Exit::Ok)
}

/// Lets the next signing keys sign.
pub(super) fn rotate_signing_keys(
    session: &mut Session,
    arguments: &RotateArguments,
) -> Result<Exit, Failure> {
    let config = arguments.config.load()?;
    let purposes = arguments.purpose.map_or_else(|| Purpose::ALL.to_vec(), |one| vec![one]);
    let mut keys = 0_u32;
    for purpose in purposes {
        keys = keys.saturating_add(wiring::rotate_signing_keys(&config, purpose, arguments.compromised)?);
    }
    let answer = json!({"keys": keys, "withdrawn": arguments.compromised});
    session.printer.show(&answer, |_| {
        let former = match arguments.compromised {
            true => "withdrawn, with everything that they signed",
            false => "published until their last tokens have expired",
        };
        View::default()
            .title("The next signing keys sign within ten seconds")
            .fields([("keys", keys.to_string()), ("former keys", former.to_owned())])
    });
    Ok(Exit::Ok)
}
