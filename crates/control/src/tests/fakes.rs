//! The outside of the control plane, in memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::actor::Groups;
use gateway_core::audit::{Ended, Event};
use gateway_core::grant::{GivenBack, GrantTokenKeeper};
use gateway_core::id::{AgentName, BindingName, EnvironmentName, Epoch, OperatorName};
use gateway_core::identity::{
    Attested, Entry, IdentityError, Presented, PresentedCertificates, ProofKind, TokenDigest, VerifiedClaims,
    VerifiedIdentity,
};
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::lock::LockRecord;
use gateway_core::manifest::ContentHash;
use gateway_core::manifest::ProviderSpec;
use gateway_core::operator::Operator;
use gateway_core::policy::{
    Permit, PolicyCompiler, PolicyEngine, PolicyIssue, PolicySource, Question, Verdict,
};
use gateway_core::ports::{
    AuditError, AuditSink, Candidate, CredentialProbe, DocumentSigner, IdentityVerifier, LiveSessions,
    LiveTraffic, Publisher, Random, RolledBack, SecretCache, SecretStore, SecretWriter, Sequence,
    StateReader, StateWriter, StoreError, StoreErrorKind,
};
use gateway_core::reference::ResolvedReference;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::secret::Secret;
use gateway_core::session::{LiveSession, Terminated};
use gateway_core::snapshot::Snapshot;
use gateway_core::state::GrantRecord;
use gateway_core::time::{Clock, Timestamp};
use gateway_testkit::memory_state::MemoryState;

use crate::{
    AuditEntry, AuditPage, AuditQuery, AuditReadError, AuditReader, AuditVerdict, OperatorVerifier,
    Readiness, SnapshotSource, StatusPages, TokenKind, TokenMinter,
};

pub(super) const VALUE: &str = "the-canary-value-of-the-control-plane";

#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) events: Mutex<Vec<Event>>,
    pub(super) down: AtomicBool,
    /// Lets others go first before it writes.
    pub(super) slow: AtomicBool,
}

impl Chain {
    fn append(&self, event: Event) -> Result<Sequence, AuditError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(AuditError("switched off by the test".into()));
        }
        let mut events = self.events.lock().unwrap();
        events.push(event);
        Ok(Sequence(events.len() as u64))
    }

    pub(super) fn all(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }
}

#[async_trait]
impl AuditSink for Chain {
    async fn record(&self, event: Event) -> Result<Sequence, AuditError> {
        if self.slow.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        self.append(event)
    }
    fn note(&self, event: Event) -> Result<Sequence, AuditError> {
        self.append(event)
    }
}

#[async_trait]
impl AuditReader for Chain {
    async fn search(&self, query: &AuditQuery) -> Result<AuditPage, AuditReadError> {
        let events = self.all();
        let found = events.into_iter().enumerate().filter(|(_, event)| {
            query.kind.is_none_or(|kind| kind == event.kind)
                && query
                    .environment
                    .as_ref()
                    .is_none_or(|name| event.environment.as_ref().is_some_and(|found| found.as_str() == name))
                && query
                    .binding
                    .as_ref()
                    .is_none_or(|b| event.binding.as_ref().is_some_and(|found| found.to_string() == *b))
        });
        let records = found
            .map(|(place, event)| AuditEntry {
                sequence: Sequence(place as u64 + 1),
                hash: String::new(),
                event,
            })
            .collect();
        Ok(AuditPage { records, ..AuditPage::default() })
    }
    async fn tail(&self, _: Sequence, _: u32) -> Result<AuditPage, AuditReadError> {
        Ok(AuditPage::default())
    }
    async fn verify(&self) -> Result<AuditVerdict, AuditReadError> {
        Ok(AuditVerdict { holds: true, ..AuditVerdict::default() })
    }
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) state: Arc<MemoryState>,
    pub(super) chain: Arc<Chain>,
    pub(super) snapshot: Mutex<Arc<Snapshot>>,
    /// The epochs that were waited for on every replica.
    pub(super) awaited: Mutex<Vec<Epoch>>,
    pub(super) others_lag: AtomicBool,
}

#[async_trait]
impl Publisher for World {
    async fn publish(&self, at_least: Epoch) -> Result<Option<Sequence>, Refusal> {
        let state = self.state.load().await.unwrap();
        assert!(state.epoch >= at_least);
        *self.snapshot.lock().unwrap() = Arc::new(Snapshot::build(&state, &Compiler, &[]).unwrap());
        let mut last = None;
        for entry in self.state.outbox(100).await.unwrap() {
            let sequence = self.chain.append(entry.event);
            last = Some(sequence.map_err(|error| Refusal::new(Code::AuditUnavailable).because(error))?);
            self.state.drained(&[entry.id]).await.unwrap();
        }
        Ok(last)
    }

