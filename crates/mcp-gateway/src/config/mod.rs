//! `gateway.yaml` and the manifests: what was written ([`mod@manifest`], `raw`) becomes what is true,
//! or a list of every problem with its place.
//!
//! No field of either file takes a secret value. References name a store (`store://path#field`), and
//! credentials of the gateway itself are named by file (`…_file`).

mod checks;
mod clients;
mod console;
pub mod issue;
mod limits;
mod literal;
mod login;
pub mod manifest;
mod nearest;
mod raw;
mod stdio;
mod stores;
mod telemetry;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use gateway_adapters::audit::AuditConfig;
use gateway_adapters::identity::{IssuerConfig, OperatorIssuerConfig, TrustDomainConfig};
use gateway_adapters::signing::SigningConfig;
use gateway_adapters::state::StateConfig;
use gateway_adapters::store::StoreConfig;
use gateway_core::id::{EnvironmentName, StoreName};
use gateway_core::manifest::ContentHash;
use gateway_core::operator::Role;
use gateway_core::spiffe::TrustDomain;
use ipnet::IpNet;
use serde::Deserialize;
use url::Url;

pub use self::console::ConsoleConfig;
use self::issue::{Findings, IssueCode, Place, Problems, unless_wrong};
pub use self::limits::Limits;
pub use self::login::{ClientsConfig, LoginConfig};
pub use self::stdio::{StdioConfig, UserRange};
pub use self::telemetry::TelemetryConfig;

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 8 * 1024 * 1024;

/// The configuration of one process, complete and consistent. Every path in it is absolute or relative
/// to the working directory, no longer to the file.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where agents connect.
    pub listen: SocketAddr,
    /// The URL that agents know, without a trailing slash or path.
    pub public_url: Url,
    /// The certificate of that listener.
    pub tls: Option<TlsFiles>,
    /// The certificates that it takes from its clients.
    pub clients: Option<ClientCertificates>,
    /// The listener for operators.
    pub control: ControlConfig,
    /// Peers whose word about the source address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether connections from trusted proxies begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Origins of browsers that may call.
    pub allowed_origins: Vec<String>,
    /// Where the state is.
    pub state: StateConfig,
    /// The evidence.
    pub audit: AuditConfig,
    /// The secret stores by name.
    pub stores: BTreeMap<StoreName, StoreConfig>,
    /// The issuers whose tokens agents and people present.
    pub issuers: Vec<IssuerConfig>,
    /// The SPIFFE trust domains whose workloads call.
    pub trust_domains: Vec<TrustDomainConfig>,
    /// How people log in by the browser; absent: no pages.
    pub login: Option<LoginConfig>,
    /// Who operates.
    pub operators: OperatorsConfig,
    /// The environments this process serves; absent means all.
    pub environments: Option<Vec<EnvironmentName>>,
    /// Limits.
    pub limits: Limits,
    /// The keys that the gateway signs tokens with.
    pub signing: SigningConfig,
    /// Servers that are processes.
    pub stdio: StdioConfig,
    /// The operator's log.
    pub log: LogConfig,
    /// What a tracing system is told.
    pub telemetry: TelemetryConfig,
    /// The hash of the file's bytes, for evidence.
    pub content: ContentHash,
}

/// The listener for operators.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControlConfig {
    /// Where operators connect.
    pub listen: SocketAddr,
    /// The URL that operators know; that of the listener where absent.
    pub public_url: Option<Url>,
    /// Its certificate.
    pub tls: Option<TlsFiles>,
}

/// A certificate chain and its key, both PEM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub certificate_file: PathBuf,
    /// The private key.
    pub key_file: PathBuf,
}

/// The certificates that the agents' listener takes from its clients.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientCertificates {
    /// The trust domains; each is configured under `identity.trust_domains`.
    pub trust_domains: Vec<TrustDomain>,
    /// Whether connections without a certificate are refused.
    pub required: bool,
}

/// Who operates the gateway.
#[derive(Clone, Debug)]
pub struct OperatorsConfig {
    /// The issuers whose people may operate it.
    pub issuers: Vec<OperatorIssuerConfig>,
    /// Where the first start leaves the token that works once.
    pub bootstrap_token_file: Option<PathBuf>,
    /// The console; absent: no pages for operators.
    pub console: Option<ConsoleConfig>,
    /// The roles that see which store a secret is in, and not where in it.
    pub masked_roles: BTreeSet<Role>,
}

/// The operator's log, which goes to standard error.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogConfig {
    /// What is logged.
    pub level: LogLevel,
    /// How it looks.
    pub format: LogFormat,
}

/// How much is logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Errors only.
    Error,
    /// Warnings too.
    Warn,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything of ours; never bodies or values.
    Trace,
}

/// How the log looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Reads the file.
///
/// # Errors
/// Every problem in it, each with its place. Nothing is opened, connected or created.
pub fn load(path: &Path) -> Result<Config, Problems> {
    let source = manifest::Source::read(path)?;
    let directory = path.parent().unwrap_or_else(|| Path::new(""));
    parse(&source.name, &source.text, directory)
}

/// Reads the text as the file `name` in `directory`.
///
/// # Errors
/// Every problem in it, each with its place.
pub fn parse(name: &str, text: &str, directory: &Path) -> Result<Config, Problems> {
    let mut findings = Findings::new(name);
    let documents = yaml::documents(text, &mut findings);
    let config = match documents.as_slice() {
        [document] => {
            let content = ContentHash::of(text.as_bytes());
            let config = checks::config(document, directory, content, &mut findings);
            literal::find(document, &mut findings);
            config
        }
        [] => {
            if findings.len() == 0 {
                findings.add(Place::default(), IssueCode::Yaml, "the file holds nothing");
            }
            None
        }
        [_, second, ..] => {
            findings
                .add(
                    second.place,
                    IssueCode::Yaml,
                    "the configuration is one document, and here begins another",
                )
                .hint("manifests go to `apply -f`");
            None
        }
    };
    unless_wrong(config, findings.into_issues())
}

#[cfg(test)]
mod tests;
