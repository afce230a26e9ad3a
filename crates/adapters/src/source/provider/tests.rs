//! The provider client against a provider that misbehaves in every way.

#![expect(clippy::disallowed_methods, reason = "tests compare what was issued")]

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gateway_core::id::{EnvironmentName, StoreName};
use gateway_core::manifest::ProviderSpec;
use gateway_core::ports::Random;
use gateway_core::refusal::Code;
use gateway_core::secret::Secret;
use gateway_core::stores::{StoreClass, StoreEntry, Stores};
use gateway_testkit::clock::ManualClock;
use gateway_testkit::provider::{FakeProvider, METADATA};
use gateway_testkit::store::MemoryStore;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::*;

mod accounts;
mod advertised;
mod answers;
mod certificates;
mod clients;
mod codes;
mod discovery;
mod documents;
mod own;
mod registrations;

/// Counts up, so that every draw differs.
#[derive(Debug, Default)]
pub(in crate::source) struct CountingRandom(std::sync::atomic::AtomicU8);

impl Random for CountingRandom {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
    }
}

pub(in crate::source) struct World {
    pub(in crate::source) provider: FakeProvider,
    pub(in crate::source) store: Arc<MemoryStore>,
    pub(in crate::source) clock: Arc<ManualClock>,
    pub(in crate::source) client: ProviderClient,
}

impl World {
    pub(in crate::source) async fn new() -> Self {
        let store = MemoryStore::new();
        store.insert("provider", "secret", b"s3cret with spaces+and/more");
        let entry = StoreEntry {
            store: store.clone(),
            uncached: store.clone(),
            cache: store.clone(),
            leasing: None,
            writer: None,
            class: StoreClass::External,
            environments: vec![EnvironmentName::parse("dev").unwrap()],
            paths: Vec::new(),
        };
        let stores = Arc::new(Stores::new([(StoreName::parse("memory").unwrap(), entry)]));
        let clock = Arc::new(ManualClock::default());
        let random = Arc::new(CountingRandom::default());
        let client = ProviderClient::new(stores, clock.clone(), random, ProviderSettings::default());
        Self { provider: FakeProvider::start().await, store, clock, client }
    }

    /// The specification, with some members changed.
    pub(in crate::source) fn spec(&self, change: impl FnOnce(&mut Value)) -> ProviderSpec {
        let secret = json!({"client_secret_basic": {"secret": "memory://provider#secret"}});
        let mut spec = json!({
            "name": "notes", "environment": "dev", "owner": "team", "issuer": self.provider.issuer(),
            "client": {"id": "the gateway", "authentication": secret},
            "addresses": ["loopback"],
        });
        change(&mut spec);
        serde_json::from_value(spec).unwrap()
    }

    async fn ask(&self, spec: &ProviderSpec) -> Result<Tokens, ProviderError> {
        let form = Form::grant("client_credentials").scopes(&["a", "b"]);
        self.client.ask(spec, form, &["a", "b"], Issued::AccessToken).await
    }
}

fn code<T: std::fmt::Debug>(outcome: Result<T, ProviderError>) -> Code {
    outcome.unwrap_err().refusal().code()
}
