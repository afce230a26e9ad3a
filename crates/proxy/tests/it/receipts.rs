//! What servers that ask for receipts get, and what the others do not. The keys are fakes: a receipt is its
//! claims as they stand.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use gateway_core::audit::EventKind;
use gateway_core::id::BindingName;
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::policy::{Permit, SystemUse};
use gateway_core::ports::{Candidate, CredentialProbe as _};
use gateway_core::receipt::{ContentDigest, HEADER, ReceiptMode};
use gateway_core::refusal::Code;
use gateway_core::secret::Secret;
use gateway_proxy::probe::Prober;
use serde_json::{Value, json};

use crate::broker::{TestBroker, server_spec};
use crate::sessions::{CALL, open};
use crate::upstream::{Seen, Upstream, json as answer};

async fn echo() -> Upstream {
    Upstream::start(|_| async {
        answer(r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content":[]}}"#)
    })
    .await
}

async fn asking(upstream: SocketAddr, mode: &str) -> TestBroker {
    let mut server = server_spec(upstream);
    server["route"]["receipt"] = json!(mode);
    TestBroker::before(server, |_| {}, |_| {}).await
}

fn receipt(seen: &Seen) -> Value {
    let mut values = seen.headers.get_all(HEADER).iter();
    let receipt = serde_json::from_slice(values.next().unwrap().as_bytes()).unwrap();
    assert!(values.next().is_none(), "one message, one receipt");
    receipt
}

#[tokio::test]
async fn a_server_that_asks_is_told_what_the_evidence_says() {
    let upstream = echo().await;
    let broker = asking(upstream.address, "header").await;
    assert_eq!(broker.call("echo").await.status, 200);
    let seen = upstream.last();
    let said = receipt(&seen);
    let intent = broker.audit.events.lock().unwrap()[0].clone();
    assert_eq!((intent.kind, intent.receipt), (EventKind::Intent, Some(ReceiptMode::Header)));
    let id = intent.request_id.unwrap().to_string();
    assert_eq!(seen.headers["x-request-id"], id.as_str());
    assert!(said["jti"].as_str().unwrap().starts_with(&format!("{id}.")), "{said}");
    for (claim, value) in [
        ("iss", json!(broker.gateway.settings.public_url)),
        ("aud", json!(format!("http://{}/mcp", upstream.address))),
        ("sub", json!(intent.user)),
        ("request_id", json!(id)),
        ("environment", json!(intent.environment)),
        ("server", json!(intent.server)),
        ("method", json!(intent.method)),
        ("tool", json!(intent.tool)),
        ("mode", json!(intent.mode)),
        ("binding", json!(intent.binding)),
        ("policy_version", json!(intent.policy_version)),
        ("decided_at", json!(intent.time)),
        ("content_digest", json!(ContentDigest::of(&seen.body).to_string())),
    ] {
        assert!(!value.is_null(), "{claim}");
        assert_eq!(said[claim], value, "{claim}");
    }
    assert_eq!(said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(), 60);
    assert_eq!((said["method"].as_str(), said["tool"].as_str()), (Some("tools/call"), Some("echo")));
}

#[tokio::test]
async fn nobody_else_writes_a_receipt() {
    let upstream = echo().await;
    let silent = TestBroker::start(upstream.address).await;
    let asks = asking(upstream.address, "header").await;
    for (broker, asked) in [(&silent, false), (&asks, true)] {
        let forged = broker
            .modern("alice-token", "tools/call", Some("echo"))
            .header(HEADER, "forged")
            .header(HEADER, "forged-again")
            .header("Mcp-Gateway-Receipt-Too", "forged");
        assert_eq!(broker.send(forged).await.status, 200);
        let seen = upstream.last();
        assert!(!format!("{:?}", seen.headers).contains("forged"), "{:?}", seen.headers);
        assert_eq!(seen.headers.contains_key(HEADER), asked);
    }
    receipt(&upstream.last());
}

#[tokio::test]
async fn a_server_outside_learns_no_name() {
    let upstream = echo().await;
    let broker = asking(upstream.address, "pseudonymous").await;
    assert_eq!(broker.call("echo").await.status, 200);
    let said = receipt(&upstream.last());
    assert_eq!(said["sub"], "somebody");
    assert!(!said.to_string().contains("alice"), "{said}");
}

#[tokio::test]
async fn without_a_signature_nothing_is_sent_where_one_is_asked_for() {
    let upstream = echo().await;
    let broker = asking(upstream.address, "header").await;
    broker.keys.down.store(true, Ordering::SeqCst);
    let refused = broker.call("echo").await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "receipt.unavailable"));
    assert_eq!(upstream.count(), 0);
    assert_eq!(broker.audit.kinds(), [EventKind::Intent, EventKind::Outcome, EventKind::Refused]);
    let outcome = broker.audit.events.lock().unwrap()[1].clone();
    assert_eq!(outcome.reason.as_deref(), Some("receipt.unavailable"));
    broker.keys.down.store(false, Ordering::SeqCst);
    assert_eq!(broker.call("echo").await.status, 200);
    let silent = TestBroker::start(upstream.address).await;
    silent.keys.down.store(true, Ordering::SeqCst);
    assert_eq!(silent.call("echo").await.status, 200, "who asks for none needs none");
}

