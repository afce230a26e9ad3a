//! What the OpenAPI document says of every route, beside what each says of itself: the shapes of the answers
//! (`answers.json`, `schemas.json`), the refusals (RFC 9457), and the parameters and headers that mean the same
//! everywhere.

use gateway_core::audit::{Decision, EventKind};
use gateway_core::lifecycle::rule;
use gateway_core::manifest::Kind;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::review::ReviewStage;
use gateway_core::state::Lifecycle;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::idempotency::takes_key;
use crate::ports::AuditOrder;
use crate::problem::Problem;

mod manifests;
mod operation;

use manifests::manifests;
use operation::Operation;

/// Schemas by name: of every answer, and of the requests whose types cannot say everything.
const SCHEMAS: &str = include_str!("schemas.json");
/// The schema of each good answer, by operation and status.
const ANSWERS: &str = include_str!("answers.json");
/// With what one goes on after an answer, and which of its fields that takes.
const LINKS: &str = include_str!("links.json");
/// An entity tag in a header.
const TAG: &str = "^([*]|\"[a-z0-9-]{1,64}\")$";

/// Every refusal that an operation can answer with, and when.
const REFUSALS: [(u16, &str); 14] = [
    (400, "Not of the documented form"),
    (401, "No operator's token, or not a good one"),
    (403, "No role for it, or one's own work"),
    (404, "There is no such thing that one may see"),
    (409, "It is not in the state for this, or was asked for before under this key"),
    (412, "It has changed since it was read; `etag` says how it stands"),
    (413, "The body is too large"),
    (415, "The body is not JSON"),
    (422, "Of the documented form, and against a rule"),
    (429, "Too many for now"),
    (500, "A fault of the gateway's own"),
    (502, "An outside party refused it; nothing was changed"),
    (
        503,
        "A part that is needed does not answer, or it is written and not in force everywhere; `code` says which",
    ),
    (504, "An outside party did not answer in time"),
];

/// The whole document.
pub(crate) fn completed(api: &utoipa::openapi::OpenApi) -> Value {
    let mut document = serde_json::to_value(api).unwrap_or_default();
    let tables = Tables { answers: parsed(ANSWERS), links: parsed(LINKS) };
    if let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) {
        for (path, item) in paths {
            for (method, operation) in item.as_object_mut().into_iter().flatten() {
                if let Some(fields) = operation.as_object_mut() {
                    complete(&method.to_uppercase(), path, fields, &tables);
                }
            }
        }
    }
    let components =
        document.as_object_mut().map(|document| document.entry("components").or_insert(json!({})));
    if let Some(components) = components.and_then(Value::as_object_mut) {
        components.insert("responses".to_owned(), refusals());
        components.insert("headers".to_owned(), headers());
        let schemas = components.entry("schemas").or_insert(json!({}));
        if let Some(schemas) = schemas.as_object_mut() {
            schemas.extend(manifests());
            schemas.extend(parsed(SCHEMAS));
            schemas.insert("Lifecycle".to_owned(), words::<Lifecycle>());
        }
    }
    document
}

/// What the tables say of operations, by their names.
struct Tables {
    answers: Map<String, Value>,
    links: Map<String, Value>,
}

fn complete(method: &str, path: &str, fields: &mut Map<String, Value>, tables: &Tables) {
    let name = format!("{method} {path}");
    let mut operation = Operation { method, path, fields };
    operation.name();
    operation.parameters(parameter);
    if path.starts_with("/v1/") {
        let if_match = acts_on_one(method, path);
        let reads_one = matches!(
            path,
            "/v1/bindings/{environment}/{name}"
                | "/v1/objects/{kind}/{environment}/{name}"
                | "/v1/locks/{id}"
        );
        let key = takes_key(method, path);
        let tag = json!({"type": "string", "format": "entity-tag", "pattern": TAG, "example": "\"3-0f1e2d3c4b5a6978\""});
        for (says, name, schema, about) in [
            (
                if_match,
                "If-Match",
                tag.clone(),
                "Act only where it still is as it was read: the `etag` in double quotes, or `*`",
            ),
            (
                method == "GET" && reads_one,
                "If-None-Match",
                tag.clone(),
                "Answer 304 where it still is as it was read",
            ),
            (
                key,
                "Idempotency-Key",
                json!({"type": "string", "pattern": "^[A-Za-z0-9._:-]{8,128}$", "example": "8e03978e-40d5-43dd-bc93-6894a57f9324"}),
                "Sent again with the same key, the request is done once and answered alike, for a day",
            ),
        ] {
            if says {
                operation.header(name, schema, about);
            }
        }
        operation.refusals(if_match, method == "GET" && reads_one, key);
    }
    operation.answers(tables.answers.get(&name), tables.links.get(&name));
}

/// Whether the act is on one thing that has a tag.
fn acts_on_one(method: &str, path: &str) -> bool {
    let word = path.rsplit('/').next().unwrap_or_default();
    let acts = ["approve", "review", "disable", "enable", "revoke", "rotate", "lift"];
    method == "POST" && path.contains('{') && acts.contains(&word)
}

