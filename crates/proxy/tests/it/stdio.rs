//! Servers that are processes: what they are given, how they end, and that one's trouble is its own.

use std::path::PathBuf;
use std::time::Duration;

use gateway_core::id::{BindingName, EnvironmentName};
use gateway_core::ports::{LiveSessions, LiveTraffic};
use gateway_core::session::SessionKind;
use gateway_core::state::Lifecycle;
use gateway_proxy::settings::Settings;
use serde_json::{Value, json};

use crate::broker::{Answer, CANARY, TestBroker, binding_spec, record};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;

/// A gateway in front of `child.sh`, with a directory of its own for everything.
struct Stage {
    broker: TestBroker,
    directory: PathBuf,
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

fn directory() -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("stdio-test-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn script() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/child.sh").to_owned()
}

async fn stage_with(environment: Value, timeout: u32, settle: impl FnOnce(&mut Settings)) -> Stage {
    let directory = directory();
    let mut environment = environment;
    environment["GATE"] = directory.join("gate").to_str().unwrap().into();
    let server = json!({
        "kind": "Server", "name": "tools", "environment": "dev", "owner": "team",
        "route": {"command": ["/bin/sh", script()], "environment": environment, "timeout_seconds": timeout},
        "tools": {"default_risk": "read"}
    });
    let bind = |binding: &mut Value| {
        binding["inject"] = json!({"environment": "KEY", "format": "Bearer {secret}"});
        binding["tools"] = json!([]);
    };
    let private = directory.join("processes");
    let settle = |settings: &mut Settings| {
        settings.stdio.rules.commands = vec![vec!["/bin/sh".to_owned(), script()]];
        settings.stdio.directory = private;
        settle(settings);
    };
    Stage { broker: TestBroker::before(server, bind, settle).await, directory }
}

async fn stage() -> Stage {
    stage_with(json!({}), 20, |_| {}).await
}

impl Stage {
    async fn open(&self) -> String {
        let answer = self.broker.send(self.broker.request("alice-token", INITIALIZE)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.headers["mcp-session-id"].to_str().unwrap().to_owned()
    }

    fn ask(&self, session: &str, tool: &str) -> reqwest::RequestBuilder {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}});
        self.broker.request("alice-token", body.to_string()).header("mcp-session-id", session)
    }

    async fn call(&self, session: &str, tool: &str) -> Answer {
        self.broker.send(self.ask(session, tool)).await
    }

    fn private_directories(&self) -> usize {
        let own = self.directory.join("processes").join(std::process::id().to_string());
        std::fs::read_dir(own).unwrap().count()
    }

    fn open_gate(&self) {
        std::fs::write(self.directory.join("gate"), b"").unwrap();
    }
}

