//! The Kubernetes API server: one secret by its name, and the review of one's own access.
//!
//! After the API reference of `core/v1` `Secret`, `meta/v1` `Status` and `ObjectMeta`, and
//! `authorization.k8s.io/v1` `SelfSubjectAccessReview`; RBAC is a list of what is hidden. Not played: watches,
//! admission, priority and fairness.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::http::{Heard, Listening, Reply, listen};
use super::{CloudStub, Tokens, hold};
use crate::gate::Gate;

/// The largest secret.
const LARGEST: usize = 1024 * 1024;
const API: &str = "api";

#[derive(Debug)]
struct State {
    tokens: Tokens,
    secrets: Mutex<HashMap<String, Value>>,
    hidden: Mutex<HashSet<String>>,
    changes: Mutex<u64>,
}

/// The server, on a loopback port.
#[derive(Debug)]
pub struct KubernetesStub {
    state: Arc<State>,
    gate: Gate,
    _listening: Listening,
}

impl KubernetesStub {
    /// The namespace of the tests.
    pub const NAMESPACE: &str = "mcp";

    /// Starts it. The file of a good token is there.
    ///
    /// # Panics
    /// Where no port is free.
    pub async fn start() -> Self {
        let state = Arc::new(State {
            tokens: Tokens::new("kubernetes"),
            secrets: Mutex::default(),
            hidden: Mutex::default(),
            changes: Mutex::new(4_000),
        });
        let token = state.tokens.make(API).unwrap_or_default();
        state.tokens.write(&token);
        let one = state.clone();
        let service = listen(move |heard| one.answer(heard)).await;
        let gate = Gate::open(&service.host).await;
        Self { state, gate, _listening: service }
    }

    /// The file of the service account's token.
    pub fn token_file(&self) -> std::path::PathBuf {
        self.state.tokens.file()
    }

    /// Changes a secret as it is kept, and gives it another version.
    pub fn change(&self, path: &str, change: impl FnOnce(&mut Map<String, Value>)) {
        let mut changes = hold(&self.state.changes);
        let mut secrets = hold(&self.state.secrets);
        if let Some(secret) = secrets.get_mut(path).and_then(Value::as_object_mut) {
            *changes += 1;
            if let Some(metadata) = secret.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.insert("resourceVersion".to_owned(), changes.to_string().into());
            }
            change(secret);
        }
    }
}

fn status(code: u16) -> Value {
    let reason = match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "canary: the server's own words", "reason": reason, "code": code })
}

fn refused(code: u16) -> Reply {
    Reply::json(code, &status(code)).header("Audit-Id", "audit-7")
}

impl State {
    fn answer(&self, heard: &Heard) -> Reply {
        if !self.tokens.takes(heard, API) {
            return refused(401);
        }
        let (method, place) = heard.place();
        match (method, place.as_slice()) {
            ("GET", ["api", "v1", "namespaces", namespace, "secrets", name]) => {
                self.get(&format!("{namespace}/{name}"))
            }
            ("POST", ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"]) => review(heard),
            _ => refused(404),
        }
    }

    fn get(&self, path: &str) -> Reply {
        if hold(&self.hidden).contains(path) {
            return refused(403);
        }
        match hold(&self.secrets).get(path) {
            Some(secret) => Reply::json(200, secret).header("Audit-Id", "audit-7"),
            None => refused(404),
        }
    }
}

fn review(heard: &Heard) -> Reply {
    let mut body: Value = serde_json::from_slice(&heard.body).unwrap_or_default();
    let kind = body.get("kind").and_then(Value::as_str);
    if kind != Some("SelfSubjectAccessReview") || heard.header("content-type") != Some("application/json") {
        return refused(400);
    }
    if let Some(review) = body.as_object_mut() {
        review.insert("status".to_owned(), json!({ "allowed": false }));
    }
    Reply::json(201, &body)
}

impl CloudStub for KubernetesStub {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn logins(&self) -> u32 {
        0
    }

    fn put(&self, path: &str, field: Option<&str>, value: &[u8]) -> Option<String> {
        let (namespace, name) = path.split_once('/')?;
        if value.len() > LARGEST {
            return None;
        }
        let mut changes = hold(&self.state.changes);
        *changes += 1;
        let mut data = Map::from_iter([("other".to_owned(), STANDARD.encode("1").into())]);
        data.insert(field?.to_owned(), STANDARD.encode(value).into());
        let secret = json!({ "kind": "Secret", "apiVersion": "v1", "type": "Opaque", "data": data,
            "metadata": { "name": name, "namespace": namespace, "uid": "4f4b4ed7-0000-4000-8000-000000000000",
                "resourceVersion": changes.to_string(), "creationTimestamp": "2026-11-26T09:00:00Z" } });
        hold(&self.state.secrets).insert(path.to_owned(), secret);
        Some(changes.to_string())
    }

    fn delete(&self, path: &str) {
        hold(&self.state.secrets).remove(path);
    }

    fn hide(&self, path: &str) {
        hold(&self.state.hidden).insert(path.to_owned());
    }

    fn error(&self, code: u16) -> String {
        status(code).to_string()
    }

    /// The kubelet has replaced the token.
    fn end_sessions(&self) {
        self.state.tokens.end();
        if let Some(token) = self.state.tokens.make(API) {
            self.state.tokens.write(&token);
        }
    }

    fn refuse_logins(&self, refuse: bool) {
        self.state.tokens.refuse(refuse);
        if let Some(token) = self.state.tokens.make(API) {
            self.state.tokens.write(&token);
        }
    }
}
