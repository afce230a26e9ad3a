use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use gateway_core::id::Epoch;
use gateway_core::ports::{DocumentSigner, Publisher, Sequence, StateWriter as _};
use gateway_core::refusal::Refusal;
use gateway_core::revocation::{
    DocumentAudit, OutsideEnd, ReturnKind, ReturnSubject, RevocationDocument, RevocationStatus,
    RevocationSubject, Way,
};
use gateway_testkit::clock::ManualClock;
use gateway_testkit::memory_state::MemoryState;

use super::*;
use crate::app::system::SystemEntropy;

/// A party that answers what the test says, and counts.
#[derive(Debug)]
struct Party {
    answer: Mutex<ReturnState>,
    asked: AtomicU32,
    let_go: AtomicU32,
}

#[async_trait]
impl TakesBack for Party {
    async fn take_back(&self, _: &Return) -> Attempt {
        self.asked.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        Attempt::new(*self.answer.lock().unwrap(), "said")
    }

    async fn let_go(&self, _: &Return) {
        self.let_go.fetch_add(1, Ordering::SeqCst);
    }

    async fn settle(&self) {}
}

/// Leaves the evidence of documents in the outbox.
#[derive(Debug)]
struct Nowhere;

#[async_trait]
impl Publisher for Nowhere {
    async fn publish(&self, _: Epoch) -> Result<Option<Sequence>, Refusal> {
        Ok(None)
    }

    async fn everywhere(&self, _: Epoch, _: Duration) -> Result<(), Refusal> {
        Ok(())
    }
}

#[derive(Debug)]
struct Pen;

impl DocumentSigner for Pen {
    fn sign_revocation(
        &self,
        claims: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<String, Refusal> {
        use base64::Engine as _;
        let payload =
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).unwrap());
        Ok(format!("head.{payload}.signature"))
    }
}

struct Story {
    state: Arc<MemoryState>,
    party: Arc<Party>,
    clock: Arc<ManualClock>,
}

impl Story {
    /// One token that a provider did not take back, and the document that says so.
    async fn new() -> (Self, Return) {
        let clock = Arc::new(ManualClock::default());
        let party = Party {
            answer: Mutex::new(ReturnState::Unanswered),
            asked: AtomicU32::new(0),
            let_go: AtomicU32::new(0),
        };
        let story = Self { state: Arc::new(MemoryState::default()), party: Arc::new(party), clock };
        let now = story.clock.now();
        let subject =
            ReturnSubject { environment: "dev".parse().unwrap(), binding: None, agent: None, grant: None };
        let one =
            Return::new(subject, ReturnKind::AccessToken, "provider notes".to_owned(), Way::Nobody, now);
        let one =
            Return { expires_at: Some(now.plus(Duration::from_secs(600))), ..one.identified("token", "1") };
        let one = one.tried(Attempt::new(ReturnState::Unanswered, "unavailable"), now, 0);
        let one = Return { revocation: Some("r".to_owned()), ..one };
        story.state.file(std::slice::from_ref(&one)).await.unwrap();
        story.replica().documents.write(&document(&one, now)).await.unwrap();
        (story, one)
    }

    fn replica(&self) -> Collector {
        let documents = Documents {
            records: self.state.clone(),
            signer: Arc::new(Pen),
            publisher: Arc::new(Nowhere),
            clock: self.clock.clone(),
            issuer: "https://mcp.example".to_owned(),
        };
        Collector {
            records: self.state.clone(),
            parties: self.party.clone(),
            tickets: self.state.clone(),
            documents,
            clock: self.clock.clone(),
            random: Arc::new(SystemEntropy::default()),
        }
    }

    fn answers(&self, state: ReturnState) {
        *self.party.answer.lock().unwrap() = state;
    }

    fn asked(&self) -> u32 {
        self.party.asked.load(Ordering::SeqCst)
    }

    async fn round(&self) {
        self.replica().collect(self.clock.now()).await.unwrap();
    }

