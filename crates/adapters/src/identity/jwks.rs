//! The keys of one issuer or trust domain: fetched on demand, kept fresh, used through an outage for a stated time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use gateway_core::identity::IdentityError;
use gateway_core::time::Timestamp;
use http::{HeaderMap, Method, header};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::algorithm::JwtAlgorithm;
use super::bundle::{self, Bundle, BundlePlace};
use super::keys::{KeySet, Missing, VerificationKey};
use super::strict_json;
use super::svid::Authorities;
use crate::https::{OutboundClient, OutboundRequest, is_loopback};

/// How long keys are fresh where the issuer does not say.
const FRESH: Duration = Duration::from_secs(600);
/// The limits for what the issuer says by `max-age`.
const FRESH_LIMITS: (u64, u64) = (60, 3600);
/// How long keys serve in an outage, since the last success.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// An unknown key id leads to a fetch this often at most, so that strangers cannot make us hammer.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(60);
/// The pause after a failed fetch while old keys serve.
const STALE_PAUSE: Duration = Duration::from_secs(10);
/// The pause after a failed fetch while there are no keys.
const EMPTY_PAUSE: Duration = Duration::from_secs(1);
/// The time for discovery and keys together.
const DEADLINE: Duration = Duration::from_secs(8);

/// The keys of one issuer or trust domain.
#[derive(Debug)]
pub(super) struct IssuerKeys {
    issuer: Arc<str>,
    source: KeySource,
    held: RwLock<Option<Arc<Held>>>,
    /// Held while fetching, so that one fetch serves all who wait.
    fetch: Mutex<Fetches>,
    withdrawals: Arc<AtomicU64>,
}

/// Where keys come from.
#[derive(Debug)]
pub(super) enum KeySource {
    /// An OpenID Connect issuer; its keys by discovery where no place is given.
    Issuer(Option<Url>, OutboundClient),
    /// A SPIFFE trust bundle.
    Bundle(BundlePlace),
}

/// What was fetched.
#[derive(Debug)]
struct Fetched {
    keys: KeySet,
    /// The authorities of X.509-SVIDs, where it is a trust bundle.
    authorities: Option<Authorities>,
    fresh: Duration,
}

#[derive(Debug)]
struct Held {
    keys: KeySet,
    authorities: Option<Authorities>,
    fetched_at: Timestamp,
    fresh: Duration,
    /// When, by a clock that nobody can set.
    born: Instant,
}

#[derive(Debug, Default)]
struct Fetches {
    for_unknown_key: Option<Timestamp>,
    failed: Option<Timestamp>,
}

/// A key, kept alive by the set it is in.
pub(super) struct FoundKey {
    held: Arc<Held>,
    id: Option<String>,
    algorithm: JwtAlgorithm,
}

impl FoundKey {
    /// The key.
    ///
    /// # Errors
    /// Never in practice: it was found in this very set.
    pub(super) fn key(&self) -> Result<&VerificationKey, IdentityError> {
        self.held.keys.find(self.id.as_deref(), self.algorithm).map_err(|_| IdentityError::UnknownKey)
    }
}

impl Held {
    /// Whether it is younger than that by both clocks: one that was set back must not let keys live longer.
    fn is_younger(&self, age: Duration, now: Timestamp) -> bool {
        now.since(self.fetched_at) < age && self.born.elapsed() < age
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        self.is_younger(self.fresh, now)
    }

    fn lost_one(&self, newer: &Self) -> bool {
        let authority_gone = match (&self.authorities, &newer.authorities) {
            (Some(old), Some(new)) => old.lost_one(new),
            (old, new) => old.is_some() && new.is_none(),
        };
        authority_gone || self.keys.lost_one(&newer.keys)
    }

    fn find(self: &Arc<Self>, id: Option<&str>, algorithm: JwtAlgorithm) -> Result<FoundKey, Missing> {
        self.keys.find(id, algorithm)?;
        Ok(FoundKey { held: Arc::clone(self), id: id.map(str::to_owned), algorithm })
    }
}

