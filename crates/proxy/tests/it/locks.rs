//! Locks: what they match is stopped before anything else and cut where it runs, nobody else notices, and their
//! end lets calls through again. And the last look: who slept between the decision and the sending sends nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::audit::EventKind;
use gateway_core::id::OperatorName;
use gateway_core::lock::{LockEnd, LockRecord};
use gateway_core::ports::LiveTraffic;
use gateway_core::state::Lifecycle;
use gateway_core::time::Clock as _;
use gateway_proxy::upstream::Resolver;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::broker::{TestBroker, binding_spec, record};
use crate::fakes::Outside;
use crate::sessions::{CALL, open};
use crate::upstream::{Upstream, events, json as answer};

const PATIENCE: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);

async fn agreeable() -> Upstream {
    Upstream::start(|seen| async move {
        let mut response = answer(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#);
        if seen.body.windows(10).any(|part| part == b"initialize") {
            response.headers_mut().insert("mcp-session-id", "upstream-session".parse().unwrap());
        }
        response
    })
    .await
}

/// Serves alice and bob.
async fn broker(upstream: SocketAddr) -> TestBroker {
    let both = |binding: &mut Value| {
        binding["actor"] = json!({"users": ["https://idp|alice", "https://idp|bob"]});
    };
    TestBroker::with(upstream, both, |_| {}).await
}

fn made(broker: &TestBroker, selector: Value) -> LockRecord {
    let now = broker.outside.now();
    LockRecord {
        id: format!("lock-{}", broker.state.locks.len()),
        selector: serde_json::from_value(selector).unwrap(),
        reason: "the reason is for operators".to_owned(),
        author: OperatorName::parse("https://idp|root").unwrap(),
        created_at: now,
        until: now.plus(MINUTE),
        ended: None,
    }
}

/// Lets a lock decide, and gives it for ending what it matches.
fn lock(broker: &mut TestBroker, selector: Value) -> LockRecord {
    let lock = made(broker, selector);
    broker.publish(|state| state.locks.push(lock.clone()));
    lock
}

fn lift(broker: &mut TestBroker) {
    let end = LockEnd { at: broker.outside.now(), by: None };
    broker.publish(|state| state.locks.iter_mut().for_each(|lock| lock.ended = Some(end.clone())));
}

async fn call(broker: &TestBroker, token: &str, tool: &str) -> (u16, String) {
    let answer = broker.send(broker.modern(token, "tools/call", Some(tool))).await;
    assert!(!answer.text.contains("operators alone") && !answer.text.contains("lock-"), "{}", answer.text);
    (answer.status, answer.code())
}

fn stopped() -> (u16, String) {
    (403, "lock.active".to_owned())
}

fn through() -> (u16, String) {
    (200, String::new())
}

#[tokio::test]
async fn each_kind_of_lock_stops_its_own_and_nothing_goes_upstream() {
    let upstream = agreeable().await;
    let mut broker = broker(upstream.address).await;
    for (selector, alice, bob) in [
        (json!({"everything": true}), stopped(), stopped()),
        (json!({"environment": "dev"}), stopped(), stopped()),
        (json!({"server": "tools"}), stopped(), stopped()),
        (json!({"environment": "dev", "binding": "main"}), stopped(), stopped()),
        (json!({"store": "local"}), stopped(), stopped()),
        (json!({"surface": "surface"}), stopped(), stopped()),
        (json!({"tool": "ec*"}), stopped(), stopped()),
        (json!({"user": "https://idp|alice"}), stopped(), through()),
        (json!({"user": "https://idp|alice", "tool": "write_it"}), through(), through()),
        (json!({"environment": "production"}), through(), through()),
        (json!({"agent": "bot"}), through(), through()),
    ] {
        let before = upstream.count();
        lock(&mut broker, selector.clone());
        let through = [&alice, &bob].into_iter().filter(|expected| expected.0 == 200).count();
        assert_eq!(call(&broker, "alice-token", "echo").await, alice, "{selector}");
        assert_eq!(call(&broker, "bob-token", "echo").await, bob, "{selector}");
        assert_eq!(upstream.count(), before + through, "{selector}");
        lift(&mut broker);
        assert_eq!(call(&broker, "alice-token", "echo").await, (200, String::new()), "lifted");
    }
    let events = broker.audit.events.lock().unwrap();
    let refused: Vec<_> = events.iter().filter(|event| event.kind == EventKind::Refused).collect();
    assert_eq!(refused.len(), 15);
    assert!(refused.iter().all(|event| event.lock.as_deref().is_some_and(|lock| lock.starts_with("lock-"))));
    let reasons = serde_json::to_string(&*events).unwrap();
    assert!(!reasons.contains("for operators"), "the reason is no evidence");
}

#[tokio::test]
async fn a_lock_on_one_tool_leaves_the_others_and_hides_it_from_lists() {
    let tools = r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"echo","inputSchema":{}},{"name":"write_it","inputSchema":{}}]}}"#;
    let upstream = Upstream::start(move |_| async move { answer(tools) }).await;
    let mut broker = broker(upstream.address).await;
    lock(&mut broker, json!({"tool": "write_*"}));
    assert_eq!(call(&broker, "alice-token", "write_it").await, stopped());
    assert_eq!(call(&broker, "alice-token", "echo").await.0, 200);
    let listed = broker.send(broker.modern("alice-token", "tools/list", None)).await;
    assert!(listed.text.contains("echo") && !listed.text.contains("write_it"), "{}", listed.text);
}

