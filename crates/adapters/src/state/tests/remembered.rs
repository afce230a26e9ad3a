//! What is kept is always what a reading would give.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gateway_core::ports::{StateError, StateReader};
use gateway_core::state::{Lifecycle, Operation, OutboxEntry, State};
use gateway_core::time::{Clock, Timestamp};
use gateway_testkit::contract::state::NOW;
use gateway_testkit::memory_state::MemoryState;

use super::super::Remembered;
use super::*;

/// SQLite, remembered.
struct Kept;

struct KeptFile(File);

#[async_trait]
impl StateFixtures for Kept {
    async fn fresh(&self) -> Box<dyn StateDatabase> {
        Box::new(KeptFile(File(TempDir::new().unwrap())))
    }
}

#[async_trait]
impl StateDatabase for KeptFile {
    async fn open(&self) -> Arc<dyn StateWriter> {
        Arc::new(Remembered::new(self.0.open().await, Arc::new(StoppedClock)))
    }

    async fn tickets(&self) -> Arc<dyn Tickets> {
        self.0.tickets().await
    }

    async fn revocations(&self) -> Arc<dyn Revocations> {
        self.0.revocations().await
    }

    async fn raw(&self, sql: &str) -> Result<(), String> {
        self.0.raw(sql).await
    }

