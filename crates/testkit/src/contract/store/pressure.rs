//! What a decorated store promises when the store behind it misbehaves: it is asked as rarely as can be, left
//! alone when it says so or does not answer, and nothing that is not whole is ever taken for a value.
//!
//! Every claim counts the requests that reach the wire, so it can fail.

#![allow(clippy::indexing_slicing, reason = "the places are made just before")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::ports::{SecretStore, StoreError, StoreErrorKind};
use gateway_core::reference::ResolvedReference;

use super::{BUSY, FIRST, Misbehaviour, RETRY_AFTER, SECOND, StoreWorld, Trouble, bytes, pin, put, refused};
use crate::clock::ManualClock;

/// How long a decorated store serves a value, and after how many failures it leaves a store alone: the
/// defaults of a configured one.
const TIME_TO_LIVE: Duration = Duration::from_secs(60);
const FAILURES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// A decorated store over the world's own.
struct Decorated<'a> {
    world: &'a dyn StoreWorld,
    clock: &'a ManualClock,
    store: Arc<dyn SecretStore>,
}

/// Runs every claim, each on a store that `decorate` makes anew: with a cache in front of a circuit in front
/// of the world's store, all by `clock`.
///
/// # Panics
/// Where a claim does not hold, and where the world does not count requests.
pub async fn pressure(
    world: &dyn StoreWorld,
    clock: &ManualClock,
    decorate: impl Fn() -> Arc<dyn SecretStore>,
) {
    let fresh = || Decorated { world, clock, store: decorate() };
    fresh().asks_nobody_while_a_value_is_fresh().await;
    fresh().leaves_a_throttled_store_alone_for_as_long_as_it_says().await;
    fresh().leaves_a_store_alone_that_does_not_answer().await;
    takes_nothing_that_is_not_whole(world).await;
    misses_a_deleted_version_alone(world).await;
    let mut pauses = BTreeSet::new();
    for _ in 0..6 {
        pauses.insert(fresh().pause().await);
    }
    assert!(pauses.len() > 1, "no two replicas come back together: {pauses:?}");
}

impl Decorated<'_> {
    fn requests(&self) -> u32 {
        self.world.requests().expect("this world counts the requests on its wire")
    }

    async fn put(&self, name: &str) -> ResolvedReference {
        put(self.world, name, FIRST).await
    }

    async fn fails(&self, wanted: &ResolvedReference) -> StoreError {
        let asked = tokio::time::timeout(BUSY, self.store.fetch(wanted)).await;
        match asked.expect("an answer in time") {
            Ok(_) => panic!("{wanted} was found"),
            Err(error) => error,
        }
    }

    async fn finds(&self, wanted: &ResolvedReference) {
        let found = self.store.fetch(wanted).await;
        let found = found.unwrap_or_else(|error| panic!("{wanted}: {error}"));
        assert_eq!(bytes(&found), FIRST);
    }

    async fn asks_nobody_while_a_value_is_fresh(&self) {
        let wanted = self.put("fresh").await;
        self.finds(&wanted).await;
        let asked = self.requests();
        for _ in 0..1_000 {
            self.finds(&wanted).await;
        }
        self.clock.advance(TIME_TO_LIVE - Duration::from_secs(1));
        self.finds(&wanted).await;
        assert_eq!(self.requests(), asked, "no request on the hot path while the value is fresh");
        self.clock.advance(Duration::from_secs(1));
        let callers = (0..1_000).map(|_| self.finds(&wanted));
        futures::future::join_all(callers).await;
        assert_eq!(self.requests(), asked + 1, "one request for a thousand callers of a stale value");
    }

    async fn leaves_a_throttled_store_alone_for_as_long_as_it_says(&self) {
        let first = self.put("throttled-0").await;
        let (others, after) = (self.several("throttled").await, self.put("throttled-after").await);
        // The session is there: what follows is about values.
        self.finds(&first).await;
        if !self.world.bring(Trouble::Throttled).await {
            return;
        }
        assert_eq!(self.fails(&others[0]).await.kind, StoreErrorKind::Throttled);
        let asked = self.requests();
        self.clock.advance(RETRY_AFTER - Duration::from_millis(1));
        for wanted in &others[1..] {
            let error = self.fails(wanted).await;
            assert_eq!(error.kind, StoreErrorKind::Throttled);
            assert!(error.retry_after.is_some(), "it says when to come back");
        }
        assert_eq!(self.requests(), asked, "nobody comes back before the time that the store named");
        assert!(self.world.bring(Trouble::None).await);
        self.clock.advance(RETRY_AFTER.mul_f64(0.1) + Duration::from_millis(2));
        self.finds(&after).await;
    }

    async fn leaves_a_store_alone_that_does_not_answer(&self) {
        let first = self.put("down-0").await;
        let others = self.several("down").await;
        self.finds(&first).await;
        if !self.world.bring(Trouble::Down).await {
            return;
        }
        let before = self.requests();
        for wanted in &others {
            let kind = self.fails(wanted).await.kind;
            assert!(matches!(kind, StoreErrorKind::Unavailable | StoreErrorKind::Timeout), "{kind:?}");
        }
        let broken = self.requests();
        let came = broken - before;
        assert!((1..=FAILURES).contains(&came), "{came} requests for {} callers", others.len());
        self.clock.advance(FIRST_PAUSE);
        for number in 0..20 {
            self.fails(&self.another(&format!("again-{number}"))).await;
        }
        assert_eq!(self.requests() - broken, 1, "one caller tries for all");
        assert!(self.world.bring(Trouble::None).await);
        self.clock.advance(LONGEST_PAUSE);
        self.finds(&others[0]).await;
    }

    /// How long the first pause is, to ten milliseconds.
    async fn pause(&self) -> Duration {
        let several = self.several("pause").await;
        assert!(self.world.bring(Trouble::Down).await, "a world that counts requests can also be down");
        for wanted in &several {
            self.fails(wanted).await;
        }
        let (asked, mut waited) = (self.requests(), Duration::ZERO);
        while self.requests() == asked {
            assert!(waited <= FIRST_PAUSE + Duration::from_millis(10), "a pause without an end");
            let step = Duration::from_millis(10);
            self.clock.advance(step);
            waited += step;
            // Failures are remembered for a second: each try is of another place.
            self.fails(&self.another(&format!("pause-{}", waited.as_millis()))).await;
        }
        assert!(waited >= FIRST_PAUSE / 2, "at least half of a pause is kept: {waited:?}");
        assert!(self.world.bring(Trouble::None).await);
        self.clock.advance(LONGEST_PAUSE);
        waited
    }

    /// A place of which nobody has heard yet.
    fn another(&self, name: &str) -> ResolvedReference {
        let absent = self.world.absent();
        ResolvedReference { path: format!("{}-{name}", absent.path), ..absent }
    }

    async fn several(&self, name: &str) -> Vec<ResolvedReference> {
        let mut several = Vec::new();
        for number in 1..=2 * FAILURES {
            several.push(self.put(&format!("{name}-{number}")).await);
        }
        several
    }
}

