//! Fakes of the seams: a store, an audit log, a policy engine and a verifier that tests steer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use gateway_core::actor::{Actor, UserIdentity};
use gateway_core::audit::{Event, EventKind};
use gateway_core::connect::{ConnectPages, ConnectWish};
use gateway_core::id::{AgentName, BindingName, EnvironmentName};
use gateway_core::identity::{
    IdentityError, Presented, PresentedCertificates, TokenDigest, VerifiedClaims, VerifiedIdentity,
};
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::manifest::{ContentHash, Injection};
use gateway_core::policy::{PolicyCompiler, PolicyEngine, PolicyIssue, PolicySource, Question, Verdict};
use gateway_core::ports::{
    AuditError, AuditSink, CallerStore, CredentialIssuer, CredentialWish, IdentityVerifier, OwnKeys, Random,
    SecretCache, SecretStore, Sequence, StoreError, StoreErrorKind,
};
use gateway_core::receipt::Receipt;
use gateway_core::reference::{ResolvedReference, VersionSelector};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::secret::Secret;
use gateway_core::time::{Clock, Timestamp};

/// Sources that hand out one value for each wish, and remember the wishes.
#[derive(Debug, Default)]
pub struct FakeIssuer {
    /// `source tool user scopes`, in order of asking.
    pub wishes: Mutex<Vec<String>>,
    /// Whether the last wish came with the caller's own token.
    pub presented: AtomicBool,
    pub ended: AtomicU64,
    pub ended_agents: Mutex<Vec<String>>,
    /// Refuses every wish, from the next one on.
    pub refuses: Mutex<Option<Code>>,
}

impl FakeIssuer {
    pub fn value(user: &str) -> String {
        format!("issued-for-{user}-0123456789abcdef")
    }

    /// The account that a value belongs to, where the injection names it.
    pub fn account(user: &str) -> String {
        format!("v-approle-{user}-reader-1764190000")
    }
}

#[async_trait]
impl CredentialIssuer for FakeIssuer {
    async fn issue(&self, wish: &CredentialWish<'_>) -> Result<Arc<SecretVersion>, Refusal> {
        let source = wish.permit.binding().spec.source.as_ref().unwrap();
        let tool = wish.permit.tool();
        let user = wish.actor.and_then(|actor| actor.user.as_ref()).map_or("nobody", |user| &*user.subject);
        let scopes = source.request().map(|request| request.scopes_for(tool).join(",")).unwrap_or_default();
        let tool = tool.map_or("-", |tool| tool.as_str());
        self.wishes.lock().unwrap().push(format!("{} {tool} {user} {scopes}", source.word()));
        self.presented.store(wish.permit.presented().is_some(), Ordering::SeqCst);
        if let Some(code) = *self.refuses.lock().unwrap() {
            return Err(code.into());
        }
        let injection = wish.permit.binding().spec.inject.as_ref();
        let value = match injection.is_some_and(Injection::names_account) {
            true => format!("{}:{}", Self::account(user), Self::value(user)),
            false => Self::value(user),
        };
        Ok(Arc::new(SecretVersion {
            secret: Secret::new(value.into_bytes()),
            version: VersionId::new("issued-1"),
            created_at: None,
            expires_at: None,
            store_request_id: None,
        }))
    }

    fn refused(&self, _: &CredentialWish<'_>, _: &VersionId) -> bool {
        false
    }

    async fn end_binding(&self, _: &EnvironmentName, _: &BindingName) -> u32 {
        self.ended.fetch_add(1, Ordering::SeqCst);
        u32::try_from(self.wishes.lock().unwrap().len()).unwrap()
    }

    async fn end_agent(&self, agent: &AgentName) -> u32 {
        self.ended_agents.lock().unwrap().push(agent.to_string());
        u32::try_from(self.wishes.lock().unwrap().len()).unwrap()
    }

    fn sweep(&self, _: Timestamp) {}
}

/// A store whose one value tests change; every fetch makes a fresh copy unless it is cached.
#[derive(Debug, Default)]
pub struct FakeStore {
    pub value: Mutex<String>,
    pub version: AtomicU64,
    pub down: AtomicBool,
    /// Earlier values by their version.
    pub earlier: Mutex<HashMap<String, String>>,
    /// Whether every caller opens it as itself.
    pub of_callers: AtomicBool,
    /// Who opened it, for which environment, and whose end came.
    pub callers: Mutex<Vec<String>>,
    cached: Mutex<HashMap<ResolvedReference, Arc<SecretVersion>>>,
}

