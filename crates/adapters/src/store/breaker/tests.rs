use std::sync::atomic::{AtomicU32, Ordering};

use gateway_core::id::StoreName;
use gateway_testkit::clock::ManualClock;
use gateway_testkit::store::MemoryStore;
use tokio::sync::Semaphore;

use super::*;

fn wanted() -> ResolvedReference {
    let store = StoreName::parse("fake").unwrap();
    ResolvedReference { store, path: "a".to_owned(), field: None, version: None }
}

struct Setup {
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    breaker: Breaker,
}

fn setup() -> Setup {
    let store = MemoryStore::new();
    store.insert("a", "", b"value");
    let clock = Arc::new(ManualClock::default());
    let breaker = Breaker::new(store.clone(), BreakerLimits::default(), clock.clone());
    Setup { store, clock, breaker }
}

impl Setup {
    async fn kind(&self) -> Option<StoreErrorKind> {
        self.breaker.fetch(&wanted()).await.err().map(|error| error.kind)
    }

    /// Brings it to its first pause.
    async fn broken() -> Self {
        let setup = setup();
        setup.store.fail(Some(StoreErrorKind::Unavailable));
        for _ in 0..5 {
            assert_eq!(setup.kind().await, Some(StoreErrorKind::Unavailable));
        }
        assert_eq!(setup.store.fetches(), 5);
        setup
    }

    /// How long the pause is that holds now, to a hundredth of a second.
    async fn pause(&self) -> Duration {
        let (before, start) = (self.store.fetches(), self.clock.now());
        while self.store.fetches() == before {
            self.clock.advance(Duration::from_millis(10));
            let _outcome = self.kind().await;
        }
        self.clock.now().since(start)
    }
}

#[tokio::test]
async fn a_store_that_fails_five_times_is_left_alone() {
    let setup = Setup::broken().await;
    let error = setup.breaker.fetch(&wanted()).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.retry_after.is_some(), "says when to come back");
    assert_eq!(setup.store.fetches(), 5, "nobody asked the store");
}

#[tokio::test]
async fn pauses_double_to_their_limit_and_are_jittered() {
    let setup = Setup::broken().await;
    let mut whole = 500;
    for _ in 0..8 {
        let pause = setup.pause().await.as_millis();
        assert!((whole / 2..=whole + 10).contains(&pause), "{pause} ms of {whole} ms");
        whole = (whole * 2).min(8_000);
    }
    let lengths = async || Setup::broken().await.pause().await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        seen.insert(lengths().await);
    }
    assert!(seen.len() > 1, "no two replicas come back together: {seen:?}");
}

#[tokio::test]
async fn one_success_after_the_pause_heals_it() {
    let setup = Setup::broken().await;
    setup.store.fail(None);
    setup.pause().await;
    assert_eq!(setup.kind().await, None);
    setup.store.fail(Some(StoreErrorKind::Timeout));
    for _ in 0..4 {
        assert_eq!(setup.kind().await, Some(StoreErrorKind::Timeout));
    }
    setup.store.fail(None);
    assert_eq!(setup.kind().await, None, "failures count in a row, and from the beginning");
}

#[tokio::test]
async fn answers_that_are_refusals_break_nothing() {
    for kind in [StoreErrorKind::NotFound, StoreErrorKind::Denied, StoreErrorKind::Malformed] {
        let setup = setup();
        setup.store.fail(Some(kind));
        for _ in 0..20 {
            assert_eq!(setup.kind().await, Some(kind));
        }
        assert_eq!(setup.store.fetches(), 20, "{kind:?}");
    }
}

#[tokio::test]
async fn a_probe_goes_through_and_heals() {
    let setup = Setup::broken().await;
    assert!(setup.breaker.probe().await.is_err());
    assert_eq!(setup.kind().await, Some(StoreErrorKind::Unavailable));
    setup.store.fail(None);
    setup.breaker.probe().await.unwrap();
    assert_eq!(setup.kind().await, None);
}

#[tokio::test]
async fn a_clock_that_is_set_back_ends_the_pause() {
    let setup = Setup::broken().await;
    setup.store.fail(None);
    setup.clock.set(Timestamp::from_seconds(0));
    assert_eq!(setup.kind().await, None);
}