    async fn everywhere(&self, at_least: Epoch, _: std::time::Duration) -> Result<(), Refusal> {
        self.awaited.lock().unwrap().push(at_least);
        if self.others_lag.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(Refusal::new(Code::Internal).because("the test holds a replica back"));
        }
        Ok(())
    }
}

impl SnapshotSource for World {
    fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.lock().unwrap())
    }
}

#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) sessions: Mutex<Vec<LiveSession>>,
    pub(super) ended: Mutex<Vec<String>>,
    pub(super) stuck: AtomicBool,
    /// Whether ending a binding never comes back.
    pub(super) hangs: AtomicBool,
    pub(super) in_use: Mutex<Vec<VersionId>>,
    pub(super) rolled_back: Mutex<Vec<RolledBack>>,
}

#[async_trait]
impl LiveTraffic for Live {
    async fn end(&self, _: &EnvironmentName, name: &BindingName, _: Duration) -> Result<Ended, Refusal> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.ended.lock().unwrap().push(name.to_string());
        if self.stuck.load(Ordering::SeqCst) {
            return Err(Code::Internal.into());
        }
        Ok(Ended { calls: 1, streams: 2, sessions: 3, cached_values: 1, ..Ended::default() })
    }
    fn admit(&self, _: &EnvironmentName, name: &BindingName) {
        self.ended.lock().unwrap().retain(|ended| ended != name.as_str());
    }
    async fn end_agent(&self, agent: &AgentName, _: Duration) -> Result<Ended, Refusal> {
        self.ended.lock().unwrap().push(format!("agent {agent}"));
        if self.stuck.load(Ordering::SeqCst) {
            return Err(Code::Internal.into());
        }
        Ok(Ended { calls: 4, streams: 1, sessions: 2, cached_values: 3, ..Ended::default() })
    }
    fn admit_agent(&self, agent: &AgentName) {
        self.ended.lock().unwrap().retain(|ended| *ended != format!("agent {agent}"));
    }
    async fn end_grant(&self, grant: &GrantRecord, _: Duration) -> Result<Ended, Refusal> {
        self.ended.lock().unwrap().push(format!("grant {}", grant.id));
        if self.stuck.load(Ordering::SeqCst) {
            return Err(Code::Internal.into());
        }
        Ok(Ended { calls: 2, streams: 1, ..Ended::default() })
    }
    async fn end_locked(&self, lock: &LockRecord, _: Duration) -> Result<Ended, Refusal> {
        self.ended.lock().unwrap().push(format!("lock {}", lock.selector));
        if self.stuck.load(Ordering::SeqCst) {
            return Err(Code::Internal.into());
        }
        Ok(Ended { calls: 3, streams: 1, children: 1, ..Ended::default() })
    }
    fn open(&self, _: &EnvironmentName, _: &BindingName) -> Ended {
        Ended::default()
    }
    fn versions_in_use(&self, _: &EnvironmentName, _: &BindingName) -> Vec<VersionId> {
        self.in_use.lock().unwrap().clone()
    }
    fn rolled_back(&self) -> Vec<RolledBack> {
        self.rolled_back.lock().unwrap().clone()
    }
}

/// Keeps no tokens, and says what a provider answered.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    pub(super) answer: Mutex<GivenBack>,
    pub(super) asked: Mutex<Vec<String>>,
}

#[async_trait]
impl GrantTokenKeeper for Keeper {
    fn forget(&self, grant: &GrantRecord) -> u32 {
        self.asked.lock().unwrap().push(format!("forget {}", grant.id));
        1
    }
    async fn give_back(&self, grant: &GrantRecord, provider: Option<&ProviderSpec>) -> GivenBack {
        let issuer = provider.map(|provider| provider.issuer.clone()).unwrap_or_default();
        self.asked.lock().unwrap().push(format!("give back {} at {issuer}", grant.id));
        self.answer.lock().unwrap().clone()
    }
}

