//! A strict server of each generation, whose longer calls the test answers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::upstream::{ScriptedBody, Seen, Upstream, typed};

/// A call that the test answers event by event.
pub struct Call {
    pub body: Value,
    pub events: UnboundedSender<String>,
}

impl Call {
    pub fn send(&self, message: &Value) {
        self.events.send(format!("id: 1\ndata: {message}\n\n")).unwrap();
    }

    pub fn answer(&self, result: &Value) {
        self.send(&json!({"jsonrpc": "2.0", "id": self.body["id"], "result": result}));
    }
}

/// The server, and the calls of its tool `write_it` as they come.
pub struct Server {
    pub upstream: Upstream,
    pub calls: tokio::sync::Mutex<UnboundedReceiver<Call>>,
    /// Sessions that are forgotten before the next message.
    pub forget: Arc<Mutex<bool>>,
    /// What `tools/list` says of `write_it`'s region.
    pub header: Arc<Mutex<&'static str>>,
}

impl Server {
    pub async fn call(&self) -> Call {
        tokio::time::timeout(Duration::from_secs(5), self.calls.lock().await.recv()).await.unwrap().unwrap()
    }

    /// The messages it saw, by method; answers of the client are called `response`.
    pub fn methods(&self) -> Vec<String> {
        let seen = self.upstream.seen.lock().unwrap();
        seen.iter().map(|seen| parse(seen)["method"].as_str().unwrap_or("response").to_owned()).collect()
    }

    pub fn bodies(&self, method: &str) -> Vec<Value> {
        let seen = self.upstream.seen.lock().unwrap();
        let method = (method != "response").then_some(method);
        seen.iter().map(parse).filter(|body| body["method"].as_str() == method).collect()
    }

    /// Waits until it has seen a message of this method.
    pub async fn saw(&self, method: &str) -> Value {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        loop {
            if let Some(body) = self.bodies(method).pop() {
                return body;
            }
            assert!(tokio::time::Instant::now() < deadline, "never saw {method}: {:?}", self.methods());
            tokio::task::yield_now().await;
        }
    }
}

fn parse(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap_or_default()
}

fn reply(status: u16, body: &Value) -> Response<ScriptedBody> {
    let mut response = typed("application/json", body.to_string());
    *response.status_mut() = status.try_into().unwrap();
    response
}