#[async_trait]
impl SecretStore for FakeStore {
    async fn fetch(&self, reference: &ResolvedReference) -> Result<Arc<SecretVersion>, StoreError> {
        if let Some(version) = self.cached.lock().unwrap().get(reference) {
            return Ok(Arc::clone(version));
        }
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "down on cue"));
        }
        let mut version = self.version.load(Ordering::SeqCst).to_string();
        let mut value = self.value.lock().unwrap().clone();
        if let Some(VersionSelector::Version(pinned)) = &reference.version
            && let Some(earlier) = self.earlier.lock().unwrap().get(pinned)
        {
            (version, value) = (pinned.clone(), earlier.clone());
        }
        let version = Arc::new(SecretVersion {
            secret: Secret::copy_from(value.as_bytes()),
            version: VersionId::new(&version),
            created_at: None,
            expires_at: None,
            store_request_id: None,
        });
        self.cached.lock().unwrap().insert(reference.clone(), Arc::clone(&version));
        Ok(version)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn for_callers(&self) -> Option<&dyn CallerStore> {
        self.of_callers.load(Ordering::SeqCst).then_some(self)
    }
}

/// Lets in whom the agent `bot` is, and nobody else; values begin with the agent's name.
#[async_trait]
impl CallerStore for FakeStore {
    async fn fetch_as(
        &self,
        actor: &Actor,
        environment: &EnvironmentName,
        _: &ResolvedReference,
    ) -> Result<Arc<SecretVersion>, StoreError> {
        let agent = actor.agent.as_ref().map(ToString::to_string).unwrap_or_default();
        self.callers.lock().unwrap().push(format!("{agent} {environment}"));
        if agent != "bot" {
            return Err(StoreError::new(StoreErrorKind::Denied, "not this one"));
        }
        Ok(Arc::new(SecretVersion {
            secret: Secret::new(format!("{agent}-{}", self.value.lock().unwrap()).into_bytes()),
            version: VersionId::new("of-bot"),
            created_at: None,
            expires_at: None,
            store_request_id: None,
        }))
    }

    async fn end_callers(&self, whose: &(dyn for<'a> Fn(&'a Actor) -> bool + Sync)) -> u32 {
        let agent = |name: &str| Actor { agent: Some(AgentName::parse(name).unwrap()), ..Actor::default() };
        let workload = Actor { workload: Some("runner".parse().unwrap()), ..Actor::default() };
        let carol = UserIdentity { issuer: "https://idp".into(), subject: "carol".into() };
        let user = Actor { user: Some(carol), ..Actor::default() };
        let known =
            [("bot", agent("bot")), ("helper", agent("helper")), ("runner", workload), ("carol", user)];
        let ended = known.iter().filter(|(_, actor)| whose(actor));
        self.callers.lock().unwrap().extend(ended.map(|(name, _)| format!("{name} ends")));
        2
    }
}

impl SecretCache for FakeStore {
    fn forget(&self, reference: &ResolvedReference) -> u32 {
        u32::from(self.cached.lock().unwrap().remove(reference).is_some())
    }

    fn forget_all(&self) -> u32 {
        let mut cached = self.cached.lock().unwrap();
        let count = cached.len() as u32;
        cached.clear();
        count
    }
}

/// Keeps every event, and fails on cue.
#[derive(Debug, Default)]
pub struct FakeAudit {
    pub events: Mutex<Vec<Event>>,
    pub down: AtomicBool,
    /// Appends, and never says that it is synced.
    pub slow: AtomicBool,
}

impl FakeAudit {
    pub fn kinds(&self) -> Vec<EventKind> {
        self.events.lock().unwrap().iter().map(|event| event.kind).collect()
    }

    fn add(&self, event: Event) -> Result<Sequence, AuditError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(AuditError("full on cue".to_owned()));
        }
        let mut events = self.events.lock().unwrap();
        events.push(event);
        Ok(Sequence(events.len() as u64))
    }
}

#[async_trait]
impl AuditSink for FakeAudit {
    async fn record(&self, event: Event) -> Result<Sequence, AuditError> {
        let sequence = self.add(event)?;
        if self.slow.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(sequence)
    }

    fn note(&self, event: Event) -> Result<Sequence, AuditError> {
        self.add(event)
    }
}

/// Permits every tool whose name does not begin with `forbidden`.
#[derive(Debug)]
pub struct FakePolicy;

impl PolicyCompiler for FakePolicy {
    fn compile(&self, _: &[PolicySource]) -> Result<Arc<dyn PolicyEngine>, Vec<PolicyIssue>> {
        Ok(Arc::new(Self))
    }
}

impl PolicyEngine for FakePolicy {
    fn decide(&self, question: &Question<'_>) -> Verdict {
        let allowed = question.tool.is_none_or(|tool| !tool.as_str().starts_with("forbidden"));
        Verdict { allowed, policies: Vec::new(), reasons: Vec::new() }
    }

    fn version(&self) -> ContentHash {
        ContentHash::of(b"fake")
    }
}

/// One key set with a name; receipts are their claims, unsigned.
#[derive(Debug, Default)]
pub struct FakeKeys {
    pub down: AtomicBool,
}

