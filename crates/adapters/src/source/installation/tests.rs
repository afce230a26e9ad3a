//! Installations at a stub of the provider's API: it says what the protocol says, and is no real provider.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::audit::{Decision, EventKind};
use gateway_core::manifest::CredentialSource;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::stores::{StoreClass, StoreEntry, Stores};
use gateway_core::time::{Clock as _, Timestamp};
use gateway_testkit::clock::ManualClock;
use gateway_testkit::provider::FakeProvider;
use gateway_testkit::store::MemoryStore;
use rcgen::{KeyPair, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize};
use serde_json::{Value, json};

use super::ask;
use crate::source::leases::Leases;
use crate::source::ledger::Ledger;
use crate::source::provider::{ProviderClient, ProviderSettings};
use crate::source::tests::fixture::{Chain, Counting, Use, actor, agent, binding_asking, text};

const TOKENS: &str = "/app/installations/42/access_tokens";
const END: &str = "/installation/token";

struct Story {
    stub: FakeProvider,
    key: KeyPair,
    providers: Arc<ProviderClient>,
    leases: Arc<Leases>,
    ledger: Arc<Ledger>,
    chain: Arc<Chain>,
    clock: Arc<ManualClock>,
}

impl Story {
    async fn new() -> Self {
        let (chain, clock) = (Arc::new(Chain::default()), Arc::new(ManualClock::default()));
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let memory = MemoryStore::new();
        memory.insert("app", "key", key.serialize_pem().as_bytes());
        let entry = StoreEntry {
            store: memory.clone(),
            uncached: memory.clone(),
            cache: memory,
            leasing: None,
            writer: None,
            class: StoreClass::External,
            environments: vec!["dev".parse().unwrap()],
            paths: Vec::new(),
        };
        let stores = Arc::new(Stores::new([("memory".parse().unwrap(), entry)]));
        let settings = ProviderSettings::default();
        let random = Arc::new(Counting::default());
        let records = Arc::new(gateway_testkit::memory_state::MemoryState::default());
        let ledger = Arc::new(Ledger::new(records, stores.clone(), clock.clone(), random.clone()));
        let providers = ProviderClient::new(stores, clock.clone(), random, settings);
        let leases = Arc::new(Leases::new(chain.clone(), clock.clone(), ledger.clone()));
        let stub = FakeProvider::start().await;
        let story = Self { stub, key, providers: Arc::new(providers), leases, ledger, chain, clock };
        story.answers(201, story.good());
        story.stub.answer(END, 204, &[], "");
        story
    }

    /// What the API answers where all is well.
    fn good(&self) -> Value {
        json!({
            "token": "ghs_0123456789abcdef", "expires_at": self.at(3_600).to_string(),
            "permissions": {"contents": "read", "issues": "write", "metadata": "read"},
            "repository_selection": "selected", "repositories": [{"id": 1, "name": "notes", "full_name": "o/notes"}],
        })
    }

    fn answers(&self, status: u16, body: Value) {
        self.stub.answer(TOKENS, status, &[], &body.to_string());
    }

    fn at(&self, seconds: u64) -> Timestamp {
        self.clock.now().plus(Duration::from_secs(seconds))
    }

    fn used(&self, authentication: Value) -> Use {
        let provider = json!({
            "kind": "Provider", "name": "app", "environment": "dev", "owner": "team", "issuer": self.stub.issuer(),
            "client": {"id": "Iv1.client", "authentication": authentication}, "addresses": ["loopback"]
        });
        let source = json!({"app_installation": {
            "provider": "app", "installation_id": 42, "repositories": ["notes"],
            "permissions": {"contents": "read", "issues": "write"}
        }});
        Use::new(&binding_asking(source, provider), actor("planner"), agent("planner", json!([])))
    }

    fn application(&self) -> Use {
        self.used(json!({"private_key_jwt": {"key": "memory://app#key"}}))
    }

    async fn issue(&self, used: &Use) -> Result<String, Refusal> {
        let Some(CredentialSource::AppInstallation(app)) = &used.permit.binding().spec.source else {
            panic!("no source")
        };
        let wish = used.wish(self.clock.now());
        let version = self.leases.issue(&wish, ask(&self.providers, &self.ledger, &wish, app)?).await?;
        Ok(text(&version.secret))
    }
}

