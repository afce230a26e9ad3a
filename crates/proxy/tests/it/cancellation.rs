//! Who hangs up and what it means: a modern client's disconnect cancels, a legacy client's does not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway_core::audit::EventKind;
use http::{Method, StatusCode};
use tokio::sync::oneshot;

use crate::broker::TestBroker;
use crate::sessions::{CALL, open};
use crate::upstream::{LegacyServer, Upstream, events, eventually, json};

const SOON: Duration = Duration::from_secs(5);

/// A server whose answers never come; its receivers learn when it is hung up on.
async fn silent() -> (Upstream, Arc<Mutex<Vec<oneshot::Receiver<()>>>>) {
    let waiting = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&waiting);
    let upstream = Upstream::start(move |_| {
        let (alive, gone) = oneshot::channel::<()>();
        kept.lock().unwrap().push(gone);
        async move {
            std::future::pending::<()>().await;
            drop(alive);
            json("{}")
        }
    })
    .await;
    (upstream, waiting)
}

async fn hung_up_on(waiting: &Mutex<Vec<oneshot::Receiver<()>>>) {
    let gone = waiting.lock().unwrap().pop().unwrap();
    let ended = tokio::time::timeout(SOON, gone).await.expect("the server was hung up on");
    assert!(ended.is_err(), "its work was dropped, not finished");
}

async fn aborted_outcome(broker: &TestBroker) {
    let found = || {
        let events = broker.audit.events.lock().unwrap();
        events.iter().filter_map(|event| event.outcome.clone()).find(|outcome| outcome.aborted)
    };
    eventually(found).await;
}

#[tokio::test]
async fn a_modern_client_that_leaves_a_stream_cancels_it_upstream_at_once() {
    let (sender, response) = events();
    let response = Mutex::new(Some(response));
    let upstream = Upstream::start(move |_| {
        let response = response.lock().unwrap().take().unwrap();
        async move { response }
    })
    .await;
    let broker = TestBroker::start(upstream.address).await;
    sender.send("data: 1\n\n").unwrap();
    let mut stream = broker.modern("alice-token", "tools/call", Some("echo")).send().await.unwrap();
    stream.chunk().await.unwrap().unwrap();
    drop(stream);
    tokio::time::timeout(SOON, sender.closed()).await.expect("the upstream's connection was closed");
    aborted_outcome(&broker).await;
    assert_eq!(upstream.count(), 1, "closing is the whole message");
}

#[tokio::test]
async fn a_modern_client_that_leaves_before_the_answer_cancels_it_upstream_at_once() {
    let (upstream, waiting) = silent().await;
    let broker = TestBroker::start(upstream.address).await;
    let asking = tokio::spawn(broker.modern("alice-token", "tools/call", Some("echo")).send());
    eventually(|| (upstream.count() == 1).then_some(())).await;
    asking.abort();
    hung_up_on(&waiting).await;
    aborted_outcome(&broker).await;
}

#[tokio::test]
async fn a_legacy_client_that_leaves_cancels_nothing_and_takes_its_stream_up_again() {
    let server = LegacyServer::start().await;
    let broker = TestBroker::start(server.upstream.address).await;
    let session = open(&broker, "alice-token").await;
    let listen = |last: Option<&str>| {
        let request = broker.knock("alice-token", Method::GET).header("mcp-session-id", &session);
        let request =
            request.header("mcp-protocol-version", "2025-11-25").header("accept", "text/event-stream");
        last.map(|id| request.try_clone().unwrap().header("last-event-id", id)).unwrap_or(request)
    };
    let mut stream = listen(None).send().await.unwrap();
    stream.chunk().await.unwrap().unwrap();
    let first = server.listener();
    drop(stream);
    tokio::time::timeout(SOON, first.closed()).await.expect("a disconnect stays a disconnect");
    let mut again = listen(Some("stream-1_event=7")).send().await.unwrap();
    assert_eq!(again.status(), 200, "the session is still there");
    again.chunk().await.unwrap().unwrap();
    let seen = server.upstream.last();
    assert_eq!(
        (seen.method, &seen.headers["last-event-id"]),
        (Method::GET, &"stream-1_event=7".parse().unwrap())
    );
    assert_eq!(seen.headers["mcp-session-id"], "upstream-session");
    server.listener().send("id: stream-1_event=8\nretry: 250\ndata: {\"a\":1}\n\n").unwrap();
    let next = again.chunk().await.unwrap().unwrap();
    assert_eq!(&next[..], b"id: stream-1_event=8\nretry: 250\ndata: {\"a\":1}\n\n");
    let bodies = server.upstream.seen.lock().unwrap().clone();
    let spoken_for = bodies.iter().any(|seen| String::from_utf8_lossy(&seen.body).contains("cancelled"));
    assert!(!spoken_for, "nothing is said in the client's name");
    assert_eq!(server.count(Method::DELETE), 0);
}

