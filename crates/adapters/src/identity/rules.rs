//! What is expected of one issuer's tokens, ready for use.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::identity::Entry;
use url::Url;

use super::algorithm::JwtAlgorithm;
use super::attest::Vouches;
use super::bundle::{self, Bundle, BundlePlace};
use super::config::{AudienceConfig, Basics, IdentityIssue, IssuerConfig, Preset};
use super::jwks::{IssuerKeys, KeySource};
use super::trust_domain::TrustDomainConfig;
use crate::https::{OutboundClient, OutboundConfig};

/// The word in `token_types` for a token without `typ`.
const ABSENT: &str = "absent";

/// The rules for tokens of one issuer.
#[derive(Debug)]
pub(super) struct IssuerRules {
    pub(super) issuer: Arc<str>,
    pub(super) algorithms: Vec<JwtAlgorithm>,
    /// The audiences of ours; what each opens (nothing for the control plane's own).
    pub(super) audiences: HashMap<String, Vec<Entry>>,
    pub(super) subject_claim: String,
    pub(super) groups_claim: Option<String>,
    pub(super) preset: Option<Preset>,
    pub(super) vouches: Vouches,
    pub(super) leeway: Duration,
    token_types: Vec<String>,
}

/// One issuer: its rules and its keys.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) rules: IssuerRules,
    pub(super) keys: IssuerKeys,
}

impl IssuerRules {
    pub(super) fn new(
        basics: &Basics<'_>,
        groups_claim: Option<&String>,
        audiences: HashMap<String, Vec<Entry>>,
    ) -> Self {
        let preset_groups = || basics.preset.map(|_| "groups".to_owned());
        Self {
            issuer: Arc::from(basics.issuer),
            algorithms: basics.algorithms.to_vec(),
            audiences,
            subject_claim: basics.subject_claim.unwrap_or("sub").to_owned(),
            groups_claim: groups_claim.cloned().or_else(preset_groups),
            preset: basics.preset,
            vouches: if basics.workloads { Vouches::Workloads } else { Vouches::Callers },
            leeway: Duration::from_secs(u64::from(basics.leeway_seconds)),
            token_types: basics.token_types.to_vec(),
        }
    }

    /// Whether a token of this type is an access token here (RFC 9068, section 4; RFC 8725, 3.11).
    pub(super) fn takes_type(&self, token_type: Option<&str>) -> bool {
        self.token_types.iter().any(|taken| match token_type {
            Some(token_type) => taken != ABSENT && taken.eq_ignore_ascii_case(token_type),
            None => taken == ABSENT,
        })
    }
}

impl Issuer {
    /// Whether it is a trust domain, whose SVIDs need no `iss`.
    pub(super) const fn is_trust_domain(&self) -> bool {
        matches!(self.rules.vouches, Vouches::Svids(_))
    }

    /// Makes the rules and a client for the keys. Reads `ca_file` now, touches no network.
    pub(super) fn new(
        rules: IssuerRules,
        basics: &Basics<'_>,
        ca_file: Option<&PathBuf>,
        proxy: Option<&Url>,
    ) -> Result<Self, IdentityIssue> {
        let outbound = OutboundConfig {
            ca_file: ca_file.cloned(),
            proxy: proxy.cloned(),
            max_body: 512 * 1024,
            ..OutboundConfig::default()
        };
        let client = OutboundClient::new(&outbound)
            .map_err(|error| basics.issue("ca_file", &error.to_string(), None))?;
        let source = KeySource::Issuer(basics.jwks_url.cloned(), client);
        let keys = IssuerKeys::new(Arc::clone(&rules.issuer), source);
        Ok(Self { rules, keys })
    }

    pub(super) fn of_data_plane(config: &IssuerConfig, public_url: &Url) -> Result<Self, IdentityIssue> {
        let audiences = doors(config.audiences(public_url)?);
        let basics = config.basics();
        let rules = IssuerRules::new(&basics, config.groups_claim.as_ref(), audiences);
        Self::new(rules, &basics, config.ca_file.as_ref(), config.proxy.as_ref())
    }

    /// The rules of JWT-SVIDs (SPIFFE JWT-SVID, sections 2 and 3) and the bundle's keys. Reads the files
    /// now, so that a bundle that is none is found at the start; touches no network.
    pub(super) fn of_trust_domain(config: &TrustDomainConfig) -> Result<Self, IdentityIssue> {
        let name = config.name()?;
        let place = config.place()?;
        if let BundlePlace::File(path) = &place {
            let read = bundle::read(path).and_then(|bytes| Bundle::parse(&bytes).map(drop));
            read.map_err(|message| config.issue("bundle_file", &message, None))?;
        }
        let rules = IssuerRules {
            issuer: Arc::from(name.id()),
            algorithms: JwtAlgorithm::SVID.to_vec(),
            audiences: doors(config.audiences.clone()),
            subject_claim: "sub".to_owned(),
            groups_claim: None,
            preset: None,
            vouches: Vouches::Svids(name),
            leeway: Duration::from_secs(u64::from(config.leeway_seconds)),
            token_types: ["JWT", "JOSE", ABSENT].map(str::to_owned).to_vec(),
        };
        let keys = IssuerKeys::new(Arc::clone(&rules.issuer), KeySource::Bundle(place));
        Ok(Self { rules, keys })
    }
}

/// What each audience opens.
fn doors(listed: Vec<AudienceConfig>) -> HashMap<String, Vec<Entry>> {
    let mut audiences: HashMap<String, Vec<Entry>> = HashMap::new();
    for audience in listed {
        let entry = Entry { environment: audience.environment, servers: audience.servers };
        audiences.entry(audience.value).or_default().push(entry);
    }
    audiences
}
