//! npm oidc-provider as the identity provider of an enterprise.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The provider; ends when dropped.
pub struct Provider {
    pub issuer: String,
    _child: Child,
}

/// Where a real part is.
pub fn part(path: &str) -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "where the parts are is told to tests by the environment")]
    let parts = std::env::var("MCP_GATEWAY_PARTS").map(PathBuf::from);
    let parts = parts.unwrap_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.parts"));
    let part = parts.join(path);
    assert!(part.exists(), "{} is missing: run `scripts/parts/install`", part.display());
    part
}

impl Provider {
    /// Starts it with one client and one person.
    pub async fn start(client: &Value) -> Self {
        // Its packages are beside it once `scripts/parts/install` has run.
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests-real/npm/oidc.mjs");
        let mut child = Command::new(part("bin/node"))
            .arg(script)
            .arg("0")
            .env("OIDC_CLIENTS", json!([client]).to_string())
            .env("OIDC_ACCOUNTS", json!({"alice": {"groups": ["support"]}}).to_string())
            .env("OIDC_ALG", "ES256")
            .env("OIDC_HOST", "127.0.0.2")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().expect("the provider says that it is ready");
        let ready: Value = serde_json::from_str(&line).unwrap();
        Self { issuer: ready["ready"].as_str().unwrap().to_owned(), _child: child }
    }
}
