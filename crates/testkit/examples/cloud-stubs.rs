//! The stubs of the clouds' stores as a program, for `scripts/prove`. **They are stubs**: no real cloud is
//! behind them. The first line says where they are, and where the files of their logins are; then each line
//! that comes in is a command in JSON, and is answered by one line:
//!
//! ```text
//! {"put": ["google", PATH, FIELD, VALUE]}   -> {"version": NAME}
//! {"mode": ["google", "open" | "shut" | "throttle"]} -> {}
//! {"count": "google"}                       -> {"requests": N, "logins": N}
//! {"end_sessions": "google"}                -> {}
//! ```

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program of the prover's own; a broken one must stop"
)]

use std::collections::BTreeMap;

use gateway_testkit::gate::{Answer, Mode};
use gateway_testkit::stubs::{AzureStub, CloudStub, GoogleStub, KubernetesStub, OnePasswordStub};
use serde_json::{Value, json};

#[tokio::main]
async fn main() {
    let (google, azure) = (GoogleStub::start().await, AzureStub::start().await);
    let (kubernetes, onepassword) = (KubernetesStub::start().await, OnePasswordStub::start().await);
    let ready = json!({
        "google": { "service": google.gate().address(), "login": google.login().address(),
            "token_file": google.token_file(), "audience": GoogleStub::AUDIENCE, "account": GoogleStub::ACCOUNT },
        "azure": { "service": azure.gate().address(), "login": azure.login().address(),
            "token_file": azure.token_file(), "tenant": AzureStub::TENANT, "client": AzureStub::CLIENT },
        "kubernetes": { "service": kubernetes.gate().address(), "token_file": kubernetes.token_file() },
        "onepassword": { "service": onepassword.gate().address(), "token_file": onepassword.token_file() },
    });
    println!("{}", json!({ "ready": ready }));
    let stubs: BTreeMap<&str, Box<dyn CloudStub>> = BTreeMap::from([
        ("google", Box::new(google) as Box<dyn CloudStub>),
        ("azure", Box::new(azure)),
        ("kubernetes", Box::new(kubernetes)),
        ("onepassword", Box::new(onepassword)),
    ]);
    // A thread of its own reads, so that the services go on meanwhile.
    let (lines, mut commands) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let sent = lines.send(line.unwrap());
            if sent.is_err() {
                return;
            }
        }
    });
    while let Some(line) = commands.recv().await {
        println!("{}", obey(&stubs, &serde_json::from_str(&line).unwrap()));
    }
}

fn obey(stubs: &BTreeMap<&str, Box<dyn CloudStub>>, command: &Value) -> Value {
    let (verb, arguments) = command.as_object().unwrap().iter().next().unwrap();
    let words: Vec<&str> = match arguments {
        Value::Array(words) => words.iter().map(|word| word.as_str().unwrap()).collect(),
        word => vec![word.as_str().unwrap()],
    };
    let stub = stubs.get(words.first().unwrap()).unwrap();
    match (verb.as_str(), words.get(1..).unwrap_or_default()) {
        ("put", [path, field, value]) => {
            json!({ "version": stub.put(path, Some(field), value.as_bytes()).unwrap() })
        }
        ("mode", ["open"]) => set(stub.as_ref(), Mode::Open),
        ("mode", ["shut"]) => set(stub.as_ref(), Mode::Shut),
        ("mode", ["throttle"]) => {
            let headers = "Retry-After: 1\r\n".to_owned();
            set(stub.as_ref(), Mode::Answer(Answer { status: 429, headers, body: stub.error(429) }))
        }
        ("count", []) => json!({ "requests": stub.gate().count(), "logins": stub.logins() }),
        ("end_sessions", []) => {
            stub.end_sessions();
            json!({})
        }
        _ => json!({ "error": "no such command" }),
    }
}

fn set(stub: &dyn CloudStub, mode: Mode) -> Value {
    stub.gate().set(mode);
    json!({})
}
