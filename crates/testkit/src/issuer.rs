//! An OpenID Connect issuer in this process: discovery, JWKS, rotation, outage, and tokens with any
//! header and any claims, honest or not.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "development only: a broken fixture must stop the test where it breaks"
)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The kinds of key that the issuer signs with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyKind {
    /// RSA with 2048 bits, signing RS256.
    Rs256,
    /// P-256, signing ES256.
    Es256,
    /// Ed25519, signing `EdDSA`.
    EdDsa,
}

impl KeyKind {
    /// The kinds with the `kid` each first key has: `rs256`, `es256`, `eddsa`.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Rs256, "rs256"), (Self::Es256, "es256"), (Self::EdDsa, "eddsa")];

    /// The `alg` of its tokens.
    pub const fn algorithm(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

struct SigningKey {
    kid: String,
    kind: KeyKind,
    private: EncodingKey,
    public: Value,
    public_pem: String,
    published: bool,
}

impl SigningKey {
    fn generate(kind: KeyKind, kid: &str) -> Self {
        let pair = match kind {
            KeyKind::Rs256 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
            KeyKind::Es256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            KeyKind::EdDsa => KeyPair::generate_for(&PKCS_ED25519),
        }
        .expect("a key");
        let pem = pair.serialize_pem();
        let private = match kind {
            KeyKind::Rs256 => EncodingKey::from_rsa_pem(pem.as_bytes()),
            KeyKind::Es256 => EncodingKey::from_ec_pem(pem.as_bytes()),
            KeyKind::EdDsa => EncodingKey::from_ed_pem(pem.as_bytes()),
        }
        .expect("the key in PEM");
        let mut public = match kind {
            KeyKind::Rs256 => {
                serde_json::to_value(Jwk::from_encoding_key(&private, Algorithm::RS256).unwrap()).unwrap()
            }
            KeyKind::Es256 => {
                // An uncompressed point: 0x04, x, y (SEC 1, section 2.3.3).
                let (x, y) = pair.public_key_raw().get(1..65).expect("a point").split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)})
            }
            KeyKind::EdDsa => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key_raw())}),
        };
        let fields = public.as_object_mut().expect("a JWK");
        fields.insert("kid".into(), json!(kid));
        fields.insert("use".into(), json!("sig"));
        fields.insert("alg".into(), json!(kind.algorithm()));
        Self { kid: kid.into(), kind, private, public, public_pem: pair.public_key_pem(), published: true }
    }
}

/// Where the discovery document lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DiscoveryStyle {
    /// `{issuer}/.well-known/openid-configuration`.
    #[default]
    OpenId,
    /// `/.well-known/oauth-authorization-server{path of the issuer}` (RFC 8414, section 3.1).
    Rfc8414,
}

#[derive(Default)]
struct Shared {
    keys: Mutex<Vec<SigningKey>>,
    extra_keys: Mutex<Vec<Value>>,
    bundle: Mutex<Option<Value>>,
    announced: Mutex<String>,
    base: Mutex<String>,
    discovery_path: Mutex<String>,
    cache_control: Mutex<Option<String>>,
    outage: AtomicBool,
    discovery_requests: AtomicUsize,
    jwks_requests: AtomicUsize,
}