impl IssuerKeys {
    pub(super) fn new(issuer: Arc<str>, source: KeySource) -> Self {
        Self {
            issuer,
            source,
            held: RwLock::new(None),
            fetch: Mutex::new(Fetches::default()),
            withdrawals: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Counts the fetches in which a key was gone: what was verified before such a one is asked again.
    pub(super) const fn withdrawals(&self) -> &Arc<AtomicU64> {
        &self.withdrawals
    }

    /// The key of this id.
    ///
    /// # Errors
    /// [`IdentityError::UnknownKey`], [`IdentityError::Algorithm`] where the key is for another one, or
    /// [`IdentityError::KeysUnavailable`].
    pub(super) async fn key(
        &self,
        id: Option<&str>,
        algorithm: JwtAlgorithm,
        now: Timestamp,
    ) -> Result<FoundKey, IdentityError> {
        if let Some(held) = self.usable(now) {
            match held.find(id, algorithm) {
                Ok(found) if held.is_fresh(now) => return Ok(found),
                Ok(found) => return self.refreshed(found, now).await,
                Err(Missing::OtherAlgorithm) => return Err(IdentityError::Algorithm),
                Err(Missing::Unknown) => {}
            }
        }
        let mut fetches = self.fetch.lock().await;
        match self.usable(now) {
            Some(held) => {
                // Whoever held the lock before may have fetched the key.
                if let Ok(found) = held.find(id, algorithm) {
                    return Ok(found);
                }
                if within(fetches.for_unknown_key, now, UNKNOWN_PAUSE) {
                    return Err(if fetches.failed.is_some() {
                        IdentityError::KeysUnavailable
                    } else {
                        IdentityError::UnknownKey
                    });
                }
                fetches.for_unknown_key = Some(now);
            }
            None if within(fetches.failed, now, EMPTY_PAUSE) => return Err(IdentityError::KeysUnavailable),
            None => {}
        }
        let held = self.fetch(&mut fetches, now).await.map_err(|_| IdentityError::KeysUnavailable)?;
        held.find(id, algorithm).map_err(IdentityError::from)
    }

    /// Verifies a client's chain by the authorities at hand. Never waits: a task keeps them fresh.
    ///
    /// # Errors
    /// [`IdentityError::KeysUnavailable`] where none are at hand, else why the chain is not accepted.
    pub(super) fn verify_chain<'a>(
        &self,
        leaf: &[u8],
        rest: impl Iterator<Item = &'a [u8]>,
        now: Timestamp,
    ) -> Result<(), IdentityError> {
        let held = self.usable(now).ok_or(IdentityError::KeysUnavailable)?;
        held.authorities.as_ref().ok_or(IdentityError::UnknownIssuer)?.verify(leaf, rest, now)
    }

    /// Fetches keys that are no longer fresh, unless somebody else is at it or it failed just now; then
    /// the old ones serve.
    async fn refreshed(&self, found: FoundKey, now: Timestamp) -> Result<FoundKey, IdentityError> {
        let Ok(mut fetches) = self.fetch.try_lock() else { return Ok(found) };
        if within(fetches.failed, now, STALE_PAUSE) {
            return Ok(found);
        }
        match self.fetch(&mut fetches, now).await {
            Ok(held) => held.find(found.id.as_deref(), found.algorithm).map_err(IdentityError::from),
            Err(_) => Ok(found),
        }
    }

    /// Fetches the keys now and says how many are usable. For the start, for `preflight`, and for a
    /// task that keeps them fresh so that no request waits.
    ///
    /// # Errors
    /// What stands in the way, for the operator.
    pub(super) async fn probe(&self, now: Timestamp) -> Result<usize, String> {
        let mut fetches = self.fetch.lock().await;
        let held = self.fetch(&mut fetches, now).await?;
        Ok(held.keys.len() + held.authorities.as_ref().map_or(0, Authorities::len))
    }

    /// Whether the keys want a fetch.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        self.usable(now).is_none_or(|held| !held.is_fresh(now))
    }

    fn usable(&self, now: Timestamp) -> Option<Arc<Held>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner).clone();
        held.filter(|held| held.is_younger(MAX_AGE, now))
    }

    async fn fetch(&self, fetches: &mut Fetches, now: Timestamp) -> Result<Arc<Held>, String> {
        // Set before the first await: a caller that goes away must not let the next one try at once.
        fetches.failed = Some(now);
        let outcome = tokio::time::timeout(DEADLINE, self.document()).await;
        let Fetched { keys, authorities, fresh } =
            outcome.map_err(|_| "no answer in time".to_owned()).flatten().inspect_err(|reason| {
                tracing::warn!(issuer = &*self.issuer, reason, "the issuer's keys cannot be fetched")
            })?;
        fetches.failed = None;
        let held = Arc::new(Held { keys, authorities, fetched_at: now, fresh, born: Instant::now() });
        let before = self.held.write().unwrap_or_else(PoisonError::into_inner).replace(Arc::clone(&held));
        if before.is_some_and(|before| before.lost_one(&held)) {
            self.withdrawals.fetch_add(1, Ordering::Release);
        }
        Ok(held)
    }

    async fn document(&self) -> Result<Fetched, String> {
        match &self.source {
            KeySource::Issuer(place, client) => {
                let url = match place {
                    Some(url) => url.clone(),
                    None => self.discover(client).await?,
                };
                let (_, headers, body) = read(client, url).await.and_then(ok)?;
                let keys = KeySet::parse(&body).ok_or("the key document is no JWK set")?;
                Ok(Fetched { keys, authorities: None, fresh: freshness(&headers) })
            }
            KeySource::Bundle(place) => {
                let body = match place {
                    BundlePlace::Endpoint(url, client) => read(client, url.clone()).await.and_then(ok)?.2,
                    BundlePlace::File(path) => {
                        let path = path.clone();
                        let read = tokio::task::spawn_blocking(move || bundle::read(&path)).await;
                        read.map_err(|error| error.to_string())??
                    }
                };
                let bundle = Bundle::parse(&body)?;
                let fresh = bundle.fresh(place);
                Ok(Fetched { keys: bundle.keys, authorities: Some(bundle.authorities), fresh })
            }
        }
    }

    /// Asks the well-known places of OpenID Connect Discovery 1.0 (section 4) and RFC 8414 (section 3).
    async fn discover(&self, client: &OutboundClient) -> Result<Url, String> {
        let mut last = "no discovery document".to_owned();
        for place in discovery_places(&self.issuer) {
            match read(client, place).await {
                Ok((200, _, body)) => return jwks_uri(&body, &self.issuer),
                Ok((status, ..)) => last = format!("the discovery document answers {status}"),
                Err(reason) => return Err(reason),
            }
        }
        Err(last)
    }
}

