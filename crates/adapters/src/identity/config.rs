//! What an operator writes about an issuer, and every mistake in it at once.

use std::collections::BTreeMap;
use std::path::PathBuf;

use gateway_core::id::{EnvironmentName, ServerName};
use serde::Deserialize;
use url::Url;

use super::algorithm::JwtAlgorithm;
use crate::https::is_loopback;

/// One issuer whose tokens open the data plane.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// Its identifier, compared exactly with `iss` and with the discovery document.
    pub issuer: String,
    /// Where its keys are; found by discovery where absent.
    #[serde(default)]
    pub jwks_url: Option<Url>,
    /// PEM file of the only certificate authorities to trust for it.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The proxy to reach it through.
    #[serde(default)]
    pub proxy: Option<Url>,
    /// The algorithms it may sign with. Default RS256, ES256 and `EdDSA`.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<JwtAlgorithm>,
    /// Shorthand for one audience that is a URL of this gateway: `{public_url}/mcp/{environment}` or
    /// `{public_url}/mcp/{environment}/{server}`.
    #[serde(default)]
    pub audience: Option<String>,
    /// The audiences and the doors that each opens.
    #[serde(default)]
    pub audiences: Vec<AudienceConfig>,
    /// The claim with the stable id of the subject; never an address or a name. Default `sub`.
    #[serde(default)]
    pub subject_claim: Option<String>,
    /// The claim with the groups; without it groups are unknown.
    #[serde(default)]
    pub groups_claim: Option<String>,
    /// The identity provider's own ways.
    #[serde(default)]
    pub preset: Option<Preset>,
    /// Whether its tokens vouch for runtimes, not for people: what workload mappings match. The presets of
    /// such issuers imply it.
    #[serde(default)]
    pub workloads: bool,
    /// How far clocks may differ, in seconds: 0 to 60. Default 5.
    #[serde(default = "default_leeway")]
    pub leeway_seconds: u32,
    /// The token types (`typ`) taken; `absent` means none. Default `at+jwt`, `application/at+jwt`, `JWT`
    /// and `absent`.
    #[serde(default = "default_token_types")]
    pub token_types: Vec<String>,
}

/// One audience value and the doors it opens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudienceConfig {
    /// The value, compared exactly.
    pub value: String,
    /// The environment.
    pub environment: EnvironmentName,
    /// The servers; absent means every server of the environment.
    #[serde(default)]
    pub servers: Option<Vec<ServerName>>,
}

/// Identity providers with ways of their own (DESIGN, section 11.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Microsoft Entra ID: subject `tid/oid`, client `azp` or `appid`, groups with overage, app-only
    /// tokens without a user.
    Entra,
    /// Okta: subject `uid`, client `cid`, no user without `uid`.
    Okta,
    /// A Kubernetes cluster's projected service-account tokens: subject
    /// `system:serviceaccount:NAMESPACE:NAME`.
    Kubernetes,
    /// GitHub Actions: subject `sub`, and a `repository`.
    GithubActions,
    /// GitLab CI: subject `sub`, and a `project_path`; people's tokens of the same issuer are refused.
    Gitlab,
    /// Google service accounts: subject is the account's unique id; people's tokens are refused.
    Google,
    /// Amazon: service accounts of EKS clusters, and roles with a web identity token of STS.
    Aws,
    /// Microsoft Entra ID, app-only tokens: subject `tid/oid`; delegated tokens are refused.
    Azure,
}