/// The issuer. Ends when dropped.
pub struct TestIssuer {
    issuer: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Drop for TestIssuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl TestIssuer {
    /// Starts an issuer on a free loopback port, with one key of each kind.
    pub async fn start() -> Self {
        Self::start_at("", DiscoveryStyle::OpenId).await
    }

    /// Starts an issuer whose identifier has a path (`/tenant`, or empty).
    pub async fn start_at(path: &str, style: DiscoveryStyle) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let issuer = format!("{base}{path}");
        let shared = Arc::new(Shared::default());
        *shared.announced.lock().unwrap() = issuer.clone();
        *shared.base.lock().unwrap() = base;
        *shared.discovery_path.lock().unwrap() = match style {
            DiscoveryStyle::OpenId => format!("{path}/.well-known/openid-configuration"),
            DiscoveryStyle::Rfc8414 => format!("/.well-known/oauth-authorization-server{path}"),
        };
        let keys = KeyKind::ALL.map(|(kind, kid)| SigningKey::generate(kind, kid));
        shared.keys.lock().unwrap().extend(keys);
        let served = Arc::clone(&shared);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&served)));
            }
        });
        Self { issuer, shared, server }
    }

    /// Its identifier: the `iss` of its tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Where its keys are.
    pub fn jwks_url(&self) -> String {
        format!("{}/keys", self.shared.base.lock().unwrap())
    }

    /// Serves a trust bundle at this address from now on.
    pub fn serve_bundle(&self, bundle: Value) -> String {
        *self.shared.bundle.lock().unwrap() = Some(bundle);
        format!("{}/bundle", self.shared.base.lock().unwrap())
    }

    /// How often its keys, or its bundle, were fetched.
    pub fn jwks_requests(&self) -> usize {
        self.shared.jwks_requests.load(Ordering::SeqCst)
    }

    /// How often its discovery document was fetched.
    pub fn discovery_requests(&self) -> usize {
        self.shared.discovery_requests.load(Ordering::SeqCst)
    }

    /// In an outage every connection is closed without an answer.
    pub fn set_outage(&self, outage: bool) {
        self.shared.outage.store(outage, Ordering::SeqCst);
    }

    /// Lets the discovery document name another issuer.
    pub fn announce(&self, issuer: &str) {
        *self.shared.announced.lock().unwrap() = issuer.into();
    }

    /// The `Cache-Control` of the keys.
    pub fn set_cache_control(&self, value: &str) {
        *self.shared.cache_control.lock().unwrap() = Some(value.into());
    }

    /// Makes and publishes a new key.
    pub fn add_key(&self, kind: KeyKind, kid: &str) {
        self.shared.keys.lock().unwrap().push(SigningKey::generate(kind, kid));
    }

    /// Stops publishing a key; the issuer can still sign with it.
    pub fn withdraw_key(&self, kid: &str) {
        for key in self.shared.keys.lock().unwrap().iter_mut().filter(|key| key.kid == kid) {
            key.published = false;
        }
    }

    /// Publishes a JWK as it is.
    pub fn publish(&self, jwk: Value) {
        self.shared.extra_keys.lock().unwrap().push(jwk);
    }

    /// The public half of a key, as JWK.
    pub fn public_jwk(&self, kid: &str) -> Value {
        self.with_key(kid, |key| key.public.clone())
    }

    /// The public half of a key, as PEM: what an algorithm-confusion attack signs with.
    pub fn public_pem(&self, kid: &str) -> String {
        self.with_key(kid, |key| key.public_pem.clone())
    }

    /// Claims of a person's access token that holds for five minutes.
    pub fn claims(&self, subject: &str, audience: &str, now_seconds: i64) -> Value {
        json!({
            "iss": self.issuer, "sub": subject, "aud": audience, "client_id": "test-client",
            "iat": now_seconds, "nbf": now_seconds, "exp": now_seconds + 300, "jti": "test"
        })
    }

    /// An access token (`typ: at+jwt`) signed by the key.
    pub fn sign(&self, kid: &str, claims: &Value) -> String {
        self.sign_with(kid, &json!({"typ": "at+jwt"}), claims)
    }

    /// A token whose header has these fields over `alg` and `kid`; `null` removes a field.
    pub fn sign_with(&self, kid: &str, header: &Value, claims: &Value) -> String {
        let mut fields = Map::new();
        fields.insert("alg".into(), json!(self.with_key(kid, |key| key.kind.algorithm())));
        fields.insert("kid".into(), json!(kid));
        for (name, value) in header.as_object().expect("an object") {
            if value.is_null() {
                fields.remove(name);
            } else {
                fields.insert(name.clone(), value.clone());
            }
        }
        self.sign_raw(kid, &Value::Object(fields).to_string(), &claims.to_string())
    }

    /// A token with exactly these texts as header and claims, signed by the key.
    pub fn sign_raw(&self, kid: &str, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let signature = self.with_key(kid, |key| {
            let algorithm = match key.kind {
                KeyKind::Rs256 => Algorithm::RS256,
                KeyKind::Es256 => Algorithm::ES256,
                KeyKind::EdDsa => Algorithm::EdDSA,
            };
            jsonwebtoken::crypto::sign(message.as_bytes(), &key.private, algorithm).expect("a signature")
        });
        format!("{message}.{signature}")
    }

    fn with_key<T>(&self, kid: &str, use_it: impl FnOnce(&SigningKey) -> T) -> T {
        let keys = self.shared.keys.lock().unwrap();
        use_it(keys.iter().find(|key| key.kid == kid).expect("a key of this issuer"))
    }
}

/// An HS256 token over these texts: what an attacker makes of any bytes it knows.
pub fn sign_hs256(secret: &[u8], header: &str, claims: &str) -> String {
    let message = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("a MAC");
    format!("{message}.{signature}")
}

/// Base64url without padding, as JWTs have it.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

async fn answer(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut head = Vec::new();
    let mut chunk = [0_u8; 2048];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut chunk).await {
            Ok(read) if read > 0 && head.len() < 16_384 => {
                head.extend_from_slice(chunk.get(..read).unwrap_or_default());
            }
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let (status, extra, body) = respond(path, &shared);
    if shared.outage.load(Ordering::SeqCst) {
        return;
    }
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{extra}Connection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Status line, further headers and body. Counts requests in an outage too: they were made.
fn respond(path: &str, shared: &Shared) -> (&'static str, String, String) {
    if path == *shared.discovery_path.lock().unwrap() {
        shared.discovery_requests.fetch_add(1, Ordering::SeqCst);
        let keys = format!("{}/keys", shared.base.lock().unwrap());
        let document = json!({"issuer": *shared.announced.lock().unwrap(), "jwks_uri": keys});
        return ("200 OK", String::new(), document.to_string());
    }
    if path == "/bundle" {
        shared.jwks_requests.fetch_add(1, Ordering::SeqCst);
        let bundle = shared.bundle.lock().unwrap().clone().unwrap_or_default();
        return ("200 OK", String::new(), bundle.to_string());
    }
    if path == "/keys" {
        shared.jwks_requests.fetch_add(1, Ordering::SeqCst);
        let keys = shared.keys.lock().unwrap();
        let published = keys.iter().filter(|key| key.published).map(|key| key.public.clone());
        let extra_keys = shared.extra_keys.lock().unwrap().clone();
        let all: Vec<Value> = extra_keys.into_iter().chain(published).collect();
        let cache_control = shared.cache_control.lock().unwrap().clone();
        let header = cache_control.map(|value| format!("Cache-Control: {value}\r\n")).unwrap_or_default();
        return ("200 OK", header, json!({"keys": all}).to_string());
    }
    ("404 Not Found", String::new(), "{}".into())
}
