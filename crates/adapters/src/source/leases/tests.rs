//! Leases through their lives, by a store and a clock that the tests hold.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::audit::{Decision, EventKind};
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::manifest::CredentialSource;
use gateway_core::ports::{LeasingStore, Revocations as _, StoreError, StoreErrorKind, StoreLease};
use gateway_core::reference::ResolvedReference;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::revocation::{ReturnKind, ReturnState, Way};
use gateway_core::secret::Secret;
use gateway_core::stores::{StoreClass, StoreEntry, Stores};
use gateway_core::time::Clock as _;
use gateway_testkit::clock::ManualClock;
use gateway_testkit::memory_state::MemoryState;
use gateway_testkit::store::MemoryStore;
use serde_json::json;
use tokio::sync::Semaphore;

use super::Leases;
use crate::source::ledger::Ledger;
use crate::source::role;
use crate::source::tests::fixture::{Chain, Counting, Use, actor, agent, binding, text};

/// Makes accounts that hold for a minute.
#[derive(Debug)]
struct Bank {
    chain: Arc<Chain>,
    made: Mutex<Vec<String>>,
    revoked: Mutex<Vec<String>>,
    /// What renewals grant, in seconds.
    grants: AtomicU64,
    down: AtomicBool,
    /// One permit for each account that may be made.
    open: Semaphore,
    /// How many records were in the chain when the first account was made.
    recorded: Mutex<Option<usize>>,
}