fn said(answer: &Answer) -> String {
    answer.json()["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("{}", answer.text))
        .to_owned()
}

fn lives(process: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // A process that ended but was not waited for yet is gone for everybody.
    !stat.is_empty() && !stat.contains(") Z ")
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn main_binding() -> (EnvironmentName, BindingName) {
    (EnvironmentName::parse("dev").unwrap(), BindingName::parse("main").unwrap())
}

#[tokio::test]
async fn the_process_has_its_credential_and_nothing_of_the_gateways() {
    let stage = stage().await;
    let session = stage.open().await;
    let environment = said(&stage.call(&session, "environment").await);
    assert!(environment.contains("KEY=Bearer [scrubbed:main]"), "{environment}");
    assert!(environment.contains("GATE=") && !environment.contains(CANARY), "{environment}");
    for foreign in ["CARGO", "RUST", "USER="] {
        assert!(!environment.contains(foreign), "{foreign}: {environment}");
    }
    let process = said(&stage.call(&session, "process").await);
    let arguments = std::fs::read(format!("/proc/{process}/cmdline")).unwrap();
    assert!(!String::from_utf8_lossy(&arguments).contains(CANARY));
}

#[tokio::test]
async fn a_command_that_is_not_allowed_is_not_run() {
    let stage = stage_with(json!({}), 20, |settings| settings.stdio.rules.commands.clear()).await;
    let answer = stage.broker.send(stage.broker.request("alice-token", INITIALIZE)).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream.command_refused"));
}

#[tokio::test]
async fn each_session_has_a_process_of_its_own_that_ends_with_it() {
    let stage = stage().await;
    let (one, two) = (stage.open().await, stage.open().await);
    let (first, second) =
        (said(&stage.call(&one, "process").await), said(&stage.call(&two, "process").await));
    assert_ne!(first, second);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let end = client.delete(stage.broker.url()).bearer_auth("alice-token").header("mcp-session-id", &one);
    assert_eq!(stage.broker.send(end).await.status, 202);
    until("the process of an ended session goes", || !lives(&first)).await;
    assert!(lives(&second));
    assert_eq!(stage.call(&one, "process").await.status, 404);
    let left = stage.private_directories();
    assert_eq!(left, 1, "private directories go with their processes");
}

#[tokio::test]
async fn an_operator_who_ends_a_session_ends_its_process() {
    let stage = stage().await;
    let session = stage.open().await;
    let process = said(&stage.call(&session, "process").await);
    let of_kind = |kind| stage.broker.gateway.sessions().into_iter().find(|one| one.kind == kind).unwrap();
    let (listed, shown) = (of_kind(SessionKind::Session), of_kind(SessionKind::Process));
    assert_eq!((&shown.actor, &shown.bindings), (&listed.actor, &listed.bindings));
    let ended = stage.broker.gateway.terminate(&listed.id, Duration::from_secs(5)).await.unwrap();
    assert_eq!((ended.ended.sessions, ended.upstream_ended), (1, 1));
    until("the process goes with the session", || !lives(&process)).await;
    assert_eq!(stage.call(&session, "process").await.status, 404);
}

#[tokio::test]
async fn an_operator_can_end_a_process_by_itself() {
    let stage = stage().await;
    let session = stage.open().await;
    let process = said(&stage.call(&session, "process").await);
    let all = stage.broker.gateway.sessions();
    let shown = all.iter().find(|one| one.kind == SessionKind::Process).unwrap();
    let ended = stage.broker.gateway.terminate(&shown.id, Duration::from_secs(5)).await.unwrap();
    assert_eq!((ended.ended.children, ended.complete), (1, true));
    assert!(!lives(&process));
    assert_eq!(stage.call(&session, "process").await.status, 404);
}

#[tokio::test]
async fn a_lock_kills_the_processes_it_matches_and_a_lock_on_a_tool_only_its_calls() {
    let mut stage = stage().await;
    let session = stage.open().await;
    let process = said(&stage.call(&session, "process").await);
    let made = |stage: &Stage, selector: Value| gateway_core::lock::LockRecord {
        id: format!("lock-{}", stage.broker.state.locks.len()),
        selector: serde_json::from_value(selector).unwrap(),
        reason: "r".to_owned(),
        author: "i|root".parse().unwrap(),
        created_at: stage.broker.gateway.clock.now(),
        until: stage.broker.gateway.clock.now().plus(Duration::from_secs(600)),
        ended: None,
    };
    let tool = made(&stage, json!({"tool": "environment"}));
    stage.broker.publish(|state| state.locks.push(tool.clone()));
    let ended = stage.broker.gateway.end_locked(&tool, Duration::from_secs(5)).await.unwrap();
    assert_eq!((ended.children, ended.sessions), (0, 0));
    assert_eq!(said(&stage.call(&session, "process").await), process, "it serves the other tools");
    assert_eq!(stage.call(&session, "environment").await.code(), "lock.active");
    let stranger = made(&stage, json!({"user": "https://idp|bob"}));
    assert_eq!(stage.broker.gateway.end_locked(&stranger, Duration::from_secs(5)).await.unwrap().children, 0);
    let server = made(&stage, json!({"environment": "dev", "server": "tools"}));
    stage.broker.publish(|state| state.locks.push(server.clone()));
    let ended = stage.broker.gateway.end_locked(&server, Duration::from_secs(5)).await.unwrap();
    assert_eq!((ended.children, ended.sessions), (1, 1));
    assert!(!lives(&process));
    let refused = stage.broker.send(stage.broker.request("alice-token", INITIALIZE)).await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "lock.active"));
}