fn result(id: &Value, result: Value) -> Response<ScriptedBody> {
    reply(200, &json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

pub fn error(status: u16, id: &Value, code: i64) -> Response<ScriptedBody> {
    reply(status, &json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": "said the server"}}))
}

fn accepted() -> Response<ScriptedBody> {
    let mut response = typed("application/json", "");
    *response.status_mut() = http::StatusCode::ACCEPTED;
    response
}

fn stream(body: Value, calls: &UnboundedSender<Call>) -> Response<ScriptedBody> {
    let (events, mut receiver) = unbounded_channel::<String>();
    calls.send(Call { body, events }).unwrap();
    let stream = futures::stream::poll_fn(move |context| {
        receiver.poll_recv(context).map(|text| text.map(|text| Ok(Frame::data(Bytes::from(text)))))
    });
    let body = BodyExt::boxed(StreamBody::new(stream));
    Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
}

type Answering = Box<dyn Fn(&Seen, Value) -> Response<ScriptedBody> + Send + Sync>;

async fn serve(
    make: impl FnOnce(UnboundedSender<Call>, Arc<Mutex<bool>>, Arc<Mutex<&'static str>>) -> Answering,
) -> Server {
    let (sender, calls) = unbounded_channel();
    let (forget, header) = (Arc::new(Mutex::new(false)), Arc::new(Mutex::new("Region")));
    let answer = Arc::new(make(sender, Arc::clone(&forget), Arc::clone(&header)));
    let upstream = Upstream::start(move |seen| {
        let answer = Arc::clone(&answer);
        async move {
            let body = parse(&seen);
            answer(&seen, body)
        }
    })
    .await;
    Server { upstream, calls: tokio::sync::Mutex::new(calls), forget, header }
}

/// A server of 2025-06-18 with sessions, as strict as the SDKs' are.
pub async fn legacy() -> Server {
    serve(|calls, forget, _| {
        let opened = AtomicUsize::new(0);
        let sessions = Mutex::new(HashMap::<String, ()>::new());
        Box::new(move |seen, body| {
            let (id, method) = (body["id"].clone(), body["method"].as_str().unwrap_or("").to_owned());
            if method == "initialize" {
                assert_eq!(body["params"].get("_meta"), None);
                let name = format!("upstream-{}", opened.fetch_add(1, Ordering::SeqCst) + 1);
                let secret = seen.headers["authorization"].to_str().unwrap();
                let mut response = result(&id, json!({
                    "protocolVersion": "2025-06-18",
                    "capabilities": {"tools": {"listChanged": true}, "resources": {"subscribe": true}, "logging": {}},
                    "serverInfo": {"name": "old", "version": "1"}, "instructions": format!("key {secret}"), "x-new": 1,
                }));
                response.headers_mut().insert("mcp-session-id", name.parse().unwrap());
                sessions.lock().unwrap().insert(name, ());
                return response;
            }
            if std::mem::take(&mut *forget.lock().unwrap()) {
                sessions.lock().unwrap().clear();
            }
            let Some(session) = seen.headers.get("mcp-session-id") else { return error(400, &Value::Null, -32000) };
            if !sessions.lock().unwrap().contains_key(session.to_str().unwrap()) {
                return error(404, &Value::Null, -32001);
            }
            if seen.headers.get("mcp-protocol-version").is_none_or(|version| version != "2025-06-18") {
                return error(400, &Value::Null, -32000);
            }
            assert!(!seen.headers.keys().any(|name| ["mcp-method", "mcp-name"].contains(&name.as_str())));
            assert!(!body.to_string().contains("io.modelcontextprotocol/"), "{body}");
            match (&*method, body["params"]["name"].as_str()) {
                (method, _) if method.is_empty() || method.starts_with("notifications/") => accepted(),
                ("tools/list", _) => result(&id, json!({"tools": [{"name": "echo", "x-new": 1}, {"name": "hidden"}]})),
                ("tools/call", Some("echo")) => result(&id, json!({"content": [], "saw": body["params"]["_meta"]})),
                ("tools/call", Some("write_it")) => stream(body, &calls),
                ("logging/setLevel", _) => result(&id, json!({})),
                ("prompts/get", _) => result(&id, json!({"messages": []})),
                ("resources/read", _) => error(200, &id, -32002),
                _ => error(200, &id, -32601),
            }
        })
    })
    .await
}

/// A server of 2026-07-28 alone.
pub async fn modern() -> Server {
    serve(|calls, _, header| {
        Box::new(move |seen, body| {
            let (id, method) = (body["id"].clone(), body["method"].as_str().unwrap_or("").to_owned());
            let stated = |name: &str| seen.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            let meta = &body["params"]["_meta"];
            let version = meta["io.modelcontextprotocol/protocolVersion"].as_str();
            if version.is_none() || !meta["io.modelcontextprotocol/clientCapabilities"].is_object() {
                return error(400, &id, -32602);
            }
            let name = body["params"]["name"].as_str().or(body["params"]["uri"].as_str());
            let same = stated("mcp-protocol-version").as_deref() == version
                && stated("mcp-method").as_deref() == Some(&*method)
                && (name.is_none() || stated("mcp-name").as_deref() == name);
            assert!(!seen.headers.contains_key("mcp-session-id"));
            let region = format!("mcp-param-{}", header.lock().unwrap().to_ascii_lowercase());
            let mirrored = name != Some("write_it") || stated(&region).as_deref() == body["params"]["arguments"]["region"].as_str();
            if !same || !mirrored {
                return error(400, &id, -32020);
            }
            match (&*method, name) {
                ("server/discover", _) => result(&id, json!({
                    "resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 0, "cacheScope": "public",
                    "capabilities": {"tools": {"listChanged": true}, "logging": {}}, "instructions": "use it",
                    "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "new", "version": "2"}},
                })),
                ("tools/list", _) => {
                    let schema = json!({"type": "object", "properties":
                        {"region": {"type": "string", "x-mcp-header": *header.lock().unwrap()}}});
                    result(&id, json!({"resultType": "complete", "ttlMs": 0, "cacheScope": "public", "tools": [
                        {"name": "echo", "inputSchema": {"type": "object"}},
                        {"name": "write_it", "inputSchema": schema}, {"name": "hidden"}]}))
                }
                ("tools/call", Some("echo")) => {
                    result(&id, json!({"resultType": "complete", "content": [], "saw": meta}))
                }
                ("tools/call", Some("write_it")) => stream(body, &calls),
                ("resources/read", _) => result(&id, json!({"resultType": "input_required", "requestState": "s"})),
                _ => error(404, &id, -32601),
            }
        })
    })
    .await
}