    fn pushes(&self) -> bool {
        self.0.pushes()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remembered_state_passes_the_battery() {
    run(&Kept).await;
}

/// A backend that counts how often it is read, can be another database from one moment to the next, and can lose the
/// answer to a commit.
#[derive(Debug, Default)]
struct Watched {
    behind: Mutex<Arc<MemoryState>>,
    loads: AtomicUsize,
    loses_answers: AtomicBool,
    /// Whether others get a look at what was committed before its committer does.
    lingers: AtomicBool,
    hangs: AtomicBool,
}

impl Watched {
    fn behind(&self) -> Arc<MemoryState> {
        Arc::clone(&self.behind.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn restore(&self, state: State) {
        *self.behind.lock().unwrap() = Arc::new(MemoryState::holding(state));
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl StateReader for Watched {
    async fn load(&self) -> Result<Arc<State>, StateError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        // So that others come while this one reads.
        tokio::task::yield_now().await;
        self.behind().load().await
    }

    async fn load_knowing(&self, _known: &State) -> Result<Arc<State>, StateError> {
        self.load().await
    }

    async fn epoch(&self) -> Result<Epoch, StateError> {
        self.behind().epoch().await
    }

    async fn changed(&self, after: Epoch, floor: Duration) -> Result<Epoch, StateError> {
        self.behind().changed(after, floor).await
    }
}

#[async_trait]
impl StateWriter for Watched {
    async fn commit(&self, change: Change) -> Result<Epoch, StateError> {
        if self.hangs.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        let epoch = self.behind().commit(change).await?;
        for _ in 0..if self.lingers.load(Ordering::SeqCst) { 50 } else { 0 } {
            tokio::task::yield_now().await;
        }
        if self.loses_answers.load(Ordering::SeqCst) {
            return Err(StateError::Unavailable("the answer was lost".to_owned()));
        }
        Ok(epoch)
    }

    async fn outbox(&self, limit: u32) -> Result<Vec<OutboxEntry>, StateError> {
        self.behind().outbox(limit).await
    }

    async fn drained(&self, ids: &[String]) -> Result<(), StateError> {
        self.behind().drained(ids).await
    }
}

/// A clock that is put forward.
#[derive(Debug)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

fn remembered() -> (Arc<Watched>, Arc<Remembered>) {
    let watched = Arc::new(Watched::default());
    (Arc::clone(&watched), Arc::new(Remembered::new(watched, Arc::new(StoppedClock))))
}

async fn write(state: &dyn StateWriter, operations: Vec<Operation>) -> Result<Epoch, StateError> {
    let expected = state.epoch().await.unwrap();
    state.commit(Change { expected, operations, events: Vec::new() }).await
}

fn environment(name: &str) -> Vec<Operation> {
    vec![sample::insert(sample::environment(name))]
}

fn disable(name: &str) -> Vec<Operation> {
    let record = sample::environment(name);
    let (key, revision) = (record.key, record.revision);
    vec![Operation::SetStatus { key, revision, status: Lifecycle::Disabled, at: NOW }]
}

#[tokio::test]
async fn a_state_is_read_once_for_each_epoch() {
    let (watched, state) = remembered();
    write(&*watched.behind(), environment("dev")).await.unwrap();
    for _ in 0..5 {
        assert_eq!(state.load().await.unwrap().epoch, Epoch(1));
    }
    assert_eq!(watched.loads(), 1);
}

#[tokio::test]
async fn many_that_ask_at_once_cause_one_reading() {
    let (watched, state) = remembered();
    let all = (0..20).map(|_| {
        let state = Arc::clone(&state);
        tokio::spawn(async move { state.load().await.unwrap().epoch })
    });
    for one in all.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap(), Epoch(0));
    }
    assert_eq!(watched.loads(), 1);
}

#[tokio::test]
async fn another_replicas_commit_is_never_missed() {
    let file = File(TempDir::new().unwrap());
    let open = || async { Remembered::new(StateDatabase::open(&file).await, Arc::new(StoppedClock)) };
    let (one, other) = (open().await, open().await);
    for round in 0..10 {
        let (writer, reader) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        reader.load().await.unwrap();
        write(writer, environment(&format!("e{round}"))).await.unwrap();
        for (who, handle) in [("who wrote", writer), ("the other", reader)] {
            let read = handle.load().await.unwrap();
            let seen = (read.epoch.0, read.revisions.len() as u64);
            assert_eq!(seen, (round + 1, round + 1), "{who}, round {round}");
        }
    }
}

#[tokio::test]
async fn who_sees_a_commit_before_it_is_carried_out_reads_nothing() {
    let (watched, state) = remembered();
    state.load().await.unwrap();
    watched.lingers.store(true, Ordering::SeqCst);
    let reader = Arc::clone(&state);
    let reader = tokio::spawn(async move {
        reader.changed(Epoch(0), Duration::from_secs(60)).await.unwrap();
        reader.load().await.unwrap().epoch
    });
    write(&*state, environment("dev")).await.unwrap();
    assert_eq!((reader.await.unwrap(), watched.loads()), (Epoch(1), 1));
}

#[tokio::test]
async fn a_commit_that_hangs_keeps_nobody_from_anothers() {
    let (watched, state) = remembered();
    state.load().await.unwrap();
    watched.hangs.store(true, Ordering::SeqCst);
    let hanging = Arc::clone(&state);
    let hanging = tokio::spawn(async move { write(&*hanging, environment("never")).await });
    tokio::task::yield_now().await;
    write(&*watched.behind(), environment("dev")).await.unwrap();
    let read = tokio::time::timeout(Duration::from_secs(30), state.load()).await;
    assert_eq!(read.expect("it is not held up").unwrap().epoch, Epoch(1));
    hanging.abort();
}

#[tokio::test]
async fn what_this_handle_commits_is_not_read_again_and_is_what_a_reading_gives() {
    let (watched, state) = remembered();
    state.load().await.unwrap();
    write(&*state, environment("b")).await.unwrap();
    write(&*state, environment("a")).await.unwrap();
    write(&*state, disable("b")).await.unwrap();
    write(&*state, vec![Operation::InsertAgentToken(sample::agent_token("two"))]).await.unwrap();
    write(&*state, vec![Operation::InsertAgentToken(sample::agent_token("one"))]).await.unwrap();
    let kept = state.load().await.unwrap();
    assert_eq!(watched.loads(), 1, "only the first one");
    let mut fresh = watched.behind().now();
    fresh.put_in_order();
    assert_eq!(*kept, fresh);
    assert_eq!(kept.revisions.len(), 2);
}

#[tokio::test]
async fn what_was_handed_out_never_changes() {
    let (_, state) = remembered();
    write(&*state, environment("dev")).await.unwrap();
    let before = state.load().await.unwrap();
    write(&*state, disable("dev")).await.unwrap();
    assert_eq!((before.epoch, before.revisions[0].status), (Epoch(1), Lifecycle::Active));
    assert_eq!(state.load().await.unwrap().revisions[0].status, Lifecycle::Disabled);
}

#[tokio::test]
async fn a_refused_commit_leaves_what_is_kept_as_it_is() {
    let (watched, state) = remembered();
    write(&*state, environment("dev")).await.unwrap();
    let before = state.load().await.unwrap();
    let stale = Change { expected: Epoch(0), operations: environment("late"), events: Vec::new() };
    assert_eq!(state.commit(stale).await, Err(StateError::Conflict));
    let twice = write(&*state, environment("dev")).await;
    assert!(matches!(twice, Err(StateError::Constraint(_))), "{twice:?}");
    watched.behind().set_down(true);
    assert!(matches!(state.load().await, Err(StateError::Unavailable(_))), "an outage is not covered up");
    watched.behind().set_down(false);
    assert_eq!(*state.load().await.unwrap(), *before);
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_seen() {
    let (watched, state) = remembered();
    state.load().await.unwrap();
    watched.loses_answers.store(true, Ordering::SeqCst);
    let lost = write(&*state, environment("dev")).await;
    assert!(matches!(lost, Err(StateError::Unavailable(_))), "{lost:?}");
    let read = state.load().await.unwrap();
    assert_eq!((read.epoch, read.revisions.len()), (Epoch(1), 1));
}

#[tokio::test]
async fn a_restored_database_is_read_again_although_its_number_comes_back() {
    let (watched, state) = remembered();
    write(&*state, environment("dev")).await.unwrap();
    let backup = watched.behind().now();
    write(&*state, disable("dev")).await.unwrap();
    assert_eq!(state.load().await.unwrap().epoch, Epoch(2));
    watched.restore(backup);
    // Any look at the epoch tells, as the publisher takes them all the time.
    assert_eq!(state.epoch().await.unwrap(), Epoch(1));
    write(&*watched.behind(), environment("other")).await.unwrap();
    let read = state.load().await.unwrap();
    assert_eq!((read.epoch, read.revisions.len()), (Epoch(2), 2));
    assert_eq!(
        read.active(&sample::environment("dev").key).map(|record| record.status),
        Some(Lifecycle::Active)
    );
}

#[tokio::test]
async fn what_is_over_is_dropped_although_nothing_was_committed() {
    let watched = Arc::new(Watched::default());
    let hand = Arc::new(Hand(AtomicI64::new(NOW.micros())));
    let state =
        Remembered::new(Arc::clone(&watched) as Arc<dyn StateWriter>, Arc::clone(&hand) as Arc<dyn Clock>);
    let tokens = vec![
        Operation::InsertAgentToken(sample::agent_token("one")),
        Operation::InsertOperatorToken(sample::operator_token("two")),
    ];
    write(&state, tokens).await.unwrap();
    let before = state.load().await.unwrap();
    assert_eq!((before.agent_tokens.len(), before.operator_tokens.len()), (1, 1));
    hand.0.store(NOW.plus(Duration::from_secs(3600)).micros(), Ordering::SeqCst);
    let after = state.load().await.unwrap();
    assert_eq!((after.agent_tokens.len(), after.operator_tokens.len()), (0, 0));
    assert_eq!(before.agent_tokens.len(), 1, "what was handed out stays");
    assert_eq!(watched.loads(), 1);
}

#[tokio::test]
async fn what_a_clock_that_was_ahead_took_comes_back_with_the_time() {
    let watched = Arc::new(Watched::default());
    let hand = Arc::new(Hand(AtomicI64::new(NOW.micros())));
    let state =
        Remembered::new(Arc::clone(&watched) as Arc<dyn StateWriter>, Arc::clone(&hand) as Arc<dyn Clock>);
    write(&state, vec![Operation::InsertAgentToken(sample::agent_token("one"))]).await.unwrap();
    assert_eq!(state.load().await.unwrap().agent_tokens.len(), 1);
    hand.0.store(NOW.plus(Duration::from_secs(3600)).micros(), Ordering::SeqCst);
    assert_eq!(state.load().await.unwrap().agent_tokens.len(), 0);
    // Also where something was committed under the wrong time.
    write(&state, environment("staging")).await.unwrap();
    hand.0.store(NOW.micros(), Ordering::SeqCst);
    assert_eq!(state.load().await.unwrap().agent_tokens.len(), 1);
}

#[tokio::test]
async fn an_operator_token_that_was_used_up_is_gone() {
    let (_, state) = remembered();
    write(&*state, vec![Operation::InsertOperatorToken(sample::operator_token("one"))]).await.unwrap();
    assert_eq!(state.load().await.unwrap().operator_tokens.len(), 1);
    write(&*state, vec![Operation::EndOperatorToken { id: "one".to_owned(), at: NOW }]).await.unwrap();
    assert!(state.load().await.unwrap().operator_tokens.is_empty());
}
