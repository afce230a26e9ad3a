//! A real OpenBao server of one test: own data folder, free loopback port, unsealed, a KV version 2
//! mount at `kv`, ended when the test ends. Its data survives [`OpenBao::stop`] and
//! [`OpenBao::start_again`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a missing part fails the test")]
#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null, it never panics")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

/// How long the server may take for anything it is asked to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running, unsealed server.
#[derive(Debug)]
pub struct OpenBao {
    directory: TempDir,
    process: Option<Child>,
    client: reqwest::Client,
    address: String,
    tls: bool,
    unseal_key: String,
    root_token: String,
}

impl OpenBao {
    /// Starts a server that speaks plain HTTP.
    ///
    /// # Panics
    /// Where the `bao` program is not installed or does not start.
    pub async fn start() -> Self {
        Self::launch(false).await
    }

    /// Starts a server that speaks TLS; its authority is in [`OpenBao::ca_file`].
    ///
    /// # Panics
    /// Where the `bao` program is not installed or does not start.
    pub async fn start_tls() -> Self {
        Self::launch(true).await
    }

    async fn launch(tls: bool) -> Self {
        let directory = TempDir::new().unwrap();
        std::fs::create_dir(directory.path().join("data")).unwrap();
        let mut builder = reqwest::Client::builder().no_proxy().http1_only().timeout(Duration::from_secs(10));
        if tls {
            let authority = certificates(directory.path());
            let authority = reqwest::Certificate::from_pem(authority.as_bytes()).unwrap();
            builder = builder.tls_certs_only([authority]);
        }
        let mut server = Self {
            directory,
            process: None,
            client: builder.build().unwrap(),
            address: String::new(),
            tls,
            unseal_key: String::new(),
            root_token: String::new(),
        };
        server.find_a_port();
        server.run().await;
        server.initialise().await;
        server.unseal().await;
        server.mount("kv").await;
        server
    }

    /// The address, such as `http://127.0.0.1:4711`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The token that may do everything.
    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    /// The certificate authority of a TLS server.
    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Writes the text into a file for the owner alone, beside the server's data, and says where.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn private_file(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Calls the API below `/v1/` as root; returns status and body.
    ///
    /// # Panics
    /// Where the server does not answer.
    pub async fn call(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        self.call_in(None, method, path, body).await
    }

    /// Calls the API in a namespace.
    ///
    /// # Panics
    /// Where the server does not answer.
    pub async fn call_in(
        &self,
        namespace: Option<&str>,
        method: Method,
        path: &str,
        body: &Value,
    ) -> (u16, Value) {
        self.try_call(namespace, method, path, body).await.expect("OpenBao answers")
    }

