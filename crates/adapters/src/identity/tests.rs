//! Tokens, honest and not, against an issuer in this process.

mod certificates;
mod config;
mod delegation;
mod doors;
mod facade;
mod flattening;
mod issued;
mod key_sets;
mod matrix;
mod presets;
mod receipts;
mod revocations;
mod rotation;
mod sign_in;
mod svids;
mod workloads;

use std::sync::Arc;

use gateway_core::identity::{IdentityError, Presented, VerifiedIdentity};
use gateway_core::ports::IdentityVerifier;
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use gateway_testkit::issuer::TestIssuer;
use serde_json::{Value, json};
use url::Url;

use super::{IssuerConfig, OidcVerifier};

const NOW: i64 = 1_800_000_000;
const PUBLIC_URL: &str = "http://127.0.0.1:8080";
const AUDIENCE: &str = "http://127.0.0.1:8080/mcp/dev/github";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(NOW + seconds)
}

fn presented(token: &str) -> Presented {
    Presented::new(Secret::new(token.as_bytes().to_vec()))
}

fn public_url() -> Url {
    Url::parse(PUBLIC_URL).unwrap()
}

/// A configuration for this issuer with these fields over the ordinary ones; `null` removes one.
fn config(issuer: &TestIssuer, changes: &Value) -> IssuerConfig {
    let mut fields = json!({"issuer": issuer.issuer(), "audience": AUDIENCE, "groups_claim": "groups"});
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            fields.as_object_mut().unwrap().remove(name);
        } else {
            fields[name] = value.clone();
        }
    }
    serde_json::from_value(fields).unwrap()
}

fn verifier(configs: &[IssuerConfig]) -> OidcVerifier {
    OidcVerifier::new(configs, &public_url()).unwrap()
}

struct World {
    issuer: TestIssuer,
    verifier: OidcVerifier,
}

impl World {
    async fn new() -> Self {
        Self::with(&json!({})).await
    }

    async fn with(changes: &Value) -> Self {
        let issuer = TestIssuer::start().await;
        let verifier = verifier(&[config(&issuer, changes)]);
        Self { issuer, verifier }
    }

    fn claims(&self) -> Value {
        self.issuer.claims("alice", AUDIENCE, NOW)
    }

    /// The ordinary claims with these over them; `null` removes one.
    fn claims_with(&self, changes: &Value) -> Value {
        let mut claims = self.claims();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    }

    async fn verify(&self, token: &str, seconds: i64) -> Result<Arc<VerifiedIdentity>, IdentityError> {
        self.verifier.verify(&presented(token), at(seconds)).await
    }

    /// What becomes of a token with these changes, signed by an honest key.
    async fn judge(&self, changes: &Value) -> Result<Arc<VerifiedIdentity>, IdentityError> {
        self.verify(&self.issuer.sign("es256", &self.claims_with(changes)), 0).await
    }
}
