//! A real moto server of one test: AWS Secrets Manager, Parameter Store, STS and IAM on a loopback port,
//! ended when the test ends. As it starts it believes everybody; [`Moto::judge_signatures`] makes it
//! recompute every signature and ask the role's policies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a missing part fails the test")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

/// How long the server may take for anything it is asked to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// The account that moto plays.
const ACCOUNT: &str = "123456789012";
/// Where everything of the tests is.
pub const REGION: &str = "eu-west-1";

/// A running server.
#[derive(Debug)]
pub struct Moto {
    directory: TempDir,
    process: Option<Child>,
    client: reqwest::Client,
    host: String,
}

impl Moto {
    /// Starts a server.
    ///
    /// # Panics
    /// Where `moto_server` is not installed or does not start.
    pub async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let client = reqwest::Client::builder().no_proxy().http1_only().timeout(Duration::from_secs(10));
        let directory = TempDir::new().unwrap();
        let log = std::fs::File::create(directory.path().join("moto.log")).unwrap();
        let process = Command::new(program())
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .current_dir(directory.path())
            .env_clear()
            .env("HOME", directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("moto starts");
        let server = Self {
            directory,
            process: Some(process),
            client: client.build().unwrap(),
            host: format!("127.0.0.1:{port}"),
        };
        let end = Instant::now() + PATIENCE;
        while server.client.get(server.url("moto-api/data.json")).send().await.is_err() {
            let log = std::fs::read_to_string(server.directory.path().join("moto.log")).unwrap_or_default();
            assert!(Instant::now() < end, "moto does not listen\n{log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        server
    }

    /// Where it listens, as `host:port`.
    pub fn host(&self) -> &str {
        &self.host
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.host)
    }

    /// Writes the text into a file for the owner alone, and says where.
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

    /// Calls an action of a JSON service as the account's owner; returns status and body.
    ///
    /// # Panics
    /// Where the server does not answer.
    pub async fn call(&self, service: &str, target: &str, body: &Value) -> (u16, Value) {
        let request = self
            .client
            .post(self.url(""))
            .header("Content-Type", "application/x-amz-json-1.1")
            .header("X-Amz-Target", target)
            .header("Authorization", owner(service))
            .body(body.to_string());
        let answer = request.send().await.expect("moto answers");
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap_or_default()).unwrap_or(Value::Null))
    }

    /// Calls an action of Secrets Manager and insists on success.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn secrets_manager(&self, action: &str, body: &Value) -> Value {
        let (status, answer) = self.call("secretsmanager", &format!("secretsmanager.{action}"), body).await;
        assert_eq!(status, 200, "{action}: {answer}");
        answer
    }

    /// Calls an action of Parameter Store and insists on success.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn parameter_store(&self, action: &str, body: &Value) -> Value {
        let (status, answer) = self.call("ssm", &format!("AmazonSSM.{action}"), body).await;
        assert_eq!(status, 200, "{action}: {answer}");
        answer
    }

    /// Makes a role that may do these actions and no more; returns its ARN.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn role(&self, name: &str, actions: &[&str]) -> String {
        let anybody = json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Principal": { "Federated": "*" }, "Action": "sts:AssumeRoleWithWebIdentity" }] });
        let policy = json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Action": actions, "Resource": "*" }] });
        let (anybody, policy) = (anybody.to_string(), policy.to_string());
        self.iam(&[("Action", "CreateRole"), ("RoleName", name), ("AssumeRolePolicyDocument", &anybody)])
            .await;
        self.iam(&[
            ("Action", "PutRolePolicy"),
            ("RoleName", name),
            ("PolicyName", "own"),
            ("PolicyDocument", &policy),
        ])
        .await;
        format!("arn:aws:iam::{ACCOUNT}:role/{name}")
    }

    /// Makes a user who may do these actions and no more; returns the id and the secret of a key.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn user(&self, name: &str, actions: &[&str]) -> (String, String) {
        let policy = json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Action": actions, "Resource": "*" }] });
        let policy = policy.to_string();
        self.iam(&[("Action", "CreateUser"), ("UserName", name)]).await;
        self.iam(&[
            ("Action", "PutUserPolicy"),
            ("UserName", name),
            ("PolicyName", "own"),
            ("PolicyDocument", &policy),
        ])
        .await;
        let made = self.iam(&[("Action", "CreateAccessKey"), ("UserName", name)]).await;
        let element = |name: &str| {
            let (_, rest) = made.split_once(&format!("<{name}>")).expect("the element");
            rest.split('<').next().unwrap_or_default().to_owned()
        };
        (element("AccessKeyId"), element("SecretAccessKey"))
    }

    async fn iam(&self, fields: &[(&str, &str)]) -> String {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.append_pair("Version", "2010-05-08").extend_pairs(fields);
        let request = self
            .client
            .post(self.url(""))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .header("Authorization", owner("iam"))
            .body(body.finish());
        let answer = request.send().await.expect("moto answers");
        let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
        assert!(status.is_success(), "{fields:?}: {text}");
        text
    }

    /// From now on every signature is recomputed and every action asks the policies, or none again. STS is
    /// judged like any other service, which its web identities cannot pass: log in before.
    ///
    /// # Panics
    /// Where the server does not answer.
    pub async fn judge_signatures(&self, judge: bool) {
        let allowed = if judge { "0" } else { "inf" };
        let request = self.client.post(self.url("moto-api/reset-auth"));
        let answer = request.header("Content-Type", "text/plain").body(allowed).send().await;
        assert!(answer.expect("moto answers").status().is_success());
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _already_gone = process.kill();
            let _reaped = process.wait();
        }
    }
}

/// Tells moto which service is meant; it does not verify it unless it is told to.
fn owner(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIAOWNER/20260101/{REGION}/{service}/aws4_request, \
         SignedHeaders=host, Signature=none"
    )
}

/// The installed program: in `MCP_GATEWAY_PARTS`, or in `.parts` of the workspace.
fn program() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "where the parts are is told to tests by the environment")]
    let parts = std::env::var("MCP_GATEWAY_PARTS").map(PathBuf::from);
    let parts = parts.unwrap_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.parts"));
    let program = parts.join("moto/bin/moto_server");
    assert!(
        program.exists(),
        "moto is not installed at {}: run `scripts/parts/install moto`, or point MCP_GATEWAY_PARTS at the parts",
        program.display()
    );
    program
}
