//! 2026-07-28: the call comes back with what the person said.

use std::time::Duration;

use serde_json::{Value, json};

use super::modern::question;
use super::{answered, assert_untouched, raw, refused, request, showing, start};
use crate::broker::TestBroker;
use crate::sources::{grant, upstream};
use crate::upstream::{Upstream, eventually};

fn retry(broker: &TestBroker, action: &str) -> reqwest::RequestBuilder {
    let params = json!({"name": "echo", "inputResponses": answered(action)});
    request(broker, "tools/call", params, &showing())
}

fn seen(upstream: &Upstream) -> String {
    String::from_utf8(upstream.last().body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_yes_before_the_person_is_done_gets_the_same_question_again() {
    let upstream = upstream().await;
    let broker = start(&upstream, |settings| settings.connect_wait = Duration::ZERO).await;
    let first = broker.send(request(&broker, "tools/call", json!({"name": "echo"}), &showing())).await;
    let again = broker.send(retry(&broker, "accept")).await;
    assert_eq!(question(&again), question(&first));
    assert_eq!(refused(&broker), ["grant.missing", "grant.missing"]);
    assert_untouched(&broker, &upstream);
}

#[tokio::test]
async fn a_yes_waits_for_the_grant_and_goes_on_with_it() {
    let upstream = upstream().await;
    let mut broker = start(&upstream, |settings| settings.connect_wait = Duration::from_secs(60)).await;
    let waiting = tokio::spawn(retry(&broker, "accept").send());
    let gateway = broker.gateway.clone();
    eventually(|| (gateway.waiting() == 1).then_some(())).await;
    // Something else changes, and a grant comes about that does not cover the call: neither is it.
    broker.publish(|_| {});
    broker.publish(grant(&["notes.other"]));
    broker.publish(|state| state.grants[0].scopes = vec!["notes.read".to_owned()]);
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body, json!({"jsonrpc": "2.0", "id": 7, "result": {}}));
    assert_eq!(*broker.issuer.wishes.lock().unwrap(), ["grant echo alice notes.read"]);
    assert!(broker.connect.wishes().is_empty() && refused(&broker).is_empty());
    assert_eq!((upstream.count(), gateway.waiting()), (1, 0));
}

#[tokio::test]
async fn whoever_waits_is_decided_about_anew() {
    let upstream = upstream().await;
    let mut broker = start(&upstream, |settings| settings.connect_wait = Duration::from_secs(60)).await;
    let waiting = tokio::spawn(retry(&broker, "accept").send());
    let gateway = broker.gateway.clone();
    eventually(|| (gateway.waiting() == 1).then_some(())).await;
    broker.publish(|state| {
        grant(&["notes.read"])(state);
        // The binding is no more.
        state.revisions.remove(3);
    });
    assert_eq!(waiting.await.unwrap().unwrap().status(), 404);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_gateway_that_stops_or_is_full_of_waiting_calls_asks_again_at_once() {
    let upstream = upstream().await;
    let settle = |settings: &mut gateway_proxy::settings::Settings| {
        settings.connect_wait = Duration::from_secs(60);
        settings.concurrent_requests = 10;
    };
    let broker = start(&upstream, settle).await;
    let waiting = tokio::spawn(retry(&broker, "accept").send());
    eventually(|| (broker.gateway.waiting() == 1).then_some(())).await;
    let one_too_many = broker.send(retry(&broker, "accept")).await;
    assert_eq!(question(&one_too_many)["resultType"], "input_required");
    broker.gateway.drain();
    let body: Value = waiting.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(body["result"]["resultType"], "input_required");
}

#[tokio::test]
async fn a_no_ends_the_call_whether_or_not_there_is_a_grant_by_now() {
    let upstream = upstream().await;
    let mut broker = start(&upstream, |_| {}).await;
    for granted in [false, true] {
        if granted {
            broker.publish(grant(&["notes.read"]));
        }
        for action in ["decline", "cancel", "whatever"] {
            let answer = broker.send(retry(&broker, action)).await;
            assert_eq!((answer.status, answer.code().as_str()), (403, "grant.missing"), "{action}");
            let data = &answer.json()["error"]["data"];
            assert!(data["connect_url"].is_null() && !answer.text.contains("connect?"), "{data}");
        }
    }
    assert!(broker.connect.wishes().is_empty(), "who declined is not asked again");
    assert_untouched(&broker, &upstream);
}

#[tokio::test]
async fn the_server_sees_no_answer_to_a_question_that_it_has_not_asked() {
    let upstream = upstream().await;
    let mut broker = start(&upstream, |_| {}).await;
    broker.publish(grant(&["notes.read"]));
    let body = |answers: &str| {
        let meta = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
        format!(
            r#"{{ "jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"echo"{answers}, "_meta":{meta}, "x-unknown":1.0}}}}"#
        )
    };
    let own = r#""mcp-gateway/connect":{"action":"accept"}"#;
    for (sent, arrives) in [
        (format!(r#", "inputResponses": {{{own}}}"#), String::new()),
        (
            format!(r#", "inputResponses": {{"a" : 1,{own} , "b":[2.0]}}"#),
            r#", "inputResponses": {"a" : 1, "b":[2.0]}"#.to_owned(),
        ),
        // A state that the gateway never gave is for the server to judge.
        (
            format!(r#", "requestState":"made\u0020up", "inputResponses": {{{own}}}"#),
            r#", "requestState":"made\u0020up""#.to_owned(),
        ),
        // Not the gateway's: as it was written.
        (
            r#", "inputResponses": {"a":{"action":"decline"}}"#.to_owned(),
            r#", "inputResponses": {"a":{"action":"decline"}}"#.to_owned(),
        ),
        (
            format!(r#", "arguments":{{"inputResponses":{{{own}}}}}"#),
            format!(r#", "arguments":{{"inputResponses":{{{own}}}}}"#),
        ),
    ] {
        let answer =
            broker.send(raw(&broker, "alice-token", ("tools/call", Some("echo")), body(&sent))).await;
        assert_eq!(answer.status, 200, "{sent}: {}", answer.text);
        assert_eq!(seen(&upstream), body(&arrives), "{sent}");
    }
}

#[tokio::test]
async fn a_round_that_the_server_has_begun_is_not_broken_into() {
    let upstream = upstream().await;
    let broker = start(&upstream, |_| {}).await;
    let both = json!({"a": {"action": "accept"}, "mcp-gateway/connect": {"action": "accept"}});
    for round in [
        json!({"requestState": "the server's"}),
        json!({"inputResponses": {"a": {"action": "accept"}}}),
        json!({"inputResponses": both}),
        json!({"requestState": "tampered", "inputResponses": answered("accept")}),
    ] {
        let mut params = round.clone();
        params["name"] = json!("echo");
        let answer = broker.send(request(&broker, "tools/call", params, &showing())).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "grant.missing"), "{round}");
        assert!(answer.json()["error"]["data"]["connect_url"].is_string(), "{round}");
    }
    assert_untouched(&broker, &upstream);
}
