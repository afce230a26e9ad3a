//! A small OpenID Connect issuer in this process, for the demo's operators: discovery, one key, and
//! tokens that it signs when asked to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::time::{Clock as _, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::failure::Failure;
use crate::app::system::SystemClock;

const KEY_ID: &str = "demo";

/// The issuer. Ends when dropped.
pub(super) struct Issuer {
    /// Its identifier.
    pub(super) url: String,
    key: EncodingKey,
    server: JoinHandle<std::io::Result<()>>,
}

struct Documents {
    discovery: Value,
    keys: Value,
}

impl Issuer {
    /// Starts it on a free loopback port.
    pub(super) async fn start() -> Result<Self, Failure> {
        let pair =
            KeyPair::generate_for(&PKCS_ED25519).map_err(|error| Failure::at("the issuer's key", error))?;
        let key = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes())
            .map_err(|error| Failure::at("the issuer's key", error))?;
        let public = json!({
            "kty": "OKP", "crv": "Ed25519", "kid": KEY_ID, "use": "sig", "alg": "EdDSA",
            "x": URL_SAFE_NO_PAD.encode(pair.der_bytes()),
        });
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let documents = Arc::new(Documents {
            discovery: json!({"issuer": url, "jwks_uri": format!("{url}/keys")}),
            keys: json!({"keys": [public]}),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .with_state(documents);
        let server = tokio::spawn(axum::serve(listener, router).into_future());
        Ok(Self { url, key, server })
    }

    /// A token for a person, valid for an hour.
    pub(super) fn token(&self, audience: &str, subject: &str, groups: &[&str]) -> Result<String, Failure> {
        let now: Timestamp = SystemClock.now();
        let claims = json!({
            "iss": self.url, "sub": subject, "aud": audience, "groups": groups,
            "iat": now.seconds(), "nbf": now.seconds(),
            "exp": now.plus(Duration::from_secs(3600)).seconds(),
        });
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(KEY_ID.to_owned());
        jsonwebtoken::encode(&header, &claims, &self.key).map_err(|error| Failure::at("a token", error))
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn discovery(State(documents): State<Arc<Documents>>) -> Json<Value> {
    Json(documents.discovery.clone())
}

async fn keys(State(documents): State<Arc<Documents>>) -> Json<Value> {
    Json(documents.keys.clone())
}