#[async_trait]
impl LiveSessions for Live {
    fn sessions(&self) -> Vec<LiveSession> {
        self.sessions.lock().unwrap().clone()
    }
    async fn terminate(&self, id: &str, _: Duration) -> Option<Terminated> {
        let mut sessions = self.sessions.lock().unwrap();
        let place = sessions.iter().position(|session| session.id == id)?;
        sessions.remove(place);
        sessions.retain(|session| session.session.as_deref() != Some(id));
        let ended = Ended { streams: 2, sessions: 1, ..Ended::default() };
        Some(Terminated { ended, upstream_ended: 1, upstream_left: 0, complete: true })
    }
}

#[derive(Debug, Default)]
pub(super) struct Probe {
    pub(super) refuses: AtomicBool,
    /// Answers to nobody.
    pub(super) unreachable: AtomicBool,
    /// Never answers.
    pub(super) hangs: AtomicBool,
    pub(super) tries: AtomicU64,
}

#[async_trait]
impl CredentialProbe for Probe {
    async fn probe(&self, _: &Permit, _: Candidate<'_>) -> Result<(), Refusal> {
        self.tries.fetch_add(1, Ordering::SeqCst);
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.unreachable.load(Ordering::SeqCst) {
            return Err(Code::UpstreamUnreachable.into());
        }
        if self.refuses.load(Ordering::SeqCst) { Err(Code::UpstreamUnauthorized.into()) } else { Ok(()) }
    }
}

/// Permits everything but to the agents of which a current text says `DENY`.
#[derive(Debug)]
struct Engine(Vec<String>);

impl PolicyEngine for Engine {
    fn decide(&self, question: &Question<'_>) -> Verdict {
        let policies = vec![question.binding.spec.policy.clone()];
        let agent = question.actor.agent.as_ref().map(ToString::to_string);
        let allowed = agent.is_none_or(|agent| !self.0.contains(&agent));
        Verdict { allowed, policies, reasons: Vec::new() }
    }
    fn version(&self) -> ContentHash {
        ContentHash::of(b"engine")
    }
}

#[derive(Debug)]
pub(super) struct Compiler;

