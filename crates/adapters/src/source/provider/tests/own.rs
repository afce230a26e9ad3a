//! Gateways that are clients of their own, and what all their replicas share.

use gateway_core::manifest::ClientAuthentication;
use gateway_core::ports::SecretWriter;
use gateway_testkit::memory_state::MemoryState;

use super::*;
use crate::signing::Signer;
use crate::source::tests::fixture::Chain;

pub(super) const PUBLIC: &str = "https://mcp.example/";
pub(super) const REDIRECT: &str = "https://mcp.example/connect/callback";

pub(super) struct House {
    pub(super) provider: FakeProvider,
    pub(super) store: Arc<MemoryStore>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) chain: Arc<Chain>,
    pub(super) signer: Arc<Signer>,
    state: Arc<MemoryState>,
    random: Arc<CountingRandom>,
}

impl House {
    /// The provider's metadata has these members more.
    pub(super) async fn new(more: Value) -> Self {
        let clock = Arc::new(ManualClock::default());
        let house = Self {
            provider: FakeProvider::start().await,
            store: MemoryStore::new(),
            chain: Arc::default(),
            signer: Arc::new(Signer::ephemeral(clock.now()).unwrap()),
            clock,
            state: Arc::default(),
            random: Arc::default(),
        };
        house.says(more);
        house
    }

    pub(super) fn says(&self, more: Value) {
        let mut document = self.provider.metadata();
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.provider.answer(METADATA, 200, &[], &document.to_string());
    }

    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.provider.issuer())
    }

    /// One more gateway.
    pub(super) fn replica(&self) -> ProviderClient {
        self.replica_at(PUBLIC, true)
    }

    pub(super) fn replica_at(&self, public_url: &str, stores_values: bool) -> ProviderClient {
        let entry = StoreEntry {
            store: self.store.clone(),
            uncached: self.store.clone(),
            cache: self.store.clone(),
            leasing: None,
            writer: stores_values.then(|| -> Arc<dyn SecretWriter> { self.store.clone() }),
            class: StoreClass::External,
            environments: vec![EnvironmentName::parse("dev").unwrap()],
            paths: Vec::new(),
        };
        let stores = Arc::new(Stores::new([(StoreName::parse("memory").unwrap(), entry)]));
        let settings = ProviderSettings::default();
        let client = ProviderClient::new(stores, self.clock.clone(), self.random.clone(), settings);
        client.with_own(OwnClient {
            public_url: public_url.to_owned(),
            signer: self.signer.clone(),
            tickets: self.state.clone(),
            audit: self.chain.clone(),
        })
    }

    pub(super) fn spec(&self, registration: &str, authentication: ClientAuthentication) -> ProviderSpec {
        let mut spec: ProviderSpec = serde_json::from_value(json!({
            "name": "notes", "environment": "dev", "owner": "team", "issuer": self.provider.issuer(),
            "client": {"registration": registration}, "grants": "memory://grants",
            "addresses": ["loopback"],
        }))
        .unwrap();
        spec.client.authentication = authentication;
        spec
    }

    pub(super) async fn ask(
        &self,
        client: &ProviderClient,
        spec: &ProviderSpec,
    ) -> Result<Tokens, ProviderError> {
        let form = Form::grant("client_credentials").scopes(&["a"]);
        client.ask(spec, form, &["a"], Issued::AccessToken).await
    }

    /// Whether the assertion is one that the gateway signed for this client and this provider.
    pub(super) fn verify(&self, assertion: &str, client: &str) {
        let parts: Vec<&str> = assertion.split('.').collect();
        let json =
            |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
        let (head, claims) = (json(parts[0]), json(parts[1]));
        assert_eq!((&head["alg"], &head["typ"]), (&json!("ES256"), &json!("JWT")));
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!(client), &json!(client)));
        assert_eq!(claims["aud"], self.provider.issuer());
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
        let published = self.signer.jwks(Some(crate::signing::Purpose::Assertion));
        let key = published["keys"].as_array().unwrap().iter().find(|key| key["kid"] == head["kid"]).unwrap();
        let mut point = vec![4];
        for part in ["x", "y"] {
            point.extend(URL_SAFE_NO_PAD.decode(key[part].as_str().unwrap()).unwrap());
        }
        let verifier = &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED;
        let key = aws_lc_rs::signature::UnparsedPublicKey::new(verifier, point);
        let message = format!("{}.{}", parts[0], parts[1]);
        key.verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(parts[2]).unwrap()).unwrap();
    }
}
