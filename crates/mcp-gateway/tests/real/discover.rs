//! `provider discover` against an npm MCP server that demands OAuth of its own, and the authorization server
//! that it names.

use std::path::Path;
use std::process::Stdio;

use gateway_testkit::oidc::OidcServer;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::provider::part;

struct Server {
    url: String,
    _directory: TempDir,
    _child: Child,
}

impl Server {
    async fn start(issuer: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests-real/npm/oauth-server.mjs");
        let mut child = Command::new(part("bin/node"))
            .arg(script)
            .args(["--port", "0", "--issuer", issuer, "--scopes", "notes.read notes.write", "--log"])
            .arg(directory.path().join("log"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().expect("the server says that it is ready");
        let ready: Value = serde_json::from_str(&line).unwrap();
        Self { url: ready["ready"].as_str().unwrap().to_owned(), _directory: directory, _child: child }
    }
}

/// Runs the command; its exit code, its output and its complaints.
async fn discover(url: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_mcp-gateway"))
        .args(["provider", "discover", "--url", url, "--environment", "dev", "--owner", "platform"])
        .args(more)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (run.status.code(), text(run.stdout), text(run.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn drafts_the_provider_that_a_real_server_names_with_what_that_one_offers() {
    let registers = ("OIDC_REGISTRATION", "1");
    let cases: [(&[(&str, &str)], Value); 3] = [
        (&[registers, ("OIDC_CLIENT_DOCUMENTS", "1")], json!({"registration": "metadata_document"})),
        (&[registers], json!({"registration": "dynamic"})),
        (&[], json!({"id": ""})),
    ];
    for (offers, client) in cases {
        let issuer = OidcServer::start_with(&json!([]), "jwt", offers).await;
        let server = Server::start(issuer.issuer()).await;
        let (code, out, complaint) =
            discover(&server.url, &["--addresses", "loopback", "--output", "json", "--name", "notes"]).await;
        assert_eq!((code, complaint.as_str()), (Some(0), ""));
        let told: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(told["resource"], server.url);
        assert_eq!(told["scopes"], json!(["notes.read", "notes.write"]));
        assert_eq!(
            told["drafts"][0]["spec"],
            json!({
                "kind": "Provider", "name": "notes", "environment": "dev", "owner": "platform",
                "issuer": issuer.issuer(), "client": client, "addresses": ["loopback"],
            })
        );
        let (code, yaml, _) = discover(&server.url, &["--addresses", "loopback"]).await;
        assert_eq!(code, Some(0));
        assert!(yaml.starts_with("---\n# Drafted from what http://127.0.0.1:"), "{yaml}");
        assert!(yaml.contains("kind: Provider\n"), "{yaml}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connects_to_no_address_that_was_not_named_and_says_what_is_wrong() {
    let issuer = OidcServer::start(&json!([]), "jwt").await;
    let server = Server::start(issuer.issuer()).await;
    let (code, out, complaint) = discover(&server.url, &[]).await;
    assert_eq!((code, out.as_str()), (Some(4), ""));
    assert!(complaint.contains("loopback") && complaint.contains("--addresses"), "{complaint}");
    let elsewhere = server.url.replace("/mcp", "/other");
    let (code, out, complaint) = discover(&elsewhere, &["--addresses", "loopback"]).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(complaint.contains("publishes no metadata"), "{complaint}");
}