async fn read(client: &OutboundClient, url: Url) -> Result<Answer, String> {
    let accept = http::HeaderValue::from_static("application/json");
    let request = OutboundRequest::new(Method::GET, url).header(header::ACCEPT, accept);
    let answer = client.send(request).await.map_err(|error| error.to_string())?;
    Ok((answer.status.as_u16(), answer.headers, answer.body.to_vec()))
}

impl From<Missing> for IdentityError {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Unknown => Self::UnknownKey,
            Missing::OtherAlgorithm => Self::Algorithm,
        }
    }
}

type Answer = (u16, HeaderMap, Vec<u8>);

fn ok(answer: Answer) -> Result<Answer, String> {
    if answer.0 == 200 { Ok(answer) } else { Err(format!("the key document answers {}", answer.0)) }
}

/// Whether a pause holds. A clock that was set back ends it, or it could last for ever.
fn within(since: Option<Timestamp>, now: Timestamp, pause: Duration) -> bool {
    since.is_some_and(|since| now.since(since) < pause && since.since(now) < pause)
}

/// `max-age` within limits; 10 minutes where nothing is said.
fn freshness(headers: &HeaderMap) -> Duration {
    let directives = headers.get(header::CACHE_CONTROL).and_then(|value| value.to_str().ok());
    let directives = directives.into_iter().flat_map(|value| value.split(',')).map(str::trim);
    let (least, most) = FRESH_LIMITS;
    let mut fresh = FRESH;
    for directive in directives {
        let directive = directive.to_ascii_lowercase();
        if directive == "no-store" || directive == "no-cache" {
            return Duration::from_secs(least);
        }
        if let Some(age) = directive.strip_prefix("max-age=").and_then(|age| age.parse::<u64>().ok()) {
            fresh = Duration::from_secs(age.clamp(least, most));
        }
    }
    fresh
}

/// The places, each one once.
pub(super) fn discovery_places(issuer: &str) -> Vec<Url> {
    let trimmed = issuer.trim_end_matches('/');
    let Ok(parsed) = Url::parse(trimmed) else { return Vec::new() };
    let origin = parsed.origin().ascii_serialization();
    let path = parsed.path().trim_end_matches('/');
    let texts = [
        format!("{trimmed}/.well-known/openid-configuration"),
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
        format!("{origin}/.well-known/openid-configuration{path}"),
    ];
    let mut places: Vec<Url> = Vec::new();
    for place in texts.iter().filter_map(|text| Url::parse(text).ok()) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// The address of the keys, from a document of exactly this issuer.
fn jwks_uri(document: &[u8], issuer: &str) -> Result<Url, String> {
    let document = strict_json::object(document).ok_or("the discovery document is no JSON object")?;
    let text = |name: &str| document.get(name).and_then(serde_json::Value::as_str);
    if text("issuer") != Some(issuer) {
        return Err("the discovery document is of another issuer".to_owned());
    }
    let url = text("jwks_uri").and_then(|url| Url::parse(url).ok());
    let url = url.ok_or("the discovery document has no `jwks_uri`")?;
    // Only an issuer that itself speaks plain HTTP on this machine may keep its keys so.
    let plain = url.scheme() == "http" && is_loopback(&url) && issuer.starts_with("http://");
    if url.scheme() != "https" && !plain {
        return Err("the `jwks_uri` is not https".to_owned());
    }
    Ok(url)
}
