//! A client logs a person in through the gateway at npm oidc-provider, and calls with what it got.

use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp_gateway::app::{Running, start};
use mcp_gateway::config;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use url::Url;

use crate::browser::{Browser, Page};
use crate::provider::Provider;

const SECRET: &str = "client-secret-of-the-gateway-0123456789";
const VERIFIER: &str = "a-verifier-of-the-client-that-is-long-enough-0001";
const END: &str = "http://127.0.0.1:1/callback";

struct World {
    base: String,
    http: reqwest::Client,
    running: Running,
    directory: TempDir,
    _provider: Provider,
}

impl World {
    async fn start() -> Self {
        // The redirect URI has the port in it, so the port comes first.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let base = format!("http://127.0.0.1:{port}");
        let provider = Provider::start(&json!({
            "client_id": "gateway", "client_secret": SECRET, "grant_types": ["authorization_code"],
            "response_types": ["code"], "redirect_uris": [format!("{base}/login/callback")]
        }))
        .await;
        let directory = TempDir::new().unwrap();
        let secret = directory.path().join("client-secret");
        std::fs::write(&secret, SECRET).unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        let text = format!(
            "listen: 127.0.0.1:{port}
public_url: {base}
control: {{ listen: 127.0.0.1:0 }}
state: sqlite://state.db
audit: {{ directory: audit }}
stores:
  files: {{ kind: file, base: {root}, environments: [dev] }}
login:
  issuer: {issuer}
  client_id: gateway
  client_secret: files://client-secret
  key_file: login.key
  clients: {{ registration: true }}
",
            root = directory.path().display(),
            issuer = provider.issuer,
        );
        let config = config::parse("gateway.yaml", &text, directory.path()).unwrap_or_else(|p| panic!("{p}"));
        let running = start(config).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { base, http, running, directory, _provider: provider }
    }

    fn door(&self, server: &str) -> String {
        format!("{}/mcp/dev/{server}", self.base)
    }

    async fn json(&self, url: &str) -> Value {
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    async fn token(&self, fields: &[(&str, &str)]) -> (u16, Value) {
        let answer = self.http.post(format!("{}/oauth/token", self.base)).form(fields).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// What becomes of a call: the status, and the stable code.
    async fn call(&self, server: &str, token: &str) -> (u16, String) {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
        let request = self.http.post(self.door(server)).json(&body);
        let request = request.header("accept", "application/json, text/event-stream").bearer_auth(token);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let said: Value = answer.json().await.unwrap();
        (status, said["error"]["data"]["code"].as_str().unwrap_or_default().to_owned())
    }
}

fn parameter(page: &Page, name: &str) -> Option<String> {
    page.url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// From the consent to the client's own address.
async fn walk(world: &World, browser: &mut Browser, client: &str) -> Page {
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let place = Url::parse_with_params(
        &format!("{}/oauth/authorize", world.base),
        [
            ("response_type", "code"),
            ("client_id", client),
            ("redirect_uri", END),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("resource", &world.door("tools")),
            ("state", "of-the-client"),
        ],
    );
    let consent = browser.go(place.unwrap(), END).await;
    assert!(consent.status == 200 && consent.text.contains("Allow this application?"), "{consent:?}");
    let login = browser.send(consent.form().with("decision", "allow"), END).await;
    assert!(login.url.host_str() == Some("127.0.0.2"), "the login is the provider's: {login:?}");
    let agreement = browser.send(login.form().with("login", "alice").with("password", "any"), END).await;
    browser.send(agreement.form(), END).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_nobody_knows_logs_a_person_in_and_calls() {
    let world = World::start().await;
    let metadata =
        world.json(&format!("{}/.well-known/oauth-protected-resource/mcp/dev/tools", world.base)).await;
    assert_eq!(metadata["authorization_servers"][0], world.base.as_str());
    let server = world.json(&format!("{}/.well-known/oauth-authorization-server", world.base)).await;
    assert_eq!(server["issuer"], world.base.as_str());
    let keys = world.json(server["jwks_uri"].as_str().unwrap()).await;
    assert!(keys["keys"].as_array().is_some_and(|keys| !keys.is_empty()), "{keys}");
    let registration = json!({
        "redirect_uris": [END], "client_name": "walk",
        "grant_types": ["authorization_code", "refresh_token"]
    });
    let registered = world.http.post(server["registration_endpoint"].as_str().unwrap()).json(&registration);
    let registered: Value = registered.send().await.unwrap().json().await.unwrap();
    let client = registered["client_id"].as_str().unwrap();

    let mut browser = Browser::new();
    let end = walk(&world, &mut browser, client).await;
    assert_eq!(parameter(&end, "state").as_deref(), Some("of-the-client"), "{end:?}");
    assert_eq!(parameter(&end, "iss").as_deref(), Some(world.base.as_str()));
    let code = parameter(&end, "code").unwrap();
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("code", &code),
        ("redirect_uri", END),
        ("code_verifier", VERIFIER),
        ("resource", &world.door("tools")),
    ];
    let (status, tokens) = world.token(&fields).await;
    assert_eq!(status, 200, "{tokens}");
    let access = tokens["access_token"].as_str().unwrap();

    // The token is taken; that there is no such server is another matter.
    assert_eq!(world.call("tools", access).await, (404, "server.unknown".to_owned()));
    assert_eq!(world.call("other", access).await, (401, "token.audience".to_owned()));
    assert_eq!(world.call("tools", &access.replace('.', "x.")).await.0, 401);

    let refresh = |token: &str| {
        [
            ("grant_type", "refresh_token".to_owned()),
            ("client_id", client.to_owned()),
            ("refresh_token", token.to_owned()),
        ]
    };
    let first = refresh(tokens["refresh_token"].as_str().unwrap());
    let first: Vec<(&str, &str)> = first.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (status, next) = world.token(&first).await;
    assert_eq!(status, 200, "{next}");
    assert_eq!(world.call("tools", next["access_token"].as_str().unwrap()).await.0, 404);
    let (status, refused) = world.token(&first).await;
    assert_eq!((status, refused["error"].as_str()), (400, Some("invalid_grant")));
    let second = refresh(next["refresh_token"].as_str().unwrap());
    let second: Vec<(&str, &str)> = second.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(world.token(&second).await.0, 400, "the family ended with the reuse");

    let secrets = [SECRET, &code, access, tokens["refresh_token"].as_str().unwrap()];
    world.running.stop().await;
    let mut read = 0;
    for entry in walked(world.directory.path()) {
        // The database takes its own short-lived files away as it closes.
        let Ok(bytes) = std::fs::read(&entry) else { continue };
        read += 1;
        let holds = |secret: &&str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        let is_the_secrets_own = entry.ends_with("client-secret");
        assert!(is_the_secrets_own || !secrets.iter().any(holds), "a secret lies in {}", entry.display());
    }
    assert!(read > 4, "state, evidence and keys were looked at");
}

fn walked(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walked(&path));
        } else {
            files.push(path);
        }
    }
    files
}