impl OwnKeys for FakeKeys {
    fn key_set(&self, purpose: Option<&str>) -> Option<Bytes> {
        match purpose {
            None => Some(Bytes::from_static(br#"{"keys":["all"]}"#)),
            Some("minted") => Some(Bytes::from_static(br#"{"keys":["minted"]}"#)),
            Some(_) => None,
        }
    }

    fn sign_receipt(&self, receipt: &Receipt<'_>) -> Result<String, Refusal> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Code::ReceiptUnavailable.into());
        }
        Ok(serde_json::Value::Object(receipt.claims(|_| "somebody".to_owned())).to_string())
    }
}

/// Knows tokens by their text.
#[derive(Debug, Default)]
pub struct FakeVerifier {
    pub tokens: Mutex<HashMap<String, VerifiedClaims>>,
    pub certificates: Mutex<HashMap<TokenDigest, VerifiedClaims>>,
}

#[async_trait]
impl IdentityVerifier for FakeVerifier {
    #[allow(clippy::disallowed_methods, reason = "a verifier looks at the token and mints the identity")]
    async fn verify(
        &self,
        presented: &Presented,
        _: Timestamp,
    ) -> Result<Arc<VerifiedIdentity>, IdentityError> {
        let text = String::from_utf8(presented.token().expose().to_vec()).unwrap();
        let claims = self.tokens.lock().unwrap().get(&text).cloned().ok_or(IdentityError::Signature)?;
        Ok(Arc::new(VerifiedIdentity::assert_verified(claims, presented.digest())))
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "a verifier looks at the certificate and mints the identity"
    )]
    fn verify_certificates(
        &self,
        presented: &PresentedCertificates,
        now: Timestamp,
    ) -> Result<Arc<VerifiedIdentity>, IdentityError> {
        let known = self.certificates.lock().unwrap().get(&presented.digest()).cloned();
        let claims = known.ok_or(IdentityError::Certificate("unknown to the test"))?;
        if now >= claims.expires_at {
            return Err(IdentityError::Expired);
        }
        Ok(Arc::new(VerifiedIdentity::assert_verified(claims, presented.digest())))
    }
}

/// The system's clock, which tests put forward, and a counter for randomness.
#[derive(Debug, Default)]
pub struct Outside {
    drawn: AtomicU64,
    ahead_micros: AtomicU64,
}

impl Outside {
    pub fn put_forward(&self, span: std::time::Duration) {
        self.ahead_micros.fetch_add(span.as_micros() as u64, Ordering::SeqCst);
    }
}

impl Clock for Outside {
    #[allow(clippy::disallowed_methods, reason = "tests run in real time")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp::from_micros(since.as_micros() as i64 + self.ahead_micros.load(Ordering::SeqCst) as i64)
    }
}

impl Random for Outside {
    fn fill(&self, bytes: &mut [u8]) {
        let next = self.drawn.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        bytes.iter_mut().rev().zip(next.iter().rev()).for_each(|(to, from)| *to = *from);
    }
}

/// A page that says what it was asked.
#[derive(Debug)]
pub struct FakeSite;

#[async_trait]
impl gateway_proxy::site::Site for FakeSite {
    fn serves(&self, path: &str) -> bool {
        path.starts_with("/pages") || path.starts_with("/mcp")
    }

    async fn answer(
        &self,
        request: http::Request<bytes::Bytes>,
        source: std::net::IpAddr,
    ) -> http::Response<bytes::Bytes> {
        let body = String::from_utf8_lossy(request.body()).into_owned();
        let text = format!("{} {} {source} {body}", request.method(), request.uri());
        http::Response::builder().header("set-cookie", "a=b").body(text.into()).unwrap()
    }
}

/// Connect pages that are closed until a test opens them, and remember the wishes.
#[derive(Debug, Default)]
pub struct FakeConnect {
    pub open: AtomicBool,
    /// `user environment/server provider scopes resource`, in order of asking.
    pub wishes: Mutex<Vec<String>>,
}

impl FakeConnect {
    /// Where it sends everybody.
    pub const ADDRESS: &'static str = "https://gateway.example/connect?ticket=sealed";

    pub fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }

    pub fn wishes(&self) -> Vec<String> {
        self.wishes.lock().unwrap().clone()
    }
}

impl ConnectPages for FakeConnect {
    fn address(&self, wish: &ConnectWish<'_>) -> Option<url::Url> {
        let ConnectWish { user, environment, server, provider, .. } = wish;
        let (scopes, resource) = (wish.scopes.join(","), wish.resource.unwrap_or("-"));
        self.wishes
            .lock()
            .unwrap()
            .push(format!("{user} {environment}/{server} {provider} {scopes} {resource}"));
        self.open.load(Ordering::SeqCst).then(|| url::Url::parse(Self::ADDRESS).unwrap())
    }
}
