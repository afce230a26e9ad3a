//! What minted tokens say, and when they are forgotten.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::actor::UserIdentity;
use gateway_core::lease::SecretVersion;
use gateway_core::manifest::CredentialSource;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::time::Timestamp;
use serde_json::{Value, json};

use super::Minted;
use crate::signing::Signer;
use crate::source::tests::fixture::{Counting, Use, actor, agent, binding, text};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn minted() -> Minted {
    Minted::new(
        Arc::new(Signer::ephemeral(NOW).unwrap()),
        Arc::new(Counting::default()),
        "https://mcp.example/",
    )
}

fn issue(minted: &Minted, used: &Use, now: Timestamp) -> Result<Arc<SecretVersion>, Refusal> {
    let Some(CredentialSource::Minted(source)) = &used.permit.binding().spec.source else {
        panic!("no source")
    };
    minted.issue(&used.wish(now), source)
}

fn part(version: &SecretVersion, index: usize) -> Value {
    let token = text(&version.secret);
    let part = URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap();
    serde_json::from_slice(&part).unwrap()
}

fn claims(version: &SecretVersion) -> Value {
    part(version, 1)
}

fn by(name: &str, source: Value) -> Use {
    Use::new(
        &binding(json!({ "minted": source }), 1, |_| {}),
        actor(name),
        agent(name, json!([{"server": "tools"}])),
    )
}

#[test]
fn a_token_says_who_acts_where_with_which_tools_and_for_how_long() {
    let used = by("planner", json!({}));
    let version = issue(&minted(), &used, NOW).unwrap();
    let start = NOW.seconds();
    assert_eq!(part(&version, 0)["typ"], "mcpgw-minted+jwt");
    let expected = json!({
        "iss": "https://mcp.example", "aud": "https://tools.internal/mcp", "sub": "agent:planner",
        "agent": "planner", "owner_team": "planning", "tools": ["*"], "environment": "dev", "server": "tools",
        "binding": "main@1", "jti": "00000000000000000000000000000000", "iat": start, "nbf": start, "exp": start + 120,
    });
    assert_eq!(claims(&version), expected);
    assert_eq!(version.expires_at, Some(Timestamp::from_seconds(start + 120)));
    assert_eq!(version.version.as_str(), "00000000000000000000000000000000");
}

#[test]
fn the_user_is_the_subject_and_the_agent_acts() {
    let mut used = by("planner", json!({}));
    let actor = used.actor.as_mut().unwrap();
    actor.user = Some(UserIdentity { issuer: "https://idp".into(), subject: "alice".into() });
    actor.workload = Some("runner".parse().unwrap());
    let said = claims(&issue(&minted(), &used, NOW).unwrap());
    assert_eq!((&said["sub"], &said["act"]), (&json!("https://idp|alice"), &json!({"sub": "agent:planner"})));
    assert_eq!(said["workload"], "runner");
}

#[test]
fn tools_are_those_that_the_agent_owns_and_the_binding_covers_within_both_ceilings() {
    let listed = |owned: Value, covered: Option<Value>| {
        let binding = binding(json!({"minted": {}}), 1, |spec| {
            if let Some(covered) = covered {
                spec["tools"] = covered;
            }
        });
        let used = Use::new(&binding, actor("planner"), agent("planner", owned));
        claims(&issue(&minted(), &used, NOW).unwrap())["tools"].clone()
    };
    let owns =
        |tools: Value| json!([{"server": "tools", "tools": tools}, {"server": "other", "tools": ["else"]}]);
    assert_eq!(listed(owns(json!(["write_it", "echo", "drop_it"])), None), json!(["echo", "write_it"]));
    assert_eq!(
        listed(owns(json!(["echo", "write_it"])), Some(json!(["write_it", "look"]))),
        json!(["write_it"])
    );
    assert_eq!(listed(json!([{"server": "tools"}]), Some(json!(["look", "drop_it"]))), json!(["look"]));
    assert_eq!(listed(json!([{"server": "other"}]), Some(json!(["look"]))), json!([]));
    assert_eq!(listed(json!([]), None), json!(["*"]));
}

