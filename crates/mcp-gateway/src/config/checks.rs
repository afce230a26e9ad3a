//! What `gateway.yaml` means, and whether it may be so.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use gateway_adapters::audit::{AuditConfig, MOST_SINKS, RetentionConfig};
use gateway_adapters::https::is_loopback;
use gateway_adapters::identity::{IdentityIssue, validate_doors, validate_issuers};
use gateway_adapters::signing::SigningConfig;
use gateway_adapters::state::{StateConfig, StateConfigError};
use gateway_core::id::EnvironmentName;
use gateway_core::manifest::ContentHash;
use gateway_core::operator::Role;
use url::Url;

use super::clients;
use super::console::Around;
use super::issue::{Findings, IssueCode, Place};
use super::login::Surroundings;
use super::raw::{RawConfig, RawSigning, RawTls};
use super::stores::read_stores;
use super::yaml::{Node, Value, read};
use super::{Config, ControlConfig, LogConfig, OperatorsConfig, TlsFiles};

/// Fields without a default, told all at once.
const REQUIRED: [&str; 5] = ["listen", "public_url", "control", "state", "audit"];

/// Reads and judges the document. The result counts only where nothing was found.
pub(super) fn config(
    document: &Node,
    directory: &Path,
    content: ContentHash,
    findings: &mut Findings,
) -> Option<Config> {
    if matches!(document.value, Value::Map(_)) {
        for name in REQUIRED.into_iter().filter(|name| document.get(name).is_none()) {
            findings.add(document.place, IssueCode::MissingField, format!("`{name}` is missing"));
        }
    }
    let stores = read_stores(document, directory, findings);
    let raw: RawConfig = read(document, &[], findings)?;
    listeners(&raw, document, findings);
    identity(&raw, document, findings);
    clients::trust_domains(&raw, document, findings);
    let clients = clients::clients(&raw, document, findings);
    let limits = raw.limits.judge(document, findings);
    let state = StateConfig::parse(&raw.state, raw.state_password_file.as_deref(), directory)
        .map_err(|error| state_issue(error, document, findings))
        .ok();
    let served = raw.environments.as_deref();
    let audit = audit(raw.audit, document, directory, findings);
    environments(served, document, findings);
    for (name, store) in &stores {
        let serves = |environment: &EnvironmentName| store.environments().contains(environment);
        if served.is_some_and(|served| !served.iter().any(serves)) {
            let place = document.place_of(&format!("stores.{name}.environments"));
            findings
                .add(
                    place,
                    IssueCode::EnvironmentMismatch,
                    "this process serves none of the store's environments",
                )
                .hint("`environments` at the top says which it serves");
        }
    }
    let around = Surroundings {
        directory,
        public_url: &raw.public_url,
        issuers: &raw.identity.issuers,
        stores: &stores,
    };
    let for_console = Around {
        directory,
        control_url: raw.control.public_url.as_ref(),
        issuers: &raw.operators.issuers,
        stores: &stores,
    };
    let console = raw.operators.console.and_then(|section| section.judge(document, &for_console, findings));
    let login = raw.login.map(|login| login.judge(document, &around, findings));
    Some(Config {
        listen: raw.listen,
        public_url: raw.public_url,
        tls: raw.tls.map(|tls| TlsFiles {
            certificate_file: directory.join(tls.certificate_file),
            key_file: directory.join(tls.key_file),
        }),
        clients,
        control: ControlConfig {
            listen: raw.control.listen,
            public_url: raw.control.public_url,
            tls: raw.control.tls.map(|tls| tls_files(tls, directory)),
        },
        trusted_proxies: raw.trusted_proxies,
        proxy_protocol: raw.proxy_protocol,
        allowed_origins: raw.allowed_origins,
        state: state?,
        signing: signing(raw.signing, &audit, document, directory, findings),
        audit,
        stores,
        issuers: rebased(raw.identity.issuers, |issuer| &mut issuer.ca_file, directory),
        trust_domains: rebased(
            rebased(raw.identity.trust_domains, |domain| &mut domain.bundle_file, directory),
            |domain| &mut domain.ca_file,
            directory,
        ),
        login,
        operators: OperatorsConfig {
            issuers: rebased(raw.operators.issuers, |issuer| &mut issuer.ca_file, directory),
            bootstrap_token_file: raw.operators.bootstrap_token_file.map(|file| directory.join(file)),
            console,
            masked_roles: raw.operators.masked_roles.into_iter().map(Role::from).collect(),
        },
        environments: raw.environments,
        limits,
        stdio: raw.stdio.judge(document, directory, findings),
        log: LogConfig { level: raw.log.level, format: raw.log.format },
        telemetry: raw.telemetry.judge(document, directory, findings),
        content,
    })
}