#[tokio::test]
async fn every_message_has_a_receipt_of_its_own_also_those_of_one_request() {
    let upstream = Upstream::start(|seen: Seen| async move {
        if seen.headers["authorization"].to_str().unwrap().contains("canary") {
            let mut refused = answer("{}");
            *refused.status_mut() = http::StatusCode::UNAUTHORIZED;
            return refused;
        }
        answer(r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content":[]}}"#)
    })
    .await;
    let broker = asking(upstream.address, "header").await;
    assert_eq!(broker.call("echo").await.code(), "upstream.unauthorized");
    *broker.store.value.lock().unwrap() = "the-second-version-of-it".to_owned();
    broker.store.version.store(2, Ordering::SeqCst);
    assert_eq!(broker.call("echo").await.status, 200, "the second version is tried");
    let seen: Vec<Value> = upstream.seen.lock().unwrap().iter().map(receipt).collect();
    assert_eq!(seen.len(), 3);
    let ids: HashSet<&str> = seen.iter().map(|said| said["jti"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 3, "a retry is no replay");
    assert_eq!(seen[1]["request_id"], seen[2]["request_id"]);
}

#[tokio::test]
async fn sessions_and_their_ends_have_receipts_too() {
    let upstream = Upstream::start(|seen: Seen| async move {
        let mut response = answer(r#"{"jsonrpc":"2.0","id":0,"result":{}}"#);
        if seen.body.windows(10).any(|part| part == b"initialize") {
            response.headers_mut().insert("mcp-session-id", "upstream-session".parse().unwrap());
        }
        response
    })
    .await;
    let broker = asking(upstream.address, "header").await;
    let session = open(&broker, "alice-token").await;
    let call = broker.request("alice-token", CALL).header("mcp-session-id", &session);
    assert_eq!(broker.send(call).await.status, 200);
    let end = broker.knock("alice-token", http::Method::DELETE).header("mcp-session-id", &session);
    assert_eq!(broker.send(end).await.status, 200);
    let seen = upstream.seen.lock().unwrap().clone();
    assert!(seen.len() >= 3);
    for one in &seen {
        let said = receipt(one);
        assert_eq!(said["content_digest"], ContentDigest::of(&one.body).to_string(), "{said}");
    }
    assert!(seen.iter().any(|one| receipt(one)["method"] == "initialize"));
    assert_eq!(seen[seen.len() - 1].method, http::Method::DELETE);
}

#[tokio::test]
async fn a_probe_has_one_too_and_its_evidence_has_its_id() {
    let upstream = echo().await;
    let broker = asking(upstream.address, "pseudonymous").await;
    let world = broker.gateway.world.current();
    let server = world.snapshot.environment("dev").unwrap().server("tools").unwrap();
    let binding = server.binding(&BindingName::parse("main").unwrap()).unwrap();
    let permit = Permit::for_system(SystemUse::Probe, Arc::clone(binding), world.snapshot.epoch);
    let probe = || Candidate {
        environment: &binding.spec.environment,
        route: &binding.route,
        injection: binding.spec.inject.as_ref().unwrap(),
        material: Arc::new(SecretVersion {
            secret: Secret::copy_from(b"a-candidate-that-is-long-enough"),
            version: VersionId::new("2"),
            created_at: None,
            expires_at: None,
            store_request_id: None,
        }),
    };
    let prober = Prober::new(Arc::clone(&broker.gateway));
    prober.probe(&permit, probe()).await.unwrap();
    let seen = upstream.last();
    let said = receipt(&seen);
    assert_eq!(said["sub"], said["iss"], "on the gateway's own account");
    assert_eq!(said["content_digest"], ContentDigest::of(&seen.body).to_string());
    assert_eq!(seen.headers["x-request-id"], said["request_id"].as_str().unwrap());
    let intent = broker.audit.events.lock().unwrap()[0].clone();
    assert_eq!(json!(intent.request_id), said["request_id"]);
    broker.keys.down.store(true, Ordering::SeqCst);
    let refused = prober.probe(&permit, probe()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ReceiptUnavailable);
    assert_eq!(upstream.count(), 1);
}
