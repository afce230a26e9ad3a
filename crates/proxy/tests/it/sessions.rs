//! Sessions of 2025-11-25: our ids, the upstream's beneath, bound to the actor.

use gateway_core::audit::EventKind;

use crate::broker::TestBroker;
use crate::upstream::{Upstream, json};

pub const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
pub const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{}}}"#;

async fn sessions() -> Upstream {
    Upstream::start(|seen| async move {
        let mut response = json(r#"{"jsonrpc":"2.0","id":0,"result":{}}"#);
        if seen.body.windows(10).any(|part| part == b"initialize") {
            response.headers_mut().insert("mcp-session-id", "upstream-session".parse().unwrap());
        }
        response
    })
    .await
}

pub async fn open(broker: &TestBroker, token: &str) -> String {
    let answer = broker.send(broker.request(token, INITIALIZE)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.headers["mcp-session-id"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_client_never_sees_the_upstreams_session() {
    let upstream = sessions().await;
    let broker = TestBroker::start(upstream.address).await;
    let session = open(&broker, "alice-token").await;
    assert_ne!(session, "upstream-session");
    let answer = broker.send(broker.request("alice-token", CALL).header("mcp-session-id", &session)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.last().headers["mcp-session-id"], "upstream-session");
    assert!(!answer.headers.contains_key("mcp-session-id"));
}

#[tokio::test]
async fn another_actors_session_looks_like_none_and_a_new_token_is_no_hijack() {
    let upstream = sessions().await;
    let broker = TestBroker::start(upstream.address).await;
    let session = open(&broker, "alice-token").await;
    let stranger = broker.send(broker.request("bob-token", CALL).header("mcp-session-id", &session)).await;
    assert_eq!(stranger.status, 404);
    broker.admit("alice-again", "alice");
    let refreshed = broker.send(broker.request("alice-again", CALL).header("mcp-session-id", &session)).await;
    assert_eq!(refreshed.status, 200);
    let unknown = broker.send(broker.request("alice-token", CALL).header("mcp-session-id", "made-up")).await;
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "session.unknown"));
}

#[tokio::test]
async fn delete_ends_the_session_on_both_sides() {
    let upstream = sessions().await;
    let broker = TestBroker::start(upstream.address).await;
    let session = open(&broker, "alice-token").await;
    let ended = broker.knock("alice-token", http::Method::DELETE).header("mcp-session-id", &session);
    assert_eq!(broker.send(ended).await.status, 200);
    assert_eq!(upstream.last().method, http::Method::DELETE);
    assert_eq!(upstream.last().headers["mcp-session-id"], "upstream-session");
    let gone = broker.send(broker.request("alice-token", CALL).header("mcp-session-id", &session)).await;
    assert_eq!(gone.status, 404);
    let kinds = broker.audit.kinds();
    for kind in [EventKind::SessionOpened, EventKind::SessionEnded] {
        assert_eq!(kinds.iter().filter(|known| **known == kind).count(), 1, "{kind:?}");
    }
}