#[tokio::test]
async fn who_had_no_access_learns_nothing_from_a_lock() {
    let upstream = agreeable().await;
    let mut broker = TestBroker::start(upstream.address).await;
    let said = |broker: &TestBroker, token: &str, tool: &str| {
        let request = broker.modern(token, "tools/call", Some(tool));
        async move {
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let mut body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            body["error"]["data"]["request_id"] = Value::Null;
            (status, body)
        }
    };
    for selector in [json!({"everything": true}), json!({"server": "tools"}), json!({"tool": "*"})] {
        let (stranger, forbidden, unknown) = (
            said(&broker, "bob-token", "echo").await,
            said(&broker, "alice-token", "forbidden_one").await,
            said(&broker, "alice-token", "nothing").await,
        );
        lock(&mut broker, selector.clone());
        assert_eq!(said(&broker, "bob-token", "echo").await, stranger, "no binding: {selector}");
        if selector["tool"] == "*" {
            // A tool lock is met after selection and policy have had their say.
            assert_eq!(said(&broker, "alice-token", "forbidden_one").await, forbidden, "{selector}");
            assert_eq!(said(&broker, "alice-token", "nothing").await, unknown, "{selector}");
        }
        lift(&mut broker);
    }
}

#[tokio::test]
async fn a_lock_ends_by_its_time_without_anybody_doing_anything() {
    let upstream = agreeable().await;
    let mut broker = broker(upstream.address).await;
    assert_eq!(call(&broker, "alice-token", "echo").await, through());
    lock(&mut broker, json!({"server": "tools"}));
    lock(&mut broker, json!({"tool": "echo"}));
    assert_eq!(call(&broker, "alice-token", "echo").await, stopped());
    broker.put_forward(MINUTE - Duration::from_secs(10));
    assert_eq!(call(&broker, "alice-token", "echo").await, stopped());
    broker.put_forward(Duration::from_secs(20));
    assert_eq!(call(&broker, "alice-token", "echo").await, through());
}

#[tokio::test]
async fn a_lock_cuts_the_streams_it_matches_and_leaves_the_others() {
    let (mut feeds, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let (feed, response) = events();
        feeds.push(feed);
        answers.push(response);
    }
    let answers = Arc::new(Mutex::new(answers));
    let upstream = Upstream::start(move |_| {
        let response = answers.lock().unwrap().pop().unwrap();
        async move { response }
    })
    .await;
    let mut broker = broker(upstream.address).await;
    feeds.iter().for_each(|feed| feed.send("data: 1\n\n").unwrap());
    let mut alice = broker.modern("alice-token", "subscriptions/listen", None).send().await.unwrap();
    let mut bob = broker.modern("bob-token", "subscriptions/listen", None).send().await.unwrap();
    for stream in [&mut alice, &mut bob] {
        assert_eq!(&stream.chunk().await.unwrap().unwrap()[..], b"data: 1\n\n");
    }
    // As the control plane does it: what runs is stopped and counted, then the lock decides, then once more.
    let lock = made(&broker, json!({"user": "https://idp|alice"}));
    let ending = broker.gateway.end_locked(&lock, PATIENCE).await.unwrap();
    assert_eq!((ending.calls, ending.streams), (0, 1));
    broker.publish(|state| state.locks.push(lock.clone()));
    let again = broker.gateway.end_locked(&lock, PATIENCE).await.unwrap();
    assert_eq!((again.calls, again.streams), (0, 0), "ended once");
    let last = alice.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&last).contains("lock.active"), "{last:?}");
    assert!(alice.chunk().await.unwrap().is_none());
    assert!(feeds.iter().filter(|feed| feed.send("data: 2\n\n").is_ok()).count() >= 1);
    assert_eq!(&bob.chunk().await.unwrap().unwrap()[..], b"data: 2\n\n");
}