/// What a parameter takes, where its name says it.
fn parameter(path: &str, place: &str, name: &str) -> Option<Value> {
    let whole = |most: u64| json!({"type": "integer", "minimum": 0, "maximum": most});
    let tagged = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let audit = path.starts_with("/v1/audit");
    let limit = if audit || path == "/v1/revocations" { 1_000 } else { 500 };
    Some(match (place, name) {
        ("path", "environment") if path.starts_with("/v1/objects/") => {
            json!({"type": "string", "description": "`-` where the kind has none", "pattern": "^(-|[a-z]([a-z0-9-]{0,61}[a-z0-9])?)$"})
        }
        ("path", "environment" | "name") => tagged("Name"),
        ("path", "kind") => {
            json!({"type": "string", "enum": Kind::ALL.map(|kind| kind.word().to_lowercase())})
        }
        ("path", "id") => json!({"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,128}$"}),
        ("query", "limit") => json!({"type": "integer", "minimum": 1, "maximum": limit}),
        ("query", "cursor" | "after" | "before") if audit => whole(u64::MAX),
        ("query", "minutes") => json!({"type": "integer", "minimum": 1, "maximum": 10_080}),
        ("query", "days") => json!({"type": "integer", "minimum": 1, "maximum": 366}),
        ("query", "cursor") => tagged("Cursor"),
        ("query", "revision") if path.ends_with("/effect") => tagged("Revision"),
        ("query", "environment")
            if audit || is_kind(path) || path.ends_with("/calls") || path == "/v1/summary" =>
        {
            tagged("Name")
        }
        ("query", "environment" | "server" | "agent" | "workload") if path.starts_with("/v1/access/") => {
            tagged("Name")
        }
        ("query", "tool") if path.starts_with("/v1/access/") => tagged("ToolName"),
        ("query", "group") if path.starts_with("/v1/access/") => tagged("GroupName"),
        ("query", "status") if !audit => tagged("Lifecycle"),
        ("query", "review") => words::<ReviewStage>(),
        ("query", "kind") => words::<EventKind>(),
        ("query", "decision") => words::<Decision>(),
        ("query", "order") => words::<AuditOrder>(),
        ("query", "from" | "until") => json!({"type": "string", "format": "date-time"}),
        _ => return None,
    })
}

fn is_kind(path: &str) -> bool {
    ["servers", "agents", "policies", "environments", "workloads", "providers"]
        .iter()
        .any(|kind| path.strip_prefix("/v1/") == Some(kind))
}

fn refusals() -> Value {
    let refusals = REFUSALS.iter().map(|(status, about)| {
        let schema = json!({"$ref": "#/components/schemas/Problem"});
        let example = problem(*status).as_ref().map(Problem::shown);
        let content = json!({"application/problem+json": {"schema": schema, "example": example}});
        let mut answer = json!({"description": about, "content": content});
        if let (true, Some(answer)) = (matches!(status, 429 | 503), answer.as_object_mut()) {
            answer.insert(
                "headers".to_owned(),
                json!({"Retry-After": {"$ref": "#/components/headers/Retry-After"}}),
            );
        }
        (format!("Refused{status}"), answer)
    });
    Value::Object(refusals.collect())
}

/// A refusal with this status, as it is answered.
fn problem(status: u16) -> Option<Problem> {
    Some(match status {
        400 => Problem::malformed("a value has the wrong type or form: expected a whole number"),
        401 => Problem::unauthenticated("no bearer token was sent"),
        403 => Problem::new(&rule::OPERATOR_FORBIDDEN, "this takes the role `approver`"),
        404 => Problem::new(&rule::OBJECT_UNKNOWN, "no such object"),
        409 => Problem::new(
            &rule::IDEMPOTENCY_UNFINISHED,
            "the first request with this key has not been answered",
        ),
        412 => Problem::new(&rule::OBJECT_CHANGED, "it has changed since it was read"),
        413 => Problem::too_large(),
        415 => Problem::content_type(),
        422 => Problem::new(&rule::PAGE_CURSOR, "this is no cursor of this list"),
        429 => Problem::new(&rule::IDEMPOTENCY_FULL, "no further keys are kept now"),
        500 => Problem::senseless(),
        502 => Refusal::new(Code::UpstreamUnreachable).into(),
        503 => Problem::busy(),
        504 => Refusal::new(Code::UpstreamTimeout).into(),
        _ => return None,
    })
}

fn headers() -> Value {
    json!({
        "ETag": {"description": "How the thing stands (RFC 9110, section 8.8.3)", "schema": {"type": "string"}},
        "Link": {"description": "`rel=\"next\"`: the page after this one (RFC 8288)", "schema": {"type": "string"}},
        "Retry-After": {"description": "Seconds after which to try again", "schema": {"type": "string"}},
        "X-Request-Id": {"description": "The request's id, under which log and audit log name it", "schema": {"type": "string"}},
        "Idempotency-Replayed": {"description": "`true` where this is the kept answer of an earlier request", "schema": {"type": "string"}},
    })
}

/// The words of an enumeration, as its own deserializer names them when it meets a stranger.
fn words<T: DeserializeOwned>() -> Value {
    let complaint =
        serde_json::from_str::<T>("\"\"").err().map(|error| error.to_string()).unwrap_or_default();
    let listed = complaint.split_once("expected").map(|(_, listed)| listed).unwrap_or_default();
    let words: Vec<&str> = listed.split('`').skip(1).step_by(2).collect();
    json!({"type": "string", "enum": words})
}

fn parsed(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests;
