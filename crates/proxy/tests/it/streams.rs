//! Streams that rest: kept open past every limit on requests, with heartbeats between whole events.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway_core::id::Revision;
use gateway_proxy::settings::Settings;
use http::Response;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::broker::{TestBroker, record, server_spec};
use crate::upstream::{ScriptedBody, Upstream, events, json};

const BEAT: Duration = Duration::from_millis(20);
const COMMENT: &[u8] = b":\n\n";
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;

/// An upstream that opens sessions, and answers everything else with one event stream.
async fn streaming() -> (UnboundedSender<&'static str>, Upstream) {
    let (sender, response) = events();
    let response: Arc<Mutex<Option<Response<ScriptedBody>>>> = Arc::new(Mutex::new(Some(response)));
    let upstream = Upstream::start(move |seen| {
        let response = if seen.body.windows(10).any(|part| part == b"initialize") {
            let mut opened = json(r#"{"jsonrpc":"2.0","id":0,"result":{}}"#);
            opened.headers_mut().insert("mcp-session-id", "upstream-session".parse().unwrap());
            opened
        } else {
            response.lock().unwrap().take().unwrap()
        };
        async move { response }
    })
    .await;
    (sender, upstream)
}

fn beating(settings: &mut Settings) {
    settings.stream_heartbeat = BEAT;
}

async fn listen(broker: &TestBroker) -> reqwest::Response {
    let opened = broker.modern("alice-token", "subscriptions/listen", None).send().await.unwrap();
    assert_eq!(opened.status(), 200);
    opened
}

async fn legacy(broker: &TestBroker) -> reqwest::Response {
    let shaken = broker.send(broker.request("alice-token", INITIALIZE)).await;
    let session = shaken.headers["mcp-session-id"].to_str().unwrap().to_owned();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = client.get(broker.url()).bearer_auth("alice-token").header("mcp-session-id", session);
    let opened = get.header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(opened.status(), 200);
    opened
}

#[tokio::test]
async fn streams_of_both_generations_outlive_every_limit_on_requests() {
    for modern in [true, false] {
        let (sender, upstream) = streaming().await;
        let limits = |settings: &mut Settings| {
            beating(settings);
            settings.request_body_time = Duration::from_millis(200);
        };
        let mut broker = TestBroker::with(upstream.address, |_| {}, limits).await;
        broker.publish(|state| {
            let mut server = server_spec(upstream.address);
            server["route"]["timeout_seconds"] = 1.into();
            state.revisions[1] = record(server, 1);
            assert_eq!(state.revisions[1].revision, Revision(1));
        });
        let mut opened = if modern { listen(&broker).await } else { legacy(&broker).await };
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(1500) {
            assert_eq!(&opened.chunk().await.unwrap().unwrap()[..], COMMENT, "nothing else, and no end");
        }
        sender.send("data: {}\n\n").unwrap();
        loop {
            match &opened.chunk().await.unwrap().unwrap()[..] {
                COMMENT => {}
                event => break assert_eq!(event, b"data: {}\n\n"),
            }
        }
    }
}

#[tokio::test]
async fn a_heartbeat_never_stands_inside_an_event() {
    let (sender, upstream) = streaming().await;
    let broker = TestBroker::with(upstream.address, |_| {}, beating).await;
    let mut opened = listen(&broker).await;
    assert_eq!(&opened.chunk().await.unwrap().unwrap()[..], COMMENT);
    sender.send("id: 1\ndata: one\n").unwrap();
    let mut text = Vec::new();
    while !text.ends_with(b"data: one\n") {
        text.extend_from_slice(&opened.chunk().await.unwrap().unwrap());
    }
    let silent = tokio::time::timeout(BEAT * 10, opened.chunk()).await;
    assert!(silent.is_err(), "inside the event there is silence: {silent:?}");
    sender.send("data: two\n\n").unwrap();
    assert_eq!(&opened.chunk().await.unwrap().unwrap()[..], b"data: two\n\n");
    assert_eq!(&opened.chunk().await.unwrap().unwrap()[..], COMMENT, "and after it the next heartbeat");
}

#[tokio::test]
async fn zero_means_no_heartbeat() {
    let (sender, upstream) = streaming().await;
    let off = |settings: &mut Settings| settings.stream_heartbeat = Duration::ZERO;
    let broker = TestBroker::with(upstream.address, |_| {}, off).await;
    let mut opened = listen(&broker).await;
    let silent = tokio::time::timeout(BEAT * 5, opened.chunk()).await;
    assert!(silent.is_err(), "{silent:?}");
    sender.send(": from upstream\n\n").unwrap();
    assert_eq!(&opened.chunk().await.unwrap().unwrap()[..], b": from upstream\n\n", "its own comments pass");
}