/// What is cut short, is something else or points elsewhere is no value; what is late and whole is one.
async fn takes_nothing_that_is_not_whole(world: &dyn StoreWorld) {
    let wanted = put(world, "whole", FIRST).await;
    for misbehaviour in
        [Misbehaviour::CutShort, Misbehaviour::SomethingElse, Misbehaviour::Elsewhere, Misbehaviour::Late]
    {
        if !world.misbehave(misbehaviour).await {
            continue;
        }
        let asked = tokio::time::timeout(BUSY, world.store().fetch(&wanted)).await;
        let outcome = asked.unwrap_or_else(|_| panic!("{misbehaviour:?}: no answer in time"));
        match (misbehaviour, outcome) {
            (Misbehaviour::Late, Ok(found)) => assert_eq!(bytes(&found), FIRST),
            (Misbehaviour::Late, Err(error)) => panic!("{misbehaviour:?}: {error}"),
            (_, Ok(_)) => panic!("{misbehaviour:?}: a value was taken"),
            (_, Err(error)) => {
                let kinds = [StoreErrorKind::Malformed, StoreErrorKind::Unavailable, StoreErrorKind::Timeout];
                assert!(kinds.contains(&error.kind), "{misbehaviour:?}: {error}");
                assert!(!format!("{error} {error:?}").contains("canary"), "{misbehaviour:?}: {error}");
            }
        }
        assert!(world.bring(Trouble::None).await, "{misbehaviour:?} ends");
        let found = world.store().fetch(&wanted).await;
        let found = found.unwrap_or_else(|error| panic!("no recovery from {misbehaviour:?}: {error}"));
        assert_eq!(bytes(&found), FIRST);
    }
}

/// One version is deleted: it is missing by name, and the others are there.
async fn misses_a_deleted_version_alone(world: &dyn StoreWorld) {
    if !world.keeps_versions() || !world.pins() {
        return;
    }
    let wanted = put(world, "one-deleted", FIRST).await;
    let first = world.store().fetch(&wanted).await.expect("the first version");
    let pinned = pin(&wanted, first.version.as_str());
    put(world, "one-deleted", SECOND).await;
    if !world.delete_version(&pinned).await {
        return;
    }
    refused(world, &pinned, &[StoreErrorKind::NotFound], "a version that was deleted").await;
    let found = world.store().fetch(&wanted).await.expect("the newest version is there");
    assert_eq!(bytes(&found), SECOND);
}
