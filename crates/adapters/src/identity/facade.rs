//! Access tokens of the gateway's own authorization server: verified in process, with the keys that
//! signed them, and speaking for the person as their identity provider knows them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use gateway_core::actor::UserIdentity;
use gateway_core::id::{EnvironmentName, ServerName};
use gateway_core::identity::{
    Entry, IdentityError, Presented, PresentedCertificates, ProofKind, VerifiedClaims, VerifiedIdentity,
};
use gateway_core::login::{AccessTokenSigner, ClientDocuments, Fault};
use gateway_core::manifest::AddressScope;
use gateway_core::ports::IdentityVerifier;
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use http::{HeaderValue, Method, header};
use serde_json::{Map, Value};
use url::Url;

use super::algorithm::JwtAlgorithm;
use super::cache::VerifiedCache;
use super::config::Basics;
use super::keys::KeySet;
use super::rules::IssuerRules;
use super::token::{MAX_TOKEN_BYTES, SignedClaims, Token};
use super::verifier::OidcVerifier;
use crate::https::{OutboundBuildError, OutboundClient, OutboundConfig, OutboundRequest};
use crate::signing::{Algorithm, Purpose, Signer};

/// The largest client ID metadata document, in bytes.
const DOCUMENT_BYTES: usize = 16 * 1024;

/// Verifies the gateway's own access tokens, and leaves every other token to the configured issuers.
#[derive(Debug)]
pub struct FacadeVerifier {
    others: Arc<OidcVerifier>,
    rules: IssuerRules,
    /// The start of every subject: the identity provider, and the bar.
    people: String,
    provider: Arc<str>,
    signer: Arc<Signer>,
    cache: VerifiedCache,
    /// Keys of our own are taken away only once their last token has expired.
    withdrawals: Arc<AtomicU64>,
}

impl FacadeVerifier {
    /// `public_url` is the issuer of our tokens, `provider` the one that people log in at.
    pub fn new(others: Arc<OidcVerifier>, public_url: &str, provider: &str, signer: Arc<Signer>) -> Self {
        let types = [Purpose::AccessToken.typ().to_owned()];
        let basics = Basics {
            issuer: public_url.trim_end_matches('/'),
            jwks_url: None,
            algorithms: &[JwtAlgorithm::EdDsa],
            subject_claim: None,
            preset: None,
            workloads: false,
            leeway_seconds: 5,
            token_types: &types,
        };
        Self {
            rules: IssuerRules::new(&basics, Some(&"groups".to_owned()), HashMap::new()),
            others,
            people: format!("{provider}|"),
            provider: Arc::from(provider),
            signer,
            cache: VerifiedCache::default(),
            withdrawals: Arc::default(),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "verifiers read the token they verify")]
    fn is_own(&self, presented: &Presented) -> bool {
        let Ok(text) = std::str::from_utf8(presented.token().expose()) else { return false };
        // What is too long or malformed is refused by the others in their words.
        text.len() <= MAX_TOKEN_BYTES
            && Token::parse(text).is_ok_and(|(_, claims)| claims.issuer() == Some(&*self.rules.issuer))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "verifiers read the token they verify, and mint the identity it proves"
    )]
    fn verify_own(
        &self,
        presented: &Presented,
        now: Timestamp,
    ) -> Result<Arc<VerifiedIdentity>, IdentityError> {
        let text = std::str::from_utf8(presented.token().expose()).map_err(|_| IdentityError::Malformed)?;
        let (token, claims) = Token::parse(text)?;
        if !self.rules.takes_type(token.header.token_type.as_deref()) {
            return Err(IdentityError::Claims);
        }
        if !self.rules.algorithms.contains(&token.header.algorithm) {
            return Err(IdentityError::Algorithm);
        }
        let stamp = self.cache.stamp(&self.withdrawals);
        let document = self.signer.jwks(Some(Purpose::AccessToken)).to_string();
        let keys = KeySet::parse(document.as_bytes()).ok_or(IdentityError::KeysUnavailable)?;
        let key = keys.find(token.header.key_id.as_deref(), token.header.algorithm)?;
        let accepted = self.accept(&claims.verified_by(&token, key)?, now)?;
        let identity = Arc::new(VerifiedIdentity::assert_verified(accepted, presented.digest()));
        self.cache.keep(&identity, stamp, now);
        Ok(identity)
    }

    fn accept(&self, claims: &SignedClaims, now: Timestamp) -> Result<VerifiedClaims, IdentityError> {
        let expires_at = self.rules.times(claims, now)?;
        let entry = self.door(claims.required("aud")?).ok_or(IdentityError::Audience)?;
        let subject = claims.required("sub")?.strip_prefix(&self.people);
        // A person of a provider that was exchanged for another is nobody here.
        let subject: Arc<str> = Arc::from(subject.filter(|it| !it.is_empty()).ok_or(IdentityError::Claims)?);
        Ok(VerifiedClaims {
            proof: ProofKind::Jwt,
            issuer: Arc::clone(&self.rules.issuer),
            user: Some(UserIdentity { issuer: Arc::clone(&self.provider), subject: Arc::clone(&subject) }),
            subject,
            groups: self.rules.groups(claims),
            client: Some(Arc::from(claims.required("client_id")?)),
            act_subject: None,
            agent: None,
            attested: None,
            entries: vec![entry],
            expires_at,
        })
    }

    /// The one door that the audience names.
    fn door(&self, audience: &str) -> Option<Entry> {
        let place = audience.strip_prefix(&*self.rules.issuer)?.strip_prefix("/mcp/")?;
        let (environment, server) = place.split_once('/')?;
        Some(Entry {
            environment: EnvironmentName::parse(environment).ok()?,
            servers: Some(vec![ServerName::parse(server).ok()?]),
        })
    }
}