    /// What waits in the outbox about things that went back.
    async fn evidence(&self) -> Vec<(String, Option<String>)> {
        let waiting = self.state.outbox(100).await.unwrap().into_iter().map(|entry| entry.event);
        let returned = waiting.filter(|event| event.kind == EventKind::CredentialReturned);
        returned.map(|event| (event.status.unwrap(), event.revocation)).collect()
    }

    async fn documents(&self) -> Vec<(u32, RevocationStatus)> {
        let all = self.state.documents("r").await.unwrap();
        all.iter().map(|one| (one.serial, one.status)).collect()
    }
}

fn document(one: &Return, now: Timestamp) -> RevocationDocument {
    RevocationDocument {
        iss: "https://mcp.example".to_owned(),
        jti: "r.1".to_owned(),
        iat: now.seconds(),
        revocation: "r".to_owned(),
        serial: 1,
        previous: None,
        status: RevocationStatus::Outstanding,
        subject: RevocationSubject {
            kind: "Server".to_owned(),
            environment: Some("dev".parse().unwrap()),
            name: "notes".to_owned(),
            revision: None,
        },
        requested_by: "ada".parse().unwrap(),
        requested_at: now,
        ended_at: now,
        epoch: gateway_core::id::Epoch(1),
        ended: gateway_core::audit::Ended::default(),
        things: Vec::new(),
        outside: vec![OutsideEnd::from(one)],
        first_call: None,
        last_call: None,
        audit: DocumentAudit::default(),
        replicas: Vec::new(),
    }
}

const OUTSTANDING: (u32, RevocationStatus) = (1, RevocationStatus::Outstanding);
const COMPLETE: (u32, RevocationStatus) = (2, RevocationStatus::Complete);

#[tokio::test]
async fn a_silent_party_is_asked_again_when_it_is_due_and_its_answer_completes_the_document() {
    let (story, one) = Story::new().await;
    story.round().await;
    assert_eq!(story.asked(), 0, "not before its time");
    story.clock.advance(Duration::from_secs(2));
    story.round().await;
    assert_eq!((story.asked(), story.documents().await), (1, vec![OUTSTANDING]));
    let later = story.state.filed(&one.id).await.unwrap().unwrap();
    assert!(later.due_at > one.due_at && later.tries == 2);
    story.answers(ReturnState::Ended);
    story.clock.advance(Duration::from_secs(10));
    story.round().await;
    assert_eq!((story.asked(), story.documents().await), (2, vec![OUTSTANDING, COMPLETE]));
    story.clock.advance(Duration::from_secs(600));
    story.round().await;
    assert_eq!(story.asked(), 2, "it is done");
    let of = |word: &str| (word.to_owned(), Some("r".to_owned()));
    assert_eq!(story.evidence().await, [of("unanswered"), of("ended")]);
}

#[tokio::test]
async fn an_answer_and_its_evidence_are_kept_in_one_step() {
    let (story, one) = Story::new().await;
    story.answers(ReturnState::Ended);
    story.clock.advance(Duration::from_secs(2));
    // Whoever is killed here has either asked for nothing, or left both.
    let evidence = async || story.evidence().await.len();
    assert_eq!((story.state.filed(&one.id).await.unwrap().unwrap().state, evidence().await), (one.state, 0));
    story.round().await;
    let filed = story.state.filed(&one.id).await.unwrap().unwrap();
    assert_eq!((filed.state, evidence().await), (ReturnState::Ended, 1), "waiting in the outbox");
}

fn standing(now: Timestamp) -> Return {
    let subject =
        ReturnSubject { environment: "dev".parse().unwrap(), binding: None, agent: None, grant: None };
    let way = Way::Lease { store: "bao".parse().unwrap(), lease: "creds/1".to_owned() };
    let one = Return::new(subject, ReturnKind::Lease, "store bao".to_owned(), way, now);
    one.identified("lease", "creds/1").standing(now.plus(Duration::from_secs(60)))
}

