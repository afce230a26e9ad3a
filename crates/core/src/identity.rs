//! Who presented itself: what came in, and the proof that it was verified.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::actor::{Groups, UserIdentity};
use crate::id::{AgentName, EnvironmentName, ServerName};
use crate::secret::Secret;
use crate::time::Timestamp;

/// The prefix of every gateway-issued agent token, so that scanners can find one.
pub const AGENT_TOKEN_PREFIX: &str = "mcpgw_";

/// A bearer token as it came in. Its text never leaves this type; caches are keyed by its digest.
pub struct Presented {
    token: Secret,
    digest: TokenDigest,
}

/// SHA-256 of a presented token: what is stored and compared in place of the token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TokenDigest([u8; 32]);

impl Presented {
    /// Takes the token out of a request.
    pub fn new(token: Secret) -> Self {
        let digest = TokenDigest::of(&token);
        Self { token, digest }
    }

    /// The token itself, for verifiers.
    pub const fn token(&self) -> &Secret {
        &self.token
    }

    /// Its digest.
    pub const fn digest(&self) -> TokenDigest {
        self.digest
    }

    /// Whether it claims to be a gateway-issued agent token.
    #[expect(clippy::disallowed_methods, reason = "reads the public prefix to pick the verifier")]
    pub fn is_agent_token(&self) -> bool {
        self.token.expose().starts_with(AGENT_TOKEN_PREFIX.as_bytes())
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presented(..)")
    }
}

/// A client's certificate chain as a TLS connection brought it. Nobody may believe it yet.
#[derive(Debug)]
pub struct PresentedCertificates {
    chain: Vec<Box<[u8]>>,
    digest: TokenDigest,
}

impl PresentedCertificates {
    /// Takes a chain in DER, leaf first; nothing where it is empty.
    pub fn new(chain: Vec<Box<[u8]>>) -> Option<Self> {
        let digest = TokenDigest::of_certificate(chain.first()?);
        Some(Self { chain, digest })
    }

    /// The leaf, and what it came with.
    pub fn parts(&self) -> Option<(&[u8], impl Iterator<Item = &[u8]>)> {
        let (leaf, rest) = self.chain.split_first()?;
        Some((leaf, rest.iter().map(|der| &**der)))
    }

    /// The digest of the leaf.
    pub const fn digest(&self) -> TokenDigest {
        self.digest
    }
}

impl TokenDigest {
    /// Hashes a token.
    #[expect(clippy::disallowed_methods, reason = "hashing a token is how it is compared")]
    pub fn of(token: &Secret) -> Self {
        Self(Sha256::digest(token.expose()).into())
    }

    /// Hashes a certificate in DER: what stands for a caller that presents no token.
    pub fn of_certificate(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// The digest that stands for a token and a certificate presented together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(Sha256::new().chain_update(self.0).chain_update(other.0).finalize().into())
    }

    /// The raw digest.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}

impl From<TokenDigest> for String {
    fn from(digest: TokenDigest) -> Self {
        hex::encode(digest.0)
    }
}

impl TryFrom<String> for TokenDigest {
    type Error = hex::FromHexError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut bytes = [0_u8; 32];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

/// Where a token may be used: one environment, and in it all servers or the listed ones.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// The environment.
    pub environment: EnvironmentName,
    /// The servers; absent means every server of the environment.
    pub servers: Option<Vec<ServerName>>,
}

impl Entry {
    /// Whether it opens this door.
    pub fn opens(&self, environment: &EnvironmentName, server: &ServerName) -> bool {
        self.environment == *environment
            && self.servers.as_ref().is_none_or(|servers| servers.contains(server))
    }
}

/// How the caller proved itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProofKind {
    /// A JWT of a configured issuer.
    Jwt,
    /// A gateway-issued agent token.
    AgentToken,
    /// A client certificate that is an X.509-SVID.
    Certificate,
}

/// A runtime identity that somebody vouches for: what workload mappings are matched against.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attested {
    /// The issuer or, for SVIDs, the trust domain (`spiffe://example.org`).
    pub issuer: Arc<str>,
    /// The subject; the SPIFFE ID for SVIDs.
    pub subject: Arc<str>,
    /// The claims that are text, numbers or flags, by their path (`kubernetes.io/namespace`).
    pub claims: BTreeMap<String, String>,
}