#[tokio::test]
async fn a_stream_ends_with_the_snapshot_even_where_nobody_stops_it() {
    let (feed, response) = events();
    let response = Arc::new(Mutex::new(Some(response)));
    let upstream = Upstream::start(move |_| {
        let response = response.lock().unwrap().take().unwrap();
        async move { response }
    })
    .await;
    let mut broker = broker(upstream.address).await;
    feed.send("data: 1\n\n").unwrap();
    let mut stream = broker.modern("alice-token", "tools/call", Some("echo")).send().await.unwrap();
    stream.chunk().await.unwrap().unwrap();
    lock(&mut broker, json!({"tool": "echo"}));
    let last = stream.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&last).contains("lock.active"), "{last:?}");
    assert!(stream.chunk().await.unwrap().is_none());
}

#[tokio::test]
async fn a_lock_cuts_a_call_that_waits_for_its_answer_and_says_how_many() {
    let held = Arc::new(Notify::new());
    let gate = Arc::clone(&held);
    let upstream = Upstream::start(move |_| {
        let gate = Arc::clone(&gate);
        async move {
            gate.notified().await;
            answer("{}")
        }
    })
    .await;
    let mut broker = broker(upstream.address).await;
    let waiting = tokio::spawn(broker.modern("alice-token", "tools/call", Some("echo")).send());
    let end = tokio::time::Instant::now() + PATIENCE;
    while upstream.count() == 0 {
        assert!(tokio::time::Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let lock = lock(&mut broker, json!({"server": "tools", "tool": "echo"}));
    let ended = broker.gateway.end_locked(&lock, PATIENCE).await.unwrap();
    assert_eq!((ended.calls, ended.streams, ended.cached_values), (1, 0, 0));
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!(answer.status().as_u16(), 403);
    assert!(answer.text().await.unwrap().contains("lock.active"));
    held.notify_waiters();
}

#[tokio::test]
async fn a_lock_ends_sessions_and_forgets_values_and_asks_the_server_nothing() {
    let upstream = agreeable().await;
    let mut broker = broker(upstream.address).await;
    let (alice, bob) = (open(&broker, "alice-token").await, open(&broker, "bob-token").await);
    let before = upstream.count();
    let one = lock(&mut broker, json!({"user": "https://idp|alice"}));
    let ended = broker.gateway.end_locked(&one, PATIENCE).await.unwrap();
    assert_eq!((ended.sessions, ended.cached_values), (1, 0), "bob uses the same value");
    let all = lock(&mut broker, json!({"environment": "dev", "server": "tools"}));
    let ended = broker.gateway.end_locked(&all, PATIENCE).await.unwrap();
    assert_eq!((ended.sessions, ended.cached_values), (1, 1));
    assert_eq!(upstream.count(), before, "not even the end of a session goes there");
    lift(&mut broker);
    for (token, session) in [("alice-token", alice), ("bob-token", bob)] {
        let answer = broker.send(broker.request(token, CALL).header("mcp-session-id", &session)).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "session.unknown"));
    }
    open(&broker, "alice-token").await;
}

/// A name that is looked up while something happens.
#[derive(Debug, Default)]
struct Delayed {
    asked: Notify,
    goes_on: Notify,
    /// Put forward by a minute at the first look-up: the gateway slept that long.
    slept: OnceLock<Arc<Outside>>,
}

#[async_trait]
impl Resolver for Delayed {
    async fn resolve(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.asked.notify_one();
        self.goes_on.notified().await;
        if let Some(outside) = self.slept.get() {
            outside.put_forward(MINUTE);
        }
        Ok(vec![SocketAddr::new("127.0.0.1".parse().unwrap(), port)])
    }
}

