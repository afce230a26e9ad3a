//! A call that lacks a user's consent: who is asked how, who is told where to go, and what the server never sees.

mod clients;
mod legacy;
mod modern;
mod retries;
mod told;

use gateway_core::audit::{Decision, EventKind};
use gateway_core::state::{GrantEnd, GrantEndReason, State};
use gateway_core::time::Timestamp;
use gateway_proxy::settings::Settings;
use serde_json::{Value, json};

use crate::broker::TestBroker;
use crate::sources::{grant_source, source};
use crate::upstream::Upstream;

/// A broker whose binding takes the user's grant, with an open connect page.
async fn start(upstream: &Upstream, settle: impl FnOnce(&mut Settings)) -> TestBroker {
    let broker = TestBroker::with(upstream.address, delegated, settle).await;
    broker.connect.open();
    broker
}

fn delegated(binding: &mut Value) {
    source("user_delegated", grant_source())(binding);
    binding["methods"] = json!(["resources/read", "prompts/get", "completion/complete"]);
}

/// What a client says that shows people addresses.
fn showing() -> Value {
    json!({"elicitation": {"form": {}, "url": {}}})
}

/// A modern request of alice by a client of these capabilities.
fn request(
    broker: &TestBroker,
    method: &str,
    mut params: Value,
    capabilities: &Value,
) -> reqwest::RequestBuilder {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    });
    let name = params["name"].as_str().or(params["uri"].as_str()).map(str::to_owned);
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
    raw(broker, "alice-token", (method, name.as_deref()), body.to_string())
}

/// A modern request as it is written; the method and the name are mirrored.
fn raw(
    broker: &TestBroker,
    token: &str,
    (method, name): (&str, Option<&str>),
    body: String,
) -> reqwest::RequestBuilder {
    let request =
        broker.request(token, body).header("mcp-protocol-version", "2026-07-28").header("mcp-method", method);
    match name {
        Some(name) => request.header("mcp-name", name),
        None => request,
    }
}

/// What `inputResponses` says after the person saw the question.
fn answered(action: &str) -> Value {
    json!({"mcp-gateway/connect": {"action": action}})
}

/// The user's grant ends.
fn end(state: &mut State) {
    let end = GrantEnd { at: Timestamp::from_seconds(1), reason: GrantEndReason::Revoked };
    state.grants[0].ended = Some(end);
}

/// Every refused call in the evidence; each is denied.
fn refused(broker: &TestBroker) -> Vec<String> {
    let events = broker.audit.events.lock().unwrap();
    let refused = events.iter().filter(|event| event.kind == EventKind::Refused);
    refused
        .map(|event| {
            assert_eq!(event.decision, Some(Decision::Deny));
            event.reason.clone().unwrap()
        })
        .collect()
}

/// No credential was asked for, nothing was begun, and the server saw nothing.
fn assert_untouched(broker: &TestBroker, upstream: &Upstream) {
    assert!(broker.issuer.wishes.lock().unwrap().is_empty(), "no credential is asked for");
    assert!(!broker.audit.kinds().contains(&EventKind::Intent));
    assert_eq!(upstream.count(), 0, "the server sees nothing");
}
