//! `gateway.yaml` as it is written. What it means, and whether it may be so, is decided in `mod.rs`.

use std::net::SocketAddr;
use std::path::PathBuf;

use gateway_adapters::audit::AuditConfig;
use gateway_adapters::identity::{IssuerConfig, OperatorIssuerConfig, TrustDomainConfig};
use gateway_core::id::EnvironmentName;
use gateway_core::operator::Role;
use ipnet::IpNet;
use serde::Deserialize;
use url::Url;

use super::console::RawConsole;
use super::limits::RawLimits;
use super::login::RawLogin;
use super::stdio::RawStdio;
use super::telemetry::TelemetryConfig;
use super::{LogFormat, LogLevel};

/// Everything but the stores, which are read one by one so that each tells its own problems.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) listen: SocketAddr,
    pub(super) public_url: Url,
    #[serde(default)]
    pub(super) tls: Option<RawDataTls>,
    pub(super) control: RawControl,
    #[serde(default)]
    pub(super) trusted_proxies: Vec<IpNet>,
    #[serde(default)]
    pub(super) proxy_protocol: bool,
    #[serde(default)]
    pub(super) allowed_origins: Vec<String>,
    pub(super) state: String,
    #[serde(default)]
    pub(super) state_password_file: Option<PathBuf>,
    pub(super) audit: AuditConfig,
    /// Named here so that it is among the known fields.
    #[serde(default, rename = "stores")]
    _stores: serde::de::IgnoredAny,
    #[serde(default)]
    pub(super) identity: RawIdentity,
    #[serde(default)]
    pub(super) login: Option<RawLogin>,
    #[serde(default)]
    pub(super) operators: RawOperators,
    #[serde(default)]
    pub(super) environments: Option<Vec<EnvironmentName>>,
    #[serde(default)]
    pub(super) limits: RawLimits,
    #[serde(default)]
    pub(super) signing: RawSigning,
    #[serde(default)]
    pub(super) stdio: RawStdio,
    #[serde(default)]
    pub(super) log: RawLog,
    #[serde(default)]
    pub(super) telemetry: TelemetryConfig,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    pub(super) certificate_file: PathBuf,
    pub(super) key_file: PathBuf,
}

/// TLS of the agents' listener, which may also take its clients' certificates.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDataTls {
    pub(super) certificate_file: PathBuf,
    pub(super) key_file: PathBuf,
    #[serde(default)]
    pub(super) clients: Option<RawClients>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClients {
    pub(super) trust_domains: Vec<String>,
    #[serde(default)]
    pub(super) required: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawControl {
    pub(super) listen: SocketAddr,
    #[serde(default)]
    pub(super) public_url: Option<Url>,
    #[serde(default)]
    pub(super) tls: Option<RawTls>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIdentity {
    #[serde(default)]
    pub(super) issuers: Vec<IssuerConfig>,
    #[serde(default)]
    pub(super) trust_domains: Vec<TrustDomainConfig>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOperators {
    #[serde(default)]
    pub(super) issuers: Vec<OperatorIssuerConfig>,
    #[serde(default)]
    pub(super) bootstrap_token_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) console: Option<RawConsole>,
    #[serde(default)]
    pub(super) masked_roles: Vec<MaskedRole>,
}

/// The roles that judge nothing by a path: whoever writes or signs a reference has to see it.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MaskedRole {
    Viewer,
    Auditor,
}

impl From<MaskedRole> for Role {
    fn from(role: MaskedRole) -> Self {
        match role {
            MaskedRole::Viewer => Self::Viewer,
            MaskedRole::Auditor => Self::Auditor,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSigning {
    pub(super) key_file: Option<PathBuf>,
    pub(super) rotate_days: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLog {
    pub(super) level: LogLevel,
    pub(super) format: LogFormat,
}
