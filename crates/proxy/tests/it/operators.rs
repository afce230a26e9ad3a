//! What operators see of sessions and streams, how they end them, and how sessions end by themselves.

use std::time::Duration;

use gateway_core::audit::EventKind;
use gateway_core::id::{BindingName, EnvironmentName};
use gateway_core::ports::{LiveSessions, LiveTraffic};
use gateway_core::session::{LiveSession, SessionKind};
use http::Method;

use crate::broker::{CANARY, TestBroker};
use crate::sessions::{CALL, open};
use crate::upstream::{LegacyServer, Upstream, events, eventually, json};

const SOON: Duration = Duration::from_secs(5);

async fn listen(broker: &TestBroker, session: &str) -> reqwest::Response {
    let request = broker
        .knock("alice-token", Method::GET)
        .header("mcp-session-id", session)
        .header("mcp-protocol-version", "2025-11-25")
        .header("accept", "text/event-stream");
    let mut stream = request.send().await.unwrap();
    assert_eq!(stream.status(), 200);
    assert_eq!(&stream.chunk().await.unwrap().unwrap()[..], b": open\n\n");
    stream
}

fn call(broker: &TestBroker, session: &str) -> reqwest::RequestBuilder {
    broker
        .request("alice-token", CALL)
        .header("mcp-session-id", session)
        .header("mcp-protocol-version", "2025-11-25")
}

fn of_kind(broker: &TestBroker, kind: SessionKind) -> Vec<LiveSession> {
    broker.gateway.sessions().into_iter().filter(|one| one.kind == kind).collect()
}

#[tokio::test]
async fn a_session_is_listed_with_its_streams_and_without_the_id_that_opens_it() {
    let server = LegacyServer::start().await;
    let broker = TestBroker::start(server.upstream.address).await;
    assert!(broker.gateway.sessions().is_empty());
    let session = open(&broker, "alice-token").await;
    broker.send(call(&broker, &session)).await;
    let _stream = listen(&broker, &session).await;
    let listed = broker.gateway.sessions();
    assert_eq!(listed.len(), 2);
    let (shown, stream) = (&listed[0], &listed[1]);
    assert_eq!((shown.kind, stream.kind), (SessionKind::Session, SessionKind::Stream));
    assert_eq!(shown.actor.user.as_deref(), Some("https://idp|alice"));
    assert_eq!(shown.bindings[0].to_string(), "main@1");
    assert_eq!((shown.protocol.as_deref(), shown.streams), (Some("2025-11-25"), Some(1)));
    assert_eq!(stream.session.as_deref(), Some(&*shown.id));
    assert_eq!((stream.method.as_deref(), stream.bindings[0].to_string()), (Some("GET"), "main@1".into()));
    let printed = format!("{}{:?}", serde_json::to_string(&listed).unwrap(), broker.gateway.sessions());
    assert!(!printed.contains(&session), "the id that opens the session is not shown");
    assert!(!printed.contains("upstream-session"), "nor the upstream's");
    let stolen = broker.send(call(&broker, &shown.id)).await;
    assert_eq!(stolen.status, 404, "the id that operators see opens nothing");
}

#[tokio::test]
async fn a_terminated_session_loses_its_streams_here_and_upstream_and_the_client_begins_anew() {
    let server = LegacyServer::start().await;
    let broker = TestBroker::start(server.upstream.address).await;
    let session = open(&broker, "alice-token").await;
    let other = open(&broker, "alice-token").await;
    let mut stream = listen(&broker, &session).await;
    let upstream_end = server.listener();
    let shown = of_kind(&broker, SessionKind::Stream)[0].session.clone().unwrap();
    let done = broker.gateway.terminate(&shown, SOON).await.unwrap();
    assert!(done.complete);
    assert_eq!((done.ended.streams, done.ended.sessions, done.upstream_ended), (1, 1, 1));
    let last = stream.chunk().await.unwrap().unwrap();
    assert_eq!(&last[..], b": session.ended\n\n", "a comment: no request waits for an answer here");
    assert!(stream.chunk().await.unwrap().is_none());
    tokio::time::timeout(SOON, upstream_end.closed()).await.expect("the upstream's stream was closed");
    let deleted = server.saw(Method::DELETE).await;
    assert_eq!(deleted.headers["mcp-session-id"], "upstream-session");
    assert_eq!(deleted.headers["authorization"], format!("Bearer {CANARY}"));
    let gone = broker.send(call(&broker, &session)).await;
    assert_eq!((gone.status, gone.code().as_str()), (404, "session.unknown"));
    assert_eq!(broker.send(call(&broker, &other)).await.status, 200, "the actor's other session goes on");
    assert!(broker.gateway.terminate(&shown, SOON).await.is_none(), "it is gone");
    assert_eq!(open(&broker, "alice-token").await.len(), session.len());
}

