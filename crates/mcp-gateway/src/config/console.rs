//! The `operators.console` section: where operators log in by the browser.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gateway_adapters::identity::{OperatorIssuerConfig, SignInConfig};
use gateway_adapters::store::StoreConfig;
use gateway_core::id::StoreName;
use gateway_core::reference::SecretReference;
use gateway_login::SessionSettings;
use serde::Deserialize;
use url::Url;

use super::issue::{Findings, IssueCode};
use super::login::{Bounded, RawSession};
use super::yaml::Node;

/// How operators log in by the browser.
#[derive(Clone, Debug)]
pub struct ConsoleConfig {
    /// The identity provider: one of `operators.issuers`, whose mapping gives the roles.
    pub provider: SignInConfig,
    /// The key of forms and logins; made at the first start. Replicas share it.
    pub key_file: PathBuf,
    /// How long browser sessions last.
    pub sessions: SessionSettings,
    /// The URL that operators' browsers know.
    pub public_url: Url,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConsole {
    issuer: String,
    client_id: String,
    #[serde(default)]
    client_secret: Option<SecretReference>,
    #[serde(default)]
    scopes: Option<Vec<String>>,
    #[serde(default)]
    origins: Vec<String>,
    key_file: PathBuf,
    #[serde(default)]
    session: RawSession,
}

/// What the section is judged against.
pub(super) struct Around<'a> {
    pub(super) directory: &'a Path,
    pub(super) control_url: Option<&'a Url>,
    pub(super) issuers: &'a [OperatorIssuerConfig],
    pub(super) stores: &'a BTreeMap<StoreName, StoreConfig>,
}

impl RawConsole {
    /// Judges the section; absent where something is missing that nothing can stand in for.
    pub(super) fn judge(
        self,
        document: &Node,
        around: &Around<'_>,
        findings: &mut Findings,
    ) -> Option<ConsoleConfig> {
        self.secret(document, around, findings);
        if around.control_url.is_none() {
            let place = document.place_of("operators.console");
            findings
                .add(place, IssueCode::InvalidValue, "browsers need to know where the console is")
                .hint("give `control.public_url`, such as `https://mcp-control.example.com`");
        }
        let issuer = around.issuers.iter().find(|issuer| issuer.issuer == self.issuer);
        if issuer.is_none() {
            let place = document.place_of("operators.console.issuer");
            findings
                .add(
                    place,
                    IssueCode::InvalidValue,
                    "is none of `operators.issuers`: nobody would have a role",
                )
                .hint("name one of them, whose `roles` say who may do what");
        }
        let mut bounded = Bounded { document, findings, section: "operators.console" };
        // Shorter than people's: an operator's browser opens more.
        let idle = bounded.seconds("session.idle_seconds", self.session.idle_seconds, 900, 60..=28_800);
        let lifetime =
            bounded.seconds("session.lifetime_seconds", self.session.lifetime_seconds, 28_800, 300..=86_400);
        let (issuer, public_url) = (issuer?, around.control_url?.clone());
        let provider = SignInConfig {
            issuer: self.issuer,
            client_id: self.client_id,
            client_secret: self.client_secret,
            scopes: self.scopes.unwrap_or_else(|| vec!["openid".to_owned()]),
            origins: self.origins,
            subject_claim: issuer.subject_claim.clone(),
            groups_claim: issuer.groups_claim.clone(),
            preset: issuer.preset,
            algorithms: issuer.algorithms.clone(),
            ca_file: issuer.ca_file.clone().map(|file| around.directory.join(file)),
            proxy: issuer.proxy.clone(),
            leeway_seconds: issuer.leeway_seconds,
        };
        for issue in provider.issues() {
            let place = document.place_of(&format!("operators.console.{}", issue.field));
            let message = format!("`{}` {}", issue.field, issue.message);
            let found = findings.add(place, IssueCode::InvalidValue, message);
            if let Some(hint) = issue.hint {
                found.hint(hint);
            }
        }
        let sessions = SessionSettings { idle, lifetime };
        Some(ConsoleConfig { provider, key_file: around.directory.join(self.key_file), sessions, public_url })
    }

    fn secret(&self, document: &Node, around: &Around<'_>, findings: &mut Findings) {
        let Some(reference) = &self.client_secret else { return };
        let place = document.place_of("operators.console.client_secret");
        if !around.stores.contains_key(reference.store()) {
            findings
                .add(place, IssueCode::UnknownStore, "the reference names a store that is not configured")
                .hint("configure it under `stores`");
        }
        if reference.has_templates() {
            let message = "a login belongs to nobody yet: the reference takes no templates";
            findings.add(place, IssueCode::Reference, message).hint("name the place itself");
        }
    }
}