#[test]
fn a_token_serves_its_actor_until_a_quarter_of_its_life_is_left() {
    let (minted, used) = (minted(), by("planner", json!({"lifetime_seconds": 40})));
    let first = issue(&minted, &used, NOW).unwrap();
    let kept = issue(&minted, &used, NOW.plus(Duration::from_secs(29))).unwrap();
    assert!(Arc::ptr_eq(&first, &kept));
    let next = issue(&minted, &used, NOW.plus(Duration::from_secs(30))).unwrap();
    assert_ne!(claims(&first)["jti"], claims(&next)["jti"]);
}

#[test]
fn another_agent_another_revision_and_other_tools_get_tokens_of_their_own() {
    let minted = minted();
    let first = issue(&minted, &by("planner", json!({})), NOW).unwrap();
    let other = issue(&minted, &by("writer", json!({})), NOW).unwrap();
    assert_eq!(claims(&other)["agent"], "writer");
    let source = json!({"minted": {}});
    let revised = binding(source.clone(), 2, |_| {});
    let revised = Use::new(&revised, actor("planner"), agent("planner", json!([])));
    assert_eq!(claims(&issue(&minted, &revised, NOW).unwrap())["binding"], "main@2");
    let narrowed = agent("planner", json!([{"server": "tools", "tools": ["echo"]}]));
    let narrowed = Use::new(&binding(source, 1, |_| {}), actor("planner"), narrowed);
    let narrowed = issue(&minted, &narrowed, NOW).unwrap();
    assert_eq!(claims(&narrowed)["tools"], json!(["echo"]), "at once, not at the end of the former token");
    assert!(!Arc::ptr_eq(&first, &narrowed));
}

#[test]
fn refuses_an_actor_that_is_nobody_and_an_agent_that_is_gone() {
    let minted = minted();
    let mut nobody = by("planner", json!({}));
    nobody.actor = None;
    let mut unnamed = by("planner", json!({}));
    unnamed.actor = Some(gateway_core::actor::Actor::default());
    let mut gone = by("planner", json!({}));
    gone.agent = None;
    let mut mistaken = by("planner", json!({}));
    mistaken.agent = Some(agent("writer", json!([])));
    for used in [nobody, unnamed, gone, mistaken] {
        assert_eq!(issue(&minted, &used, NOW).unwrap_err().code(), Code::ReferenceRefused);
    }
}

#[test]
fn refuses_the_gateway_itself_as_the_audience() {
    for audience in ["https://mcp.example", "https://mcp.example/mcp/dev/tools"] {
        let refused = issue(&minted(), &by("planner", json!({"audience": audience})), NOW).unwrap_err();
        assert_eq!(refused.code(), Code::ReferenceRefused, "{audience}");
    }
    let other = by("planner", json!({"audience": "https://mcp.example.org"}));
    assert_eq!(claims(&issue(&minted(), &other, NOW).unwrap())["aud"], "https://mcp.example.org");
}

#[test]
fn ending_the_binding_or_the_agent_forgets_its_tokens() {
    let minted = minted();
    let (planner, writer) = (by("planner", json!({})), by("writer", json!({})));
    let first = issue(&minted, &planner, NOW).unwrap();
    let kept = issue(&minted, &writer, NOW).unwrap();
    assert_eq!(minted.end_agent(&"planner".parse().unwrap()).count, 1);
    assert!(!Arc::ptr_eq(&first, &issue(&minted, &planner, NOW).unwrap()));
    assert!(Arc::ptr_eq(&kept, &issue(&minted, &writer, NOW).unwrap()));
    let (environment, other) = ("dev".parse().unwrap(), "other".parse().unwrap());
    assert_eq!(minted.end_binding(&environment, &other).count, 0);
    assert_eq!(minted.end_binding(&environment, &"main".parse().unwrap()).count, 2);
    issue(&minted, &planner, NOW).unwrap();
    minted.sweep(NOW.plus(Duration::from_secs(90)));
    assert_eq!(minted.end_binding(&environment, &"main".parse().unwrap()).count, 0, "swept");
}

#[test]
fn a_token_that_the_server_refused_is_not_handed_out_again() {
    let (minted, used) = (minted(), by("planner", json!({})));
    let first = issue(&minted, &used, NOW).unwrap();
    minted.refused(&first.version);
    assert_ne!(claims(&issue(&minted, &used, NOW).unwrap())["jti"], claims(&first)["jti"]);
}
