//! Revocation and rotation: what runs is ended, what starts is refused, and what was out is scrubbed.

use std::sync::Arc;
use std::time::Duration;

use gateway_core::id::{BindingName, EnvironmentName};
use gateway_core::ports::LiveTraffic;
use gateway_core::state::Lifecycle;

use crate::broker::{TestBroker, binding_spec, record};
use crate::upstream::{Upstream, events, json};

fn main_binding() -> (EnvironmentName, BindingName) {
    (EnvironmentName::parse("dev").unwrap(), BindingName::parse("main").unwrap())
}

#[tokio::test]
async fn revocation_ends_a_live_stream_and_refuses_the_next_call() {
    let (sender, response) = events();
    let response = Arc::new(std::sync::Mutex::new(Some(response)));
    let upstream = Upstream::start(move |_| {
        let response = response.lock().unwrap().take().unwrap_or_else(|| json("{}"));
        async move { response }
    })
    .await;
    let mut broker = TestBroker::start(upstream.address).await;
    sender.send("data: 1\n\n").unwrap();
    let mut stream = broker.modern("alice-token", "subscriptions/listen", None).send().await.unwrap();
    assert_eq!(&stream.chunk().await.unwrap().unwrap()[..], b"data: 1\n\n");
    broker.publish(|state| state.revisions[3].status = Lifecycle::Revoked);
    let (environment, binding) = main_binding();
    let ended = broker.gateway.end(&environment, &binding, Duration::from_secs(5)).await.unwrap();
    assert_eq!((ended.calls, ended.streams), (0, 1));
    assert_eq!(ended.cached_values, 1);
    let before = upstream.count();
    let last = stream.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&last).contains("binding.ended"), "{last:?}");
    assert!(stream.chunk().await.unwrap().is_none());
    assert_eq!(broker.call("echo").await.status, 404);
    assert_eq!(upstream.count(), before);
}

#[tokio::test]
async fn a_closed_gate_refuses_even_under_an_older_decision() {
    let upstream = Upstream::start(|_| async { json(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#) }).await;
    let broker = TestBroker::start(upstream.address).await;
    assert_eq!(broker.call("echo").await.status, 200);
    let (environment, binding) = main_binding();
    // The snapshot still permits: only the gate stands in the way.
    broker.gateway.end(&environment, &binding, Duration::from_secs(5)).await.unwrap();
    assert_eq!(broker.call("echo").await.code(), "binding.ended");
    assert_eq!(upstream.count(), 1);
    broker.gateway.admit(&environment, &binding);
    assert_eq!(broker.call("echo").await.status, 200);
}

#[tokio::test]
async fn a_stream_whose_binding_no_longer_covers_it_is_cut_without_a_frame() {
    let (sender, response) = events();
    let response = Arc::new(std::sync::Mutex::new(Some(response)));
    let upstream = Upstream::start(move |_| {
        let response = response.lock().unwrap().take().unwrap();
        async move { response }
    })
    .await;
    let mut broker = TestBroker::start(upstream.address).await;
    sender.send("data: 1\n\n").unwrap();
    let mut stream = broker.modern("alice-token", "tools/call", Some("echo")).send().await.unwrap();
    stream.chunk().await.unwrap().unwrap();
    broker.publish(|state| {
        let mut narrowed = binding_spec();
        narrowed["tools"] = serde_json::json!(["write_it"]);
        state.revisions[3] = record(narrowed, 2);
    });
    let last = stream.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&last).contains("binding.ended"));
    assert!(stream.chunk().await.unwrap().is_none());
}

#[tokio::test]
async fn after_a_rotation_the_former_value_is_still_scrubbed() {
    let upstream = Upstream::start(|_| async {
        json(
            serde_json::json!({"jsonrpc": "2.0", "id": 7, "result": {"late": crate::broker::CANARY}})
                .to_string(),
        )
    })
    .await;
    let mut broker = TestBroker::start(upstream.address).await;
    broker.call("echo").await;
    *broker.store.value.lock().unwrap() = "a-completely-new-value-here".to_owned();
    broker.publish(|state| {
        let mut rotated = binding_spec();
        rotated["secret"] = "local://a#b?version=2".into();
        state.revisions[3] = record(rotated, 2);
    });
    let answer = broker.call("echo").await;
    assert_eq!(answer.json()["result"]["late"], "[scrubbed:main]");
    assert_eq!(upstream.last().headers["authorization"], "Bearer a-completely-new-value-here");
    assert_eq!(upstream.last().headers["mcp-gateway-binding"], "main@2");
}