#[async_trait]
impl IdentityVerifier for FacadeVerifier {
    async fn verify(
        &self,
        presented: &Presented,
        now: Timestamp,
    ) -> Result<Arc<VerifiedIdentity>, IdentityError> {
        if let Some(identity) = self.others.verify_cached(presented, now) {
            return Ok(identity);
        }
        if let Some(identity) = self.cache.find(presented.digest(), now) {
            return Ok(identity);
        }
        if self.is_own(presented) {
            return self.verify_own(presented, now);
        }
        self.others.verify(presented, now).await
    }

    fn verify_certificates(
        &self,
        presented: &PresentedCertificates,
        now: Timestamp,
    ) -> Result<Arc<VerifiedIdentity>, IdentityError> {
        self.others.verify_certificates(presented, now)
    }
}

impl AccessTokenSigner for Signer {
    fn sign(&self, claims: &Map<String, Value>) -> Result<Secret, Fault> {
        Self::sign(self, Purpose::AccessToken, Algorithm::EdDsa, claims).map_err(|error| {
            tracing::error!(%error, "an access token cannot be signed");
            Fault::Unavailable
        })
    }
}

/// Fetches client ID metadata documents: every address is judged before it is dialled.
#[derive(Debug)]
pub struct GuardedDocuments(OutboundClient);

impl GuardedDocuments {
    /// `addresses` are the kinds of address beyond public ones that a document may be at.
    ///
    /// # Errors
    /// The CA file cannot be used.
    pub fn new(
        addresses: Vec<AddressScope>,
        ca_file: Option<std::path::PathBuf>,
    ) -> Result<Self, OutboundBuildError> {
        let outbound = OutboundConfig {
            ca_file,
            max_body: DOCUMENT_BYTES,
            guard: Some(addresses),
            ..OutboundConfig::default()
        };
        OutboundClient::new(&outbound).map(Self)
    }
}

#[async_trait]
impl ClientDocuments for GuardedDocuments {
    async fn fetch(&self, url: &Url) -> Result<Vec<u8>, Fault> {
        let accept = HeaderValue::from_static("application/json");
        let request = OutboundRequest::new(Method::GET, url.clone()).header(header::ACCEPT, accept);
        let answer = self.0.send(request).await.map_err(|error| {
            tracing::debug!(%error, "a client's metadata document cannot be fetched");
            Fault::ClientDocumentUnavailable
        })?;
        if answer.status.as_u16() == 200 {
            Ok(answer.body.to_vec())
        } else {
            Err(Fault::ClientDocumentUnavailable)
        }
    }
}
