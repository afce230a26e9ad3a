//! An agent's end: what runs for it is cut, what it holds is given back, nothing starts any more, and
//! nobody else notices.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway_core::actor::Groups;
use gateway_core::id::{AgentName, EnvironmentName};
use gateway_core::identity::{Entry, ProofKind, VerifiedClaims};
use gateway_core::ports::LiveTraffic;
use gateway_core::time::Timestamp;
use serde_json::{Value, json};

use crate::broker::{TestBroker, record};
use crate::sessions::{CALL, open};
use crate::upstream::{Upstream, events, json as answer};

const PATIENCE: Duration = Duration::from_secs(10);

fn agent(name: &str) -> AgentName {
    AgentName::parse(name).unwrap()
}

/// A data plane whose binding serves the agents `bot` and `helper`, each with its own token.
async fn broker(upstream: &Upstream, material: &Value) -> TestBroker {
    let bind = |binding: &mut Value| {
        binding.as_object_mut().unwrap().remove("secret");
        binding["mode"] = json!("agent_scoped");
        binding["actor"] = json!({"agents": ["bot", "helper"]});
        for (field, value) in material.as_object().unwrap() {
            binding[field] = value.clone();
        }
    };
    let mut broker = TestBroker::with(upstream.address, bind, |_| {}).await;
    for name in ["bot", "helper"] {
        broker.publish(|state| {
            let proof = json!({"confidential_client": {"issuer": "https://idp", "client_id": name}});
            let agent = json!({
                "kind": "Agent", "name": name, "environments": ["dev"], "owner": "team",
                "risk_ceiling": "write", "proofs": [proof], "tools": [{"server": "tools"}]
            });
            state.revisions.push(record(agent, 1));
        });
        let claims = VerifiedClaims {
            proof: ProofKind::Jwt,
            issuer: "https://idp".into(),
            subject: name.into(),
            user: None,
            groups: Groups::default(),
            client: Some(name.into()),
            act_subject: None,
            agent: None,
            attested: None,
            entries: vec![Entry { environment: EnvironmentName::parse("dev").unwrap(), servers: None }],
            expires_at: Timestamp::from_seconds(4_000_000_000),
        };
        broker.verifier.tokens.lock().unwrap().insert(format!("{name}-token"), claims);
    }
    broker
}

