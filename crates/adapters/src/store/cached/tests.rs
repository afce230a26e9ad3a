use std::sync::atomic::{AtomicU32, Ordering};

use gateway_core::id::StoreName;
use gateway_core::lease::VersionId;
use gateway_core::secret::Secret;
use gateway_testkit::clock::ManualClock;
use tokio::sync::Semaphore;

use super::*;

/// Counts fetches, and lets each finish only when the test gives a permit.
#[derive(Debug)]
struct Gated {
    fetches: AtomicU32,
    gate: Semaphore,
    answer: Mutex<Result<Option<Timestamp>, StoreErrorKind>>,
}

impl Gated {
    fn open() -> Arc<Self> {
        Self::with_permits(Semaphore::MAX_PERMITS)
    }

    fn shut() -> Arc<Self> {
        Self::with_permits(0)
    }

    fn with_permits(permits: usize) -> Arc<Self> {
        let gate = Semaphore::new(permits);
        Arc::new(Self { fetches: AtomicU32::new(0), gate, answer: Mutex::new(Ok(None)) })
    }

    fn answer(&self, answer: Result<Option<Timestamp>, StoreErrorKind>) {
        *self.answer.lock().unwrap() = answer;
    }

    fn fetches(&self) -> u32 {
        self.fetches.load(Ordering::SeqCst)
    }

