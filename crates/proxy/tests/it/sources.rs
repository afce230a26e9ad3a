//! Credential sources: who is asked for what, for whom, and what never gets that far.

use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway_core::actor::Groups;
use gateway_core::id::{BindingName, EnvironmentName, ProviderName};
use gateway_core::identity::{Entry, ProofKind, VerifiedClaims};
use gateway_core::ports::LiveTraffic;
use gateway_core::state::{GrantEnd, GrantEndReason, GrantRecord, State};
use gateway_core::time::Timestamp;
use serde_json::{Value, json};

use crate::broker::{TestBroker, record};
use crate::fakes::FakeIssuer;
use crate::upstream::{Upstream, json as answer};

pub async fn upstream() -> Upstream {
    Upstream::start(|_| async { answer(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#) }).await
}

pub fn source(mode: &str, source: Value) -> impl FnOnce(&mut Value) {
    let mode = mode.to_owned();
    move |binding| {
        binding.as_object_mut().unwrap().remove("secret");
        binding["mode"] = json!(mode);
        binding["source"] = source;
    }
}

pub fn grant_source() -> Value {
    let tools = json!([{"tools": ["write_it"], "scopes": ["notes.write"]}]);
    json!({"grant": {"provider": "notes", "scopes": ["notes.read"], "tool_scopes": tools}})
}

pub fn grant(scopes: &[&str]) -> impl FnOnce(&mut State) {
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    move |state| {
        state.grants.push(GrantRecord {
            id: "g1".into(),
            environment: EnvironmentName::parse("dev").unwrap(),
            provider: ProviderName::parse("notes").unwrap(),
            user: "https://idp|alice".into(),
            account: None,
            scopes,
            reference: "local://grants/g1#tokens".parse_reference(),
            created_at: Timestamp::from_seconds(0),
            ended: None,
        });
    }
}

trait ParseReference {
    fn parse_reference(&self) -> gateway_core::reference::SecretReference;
}

impl ParseReference for str {
    fn parse_reference(&self) -> gateway_core::reference::SecretReference {
        gateway_core::reference::SecretReference::parse(self).unwrap()
    }
}

#[tokio::test]
async fn a_grant_is_asked_for_the_tools_own_scopes_and_injected() {
    let upstream = upstream().await;
    let mut broker =
        TestBroker::with(upstream.address, source("user_delegated", grant_source()), |_| {}).await;
    broker.publish(grant(&["notes.read", "notes.write"]));
    assert_eq!(broker.call("write_it").await.status, 200);
    assert_eq!(broker.call("echo").await.status, 200);
    let wishes = broker.issuer.wishes.lock().unwrap().clone();
    assert_eq!(wishes, ["grant write_it alice notes.read,notes.write", "grant echo alice notes.read"]);
    let sent = upstream.last().headers["authorization"].to_str().unwrap().to_owned();
    assert_eq!(sent, format!("Bearer {}", FakeIssuer::value("alice")));
}

#[tokio::test]
async fn a_missing_ended_or_narrow_grant_is_refused_before_anything_is_asked() {
    let upstream = upstream().await;
    let mut broker =
        TestBroker::with(upstream.address, source("user_delegated", grant_source()), |_| {}).await;
    assert_eq!(broker.call("echo").await.code(), "grant.missing");
    broker.publish(grant(&["notes.read"]));
    assert_eq!(broker.call("echo").await.status, 200);
    assert_eq!(broker.call("write_it").await.code(), "grant.scope_missing");
    broker.publish(|state| {
        let end = GrantEnd { at: Timestamp::from_seconds(1), reason: GrantEndReason::Revoked };
        state.grants[0].ended = Some(end);
    });
    assert_eq!(broker.call("echo").await.code(), "grant.missing");
    assert_eq!(broker.issuer.wishes.lock().unwrap().len(), 1);
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn the_end_of_a_grant_cuts_what_runs_on_it_and_waits_for_it() {
    let upstream = Upstream::start(|_| async { std::future::pending().await }).await;
    let mut broker =
        TestBroker::with(upstream.address, source("user_delegated", grant_source()), |_| {}).await;
    broker.publish(grant(&["notes.read", "notes.write"]));
    let mut state = State::default();
    grant(&["notes.read"])(&mut state);
    let own = state.grants.remove(0);
    let another = GrantRecord { id: "g2".into(), ..own.clone() };
    let calls = async { tokio::join!(broker.call("echo"), broker.call("write_it"), broker.call("echo")) };
    let ending = async {
        while upstream.count() < 3 {
            tokio::task::yield_now().await;
        }
        let ended = broker.gateway.end_grant(&another, Duration::from_secs(5)).await.unwrap();
        assert_eq!((ended.calls, ended.streams), (0, 0), "another grant's end cuts nothing");
        broker.gateway.end_grant(&own, Duration::from_secs(5)).await.unwrap()
    };
    let (calls, ended) = tokio::join!(calls, ending);
    assert_eq!(ended.calls, 3);
    for refused in [calls.0, calls.1, calls.2] {
        assert_eq!(refused.code(), "grant.missing");
    }
}

#[tokio::test]
async fn only_an_exchange_gets_the_callers_own_token() {
    let exchange = json!({"token_exchange": {"token": {"provider": "notes"}}});
    let upstream = upstream().await;
    let broker = TestBroker::with(upstream.address, source("user_delegated", exchange), |_| {}).await;
    assert_eq!(broker.call("echo").await.status, 200);
    assert!(broker.issuer.presented.load(Ordering::SeqCst));

    let own = json!({"client_credentials": {"provider": "notes"}});
    let broker = TestBroker::with(upstream.address, source("service_account", own), |_| {}).await;
    assert_eq!(broker.call("echo").await.status, 200);
    assert!(!broker.issuer.presented.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_leased_user_goes_upstream_with_its_password_and_neither_comes_back() {
    let (user, password) = (FakeIssuer::account("alice"), FakeIssuer::value("alice"));
    let told = format!(r#"{{"jsonrpc":"2.0","id":7,"result":{{"user":"{user}","password":"{password}"}}}}"#);
    let leased = json!({"leased": {"role": "local://database/creds/reader#password"}});
    for (inject, header, sent) in [
        (
            json!({"basic": {"username_from": "lease"}}),
            "authorization",
            format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))),
        ),
        (
            json!({"header": "x-database", "format": "postgresql://{lease.username}:{secret}@db/notes"}),
            "x-database",
            format!("postgresql://{user}:{password}@db/notes"),
        ),
    ] {
        let answer_text = told.clone();
        let upstream = Upstream::start(move |_| {
            let text = answer_text.clone();
            async move { answer(&text) }
        })
        .await;
        let bind = |binding: &mut Value| {
            source("service_account", leased.clone())(binding);
            binding["inject"] = inject.clone();
        };
        let broker = TestBroker::with(upstream.address, bind, |_| {}).await;
        let said = broker.call("echo").await;
        assert_eq!(said.status, 200);
        assert_eq!(upstream.last().headers[header].to_str().unwrap(), sent);
        assert!(!said.text.contains(&user) && !said.text.contains(&password), "{}", said.text);
    }
}

#[tokio::test]
async fn the_end_of_a_binding_ends_what_was_issued_under_it() {
    let own = json!({"client_credentials": {"provider": "notes"}});
    let upstream = upstream().await;
    let broker = TestBroker::with(upstream.address, source("service_account", own), |_| {}).await;
    assert_eq!(broker.call("echo").await.status, 200);
    let (environment, binding) =
        (EnvironmentName::parse("dev").unwrap(), BindingName::parse("main").unwrap());
    let ended = broker.gateway.end(&environment, &binding, Duration::from_secs(5)).await.unwrap();
    assert_eq!(broker.issuer.ended.load(Ordering::SeqCst), 1);
    assert_eq!(ended.cached_values, 1);
}

#[tokio::test]
async fn an_agent_outside_its_own_tools_is_refused_before_anything_is_asked() {
    let upstream = upstream().await;
    let bind = |binding: &mut Value| {
        source("agent_scoped", json!({"minted": {}}))(binding);
        binding["actor"] = json!({"agents": ["bot"]});
    };
    let mut broker = TestBroker::with(upstream.address, bind, |_| {}).await;
    broker.publish(|state| {
        let agent = json!({
            "kind": "Agent", "name": "bot", "environments": ["dev"], "owner": "team", "risk_ceiling": "write",
            "proofs": [{"confidential_client": {"issuer": "https://idp", "client_id": "bot-client"}}],
            "tools": [{"server": "tools", "tools": ["echo"]}]
        });
        state.revisions.push(record(agent, 1));
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
    let call = |tool: &str| broker.modern("bot-token", "tools/call", Some(tool));
    assert_eq!(broker.send(call("echo")).await.status, 200);
    let refused = broker.send(call("write_it")).await;
    assert_eq!(refused.code(), "tool.unknown");
    assert_eq!(*broker.issuer.wishes.lock().unwrap(), ["minted echo nobody "]);
    assert_eq!(upstream.count(), 1);
}
