//! Routes: the private way to a server, over HTTP or to a process of the gateway's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::receipt::ReceiptMode;

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

/// How a server's conversations work. Where the route does not say, the gateway finds out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spoken {
    /// With a handshake and sessions only (2025-11-25 and older).
    Legacy,
    /// Stateless only (2026-07-28).
    Modern,
}

/// The private way to a server. Its destination is part of every binding approved for it: a changed
/// route waits for a new approval (rule 11).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Route {
    /// A server that is reached over HTTP.
    Http(Box<HttpRoute>),
    /// A program that the gateway starts and speaks to over standard input and output.
    Stdio(StdioRoute),
}

/// The way to a server that is reached over HTTP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpRoute {
    /// The server's MCP endpoint: `http` or `https`, no user info, query or fragment.
    pub url: Url,
    /// Kinds of non-public address the name may lead to.
    pub addresses: Vec<AddressScope>,
    /// A Unix socket to connect to in place of the URL's host; the URL still says `Host` and path.
    pub socket: Option<PathBuf>,
    /// PEM file with the certificate authorities to trust in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// The certificate the gateway shows to the server.
    pub client_certificate: Option<ClientCertificate>,
    /// An HTTP proxy (`http://host:port`) to connect through; the guard then checks the proxy's address,
    /// and the proxy decides about the destination's.
    pub proxy: Option<Url>,
    /// The one generation of the protocol that the server speaks; absent: the gateway finds out.
    pub generation: Option<Spoken>,
    /// Whether messages to the server carry a signed receipt.
    pub receipt: ReceiptMode,
    /// Seconds until the response head must have come.
    pub timeout_seconds: u32,
}

/// A certificate chain and its key, both PEM files that only the gateway's user may read.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificate {
    /// The chain, leaf first.
    pub certificate_file: PathBuf,
    /// The private key.
    pub key_file: PathBuf,
}

/// The way to a program of the gateway's own. The gateway's configuration must allow the command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StdioRoute {
    /// The program, as an absolute path, and its arguments. Never a secret: arguments are public on
    /// the machine.
    pub command: Vec<String>,
    /// Variables of the process besides the credential; nothing is inherited from the gateway.
    pub environment: BTreeMap<String, String>,
    /// Where the process runs; absent means a private, empty directory of its own.
    pub directory: Option<PathBuf>,
    /// What the process may use.
    pub limits: ChildLimits,
    /// The one generation of the protocol that the server speaks; absent: the gateway finds out.
    pub generation: Option<Spoken>,
    /// Seconds until the first message of an answer must have come.
    pub timeout_seconds: u32,
}

/// What one process of a stdio server may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChildLimits {
    /// Writable memory, MiB (`RLIMIT_DATA`). Default 2,048.
    pub memory_mib: u32,
    /// Open files (`RLIMIT_NOFILE`). Default 1,024.
    pub open_files: u32,
    /// The largest file it may write, MiB (`RLIMIT_FSIZE`). Default 1,024.
    pub file_mib: u32,
}

impl Default for ChildLimits {
    fn default() -> Self {
        Self { memory_mib: 2_048, open_files: 1_024, file_mib: 1_024 }
    }
}

const DEFAULT_TIMEOUT_SECONDS: u32 = 60;

/// A route as it is written: one of the two forms.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<Url>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<AddressScope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    socket: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_certificate: Option<ClientCertificate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proxy: Option<Url>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    command: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    environment: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    directory: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limits: Option<ChildLimits>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generation: Option<Spoken>,
    // Left out where it is off, so that routes from before there were receipts keep their ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receipt: Option<ReceiptMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<u32>,
}

