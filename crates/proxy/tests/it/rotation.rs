//! New versions of a secret on the data path: one call tries, the others go on, and a refused one is taken back.

use std::sync::Arc;
use std::time::Duration;

use gateway_core::id::{BindingName, EnvironmentName};
use gateway_core::lease::VersionId;
use gateway_core::ports::{LiveTraffic as _, RolledBack, SecretCache as _};
use gateway_core::reference::SecretReference;
use gateway_core::rotation::{Reminded, VersionRecord, VersionState};
use http::StatusCode;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::broker::{CANARY, TestBroker, binding_spec, record};
use crate::upstream::{Upstream, json as answer};

const SECOND: &str = "the-second-version-of-it";

/// Takes the first value at once; the second one is answered with `status` when the test lets it.
async fn upstream(status: StatusCode, gate: &Arc<Semaphore>) -> Upstream {
    let gate = Arc::clone(gate);
    Upstream::start(move |seen| {
        let second = is_second(&seen);
        let gate = Arc::clone(&gate);
        async move {
            let mut response = answer(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#);
            if second {
                gate.acquire().await.unwrap().forget();
                *response.status_mut() = status;
            }
            response
        }
    })
    .await
}

fn is_second(seen: &crate::upstream::Seen) -> bool {
    seen.headers["authorization"] == format!("Bearer {SECOND}").as_str()
}

fn with_second(upstream: &Upstream) -> usize {
    upstream.seen.lock().unwrap().iter().filter(|seen| is_second(seen)).count()
}

/// The store holds a second version, which the cache takes over.
fn renew(broker: &TestBroker) {
    broker.store.earlier.lock().unwrap().insert("0".to_owned(), CANARY.to_owned());
    *broker.store.value.lock().unwrap() = SECOND.to_owned();
    broker.store.version.store(2, std::sync::atomic::Ordering::SeqCst);
    broker.store.forget_all();
}

fn main() -> (EnvironmentName, BindingName) {
    ("dev".parse().unwrap(), "main".parse().unwrap())
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn a_version_that_the_server_refuses_fails_one_call_and_the_former_one_goes_on() {
    let gate = Arc::new(Semaphore::new(0));
    let upstream = upstream(StatusCode::UNAUTHORIZED, &gate).await;
    let broker = TestBroker::start(upstream.address).await;
    assert_eq!(broker.call("write_it").await.status, 200);
    renew(&broker);
    let trial = async {
        let answer = broker.call("write_it").await;
        assert_eq!(answer.code(), "upstream.unauthorized", "the one that tried");
    };
    let others = async {
        until("the new value is tried", || with_second(&upstream) == 1).await;
        let (environment, binding) = main();
        let in_use = || broker.gateway.versions_in_use(&environment, &binding);
        until("only the trial is under way", || in_use() == [VersionId::new("2")]).await;
        for _ in 0..5 {
            assert_eq!(broker.call("write_it").await.status, 200, "the others go on meanwhile");
        }
        gate.add_permits(100);
    };
    tokio::join!(trial, others);
    for _ in 0..5 {
        assert_eq!(broker.call("write_it").await.status, 200);
    }
    assert_eq!(with_second(&upstream), 1);
    let (environment, binding) = main();
    let back = RolledBack { environment, binding, refused: VersionId::new("2"), kept: VersionId::new("0") };
    assert_eq!(broker.gateway.rolled_back(), [back]);
    // The store gives the former one out no more: then there is nothing to go back to, and nothing is made up.
    broker.store.earlier.lock().unwrap().clear();
    broker.store.forget_all();
    assert_eq!(broker.call("echo").await.code(), "upstream.unauthorized");
}

#[tokio::test]
async fn a_reading_call_that_tries_a_bad_version_goes_back_by_itself() {
    let gate = Arc::new(Semaphore::new(100));
    let upstream = upstream(StatusCode::UNAUTHORIZED, &gate).await;
    let broker = TestBroker::start(upstream.address).await;
    assert_eq!(broker.call("echo").await.status, 200);
    renew(&broker);
    for _ in 0..3 {
        assert_eq!(broker.call("echo").await.status, 200);
    }
    assert_eq!(with_second(&upstream), 1);
}

#[tokio::test]
async fn a_version_that_the_server_takes_is_everybodys_after_the_first_answer() {
    let gate = Arc::new(Semaphore::new(0));
    let upstream = upstream(StatusCode::OK, &gate).await;
    let broker = TestBroker::start(upstream.address).await;
    assert_eq!(broker.call("write_it").await.status, 200);
    renew(&broker);
    let trial = async { assert_eq!(broker.call("write_it").await.status, 200) };
    let others = async {
        until("the new value is tried", || with_second(&upstream) == 1).await;
        assert_eq!(broker.call("write_it").await.status, 200);
        assert_eq!(with_second(&upstream), 1, "the others do not wait for the trial");
        gate.add_permits(100);
    };
    tokio::join!(trial, others);
    let before = upstream.count();
    for _ in 0..3 {
        assert_eq!(broker.call("write_it").await.status, 200);
    }
    assert_eq!((with_second(&upstream), upstream.count() - before), (4, 3));
    assert_eq!(broker.gateway.rolled_back(), []);
}

#[tokio::test]
async fn a_trial_that_gets_no_answer_is_handed_on_after_a_while() {
    let gate = Arc::new(Semaphore::new(0));
    let upstream = upstream(StatusCode::OK, &gate).await;
    let broker = TestBroker::start(upstream.address).await;
    assert_eq!(broker.call("write_it").await.status, 200);
    renew(&broker);
    let trial = async { broker.call("write_it").await };
    let others = async {
        until("the new value is tried", || with_second(&upstream) == 1).await;
        broker.put_forward(Duration::from_secs(11));
        let again = async { broker.call("write_it").await };
        let open = async {
            until("another call tries it", || with_second(&upstream) == 2).await;
            gate.add_permits(100);
        };
        tokio::join!(again, open).0
    };
    let (first, second) = tokio::join!(trial, others);
    assert_eq!((first.status, second.status), (200, 200));
}

#[tokio::test]
async fn a_watched_binding_uses_the_version_that_the_state_names_whatever_the_store_holds() {
    let gate = Arc::new(Semaphore::new(100));
    let upstream = upstream(StatusCode::OK, &gate).await;
    let mut broker =
        TestBroker::with(upstream.address, |binding| binding["rotation"] = json!({"watch": "30s"}), |_| {})
            .await;
    let active = |version: &str| VersionRecord {
        environment: "dev".parse().unwrap(),
        binding: "main".parse().unwrap(),
        place: SecretReference::parse("local://a#b").unwrap(),
        version: VersionId::new(version),
        state: VersionState::Active,
        created_at: None,
        changed_at: gateway_core::time::Timestamp::from_seconds(0),
        reason: None,
        reminded: Reminded::Nothing,
    };
    broker.publish(|state| state.versions = vec![active("0")]);
    renew(&broker);
    for _ in 0..3 {
        assert_eq!(broker.call("write_it").await.status, 200);
    }
    assert_eq!(with_second(&upstream), 0, "the newer one has not been taken over");
    broker.publish(|state| state.versions = vec![active("2")]);
    assert_eq!(broker.call("write_it").await.status, 200);
    assert_eq!(with_second(&upstream), 1);
    // Without the watch the store decides again.
    broker.publish(|state| state.revisions[3] = record(binding_spec(), 1));
    assert_eq!(broker.call("write_it").await.status, 200);
    assert_eq!(with_second(&upstream), 2);
}
