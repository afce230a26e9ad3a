//! Grants against a provider, a store and a state that fail at every step.

#![expect(clippy::disallowed_methods, reason = "tests compare tokens")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::actor::UserIdentity;
use gateway_core::audit::{Event, EventKind};
use gateway_core::grant::GrantTokenKeeper as _;
use gateway_core::id::{EnvironmentName, StoreName};
use gateway_core::lease::SecretVersion;
use gateway_core::manifest::ProviderSpec;
use gateway_core::ports::{
    AuditError, AuditSink, Random, Sequence, StoreErrorKind, Ticket, TicketKind, Tickets as _,
};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::secret::Secret;
use gateway_core::state::{GrantEndReason, GrantRecord};
use gateway_core::stores::{StoreClass, StoreEntry, Stores};
use gateway_core::time::{Clock as _, Timestamp};
use gateway_testkit::clock::ManualClock;
use gateway_testkit::memory_state::MemoryState;
use gateway_testkit::provider::FakeProvider;
use gateway_testkit::store::MemoryStore;
use serde_json::{Value, json};

use super::{GrantParts, Grants};
use crate::source::ledger::Ledger;
use crate::source::provider::{ProviderClient, ProviderSettings, Tokens};

mod connecting;
mod ends;
mod refreshes;

#[derive(Debug, Default)]
struct Chain(std::sync::Mutex<Vec<Event>>, std::sync::atomic::AtomicBool);

#[async_trait]
impl AuditSink for Chain {
    async fn record(&self, event: Event) -> Result<Sequence, AuditError> {
        if self.1.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(AuditError("the disk is full".to_owned()));
        }
        self.0.lock().unwrap().push(event);
        Ok(Sequence(1))
    }

    fn note(&self, event: Event) -> Result<Sequence, AuditError> {
        self.0.lock().unwrap().push(event);
        Ok(Sequence(1))
    }
}

#[derive(Debug, Default)]
struct Counting(std::sync::atomic::AtomicU8);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
    }
}

/// What all replicas share.
struct World {
    provider: FakeProvider,
    spec: Arc<ProviderSpec>,
    store: Arc<MemoryStore>,
    state: Arc<MemoryState>,
    chain: Arc<Chain>,
    clock: Arc<ManualClock>,
    random: Arc<Counting>,
}

impl World {
    async fn new() -> Self {
        let provider = FakeProvider::start().await;
        let at = |path: &str| format!("{}{path}", provider.issuer());
        // Written out, so that a provider that holds its answers holds those about tokens alone.
        let endpoints = json!({ "token": at("/token"), "revocation": at("/revoke") });
        let spec = json!({
            "endpoints": endpoints, "name": "notes", "environment": "dev", "owner": "support", "issuer": provider.issuer(),
            "client": { "id": "gateway" }, "grants": "memory://grants", "addresses": ["loopback"],
        });
        Self {
            spec: Arc::new(serde_json::from_value(spec).unwrap()),
            provider,
            store: MemoryStore::new(),
            state: Arc::default(),
            chain: Arc::default(),
            clock: Arc::new(ManualClock::at(Timestamp::from_seconds(1_000_000))),
            random: Arc::default(),
        }
    }

    /// One more gateway.
    fn replica(&self) -> Grants {
        let entry = StoreEntry {
            store: self.store.clone(),
            uncached: self.store.clone(),
            cache: self.store.clone(),
            writer: Some(self.store.clone()),
            leasing: None,
            class: StoreClass::External,
            environments: vec![EnvironmentName::parse("dev").unwrap()],
            paths: Vec::new(),
        };
        let stores = Arc::new(Stores::new([(StoreName::parse("memory").unwrap(), entry)]));
        let providers = ProviderClient::new(
            stores.clone(),
            self.clock.clone(),
            self.random.clone(),
            ProviderSettings::default(),
        );
        let ledger = Ledger::new(self.state.clone(), stores.clone(), self.clock.clone(), self.random.clone());
        let ledger = Arc::new(ledger);
        Grants::new(GrantParts {
            providers: Arc::new(providers),
            stores,
            state: self.state.clone(),
            tickets: self.state.clone(),
            audit: self.chain.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
            ledger,
        })
    }

