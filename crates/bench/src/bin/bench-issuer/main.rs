//! An OpenID Connect issuer with one Ed25519 key: discovery, key set, and access tokens in files.
//!
//! It says its issuer URL on standard output, writes the tokens, and serves until it is killed.

use std::convert::Infallible;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use clap::Parser;
use gateway_bench::{Failure, announce};
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const KEY_ID: &str = "bench";

/// An issuer for one run.
#[derive(Parser)]
struct Arguments {
    /// The audience of a token: the URL of a gateway's door. As many as there are token files.
    #[arg(long)]
    audience: Vec<String>,
    /// Where the token for the audience in the same place goes.
    #[arg(long)]
    token_file: Vec<PathBuf>,
    /// How many users: each file gets a line for each of them.
    #[arg(long, default_value_t = 1)]
    subjects: usize,
    /// How long the token holds.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
}

struct Documents {
    discovery: String,
    keys: String,
}

#[expect(clippy::disallowed_methods, reason = "an issuer's tokens carry the real time")]
fn claims(issuer: &str, audience: &str, subject: &str, seconds: u64) -> Result<Value, Failure> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    Ok(json!({
        "iss": issuer, "sub": subject, "aud": audience, "client_id": "bench-load", "jti": "bench",
        "groups": ["bench"], "iat": now, "nbf": now, "exp": now + seconds
    }))
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

async fn serve(arguments: Arguments) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let issuer = format!("http://{}", listener.local_addr()?);
    let pair = KeyPair::generate_for(&PKCS_ED25519)?;
    let key = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes())?;
    let mut head = Header::new(Algorithm::EdDSA);
    head.kid = Some(KEY_ID.to_owned());
    head.typ = Some("at+jwt".to_owned());
    for (audience, file) in arguments.audience.iter().zip(&arguments.token_file) {
        let mut tokens = Vec::new();
        for number in 0..arguments.subjects {
            let claims = claims(&issuer, audience, &format!("user-{number}"), arguments.seconds)?;
            tokens.push(jsonwebtoken::encode(&head, &claims, &key)?);
        }
        write_private(file, &tokens.join("\n"))?;
    }
    let public = URL_SAFE_NO_PAD.encode(pair.der_bytes());
    let documents = Arc::new(Documents {
        discovery: json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")}).to_string(),
        keys: json!({"keys": [{
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": KEY_ID, "x": public
        }]})
        .to_string(),
    });
    announce(&issuer)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let documents = Arc::clone(&documents);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer(&documents, request.uri().path());
                async move { Ok::<_, Infallible>(answer) }
            });
            // A client that goes away ends its own connection only.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(documents: &Documents, path: &str) -> Response<Full<Bytes>> {
    let (status, text) = match path {
        "/.well-known/openid-configuration" => (200, documents.discovery.clone()),
        "/keys" => (200, documents.keys.clone()),
        _ => (404, "{}".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(serve(arguments))
}
