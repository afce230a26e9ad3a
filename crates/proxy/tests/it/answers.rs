//! What comes back: scrubbed, filtered, streamed, and never another's challenge.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::broker::{CANARY, TestBroker};
use crate::upstream::{Upstream, events, json, typed};

#[tokio::test]
async fn reflected_values_are_scrubbed_and_json_stays_json() {
    let upstream = Upstream::start(|seen| async move {
        let credential = seen.headers["authorization"].to_str().unwrap().to_owned();
        let text = serde_json::json!({"jsonrpc": "2.0", "id": 7, "result": {
            "resultType": "complete", "text": credential, "hex": hex::encode(CANARY), "more": "untouched"
        }});
        let mut response = json(text.to_string());
        response.headers_mut().insert("x-echo", credential.parse().unwrap());
        response.headers_mut().insert("set-cookie", "a=b".parse().unwrap());
        response
    })
    .await;
    let broker = TestBroker::start(upstream.address).await;
    let answer = broker.call("echo").await;
    let result = &answer.json()["result"];
    assert_eq!(result["text"], "Bearer [scrubbed:main]");
    assert_eq!(result["hex"], "[scrubbed:main]");
    assert_eq!(result["more"], "untouched");
    assert_eq!(answer.headers["x-echo"], "Bearer [scrubbed:main]");
    assert!(!answer.headers.contains_key("set-cookie"));
    let events = broker.audit.events.lock().unwrap().clone();
    assert!(events[1].outcome.as_ref().unwrap().redactions >= 2);
}