#[tokio::test]
async fn a_stream_taken_up_again_is_decided_anew() {
    let server = LegacyServer::start().await;
    let mut broker = TestBroker::start(server.upstream.address).await;
    let session = open(&broker, "alice-token").await;
    broker.publish(|state| state.revisions[3].status = gateway_core::state::Lifecycle::Disabled);
    let before = server.upstream.count();
    let resume = broker.knock("alice-token", Method::GET).header("mcp-session-id", &session);
    let answer = broker.send(resume.header("last-event-id", "7").header("accept", "text/event-stream")).await;
    assert_eq!(answer.status, 404);
    assert_eq!(server.upstream.count(), before);
}

#[tokio::test]
async fn a_cancellation_reaches_the_server_as_it_was_written() {
    let upstream = Upstream::start(|seen| async move {
        let mut response = json("");
        if seen.body.starts_with(b"{\"method\"") {
            *response.status_mut() = StatusCode::ACCEPTED;
        }
        response
    })
    .await;
    let broker = TestBroker::start(upstream.address).await;
    let text = r#"{"method":"notifications/cancelled", "jsonrpc":"2.0","params":{"requestId":"a\u002d1","reason":"no\/longer"}}"#;
    let request = broker.request("alice-token", text).header("mcp-protocol-version", "2025-11-25");
    let answer = broker.send(request).await;
    assert_eq!((answer.status, answer.text.as_str()), (202, ""));
    assert_eq!(upstream.last().body, text);
}

/// Two bindings serve one session: `main` opens it, `other` serves the tool `slow` and stands lower.
async fn two_bindings(upstream: &Upstream) -> TestBroker {
    let mut broker = TestBroker::start(upstream.address).await;
    broker.publish(|state| {
        let mut other = crate::broker::binding_spec();
        other["name"] = "other".into();
        other["tools"] = serde_json::json!(["slow"]);
        other["inject"] = serde_json::json!({"header": "x-other", "format": "{secret}"});
        let mut main = crate::broker::binding_spec();
        main["session"] = true.into();
        state.revisions[3] = crate::broker::record(main, 1);
        state.revisions.push(crate::broker::record(other, 1));
    });
    broker
}

/// A server with sessions, which asks something back while `slow` runs.
async fn asking(sender: Arc<Mutex<Option<crate::upstream::ScriptedResponse>>>) -> Upstream {
    let opened = std::sync::atomic::AtomicUsize::new(0);
    Upstream::start(move |seen| {
        let text = String::from_utf8_lossy(&seen.body).into_owned();
        let mut response = if text.contains("\"slow\"") {
            sender.lock().unwrap().take().unwrap()
        } else {
            json(r#"{"jsonrpc":"2.0","id":0,"result":{}}"#)
        };
        if text.contains("\"initialize\"") {
            let number = opened.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            response.headers_mut().insert("mcp-session-id", format!("upstream-{number}").parse().unwrap());
        }
        async move { response }
    })
    .await
}

#[tokio::test]
async fn cancellations_and_answers_go_to_the_upstream_session_that_waits_for_them() {
    let (sender, response) = events();
    let upstream = asking(Arc::new(Mutex::new(Some(response)))).await;
    let broker = two_bindings(&upstream).await;
    let session = open(&broker, "alice-token").await;
    let say = |text: &str| broker.request("alice-token", text).header("mcp-session-id", &session);
    let slow = r#"{"jsonrpc":"2.0","id":"s-1","method":"tools/call","params":{"name":"slow"}}"#;
    sender.send("data: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"elicitation/create\"}\n\n").unwrap();
    let mut stream = say(slow).send().await.unwrap();
    stream.chunk().await.unwrap().unwrap();
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"result":{"action":"accept"}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"s-1"}}"#,
    ] {
        assert_eq!(broker.send(say(text)).await.status, 200);
        let seen = upstream.last();
        assert_eq!(
            (&seen.body[..], &seen.headers["mcp-session-id"]),
            (text.as_bytes(), &"upstream-1".parse().unwrap())
        );
        assert!(seen.headers.contains_key("x-other"), "with that session's own credential");
    }
    broker.send(say(CALL)).await;
    assert_eq!(upstream.last().headers["mcp-session-id"], "upstream-0");
    assert_eq!(broker.audit.kinds().iter().filter(|kind| **kind == EventKind::SessionOpened).count(), 1);
}

#[tokio::test]
async fn a_caller_that_leaves_while_the_intent_is_synced_leaves_an_outcome() {
    let upstream = Upstream::start(|_| async { json("{}") }).await;
    let broker = TestBroker::start(upstream.address).await;
    broker.audit.slow.store(true, std::sync::atomic::Ordering::SeqCst);
    let asking = tokio::spawn(broker.modern("alice-token", "tools/call", Some("echo")).send());
    eventually(|| broker.audit.kinds().contains(&EventKind::Intent).then_some(())).await;
    asking.abort();
    aborted_outcome(&broker).await;
    assert_eq!(broker.audit.kinds(), [EventKind::Intent, EventKind::Outcome]);
    assert_eq!(upstream.count(), 0, "what is not durable is not used");
}
