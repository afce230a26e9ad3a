//! OCSF 1.8.0: uses of credentials are API Activity (6003), operators' acts Entity Management (3004),
//! logins Authentication (3002), the gateway's own life Application Lifecycle (6002). What has no name
//! there stays under `unmapped`, so that nothing is lost.

use serde_json::{Map, Value, json};

use super::{Place, plain, position, word};
use crate::audit::{Decision, Event};
use crate::manifest::Risk;

const VERSION: &str = "1.8.0";
const PRODUCT: &str = "mcp-gateway";
/// What OCSF calls anything that its list does not name.
const OTHER: u32 = 99;

/// A class and what was done, in its numbers.
struct Class {
    uid: u32,
    activity: u32,
}

/// The event as an OCSF object.
pub(super) fn record(event: &Event, place: &Place, version: &str) -> Value {
    let kind = word(event);
    let class = class(event, &kind);
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    put("class_uid", json!(class.uid));
    put("category_uid", json!(class.uid / 1_000));
    put("activity_id", json!(class.activity));
    put("type_uid", json!(class.uid.saturating_mul(100).saturating_add(class.activity)));
    if class.activity == OTHER {
        put("activity_name", json!(kind));
    }
    put("time", json!(event.time.micros().div_euclid(1_000)));
    put("severity_id", json!(severity(event, &kind)));
    put("message", json!(kind.replace('_', " ")));
    let status = status(event, &kind);
    put("status_id", json!(status));
    if let Some(reason) = &event.reason {
        put("status_code", json!(reason));
    }
    if let Some(count) = event.count.filter(|_| kind == "refused_unidentified") {
        put("count", json!(count));
    }
    put("metadata", metadata(event, place, &kind, version));
    put("actor", actor(event));
    if let Some(address) = event.source_address {
        put("src_endpoint", json!({"ip": address}));
    } else if class.uid == 6003 {
        put("src_endpoint", json!({"svc_name": caller(event)}));
    }
    match class.uid {
        6002 => put("app", product(version)),
        3002 => {
            put("user", user(event));
            put("service", json!({"name": PRODUCT}));
        }
        3004 => put("entity", entity(event, &kind)),
        _ => {
            put("api", api(event, &kind));
            if let Some(server) = &event.server {
                put("dst_endpoint", json!({"svc_name": server}));
            }
            let resources = resources(event);
            if !resources.is_empty() {
                put("resources", Value::Array(resources));
            }
        }
    }
    put("unmapped", json!({"position": position(place), "event": plain(event)}));
    Value::Object(fields)
}

fn class(event: &Event, kind: &str) -> Class {
    let (uid, activity) = match kind {
        "started" => (6002, 3),
        "stopped" => (6002, 4),
        "operator_login" | "person_login" | "login_refused" => (3002, 1),
        "refresh_family_ended" => (3002, 2),
        "access_token_issued" => (3002, OTHER),
        "object_written" if event.revision.is_some_and(|revision| revision.0 <= 1) => (3004, 1),
        "object_written" | "object_approved" | "object_status" | "binding_rotated" | "rotation_refused"
        | "review_signed" | "binding_reviewed" | "secret_stored" | "grant_refreshed"
        | "audit_key_rotated" => (3004, 3),
        "agent_token_issued"
        | "bootstrap_token_issued"
        | "grant_requested"
        | "grant_created"
        | "client_registered"
        | "lock_created" => (3004, 1),
        "secret_checked" => (3004, 2),
        "binding_revoked"
        | "revocation_completed"
        | "agent_token_revoked"
        | "session_terminated"
        | "grant_ended"
        | "audit_truncated"
        | "lock_lifted"
        | "lock_expired" => (3004, 4),
        "intent" | "outcome" | "outcome_unknown" | "refused" => (6003, used(event)),
        _ if event.operator.is_some() && event.object.is_some() => (3004, OTHER),
        _ => (6003, OTHER),
    };
    Class { uid, activity }
}

/// The tool's risk says what a call of it may do there.
fn used(event: &Event) -> u32 {
    match event.risk {
        Some(Risk::Read) => 2,
        Some(Risk::Write) => 3,
        Some(Risk::Destructive) => 4,
        None => OTHER,
    }
}

/// 1 informational, 2 low, 3 medium.
fn severity(event: &Event, kind: &str) -> u32 {
    match kind {
        "operator_refused" | "login_refused" | "outcome_unknown" | "rotation_refused" | "review_overdue"
        | "binding_revoked" | "audit_truncated" => 3,
        _ if event.decision == Some(Decision::Deny) => 2,
        _ => 1,
    }
}

/// 1 success, 2 failure, 0 unknown.
fn status(event: &Event, kind: &str) -> u32 {
    let failed = event
        .outcome
        .as_ref()
        .is_some_and(|outcome| outcome.aborted || outcome.upstream_status.is_none_or(|status| status >= 400));
    let refused = matches!(kind, "refused" | "refused_unidentified");
    if kind == "outcome_unknown" || kind == "intent" {
        0
    } else if failed || refused || kind.ends_with("_refused") || event.decision == Some(Decision::Deny) {
        2
    } else {
        1
    }
}

