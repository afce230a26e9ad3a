//! What an operator writes about a SPIFFE trust domain, and every mistake in it at once.

use std::path::PathBuf;

use gateway_core::spiffe::TrustDomain;
use serde::Deserialize;
use url::Url;

use super::bundle::{BundlePlace, MAX_BUNDLE};
use super::config::{
    AudienceConfig, HTTP_HINT, IdentityIssue, IssuerConfig, Opened, default_leeway, speaks_safely,
};
use crate::https::{OutboundClient, OutboundConfig};

/// One trust domain whose SVIDs open the data plane.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustDomainConfig {
    /// Its bare name, such as `example.org`.
    pub trust_domain: String,
    /// A file with its trust bundle (JSON), looked at every ten seconds.
    #[serde(default)]
    pub bundle_file: Option<PathBuf>,
    /// Its bundle endpoint, by the profile `https_web`. Exactly one of file and endpoint is there.
    #[serde(default)]
    pub bundle_url: Option<Url>,
    /// PEM file of the only certificate authorities to trust for the endpoint.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The proxy to reach the endpoint through.
    #[serde(default)]
    pub proxy: Option<Url>,
    /// The audiences of JWT-SVIDs and the doors that each opens. A certificate has no audience: it opens
    /// all of these doors.
    pub audiences: Vec<AudienceConfig>,
    /// How far clocks may differ for JWT-SVIDs, in seconds: 0 to 60. Default 5.
    #[serde(default = "default_leeway")]
    pub leeway_seconds: u32,
}

impl TrustDomainConfig {
    /// The name, parsed.
    ///
    /// # Errors
    /// It is none.
    pub fn name(&self) -> Result<TrustDomain, IdentityIssue> {
        TrustDomain::parse(&self.trust_domain).map_err(|error| {
            self.issue("trust_domain", &error.to_string(), Some("the bare name, such as `example.org`"))
        })
    }

    pub(super) fn issue(&self, field: &'static str, message: &str, hint: Option<&str>) -> IdentityIssue {
        let issuer = format!("spiffe://{}", self.trust_domain);
        IdentityIssue { issuer, field, message: message.to_owned(), hint: hint.map(str::to_owned) }
    }

    /// Where the bundle is; makes the client of an endpoint.
    pub(super) fn place(&self) -> Result<BundlePlace, IdentityIssue> {
        match (&self.bundle_file, &self.bundle_url) {
            (Some(file), None) => Ok(BundlePlace::File(file.clone())),
            (None, Some(url)) => {
                let outbound = OutboundConfig {
                    ca_file: self.ca_file.clone(),
                    proxy: self.proxy.clone(),
                    max_body: usize::try_from(MAX_BUNDLE).unwrap_or(usize::MAX),
                    ..OutboundConfig::default()
                };
                let client = OutboundClient::new(&outbound)
                    .map_err(|error| self.issue("ca_file", &error.to_string(), None))?;
                Ok(BundlePlace::Endpoint(url.clone(), client))
            }
            _ => Err(self.issue(
                "bundle_file",
                "exactly one of `bundle_file` and `bundle_url` is needed",
                None,
            )),
        }
    }

    fn issues(&self) -> Vec<IdentityIssue> {
        let mut found: Vec<IdentityIssue> = self.name().err().into_iter().collect();
        let mut add = |field, message: &str, hint| found.push(self.issue(field, message, hint));
        if self.bundle_file.is_some() == self.bundle_url.is_some() {
            add("bundle_file", "exactly one of `bundle_file` and `bundle_url` is needed", None);
        }
        if self.bundle_url.as_ref().is_some_and(|url| !speaks_safely(url)) {
            add("bundle_url", "must be an https URL", Some(HTTP_HINT));
        }
        if self.bundle_url.is_none() && (self.ca_file.is_some() || self.proxy.is_some()) {
            add("ca_file", "`ca_file` and `proxy` are for `bundle_url` alone", None);
        }
        if self.leeway_seconds > 60 {
            add("leeway_seconds", "must be at most 60", None);
        }
        if self.audiences.is_empty() {
            add("audiences", "must name at least one", Some("`audiences: [{value, environment, servers}]`"));
        }
        found
    }
}

/// Every mistake in the trust domains. The issuers beside them are only asked what their audiences open.
pub fn validate_trust_domains(
    trust_domains: &[TrustDomainConfig],
    issuers: &[IssuerConfig],
    public_url: &Url,
) -> Vec<IdentityIssue> {
    let mut opened = Opened::default();
    for issuer in issuers {
        drop(opened.judge(&issuer.issuer, &issuer.audiences(public_url).unwrap_or_default()));
    }
    let mut found = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for config in trust_domains {
        found.extend(config.issues());
        if seen.contains(&config.trust_domain.as_str()) {
            found.push(config.issue("trust_domain", "is configured twice", None));
        }
        seen.push(&config.trust_domain);
        found.extend(opened.judge(&format!("spiffe://{}", config.trust_domain), &config.audiences));
    }
    found
}
