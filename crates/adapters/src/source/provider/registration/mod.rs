//! Registrations that the gateway makes itself (RFC 7591): one for each provider, for all replicas.
//!
//! A registration is one secret in the store that the provider's manifest names under `grants`. Whoever finds
//! none registers, one at a time in this process (a turn) and among all of them (a lock), and stores what came
//! of it before anybody uses it. Nothing of it is in the state.

mod evidence;
mod lock;
mod record;
mod request;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gateway_core::client::redirect_uri;
use gateway_core::lease::SecretVersion;
use gateway_core::manifest::ProviderSpec;
use gateway_core::ports::{Random, SecretWriter, StoreError, StoreErrorKind};
use gateway_core::reference::{ResolvedReference, TemplateValues};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::stores::{StoreEntry, Stores};
use gateway_core::time::{Clock, Timestamp};
use http::{HeaderValue, Method as Verb, header};
use sha2::{Digest as _, Sha256};
use url::Url;

pub(super) use self::record::{Proof, Registered};
pub(super) use self::request::Method;

use self::record::FIELD;
use super::answer::LARGEST_ANSWER;
use super::client::OwnClient;
use super::error::ProviderError;
use crate::https::{OutboundClient, OutboundRequest};

/// How long somebody else's registration is waited for, and how often it is looked for.
const WAITING: Duration = Duration::from_secs(20);
const LOOKING: Duration = Duration::from_millis(100);
/// How long the store may take to write.
const WRITING: Duration = Duration::from_secs(10);
/// After trouble nobody asks again for so long.
const RESPITE: Duration = Duration::from_secs(5);

/// Registers the gateway, and knows where its registrations are.
pub(super) struct Registrar {
    own: OwnClient,
    stores: Arc<Stores>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    turns: Mutex<HashMap<String, Arc<Turn>>>,
    /// The client id that each provider was last asked with.
    used: Mutex<HashMap<String, String>>,
}

/// One registration at a time in this process; what went wrong last, and until when that is the answer.
type Turn = tokio::sync::Mutex<Option<(Timestamp, ProviderError)>>;

/// How a provider is asked.
pub(super) struct Way {
    pub(super) http: OutboundClient,
    pub(super) endpoint: Url,
    pub(super) method: Method,
}

/// Where a registration is kept, and its name among the locks.
struct Place {
    name: String,
    reference: ResolvedReference,
}

/// A registration under way; it outlives its caller.
struct Errand {
    spec: ProviderSpec,
    place: Place,
    way: Way,
    /// The client that the provider does not know any more.
    disowned: Option<String>,
}

impl fmt::Debug for Registrar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registrar(..)")
    }
}

impl Registrar {
    pub(super) fn new(
        own: OwnClient,
        stores: Arc<Stores>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self { own, stores, clock, random, turns: Mutex::default(), used: Mutex::default() }
    }

    pub(super) const fn own(&self) -> &OwnClient {
        &self.own
    }

    /// The registration, through the store's cache; none where there is none that holds.
    pub(super) async fn stored(&self, spec: &ProviderSpec) -> Result<Option<Arc<Registered>>, ProviderError> {
        let place = self.place(spec)?;
        let entry = self.entry(spec, &place)?;
        let found = read(entry.store.fetch(&place.reference).await)?;
        Ok(found.filter(|found| !found.is_over(self.clock.now())).map(Arc::new))
    }

    /// Remembers with which client id the provider is asked.
    pub(super) fn uses(&self, spec: &ProviderSpec, id: &str) -> Result<(), ProviderError> {
        let place = self.place(spec)?;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.insert(place.name, id.to_owned());
        Ok(())
    }

    /// The client id that the provider was last asked with.
    pub(super) fn used(&self, spec: &ProviderSpec) -> Result<Option<String>, ProviderError> {
        let place = self.place(spec)?;
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(used.get(&place.name).cloned())
    }

    /// Brings a registration: the one that somebody made meanwhile, or a new one.
    pub(super) async fn bring(
        self: &Arc<Self>,
        spec: &ProviderSpec,
        way: Way,
        disowned: Option<&str>,
    ) -> Result<Arc<Registered>, ProviderError> {
        let place = self.place(spec)?;
        let errand = Errand { spec: spec.clone(), place, way, disowned: disowned.map(str::to_owned) };
        let this = Arc::clone(self);
        // In a task of its own: a caller that goes away leaves no registration that nobody stored.
        let task = tokio::spawn(async move { this.in_turn(&errand).await });
        task.await.unwrap_or_else(|_| Err(ProviderError::unavailable("the registration was cut off")))
    }

    /// Registers anew, where no other replica has done it and it was not done lately.
    pub(super) async fn renew(
        self: &Arc<Self>,
        spec: &ProviderSpec,
        way: Way,
        disowned: &str,
    ) -> Result<(), ProviderError> {
        let place = self.place(spec)?;
        let stored = self.fresh(spec, &place).await?;
        if stored.is_some_and(|stored| stored.id != disowned) {
            return Ok(());
        }
        if !self.may_renew(&place.name, disowned).await? {
            return Err(ProviderError::refused("the gateway was registered anew only lately"));
        }
        let outcome = self.bring(spec, way, Some(disowned)).await.map(drop);
        if outcome.as_ref().is_err_and(ProviderError::is_transient) {
            self.forget_renewal(&place.name).await;
        }
        outcome
    }

