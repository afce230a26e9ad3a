use super::*;

fn read<T: serde::de::DeserializeOwned>(json: serde_json::Value) -> Result<T, String> {
    serde_json::from_value(json).map_err(|error| error.to_string())
}

fn inject(json: serde_json::Value) -> Result<Injection, String> {
    read(json)
}

#[test]
fn injection_takes_exactly_one_point_and_no_framing_header() {
    assert!(inject(serde_json::json!({"header": "X-Api-Key"})).is_ok());
    assert!(inject(serde_json::json!({"header": "Authorization", "format": "Bearer {secret}"})).is_ok());
    assert!(inject(serde_json::json!({"basic": {"user": "svc"}})).is_ok());
    assert!(inject(serde_json::json!({"basic": {"username_from": "lease"}})).is_ok());
    let url = "postgresql://{lease.username}:{secret}@db/notes";
    assert!(inject(serde_json::json!({"environment": "DATABASE_URL", "format": url})).is_ok());
    assert!(inject(serde_json::json!({"environment": "API_KEY"})).is_ok());
    assert!(inject(serde_json::json!({"environment": "HEADERS", "format": "{\"k\":\"{secret}\"}"})).is_ok());
    assert!(inject(serde_json::json!({"file": "KEY_FILE"})).is_ok());
    for bad in [
        serde_json::json!({}),
        serde_json::json!({"header": "Host"}),
        serde_json::json!({"header": "Mcp-Name"}),
        serde_json::json!({"header": "A B"}),
        serde_json::json!({"header": "X", "query": "k"}),
        serde_json::json!({"header": "X", "format": "Bearer"}),
        serde_json::json!({"header": "X", "format": "{secret}{secret}"}),
        serde_json::json!({"header": "X", "format": "a\r\n{secret}"}),
        serde_json::json!({"basic": {"user": "a:b"}}),
        serde_json::json!({"basic": {}}),
        serde_json::json!({"basic": {"user": "svc", "username_from": "lease"}}),
        serde_json::json!({"basic": {"username_from": "store"}}),
        serde_json::json!({"header": "x-a", "format": "{lease.username}{lease.username}{secret}"}),
        serde_json::json!({"header": "x-a", "format": "{lease.username}"}),
        serde_json::json!({"query": "a&b"}),
        serde_json::json!({"environment": "LD_PRELOAD"}),
        serde_json::json!({"environment": "NODE_OPTIONS"}),
        serde_json::json!({"environment": "A=B"}),
        serde_json::json!({"environment": ""}),
        serde_json::json!({"file": "1ST"}),
        serde_json::json!({"file": "A", "environment": "B"}),
        serde_json::json!({"basic": {"user": "svc"}, "format": "{secret}"}),
        serde_json::json!({"header": "X", "vault": "y"}),
    ] {
        assert!(inject(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn tools_without_a_default_risk_are_refused() {
    assert!(read::<ToolRisks>(serde_json::json!({"list": "read"})).is_err());
    let risks: ToolRisks = read(serde_json::json!({"default_risk": "write", "list": "read"})).unwrap();
    assert_eq!(risks.of("list"), Risk::Read);
    assert_eq!(risks.of("anything"), Risk::Write);
}

#[test]
fn production_always_needs_an_approver() {
    let spec: EnvironmentSpec =
        read(serde_json::json!({"name": "production", "tier": "production"})).unwrap();
    assert_eq!(spec.required_approvals(), 1);
    assert!(!spec.allows_agent_tokens());
}

#[test]
fn a_spec_survives_json_and_keeps_its_hash() {
    let json = serde_json::json!({
        "kind": "Binding", "name": "b", "environment": "dev", "server": "s", "tools": ["x"],
        "actor": {"agents": ["a"]}, "mode": "service_account", "secret": "local://x#y",
        "inject": {"header": "authorization", "format": "Bearer {secret}"},
        "policy": "p", "risk": "write", "owner": "t"
    });
    let spec: Spec = read(json).unwrap();
    let again: Spec = read(serde_json::to_value(&spec).unwrap()).unwrap();
    assert_eq!(spec.content_hash(), again.content_hash());
    assert_eq!(spec.key().to_string(), "Binding/dev/b");
}
