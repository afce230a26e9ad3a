//! The state that the control plane would have written: one server, one policy, one binding.

use std::collections::BTreeMap;

use std::net::SocketAddr;

use gateway_bench::{Failure, UPSTREAM_PATH};
use gateway_core::id::{Epoch, OperatorName, Revision};
use gateway_core::manifest::{ContentHash, Spec};
use gateway_core::state::{Lifecycle, Pins, RevisionRecord, State};
use gateway_core::time::Timestamp;
use serde_json::{Value, json};

pub(crate) fn state(upstream: SocketAddr) -> Result<State, Failure> {
    let cedar = "permit (principal, action == Action::\"call_tool\", resource)\n\
                 when { context.risk != \"destructive\" };";
    let policy: Spec = serde_json::from_value(
        json!({"kind": "Policy", "name": "bench", "environment": "dev", "cedar": cedar}),
    )?;
    let hash = policy.content_hash();
    let revisions = vec![
        record(json!({"kind": "Environment", "name": "dev"}), None)?,
        record(server(upstream), None)?,
        record(serde_json::to_value(&policy)?, None)?,
        record(binding(), Some(hash))?,
    ];
    let mut state = State { epoch: Epoch(1), revisions, ..State::default() };
    state.put_in_order();
    Ok(state)
}

fn server(upstream: SocketAddr) -> Value {
    json!({
        "kind": "Server", "name": "echo", "environment": "dev", "owner": "bench",
        "route": {"url": format!("http://{upstream}{UPSTREAM_PATH}"), "addresses": ["loopback"]},
        "tools": {"default_risk": "write", "echo": "read"}
    })
}

fn binding() -> Value {
    json!({
        "kind": "Binding", "name": "bench-echo", "environment": "dev", "server": "echo",
        "tools": ["echo"], "actor": {"groups": ["bench"]}, "mode": "service_account",
        "secret": "local://bench#token",
        "inject": {"header": "authorization", "format": "Bearer {secret}"},
        "policy": "bench", "risk": "write", "owner": "bench"
    })
}

fn record(spec: Value, policy: Option<ContentHash>) -> Result<RevisionRecord, Failure> {
    let spec: Spec = serde_json::from_value(spec)?;
    Ok(RevisionRecord {
        key: spec.key(),
        revision: Revision(1),
        content: spec.content_hash(),
        spec,
        status: Lifecycle::Active,
        author: OperatorName::parse("bench")?,
        created_at: Timestamp::from_seconds(0),
        changed_at: Timestamp::from_seconds(0),
        approvals: Vec::new(),
        pins: policy.map(|policy_hash| Pins {
            server: Revision(1),
            policy: Revision(1),
            policy_hash,
            providers: BTreeMap::new(),
        }),
    })
}
