//! `audit.sinks` in `gateway.yaml`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway_core::id::SinkName;
use gateway_core::manifest::ClientCertificate;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::https::is_loopback;

/// The most sinks of one gateway: each reads the whole log.
pub const MOST_SINKS: usize = 8;

/// Where records and checkpoints are sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SinkConfig {
    /// Takes newline-delimited JSON by POST and answers 2xx once it holds it.
    Webhook(HttpSinkConfig),
    /// Takes syslog messages (RFC 5424) over TCP (RFC 6587) or TLS (RFC 5425).
    Syslog(SyslogConfig),
    /// Takes OpenTelemetry logs over HTTP in JSON.
    Otlp(HttpSinkConfig),
}

/// The kinds of sinks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SinkKind {
    /// [`SinkConfig::Webhook`]
    Webhook,
    /// [`SinkConfig::Syslog`]
    Syslog,
    /// [`SinkConfig::Otlp`]
    Otlp,
}

impl SinkKind {
    /// As it is written.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Syslog => "syslog",
            Self::Otlp => "otlp",
        }
    }
}

/// A receiver that is asked over HTTP.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSinkConfig {
    /// What it is called, also in its cursor's file. Default: its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SinkName>,
    /// The address. Plain `http://` is for loopback addresses only.
    pub url: Url,
    /// PEM file of the only certificate authorities to trust; the system's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// File with the bearer token, read anew for every batch so that it can be rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// The proxy to go through; a direct connection where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Url>,
    /// The largest number of lines in a batch. Default 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_lines: Option<usize>,
    /// The time in seconds for one batch. Default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
}

/// A syslog receiver. There is no UDP: nobody could know what arrived.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyslogConfig {
    /// What it is called, also in its cursor's file. Default `syslog`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SinkName>,
    /// `tls://host:port`, or `tcp://host:port` for loopback addresses only.
    pub address: Url,
    /// PEM file of the only certificate authorities to trust; the system's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Whom the gateway presents itself as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ClientCertificate>,
    /// The HOSTNAME of the messages. Default: this machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The private enterprise number in the name of the structured data. Default 32473, the example's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enterprise_number: Option<u32>,
    /// How long in seconds a connection must go on after a message until that counts as taken. Default 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_seconds: Option<u64>,
    /// The most records that are sent before they count as taken. Default 50,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_records: Option<u64>,
    /// The largest number of lines in one write. Default 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_lines: Option<usize>,
}

impl HttpSinkConfig {
    /// A receiver at this address, with the defaults.
    pub const fn new(url: Url) -> Self {
        Self {
            name: None,
            url,
            ca_file: None,
            token_file: None,
            proxy: None,
            batch_lines: None,
            timeout_seconds: None,
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.unwrap_or(10).max(1))
    }

    /// What is wrong with it, as `field: message`.
    fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.url.scheme() != "https" && !(self.url.scheme() == "http" && is_loopback(&self.url)) {
            found.push(
                "url: must begin with `https://`; plain `http://` is for loopback addresses only".to_owned(),
            );
        }
        out_of_bounds(&mut found, "batch_lines", self.batch_lines.map(|lines| lines as u64), (1, 10_000));
        out_of_bounds(&mut found, "timeout_seconds", self.timeout_seconds, (1, 300));
        found
    }
}

impl SyslogConfig {
    pub(super) fn confirm_after(&self) -> Duration {
        Duration::from_secs(self.confirm_seconds.unwrap_or(5).max(1))
    }

    pub(super) fn window(&self) -> u64 {
        self.window_records.unwrap_or(50_000).max(1)
    }

    fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        let Self { address, .. } = self;
        let whole = address.host_str().is_some_and(|host| !host.is_empty()) && address.port().is_some();
        let bare =
            matches!(address.path(), "" | "/") && address.query().is_none() && address.username().is_empty();
        match address.scheme() {
            "tls" | "tcp" if !whole || !bare => {
                found.push("address: must name a host and a port, and nothing else".to_owned());
            }
            "tls" => {}
            "tcp" if is_loopback_host(address) => {}
            "tcp" => {
                found.push("address: plain `tcp://` is for loopback addresses only: use `tls://`".to_owned())
            }
            "udp" => found.push("address: there is no UDP: nobody could know what arrived".to_owned()),
            _ => found.push("address: must begin with `tls://` or `tcp://`".to_owned()),
        }
        if address.scheme() == "tcp" && (self.ca_file.is_some() || self.client_certificate.is_some()) {
            found.push("address: certificates are for `tls://`".to_owned());
        }
        let printable =
            |name: &String| (1..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
        if self.hostname.as_ref().is_some_and(|name| !printable(name)) {
            found.push("hostname: 1 to 255 visible ASCII characters without spaces".to_owned());
        }
        out_of_bounds(&mut found, "confirm_seconds", self.confirm_seconds, (1, 300));
        out_of_bounds(&mut found, "window_records", self.window_records, (100, 1_000_000));
        out_of_bounds(&mut found, "batch_lines", self.batch_lines.map(|lines| lines as u64), (1, 10_000));
        found
    }
}

/// Hosts of a scheme that the URL standard does not know are not read as addresses.
fn is_loopback_host(address: &Url) -> bool {
    let host = address.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn out_of_bounds(found: &mut Vec<String>, field: &str, value: Option<u64>, (least, most): (u64, u64)) {
    if value.is_some_and(|value| !(least..=most).contains(&value)) {
        found.push(format!("{field}: must be from {least} to {most}"));
    }
}

impl SinkConfig {
    /// Its kind.
    pub const fn kind(&self) -> SinkKind {
        match self {
            Self::Webhook(_) => SinkKind::Webhook,
            Self::Syslog(_) => SinkKind::Syslog,
            Self::Otlp(_) => SinkKind::Otlp,
        }
    }

    /// Its name; the kind's where none is given.
    pub fn name(&self) -> String {
        let given = match self {
            Self::Webhook(http) | Self::Otlp(http) => &http.name,
            Self::Syslog(syslog) => &syslog.name,
        };
        given.as_ref().map_or(self.kind().word(), SinkName::as_str).to_owned()
    }

    /// The file of its cursor. That of `webhook` has the name from when there was but one sink.
    pub(super) fn cursor_file(&self) -> String {
        match self.name().as_str() {
            "webhook" => "sink-cursor.json".to_owned(),
            name => format!("sink-cursor-{name}.json"),
        }
    }

    pub(super) fn batch_lines(&self) -> usize {
        let lines = match self {
            Self::Webhook(http) | Self::Otlp(http) => http.batch_lines,
            Self::Syslog(syslog) => syslog.batch_lines,
        };
        lines.unwrap_or(500).max(1)
    }

    /// Takes relative paths as relative to this directory.
    pub fn rebase(&mut self, directory: &Path) {
        let rebased = |file: &mut Option<PathBuf>| *file = file.take().map(|file| directory.join(file));
        match self {
            Self::Webhook(http) | Self::Otlp(http) => http.rebase(directory),
            Self::Syslog(syslog) => {
                rebased(&mut syslog.ca_file);
                if let Some(own) = &mut syslog.client_certificate {
                    own.certificate_file = directory.join(&own.certificate_file);
                    own.key_file = directory.join(&own.key_file);
                }
            }
        }
    }

    /// What is wrong with it, as `field: message`.
    pub fn problems(&self) -> Vec<String> {
        match self {
            Self::Webhook(http) | Self::Otlp(http) => http.problems(),
            Self::Syslog(syslog) => syslog.problems(),
        }
    }
}

impl HttpSinkConfig {
    /// Takes relative paths as relative to this directory.
    pub fn rebase(&mut self, directory: &Path) {
        for file in [&mut self.ca_file, &mut self.token_file] {
            *file = file.take().map(|file| directory.join(file));
        }
    }
}
