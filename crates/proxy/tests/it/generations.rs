//! What one generation took away is the upstream's to refuse, in its own words.

use http::StatusCode;
use serde_json::json;

use crate::broker::TestBroker;
use crate::upstream::{self, Upstream};

const GONE: &str = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"Method not found"}}"#;

async fn modern_only() -> Upstream {
    Upstream::start(|seen| async move {
        // A modern server judges the headers first: without them it would speak of those.
        let whole =
            seen.headers.contains_key("mcp-method") && seen.headers.contains_key("mcp-protocol-version");
        let mut response = upstream::json(GONE);
        *response.status_mut() = if whole { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
        response
    })
    .await
}

#[tokio::test]
async fn a_modern_request_for_a_removed_method_gets_the_upstreams_404() {
    let upstream = modern_only().await;
    let broker = TestBroker::start(upstream.address).await;
    for method in ["initialize", "ping", "logging/setLevel"] {
        let answer = broker.send(broker.modern("alice-token", method, None)).await;
        assert_eq!((answer.status, answer.text.as_str()), (404, GONE), "{method}");
        assert!(!answer.headers.contains_key("mcp-session-id"), "{method}");
        // The gateway then asks which generations the server speaks, so it is not the last request.
        let seen = upstream.seen.lock().unwrap();
        assert!(seen.iter().any(|seen| seen.headers.get("mcp-method").is_some_and(|name| name == method)));
    }
}

#[tokio::test]
async fn a_removed_subscription_without_a_resource_is_decided_by_the_binding_not_by_its_shape() {
    let upstream = modern_only().await;
    let broker = TestBroker::start(upstream.address).await;
    let everything =
        TestBroker::with(upstream.address, |binding| binding["methods"] = json!(["*"]), |_| {}).await;
    for method in ["resources/subscribe", "resources/unsubscribe"] {
        let covered = everything.send(everything.modern("alice-token", method, None)).await;
        assert_eq!((covered.status, covered.text.as_str()), (404, GONE), "{method}");
        let seen = upstream.count();
        let other = broker.send(broker.modern("alice-token", method, None)).await;
        assert_ne!(other.text, GONE, "{method}");
        assert_eq!(upstream.count(), seen, "{method} is not among the methods of this binding");
    }
}