fn tls_files(raw: RawTls, directory: &Path) -> TlsFiles {
    TlsFiles {
        certificate_file: directory.join(raw.certificate_file),
        key_file: directory.join(raw.key_file),
    }
}

fn rebased<T>(
    mut items: Vec<T>,
    file: impl Fn(&mut T) -> &mut Option<std::path::PathBuf>,
    directory: &Path,
) -> Vec<T> {
    for file in items.iter_mut().filter_map(|item| file(item).as_mut()) {
        *file = directory.join(&*file);
    }
    items
}

/// TLS on every listener that is not loopback (DESIGN, section 11.12), and two doors, not one (10.14).
fn listeners(raw: &RawConfig, document: &Node, findings: &mut Findings) {
    let mut plain = |address: SocketAddr, tls: bool, path: &str| {
        if !tls && !address.ip().is_loopback() {
            findings
                .add(
                    document.place_of(path),
                    IssueCode::PlainListener,
                    "plain text may leave this machine here",
                )
                .hint("give `tls` with `certificate_file` and `key_file`, or listen on a loopback address");
        }
    };
    plain(raw.listen, raw.tls.is_some(), "listen");
    plain(raw.control.listen, raw.control.tls.is_some(), "control.listen");
    if raw.listen == raw.control.listen && raw.listen.port() != 0 {
        let place = document.place_of("control.listen");
        findings.add(place, IssueCode::InvalidValue, "agents and operators need listeners of their own");
    }
    base_url(&raw.public_url, document.place_of("public_url"), findings);
    if let Some(url) = &raw.control.public_url {
        base_url(url, document.place_of("control.public_url"), findings);
    }
    if raw.proxy_protocol && raw.trusted_proxies.is_empty() {
        findings
            .add(document.place_of("proxy_protocol"), IssueCode::InvalidValue, "no proxy is trusted")
            .hint("name the proxies in `trusted_proxies`");
    }
    for (index, origin) in raw.allowed_origins.iter().enumerate() {
        let exact = Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == *origin);
        if !exact {
            findings
                .add(
                    document.place_of(&format!("allowed_origins[{index}]")),
                    IssueCode::InvalidValue,
                    "an origin is scheme, host and port, without a path",
                )
                .hint("such as `https://console.example.com`");
        }
    }
}

fn base_url(url: &Url, place: Place, findings: &mut Findings) {
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let nobody = url.username().is_empty() && url.password().is_none() && url.host().is_some();
    if !bare || !nobody {
        findings
            .add(place, IssueCode::InvalidValue, "must be scheme, host and port alone")
            .hint("such as `https://mcp.example.com`");
    } else if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(url)) {
        findings
            .add(place, IssueCode::InvalidValue, "must begin with `https://`")
            .hint("plain `http://` is for loopback addresses only");
    }
}

fn identity(raw: &RawConfig, document: &Node, findings: &mut Findings) {
    let agents: Vec<_> = raw.identity.issuers.iter().map(|issuer| issuer.issuer.as_str()).collect();
    let operators: Vec<_> = raw.operators.issuers.iter().map(|issuer| issuer.issuer.as_str()).collect();
    let mut add = |section: &str, issuers: &[&str], issue: IdentityIssue| {
        // Of two entries for one issuer, the last is the one too many.
        let index = issuers.iter().rposition(|issuer| *issuer == issue.issuer).unwrap_or_default();
        let place = document.place_of(&format!("{section}.issuers[{index}].{}", issue.field));
        // A value in the message would be repeated: only the field is named.
        let message = match issue.message.contains('`') {
            true => "cannot be used with the other entries".to_owned(),
            false => issue.message,
        };
        let findings = findings.add(place, IssueCode::InvalidValue, format!("`{}` {message}", issue.field));
        if let Some(hint) = issue.hint {
            findings.hint(hint);
        }
    };
    for issue in validate_issuers(&raw.identity.issuers, &raw.public_url) {
        add("identity", &agents, issue);
    }
    for issue in validate_doors(&raw.identity.issuers, &raw.operators.issuers, &raw.public_url) {
        add("operators", &operators, issue);
    }
    let Some(served) = &raw.environments else { return };
    for (index, issuer) in raw.identity.issuers.iter().enumerate() {
        for audience in issuer.audiences(&raw.public_url).unwrap_or_default() {
            if !served.contains(&audience.environment) {
                let place = document.place_of(&format!("identity.issuers[{index}]"));
                let message = "an audience opens an environment that this process does not serve";
                findings.add(place, IssueCode::EnvironmentMismatch, message);
            }
        }
    }
}