#[tokio::test]
async fn a_store_that_callers_open_themselves_is_asked_in_their_name_and_told_of_their_end() {
    let upstream = Upstream::start(|_| async { answer(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#) }).await;
    let broker = broker(&upstream, &json!({"secret": "local://a#b"})).await;
    broker.store.of_callers.store(true, std::sync::atomic::Ordering::SeqCst);
    let call = async |token: &str| {
        broker.modern(token, "tools/call", Some("echo")).send().await.unwrap().text().await.unwrap()
    };
    let refused = call("helper-token").await;
    assert!(refused.contains("store.denied"), "{refused}");
    assert_eq!(upstream.count(), 0, "what the store refuses does not get that far");
    let done = call("bot-token").await;
    assert!(done.contains("result"), "{done}");
    let sent = upstream.last().headers["authorization"].to_str().unwrap().to_owned();
    assert!(sent.starts_with("Bearer bot-"), "{sent}");
    // What the one was given serves nobody else afterwards.
    assert!(call("helper-token").await.contains("store.denied"));
    let ended = broker.gateway.end_agent(&agent("bot"), PATIENCE).await.unwrap();
    assert_eq!(ended.cached_values, 2);
    let callers = broker.store.callers.lock().unwrap().clone();
    assert_eq!(callers, ["helper dev", "bot dev", "helper dev", "bot ends"]);
}

fn minted() -> Value {
    json!({"source": {"minted": {}}})
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn an_agents_end_cuts_its_streams_and_nobody_elses() {
    let mut feeds = Vec::new();
    let mut answers = Vec::new();
    for _ in 0..2 {
        let (feed, response) = events();
        feeds.push(feed);
        answers.push(response);
    }
    let answers = Arc::new(Mutex::new(answers));
    let upstream = Upstream::start(move |_| {
        let response = answers.lock().unwrap().pop().unwrap_or_else(|| answer("{}"));
        async move { response }
    })
    .await;
    let broker = broker(&upstream, &minted()).await;
    let listen = |token: &str| broker.modern(token, "subscriptions/listen", None).send();
    // The last feed answers the first request.
    let mut cut = listen("bot-token").await.unwrap();
    let mut kept = listen("helper-token").await.unwrap();
    feeds[1].send("data: 1\n\n").unwrap();
    feeds[0].send("data: 1\n\n").unwrap();
    cut.chunk().await.unwrap().unwrap();
    kept.chunk().await.unwrap().unwrap();

    let ended = broker.gateway.end_agent(&agent("bot"), PATIENCE).await.unwrap();
    assert_eq!((ended.calls, ended.streams), (0, 1));
    let last = cut.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&last).contains("binding.ended"), "{last:?}");
    assert!(cut.chunk().await.unwrap().is_none());
    feeds[0].send("data: 2\n\n").unwrap();
    assert_eq!(&kept.chunk().await.unwrap().unwrap()[..], b"data: 2\n\n");
}

#[tokio::test]
async fn an_agents_end_cuts_the_call_that_waits_for_its_server() {
    let upstream = Upstream::start(|_| std::future::pending()).await;
    let broker = broker(&upstream, &minted()).await;
    let call = tokio::spawn(broker.modern("bot-token", "tools/call", Some("echo")).send());
    until("the server has the call", || upstream.count() == 1).await;
    let ended = broker.gateway.end_agent(&agent("bot"), PATIENCE).await.unwrap();
    assert_eq!((ended.calls, ended.streams), (1, 0));
    let text = call.await.unwrap().unwrap().text().await.unwrap();
    assert!(text.contains("binding.ended"), "{text}");
}

#[tokio::test]
async fn an_agent_that_has_ended_starts_nothing_even_under_an_older_decision() {
    let upstream = Upstream::start(|_| async { answer(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#) }).await;
    let broker = broker(&upstream, &minted()).await;
    let call = |token: &str| broker.send(broker.modern(token, "tools/call", Some("echo")));
    assert_eq!(call("bot-token").await.status, 200);
    // The snapshot still knows the agent: only its end stands in the way.
    broker.gateway.end_agent(&agent("bot"), PATIENCE).await.unwrap();
    assert_eq!(call("bot-token").await.code(), "binding.ended");
    assert_eq!(upstream.count(), 1);
    assert_eq!(broker.issuer.wishes.lock().unwrap().len(), 1, "no credential is asked for");
    assert_eq!(call("helper-token").await.status, 200);
    broker.gateway.admit_agent(&agent("bot"));
    assert_eq!(call("bot-token").await.status, 200);
}

#[tokio::test]
async fn an_agents_end_gives_back_what_was_issued_for_it() {
    let upstream = Upstream::start(|_| async { answer(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#) }).await;
    let broker = broker(&upstream, &minted()).await;
    assert_eq!(broker.send(broker.modern("bot-token", "tools/call", Some("echo"))).await.status, 200);
    let ended = broker.gateway.end_agent(&agent("bot"), PATIENCE).await.unwrap();
    assert_eq!(*broker.issuer.ended_agents.lock().unwrap(), ["bot"]);
    assert_eq!(ended.cached_values, 1, "what the issuer held");
}

#[tokio::test]
async fn an_agents_end_empties_the_cache_of_secrets_that_are_its_own() {
    let upstream = Upstream::start(|_| async { answer(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#) }).await;
    let broker = broker(&upstream, &json!({"secret": "local://agents/{agent.id}#key"})).await;
    for token in ["bot-token", "helper-token"] {
        assert_eq!(broker.send(broker.modern(token, "tools/call", Some("echo"))).await.status, 200);
    }
    let ended = broker.gateway.end_agent(&agent("bot"), PATIENCE).await.unwrap();
    assert_eq!(ended.cached_values, 1);
}

#[tokio::test]
async fn an_agents_end_ends_its_sessions_on_both_sides_and_nobody_elses() {
    let upstream = Upstream::start(|seen| async move {
        let mut response = answer(r#"{"jsonrpc":"2.0","id":0,"result":{}}"#);
        if seen.body.windows(10).any(|part| part == b"initialize") {
            response.headers_mut().insert("mcp-session-id", "upstream-session".parse().unwrap());
        }
        response
    })
    .await;
    let broker = broker(&upstream, &minted()).await;
    let (cut, kept) = (open(&broker, "bot-token").await, open(&broker, "helper-token").await);
    let ended = broker.gateway.end_agent(&agent("bot"), PATIENCE).await.unwrap();
    assert_eq!(ended.sessions, 1);
    assert_eq!(upstream.last().method, http::Method::DELETE);
    broker.gateway.admit_agent(&agent("bot"));
    let call = |token: &str, session: &str| {
        broker.send(broker.request(token, CALL).header("mcp-session-id", session))
    };
    assert_eq!(call("bot-token", &cut).await.code(), "session.unknown");
    assert_eq!(call("helper-token", &kept).await.status, 200);
}