    /// Somebody grants something: an access token `first` for 300 seconds, and a refresh token.
    async fn granted(&self, grants: &Grants, refresh_token: Option<&str>) -> Arc<GrantRecord> {
        let user = UserIdentity { issuer: "https://idp.internal".into(), subject: "alice".into() };
        let tokens = Tokens {
            access_token: Secret::copy_from(b"first"),
            refresh_token: refresh_token.map(|text| Secret::copy_from(text.as_bytes())),
            id_token: None,
            lifetime: Duration::from_secs(300),
            scopes: vec!["notes.read".to_owned()],
        };
        let event = Event::new(EventKind::GrantCreated, self.clock.now());
        let created = grants.create(&self.spec, &user, None, tokens, Some("https://notes.internal"), &event);
        Arc::new(created.await.unwrap())
    }

    /// The provider answers with this access token and refresh token.
    fn answers(&self, access_token: &str, refresh_token: &str) {
        let body = json!({ "access_token": access_token, "token_type": "Bearer", "expires_in": 300,
            "refresh_token": refresh_token });
        self.provider.answer("/token", 200, &[], &body.to_string());
    }

    fn refuses(&self, status: u16, error: &str) {
        self.provider.answer("/token", status, &[], &json!({ "error": error }).to_string());
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn refreshes(&self) -> Vec<String> {
        let asked = self.provider.asked("/token");
        asked.iter().map(|asked| asked.parameter("refresh_token").unwrap().to_owned()).collect()
    }

    async fn token(&self, grants: &Grants, grant: &Arc<GrantRecord>) -> Result<String, Code> {
        let event = Event::new(EventKind::GrantRefreshed, self.clock.now());
        let version = grants.access(grant, &self.spec, event).await.map_err(|refusal| refusal.code())?;
        Ok(text(&version))
    }

    fn kinds(&self) -> Vec<EventKind> {
        self.chain.0.lock().unwrap().iter().map(|event| event.kind).collect()
    }

    fn ended(&self, grant: &GrantRecord) -> Option<GrantEndReason> {
        let state = self.state.now();
        state.grants.iter().find(|known| known.id == grant.id).unwrap().ended.map(|end| end.reason)
    }

    fn stored(&self, grant: &GrantRecord) -> Option<Value> {
        let place = grant.reference.resolve(&gateway_core::reference::TemplateValues {
            agent: None,
            user: None,
            environment: &grant.environment,
        });
        let path = place.unwrap().path;
        let store = self.store.clone();
        let bytes = store.newest(&path, "grant")?;
        Some(serde_json::from_slice(&bytes).unwrap())
    }

    /// What a gateway leaves that dies while it refreshes this version.
    async fn leave_mark(&self, grant: &GrantRecord, version: &str) {
        let mark = Ticket {
            kind: TicketKind::RefreshLock,
            key: format!("mark:{}", grant.id),
            content: version.to_owned(),
            expires_at: self.clock.now().plus(Duration::from_secs(1_000_000)),
        };
        assert!(self.state.insert(&mark, self.clock.now()).await.unwrap());
    }

    async fn mark(&self, grant: &GrantRecord) -> Option<String> {
        let key = format!("mark:{}", grant.id);
        let mark = self.state.read(TicketKind::RefreshLock, &key, self.clock.now()).await.unwrap();
        mark.map(|mark| mark.content)
    }
}

fn text(version: &SecretVersion) -> String {
    String::from_utf8(version.secret.expose().to_vec()).unwrap()
}

fn code(outcome: Result<Arc<SecretVersion>, Refusal>) -> Code {
    outcome.unwrap_err().code()
}
