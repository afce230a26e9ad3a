//! 2026-07-28: a result that asks for input.

use std::time::Duration;

use gateway_core::ports::LiveTraffic;
use gateway_core::refusal::Code;
use gateway_core::state::State;
use serde_json::{Value, json};

use super::{answered, assert_untouched, delegated, refused, request, showing, start};
use crate::broker::{Answer, TestBroker, server_spec};
use crate::fakes::FakeConnect;
use crate::sources::{grant, upstream};
use crate::upstream::Upstream;

pub fn question(answer: &Answer) -> Value {
    let body = answer.json();
    assert_eq!((answer.status, &body["id"]), (200, &json!(7)), "{}", answer.text);
    assert_eq!(answer.headers["content-type"], "application/json");
    body["result"].clone()
}

#[tokio::test]
async fn a_missing_grant_asks_the_person_for_exactly_this_calls_scopes() {
    let upstream = upstream().await;
    let broker = start(&upstream, |_| {}).await;
    let answer = broker.send(request(&broker, "tools/call", json!({"name": "echo"}), &showing())).await;
    let message = "`tools` acts for you with your account at `notes`. Open the page and connect the account, then go on.";
    assert_eq!(
        question(&answer),
        json!({"resultType": "input_required", "inputRequests": {"mcp-gateway/connect": {
            "method": "elicitation/create",
            "params": {"mode": "url", "message": message, "url": FakeConnect::ADDRESS}}}})
    );
    assert_eq!(broker.connect.wishes(), ["https://idp|alice dev/tools notes notes.read -"]);
    assert_eq!(refused(&broker), ["grant.missing"]);
    assert_untouched(&broker, &upstream);
}

#[tokio::test]
async fn a_narrow_grant_asks_for_what_it_has_and_what_the_call_needs_and_nothing_else() {
    let upstream = upstream().await;
    let mut broker = start(&upstream, |_| {}).await;
    broker.publish(grant(&["notes.admin", "notes.read"]));
    let answer = broker.send(request(&broker, "tools/call", json!({"name": "write_it"}), &showing())).await;
    let asked = question(&answer);
    let asked = &asked["inputRequests"]["mcp-gateway/connect"]["params"];
    assert_eq!(asked["url"], FakeConnect::ADDRESS);
    assert!(asked["message"].as_str().unwrap().contains("needs more rights"), "{asked}");
    let scopes = "notes.admin,notes.read,notes.write";
    assert_eq!(broker.connect.wishes(), [format!("https://idp|alice dev/tools notes {scopes} -")]);
    assert_eq!(refused(&broker), ["grant.scope_missing"]);
    assert_untouched(&broker, &upstream);
}

#[tokio::test]
async fn a_grant_that_ends_while_its_token_is_obtained_is_asked_for_anew() {
    let upstream = upstream().await;
    let mut broker = start(&upstream, |_| {}).await;
    broker.publish(grant(&["notes.admin", "notes.read"]));
    *broker.issuer.refuses.lock().unwrap() = Some(Code::GrantMissing);
    let answer = broker.send(request(&broker, "tools/call", json!({"name": "echo"}), &showing())).await;
    assert_eq!(question(&answer)["resultType"], "input_required");
    assert_eq!(broker.connect.wishes(), ["https://idp|alice dev/tools notes notes.read -"]);
    *broker.issuer.refuses.lock().unwrap() = Some(Code::ProviderUnavailable);
    let answer = broker.send(request(&broker, "tools/call", json!({"name": "echo"}), &showing())).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "provider.unavailable"));
    assert_eq!(refused(&broker), ["grant.missing", "provider.unavailable"]);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn only_the_three_methods_that_may_ask_do() {
    let upstream = upstream().await;
    let broker = start(&upstream, |_| {}).await;
    let reference =
        json!({"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a", "value": ""}});
    for (method, params, asks) in [
        ("tools/call", json!({"name": "echo"}), true),
        ("prompts/get", json!({"name": "p"}), true),
        ("resources/read", json!({"uri": "file:///x"}), true),
        ("completion/complete", reference, false),
        ("tools/list", json!({}), false),
        ("server/discover", json!({}), false),
        ("subscriptions/listen", json!({"notifications": {}}), false),
    ] {
        let answer = broker.send(request(&broker, method, params, &showing())).await;
        if asks {
            assert_eq!(question(&answer)["resultType"], "input_required", "{method}");
        } else {
            assert_eq!((answer.status, answer.code().as_str()), (403, "grant.missing"), "{method}");
            assert_eq!(answer.json()["error"]["data"]["connect_url"], FakeConnect::ADDRESS, "{method}");
        }
    }
    assert_untouched(&broker, &upstream);
}

#[tokio::test]
async fn nothing_is_asked_once_the_call_has_been_sent() {
    let upstream = Upstream::start(|_| async { std::future::pending().await }).await;
    let mut broker = start(&upstream, |_| {}).await;
    broker.publish(grant(&["notes.read"]));
    let mut state = State::default();
    grant(&["notes.read"])(&mut state);
    let own = state.grants.remove(0);
    let call = broker.send(request(&broker, "tools/call", json!({"name": "echo"}), &showing()));
    let ending = async {
        while upstream.count() == 0 {
            tokio::task::yield_now().await;
        }
        broker.gateway.end_grant(&own, Duration::from_secs(5)).await.unwrap()
    };
    let (answer, _) = tokio::join!(call, ending);
    // The server may have done it: whoever is asked would call again.
    assert_eq!((answer.status, answer.code().as_str()), (403, "grant.missing"), "{}", answer.text);
    assert!(broker.connect.wishes().is_empty());
}

#[tokio::test]
async fn a_server_of_the_older_generation_makes_no_difference() {
    let upstream = upstream().await;
    let mut server = server_spec(upstream.address);
    server["route"]["generation"] = json!("legacy");
    let broker = TestBroker::before(server, delegated, |_| {}).await;
    broker.connect.open();
    let answer = broker.send(request(&broker, "tools/call", json!({"name": "write_it"}), &showing())).await;
    assert_eq!(question(&answer)["resultType"], "input_required");
    assert_eq!(broker.connect.wishes(), ["https://idp|alice dev/tools notes notes.read,notes.write -"]);
    let declined = json!({"name": "write_it", "inputResponses": answered("decline")});
    let answer = broker.send(request(&broker, "tools/call", declined, &showing())).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "grant.missing"));
    assert_untouched(&broker, &upstream);
}