fn environments(served: Option<&[EnvironmentName]>, document: &Node, findings: &mut Findings) {
    let Some(served) = served else { return };
    let place = document.place_of("environments");
    if served.is_empty() {
        findings
            .add(place, IssueCode::InvalidValue, "names no environment")
            .hint("leave it out to serve every environment");
    }
    let mut sorted = served.to_vec();
    sorted.sort();
    sorted.dedup();
    if sorted.len() != served.len() {
        findings.add(place, IssueCode::InvalidValue, "names an environment twice");
    }
}

fn state_issue(error: StateConfigError, document: &Node, findings: &mut Findings) {
    let (path, code) = match error {
        StateConfigError::LiteralPassword => ("state", IssueCode::LiteralSecret),
        StateConfigError::PasswordFile => ("state_password_file", IssueCode::InvalidValue),
        _ => ("state", IssueCode::InvalidValue),
    };
    let findings = findings.add(document.place_of(path), code, error.to_string());
    if error == StateConfigError::LiteralPassword {
        findings.hint("`state_password_file: /path/of/the/file`");
    }
}

fn signing(
    raw: RawSigning,
    audit: &AuditConfig,
    document: &Node,
    directory: &Path,
    findings: &mut Findings,
) -> SigningConfig {
    let mut config = SigningConfig::beside(&audit.directory);
    if let Some(file) = raw.key_file {
        config.key_file = directory.join(file);
    }
    if let Some(days) = raw.rotate_days {
        if !(1..=365).contains(&days) {
            let place = document.place_of("signing.rotate_days");
            findings.add(place, IssueCode::OutOfBounds, "must be from 1 to 365");
        }
        config.rotate_after = Duration::from_secs(days.saturating_mul(86_400));
    }
    config
}

fn audit(mut config: AuditConfig, document: &Node, directory: &Path, findings: &mut Findings) -> AuditConfig {
    config.directory = directory.join(&config.directory);
    config.key_file = config.key_file.map(|file| directory.join(file));
    if let Some(retention) = &mut config.retention {
        retention.archive = retention.archive.take().map(|archive| directory.join(archive));
        retention_limits(retention, &config.directory, document, findings);
    }
    sinks(&config, document, findings);
    if let Some(sink) = &mut config.sink {
        sink.rebase(directory);
    }
    config.sinks.iter_mut().for_each(|sink| sink.rebase(directory));
    config
}

/// Limits that would remove nothing, or everything, are mistakes.
fn retention_limits(limits: &RetentionConfig, evidence: &Path, document: &Node, findings: &mut Findings) {
    let mut wrong = |path: &str, message: &str| {
        findings.add(document.place_of(path), IssueCode::OutOfBounds, message);
    };
    if limits.days.is_none() && limits.max_bytes.is_none() {
        wrong("audit.retention", "needs `days`, `max_bytes` or both");
    }
    if limits.days == Some(0) {
        wrong("audit.retention.days", "must be at least 1");
    }
    if limits.max_bytes.is_some_and(|bytes| bytes < 8 * 1024) {
        wrong("audit.retention.max_bytes", "must be at least 8192");
    }
    if limits.archive.as_deref() == Some(evidence) {
        wrong("audit.retention.archive", "must be another directory than the audit directory");
    }
}

/// Each sink by itself, and that no two share a name, and so a cursor.
fn sinks(config: &AuditConfig, document: &Node, findings: &mut Findings) {
    let former = usize::from(config.sink.is_some());
    let every = config.every_sink();
    for (index, sink) in every.iter().enumerate() {
        let place = match index.checked_sub(former) {
            None => "audit.sink".to_owned(),
            Some(index) => format!("audit.sinks[{index}].{}", sink.kind().word()),
        };
        for problem in sink.problems() {
            let (field, message) = problem.split_once(": ").unwrap_or(("", &problem));
            let place = document.place_of(&format!("{place}.{field}"));
            findings.add(place, IssueCode::InvalidValue, format!("`{field}`: {message}"));
        }
        if every.iter().take(index).any(|other| other.name() == sink.name()) {
            let message = format!("two sinks are called `{}`", sink.name());
            findings
                .add(document.place_of(&place), IssueCode::InvalidValue, message)
                .hint("give each a `name` of its own: its cursor is kept under it");
        }
    }
    if every.len() > MOST_SINKS {
        let message = format!("more than {MOST_SINKS} sinks: each of them reads the whole log");
        findings.add(document.place_of("audit.sinks"), IssueCode::OutOfBounds, message);
    }
}
