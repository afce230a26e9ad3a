//! An OAuth provider in this process that answers whatever a test wants and remembers what it was asked.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "development only: a broken fixture must stop the test where it breaks"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, rustls};

/// One request as it came in.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Path and query.
    pub path: String,
    /// The header fields, names in lower case.
    pub headers: HashMap<String, String>,
    /// The form, in order.
    pub form: Vec<(String, String)>,
    /// The body as it came.
    pub body: String,
}

impl Asked {
    /// The value of a form parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Clone)]
struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

#[derive(Default)]
struct Told {
    replies: HashMap<String, Reply>,
    asked: Vec<Asked>,
    /// How many access tokens the default answer has made.
    issued: u32,
}

/// The provider. It publishes metadata, issues `token-1`, `token-2`, … and takes every token back, until a
/// test says otherwise.
pub struct FakeProvider {
    issuer: String,
    told: Arc<Mutex<Told>>,
    open: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for FakeProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FakeProvider({})", self.issuer)
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The path of its metadata.
pub const METADATA: &str = "/.well-known/oauth-authorization-server";

impl FakeProvider {
    /// Starts it on a free port of the loopback.
    ///
    /// # Panics
    /// Where no port is free.
    pub async fn start() -> Self {
        Self::launch(None).await
    }

    /// Starts it with TLS. Connections that the configuration does not accept are dropped.
    ///
    /// # Panics
    /// Where no port is free.
    pub async fn start_tls(config: Arc<rustls::ServerConfig>) -> Self {
        Self::launch(Some(TlsAcceptor::from(config))).await
    }

    async fn launch(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let issuer = format!("{scheme}://{}", listener.local_addr().unwrap());
        let told = Arc::new(Mutex::new(Told::default()));
        let (open, gate) = watch::channel(true);
        let (shared, base) = (Arc::clone(&told), issuer.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, base, gate) = (Arc::clone(&shared), base.clone(), gate.clone());
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &shared, &base, gate).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &shared, &base, gate).await;
                            }
                        }
                    }
                });
            }
        });
        Self { issuer, told, open, task }
    }

    /// Its issuer identifier.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The metadata that it publishes by itself, to be changed.
    pub fn metadata(&self) -> Value {
        metadata(&self.issuer)
    }

    /// From now on, the path is answered so.
    ///
    /// # Panics
    /// Never, but for a poisoned lock.
    pub fn answer(&self, path: &str, status: u16, headers: &[(&str, &str)], body: &str) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let reply = Reply { status, headers, body: body.to_owned() };
        self.told.lock().unwrap().replies.insert(path.to_owned(), reply);
    }

    /// From now on, the path is answered by itself again.
    ///
    /// # Panics
    /// Never, but for a poisoned lock.
    pub fn heal(&self, path: &str) {
        self.told.lock().unwrap().replies.remove(path);
    }

    /// Requests wait unanswered until it is opened again.
    pub fn hold(&self) {
        self.open.send_replace(false);
    }

    /// Answers what waits.
    pub fn release(&self) {
        self.open.send_replace(true);
    }

    /// What was asked at the path, in order.
    ///
    /// # Panics
    /// Never, but for a poisoned lock.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        self.told.lock().unwrap().asked.iter().filter(|asked| asked.path == path).cloned().collect()
    }
}

fn metadata(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/token"),
        "authorization_endpoint": format!("{issuer}/authorize"),
        "revocation_endpoint": format!("{issuer}/revoke"),
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    })
}

/// What is answered where no test says otherwise.
fn by_itself(told: &mut Told, asked: &Asked, issuer: &str) -> Reply {
    let reply = |status, body: Value| Reply { status, headers: Vec::new(), body: body.to_string() };
    match asked.path.as_str() {
        METADATA => reply(200, metadata(issuer)),
        "/revoke" => Reply { status: 200, headers: Vec::new(), body: String::new() },
        "/token" => {
            told.issued += 1;
            let token = format!("token-{}", told.issued);
            let mut body = json!({"access_token": token, "token_type": "Bearer", "expires_in": 600});
            if let Some(scope) = asked.parameter("scope") {
                body["scope"] = scope.into();
            }
            if asked.parameter("grant_type").is_some_and(|kind| kind.ends_with(":token-exchange")) {
                let wanted = asked.parameter("requested_token_type");
                let id_jag = wanted.is_some_and(|wanted| wanted.ends_with(":id-jag"));
                body["issued_token_type"] =
                    wanted.unwrap_or("urn:ietf:params:oauth:token-type:access_token").into();
                if id_jag {
                    body["token_type"] = "N_A".into();
                }
            }
            reply(200, body)
        }
        _ => reply(404, json!({"error": "not_found"})),
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    told: &Mutex<Told>,
    issuer: &str,
    mut gate: watch::Receiver<bool>,
) {
    let Some(asked) = read(&mut stream).await else { return };
    let reply = {
        let mut told = told.lock().unwrap();
        told.asked.push(asked.clone());
        match told.replies.get(&asked.path).cloned() {
            Some(reply) => reply,
            None => by_itself(&mut told, &asked, issuer),
        }
    };
    if gate.wait_for(|open| *open).await.is_err() {
        return;
    }
    let mut head =
        format!("HTTP/1.1 {} X\r\ncontent-type: application/json\r\nconnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n{}", reply.body.len(), reply.body));
    let _gone = stream.write_all(head.as_bytes()).await;
    let _gone = stream.shutdown().await;
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Asked> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes.get(..head_end)?.to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let start = head_end + 4;
    while bytes.len() < start + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = bytes.get(start..)?;
    let form = url::form_urlencoded::parse(body).into_owned().collect();
    let body = String::from_utf8_lossy(body).into_owned();
    Some(Asked { path, headers, form, body })
}
