//! Who gets in, and what the upstream is told about it.

use std::sync::atomic::Ordering;

use gateway_core::audit::{Decision, EventKind};
use gateway_core::manifest::{ContentHash, CredentialMode, Risk};
use tokio::time::Instant;

use crate::broker::{CANARY, TestBroker};
use crate::upstream::{Upstream, json};

async fn echo() -> Upstream {
    Upstream::start(|_| async {
        json(r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content":[]}}"#)
    })
    .await
}

#[tokio::test]
async fn the_credential_arrives_and_the_callers_own_does_not() {
    let upstream = echo().await;
    let broker = TestBroker::start(upstream.address).await;
    let request = broker
        .modern("alice-token", "tools/call", Some("echo"))
        .header("cookie", "a=b")
        .header("x-api-key", "mine")
        .header("x-forwarded-for", "1.2.3.4")
        .header("mcp-gateway-binding", "forged@1")
        .header("x-request-id", "forged")
        .header("mcp-param-token", "an-argument")
        .header("x-vendor", "kept");
    assert_eq!(broker.send(request).await.status, 200);
    let seen = upstream.last();
    assert_eq!(seen.headers["authorization"], format!("Bearer {CANARY}"));
    assert_eq!(seen.headers.get_all("authorization").iter().count(), 1);
    for dropped in ["cookie", "x-api-key", "x-forwarded-for"] {
        assert!(!seen.headers.contains_key(dropped), "{dropped}");
    }
    assert_eq!(seen.headers["mcp-gateway-binding"], "main@1");
    assert_eq!(seen.headers["mcp-gateway-mode"], "service_account");
    assert_ne!(seen.headers["x-request-id"], "forged");
    assert_eq!(seen.headers["mcp-param-token"], "an-argument");
    assert_eq!(seen.headers["x-vendor"], "kept");
    let printed = format!("{:?}", seen.headers);
    assert!(!printed.contains("alice-token"), "no token passthrough");
}

#[tokio::test]
async fn a_header_of_the_callers_never_stands_beside_or_before_the_injected_one() {
    let upstream = echo().await;
    let inject = serde_json::json!({"header": "X-Service-Key", "format": "{secret}"});
    let broker = TestBroker::with(upstream.address, |binding| binding["inject"] = inject, |_| {}).await;
    let request = broker
        .modern("alice-token", "tools/call", Some("echo"))
        .header("x-service-key", "mine")
        .header("X-SERVICE-KEY", "mine again")
        .header("connection", "x-service-key");
    assert_eq!(broker.send(request).await.status, 200);
    let seen = upstream.last();
    let values: Vec<_> = seen.headers.get_all("x-service-key").iter().collect();
    assert_eq!(values, [CANARY]);
    assert!(!seen.headers.contains_key("authorization"), "nor the caller's token");
}

#[tokio::test]
async fn intent_precedes_the_call_and_the_outcome_follows() {
    let upstream = echo().await;
    let broker = TestBroker::start(upstream.address).await;
    broker.call("echo").await;
    assert_eq!(broker.audit.kinds(), [EventKind::Intent, EventKind::Outcome]);
    let events = broker.audit.events.lock().unwrap().clone();
    assert_eq!(events[0].request_id, events[1].request_id);
    assert_eq!(events[0].binding.as_ref().unwrap().to_string(), "main@1");
    assert_eq!(events[1].outcome.as_ref().unwrap().upstream_status, Some(200));
}

#[tokio::test]
async fn without_evidence_there_is_no_call() {
    let upstream = echo().await;
    let broker = TestBroker::start(upstream.address).await;
    broker.audit.down.store(true, Ordering::SeqCst);
    let answer = broker.call("echo").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "audit.unavailable"));
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_store_that_is_down_stops_calls_and_recovers() {
    let upstream = echo().await;
    let broker = TestBroker::start(upstream.address).await;
    broker.store.down.store(true, Ordering::SeqCst);
    let answer = broker.call("echo").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "store.unavailable"));
    broker.store.down.store(false, Ordering::SeqCst);
    assert_eq!(broker.call("echo").await.status, 200);
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn values_that_cannot_be_injected_are_refused_by_name() {
    let upstream = echo().await;
    let broker = TestBroker::start(upstream.address).await;
    for (value, code) in [
        ("", "secret.empty"),
        ("short", "secret.unusable"),
        ("long-enough-but-with\r\nX-Evil: 1", "secret.unusable"),
        ("long-enough-but-with\u{7}control", "secret.unusable"),
    ] {
        *broker.store.value.lock().unwrap() = value.to_owned();
        gateway_core::ports::SecretCache::forget_all(&*broker.store);
        assert_eq!(broker.call("echo").await.code(), code, "{value:?}");
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn strangers_get_a_challenge_and_are_counted_not_recorded() {
    let upstream = echo().await;
    let broker = TestBroker::start(upstream.address).await;
    let anonymous = broker.modern("x", "tools/call", Some("echo")).header("authorization", "");
    drop(anonymous);
    let answer = broker.send(broker.modern("wrong", "tools/call", Some("echo"))).await;
    assert_eq!(answer.status, 401);
    let challenge = answer.headers["www-authenticate"].to_str().unwrap().to_owned();
    assert!(challenge.contains("/.well-known/oauth-protected-resource/mcp/dev/tools"), "{challenge}");
    assert!(broker.audit.kinds().is_empty());
    broker.gateway.sweep();
    assert_eq!(broker.audit.kinds(), [EventKind::RefusedUnidentified]);
}

#[tokio::test]
async fn unbound_unknown_and_forbidden_look_the_same() {
    let upstream = echo().await;
    let broker = TestBroker::start(upstream.address).await;
    let forbidden = broker.call("forbidden_one").await;
    let unknown = broker.call("no_such_tool").await;
    for answer in [&forbidden, &unknown] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["error"]["code"], -32602);
    }
    let unbound = broker.send(broker.modern("bob-token", "tools/call", Some("echo"))).await;
    assert_eq!((unbound.status, unbound.code().as_str()), (404, "server.unknown"));
    assert_eq!(upstream.count(), 0);
    assert_eq!(broker.audit.kinds(), [EventKind::Refused; 3]);
}

