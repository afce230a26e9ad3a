//! The verifier of JWTs, for any number of issuers.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::identity::{IdentityError, Presented, VerifiedIdentity};
use gateway_core::ports::IdentityVerifier;
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use url::Url;

use super::cache::{Stamp, VerifiedCache};
use super::config::{IdentityIssue, IssuerConfig, validate_issuers};
use super::rules::{Issuer, IssuerRules};
use super::token::{MAX_TOKEN_BYTES, SignedClaims, Token};

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

    /// The issuers, exactly as configured: the authorization servers of RFC 9728 metadata.
    pub fn issuers(&self) -> impl Iterator<Item = &str> {
        self.0.order.iter().map(|issuer| &**issuer)
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
        let (mut issuers, mut order, mut issues) = (HashMap::new(), Vec::new(), Vec::new());
        for issuer in made {
            match issuer {
                Ok(issuer) => {
                    order.push(Arc::clone(&issuer.rules.issuer));
                    issuers.insert(Arc::clone(&issuer.rules.issuer), issuer);
                }
                Err(issue) => issues.push(issue),
            }
        }
        if issues.is_empty() {
            Ok(Self { issuers, order, cache: VerifiedCache::default() })
        } else {
            Err(issues)
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
        let issuer = claims.issuer().ok_or(IdentityError::Claims)?;
        let Issuer { rules, keys } = self.issuers.get(issuer).ok_or(IdentityError::UnknownIssuer)?;
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
