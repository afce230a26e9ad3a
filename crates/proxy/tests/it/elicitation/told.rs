//! Who cannot be asked: headless callers, notifications, clients without the capability. They are told.

use gateway_core::actor::Groups;
use gateway_core::id::EnvironmentName;
use gateway_core::identity::{Entry, ProofKind, VerifiedClaims};
use gateway_core::time::Timestamp;
use serde_json::{Value, json};

use super::{assert_untouched, delegated, raw, refused, request, showing, start};
use crate::broker::{Answer, TestBroker, record};
use crate::fakes::FakeConnect;
use crate::sources::{grant, upstream};

/// The plain refusal, with everything that a script needs.
pub fn assert_told(answer: &Answer, code: &str, scopes: &[&str]) {
    assert_eq!((answer.status, answer.code().as_str()), (403, code), "{}", answer.text);
    let error = &answer.json()["error"];
    assert!(error["message"].as_str().unwrap().ends_with(FakeConnect::ADDRESS), "{error}");
    assert_eq!(error["data"]["connect_url"], FakeConnect::ADDRESS);
    let needs = json!({"user": "https://idp|alice", "provider": "notes", "scopes": scopes});
    assert_eq!(error["data"]["needs"], needs);
}

fn metadata() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": showing(),
    })
}

#[tokio::test]
async fn a_client_that_does_not_show_addresses_is_told_where_to_go() {
    let upstream = upstream().await;
    let mut broker = start(&upstream, |_| {}).await;
    for capabilities in [
        json!({}),
        json!({"elicitation": {}}),
        json!({"elicitation": {"form": {}}}),
        json!({"elicitation": {"url": null}}),
        json!({"elicitation": {"url": true}}),
        json!({"sampling": {"url": {}}}),
    ] {
        let call = request(&broker, "tools/call", json!({"name": "echo"}), &capabilities);
        assert_told(&broker.send(call).await, "grant.missing", &["notes.read"]);
    }
    broker.publish(grant(&["notes.read"]));
    let call = request(&broker, "tools/call", json!({"name": "write_it"}), &json!({}));
    assert_told(&broker.send(call).await, "grant.scope_missing", &["notes.read", "notes.write"]);
    assert_untouched(&broker, &upstream);
}

#[tokio::test]
async fn where_there_is_no_page_the_refusal_names_what_is_needed_and_no_address() {
    let upstream = upstream().await;
    let broker = TestBroker::with(upstream.address, delegated, |_| {}).await;
    let answer = broker.send(request(&broker, "tools/call", json!({"name": "echo"}), &showing())).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "grant.missing"));
    let error = &answer.json()["error"];
    assert_eq!(error["message"], "the user has not connected their account at the provider");
    assert!(error["data"].get("connect_url").is_none());
    assert_eq!(error["data"]["needs"]["provider"], "notes");
}

#[tokio::test]
async fn an_agent_without_a_user_gets_a_clear_refusal_and_nobodys_address() {
    let upstream = upstream().await;
    let bind = |binding: &mut Value| {
        delegated(binding);
        binding["actor"] = json!({"agents": ["bot"]});
    };
    let mut broker = TestBroker::with(upstream.address, bind, |_| {}).await;
    broker.connect.open();
    broker.publish(|state| {
        let agent = json!({
            "kind": "Agent", "name": "bot", "environments": ["dev"], "owner": "team", "risk_ceiling": "write",
            "proofs": [{"confidential_client": {"issuer": "https://idp", "client_id": "bot-client"}}],
            "tools": [{"server": "tools", "tools": ["echo"]}]
        });
        state.revisions.push(record(agent, 1));
        grant(&["notes.read"])(state);
    });
    let claims = VerifiedClaims {
        proof: ProofKind::Jwt,
        issuer: "https://idp".into(),
        subject: "bot-client".into(),
        user: None,
        groups: Groups::default(),
        client: Some("bot-client".into()),
        act_subject: None,
        agent: None,
        attested: None,
        entries: vec![Entry { environment: EnvironmentName::parse("dev").unwrap(), servers: None }],
        expires_at: Timestamp::from_seconds(4_000_000_000),
    };
    broker.verifier.tokens.lock().unwrap().insert("bot-token".into(), claims);
    let params = json!({"name": "echo", "_meta": metadata()});
    let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params});
    let call = raw(&broker, "bot-token", ("tools/call", Some("echo")), call.to_string());
    let answer = broker.send(call).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "grant.without_user"), "{}", answer.text);
    assert!(answer.json()["error"]["data"].get("needs").is_none());
    assert!(broker.connect.wishes().is_empty());
    assert_untouched(&broker, &upstream);
}

#[tokio::test]
async fn a_notification_is_told_and_a_batch_is_refused_before_anything_is_asked() {
    let upstream = upstream().await;
    let broker = start(&upstream, |_| {}).await;
    let mut call =
        json!({"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "echo", "_meta": metadata()}});
    let notified =
        broker.send(raw(&broker, "alice-token", ("tools/call", Some("echo")), call.to_string())).await;
    assert_told(&notified, "grant.missing", &["notes.read"]);
    assert!(notified.json()["id"].is_null());
    call["id"] = json!(7);
    let batch = broker
        .send(raw(&broker, "alice-token", ("tools/call", Some("echo")), json!([call]).to_string()))
        .await;
    assert_eq!((batch.status, batch.code().as_str()), (400, "request.batch"));
    assert_eq!(refused(&broker), ["grant.missing", "request.batch"]);
    assert_eq!(broker.connect.wishes().len(), 1);
    assert_untouched(&broker, &upstream);
}

#[tokio::test]
async fn other_bindings_hear_nothing_of_it() {
    let upstream = upstream().await;
    let broker = TestBroker::start(upstream.address).await;
    broker.connect.open();
    let params = json!({"name": "echo", "inputResponses": super::answered("decline")});
    let answer = broker.send(request(&broker, "tools/call", params, &showing())).await;
    assert_eq!(answer.status, 200, "a stored secret needs nobody's consent");
    assert!(broker.connect.wishes().is_empty());
}