    async fn try_call(
        &self,
        namespace: Option<&str>,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Option<(u16, Value)> {
        let url = format!("{}/v1/{path}", self.address);
        let mut request = self.client.request(method.clone(), url).header("X-Vault-Token", &self.root_token);
        if let Some(namespace) = namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        if method != Method::GET && method != Method::DELETE {
            request = request.json(body);
        }
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.json().await.unwrap_or(Value::Null)))
    }

    /// Writes through the API and insists on success.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn write(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call(Method::POST, path, body).await;
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    /// Writes through the API and has the answer wrapped; returns the wrapping token.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn wrapped(&self, path: &str, body: &Value, seconds: u32) -> String {
        let request = self.client.post(format!("{}/v1/{path}", self.address));
        let request = request.header("X-Vault-Token", &self.root_token);
        let request = request.header("X-Vault-Wrap-TTL", format!("{seconds}s")).json(body);
        let response = request.send().await.expect("OpenBao answers");
        let answer: Value = response.json().await.expect("a JSON answer");
        answer["wrap_info"]["token"].as_str().expect("a wrapping token").to_owned()
    }

    /// Opens a wrapping as root; says with what status.
    ///
    /// # Panics
    /// Where the server does not answer.
    pub async fn unwrap(&self, token: &str) -> u16 {
        self.call(Method::POST, "sys/wrapping/unwrap", &json!({ "token": token })).await.0
    }

    /// Writes a secret such as `kv/github/bot`, a new version each time; returns the version.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn put(&self, path: &str, fields: &Value) -> u64 {
        let (mount, rest) = path.split_once('/').expect("a path within a mount");
        let answer = self.write(&format!("{mount}/data/{rest}"), &json!({ "data": fields })).await;
        answer["data"]["version"].as_u64().expect("a version")
    }

    /// Makes a KV version 2 mount and waits until it takes values.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn mount(&self, mount: &str) {
        self.mount_in(None, mount).await;
    }

    /// Makes a KV version 2 mount in a namespace.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn mount_in(&self, namespace: Option<&str>, mount: &str) {
        let kind = json!({ "type": "kv", "options": { "version": "2" } });
        let (status, answer) =
            self.call_in(namespace, Method::POST, &format!("sys/mounts/{mount}"), &kind).await;
        assert_eq!(status, 204, "{answer}");
        let probe = format!("{mount}/config");
        self.until("the mount is ready", async |server: &Self| {
            server.call_in(namespace, Method::GET, &probe, &Value::Null).await.0 == 200
        })
        .await;
    }

    /// Makes a policy that may read below the mount, looks at itself, and nothing else.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn read_policy(&self, name: &str, mount: &str) {
        let rules = format!("path \"{mount}/data/*\" {{ capabilities = [\"read\"] }}");
        self.write(&format!("sys/policies/acl/{name}"), &json!({ "policy": rules })).await;
    }

    /// Makes an AppRole with the policy; returns its role id and a secret id.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn approle(&self, name: &str, settings: &Value) -> (String, String) {
        let (status, answer) =
            self.call(Method::POST, "sys/auth/approle", &json!({ "type": "approle" })).await;
        assert!(status == 204 || answer.to_string().contains("already in use"), "{answer}");
        self.write(&format!("auth/approle/role/{name}"), settings).await;
        let role = self.call(Method::GET, &format!("auth/approle/role/{name}/role-id"), &Value::Null).await;
        let secret = self.write(&format!("auth/approle/role/{name}/secret-id"), &json!({})).await;
        let text = |value: &Value| value.as_str().expect("an id").to_owned();
        (text(&role.1["data"]["role_id"]), text(&secret["data"]["secret_id"]))
    }

    /// Ends the process at once.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _already_gone = process.kill();
            let _reaped = process.wait();
        }
    }

    /// Starts the stopped server at the same address, with its data, and unseals it.
    ///
    /// # Panics
    /// Where it does not come up.
    pub async fn start_again(&mut self) {
        self.stop();
        self.run().await;
        self.unseal().await;
    }

    fn find_a_port(&mut self) {
        let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (api, cluster) = (port(), port());
        let scheme = if self.tls { "https" } else { "http" };
        self.address = format!("{scheme}://{api}");
        let directory = self.directory.path().display();
        let tls = match self.tls {
            true => format!(
                "tls_cert_file = \"{directory}/server.pem\"\ntls_key_file = \"{directory}/server.key\""
            ),
            false => "tls_disable = true".to_owned(),
        };
        let config = format!(
            "storage \"raft\" {{\npath = \"{directory}/data\"\nnode_id = \"one\"\nperformance_multiplier = \"1\"\n}}\n\
             listener \"tcp\" {{\naddress = \"{api}\"\ncluster_address = \"{cluster}\"\n{tls}\n}}\n\
             api_addr = \"{}\"\ncluster_addr = \"https://{cluster}\"\n",
            self.address
        );
        std::fs::write(self.directory.path().join("bao.hcl"), config).unwrap();
    }

    async fn run(&mut self) {
        let log = std::fs::File::create(self.directory.path().join("bao.log")).unwrap();
        let process = Command::new(program())
            .arg("server")
            .arg("-config=bao.hcl")
            .current_dir(self.directory.path())
            .env_clear()
            .env("HOME", self.directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.process = Some(process.expect("bao starts"));
        self.until("it listens", async |server: &Self| {
            server.try_call(None, Method::GET, "sys/seal-status", &Value::Null).await.is_some()
        })
        .await;
    }

    async fn initialise(&mut self) {
        let shares = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let answer = self.write("sys/init", &shares).await;
        self.unseal_key = answer["keys_base64"][0].as_str().expect("an unseal key").to_owned();
        self.root_token = answer["root_token"].as_str().expect("a root token").to_owned();
    }

    async fn unseal(&self) {
        self.write("sys/unseal", &json!({ "key": self.unseal_key })).await;
        self.until("it is active", async |server: &Self| {
            server.call(Method::GET, "sys/health", &Value::Null).await.0 == 200
        })
        .await;
    }

    /// Asks again and again until it holds.
    async fn until(&self, what: &str, holds: impl AsyncFn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds(self).await {
            let log = || std::fs::read_to_string(self.directory.path().join("bao.log")).unwrap_or_default();
            assert!(Instant::now() < end, "OpenBao: not in time: {what}\n{}", log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The installed program: in `MCP_GATEWAY_PARTS`, or in `.parts` of the workspace.
fn program() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "where the parts are is told to tests by the environment")]
    let parts = std::env::var("MCP_GATEWAY_PARTS").map(PathBuf::from);
    let parts = parts.unwrap_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.parts"));
    let program = parts.join("bin/bao");
    assert!(
        program.exists(),
        "OpenBao is not installed at {}: run `scripts/parts/install openbao`, or point MCP_GATEWAY_PARTS at the parts",
        program.display()
    );
    program.canonicalize().unwrap()
}

/// Writes `ca.pem`, `server.pem` and `server.key`; returns the authority.
fn certificates(directory: &Path) -> String {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let server = server.signed_by(&key, &authority).unwrap();
    std::fs::write(directory.join("ca.pem"), authority.pem()).unwrap();
    std::fs::write(directory.join("server.pem"), server.pem()).unwrap();
    std::fs::write(directory.join("server.key"), key.serialize_pem()).unwrap();
    authority.pem()
}