    async fn in_turn(&self, errand: &Errand) -> Result<Arc<Registered>, ProviderError> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(errand.place.name.clone()).or_default())
        };
        let mut trouble = turn.lock().await;
        if let Some((until, error)) = &*trouble
            && until.holds_at(self.clock.now(), RESPITE)
        {
            return Err(error.clone());
        }
        let outcome = self.among_all(errand).await;
        let until = self.clock.now().plus(RESPITE);
        *trouble = outcome.as_ref().err().map(|error| (until, error.clone()));
        outcome
    }

    async fn among_all(&self, errand: &Errand) -> Result<Arc<Registered>, ProviderError> {
        let deadline = tokio::time::Instant::now() + WAITING;
        loop {
            if let Some(found) = self.found(errand).await? {
                return Ok(found);
            }
            if let Some(lock) = self.lock(&errand.place.name).await? {
                // Somebody may have finished between the look and the lock.
                let outcome = match self.found(errand).await {
                    Ok(None) => self.register(errand).await,
                    Ok(Some(found)) => Ok(found),
                    Err(error) => Err(error),
                };
                self.unlock(lock).await;
                return outcome;
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(ProviderError::unavailable("another replica's registration does not end"));
            }
            tokio::time::sleep(LOOKING).await;
        }
    }

    /// The stored one, if it will do.
    async fn found(&self, errand: &Errand) -> Result<Option<Arc<Registered>>, ProviderError> {
        let stored = self.fresh(&errand.spec, &errand.place).await?;
        let will_do = |stored: &Registered| {
            !stored.is_over(self.clock.now()) && errand.disowned.as_ref() != Some(&stored.id)
        };
        Ok(stored.filter(will_do).map(Arc::new))
    }

    async fn register(&self, errand: &Errand) -> Result<Arc<Registered>, ProviderError> {
        let Errand { spec, place, way, .. } = errand;
        let entry = self.entry(spec, place)?;
        // First: a registration that cannot be kept is one too many at the provider.
        let writer = writer(entry, &place.reference.path)?;
        self.announce(spec).await?;
        let outcome = self.ask(spec, way).await;
        self.note(spec, &outcome)?;
        let registered = outcome?;
        let unwritten = || ProviderError::malformed("the client secret is no text");
        let document = registered.write().ok_or_else(unwritten)?;
        let writing = writer.put(&place.reference.path, FIELD, document, self.clock.now());
        let late = |_| StoreError::new(StoreErrorKind::Timeout, "the store took too long to write");
        tokio::time::timeout(WRITING, writing).await.map_err(late)??;
        entry.cache.forget(&place.reference);
        Ok(Arc::new(registered))
    }

    async fn ask(&self, spec: &ProviderSpec, way: &Way) -> Result<Registered, ProviderError> {
        let json = HeaderValue::from_static("application/json");
        let mut request = OutboundRequest::new(Verb::POST, way.endpoint.clone())
            .header(header::ACCEPT, json.clone())
            .header(header::CONTENT_TYPE, json)
            .body(request::document(&self.own.public_url, spec, way.method));
        request.max_body = Some(LARGEST_ANSWER);
        let answer = way.http.send(request).await?;
        request::read(&answer, way.method, &self.own.public_url, self.clock.now())
    }

    /// Reads past the cache: another process may have written.
    async fn fresh(&self, spec: &ProviderSpec, place: &Place) -> Result<Option<Registered>, ProviderError> {
        let entry = self.entry(spec, place)?;
        let found = read(entry.uncached.fetch(&place.reference).await)?;
        entry.cache.forget(&place.reference);
        Ok(found)
    }

    /// One place for each provider, issuer and redirect: where one of them changes, the old registration is
    /// nobody's any more.
    fn place(&self, spec: &ProviderSpec) -> Result<Place, ProviderError> {
        let refused = |why: &dyn fmt::Display| Refusal::new(Code::ReferenceRefused).because(why);
        let grants = spec.grants.as_ref();
        let grants = grants
            .ok_or_else(|| refused(&"the provider does not say where its registration is to be kept"))?;
        let redirect = redirect_uri(&self.own.public_url);
        let parts = [spec.environment.as_str(), spec.name.as_str(), &spec.issuer, &redirect];
        let mut name = hex::encode(Sha256::digest(parts.join("\n")));
        name.truncate(32);
        name.insert_str(0, "client-");
        let reference = grants.below(&name, FIELD).map_err(|error| refused(&error))?;
        let values = TemplateValues { agent: None, user: None, environment: &spec.environment };
        let reference = reference.resolve(&values).map_err(|error| refused(&error))?;
        Ok(Place { name, reference })
    }

    /// The store, if it serves the provider's environment.
    fn entry(&self, spec: &ProviderSpec, place: &Place) -> Result<&StoreEntry, ProviderError> {
        Ok(self.stores.open(&spec.environment, &place.reference.store)?)
    }
}

fn read(fetched: Result<Arc<SecretVersion>, StoreError>) -> Result<Option<Registered>, ProviderError> {
    match fetched {
        Ok(version) => {
            let read = Registered::read(&version.secret);
            read.map(Some).map_err(|error| Refusal::new(Code::SecretUnusable).because(error).into())
        }
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn writer<'a>(entry: &'a StoreEntry, path: &str) -> Result<&'a dyn SecretWriter, ProviderError> {
    let writer = entry.writer.as_deref().filter(|writer| writer.takes(path));
    let read_only = || Refusal::new(Code::StoreDenied).because("the store takes no values from the gateway");
    Ok(writer.ok_or_else(read_only)?)
}
