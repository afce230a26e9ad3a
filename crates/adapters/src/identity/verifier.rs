//! The verifier of JWTs, for any number of issuers.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::identity::{IdentityError, Presented, PresentedCertificates, VerifiedIdentity};
use gateway_core::ports::IdentityVerifier;
use gateway_core::secret::Secret;
use gateway_core::spiffe::SpiffeId;
use gateway_core::time::Timestamp;
use url::Url;

use super::cache::{Stamp, VerifiedCache};
use super::config::{IdentityIssue, IssuerConfig, validate_issuers};
use super::rules::{Issuer, IssuerRules};
use super::svid::Leaf;
use super::token::{MAX_TOKEN_BYTES, SignedClaims, Token, UnverifiedClaims};
use super::trust_domain::{TrustDomainConfig, validate_trust_domains};

/// Verifies the JWTs of the data plane's issuers.
#[derive(Debug)]
pub struct OidcVerifier(Verifier);

/// How one issuer stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerHealth {
    /// The issuer.
    pub issuer: Arc<str>,
    /// How many keys it has that we can use, or what stands in the way.
    pub keys: Result<usize, String>,
}

impl OidcVerifier {
    /// Makes a verifier. `public_url` is the gateway's own, for the audiences in shorthand. Reads CA
    /// files, touches no network.
    ///
    /// # Errors
    /// Every mistake in the configuration.
    pub fn new(issuers: &[IssuerConfig], public_url: &Url) -> Result<Self, Vec<IdentityIssue>> {
        let issues = validate_issuers(issuers, public_url);
        if !issues.is_empty() {
            return Err(issues);
        }
        let made = issuers.iter().map(|config| Issuer::of_data_plane(config, public_url));
        Verifier::new(made).map(Self)
    }

    /// The same verifier, with trust domains whose SVIDs it takes too. Reads bundles that are files,
    /// touches no network.
    ///
    /// # Errors
    /// Every mistake in the configuration.
    pub fn with_trust_domains(
        mut self,
        trust_domains: &[TrustDomainConfig],
        issuers: &[IssuerConfig],
        public_url: &Url,
    ) -> Result<Self, Vec<IdentityIssue>> {
        let issues = validate_trust_domains(trust_domains, issuers, public_url);
        if !issues.is_empty() {
            return Err(issues);
        }
        self.0.add(trust_domains.iter().map(Issuer::of_trust_domain))?;
        Ok(self)
    }

    /// The identity of a token that was verified lately. Never waits; the whole cost of a known token.
    pub fn verify_cached(&self, presented: &Presented, now: Timestamp) -> Option<Arc<VerifiedIdentity>> {
        self.0.cache.find(presented.digest(), now)
    }

    /// Forgets every verified token; each is verified anew when it comes next.
    pub fn forget_all(&self) {
        self.0.cache.forget_all();
    }

    /// Fetches the keys of every issuer whose keys are no longer fresh. For a task that calls it every
    /// minute, so that no request waits for an issuer.
    pub async fn refresh_stale(&self, now: Timestamp) {
        self.0.refresh_stale(now).await;
    }

    /// Fetches every issuer's keys now, for `preflight` and `check --probe`.
    pub async fn probe(&self, now: Timestamp) -> Vec<IssuerHealth> {
        self.0.probe(now).await
    }

    /// Fetches every trust bundle that is no longer fresh, for a task that calls it every few seconds:
    /// a handshake cannot wait for one.
    pub async fn refresh_bundles(&self, now: Timestamp) {
        let stale = self.0.issuers.values().filter(|issuer| issuer.is_trust_domain());
        let stale = stale.filter(|issuer| issuer.keys.is_stale(now));
        // A failure is in the log already, and the old bundle goes on serving.
        futures::future::join_all(stale.map(|issuer| issuer.keys.probe(now))).await;
    }

    #[expect(clippy::disallowed_methods, reason = "verifiers mint the identity that the certificate proves")]
    fn verify_chain(
        &self,
        presented: &PresentedCertificates,
        now: Timestamp,
    ) -> Result<Arc<VerifiedIdentity>, IdentityError> {
        let (leaf, rest) = presented.parts().ok_or(IdentityError::Certificate("there is none"))?;
        let read = Leaf::parse(leaf)?;
        let issuer = self.0.issuers.get(read.id.trust_domain().id().as_str());
        let issuer = issuer.filter(|issuer| issuer.is_trust_domain()).ok_or(IdentityError::UnknownIssuer)?;
        let stamp = self.0.cache.stamp(issuer.keys.withdrawals());
        issuer.keys.verify_chain(leaf, rest, now)?;
        let claims = issuer.rules.certified(&read);
        let identity = Arc::new(VerifiedIdentity::assert_verified(claims, presented.digest()));
        self.0.cache.keep(&identity, stamp, now);
        Ok(identity)
    }
}

#[async_trait]
impl IdentityVerifier for OidcVerifier {
    async fn verify(
        &self,
        presented: &Presented,
        now: Timestamp,
    ) -> Result<Arc<VerifiedIdentity>, IdentityError> {
        self.0.verify(presented, now).await
    }

    fn verify_certificates(
        &self,
        presented: &PresentedCertificates,
        now: Timestamp,
    ) -> Result<Arc<VerifiedIdentity>, IdentityError> {
        match self.0.cache.find(presented.digest(), now) {
            Some(identity) => Ok(identity),
            None => self.verify_chain(presented, now),
        }
    }
}