/// Why a route cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Neither form, or parts of both.
    #[error(
        "`route` takes either `url` (with `addresses`, `socket`, `ca_file`, `client_certificate`, `proxy`, `receipt`) or `command` (with `environment`, `directory`, `limits`)"
    )]
    Form,
    /// Neither `http` nor `https`.
    #[error("the route's URL must begin with `https://` or `http://`")]
    Scheme,
    /// User info, a query or a fragment.
    #[error("the route's URL must have a host and no user, password, query or fragment")]
    Extra,
    /// The proxy is no plain `http://host:port`.
    #[error("the proxy must be `http://host:port` without user, path or query")]
    Proxy,
    /// A socket that is reached through something else.
    #[error("`socket` must be an absolute path, and excludes `proxy` and `addresses`")]
    Socket,
    /// A certificate on a connection without TLS.
    #[error("`client_certificate` needs an `https://` URL")]
    Certificate,
    /// A receipt for a process, which has no headers and no URL.
    #[error("receipts need a `url`: a server that is a process hears nobody but the gateway that started it")]
    Receipt,
    /// Zero or more than ten minutes.
    #[error("`timeout_seconds` must be between 1 and 600")]
    Timeout,
    /// A program that would be searched for, or text that no command line can hold.
    #[error("`command` must begin with the program's absolute path, and hold no NUL byte")]
    Command,
    /// A variable that cannot be, or that makes the loader run foreign code.
    #[error("`{0}` is not a variable that a server's process may be given")]
    Variable(String),
    /// A directory that depends on where the gateway runs.
    #[error("`directory` must be an absolute path")]
    Directory,
    /// Limits under which no program starts.
    #[error("`limits` must allow at least 16 MiB of memory, 16 open files and 1 MiB of file")]
    Limits,
}

impl Route {
    /// Judges the route without touching the network or the disk.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn check(&self) -> Result<(), RouteError> {
        match self {
            Self::Http(route) => route.check(),
            Self::Stdio(route) => route.check(),
        }
    }

    /// The one generation that the server is said to speak.
    pub const fn generation(&self) -> Option<Spoken> {
        match self {
            Self::Http(route) => route.generation,
            Self::Stdio(route) => route.generation,
        }
    }

    /// What a value may leave to, for people: the URL, or the program.
    pub fn destination(&self) -> String {
        match self {
            Self::Http(route) => match &route.socket {
                None => route.url.to_string(),
                Some(socket) => format!("{} over {}", route.url, socket.display()),
            },
            Self::Stdio(route) => format!("process `{}`", route.command.join(" ")),
        }
    }
}

impl HttpRoute {
    /// The plain way to a URL.
    pub const fn to(url: Url) -> Self {
        Self {
            url,
            addresses: Vec::new(),
            socket: None,
            ca_file: None,
            client_certificate: None,
            proxy: None,
            generation: None,
            receipt: ReceiptMode::Off,
            timeout_seconds: DEFAULT_TIMEOUT_SECONDS,
        }
    }

    fn check(&self) -> Result<(), RouteError> {
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
        let absolute = self.socket.as_deref().is_none_or(Path::is_absolute);
        if !absolute || (self.socket.is_some() && (self.proxy.is_some() || !self.addresses.is_empty())) {
            return Err(RouteError::Socket);
        }
        if self.client_certificate.is_some() && self.url.scheme() != "https" {
            return Err(RouteError::Certificate);
        }
        check_timeout(self.timeout_seconds)
    }

