//! Verifies the gateway's receipts, with the crates jsonwebtoken, serde, serde_json, sha2 and base64.
//!
//! ```text
//! verify KEYS ISSUER AUDIENCE < messages
//! ```
//!
//! KEYS is a file with what the gateway's `/.well-known/jwks/receipt.json` says: fetch it with the HTTP client of
//! your server, and again for a key that is not in it, once a minute at most. Each line of the input is a receipt
//! and the body it came with, in base64; each line of the output says `accepted` or `rejected`, and why.

use std::collections::HashMap;
use std::error::Error;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, get_current_timestamp};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

const LEEWAY_SECONDS: u64 = 5;

/// The claims that decide; more stand in docs/receipts.md.
#[derive(Deserialize)]
struct Said {
    jti: String,
    exp: u64,
    content_digest: String,
}

/// One for each server: it remembers what came, so that nothing comes twice.
struct Receipts {
    keys: JwkSet,
    rules: Validation,
    seen: HashMap<String, u64>,
}

impl Receipts {
    fn new(keys: JwkSet, issuer: &str, audience: &str) -> Self {
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_issuer(&[issuer]);
        rules.set_audience(&[audience]);
        rules.set_required_spec_claims(&["exp", "nbf", "aud", "iss"]);
        rules.validate_nbf = true;
        rules.leeway = LEEWAY_SECONDS;
        Self { keys, rules, seen: HashMap::new() }
    }

    /// What the receipt says; an error where it does not hold for this message.
    fn verify(&mut self, receipt: &str, body: &[u8]) -> Result<Said, Box<dyn Error>> {
        let key = decode_header(receipt)?.kid.and_then(|id| self.keys.find(&id)).ok_or("unknown key")?;
        let token = decode::<Said>(receipt, &DecodingKey::from_jwk(key)?, &self.rules)?;
        let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)));
        let is_receipt = token.header.typ.as_deref() == Some("mcpgw-receipt+jwt");
        if !is_receipt || token.claims.content_digest != digest {
            return Err("no receipt of this message".into());
        }
        self.remember(&token.claims)?;
        Ok(token.claims)
    }

    /// Refuses what came before. What has expired is refused anyhow, and is forgotten.
    fn remember(&mut self, said: &Said) -> Result<(), Box<dyn Error>> {
        let now = get_current_timestamp();
        self.seen.retain(|_, until| *until > now);
        match self.seen.insert(said.jti.clone(), said.exp.saturating_add(LEEWAY_SECONDS)) {
            Some(_) => Err("this receipt came before".into()),
            None => Ok(()),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [keys, issuer, audience] = arguments.as_slice() else {
        return Err("verify KEYS ISSUER AUDIENCE".into());
    };
    let mut receipts = Receipts::new(serde_json::from_slice(&std::fs::read(keys)?)?, issuer, audience);
    let mut out = std::io::stdout();
    for line in std::io::stdin().lines() {
        let line = line?;
        let (receipt, body) = line.split_once(' ').unwrap_or((&line, ""));
        match receipts.verify(receipt, &STANDARD.decode(body)?) {
            Ok(said) => writeln!(out, "accepted {}", said.jti)?,
            Err(error) => writeln!(out, "rejected {error}")?,
        }
    }
    Ok(())
}