    async fn until_fetches(&self, wanted: u32) {
        while self.fetches() < wanted {
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait]
impl SecretStore for Gated {
    async fn fetch(&self, _reference: &ResolvedReference) -> Outcome {
        let number = self.fetches.fetch_add(1, Ordering::SeqCst) + 1;
        let answer = *self.answer.lock().unwrap();
        self.gate.acquire().await.unwrap().forget();
        let expires_at = answer.map_err(|kind| StoreError::new(kind, "as told"))?;
        Ok(Arc::new(SecretVersion {
            secret: Secret::copy_from(b"value"),
            version: VersionId::new(&number.to_string()),
            created_at: None,
            expires_at,
            store_request_id: None,
        }))
    }

    async fn probe(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn place(path: &str) -> ResolvedReference {
    let store = StoreName::parse("fake").unwrap();
    ResolvedReference { store, path: path.to_owned(), field: Some("token".to_owned()), version: None }
}

fn cached(inner: &Arc<Gated>, limits: CacheLimits) -> (Arc<Cached>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    (Arc::new(Cached::new(inner.clone(), limits, clock.clone())), clock)
}

async fn version(cache: &Cached, path: &str) -> String {
    cache.fetch(&place(path)).await.unwrap().version.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_make_one_fetch() {
    let inner = Gated::shut();
    let (cache, _) = cached(&inner, CacheLimits::default());
    let started = Arc::new(AtomicU32::new(0));
    let callers: Vec<_> = (0..1000)
        .map(|_| {
            let (cache, started) = (cache.clone(), started.clone());
            tokio::spawn(async move {
                started.fetch_add(1, Ordering::SeqCst);
                cache.fetch(&place("a")).await
            })
        })
        .collect();
    while started.load(Ordering::SeqCst) < 1000 {
        tokio::task::yield_now().await;
    }
    inner.gate.add_permits(1);
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap().version.as_str(), "1");
    }
    assert_eq!(inner.fetches(), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_fails_nobody_else() {
    let inner = Gated::shut();
    let (cache, _) = cached(&inner, CacheLimits::default());
    let first = tokio::spawn({
        let cache = cache.clone();
        async move { cache.fetch(&place("a")).await }
    });
    inner.until_fetches(1).await;
    first.abort();
    assert!(first.await.is_err());
    inner.gate.add_permits(1);
    assert_eq!(version(&cache, "a").await, "1");
    assert_eq!(inner.fetches(), 1);
}

#[tokio::test]
async fn a_load_that_began_before_forget_is_neither_kept_nor_shared() {
    let inner = Gated::shut();
    let (cache, _) = cached(&inner, CacheLimits::default());
    let before = tokio::spawn({
        let cache = cache.clone();
        async move { cache.fetch(&place("a")).await.unwrap().version.to_string() }
    });
    inner.until_fetches(1).await;
    cache.forget(&place("a"));
    let after = tokio::spawn({
        let cache = cache.clone();
        async move { cache.fetch(&place("a")).await.unwrap().version.to_string() }
    });
    inner.until_fetches(2).await;
    inner.gate.add_permits(1);
    assert_eq!(before.await.unwrap(), "1");
    assert!(!after.is_finished(), "the caller that came later waits for its own load");
    inner.gate.add_permits(1);
    assert_eq!(after.await.unwrap(), "2");
    assert_eq!(version(&cache, "a").await, "2", "what is kept is the newer load");
    assert_eq!(inner.fetches(), 2);
}

#[tokio::test]
async fn a_late_old_load_does_not_replace_what_a_newer_one_kept() {
    let inner = Gated::shut();
    let (cache, _) = cached(&inner, CacheLimits::default());
    let old = tokio::spawn({
        let cache = cache.clone();
        async move { cache.fetch(&place("a")).await.unwrap().version.to_string() }
    });
    inner.until_fetches(1).await;
    assert_eq!(cache.forget_all(), 0, "a load under way is no held value");
    // The gate is fair, so the old load gets the first permit; the newer one ends second and stays.
    inner.gate.add_permits(1);
    assert_eq!(old.await.unwrap(), "1");
    assert!(cache.is_empty(), "the old load left nothing behind");
    inner.gate.add_permits(1);
    assert_eq!(version(&cache, "a").await, "2");
}

#[tokio::test]
async fn a_value_serves_until_its_time_and_no_longer() {
    let inner = Gated::open();
    let (cache, clock) = cached(&inner, CacheLimits::default());
    assert_eq!(version(&cache, "a").await, "1");
    clock.advance(Duration::from_millis(59_999));
    inner.answer(Err(StoreErrorKind::Unavailable));
    assert_eq!(version(&cache, "a").await, "1", "the store is down, the value is fresh");
    clock.advance(Duration::from_millis(1));
    let error = cache.fetch(&place("a")).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable, "never a stale value");
}

#[tokio::test]
async fn a_clock_that_is_set_back_lets_neither_value_nor_outage_live_longer() {
    let inner = Gated::open();
    let (cache, clock) = cached(&inner, CacheLimits::with_time_to_live(Duration::from_millis(20)));
    for answer in [Ok(None), Err(StoreErrorKind::Unavailable)] {
        inner.answer(answer);
        let before = inner.fetches();
        let _either = cache.fetch(&place("a")).await;
        clock.set(Timestamp::from_seconds(clock.now().seconds() - 7200));
        let asked_again = async {
            while inner.fetches() < before + 2 {
                let _either = cache.fetch(&place("a")).await;
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), asked_again).await.unwrap();
    }
}

#[tokio::test]
async fn a_version_that_expires_earlier_serves_shorter() {
    let inner = Gated::open();
    let (cache, clock) = cached(&inner, CacheLimits::default());
    inner.answer(Ok(Some(clock.now().plus(Duration::from_secs(10)))));
    assert_eq!(version(&cache, "a").await, "1");
    clock.advance(Duration::from_secs(10));
    let error = cache.fetch(&place("a")).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::NotFound, "an expired version is not handed out");
    assert_eq!(inner.fetches(), 2);
}

#[tokio::test]
async fn refusals_serve_for_five_seconds_and_outages_for_one() {
    for (kind, millis) in [
        (StoreErrorKind::NotFound, 5_000),
        (StoreErrorKind::Empty, 5_000),
        (StoreErrorKind::Denied, 5_000),
        (StoreErrorKind::Unavailable, 1_000),
        (StoreErrorKind::Timeout, 1_000),
        (StoreErrorKind::Throttled, 1_000),
    ] {
        let inner = Gated::open();
        let (cache, clock) = cached(&inner, CacheLimits::default());
        inner.answer(Err(kind));
        assert_eq!(cache.fetch(&place("a")).await.unwrap_err().kind, kind);
        inner.answer(Ok(None));
        clock.advance(Duration::from_millis(millis - 1));
        assert_eq!(cache.fetch(&place("a")).await.unwrap_err().kind, kind);
        clock.advance(Duration::from_millis(1));
        assert_eq!(version(&cache, "a").await, "2", "{kind:?}");
    }
}

#[tokio::test]
async fn forget_takes_every_version_of_the_place_and_nothing_else() {
    let inner = Gated::open();
    let (cache, _) = cached(&inner, CacheLimits::default());
    let pinned = ResolvedReference {
        version: Some(gateway_core::reference::VersionSelector::Version("7".to_owned())),
        ..place("a")
    };
    cache.fetch(&pinned).await.unwrap();
    version(&cache, "a").await;
    let kept = version(&cache, "b").await;
    assert_eq!(cache.forget(&place("a")), 2);
    assert_eq!(cache.len(), 1);
    assert_eq!(version(&cache, "b").await, kept);
}

#[tokio::test]
async fn holds_at_most_its_capacity_and_the_oldest_goes_first() {
    let inner = Gated::open();
    let limits = CacheLimits { capacity: 3, ..CacheLimits::default() };
    let (cache, clock) = cached(&inner, limits);
    for path in ["a", "b", "c", "d"] {
        version(&cache, path).await;
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(cache.len(), 3);
    assert_eq!(version(&cache, "b").await, "2", "still held");
    assert_eq!(version(&cache, "a").await, "5", "went first");
}

#[tokio::test]
async fn sweep_drops_what_has_expired_and_zeroes_it() {
    let inner = Gated::open();
    let (cache, clock) = cached(&inner, CacheLimits::default());
    let value = Arc::downgrade(&cache.fetch(&place("a")).await.unwrap());
    assert_eq!(cache.sweep(clock.now()), 0);
    assert!(value.upgrade().is_some());
    clock.advance(Duration::from_secs(60));
    assert_eq!(cache.sweep(clock.now()), 1);
    assert!(value.upgrade().is_none(), "nobody holds the value any more");
}

#[tokio::test]
async fn zero_seconds_switch_the_cache_off() {
    let inner = Gated::open();
    let (cache, _) = cached(&inner, CacheLimits::with_time_to_live(Duration::ZERO));
    assert_eq!(version(&cache, "a").await, "1");
    assert_eq!(version(&cache, "a").await, "2");
    assert!(cache.is_empty());
}

#[tokio::test]
async fn a_load_that_panics_is_an_outage_and_leaves_no_ticket() {
    #[derive(Debug)]
    struct Panics;
    #[async_trait]
    impl SecretStore for Panics {
        async fn fetch(&self, _reference: &ResolvedReference) -> Outcome {
            panic!("on purpose")
        }
        async fn probe(&self) -> Result<(), StoreError> {
            Ok(())
        }
    }
    let cache = Cached::new(Arc::new(Panics), CacheLimits::default(), Arc::new(ManualClock::default()));
    assert_eq!(cache.fetch(&place("a")).await.unwrap_err().kind, StoreErrorKind::Unavailable);
    assert!(cache.is_empty());
}