#[tokio::test]
async fn a_process_whose_client_leaves_before_it_came_up_goes_with_it() {
    let stage = stage_with(json!({"MUTE": "1"}), 20, |_| {}).await;
    let request = stage.broker.request("alice-token", INITIALIZE);
    let leaving = tokio::spawn(request.send());
    let processes = |one: &gateway_core::session::LiveSession| one.kind == SessionKind::Process;
    until("the process starts", || stage.broker.gateway.sessions().iter().any(processes)).await;
    until("it has its directory", || stage.private_directories() == 1).await;
    leaving.abort();
    until("nothing is left of it", || stage.private_directories() == 0).await;
    assert!(!stage.broker.gateway.sessions().iter().any(processes));
}

#[tokio::test]
async fn messages_before_the_answer_come_as_events() {
    let stage = stage().await;
    let session = stage.open().await;
    let mut response = stage.ask(&session, "slow").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let first = response.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("waiting"), "{first:?}");
    stage.open_gate();
    let rest = response.text().await.unwrap();
    assert!(rest.contains("done by"), "{rest}");
}

#[tokio::test]
async fn a_crash_ends_its_own_calls_with_a_clear_error_and_the_client_begins_anew() {
    let stage = stage().await;
    let (one, two) = (stage.open().await, stage.open().await);
    let crashed = stage.call(&one, "crash").await;
    assert_eq!((crashed.status, crashed.code().as_str()), (502, "upstream.process_ended"));
    let gone = stage.call(&one, "process").await;
    assert_eq!((gone.status, gone.code().as_str()), (404, "session.unknown"));
    assert_eq!(stage.call(&two, "process").await.status, 200);
    let refused = stage.broker.send(stage.broker.request("alice-token", INITIALIZE)).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "upstream.process_backoff"));
    assert!(refused.headers.contains_key("retry-after"));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while stage.broker.send(stage.broker.request("alice-token", INITIALIZE)).await.status != 200 {
        assert!(tokio::time::Instant::now() < deadline, "it never starts again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_hanging_process_times_out_and_is_ended() {
    let stage = stage_with(json!({}), 1, |_| {}).await;
    let (one, two) = (stage.open().await, stage.open().await);
    let process = said(&stage.call(&one, "process").await);
    let hung = stage.call(&one, "hang").await;
    assert_eq!((hung.status, hung.code().as_str()), (504, "upstream.timeout"));
    assert_eq!(stage.call(&two, "process").await.status, 200);
    until("a process that proves no life is killed", || !lives(&process)).await;
}

#[tokio::test]
async fn garbage_is_passed_over_and_never_passed_on() {
    let stage = stage().await;
    let session = stage.open().await;
    assert_eq!(said(&stage.call(&session, "garbage").await), "after the garbage");
    let answer = stage.call(&session, "only_garbage").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream.process_ended"));
}

#[tokio::test]
async fn a_line_without_end_ends_the_process_and_not_the_gateway() {
    let small = |settings: &mut Settings| settings.held_answer_bytes = 64 * 1024;
    let stage = stage_with(json!({}), 20, small).await;
    let session = stage.open().await;
    let answer = stage.call(&session, "endless_line").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream.process_ended"));
}

#[tokio::test]
async fn a_flood_reaches_its_caller_whole_and_harms_no_other() {
    let stage = stage().await;
    let (one, two) = (stage.open().await, stage.open().await);
    let mut flooded = stage.ask(&one, "flood").send().await.unwrap();
    flooded.chunk().await.unwrap().unwrap();
    assert_eq!(stage.call(&two, "process").await.status, 200);
    let rest = flooded.text().await.unwrap();
    assert!(rest.contains("dry"));
}

#[tokio::test]
async fn revocation_kills_a_process_that_ignores_every_request_to_end() {
    let stage = stage().await;
    let session = stage.open().await;
    assert_eq!(said(&stage.call(&session, "stubborn").await), "deaf");
    let process = said(&stage.call(&session, "process").await);
    let (environment, binding) = main_binding();
    let ended = stage.broker.gateway.end(&environment, &binding, Duration::from_secs(5)).await.unwrap();
    assert_eq!((ended.children, ended.sessions), (1, 1));
    assert!(!lives(&process), "gone when the revocation is acknowledged");
}

#[tokio::test]
async fn after_a_rotation_a_new_process_takes_new_calls_while_the_old_one_finishes() {
    let mut stage = stage().await;
    let session = stage.open().await;
    let old = said(&stage.call(&session, "process").await);
    let mut running = stage.ask(&session, "slow").send().await.unwrap();
    running.chunk().await.unwrap().unwrap();
    *stage.broker.store.value.lock().unwrap() = "a-completely-new-value-here".to_owned();
    stage.broker.publish(|state| {
        let mut rotated = binding_spec();
        rotated["secret"] = "local://a#b?version=2".into();
        rotated["inject"] = json!({"environment": "KEY"});
        rotated["tools"] = json!([]);
        state.revisions[3] = record(rotated, 2);
    });
    let environment = said(&stage.call(&session, "environment").await);
    assert!(environment.contains("KEY=[scrubbed:main]"), "{environment}");
    let new = said(&stage.call(&session, "process").await);
    assert_ne!(old, new);
    assert!(lives(&old), "the old process still has a call to answer");
    stage.open_gate();
    assert!(running.text().await.unwrap().contains(&format!("done by {old}")));
    until("the old process goes with its last call", || !lives(&old)).await;
    assert!(lives(&new));
}

#[tokio::test]
async fn an_idle_process_of_a_replaced_revision_goes_at_once() {
    let mut stage = stage().await;
    let session = stage.open().await;
    let old = said(&stage.call(&session, "process").await);
    stage.broker.publish(|state| state.revisions[3].status = Lifecycle::Disabled);
    stage.broker.gateway.sweep();
    until("nothing keeps the credential of a disabled binding", || !lives(&old)).await;
}

#[tokio::test]
async fn a_session_whose_idle_process_was_replaced_goes_on_with_the_next_one() {
    let mut stage = stage().await;
    let session = stage.open().await;
    let old = said(&stage.call(&session, "process").await);
    stage.broker.publish(|state| {
        let mut rotated = binding_spec();
        rotated["secret"] = "local://a#b?version=2".into();
        rotated["inject"] = json!({"environment": "KEY"});
        rotated["tools"] = json!([]);
        state.revisions[3] = record(rotated, 2);
    });
    stage.broker.gateway.sweep();
    until("the idle process goes", || !lives(&old)).await;
    stage.broker.gateway.sweep();
    let new = said(&stage.call(&session, "process").await);
    assert_ne!(old, new);
}

#[tokio::test]
async fn a_modern_server_has_one_process_an_actor_whatever_ids_its_clients_use() {
    let stage = stage_with(json!({"MODERN": "1"}), 20, |_| {}).await;
    let broker = &stage.broker;
    let (one, two) = tokio::join!(broker.call("process"), broker.call("process"));
    assert_eq!(said(&one), said(&two));
    assert_eq!((one.json()["id"].as_i64(), two.json()["id"].as_i64()), (Some(7), Some(7)));
    let left = stage.private_directories();
    assert_eq!(left, 1);
}

#[tokio::test]
async fn a_modern_client_is_bridged_to_an_older_process_which_is_replaced_on_rotation() {
    let mut stage = stage().await;
    let answer = stage.broker.call("process").await;
    assert_eq!(answer.json()["result"]["resultType"], "complete", "{}", answer.text);
    let old = said(&answer);
    assert_eq!(said(&stage.broker.call("process").await), old);
    stage.broker.publish(|state| {
        let mut rotated = binding_spec();
        rotated["secret"] = "local://a#b?version=2".into();
        rotated["inject"] = json!({"environment": "KEY"});
        rotated["tools"] = json!([]);
        state.revisions[3] = record(rotated, 2);
    });
    let new = said(&stage.broker.call("process").await);
    assert_ne!(old, new);
    until("the old process goes", || !lives(&old)).await;
}
