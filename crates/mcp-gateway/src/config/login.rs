//! The `login` section: where people log in, and what their clients may do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway_adapters::identity::{IssuerConfig, JwtAlgorithm, Preset, SignInConfig};
use gateway_adapters::store::StoreConfig;
use gateway_core::id::StoreName;
use gateway_core::manifest::AddressScope;
use gateway_core::reference::SecretReference;
use gateway_login::{FacadeSettings, MetadataDomain, SessionSettings};
use serde::Deserialize;
use url::Url;

use super::issue::{Findings, IssueCode};
use super::yaml::Node;

/// How people log in by the browser.
#[derive(Clone, Debug)]
pub struct LoginConfig {
    /// The identity provider.
    pub provider: SignInConfig,
    /// The key of forms, logins and refresh tokens; made at the first start. Replicas share it.
    pub key_file: PathBuf,
    /// How long browser sessions last.
    pub sessions: SessionSettings,
    /// The authorization server for people's clients, where there is one.
    pub clients: Option<ClientsConfig>,
}

/// The authorization server for people's clients.
#[derive(Clone, Debug)]
pub struct ClientsConfig {
    /// What it may do.
    pub settings: FacadeSettings,
    /// Kinds of non-public address that client ID metadata documents may be at.
    pub addresses: Vec<AddressScope>,
    /// PEM file of the only certificate authorities to trust for them.
    pub ca_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLogin {
    issuer: String,
    client_id: String,
    #[serde(default)]
    client_secret: Option<SecretReference>,
    #[serde(default)]
    scopes: Option<Vec<String>>,
    #[serde(default)]
    origins: Vec<String>,
    #[serde(default)]
    subject_claim: Option<String>,
    #[serde(default)]
    groups_claim: Option<String>,
    #[serde(default)]
    preset: Option<Preset>,
    #[serde(default)]
    algorithms: Option<Vec<JwtAlgorithm>>,
    #[serde(default)]
    ca_file: Option<PathBuf>,
    #[serde(default)]
    proxy: Option<Url>,
    #[serde(default)]
    leeway_seconds: Option<u32>,
    key_file: PathBuf,
    #[serde(default)]
    session: RawSession,
    #[serde(default)]
    clients: Option<RawClients>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSession {
    pub(super) idle_seconds: Option<u64>,
    pub(super) lifetime_seconds: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawClients {
    metadata_domains: Vec<String>,
    registration: bool,
    assertions: bool,
    addresses: Vec<AddressScope>,
    ca_file: Option<PathBuf>,
    access_token_seconds: Option<u64>,
    refresh_idle_seconds: Option<u64>,
    refresh_lifetime_seconds: Option<u64>,
}

/// What the section is judged against.
pub(super) struct Surroundings<'a> {
    pub(super) directory: &'a Path,
    pub(super) public_url: &'a Url,
    pub(super) issuers: &'a [IssuerConfig],
    pub(super) stores: &'a std::collections::BTreeMap<StoreName, StoreConfig>,
}

impl RawLogin {
    /// Judges the section.
    pub(super) fn judge(
        self,
        document: &Node,
        around: &Surroundings<'_>,
        findings: &mut Findings,
    ) -> LoginConfig {
        self.secret(document, around, findings);
        self.identity(document, around, findings);
        let sessions = self.session.judge(document, findings);
        let clients = self.clients.map(|clients| clients.judge(document, around.directory, findings));
        let provider = SignInConfig {
            issuer: self.issuer,
            client_id: self.client_id,
            client_secret: self.client_secret,
            scopes: self.scopes.unwrap_or_else(|| vec!["openid".to_owned()]),
            origins: self.origins,
            subject_claim: self.subject_claim,
            groups_claim: self.groups_claim,
            preset: self.preset,
            algorithms: self.algorithms.unwrap_or_else(|| JwtAlgorithm::DEFAULT.to_vec()),
            ca_file: self.ca_file.map(|file| around.directory.join(file)),
            proxy: self.proxy,
            leeway_seconds: self.leeway_seconds.unwrap_or(5),
        };
        for issue in provider.issues() {
            let place = document.place_of(&format!("login.{}", issue.field));
            let found =
                findings.add(place, IssueCode::InvalidValue, format!("`{}` {}", issue.field, issue.message));
            if let Some(hint) = issue.hint {
                found.hint(hint);
            }
        }
        LoginConfig { provider, key_file: around.directory.join(self.key_file), sessions, clients }
    }

    fn secret(&self, document: &Node, around: &Surroundings<'_>, findings: &mut Findings) {
        let Some(reference) = &self.client_secret else { return };
        let place = document.place_of("login.client_secret");
        if !around.stores.contains_key(reference.store()) {
            findings
                .add(place, IssueCode::UnknownStore, "the reference names a store that is not configured")
                .hint("configure it under `stores`");
        }
        if reference.has_templates() {
            findings
                .add(
                    place,
                    IssueCode::Reference,
                    "a login belongs to nobody yet: the reference takes no templates",
                )
                .hint("name the place itself");
        }
    }

    /// One person is one user, whichever way they come; and nobody logs in at the gateway itself.
    fn identity(&self, document: &Node, around: &Surroundings<'_>, findings: &mut Findings) {
        let place = document.place_of("login.issuer");
        let mut add = |message: &str, hint: &str| {
            findings.add(place, IssueCode::InvalidValue, message).hint(hint);
        };
        if let Some(issuer) = around.issuers.iter().find(|issuer| issuer.issuer == self.issuer) {
            let own = (self.preset, self.subject_claim.as_deref().unwrap_or("sub"));
            if own != (issuer.preset, issuer.subject_claim.as_deref().unwrap_or("sub")) {
                add(
                    "differs from the same issuer under `identity.issuers`: one person would be two",
                    "use the same `preset` and `subject_claim`",
                );
            }
        }
        let own = around.public_url.as_str().trim_end_matches('/');
        let is_own = |issuer: &str| issuer.trim_end_matches('/') == own;
        if is_own(&self.issuer) || around.issuers.iter().any(|issuer| is_own(&issuer.issuer)) {
            add(
                "the gateway's own URL is the issuer of its own tokens, and no identity provider",
                "name the enterprise's identity provider",
            );
        }
    }
}

impl RawSession {
    fn judge(&self, document: &Node, findings: &mut Findings) -> SessionSettings {
        let mut bounded = Bounded { document, findings, section: "login" };
        let idle = bounded.seconds("session.idle_seconds", self.idle_seconds, 3_600, 60..=86_400);
        let lifetime =
            bounded.seconds("session.lifetime_seconds", self.lifetime_seconds, 28_800, 300..=604_800);
        SessionSettings { idle, lifetime }
    }
}

impl RawClients {
    fn judge(self, document: &Node, directory: &Path, findings: &mut Findings) -> ClientsConfig {
        let mut metadata_domains = Vec::new();
        for (index, text) in self.metadata_domains.iter().enumerate() {
            match MetadataDomain::parse(text) {
                Some(domain) => metadata_domains.push(domain),
                None => {
                    let place = document.place_of(&format!("login.clients.metadata_domains[{index}]"));
                    findings
                        .add(place, IssueCode::InvalidValue, "is no host, no `*.domain` and not `*`")
                        .hint("write hosts in lower case, without scheme, port or path");
                }
            }
        }
        if metadata_domains.is_empty() && self.metadata_domains.is_empty() && !self.registration {
            let place = document.place_of("login.clients");
            findings
                .add(place, IssueCode::InvalidValue, "no client could ever become known")
                .hint("name hosts under `metadata_domains`, or set `registration: true`");
        }
        let mut bounded = Bounded { document, findings, section: "login" };
        let access =
            bounded.seconds("clients.access_token_seconds", self.access_token_seconds, 600, 60..=3_600);
        let refresh_idle = bounded.seconds(
            "clients.refresh_idle_seconds",
            self.refresh_idle_seconds,
            28_800,
            600..=2_592_000,
        );
        let refresh_lifetime = bounded.seconds(
            "clients.refresh_lifetime_seconds",
            self.refresh_lifetime_seconds,
            86_400,
            600..=2_592_000,
        );
        ClientsConfig {
            settings: FacadeSettings {
                metadata_domains,
                registration: self.registration,
                assertions: self.assertions,
                access_lifetime: access,
                refresh_idle,
                refresh_lifetime,
            },
            addresses: self.addresses,
            ca_file: self.ca_file.map(|file| directory.join(file)),
        }
    }
}

/// Reads numbers within their bounds.
pub(super) struct Bounded<'a> {
    pub(super) document: &'a Node,
    pub(super) findings: &'a mut Findings,
    /// The section that the fields are in.
    pub(super) section: &'static str,
}

impl Bounded<'_> {
    pub(super) fn seconds(
        &mut self,
        field: &str,
        written: Option<u64>,
        default: u64,
        bounds: std::ops::RangeInclusive<u64>,
    ) -> Duration {
        let seconds = written.unwrap_or(default);
        if !bounds.contains(&seconds) {
            let place = self.document.place_of(&format!("{}.{field}", self.section));
            let message = format!("must be from {} to {}", bounds.start(), bounds.end());
            self.findings.add(place, IssueCode::OutOfBounds, message);
        }
        Duration::from_secs(seconds)
    }
}