fn metadata(event: &Event, place: &Place, kind: &str, version: &str) -> Value {
    let uid = match place.chain {
        Some(chain) => format!("{chain}:{}", place.sequence.0),
        None => place.sequence.0.to_string(),
    };
    let mut metadata = json!({
        "version": VERSION, "product": product(version), "uid": uid, "event_code": kind,
        "sequence": place.sequence, "original_time": event.time.to_string(), "log_name": "audit",
    });
    if let (Some(request), Some(fields)) = (&event.request_id, metadata.as_object_mut()) {
        fields.insert("correlation_uid".to_owned(), json!(request));
    }
    metadata
}

fn product(version: &str) -> Value {
    json!({"name": PRODUCT, "vendor_name": PRODUCT, "version": version})
}

/// Who acted: never a display name. Where nobody did, it was the gateway itself.
fn actor(event: &Event) -> Value {
    let mut fields = Map::new();
    if event.user.is_some() || event.operator.is_some() {
        fields.insert("user".to_owned(), user(event));
    }
    if let Some(agent) = &event.agent {
        fields.insert("app_name".to_owned(), json!(agent));
    } else if let Some(surface) = &event.surface {
        fields.insert("app_name".to_owned(), json!(surface));
    }
    if let Some(workload) = &event.workload {
        fields.insert("app_uid".to_owned(), json!(workload));
    }
    if let Some(session) = &event.session {
        fields.insert("session".to_owned(), json!({"uid": session}));
    }
    if fields.is_empty() {
        fields.insert("app_name".to_owned(), json!(PRODUCT));
    }
    Value::Object(fields)
}

fn user(event: &Event) -> Value {
    match (&event.operator, &event.user) {
        (Some(operator), _) => json!({"uid": operator, "type_id": 2, "type": "Admin"}),
        (None, Some(user)) => json!({"uid": user, "type_id": 1, "type": "User"}),
        (None, None) => json!({"name": "unknown", "type_id": 0, "type": "Unknown"}),
    }
}

fn caller(event: &Event) -> String {
    let named = event.agent.as_ref().map(ToString::to_string);
    let named = named.or_else(|| event.workload.as_ref().map(ToString::to_string));
    named.or_else(|| event.surface.clone()).unwrap_or_else(|| PRODUCT.to_owned())
}

fn api(event: &Event, kind: &str) -> Value {
    let mut fields = Map::new();
    let operation = event.method.clone().unwrap_or_else(|| kind.to_owned());
    fields.insert("operation".to_owned(), json!(operation));
    if let Some(request) = &event.request_id {
        fields.insert("request".to_owned(), json!({"uid": request}));
    }
    if let Some(server) = &event.server {
        fields.insert("service".to_owned(), json!({"name": server}));
    }
    if let Some(environment) = &event.environment {
        fields.insert("group".to_owned(), json!({"name": environment}));
    }
    if let Some(status) = event.outcome.as_ref().and_then(|outcome| outcome.upstream_status) {
        fields.insert("response".to_owned(), json!({"code": status}));
    } else if let Some(reason) = &event.reason {
        fields.insert("response".to_owned(), json!({"error": reason}));
    }
    Value::Object(fields)
}

fn resources(event: &Event) -> Vec<Value> {
    let tool = event.tool.as_ref().map(|tool| json!({"type": "tool", "name": tool}));
    let binding = event.binding.as_ref().map(
        |binding| json!({"type": "binding", "name": binding.name, "version": binding.revision.to_string()}),
    );
    tool.into_iter().chain(binding).collect()
}

/// What an act was about.
fn entity(event: &Event, kind: &str) -> Value {
    if let Some(object) = &event.object {
        let mut entity = json!({"type": object.kind.word(), "name": object.name, "uid": object.to_string()});
        if let (Some(revision), Some(fields)) = (event.revision, entity.as_object_mut()) {
            fields.insert("version".to_owned(), json!(revision.to_string()));
        }
        return entity;
    }
    if let Some(binding) = &event.binding {
        let version = binding.revision.to_string();
        return json!({"type": "Binding", "name": binding.name, "version": version});
    }
    let named = [
        ("Lock", event.lock.clone()),
        ("Grant", event.grant.clone()),
        ("SecretReference", event.reference.as_ref().map(ToString::to_string)),
        ("Session", event.session.clone()),
        ("Provider", event.provider.as_ref().map(ToString::to_string)),
        ("Agent", event.agent.as_ref().map(ToString::to_string)),
    ];
    let found = named.into_iter().find_map(|(kind, name)| Some((kind, name?)));
    match found {
        Some((of, name)) => json!({"type": of, "name": name}),
        None => json!({"type": kind, "name": PRODUCT}),
    }
}
