//! Mistakes in the configuration.

use super::super::{OperatorIssuerConfig, validate_doors, validate_issuers};
use super::*;

fn issuer(json: Value) -> IssuerConfig {
    serde_json::from_value(json).unwrap()
}

fn fields(configs: &[IssuerConfig]) -> Vec<&'static str> {
    validate_issuers(configs, &public_url()).into_iter().map(|issue| issue.field).collect()
}

#[test]
fn takes_the_shorthand_for_our_own_urls_only() {
    let entry = |audience: &str| {
        let config = issuer(json!({"issuer": "https://idp.internal", "audience": audience}));
        config.audiences(&public_url()).ok().map(|mut list| {
            let audience = list.remove(0);
            (audience.environment.to_string(), audience.servers.map(|servers| servers.len()))
        })
    };
    assert_eq!(entry("http://127.0.0.1:8080/mcp/dev/github"), Some(("dev".into(), Some(1))));
    assert_eq!(entry("http://127.0.0.1:8080/mcp/dev"), Some(("dev".into(), None)));
    for wrong in [
        "http://127.0.0.1:8080/mcp/dev/github/x",
        "http://127.0.0.1:8080/mcp/dev/",
        "http://127.0.0.1:8080/mcp/",
        "http://127.0.0.1:8080/other/dev",
        "http://127.0.0.1:80801/mcp/dev",
        "https://127.0.0.1:8080/mcp/dev",
        "api://mcp",
    ] {
        assert_eq!(entry(wrong), None, "{wrong}");
    }
}

#[test]
fn one_audience_never_opens_two_environments() {
    let audience = |environment: &str| json!({"value": "api://mcp", "environment": environment});
    let one = |list: Value| issuer(json!({"issuer": "https://idp.internal", "audiences": list}));
    assert_eq!(fields(&[one(json!([audience("dev"), audience("production")]))]), ["audiences"]);
    let mut second = one(json!([audience("production")]));
    second.issuer = "https://other.internal".into();
    assert_eq!(fields(&[one(json!([audience("dev")])), second]), ["audiences"]);
    let servers = json!([
        {"value": "api://mcp", "environment": "dev", "servers": ["a"]},
        {"value": "api://mcp", "environment": "dev", "servers": ["b"]},
    ]);
    assert!(fields(&[one(servers)]).is_empty());
}

#[test]
fn names_every_mistake_at_once() {
    let bad = issuer(json!({
        "issuer": "http://idp.internal", "jwks_url": "http://idp.internal/keys", "algorithms": [],
        "leeway_seconds": 61, "token_types": [], "subject_claim": "email"
    }));
    let found = fields(&[bad]);
    for field in
        ["issuer", "jwks_url", "algorithms", "leeway_seconds", "token_types", "subject_claim", "audiences"]
    {
        assert!(found.contains(&field), "{field}: {found:?}");
    }
    let both = issuer(json!({"issuer": "https://idp.internal", "preset": "entra", "subject_claim": "sub",
        "audience": AUDIENCE, "audiences": [{"value": "x", "environment": "dev"}]}));
    assert_eq!(
        fields(&[both.clone(), both]),
        ["subject_claim", "audience", "subject_claim", "issuer", "audience"]
    );
}

#[test]
fn symmetric_algorithms_and_none_cannot_be_written() {
    for algorithm in ["HS256", "HS384", "HS512", "none", "None", ""] {
        let config = json!({"issuer": "https://idp.internal", "algorithms": [algorithm]});
        assert!(serde_json::from_value::<IssuerConfig>(config).is_err(), "{algorithm}");
    }
    let unknown = json!({"issuer": "https://idp.internal", "verify": false});
    assert!(serde_json::from_value::<IssuerConfig>(unknown).is_err());
}

#[test]
fn an_audience_opens_one_door_only() {
    let agents = issuer(json!({"issuer": "https://idp.internal", "audience": AUDIENCE}));
    let operators = |audience: &str, roles: Value| -> OperatorIssuerConfig {
        serde_json::from_value(
            json!({"issuer": "https://idp.internal", "audience": audience, "roles": roles}),
        )
        .unwrap()
    };
    let check = |config: OperatorIssuerConfig| -> Vec<_> {
        let found = validate_doors(std::slice::from_ref(&agents), &[config], &public_url());
        found.into_iter().map(|issue| issue.field).collect()
    };
    let alice = json!([{"role": "admin", "subject": "alice"}]);
    assert!(check(operators("https://control", alice.clone())).is_empty());
    assert_eq!(check(operators(AUDIENCE, alice)), ["audience"]);
    assert_eq!(check(operators("c", json!([]))), ["roles"]);
    assert_eq!(check(operators("c", json!([{"role": "admin"}]))), ["roles"]);
    assert_eq!(check(operators("c", json!([{"role": "admin", "group": "g"}]))), ["groups_claim"]);
}

#[test]
fn a_missing_authority_file_is_named() {
    let mut config = issuer(json!({"issuer": "https://idp.internal", "audience": AUDIENCE}));
    config.ca_file = Some("does-not-exist.pem".into());
    assert_eq!(OidcVerifier::new(&[config], &public_url()).unwrap_err()[0].field, "ca_file");
}