/// One mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("issuer `{issuer}`: {field}: {message}")]
pub struct IdentityIssue {
    /// The issuer.
    pub issuer: String,
    /// The field.
    pub field: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

pub(super) fn default_algorithms() -> Vec<JwtAlgorithm> {
    JwtAlgorithm::DEFAULT.to_vec()
}

pub(super) const fn default_leeway() -> u32 {
    5
}

pub(super) fn default_token_types() -> Vec<String> {
    ["at+jwt", "application/at+jwt", "JWT", "absent"].map(str::to_owned).to_vec()
}

/// The fields that every kind of issuer has.
pub(super) struct Basics<'a> {
    pub(super) issuer: &'a str,
    pub(super) jwks_url: Option<&'a Url>,
    pub(super) algorithms: &'a [JwtAlgorithm],
    pub(super) subject_claim: Option<&'a str>,
    pub(super) preset: Option<Preset>,
    pub(super) workloads: bool,
    pub(super) leeway_seconds: u32,
    pub(super) token_types: &'a [String],
}

/// Claims that people can change or that are given to another person later.
const UNSTABLE_CLAIMS: [&str; 6] = ["email", "preferred_username", "upn", "name", "unique_name", "nickname"];

impl Basics<'_> {
    pub(super) fn issues(&self) -> Vec<IdentityIssue> {
        let mut found = Vec::new();
        let mut add = |field, message: &str, hint: Option<&str>| found.push(self.issue(field, message, hint));
        let identifier = Url::parse(self.issuer).ok();
        if !identifier.as_ref().is_some_and(|url| {
            speaks_safely(url)
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
        }) {
            add("issuer", "must be an https URL without user, query or fragment", Some(HTTP_HINT));
        }
        if self.jwks_url.is_some_and(|url| !speaks_safely(url)) {
            add("jwks_url", "must be an https URL", Some(HTTP_HINT));
        }
        if self.algorithms.is_empty() {
            add("algorithms", "must name at least one", Some("leave it out for RS256, ES256 and EdDSA"));
        }
        if self.leeway_seconds > 60 {
            add("leeway_seconds", "must be at most 60", None);
        }
        if self.token_types.is_empty() {
            add("token_types", "must name at least one", Some("`absent` stands for a token without `typ`"));
        }
        match (self.subject_claim, self.preset) {
            (Some(_), Some(_)) => {
                add("subject_claim", "the preset decides the subject", Some("leave it out"))
            }
            (Some(claim), None) if UNSTABLE_CLAIMS.contains(&claim) => {
                add("subject_claim", "is not stable: it may pass to another person", Some("use `sub`"));
            }
            (Some(""), None) => add("subject_claim", "must not be empty", None),
            _ => {}
        }
        found
    }

    pub(super) fn issue(&self, field: &'static str, message: &str, hint: Option<&str>) -> IdentityIssue {
        IdentityIssue {
            issuer: self.issuer.to_owned(),
            field,
            message: message.to_owned(),
            hint: hint.map(str::to_owned),
        }
    }
}

pub(super) const HTTP_HINT: &str = "plain http is only for loopback addresses";

pub(super) fn speaks_safely(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

impl IssuerConfig {
    pub(super) fn basics(&self) -> Basics<'_> {
        Basics {
            issuer: &self.issuer,
            jwks_url: self.jwks_url.as_ref(),
            algorithms: &self.algorithms,
            subject_claim: self.subject_claim.as_deref(),
            preset: self.preset,
            workloads: self.vouches_for_workloads(),
            leeway_seconds: self.leeway_seconds,
            token_types: &self.token_types,
        }
    }

    /// Whether its tokens speak for runtimes, so that no person can be asked to log in there.
    pub fn vouches_for_workloads(&self) -> bool {
        self.workloads || self.preset.is_some_and(Preset::is_of_workloads)
    }

    /// What contradicts the statement that it vouches for runtimes.
    fn workload_issues(&self) -> Vec<IdentityIssue> {
        let basics = self.basics();
        let mut found = Vec::new();
        if self.vouches_for_workloads() && self.groups_claim.is_some() {
            found.push(basics.issue("groups_claim", "has no meaning for workloads", Some("leave it out")));
        }
        let Some(preset) = self.preset else { return found };
        if self.workloads && !preset.is_of_workloads() {
            found.push(basics.issue("workloads", "the preset is of an issuer of people", None));
        }
        let form = Url::parse(&self.issuer).ok().and_then(|issuer| preset.wants_issuer(&issuer));
        if let Some(form) = form {
            let hint = format!("{form}; without the preset, `workloads: true` takes any issuer");
            found.push(basics.issue("issuer", "is not the preset's", Some(&hint)));
        }
        found
    }

    /// The audiences, the shorthand written out.
    ///
    /// # Errors
    /// The shorthand is no URL of this gateway, or both forms or none are there.
    pub fn audiences(&self, public_url: &Url) -> Result<Vec<AudienceConfig>, IdentityIssue> {
        let issue = |field, message: &str, hint: &str| Err(self.basics().issue(field, message, Some(hint)));
        match (&self.audience, self.audiences.is_empty()) {
            (Some(_), false) => issue("audience", "is there twice", "write everything under `audiences`"),
            (None, true) => issue("audiences", "is missing", AUDIENCE_HINT),
            (None, false) => Ok(self.audiences.clone()),
            (Some(value), true) => match shorthand(value, public_url) {
                Some(audience) => Ok(vec![audience]),
                None => issue("audience", "is no URL of this gateway", AUDIENCE_HINT),
            },
        }
    }
}