/// Answers with what it was told, when it is told.
#[derive(Debug)]
struct Told {
    fetches: AtomicU32,
    retry_after: Option<Duration>,
    gate: Semaphore,
}

impl Told {
    fn throttled(retry_after: Option<Duration>) -> Arc<Self> {
        let gate = Semaphore::new(Semaphore::MAX_PERMITS);
        Arc::new(Self { fetches: AtomicU32::new(0), retry_after, gate })
    }
}

#[async_trait]
impl SecretStore for Told {
    async fn fetch(&self, _reference: &ResolvedReference) -> Result<Arc<SecretVersion>, StoreError> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let _permit = self.gate.acquire().await.unwrap();
        let mut error = StoreError::new(StoreErrorKind::Throttled, "as told");
        error.retry_after = self.retry_after;
        Err(error)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_throttled_store_is_left_alone_for_as_long_as_it_says() {
    for (says, at_least) in [(Some(7), 7_000), (None, 500), (Some(3_600), 60_000)] {
        let store = Told::throttled(says.map(Duration::from_secs));
        let clock = Arc::new(ManualClock::default());
        let breaker = Breaker::new(store.clone(), BreakerLimits::default(), clock.clone());
        assert!(breaker.fetch(&wanted()).await.is_err());
        clock.advance(Duration::from_millis(at_least - 1));
        let error = breaker.fetch(&wanted()).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Throttled);
        assert_eq!(store.fetches.load(Ordering::SeqCst), 1, "{says:?}: not before its time");
        clock.advance(Duration::from_millis(at_least / 10 + 1));
        assert!(breaker.fetch(&wanted()).await.is_err());
        assert_eq!(store.fetches.load(Ordering::SeqCst), 2, "{says:?}: and then again");
    }
}

#[tokio::test]
async fn one_caller_tries_at_a_time_and_one_that_goes_away_lets_the_next_try() {
    let store = Told::throttled(None);
    let clock = Arc::new(ManualClock::default());
    let breaker = Breaker::new(store.clone(), BreakerLimits::default(), clock.clone());
    assert!(breaker.fetch(&wanted()).await.is_err());
    clock.advance(Duration::from_secs(10));
    store.gate.forget_permits(Semaphore::MAX_PERMITS);
    let place = wanted();
    {
        let mut trying = Box::pin(breaker.fetch(&place));
        assert!(futures::poll!(&mut trying).is_pending());
        assert_eq!(store.fetches.load(Ordering::SeqCst), 2);
        assert!(breaker.fetch(&place).await.is_err());
        assert_eq!(store.fetches.load(Ordering::SeqCst), 2, "the others wait for what the first finds");
    }
    let mut next = Box::pin(breaker.fetch(&place));
    assert!(futures::poll!(&mut next).is_pending());
    assert_eq!(store.fetches.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn it_remembers_when_the_store_answered_last_and_what_went_wrong_last() {
    let setup = setup();
    let seen = || {
        let figures = setup.breaker.figures();
        (figures.answered, figures.failed)
    };
    assert_eq!(seen(), (None, None), "nobody has asked yet");
    setup.kind().await;
    let answered = setup.clock.now();
    assert_eq!(seen(), (Some(answered), None));
    setup.clock.advance(Duration::from_secs(1));
    setup.store.fail(Some(StoreErrorKind::Unavailable));
    setup.kind().await;
    assert_eq!(seen(), (Some(answered), Some((StoreErrorKind::Unavailable, setup.clock.now()))));
    setup.clock.advance(Duration::from_secs(1));
    setup.store.fail(Some(StoreErrorKind::Denied));
    setup.kind().await;
    let denied = setup.clock.now();
    assert_eq!(seen(), (Some(denied), Some((StoreErrorKind::Denied, denied))), "a refusal is an answer");
    setup.clock.advance(Duration::from_secs(1));
    setup.store.fail(None);
    setup.breaker.probe().await.unwrap();
    assert_eq!(
        seen(),
        (Some(setup.clock.now()), Some((StoreErrorKind::Denied, denied))),
        "asking counts as well"
    );
}