#[tokio::test]
async fn the_delete_of_an_ended_session_is_recorded_as_the_gateways_own_use() {
    let server = LegacyServer::start().await;
    let broker = TestBroker::start(server.upstream.address).await;
    open(&broker, "alice-token").await;
    let shown = broker.gateway.sessions()[0].id.clone();
    broker.gateway.terminate(&shown, SOON).await.unwrap();
    let events = broker.audit.events.lock().unwrap().clone();
    let own: Vec<_> = events.iter().filter(|event| event.method.as_deref() == Some("DELETE")).collect();
    assert_eq!(
        own.iter().map(|event| event.kind).collect::<Vec<_>>(),
        [EventKind::Intent, EventKind::Outcome]
    );
    assert!(own.iter().all(|event| event.user.is_none() && event.source_address.is_none()));
    assert_eq!(own[0].binding.as_ref().unwrap().to_string(), "main@1");
    assert_eq!(own[1].outcome.as_ref().unwrap().upstream_status, Some(200));
    let opened = events.iter().find(|event| event.kind == EventKind::SessionOpened).unwrap();
    assert_eq!(opened.session.as_deref(), Some(&*shown));
}

#[tokio::test]
async fn a_server_that_does_not_answer_does_not_hold_up_the_end() {
    let upstream = Upstream::start(|seen| async move {
        if seen.method == Method::DELETE {
            std::future::pending::<()>().await;
        }
        let mut response = json(r#"{"jsonrpc":"2.0","id":0,"result":{}}"#);
        response.headers_mut().insert("mcp-session-id", "upstream-session".parse().unwrap());
        response
    })
    .await;
    let broker = TestBroker::start(upstream.address).await;
    open(&broker, "alice-token").await;
    let shown = broker.gateway.sessions()[0].id.clone();
    let done = broker.gateway.terminate(&shown, SOON).await.unwrap();
    assert_eq!((done.upstream_ended, done.upstream_left), (0, 1));
    let kinds = broker.audit.kinds();
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::Intent).count(), 2);
    eventually(|| {
        (broker.audit.kinds().iter().filter(|k| **k == EventKind::Outcome).count() == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_modern_stream_is_listed_and_ended_alone() {
    let (sender, response) = events();
    let response = std::sync::Arc::new(std::sync::Mutex::new(Some(response)));
    let upstream = Upstream::start(move |_| {
        let response = response.lock().unwrap().take().unwrap_or_else(|| json("{}"));
        async move { response }
    })
    .await;
    let broker = TestBroker::start(upstream.address).await;
    sender.send("data: 1\n\n").unwrap();
    let mut stream = broker.modern("alice-token", "tools/call", Some("echo")).send().await.unwrap();
    stream.chunk().await.unwrap().unwrap();
    let listed = broker.gateway.sessions();
    assert_eq!(listed.len(), 1);
    let one = &listed[0];
    assert_eq!((one.kind, one.protocol.as_deref()), (SessionKind::Stream, Some("2026-07-28")));
    assert_eq!((one.method.as_deref(), one.tool.as_deref()), (Some("tools/call"), Some("echo")));
    assert_eq!(one.id, stream.headers()["x-request-id"].to_str().unwrap());
    let done = broker.gateway.terminate(&one.id, SOON).await.unwrap();
    assert_eq!((done.ended.streams, done.ended.sessions), (1, 0));
    let last = String::from_utf8(stream.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(last.contains("session.ended") && last.contains("\"id\":7"), "{last}");
    assert!(stream.chunk().await.unwrap().is_none());
    tokio::time::timeout(SOON, sender.closed()).await.expect("the upstream was hung up on");
    assert!(broker.gateway.sessions().is_empty());
    assert_eq!(broker.call("echo").await.status, 200, "nothing else is refused");
}

#[tokio::test]
async fn a_revoked_bindings_upstream_session_is_ended_before_its_credential_is_forgotten() {
    let server = LegacyServer::start().await;
    let mut broker = TestBroker::start(server.upstream.address).await;
    let session = open(&broker, "alice-token").await;
    broker.publish(|state| state.revisions[3].status = gateway_core::state::Lifecycle::Revoked);
    let (environment, binding) =
        (EnvironmentName::parse("dev").unwrap(), BindingName::parse("main").unwrap());
    let ended = broker.gateway.end(&environment, &binding, SOON).await.unwrap();
    assert_eq!((ended.sessions, ended.cached_values), (1, 1));
    let deleted = server.upstream.last();
    assert_eq!(deleted.method, Method::DELETE, "it was over before the revocation answered");
    assert_eq!(deleted.headers["authorization"], format!("Bearer {CANARY}"));
    assert_eq!(broker.send(call(&broker, &session)).await.status, 404);
    assert_eq!(server.count(Method::DELETE), 1);
}

#[tokio::test]
async fn a_session_at_rest_ends_and_its_end_is_evidence() {
    let server = LegacyServer::start().await;
    let broker = TestBroker::start(server.upstream.address).await;
    let session = open(&broker, "alice-token").await;
    broker.put_forward(Duration::from_secs(29 * 60));
    assert_eq!(broker.send(call(&broker, &session)).await.status, 200, "use puts the limit off");
    broker.put_forward(Duration::from_secs(29 * 60));
    broker.gateway.sweep();
    assert_eq!(broker.send(call(&broker, &session)).await.status, 200);
    broker.put_forward(Duration::from_secs(31 * 60));
    let gone = broker.send(call(&broker, &session)).await;
    assert_eq!((gone.status, gone.code().as_str()), (404, "session.unknown"), "also before it is swept");
    broker.gateway.sweep();
    assert!(broker.gateway.sessions().is_empty());
    server.saw(Method::DELETE).await;
    let events = broker.audit.events.lock().unwrap().clone();
    let ended = events.iter().find(|event| event.kind == EventKind::SessionEnded).unwrap();
    assert_eq!(
        (ended.reason.as_deref(), ended.user.as_deref()),
        (Some("session.idle"), Some("https://idp|alice"))
    );
}

#[tokio::test]
async fn a_listening_stream_keeps_its_session_until_the_absolute_limit_ends_both() {
    let server = LegacyServer::start().await;
    let broker = TestBroker::start(server.upstream.address).await;
    let session = open(&broker, "alice-token").await;
    let mut stream = listen(&broker, &session).await;
    for _ in 0..23 {
        broker.put_forward(Duration::from_secs(3600));
        broker.gateway.sweep();
    }
    server.listener().send("data: 1\n\n").unwrap();
    assert_eq!(
        &stream.chunk().await.unwrap().unwrap()[..],
        b"data: 1\n\n",
        "it is used, so it does not rest"
    );
    assert_eq!(broker.send(call(&broker, &session)).await.status, 200);
    broker.put_forward(Duration::from_secs(2 * 3600));
    broker.gateway.sweep();
    assert_eq!(&stream.chunk().await.unwrap().unwrap()[..], b": session.ended\n\n");
    assert!(stream.chunk().await.unwrap().is_none());
    assert_eq!(broker.send(call(&broker, &session)).await.status, 404);
    let events = broker.audit.events.lock().unwrap().clone();
    let ended = events.iter().find(|event| event.kind == EventKind::SessionEnded).unwrap();
    assert_eq!(ended.reason.as_deref(), Some("session.lifetime"));
    assert_eq!(ended.ended.unwrap().streams, 1);
}

#[tokio::test]
async fn a_session_beyond_the_actors_allowance_is_refused_and_not_left_upstream() {
    let server = LegacyServer::start().await;
    let few = |settings: &mut gateway_proxy::settings::Settings| settings.sessions_per_actor = 1;
    let broker = TestBroker::with(server.upstream.address, |_| {}, few).await;
    open(&broker, "alice-token").await;
    let refused = broker.send(broker.request("alice-token", crate::sessions::INITIALIZE)).await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "session.limit"));
    server.saw(Method::DELETE).await;
}

#[tokio::test]
async fn a_session_is_not_ended_upstream_with_a_credential_whose_gate_is_closed() {
    let server = LegacyServer::start().await;
    let broker = TestBroker::start(server.upstream.address).await;
    open(&broker, "alice-token").await;
    let session = of_kind(&broker, SessionKind::Session)[0].id.clone();
    let key = (EnvironmentName::parse("dev").unwrap(), BindingName::parse("main").unwrap());
    broker.gateway.live.close(&key, SOON).await.unwrap();
    let before = server.upstream.count();
    let ended = broker.gateway.terminate(&session, SOON).await.unwrap();
    assert_eq!((ended.ended.sessions, ended.upstream_ended, ended.upstream_left), (1, 0, 1));
    assert_eq!(server.upstream.count(), before, "nothing is used after the gate has closed");
}
