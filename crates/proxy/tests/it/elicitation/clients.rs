//! The official SDKs as clients: what they make of the question, and that they get through.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::{refused, start};
use crate::broker::TestBroker;
use crate::fakes::FakeConnect;
use crate::sources::grant;
use crate::upstream::{ScriptedResponse, Seen, Upstream, eventually, json as answer};

/// How long a client may take until it says something.
const PATIENCE: Duration = Duration::from_secs(60);

const SDKS: [&str; 2] = ["npm", "python"];

/// A client that calls `write_it` and says what its person is asked.
struct Client {
    lines: Lines<BufReader<ChildStdout>>,
    person: ChildStdin,
    _process: Child,
    _directory: TempDir,
}

impl Client {
    fn start(broker: &TestBroker, sdk: &str, era: &str, action: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let (interpreter, files): (_, &[&str]) = match sdk {
            "npm" => ("bin/node", &["elicit.mjs", "arguments.mjs", "outcome.mjs"]),
            _ => ("python/bin/python", &["elicit.py", "client.py"]),
        };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests-real").join(sdk);
        for file in files {
            std::fs::copy(source.join(file), directory.path().join(file)).unwrap();
        }
        let parts = parts();
        std::os::unix::fs::symlink(parts.join("npm/node_modules"), directory.path().join("node_modules"))
            .unwrap();
        let mut process = Command::new(parts.join(interpreter))
            .arg(files[0])
            .args(["--url", &broker.url(), "--token-env", "CALLER_TOKEN"])
            .args(["--era", era, "--call", "write_it", "--timeout", "50"])
            .current_dir(directory.path())
            .env_clear()
            .env("CALLER_TOKEN", "alice-token")
            .env("ELICIT_ANSWER", action)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let person = process.stdin.take().unwrap();
        Self { lines, person, _process: process, _directory: directory }
    }

    /// What it says next.
    async fn says(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("it says something");
        serde_json::from_str(&line.unwrap().expect("it has not ended")).unwrap()
    }

    /// What its person is asked to open.
    async fn asks(&mut self) {
        let said = self.says().await;
        assert_eq!(
            (&said["asked"]["mode"], &said["asked"]["url"]),
            (&json!("url"), &json!(FakeConnect::ADDRESS)),
            "{said}"
        );
        assert!(said["asked"]["message"].as_str().unwrap().contains("`notes`"), "{said}");
    }
}

fn parts() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "where the parts are is told to tests by the environment")]
    let parts = std::env::var("MCP_GATEWAY_PARTS").map(PathBuf::from);
    let parts = parts.unwrap_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.parts"));
    parts.canonicalize().expect("the real parts are installed: run `scripts/parts/install node npm python`")
}

/// A server of both generations, as the SDKs need one.
async fn server() -> Upstream {
    Upstream::start(|seen| async move { serve(&seen) }).await
}

fn serve(seen: &Seen) -> ScriptedResponse {
    let empty = |status: StatusCode| {
        let mut response = answer("");
        *response.status_mut() = status;
        response
    };
    if seen.method != Method::POST {
        return empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    let modern = seen.headers.contains_key("mcp-method");
    let tool = json!({"name": "write_it", "inputSchema": {"type": "object"}});
    let server = json!({"name": "both", "version": "1"});
    let mut result = match body["method"].as_str().unwrap() {
        "initialize" => {
            json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": server})
        }
        "server/discover" => json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
            "ttlMs": 0, "cacheScope": "private", "_meta": {"io.modelcontextprotocol/serverInfo": server}}),
        "tools/list" if modern => json!({"tools": [tool], "ttlMs": 0, "cacheScope": "private"}),
        "tools/list" => json!({"tools": [tool]}),
        "tools/call" => json!({"content": [{"type": "text", "text": "written"}]}),
        _ => return empty(StatusCode::ACCEPTED),
    };
    if modern {
        result["resultType"] = json!("complete");
    }
    let mut response = answer(json!({"jsonrpc": "2.0", "id": body["id"], "result": result}).to_string());
    if body["method"] == "initialize" {
        response.headers_mut().insert("mcp-session-id", "upstream-session".parse().unwrap());
    }
    response
}

fn calls(upstream: &Upstream) -> usize {
    let seen = upstream.seen.lock().unwrap();
    seen.iter().filter(|seen| seen.body.windows(12).any(|part| part == b"\"tools/call\"")).count()
}

fn assert_done(said: &Value, era: &str) {
    assert_eq!((&said["ok"], &said["era"]), (&json!(true), &json!(era)), "{said}");
    assert_eq!(said["result"]["content"][0]["text"], "written", "{said}");
}

async fn narrow(upstream: &Upstream) -> TestBroker {
    let mut broker = start(upstream, |_| {}).await;
    broker.publish(grant(&["notes.read"]));
    broker
}

#[tokio::test]
async fn sdks_of_2026_07_28_wait_for_their_person_and_get_through() {
    for sdk in SDKS {
        let upstream = server().await;
        let mut broker = narrow(&upstream).await;
        let mut client = Client::start(&broker, sdk, "modern", "accept");
        client.asks().await;
        // The SDK has come back at once: the person is still in the browser.
        eventually(|| (broker.gateway.waiting() == 1).then_some(())).await;
        assert_eq!(calls(&upstream), 0, "{sdk}");
        broker.publish(|state| state.grants[0].scopes.push("notes.write".to_owned()));
        assert_done(&client.says().await, "2026-07-28");
        assert_eq!(
            (calls(&upstream), refused(&broker).as_slice()),
            (1, ["grant.scope_missing".to_owned()].as_slice())
        );
        let body = String::from_utf8(upstream.last().body.to_vec()).unwrap();
        assert!(!body.contains("inputResponses") && !body.contains("mcp-gateway/connect"), "{sdk}: {body}");
    }
}

#[tokio::test]
async fn sdks_of_2026_07_28_whose_person_declines_get_the_refusal() {
    for sdk in SDKS {
        let upstream = server().await;
        let broker = narrow(&upstream).await;
        let mut client = Client::start(&broker, sdk, "modern", "decline");
        client.asks().await;
        let said = client.says().await;
        assert_eq!((&said["ok"], &said["error"]["status"]), (&json!(false), &json!(403)), "{said}");
        assert!(said["error"]["message"].as_str().unwrap().contains("has not connected"), "{sdk}: {said}");
        assert_eq!(calls(&upstream), 0, "{sdk}");
        assert_eq!(refused(&broker), ["grant.scope_missing", "grant.missing"]);
    }
}

#[tokio::test]
async fn sdks_of_2025_11_25_know_the_error_and_get_through_when_they_call_again() {
    for sdk in SDKS {
        let upstream = server().await;
        let mut broker = narrow(&upstream).await;
        let mut client = Client::start(&broker, sdk, "legacy", "accept");
        client.asks().await;
        assert_eq!(calls(&upstream), 0, "{sdk}");
        broker.publish(|state| state.grants[0].scopes.push("notes.write".to_owned()));
        client.person.write_all(b"done\n").await.unwrap();
        assert_done(&client.says().await, "2025-11-25");
        assert_eq!(calls(&upstream), 1, "{sdk}");
        assert_eq!(refused(&broker), ["grant.scope_missing"]);
    }
}