#[tokio::test]
async fn what_a_dead_process_had_made_goes_back_at_once() {
    let (story, token) = Story::new().await;
    let now = story.clock.now();
    let lease = standing(now);
    story.state.file(std::slice::from_ref(&lease)).await.unwrap();
    story.answers(ReturnState::Ended);
    story.round().await;
    assert_eq!(story.asked(), 0, "it may be in use");
    inherit(&*story.state, now).await.unwrap();
    story.round().await;
    assert_eq!(story.asked(), 1);
    assert_eq!(story.state.filed(&lease.id).await.unwrap().unwrap().state, ReturnState::Ended);
    assert_eq!(story.evidence().await, [("ended".to_owned(), None)]);
    assert_eq!(story.state.filed(&token.id).await.unwrap(), Some(token), "what was tried has its own time");
}

#[tokio::test]
async fn what_stood_until_its_own_end_is_asked_of_nobody_and_is_no_news() {
    let (story, _) = Story::new().await;
    let lease = standing(story.clock.now());
    story.state.file(std::slice::from_ref(&lease)).await.unwrap();
    let before = story.asked();
    story.clock.advance(Duration::from_secs(121));
    let one = story.replica().try_one(&lease.id, story.clock.now()).await;
    let filed = story.state.filed(&lease.id).await.unwrap().unwrap();
    assert_eq!((one, filed.state, filed.due_at), (None, ReturnState::Expired, None));
    assert_eq!((story.asked(), story.evidence().await.len()), (before, 0));
}

#[tokio::test]
async fn of_many_replicas_one_asks() {
    let (story, _) = Story::new().await;
    story.clock.advance(Duration::from_secs(2));
    let now = story.clock.now();
    let replicas: Vec<Collector> = (0..4).map(|_| story.replica()).collect();
    let rounds = replicas.iter().map(|replica| replica.collect(now));
    for outcome in futures::future::join_all(rounds).await {
        outcome.unwrap();
    }
    assert_eq!(story.asked(), 1);
}

#[tokio::test]
async fn what_was_never_taken_back_is_told_to_have_expired_and_is_let_go() {
    let (story, _) = Story::new().await;
    story.clock.advance(Duration::from_secs(600));
    story.round().await;
    assert_eq!(story.documents().await, [OUTSTANDING, COMPLETE]);
    let last = story.state.documents("r").await.unwrap().pop().unwrap().document().unwrap();
    assert_eq!(last.outside[0].state, ReturnState::Expired, "it never says that it was taken back");
    assert_eq!(story.party.let_go.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn six_refusals_end_the_asking_and_its_own_end_completes_the_document() {
    let (story, one) = Story::new().await;
    story.answers(ReturnState::Refused);
    for _ in 0..8 {
        story.clock.advance(Duration::from_secs(40));
        story.round().await;
    }
    assert_eq!(story.asked(), 5, "the first refusal was before");
    let filed = story.state.filed(&one.id).await.unwrap().unwrap();
    assert_eq!((filed.state, filed.due_at), (ReturnState::Irrevocable, filed.expires_at));
    assert_eq!(story.documents().await.last().map(|last| last.1), Some(RevocationStatus::Outstanding));
    story.clock.advance(Duration::from_secs(600));
    story.round().await;
    assert_eq!(story.asked(), 5);
    assert_eq!(story.documents().await.last().map(|last| last.1), Some(RevocationStatus::Complete));
}

#[tokio::test]
async fn a_state_that_does_not_answer_loses_nothing() {
    let (story, _) = Story::new().await;
    story.answers(ReturnState::Ended);
    story.clock.advance(Duration::from_secs(2));
    story.state.set_down(true);
    assert!(story.replica().collect(story.clock.now()).await.is_err());
    story.state.set_down(false);
    story.round().await;
    assert_eq!(story.documents().await, [OUTSTANDING, COMPLETE]);
}