/// What a verifier learned from a token whose signature, issuer, audience and times it checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedClaims {
    /// How the caller proved itself.
    pub proof: ProofKind,
    /// The issuer, exactly as configured; `gateway` for agent tokens.
    pub issuer: Arc<str>,
    /// The subject by the issuer's subject claim; the agent's name for agent tokens.
    pub subject: Arc<str>,
    /// The person, where the token speaks for one (absent for client credentials).
    pub user: Option<UserIdentity>,
    /// That person's groups.
    pub groups: Groups,
    /// `client_id` or `azp`: the surface, and a possible agent where a confidential client is declared.
    pub client: Option<Arc<str>>,
    /// The outermost actor of a delegated token (RFC 8693, section 4.1).
    pub act_subject: Option<Arc<str>>,
    /// The agent, where the token itself proves it (agent tokens only).
    pub agent: Option<AgentName>,
    /// The runtime, where the issuer vouches for runtimes.
    pub attested: Option<Arc<Attested>>,
    /// The doors it opens, by its audiences.
    pub entries: Vec<Entry>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// The proof that a token was verified. Only verifiers mint one: `assert_verified` is a linted name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedIdentity {
    claims: VerifiedClaims,
    digest: TokenDigest,
}

impl VerifiedIdentity {
    /// States that the claims were verified. Linted: only identity verifiers may call it.
    pub const fn assert_verified(claims: VerifiedClaims, digest: TokenDigest) -> Self {
        Self { claims, digest }
    }

    /// What was verified.
    pub const fn claims(&self) -> &VerifiedClaims {
        &self.claims
    }

    /// The digest of the token that said so.
    pub const fn digest(&self) -> TokenDigest {
        self.digest
    }

    /// The caller of this token on a connection of that certificate: the token says who, the certificate
    /// attests the runtime, and neither adds to what the other may. It ends when the first of them ends.
    /// Nothing where the token attests another runtime: which one is meant would be a guess.
    #[must_use]
    pub fn running_as(&self, certificate: &Self) -> Option<Self> {
        let (told, own) = (&self.claims.attested, &certificate.claims.attested);
        let same =
            |one: &Attested, other: &Attested| one.issuer == other.issuer && one.subject == other.subject;
        if let (Some(told), Some(own)) = (told, own)
            && !same(told, own)
        {
            return None;
        }
        let mut claims = self.claims.clone();
        if claims.attested.is_none() {
            claims.attested.clone_from(own);
        }
        claims.expires_at = claims.expires_at.min(certificate.claims.expires_at);
        Some(Self { claims, digest: self.digest.with(certificate.digest) })
    }

    /// Whether the token still holds at `now` and opens this door.
    pub fn opens(&self, environment: &EnvironmentName, server: &ServerName, now: Timestamp) -> bool {
        now < self.claims.expires_at
            && self.claims.entries.iter().any(|entry| entry.opens(environment, server))
    }
}

/// Why a token was not accepted. Each is a 401 with a challenge, or a 503 where the fault is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not a token of any kind we know, or malformed.
    #[error("the token is malformed")]
    Malformed,
    /// Above the size limit.
    #[error("the token is larger than allowed")]
    TooLarge,
    /// Its issuer is not configured.
    #[error("the token's issuer is not configured")]
    UnknownIssuer,
    /// The algorithm is not allowed for the issuer, `none` included.
    #[error("the token's algorithm is not allowed")]
    Algorithm,
    /// The key id is unknown, even after a refetch.
    #[error("the token's key is unknown")]
    UnknownKey,
    /// The signature does not verify.
    #[error("the token's signature is wrong")]
    Signature,
    /// Expired.
    #[error("the token has expired")]
    Expired,
    /// Not valid yet.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// No audience of this gateway.
    #[error("the token was issued for another audience")]
    Audience,
    /// A claim that must be there is not, or has the wrong shape.
    #[error("a required claim is missing or malformed")]
    Claims,
    /// Revoked, or unknown here.
    #[error("the token is revoked or unknown")]
    Revoked,
    /// The client certificate is no SVID that may be believed, for this reason.
    #[error("the client certificate is not acceptable: {0}")]
    Certificate(&'static str),
    /// The issuer's keys could not be fetched and none are cached.
    #[error("the issuer's keys cannot be fetched")]
    KeysUnavailable,
}