/// What both doors share; each has its own issuers, audiences and cache.
#[derive(Debug)]
pub(super) struct Verifier {
    issuers: HashMap<Arc<str>, Issuer>,
    order: Vec<Arc<str>>,
    cache: VerifiedCache,
}

impl Verifier {
    pub(super) fn new(
        made: impl Iterator<Item = Result<Issuer, IdentityIssue>>,
    ) -> Result<Self, Vec<IdentityIssue>> {
        let mut verifier =
            Self { issuers: HashMap::new(), order: Vec::new(), cache: VerifiedCache::default() };
        verifier.add(made)?;
        Ok(verifier)
    }

    fn add(
        &mut self,
        made: impl Iterator<Item = Result<Issuer, IdentityIssue>>,
    ) -> Result<(), Vec<IdentityIssue>> {
        let mut issues = Vec::new();
        for issuer in made {
            match issuer {
                Ok(issuer) => {
                    self.order.push(Arc::clone(&issuer.rules.issuer));
                    self.issuers.insert(Arc::clone(&issuer.rules.issuer), issuer);
                }
                Err(issue) => issues.push(issue),
            }
        }
        if issues.is_empty() { Ok(()) } else { Err(issues) }
    }

    /// The issuer that the token names, or the trust domain of its subject: JWT-SVIDs need no `iss`
    /// (SPIFFE JWT-SVID, section 3).
    fn issuer(&self, claims: &UnverifiedClaims) -> Result<&Issuer, IdentityError> {
        if let Some(issuer) = claims.issuer().and_then(|issuer| self.issuers.get(issuer)) {
            return Ok(issuer);
        }
        match claims.subject().filter(|subject| subject.starts_with("spiffe://")) {
            Some(subject) => {
                let id = SpiffeId::parse(subject).map_err(|_| IdentityError::Claims)?;
                self.issuers.get(id.trust_domain().id().as_str()).ok_or(IdentityError::UnknownIssuer)
            }
            None if claims.issuer().is_some() => Err(IdentityError::UnknownIssuer),
            None => Err(IdentityError::Claims),
        }
    }

    pub(super) async fn verify(
        &self,
        presented: &Presented,
        now: Timestamp,
    ) -> Result<Arc<VerifiedIdentity>, IdentityError> {
        if let Some(identity) = self.cache.find(presented.digest(), now) {
            return Ok(identity);
        }
        self.verify_anew(presented, now).await
    }

    #[expect(clippy::disallowed_methods, reason = "verifiers mint the identity that a token proves")]
    async fn verify_anew(
        &self,
        presented: &Presented,
        now: Timestamp,
    ) -> Result<Arc<VerifiedIdentity>, IdentityError> {
        let (rules, signed, stamp) = self.checked(presented.token(), now).await?;
        let accepted = rules.accept(&signed, now)?;
        let identity = Arc::new(VerifiedIdentity::assert_verified(accepted, presented.digest()));
        self.cache.keep(&identity, stamp, now);
        Ok(identity)
    }

    /// The claims of a token whose type, algorithm and signature are its issuer's; times, audience and
    /// everything else are still to be judged.
    pub(super) async fn signed(
        &self,
        token: &Secret,
        now: Timestamp,
    ) -> Result<(&IssuerRules, SignedClaims), IdentityError> {
        let (rules, signed, _) = self.checked(token, now).await?;
        Ok((rules, signed))
    }

    #[expect(clippy::disallowed_methods, reason = "verifiers read the token they verify")]
    async fn checked(
        &self,
        presented: &Secret,
        now: Timestamp,
    ) -> Result<(&IssuerRules, SignedClaims, Stamp), IdentityError> {
        if presented.len() > MAX_TOKEN_BYTES {
            return Err(IdentityError::TooLarge);
        }
        let text = std::str::from_utf8(presented.expose()).map_err(|_| IdentityError::Malformed)?;
        let (token, claims) = Token::parse(text)?;
        let Issuer { rules, keys } = self.issuer(&claims)?;
        if !rules.takes_type(token.header.token_type.as_deref()) {
            return Err(IdentityError::Claims);
        }
        if !rules.algorithms.contains(&token.header.algorithm) {
            return Err(IdentityError::Algorithm);
        }
        let stamp = self.cache.stamp(keys.withdrawals());
        let found = keys.key(token.header.key_id.as_deref(), token.header.algorithm, now).await?;
        let signed = claims.verified_by(&token, found.key()?)?;
        Ok((rules, signed, stamp))
    }

    pub(super) async fn refresh_stale(&self, now: Timestamp) {
        let stale = self.issuers.values().filter(|issuer| issuer.keys.is_stale(now));
        // A failure is in the log already, and the old keys go on serving.
        futures::future::join_all(stale.map(|issuer| issuer.keys.probe(now))).await;
    }

    pub(super) async fn probe(&self, now: Timestamp) -> Vec<IssuerHealth> {
        let asked = self.order.iter().filter_map(|name| self.issuers.get(name)).map(|issuer| async move {
            let keys = issuer.keys.probe(now).await;
            IssuerHealth { issuer: Arc::clone(&issuer.rules.issuer), keys }
        });
        futures::future::join_all(asked).await
    }
}