const AUDIENCE_HINT: &str =
    "`{public_url}/mcp/{environment}` or …`/{server}`; else `audiences: [{value, environment, servers}]`";

fn shorthand(value: &str, public_url: &Url) -> Option<AudienceConfig> {
    let base = public_url.as_str().trim_end_matches('/');
    let place = value.strip_prefix(base)?.strip_prefix("/mcp/")?;
    let (environment, server) = match place.split_once('/') {
        Some((environment, server)) => (environment, Some(server)),
        None => (place, None),
    };
    let servers = match server {
        Some(server) => Some(vec![ServerName::parse(server).ok()?]),
        None => None,
    };
    let environment = EnvironmentName::parse(environment).ok()?;
    Some(AudienceConfig { value: value.to_owned(), environment, servers })
}

/// Every mistake in the issuers of the data plane. `public_url` is the gateway's own.
pub fn validate_issuers(issuers: &[IssuerConfig], public_url: &Url) -> Vec<IdentityIssue> {
    let mut found = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    let mut opened = Opened::default();
    for config in issuers {
        found.extend(config.basics().issues());
        found.extend(config.workload_issues());
        if seen.contains(&config.issuer.as_str()) {
            found.push(config.basics().issue("issuer", "is configured twice", None));
        }
        seen.push(&config.issuer);
        match config.audiences(public_url) {
            Ok(audiences) => found.extend(opened.judge(&config.issuer, &audiences)),
            Err(issue) => found.push(issue),
        }
    }
    found
}

/// Which environment each audience value opens, over all issuers and trust domains.
#[derive(Debug, Default)]
pub(super) struct Opened(BTreeMap<String, EnvironmentName>);

impl Opened {
    /// Adds the audiences of one issuer, and says what is wrong with them.
    pub(super) fn judge(&mut self, issuer: &str, audiences: &[AudienceConfig]) -> Vec<IdentityIssue> {
        let mut found = Vec::new();
        let mut add = |message: String, hint: Option<&str>| {
            let hint = hint.map(str::to_owned);
            found.push(IdentityIssue { issuer: issuer.to_owned(), field: "audiences", message, hint });
        };
        for audience in audiences {
            if audience.value.is_empty() || audience.servers.as_ref().is_some_and(Vec::is_empty) {
                let message = "an audience needs a value, and `servers` at least one name where it is there";
                add(message.to_owned(), None);
            }
            let first = self.0.entry(audience.value.clone()).or_insert_with(|| audience.environment.clone());
            if *first != audience.environment {
                let message = format!(
                    "the value `{}` would open both `{first}` and `{}`",
                    audience.value, audience.environment
                );
                add(message, Some("give each environment an audience of its own"));
            }
        }
        found
    }
}
