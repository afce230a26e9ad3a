//! Servers: routes and the risk of their tools.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::id::{EnvironmentName, ServerName, TeamName, ToolName};

/// What a call may cause; set by the server's owner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Reads only.
    Read,
    /// Changes things in ways that can be undone.
    Write,
    /// Destroys, or cannot be undone.
    Destructive,
}

impl Risk {
    /// The word used in manifests, Cedar and evidence.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Destructive => "destructive",
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The risk of each tool; what is not named has the default.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, Risk>", into = "BTreeMap<String, Risk>")]
pub struct ToolRisks {
    default_risk: Risk,
    named: BTreeMap<ToolName, Risk>,
}

impl ToolRisks {
    /// Every tool has this risk.
    pub fn all(default_risk: Risk) -> Self {
        Self { default_risk, named: BTreeMap::new() }
    }

    /// The risk of one tool.
    pub fn of(&self, tool: &str) -> Risk {
        self.named.get(tool).copied().unwrap_or(self.default_risk)
    }

    /// The risk of tools that are not named.
    pub const fn default_risk(&self) -> Risk {
        self.default_risk
    }

    /// The tools with a risk of their own.
    pub const fn named(&self) -> &BTreeMap<ToolName, Risk> {
        &self.named
    }
}

impl TryFrom<BTreeMap<String, Risk>> for ToolRisks {
    type Error = String;
    fn try_from(mut map: BTreeMap<String, Risk>) -> Result<Self, String> {
        let default_risk = map.remove("default_risk").ok_or("`tools` needs a `default_risk`")?;
        let parse =
            |(name, risk): (String, Risk)| Ok((ToolName::parse(&name).map_err(|e| e.to_string())?, risk));
        Ok(Self { default_risk, named: map.into_iter().map(parse).collect::<Result<_, String>>()? })
    }
}

impl From<ToolRisks> for BTreeMap<String, Risk> {
    fn from(risks: ToolRisks) -> Self {
        let named = risks.named.into_iter().map(|(name, risk)| (name.to_string(), risk));
        named.chain([("default_risk".to_owned(), risks.default_risk)]).collect()
    }
}

/// Whether calls to the server carry a credential of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CredentialNeed {
    /// Every call needs a binding with a reference.
    #[default]
    Required,
    /// Calls carry none; a binding without a reference still has to be approved.
    None,
}

/// Kinds of address that the address guard refuses unless the route names them (rule 4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressScope {
    /// 127.0.0.0/8 and ::1.
    Loopback,
    /// RFC 1918, RFC 6598 and RFC 4193 ranges.
    Private,
    /// 169.254.0.0/16 and fe80::/10 without the metadata addresses, which are always refused.
    LinkLocal,
}

/// The private way to a server. Its destination is part of every binding approved for it: a changed
/// route waits for a new approval (rule 11).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The server's MCP endpoint: `http` or `https`, no user info, query or fragment.
    pub url: Url,
    /// Kinds of non-public address the name may lead to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressScope>,
    /// PEM file with the certificate authorities to trust in place of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// An HTTP proxy (`http://host:port`) to connect through; the guard then checks the proxy's address,
    /// and the proxy decides about the destination's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Url>,
    /// Seconds until the response head must have come.
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: u32,
}

const fn default_timeout_seconds() -> u32 {
    60
}

/// Why a route cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Neither `http` nor `https`.
    #[error("the route's URL must begin with `https://` or `http://`")]
    Scheme,
    /// User info, a query or a fragment.
    #[error("the route's URL must have a host and no user, password, query or fragment")]
    Extra,
    /// The proxy is no plain `http://host:port`.
    #[error("the proxy must be `http://host:port` without user, path or query")]
    Proxy,
    /// Zero or more than ten minutes.
    #[error("`timeout_seconds` must be between 1 and 600")]
    Timeout,
}

impl Route {
    /// Judges the route without touching the network.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn check(&self) -> Result<(), RouteError> {
        if !matches!(self.url.scheme(), "http" | "https") {
            return Err(RouteError::Scheme);
        }
        if has_extras(&self.url) {
            return Err(RouteError::Extra);
        }
        if self.proxy.as_ref().is_some_and(|proxy| {
            proxy.scheme() != "http" || has_extras(proxy) || !matches!(proxy.path(), "" | "/")
        }) {
            return Err(RouteError::Proxy);
        }
        if !(1..=600).contains(&self.timeout_seconds) {
            return Err(RouteError::Timeout);
        }
        Ok(())
    }

    /// Scheme, host and port: what a value may leave to.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

fn has_extras(url: &Url) -> bool {
    !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
        || url.host().is_none()
}

/// A registered upstream MCP server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSpec {
    /// Its name, the second part of its data-plane URL.
    pub name: ServerName,
    /// The environment it belongs to.
    pub environment: EnvironmentName,
    /// The team that answers for it and consents to bindings on it.
    pub owner: TeamName,
    /// Where it is.
    pub route: Route,
    /// What its tools may cause.
    pub tools: ToolRisks,
    /// Whether it needs a credential.
    #[serde(default)]
    pub credential: CredentialNeed,
}