#[tokio::test]
async fn a_refusal_names_what_had_decided_where_a_binding_was_selected_and_tells_no_caller() {
    let upstream = echo().await;
    let broker = TestBroker::start(upstream.address).await;
    let mut answers = Vec::new();
    // Twice, for the second one is read from the cache.
    for tool in ["forbidden_one", "forbidden_one", "no_such_tool"] {
        answers.push(broker.call(tool).await.text);
    }
    broker.store.down.store(true, Ordering::SeqCst);
    answers.push(broker.call("echo").await.text);
    assert!(answers.iter().all(|text| !text.contains("main")), "{answers:?}");
    let events = broker.audit.events.lock().unwrap().clone();
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            assert_eq!((event.kind, event.decision), (EventKind::Refused, Some(Decision::Deny)));
            let binding = event.binding.as_ref().map(ToString::to_string);
            (event.reason.as_deref().unwrap(), binding, event.mode, event.risk, event.policy_version)
        })
        .collect();
    let mode = Some(CredentialMode::ServiceAccount);
    let decided =
        |reason| (reason, Some("main@1".to_owned()), mode, Some(Risk::Read), Some(ContentHash::of(b"fake")));
    let expected = [
        decided("tool.unknown"),
        decided("tool.unknown"),
        ("tool.unknown", None, None, None, None),
        decided("store.unavailable"),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn malformed_requests_get_their_codes() {
    let upstream = echo().await;
    let broker = TestBroker::start(upstream.address).await;
    for (body, code) in [
        ("{", "request.malformed"),
        ("[]", "request.batch"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#, "request.duplicate_key"),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, "request.malformed"),
    ] {
        let answer = broker.send(broker.request("alice-token", body)).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, code), "{body}");
    }
    let mismatch = broker.modern("alice-token", "tools/call", Some("echo")).header("mcp-name", "other");
    assert_eq!(broker.send(mismatch).await.json()["error"]["code"], -32020);
    let foreign = broker.modern("alice-token", "tools/call", Some("echo")).header("host", "evil.example");
    assert_eq!(broker.send(foreign).await.status, 403);
    let browser =
        broker.modern("alice-token", "tools/call", Some("echo")).header("origin", "https://evil.example");
    assert_eq!(broker.send(browser).await.status, 403);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn limits_hold_for_a_binding() {
    let upstream = echo().await;
    let limit = |spec: &mut serde_json::Value| spec["limits"] = serde_json::json!({"calls_per_minute": 1});
    let broker = TestBroker::with(upstream.address, limit, |_| {}).await;
    assert_eq!(broker.call("echo").await.status, 200);
    let answer = broker.call("echo").await;
    assert_eq!((answer.status, answer.code().as_str()), (429, "limit.rate"));
    assert!(answer.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn an_address_the_route_does_not_name_is_refused() {
    let upstream = echo().await;
    let mut broker = TestBroker::start(upstream.address).await;
    broker.publish(|state| {
        let mut server = crate::broker::server_spec(upstream.address);
        server["route"]["addresses"] = serde_json::json!(["private"]);
        state.revisions[1] = crate::broker::record(server, 1);
    });
    let answer = broker.call("echo").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream.address_refused"));
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_state_that_cannot_be_proven_current_stops_calls() {
    let upstream = echo().await;
    let bound = std::time::Duration::from_secs(3600);
    let settle = |settings: &mut gateway_proxy::settings::Settings| settings.staleness_other = bound;
    let broker = TestBroker::with(upstream.address, |_| {}, settle).await;
    assert_eq!(broker.call("echo").await.status, 200);
    let never = std::time::Duration::ZERO;
    let stale = TestBroker::with(upstream.address, |_| {}, |settings| settings.staleness_other = never).await;
    let answer = stale.call("echo").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "state.stale"));
    assert_eq!(upstream.count(), 1, "what may be out of date is not acted on");
}

#[tokio::test]
async fn who_slept_between_the_look_and_the_proof_is_not_current() {
    let upstream = echo().await;
    let bound = std::time::Duration::from_millis(20);
    let broker =
        TestBroker::with(upstream.address, |_| {}, |settings| settings.staleness_other = bound).await;
    let looked = Instant::now();
    while looked.elapsed() <= bound {
        tokio::task::yield_now().await;
    }
    // The wall's clock was set back meanwhile: by it the look was just now.
    broker.gateway.world.confirm(broker.gateway.clock.now(), looked);
    let answer = broker.call("echo").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "state.stale"));
}

