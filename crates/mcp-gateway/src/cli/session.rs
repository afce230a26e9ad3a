//! What every command has at hand: the global options and the printer.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use gateway_core::manifest::Kind;
use gateway_core::secret::Secret;
use url::Url;

use super::client::{Client, Reach};
use super::failure::Failure;
use super::print::{Output, Printer};
use super::token_file;

/// Options of every command.
#[derive(Args, Clone, Debug)]
pub(super) struct Globals {
    /// The gateway's control listener
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "MCP_GATEWAY_CONTROL",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8081",
        help_heading = "Global options"
    )]
    pub(super) control: Url,
    /// The file that holds your operator token (mode 0600); by default the one that `login` wrote
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "MCP_GATEWAY_TOKEN_FILE",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub(super) token_file: Option<PathBuf>,
    /// PEM file of the only certificate authorities to trust for the control listener
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "MCP_GATEWAY_CA_FILE",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub(super) ca_file: Option<PathBuf>,
    /// How long to wait for one answer
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600), help_heading = "Global options")]
    pub(super) timeout: u64,
    /// Send the token over plain http:// to a host that is not this machine
    #[arg(long, global = true, help_heading = "Global options")]
    pub(super) plain_http: bool,
    /// How results are shown
    #[arg(long, global = true, value_enum, default_value_t, help_heading = "Global options")]
    pub(super) output: Output,
    /// No colours (also where NO_COLOR is set)
    #[arg(long, global = true, help_heading = "Global options")]
    pub(super) no_color: bool,
}

/// One run of the command line.
pub(super) struct Session {
    /// The global options.
    pub(super) globals: Globals,
    /// Where results go.
    pub(super) printer: Printer,
}

impl Session {
    /// A client with the operator's token.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let token = token_file::read(&self.token_path()?)?;
        self.client_with(Some(&token))
    }

    /// A client with this token, or none.
    pub(super) fn client_with(&self, token: Option<&Secret>) -> Result<Client, Failure> {
        let reach = Reach {
            control: self.globals.control.clone(),
            ca_file: self.globals.ca_file.clone(),
            timeout: Duration::from_secs(self.globals.timeout),
            plain_http: self.globals.plain_http,
        };
        Client::open(&reach, token)
    }

    /// Where the operator's token is.
    pub(super) fn token_path(&self) -> Result<PathBuf, Failure> {
        match &self.globals.token_file {
            Some(path) => Ok(path.clone()),
            None => token_file::default_path(&self.globals.control),
        }
    }
}

/// `ENVIRONMENT/NAME`, or the whole `Kind/environment/name` as evidence and answers show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct InEnvironment {
    /// The environment.
    pub(super) environment: String,
    /// The name.
    pub(super) name: String,
}

impl FromStr for InEnvironment {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('/').collect();
        let (environment, name) = match parts.as_slice() {
            [environment, name] => (environment, name),
            [kind, environment, name] if Kind::from_word(kind).is_some() => (environment, name),
            _ => return Err("write ENVIRONMENT/NAME, such as `production/triage-bot-github`"),
        };
        if environment.is_empty() || name.is_empty() {
            return Err("write ENVIRONMENT/NAME: neither may be empty");
        }
        Ok(Self { environment: (*environment).to_owned(), name: (*name).to_owned() })
    }
}

impl std::fmt::Display for InEnvironment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.environment, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_answers_show_them() {
        let wanted = InEnvironment { environment: "dev".into(), name: "triage".into() };
        assert_eq!("dev/triage".parse(), Ok(wanted.clone()));
        assert_eq!("Binding/dev/triage".parse(), Ok(wanted));
        for bad in ["triage", "dev/", "/triage", "a/b/c", ""] {
            assert!(bad.parse::<InEnvironment>().is_err(), "{bad}");
        }
    }
}