#[tokio::test]
async fn lists_show_exactly_what_can_be_called_and_become_private() {
    let upstream = Upstream::start(|_| async {
        json(r#"{"jsonrpc":"2.0","id":7,"result":{"cacheScope":"public","tools":[{"name":"echo", "x":1},{"name":"forbidden_one"},{"name":"elsewhere"},{"name":"write_it"}],"ttlMs":1}}"#)
    })
    .await;
    let broker = TestBroker::start(upstream.address).await;
    let answer = broker.send(broker.modern("alice-token", "tools/list", None)).await;
    let expected = r#"{"jsonrpc":"2.0","id":7,"result":{"cacheScope":"private","tools":[{"name":"echo", "x":1},{"name":"write_it"}],"ttlMs":1}}"#;
    assert_eq!(answer.text, expected);
}

#[tokio::test]
async fn events_pass_one_by_one_before_the_stream_ends() {
    let (sender, response) = events();
    let response = Arc::new(std::sync::Mutex::new(Some(response)));
    let upstream = Upstream::start(move |_| {
        let response = response.lock().unwrap().take().unwrap();
        async move { response }
    })
    .await;
    let broker = TestBroker::start(upstream.address).await;
    sender.send(": hello\n\n").unwrap();
    let mut answer = broker.modern("alice-token", "tools/call", Some("echo")).send().await.unwrap();
    assert_eq!(&answer.chunk().await.unwrap().unwrap()[..], b": hello\n\n");
    sender.send("data: {\"a\":1}\n\n").unwrap();
    assert_eq!(&answer.chunk().await.unwrap().unwrap()[..], b"data: {\"a\":1}\n\n");
    drop(sender);
    assert!(answer.chunk().await.unwrap().is_none());
}

#[tokio::test]
async fn a_list_inside_an_event_stream_is_filtered_too() {
    let upstream = Upstream::start(|_| async {
        typed(
            "text/event-stream",
            "event: message\nid: 1\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"tools\":[{\"name\":\"secret_tool\"},{\"name\":\"echo\"}]}}\n\n",
        )
    })
    .await;
    let broker = TestBroker::start(upstream.address).await;
    let answer = broker.send(broker.modern("alice-token", "tools/list", None)).await;
    assert!(answer.text.contains("echo") && answer.text.contains("id: 1"), "{}", answer.text);
    assert!(!answer.text.contains("secret_tool"));
}

#[tokio::test]
async fn redirects_and_compressed_answers_are_refused() {
    let upstream = Upstream::start(|seen| async move {
        let mut response = json("{}");
        if seen.body.windows(8).any(|part| part == b"write_it") {
            response.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        } else {
            *response.status_mut() = http::StatusCode::FOUND;
            response.headers_mut().insert("location", "http://127.0.0.1:1/".parse().unwrap());
        }
        response
    })
    .await;
    let broker = TestBroker::start(upstream.address).await;
    let redirect = broker.call("echo").await;
    assert_eq!((redirect.status, redirect.code().as_str()), (502, "upstream.redirect"));
    assert!(!redirect.headers.contains_key("location"));
    assert_eq!(broker.call("write_it").await.code(), "upstream.malformed");
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn a_refused_credential_is_fetched_anew_once_and_only_for_reads() {
    let refusals = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&refusals);
    let upstream = Upstream::start(move |seen| {
        let fresh = seen.headers["authorization"] == "Bearer the-second-version-of-it";
        if !fresh {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        async move {
            let mut response = json(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#);
            if !fresh {
                *response.status_mut() = http::StatusCode::UNAUTHORIZED;
                response.headers_mut().insert("www-authenticate", "Bearer realm=\"theirs\"".parse().unwrap());
            }
            response
        }
    })
    .await;
    let broker = TestBroker::start(upstream.address).await;
    let refused = broker.call("echo").await;
    assert_eq!((refused.status, refused.code().as_str()), (502, "upstream.unauthorized"));
    assert!(!refused.headers.contains_key("www-authenticate"), "the upstream's challenge never passes");
    assert_eq!(refusals.load(Ordering::SeqCst), 1, "the same version is not tried twice");
    *broker.store.value.lock().unwrap() = "the-second-version-of-it".to_owned();
    broker.store.version.store(2, Ordering::SeqCst);
    assert_eq!(broker.call("write_it").await.code(), "upstream.unauthorized", "a write is not repeated");
    assert_eq!(broker.call("echo").await.status, 200, "a read is");
    assert_eq!(refusals.load(Ordering::SeqCst), 3);
}

const METADATA: &str = "https://idp.upstream.example/.well-known/oauth-protected-resource";

/// Answers with a status and a challenge, and says so in the body as careless servers do.
async fn refusing(status: u16, challenge: String) -> Upstream {
    Upstream::start(move |_| {
        let challenge = challenge.clone();
        async move {
            let mut response = json(format!(r#"{{"error":"see {METADATA}"}}"#));
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
            response.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
            response
        }
    })
    .await
}

#[tokio::test]
async fn a_server_that_wants_a_grant_of_its_own_is_reported_as_that_and_never_passed_on() {
    let challenge = format!("Bearer error=\"invalid_token\", resource_metadata=\"{METADATA}\"");
    let upstream = refusing(401, challenge).await;
    let broker = TestBroker::start(upstream.address).await;
    let answer = broker.call("echo").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream.oauth_required"));
    assert!(answer.json()["error"]["data"]["hint"].as_str().unwrap().contains("user_delegated"));
    assert_eq!(answer.json()["error"]["data"]["fixer"], "the owner of the binding");
    assert!(!answer.headers.contains_key("www-authenticate"));
    assert!(!format!("{:?}{}", answer.headers, answer.text).contains("upstream.example"));
    let outcome = outcome(&broker);
    assert_eq!(outcome.reason.as_deref(), Some("upstream.oauth_required"));
    assert_eq!(outcome.outcome.unwrap().upstream_status, Some(401));
    broker.store.version.store(2, Ordering::SeqCst);
    *broker.store.value.lock().unwrap() = "the-second-version-of-it".to_owned();
    assert_eq!(broker.call("echo").await.code(), "upstream.oauth_required");
    assert_eq!(upstream.count(), 3, "one retry with a new version, as after any 401");
}

#[tokio::test]
async fn missing_scopes_are_told_to_the_audit_and_not_to_the_caller() {
    let long = "x".repeat(400);
    let challenge = format!(
        "Bearer error=\"insufficient_scope\", scope=\"files:write canary:{} {long}\", resource_metadata=\"{METADATA}\"",
        crate::broker::CANARY.replace('"', "\\\"")
    );
    let upstream = refusing(403, challenge).await;
    let broker = TestBroker::start(upstream.address).await;
    let answer = broker.call("echo").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream.scope_missing"));
    assert!(!format!("{:?}{}", answer.headers, answer.text).contains("files:write"));
    assert!(!answer.text.contains("upstream.example"));
    let outcome = outcome(&broker);
    assert_eq!(outcome.reason.as_deref(), Some("upstream.scope_missing"));
    let scopes = outcome.outcome.unwrap().upstream_scopes.unwrap();
    assert!(scopes.starts_with("files:write canary:") && scopes.len() == 256, "{scopes}");
    assert_eq!(upstream.count(), 1, "a missing scope is not tried again");
}

#[tokio::test]
async fn a_403_of_another_kind_is_the_servers_own_answer() {
    let upstream = refusing(403, "Bearer error=\"invalid_token\"".to_owned()).await;
    let broker = TestBroker::start(upstream.address).await;
    let answer = broker.call("echo").await;
    assert_eq!(answer.status, 403);
    assert!(!answer.headers.contains_key("www-authenticate"));
}

fn outcome(broker: &TestBroker) -> gateway_core::audit::Event {
    let events = broker.audit.events.lock().unwrap();
    events.iter().rfind(|event| event.kind == gateway_core::audit::EventKind::Outcome).cloned().unwrap()
}