#[tokio::test]
async fn the_applications_jwt_buys_a_token_for_these_repositories_and_permissions() {
    let story = Story::new().await;
    let used = story.application();
    assert_eq!(story.issue(&used).await.unwrap(), "ghs_0123456789abcdef");
    assert_eq!(story.issue(&used).await.unwrap(), "ghs_0123456789abcdef");
    let asked = story.stub.asked(TOKENS);
    assert_eq!(asked.len(), 1, "one token for all calls");
    let body: Value = serde_json::from_str(&asked[0].form[0].0).unwrap();
    assert_eq!(
        body,
        json!({"repositories": ["notes"], "permissions": {"contents": "read", "issues": "write"}})
    );
    let token = asked[0].headers["authorization"].strip_prefix("Bearer ").unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, story.key.der_bytes());
    key.verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let part = |index: usize| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(message.split('.').nth(index).unwrap()).unwrap())
            .unwrap()
    };
    let now = story.clock.now().seconds();
    assert_eq!(part(0)["alg"], "RS256");
    assert_eq!(part(1), json!({"iss": "Iv1.client", "iat": now - 60, "exp": now + 300}));
    let events = story.chain.events();
    assert_eq!(
        (events[0].kind, events[1].kind),
        (EventKind::CredentialRequested, EventKind::CredentialIssued)
    );
    assert_eq!(events[0].provider.as_ref().map(ToString::to_string).as_deref(), Some("app"));
    assert_eq!(events[0].scopes, ["contents:read", "issues:write"]);
}

#[tokio::test]
async fn a_token_that_may_do_more_than_was_asked_for_is_refused() {
    let story = Story::new().await;
    let used = story.application();
    let spoilt: [(&str, Value); 10] = [
        ("/repositories", json!([{"name": "notes"}, {"name": "secrets"}])),
        ("/repositories", Value::Null),
        ("/repository_selection", json!("all")),
        ("/permissions", json!({"contents": "write"})),
        ("/permissions", json!({"contents": "read", "administration": "read"})),
        ("/permissions", json!({"metadata": "write"})),
        ("/permissions", Value::Null),
        ("/expires_at", json!(story.clock.now().to_string())),
        ("/expires_at", json!("soon")),
        ("/token", json!("")),
    ];
    for (field, value) in spoilt {
        let mut answer = story.good();
        *answer.pointer_mut(field).unwrap() = value.clone();
        story.answers(201, answer);
        let refused = story.issue(&used).await.unwrap_err();
        assert_eq!(refused.code(), Code::ProviderMalformed, "{field} {value}");
    }
    story.answers(201, json!({"token": "x"}));
    assert_eq!(story.issue(&used).await.unwrap_err().code(), Code::ProviderMalformed);
    let mut less = story.good();
    less["permissions"] = json!({"issues": "read"});
    story.answers(201, less);
    story.issue(&used).await.expect("less than was asked for is no harm");
}

#[tokio::test]
async fn the_providers_refusals_and_outages_are_told_apart() {
    let story = Story::new().await;
    let used = story.application();
    for (status, code) in [
        (401, Code::ProviderRefused),
        (404, Code::ProviderRefused),
        (422, Code::ProviderRefused),
        (429, Code::ProviderUnavailable),
        (503, Code::ProviderUnavailable),
        (302, Code::ProviderMalformed),
    ] {
        story.answers(status, json!({"message": "no"}));
        assert_eq!(story.issue(&used).await.unwrap_err().code(), code, "{status}");
    }
    let last = story.chain.events().pop().unwrap();
    assert_eq!((last.kind, last.decision), (EventKind::CredentialIssued, Some(Decision::Deny)));
}

#[tokio::test]
async fn a_client_without_a_key_asks_nothing() {
    let story = Story::new().await;
    let secret = story.used(json!({"client_secret_basic": {"secret": "memory://app#key"}}));
    assert_eq!(story.issue(&secret).await.unwrap_err().code(), Code::ProviderRefused);
    let missing = story.used(json!({"private_key_jwt": {"key": "memory://other#key"}}));
    assert_eq!(story.issue(&missing).await.unwrap_err().code(), Code::SecretMissing);
    assert!(story.stub.asked(TOKENS).is_empty());
}

#[tokio::test]
async fn the_end_of_the_binding_gives_the_token_back_and_says_what_the_provider_answered() {
    let story = Story::new().await;
    let used = story.application();
    story.issue(&used).await.unwrap();
    let ended = story.leases.end_binding(&"dev".parse().unwrap(), &"main".parse().unwrap()).await;
    assert_eq!(ended, 1);
    assert_eq!(story.stub.asked(END)[0].headers["authorization"], "Bearer ghs_0123456789abcdef");
    let last = story.chain.events().pop().unwrap();
    assert_eq!((last.kind, last.decision), (EventKind::CredentialReturned, Some(Decision::Allow)));
    assert_eq!(last.source.as_deref(), Some("app_installation"));
}

#[tokio::test]
async fn another_token_is_made_before_the_old_one_ends() {
    let story = Story::new().await;
    let used = story.application();
    story.issue(&used).await.unwrap();
    story.clock.advance(Duration::from_secs(2_401));
    let mut next = story.good();
    next["token"] = json!("ghs_another-0123456789");
    story.answers(201, next);
    assert_eq!(story.issue(&used).await.unwrap(), "ghs_another-0123456789");
    assert_eq!(story.leases.end_binding(&"dev".parse().unwrap(), &"main".parse().unwrap()).await, 2);
}
