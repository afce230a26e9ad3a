//! The real npm `oidc-provider` of one test: free loopback port, own clients, ended when the test ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a missing part fails the test")]
#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null, it never panics")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long the server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program's own files, beside `tests-real/npm`.
const FILES: [&str; 4] = ["oidc.mjs", "oidc-grants.mjs", "oidc-ledger.mjs", "jwt.mjs"];

/// A running authorization server.
#[derive(Debug)]
pub struct OidcServer {
    directory: TempDir,
    issuer: String,
    process: Child,
    client: reqwest::Client,
}

impl OidcServer {
    /// Starts a server with these clients, whose access tokens are `jwt` or `opaque`. It offers the scopes
    /// `notes.read` and `notes.write` at every resource.
    ///
    /// # Panics
    /// Where Node or the package is not installed, or the server does not start.
    pub async fn start(clients: &Value, tokens: &str) -> Self {
        Self::start_with(clients, tokens, &[]).await
    }

    /// The same, with more of what `oidc.mjs` reads from its environment.
    ///
    /// # Panics
    /// As [`OidcServer::start`].
    pub async fn start_with(clients: &Value, tokens: &str, more: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests-real/npm");
        for file in FILES {
            std::fs::copy(source.join(file), directory.path().join(file)).unwrap();
        }
        let parts = parts();
        std::os::unix::fs::symlink(parts.join("npm/node_modules"), directory.path().join("node_modules"))
            .unwrap();
        std::fs::write(directory.path().join("trust.json"), "{}").unwrap();
        let mut process = Command::new(parts.join("bin/node"))
            .args(["oidc.mjs", "0"])
            .current_dir(directory.path())
            .env_clear()
            .env("OIDC_CLIENTS", clients.to_string())
            .env("OIDC_ALG", "ES256")
            .env("OIDC_SCOPES", "notes.read notes.write")
            .env("OIDC_TOKENS", tokens)
            .env("OIDC_TRUST_FILE", directory.path().join("trust.json"))
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(directory.path().join("oidc.log")).unwrap())
            .kill_on_drop(true)
            .spawn()
            .expect(
                "node starts: run `scripts/parts/install node npm`, or point MCP_GATEWAY_PARTS at the parts",
            );
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("it starts in time");
        let line = line.unwrap().unwrap_or_else(|| {
            panic!("{}", std::fs::read_to_string(directory.path().join("oidc.log")).unwrap())
        });
        let ready: Value = serde_json::from_str(&line).unwrap();
        let issuer = ready["ready"].as_str().unwrap().to_owned();
        let client = reqwest::Client::builder().no_proxy().http1_only().build().unwrap();
        Self { directory, issuer, process, client }
    }

    /// Its issuer identifier.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// From now on, these issuers' tokens and assertions count in exchanges:
    /// `{ISSUER: {"audiences": […]}}`.
    ///
    /// # Panics
    /// Where the file cannot be written.
    pub fn trust(&self, issuers: &Value) {
        let fresh = self.directory.path().join("trust.new");
        std::fs::write(&fresh, issuers.to_string()).unwrap();
        std::fs::rename(fresh, self.directory.path().join("trust.json")).unwrap();
    }

    /// A token by client credentials, asked for without the gateway.
    ///
    /// # Panics
    /// Where there is none.
    pub async fn token(&self, client_id: &str, secret: &str, resource: &str) -> String {
        let form = [("grant_type", "client_credentials"), ("resource", resource)];
        let answer = self.post("token", client_id, secret, &form).await;
        answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// What introspection says about a token (RFC 7662), asked as a client with a secret.
    ///
    /// # Panics
    /// Where it does not answer.
    pub async fn introspect(&self, client_id: &str, secret: &str, token: &str) -> Value {
        self.post("token/introspection", client_id, secret, &[("token", token)]).await
    }

    /// Id and secret are form-encoded first (RFC 6749, section 2.3.1): this server insists on it.
    async fn post(&self, path: &str, client_id: &str, secret: &str, form: &[(&str, &str)]) -> Value {
        let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let request = self.client.post(format!("{}/{path}", self.issuer));
        let request = request.basic_auth(encoded(client_id), Some(encoded(secret)));
        request.form(form).send().await.unwrap().json().await.unwrap()
    }

    /// How often each grant was asked for, by its own count: `client_credentials`, `token-exchange`, …
    ///
    /// # Panics
    /// Where it does not answer.
    pub async fn count(&self, what: &str) -> u64 {
        let sums = self.client.get(format!("{}/ledger", self.issuer)).send().await.unwrap();
        let sums: Value = sums.json().await.unwrap();
        sums.get(what).unwrap_or(&json!(0)).as_u64().unwrap()
    }

    /// Ends the process.
    ///
    /// # Panics
    /// Where it cannot be ended.
    pub async fn stop(&mut self) {
        self.process.kill().await.unwrap();
    }
}

fn parts() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "where the parts are is told to tests by the environment")]
    let parts = std::env::var("MCP_GATEWAY_PARTS").map(PathBuf::from);
    let parts = parts.unwrap_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.parts"));
    parts.canonicalize().expect("the real parts are installed: run `scripts/parts/install node npm`")
}