#[tokio::test]
async fn a_clock_that_was_set_back_keeps_no_state_current() {
    let upstream = echo().await;
    let bound = std::time::Duration::from_millis(20);
    let broker =
        TestBroker::with(upstream.address, |_| {}, |settings| settings.staleness_other = bound).await;
    // The last proof came while the clock was two hours ahead.
    let ahead = broker.gateway.clock.now().plus(std::time::Duration::from_secs(7200));
    broker.gateway.world.confirm(ahead, Instant::now());
    let refused = async {
        loop {
            let answer = broker.call("echo").await;
            if answer.status == 503 {
                return answer.code();
            }
        }
    };
    let code = tokio::time::timeout(std::time::Duration::from_secs(10), refused).await.unwrap();
    assert_eq!(code.as_str(), "state.stale");
}

#[tokio::test]
async fn key_sets_are_anybodys_to_read_and_nothing_else_is_there() {
    let upstream = echo().await;
    let broker = TestBroker::start(upstream.address).await;
    let at = |name: &str| format!("http://{}/.well-known/{name}", broker.address);
    for (name, body) in [("jwks.json", r#"{"keys":["all"]}"#), ("jwks/minted.json", r#"{"keys":["minted"]}"#)]
    {
        let answer = reqwest::get(at(name)).await.unwrap();
        assert_eq!(answer.status(), 200, "{name}");
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert_eq!(answer.headers()["cache-control"], "max-age=300");
        assert_eq!(answer.text().await.unwrap(), body);
    }
    for name in ["jwks", "jwks/receipts.json", "jwksminted.json", "jwks/.json", "jwks/minted"] {
        assert_eq!(reqwest::get(at(name)).await.unwrap().status(), 404, "{name}");
    }
    let posted = reqwest::Client::new().post(at("jwks.json")).send().await.unwrap();
    assert_eq!(posted.status(), 405);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_client_document_is_there_for_every_name_and_only_where_it_can_be_a_client_id() {
    let upstream = echo().await;
    let settle = |settings: &mut gateway_proxy::settings::Settings| {
        settings.public_url = "https://mcp.example".to_owned();
    };
    let broker = TestBroker::with(upstream.address, |_| {}, settle).await;
    let at = |name: &str| format!("http://{}/.well-known/oauth-client/{name}", broker.address);
    for (name, method) in [("dev/notes.json", "none"), ("nowhere/nothing/signed.json", "private_key_jwt")] {
        let answer = reqwest::get(at(name)).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()),
            (200, "application/json"),
            "{name}"
        );
        let document: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(document["client_id"], format!("https://mcp.example/.well-known/oauth-client/{name}"));
        assert_eq!(document["redirect_uris"], serde_json::json!(["https://mcp.example/connect/callback"]));
        assert_eq!(document["token_endpoint_auth_method"], method);
    }
    for name in ["", "dev", "dev/notes", "dev/Notes.json", "dev/notes/other.json"] {
        assert_eq!(reqwest::get(at(name)).await.unwrap().status(), 404, "{name}");
    }
    let posted = reqwest::Client::new().post(at("dev/notes.json")).send().await.unwrap();
    assert_eq!(posted.status(), 405);
    let plain = TestBroker::start(upstream.address).await;
    let address = format!("http://{}/.well-known/oauth-client/dev/notes.json", plain.address);
    assert_eq!(reqwest::get(address).await.unwrap().status(), 404, "plain http is nobody's client id");
    assert_eq!(upstream.count(), 0);
}