impl PolicyCompiler for Compiler {
    fn compile(&self, sources: &[PolicySource]) -> Result<Arc<dyn PolicyEngine>, Vec<PolicyIssue>> {
        match sources.iter().find(|source| source.cedar.contains("BAD")) {
            None => {
                let current = sources.iter().filter(|source| source.current);
                let denied = current.filter_map(|source| source.cedar.strip_prefix("DENY "));
                Ok(Arc::new(Engine(denied.map(str::to_owned).collect())))
            }
            Some(source) => Err(vec![PolicyIssue {
                policy: source.name.clone(),
                line: 1,
                column: 2,
                message: "unexpected token".into(),
                hint: None,
            }]),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Vault {
    pub(super) values: Mutex<HashMap<String, String>>,
    pub(super) fetched: Mutex<Vec<String>>,
    pub(super) forgotten: Mutex<Vec<String>>,
    /// The newest version, where it is not 7.
    pub(super) newest: Mutex<Option<String>>,
}

#[async_trait]
impl SecretStore for Vault {
    async fn fetch(&self, reference: &ResolvedReference) -> Result<Arc<SecretVersion>, StoreError> {
        self.fetched.lock().unwrap().push(reference.to_string());
        let values = self.values.lock().unwrap();
        let value = values.get(&reference.path).cloned();
        let value = value.ok_or_else(|| StoreError::new(StoreErrorKind::NotFound, "nothing there"))?;
        Ok(Arc::new(SecretVersion {
            secret: Secret::new(value.into_bytes()),
            version: VersionId::new(self.newest.lock().unwrap().as_deref().unwrap_or("7")),
            created_at: None,
            expires_at: None,
            store_request_id: None,
        }))
    }
    async fn probe(&self) -> Result<(), StoreError> {
        Ok(())
    }
    fn keeps_versions(&self) -> bool {
        true
    }
}

impl SecretCache for Vault {
    fn forget(&self, reference: &ResolvedReference) -> u32 {
        self.forgotten.lock().unwrap().push(reference.to_string());
        0
    }
    fn forget_all(&self) -> u32 {
        0
    }
}

#[async_trait]
impl SecretWriter for Vault {
    #[expect(clippy::disallowed_methods, reason = "the fake store keeps the value")]
    async fn put(&self, path: &str, _: &str, value: Secret, _: Timestamp) -> Result<VersionId, StoreError> {
        let text = String::from_utf8(value.expose().to_vec()).unwrap();
        self.values.lock().unwrap().insert(path.to_owned(), text);
        Ok(VersionId::new("1"))
    }

    async fn replace(
        &self,
        path: &str,
        field: &str,
        value: Secret,
        _: &VersionId,
        now: Timestamp,
    ) -> Result<Option<VersionId>, StoreError> {
        self.put(path, field, value, now).await.map(Some)
    }

    async fn delete(&self, path: &str) -> Result<(), StoreError> {
        self.values.lock().unwrap().remove(path);
        Ok(())
    }
}

/// Knows operators by tokens of the form `operator:NAME`.
#[derive(Debug, Default)]
pub(super) struct People(pub(super) Mutex<HashMap<TokenDigest, Operator>>);

impl People {
    pub(super) fn add(&self, name: &str, grants: Vec<gateway_core::operator::RoleGrant>) {
        let digest = TokenDigest::of(&Secret::copy_from(name.as_bytes()));
        let name = OperatorName::parse(&format!("idp|{name}")).unwrap();
        self.0.lock().unwrap().insert(digest, Operator { name, grants });
    }
}

#[async_trait]
impl OperatorVerifier for People {
    async fn verify(&self, presented: &Presented, _: Timestamp) -> Result<Operator, IdentityError> {
        self.0.lock().unwrap().get(&presented.digest()).cloned().ok_or(IdentityError::Revoked)
    }
}

/// A counter, the clock, and whether documents are not signed.
#[derive(Debug, Default)]
pub(super) struct Plain(AtomicU64, pub(super) AtomicU64, pub(super) AtomicBool);

impl TokenMinter for Plain {
    fn mint(&self, kind: TokenKind) -> (Secret, TokenDigest) {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        let token = Secret::new(format!("{kind:?}-token-{number}").into_bytes());
        let digest = TokenDigest::of(&token);
        (token, digest)
    }
}

/// The one runtime's token that the test's verifier knows, and what it attests.
pub(super) const RUNTIME_TOKEN: &str = "the-canary-token-of-a-runtime";

#[async_trait]
impl IdentityVerifier for Plain {
    #[allow(clippy::disallowed_methods, reason = "a verifier looks at the token and mints the identity")]
    async fn verify(
        &self,
        presented: &Presented,
        now: Timestamp,
    ) -> Result<Arc<VerifiedIdentity>, IdentityError> {
        if presented.digest() != TokenDigest::of(&Secret::copy_from(RUNTIME_TOKEN.as_bytes())) {
            return Err(IdentityError::Expired);
        }
        let attested = Attested {
            issuer: "https://ci.example".into(),
            subject: "repo:acme/api:ref:refs/heads/main".into(),
            claims: [("repository".to_owned(), "acme/api".to_owned())].into(),
        };
        let claims = VerifiedClaims {
            proof: ProofKind::Jwt,
            issuer: attested.issuer.clone(),
            subject: attested.subject.clone(),
            user: None,
            groups: Groups::Unknown,
            client: None,
            act_subject: None,
            agent: None,
            attested: Some(Arc::new(attested)),
            entries: vec![Entry { environment: "production".parse().unwrap(), servers: None }],
            expires_at: now.plus(Duration::from_secs(300)),
        };
        Ok(Arc::new(VerifiedIdentity::assert_verified(claims, presented.digest())))
    }

    fn verify_certificates(
        &self,
        _: &PresentedCertificates,
        _: Timestamp,
    ) -> Result<Arc<VerifiedIdentity>, IdentityError> {
        Err(IdentityError::Certificate("the control plane takes none"))
    }
}

impl Random for Plain {
    fn fill(&self, bytes: &mut [u8]) {
        let number = self.0.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        bytes.iter_mut().zip(number.iter().rev()).for_each(|(to, from)| *to = *from);
    }
}

#[async_trait]
impl StatusPages for Plain {
    async fn readiness(&self) -> Readiness {
        Readiness::default()
    }
    fn metrics(&self) -> String {
        "gateway_up 1\n".into()
    }
    fn jwks(&self) -> serde_json::Value {
        serde_json::json!({"keys": []})
    }
}

/// Signs nothing: what is signed is read back from the claims.
impl DocumentSigner for Plain {
    fn sign_revocation(
        &self,
        claims: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<String, Refusal> {
        use base64::Engine as _;
        if self.2.load(Ordering::SeqCst) {
            return Err(Code::Internal.into());
        }
        let claims = serde_json::to_vec(claims).unwrap();
        Ok(format!("head.{}.signature", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims)))
    }
}

impl Clock for Plain {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000).plus(Duration::from_secs(self.1.load(Ordering::SeqCst)))
    }
}