/// A call that was decided, and whose connection is being made, while `meanwhile` happens.
async fn overtaken(meanwhile: impl FnOnce(&mut TestBroker, &Delayed)) -> (u16, String, usize) {
    let upstream = agreeable().await;
    let resolver = Arc::new(Delayed::default());
    let settled = Arc::clone(&resolver);
    let mut broker =
        TestBroker::with(upstream.address, |_| {}, move |settings| settings.resolver = settled).await;
    let url = format!("http://tools.example:{}/mcp", upstream.address.port());
    broker.reroute(json!({"url": url, "addresses": ["loopback"]}));
    let calling = tokio::spawn(broker.modern("alice-token", "tools/call", Some("echo")).send());
    tokio::time::timeout(PATIENCE, resolver.asked.notified()).await.unwrap();
    meanwhile(&mut broker, &resolver);
    resolver.goes_on.notify_one();
    let answer = calling.await.unwrap().unwrap();
    let status = answer.status().as_u16();
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let intents = |kind| broker.audit.kinds().into_iter().filter(|one| *one == kind).count();
    assert_eq!(intents(EventKind::Intent), intents(EventKind::Outcome), "what was announced has an outcome");
    (status, body["error"]["data"]["code"].as_str().unwrap_or_default().to_owned(), upstream.count())
}

#[tokio::test]
async fn a_gateway_that_slept_between_decision_and_sending_sends_nothing_when_it_wakes() {
    let slept = overtaken(|broker, resolver| resolver.slept.set(Arc::clone(&broker.outside)).unwrap()).await;
    assert_eq!(slept, (503, "state.stale".to_owned(), 0));
    assert_eq!(overtaken(|_, _| {}).await, (200, String::new(), 1), "nothing happened");
}

#[tokio::test]
async fn what_a_lock_or_a_revocation_overtakes_before_the_bytes_leave_is_not_sent() {
    let locked = overtaken(|broker, _| drop(lock(broker, json!({"tool": "echo"})))).await;
    assert_eq!(locked, (403, "lock.active".to_owned(), 0));
    let revoked =
        overtaken(|broker, _| broker.publish(|state| state.revisions[3].status = Lifecycle::Revoked)).await;
    assert_eq!(revoked, (403, "binding.ended".to_owned(), 0));
    let other = overtaken(|broker, _| drop(lock(broker, json!({"tool": "write_it"})))).await;
    assert_eq!(other, (200, String::new(), 1), "another's lock is none of its business");
    let rotated = overtaken(|broker, _| {
        broker.publish(|state| {
            let mut next = binding_spec();
            next["secret"] = "local://a#b?version=2".into();
            state.revisions[3] = record(next, 2);
        });
    })
    .await;
    assert_eq!(rotated, (200, String::new(), 1), "what was rotated meanwhile ends as it began");
}

#[tokio::test]
async fn callers_that_a_lock_stops_are_logged_out_of_the_stores_that_were_opened_as_them() {
    let upstream = agreeable().await;
    let mut broker = broker(upstream.address).await;
    broker.store.of_callers.store(true, std::sync::atomic::Ordering::SeqCst);
    for (selector, ended) in [
        (json!({"user": "https://idp|carol"}), vec!["carol ends"]),
        (json!({"workload": "runner"}), vec!["runner ends"]),
        (json!({"agent": "bot", "store": "local"}), vec!["bot ends"]),
        (json!({"store": "local"}), vec!["bot ends", "helper ends", "runner ends", "carol ends"]),
        (json!({"everything": true}), vec!["bot ends", "helper ends", "runner ends", "carol ends"]),
        // Another store, one tool, or a place: the same login opens other doors.
        (json!({"agent": "bot", "store": "elsewhere"}), vec![]),
        (json!({"user": "https://idp|carol", "tool": "echo"}), vec![]),
        (json!({"environment": "dev", "server": "tools"}), vec![]),
    ] {
        let lock = lock(&mut broker, selector.clone());
        broker.store.callers.lock().unwrap().clear();
        broker.gateway.end_locked(&lock, PATIENCE).await.unwrap();
        assert_eq!(*broker.store.callers.lock().unwrap(), ended, "{selector}");
        lift(&mut broker);
    }
    broker.store.callers.lock().unwrap().clear();
    broker.gateway.log_out_workloads(&["runner".parse().unwrap(), "other".parse().unwrap()]).await;
    assert_eq!(*broker.store.callers.lock().unwrap(), ["runner ends"]);
}