impl Bank {
    fn check(&self) -> Result<(), StoreError> {
        match self.down.load(Ordering::SeqCst) {
            true => Err(StoreError::new(StoreErrorKind::Unavailable, "down")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl LeasingStore for Bank {
    async fn lease(&self, reference: &ResolvedReference) -> Result<StoreLease, StoreError> {
        self.open.acquire().await.unwrap().forget();
        self.check()?;
        self.recorded.lock().unwrap().get_or_insert(self.chain.events().len());
        let mut made = self.made.lock().unwrap();
        let id = format!("{}/{}", reference.path, made.len() + 1);
        made.push(id.clone());
        Ok(StoreLease {
            material: SecretVersion {
                secret: Secret::new(format!("password of {id}").into_bytes()),
                version: VersionId::new(&made.len().to_string()),
                created_at: None,
                expires_at: None,
                store_request_id: None,
            },
            id,
            duration: Duration::from_secs(60),
            renewable: true,
            account: None,
        })
    }

    async fn renew(&self, _: &str, _: Duration) -> Result<Duration, StoreError> {
        self.check()?;
        Ok(Duration::from_secs(self.grants.load(Ordering::SeqCst)))
    }

    async fn revoke(&self, lease: &str) -> Result<(), StoreError> {
        self.check()?;
        self.revoked.lock().unwrap().push(lease.to_owned());
        Ok(())
    }
}

struct Story {
    stores: Arc<Stores>,
    leases: Arc<Leases>,
    bank: Arc<Bank>,
    chain: Arc<Chain>,
    clock: Arc<ManualClock>,
    records: Arc<MemoryState>,
}

impl Story {
    fn new(open: usize) -> Self {
        let (chain, clock) = (Arc::new(Chain::default()), Arc::new(ManualClock::default()));
        let bank = Arc::new(Bank {
            chain: Arc::clone(&chain),
            made: Mutex::default(),
            revoked: Mutex::default(),
            grants: AtomicU64::new(60),
            down: AtomicBool::new(false),
            open: Semaphore::new(open),
            recorded: Mutex::default(),
        });
        let memory = MemoryStore::new();
        let entry = StoreEntry {
            store: memory.clone(),
            uncached: memory.clone(),
            cache: memory,
            leasing: Some(bank.clone()),
            writer: None,
            class: StoreClass::External,
            environments: vec!["dev".parse().unwrap()],
            paths: Vec::new(),
        };
        let stores = Arc::new(Stores::new([("bank".parse().unwrap(), entry)]));
        let records = Arc::new(MemoryState::default());
        let random = Arc::new(Counting::default());
        let ledger = Ledger::new(records.clone(), stores.clone(), clock.clone(), random);
        let leases = Arc::new(Leases::new(chain.clone(), clock.clone(), Arc::new(ledger)));
        Self { stores, leases, bank, chain, clock, records }
    }

    async fn issue(&self, used: &Use) -> Result<String, Refusal> {
        let Some(CredentialSource::Leased(leased)) = &used.permit.binding().spec.source else {
            panic!("no source")
        };
        let wish = used.wish(self.clock.now());
        let version = self.leases.issue(&wish, role::ask(&self.stores, &wish, leased)?).await?;
        Ok(text(&version.secret))
    }

    fn later(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    async fn end_binding(&self) -> u32 {
        self.leases.end_binding(&"dev".parse().unwrap(), &"main".parse().unwrap()).await
    }

    fn revoked(&self) -> Vec<String> {
        self.bank.revoked.lock().unwrap().clone()
    }
}

fn by(name: &str) -> Use {
    let source = json!({"leased": {"role": "bank://creds/{agent.id}#password"}});
    Use::new(&binding(source, 1, |_| {}), actor(name), agent(name, json!([])))
}

#[tokio::test]
async fn many_callers_at_once_have_one_account_made_after_it_was_recorded() {
    let (story, used) = (Story::new(8), by("planner"));
    let all = futures::future::join_all((0..64).map(|_| story.issue(&used))).await;
    assert!(all.iter().all(|one| one.as_deref().is_ok_and(|text| text == "password of creds/planner/1")));
    assert_eq!(*story.bank.recorded.lock().unwrap(), Some(1), "the record came first");
    assert_eq!(story.chain.kinds(), [EventKind::CredentialRequested, EventKind::CredentialIssued]);
    let events = story.chain.events();
    assert_eq!(events[0].agent.as_ref().map(ToString::to_string).as_deref(), Some("planner"));
    assert_eq!(
        events[0].reference.as_ref().map(ToString::to_string).as_deref(),
        Some("bank://creds/{agent.id}#password")
    );
    assert_eq!(
        (events[1].source.as_deref(), events[1].secret_version.as_ref().map(VersionId::as_str)),
        (Some("leased"), Some("1"))
    );
}

#[tokio::test]
async fn nothing_is_made_that_cannot_be_recorded() {
    let story = Story::new(8);
    story.chain.break_down();
    assert_eq!(story.issue(&by("planner")).await.unwrap_err().code(), Code::AuditUnavailable);
    assert!(story.bank.made.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_lease_is_renewed_until_the_store_grants_no_more_and_the_old_one_drains() {
    let (story, used) = (Story::new(8), by("planner"));
    let first = story.issue(&used).await.unwrap();
    for _ in 0..5 {
        story.later(41);
        assert_eq!(story.issue(&used).await.unwrap(), first, "renewed long beyond its first minute");
    }
    story.bank.grants.store(7, Ordering::SeqCst);
    story.later(41);
    let second = story.issue(&used).await.unwrap();
    assert_eq!(second, "password of creds/planner/2");
    assert_eq!(story.end_binding().await, 2, "the draining one too");
    let mut revoked = story.revoked();
    revoked.sort();
    assert_eq!(revoked, ["creds/planner/1", "creds/planner/2"]);
}

#[tokio::test]
async fn a_store_that_is_down_does_not_end_a_lease_that_holds_and_none_serves_beyond_its_end() {
    let (story, used) = (Story::new(8), by("planner"));
    let first = story.issue(&used).await.unwrap();
    story.bank.down.store(true, Ordering::SeqCst);
    story.later(50);
    assert_eq!(story.issue(&used).await.unwrap(), first);
    story.later(10);
    let refused = story.issue(&used).await.unwrap_err();
    assert_eq!(refused.code(), Code::StoreUnavailable);
    let last = story.chain.events().pop().unwrap();
    assert_eq!((last.kind, last.decision), (EventKind::CredentialIssued, Some(Decision::Deny)));
    assert_eq!(last.reason.as_deref(), Some("store.unavailable"));
}

#[tokio::test]
async fn an_agents_end_takes_its_own_lease_back_and_no_other() {
    let story = Story::new(8);
    let (planner, writer) = (by("planner"), by("writer"));
    story.issue(&planner).await.unwrap();
    let kept = story.issue(&writer).await.unwrap();
    assert_eq!(story.leases.end_agent(&"planner".parse().unwrap()).await, 1);
    assert_eq!(story.revoked(), ["creds/planner/1"]);
    assert_eq!(story.issue(&writer).await.unwrap(), kept);
    let last = story.chain.events().pop().unwrap();
    assert_eq!((last.kind, last.decision), (EventKind::CredentialReturned, Some(Decision::Allow)));
    assert_eq!(last.binding.map(|binding| binding.to_string()).as_deref(), Some("main@1"));
}

#[tokio::test]
async fn a_lease_that_callers_share_outlives_one_agent() {
    let story = Story::new(8);
    let shared = binding(json!({"leased": {"role": "bank://creds/all#password"}}), 1, |_| {});
    let one = Use::new(&shared, actor("planner"), agent("planner", json!([])));
    let two = Use::new(&shared, actor("writer"), agent("writer", json!([])));
    assert_eq!(story.issue(&one).await.unwrap(), story.issue(&two).await.unwrap());
    assert_eq!(story.leases.end_agent(&"planner".parse().unwrap()).await, 0);
    assert_eq!(story.end_binding().await, 1);
}

#[tokio::test]
async fn a_caller_that_leaves_loses_no_lease() {
    let story = Arc::new(Story::new(0));
    let asking = Arc::clone(&story);
    let caller = tokio::spawn(async move { asking.issue(&by("planner")).await });
    // The record tells that the store is being asked.
    let patience = tokio::time::Instant::now() + Duration::from_secs(10);
    while story.chain.kinds().is_empty() {
        assert!(tokio::time::Instant::now() < patience);
        tokio::task::yield_now().await;
    }
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    let ending = Arc::clone(&story);
    let ending = tokio::spawn(async move { ending.end_binding().await });
    tokio::task::yield_now().await;
    story.bank.open.add_permits(1);
    ending.await.unwrap();
    assert_eq!(story.revoked(), ["creds/planner/1"], "what was being made is taken back before the answer");
}

#[tokio::test]
async fn a_lease_that_the_store_did_not_take_is_filed_with_its_way_back() {
    let (story, used) = (Story::new(8), by("planner"));
    story.issue(&used).await.unwrap();
    story.bank.down.store(true, Ordering::SeqCst);
    assert_eq!(story.end_binding().await, 1);
    let told = story.chain.events().pop().unwrap();
    assert_eq!((told.kind, told.decision), (EventKind::CredentialReturned, Some(Decision::Deny)));
    let filed = story.records.unassigned().await.unwrap().pop().unwrap();
    assert_eq!((filed.state, filed.kind), (ReturnState::Unanswered, ReturnKind::Lease));
    assert_eq!((filed.party.as_str(), filed.answer.as_deref()), ("store bank", Some("store.unavailable")));
    let expected = Way::Lease { store: "bank".parse().unwrap(), lease: "creds/planner/1".to_owned() };
    assert_eq!(filed.way, expected);
    let now = story.clock.now();
    assert!(filed.due_at.unwrap() > now && filed.due_at < filed.expires_at, "again, and before its end");
    assert_eq!(filed.expires_at, Some(now.plus(Duration::from_secs(60))));
}

#[tokio::test]
async fn what_was_taken_back_at_once_is_filed_in_sum() {
    let story = Story::new(8);
    let (used, binding) = (by("planner"), "main".parse().unwrap());
    story.issue(&used).await.unwrap();
    story.later(30);
    assert!(story.leases.refused(&VersionId::new("1")));
    story.issue(&used).await.unwrap();
    assert_eq!(story.leases.end_binding(&"dev".parse().unwrap(), &binding).await, 2);
    let filed = story.records.unassigned().await.unwrap();
    let said: Vec<_> = filed.iter().map(|one| (one.state, one.count, one.due_at)).collect();
    assert_eq!(said, [(ReturnState::Ended, 2, None)]);
    assert_eq!(filed[0].subject.agent.as_ref().unwrap().as_str(), "planner");
}

#[tokio::test]
async fn a_lease_is_known_beyond_its_process_for_as_long_as_it_serves() {
    let (story, used) = (Story::new(8), by("planner"));
    story.issue(&used).await.unwrap();
    let filed = async || story.records.unassigned().await.unwrap();
    let standing = filed().await;
    let [one] = standing.as_slice() else { panic!("{standing:?}") };
    let way = Way::Lease { store: "bank".parse().unwrap(), lease: "creds/planner/1".to_owned() };
    let now = story.clock.now();
    assert!(one.stands() && one.way == way && one.due_at > one.expires_at, "{one:?}");
    assert_eq!(one.expires_at, Some(now.plus(Duration::from_secs(60))));
    assert!(!serde_json::to_string(one).unwrap().contains("password of"));
    story.later(41);
    story.issue(&used).await.unwrap();
    let renewed = Some(story.clock.now().plus(Duration::from_secs(60)));
    assert_eq!((filed().await.len(), filed().await[0].expires_at), (1, renewed), "with its new end");
    assert_eq!(story.end_binding().await, 1);
    assert!(filed().await.iter().all(|one| !one.stands()), "only the sum of what was taken back is left");
    assert_eq!(filed().await.len(), 1);
}

#[tokio::test]
async fn a_secret_that_the_server_refuses_is_replaced_unless_it_is_brand_new() {
    let (story, used) = (Story::new(8), by("planner"));
    story.issue(&used).await.unwrap();
    assert!(
        !story.leases.refused(&VersionId::new("1")),
        "no account for each call of a server that refuses all"
    );
    story.later(30);
    assert!(story.leases.refused(&VersionId::new("1")));
    assert_eq!(story.issue(&used).await.unwrap(), "password of creds/planner/2");
    assert_eq!(story.end_binding().await, 2);
}

#[tokio::test]
async fn refuses_a_role_that_cannot_be_resolved_and_a_store_of_another_environment() {
    let story = Story::new(8);
    let mut nobody = by("planner");
    nobody.actor = None;
    assert_eq!(story.issue(&nobody).await.unwrap_err().code(), Code::ReferenceRefused);
    let other = binding(json!({"leased": {"role": "elsewhere://creds/all#password"}}), 1, |_| {});
    let other = Use::new(&other, actor("planner"), agent("planner", json!([])));
    assert_eq!(story.issue(&other).await.unwrap_err().code(), Code::ReferenceRefused);
}