    /// Scheme, host and port: what a value may leave to.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

impl StdioRoute {
    fn check(&self) -> Result<(), RouteError> {
        let program = self.command.first().map(Path::new);
        let holds_nul = self.command.iter().any(|argument| argument.contains('\0'));
        if holds_nul || !program.is_some_and(|program| program.is_absolute() && program.file_name().is_some())
        {
            return Err(RouteError::Command);
        }
        for (name, value) in &self.environment {
            if !is_variable(name) || value.contains('\0') {
                return Err(RouteError::Variable(name.chars().take(64).collect()));
            }
        }
        if self.directory.as_deref().is_some_and(|directory| !directory.is_absolute()) {
            return Err(RouteError::Directory);
        }
        let limits = self.limits;
        if limits.memory_mib < 16 || limits.open_files < 16 || limits.file_mib < 1 {
            return Err(RouteError::Limits);
        }
        check_timeout(self.timeout_seconds)
    }
}

/// Variables that name code for an interpreter or a loader to run, besides those that begin with one of
/// [`LOADERS`].
const HOOKS: [&str; 17] = [
    "NODE_OPTIONS",
    "NODE_PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "PERL5OPT",
    "PERL5LIB",
    "PERL5DB",
    "RUBYOPT",
    "RUBYLIB",
    "CLASSPATH",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    "GCONV_PATH",
    "BASH_ENV",
    "ENV",
];

/// Beginnings of variables that the loader or the C library reads.
const LOADERS: [&str; 4] = ["LD_", "DYLD_", "GLIBC_", "MALLOC_"];

/// Whether a process may be given a variable of this name. Those that are known to name further code are
/// refused, so that a manifest cannot reach around the commands which the configuration allows. The list
/// cannot be complete: what else a program runs is for whoever allows it to know.
pub fn is_variable(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty()
        && name.len() <= 128
        && name.bytes().all(plain)
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !LOADERS.iter().any(|prefix| name.starts_with(prefix))
        && !HOOKS.contains(&name)
}

const fn check_timeout(seconds: u32) -> Result<(), RouteError> {
    if seconds >= 1 && seconds <= 600 { Ok(()) } else { Err(RouteError::Timeout) }
}

fn has_extras(url: &Url) -> bool {
    !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
        || url.host().is_none()
}

impl TryFrom<Written> for Route {
    type Error = RouteError;
    fn try_from(written: Written) -> Result<Self, RouteError> {
        let timeout_seconds = written.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS);
        let of_http = !written.addresses.is_empty()
            || written.socket.is_some()
            || written.ca_file.is_some()
            || written.client_certificate.is_some()
            || written.proxy.is_some();
        let of_stdio =
            !written.environment.is_empty() || written.directory.is_some() || written.limits.is_some();
        let receipt = written.receipt.unwrap_or_default();
        if !written.command.is_empty() && !receipt.is_off() {
            return Err(RouteError::Receipt);
        }
        match written.url {
            Some(url) if written.command.is_empty() && !of_stdio => Ok(Self::Http(Box::new(HttpRoute {
                url,
                addresses: written.addresses,
                socket: written.socket,
                ca_file: written.ca_file,
                client_certificate: written.client_certificate,
                proxy: written.proxy,
                generation: written.generation,
                receipt,
                timeout_seconds,
            }))),
            None if !written.command.is_empty() && !of_http => Ok(Self::Stdio(StdioRoute {
                command: written.command,
                environment: written.environment,
                directory: written.directory,
                limits: written.limits.unwrap_or_default(),
                generation: written.generation,
                timeout_seconds,
            })),
            _ => Err(RouteError::Form),
        }
    }
}

impl From<Route> for Written {
    fn from(route: Route) -> Self {
        let empty = Self {
            url: None,
            addresses: Vec::new(),
            socket: None,
            ca_file: None,
            client_certificate: None,
            proxy: None,
            command: Vec::new(),
            environment: BTreeMap::new(),
            directory: None,
            limits: None,
            generation: None,
            receipt: None,
            timeout_seconds: None,
        };
        match route {
            Route::Http(route) => Self {
                url: Some(route.url),
                addresses: route.addresses,
                socket: route.socket,
                ca_file: route.ca_file,
                client_certificate: route.client_certificate,
                proxy: route.proxy,
                generation: route.generation,
                receipt: Some(route.receipt).filter(|receipt| !receipt.is_off()),
                timeout_seconds: Some(route.timeout_seconds),
                ..empty
            },
            Route::Stdio(route) => Self {
                command: route.command,
                environment: route.environment,
                directory: route.directory,
                limits: Some(route.limits),
                generation: route.generation,
                timeout_seconds: Some(route.timeout_seconds),
                ..empty
            },
        }
    }
}

#[cfg(test)]
mod tests;
