//! What the gateway signs to log in at a store: short-lived tokens about itself, or about who calls. Never
//! the caller's own token (DESIGN, section 11.8).

use std::fmt;
use std::sync::Arc;

use gateway_core::actor::Actor;
use gateway_core::id::EnvironmentName;
use gateway_core::ports::{Random, StoreError, StoreErrorKind};
use gateway_core::secret::Secret;
use gateway_core::time::Clock;
use serde_json::{Map, Value, json};

use crate::signing::{Algorithm, Purpose, Signer};

/// How long such a token holds: for one login.
const LIFETIME_SECONDS: i64 = 60;
/// The subject of a token about the gateway itself. No actor is called so: theirs have a `|` or a `:`.
const GATEWAY: &str = "mcp-gateway";

/// Signs them.
pub struct StoreAssertions {
    signer: Arc<Signer>,
    issuer: String,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl fmt::Debug for StoreAssertions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreAssertions").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// Whom a token is about: its claims but for the times.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Asserted(Map<String, Value>);

impl Asserted {
    /// The gateway itself.
    pub(super) fn gateway() -> Self {
        Self(Map::from_iter([("sub".to_owned(), json!(GATEWAY))]))
    }

    /// Who calls, into which environment; `None` for an actor without any part that has a name.
    pub(super) fn caller(actor: &Actor, environment: &EnvironmentName) -> Option<Self> {
        let (subject, acting) = actor.parties()?;
        let mut claims = Map::from_iter([
            ("sub".to_owned(), json!(subject)),
            ("environment".to_owned(), json!(environment)),
        ]);
        if let Some(acting) = acting {
            claims.insert("act".to_owned(), json!({ "sub": acting }));
        }
        let user = actor.user.as_ref().map(|user| json!(user.to_string()));
        let agent = actor.agent.as_ref().map(|agent| json!(agent));
        let workload = actor.workload.as_ref().map(|workload| json!(workload));
        for (name, value) in [("user", user), ("agent", agent), ("workload", workload)] {
            claims.extend(value.map(|value| (name.to_owned(), value)));
        }
        Some(Self(claims))
    }

    /// A text that is the same exactly for the same claims.
    pub(super) fn key(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }
}

impl StoreAssertions {
    /// Signs as this issuer: the gateway's public URL.
    pub fn new(
        signer: Arc<Signer>,
        public_url: &str,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self { signer, issuer: public_url.trim_end_matches('/').to_owned(), clock, random }
    }

    /// A token for one login at the audience.
    pub(super) fn sign(&self, audience: &str, about: &Asserted) -> Result<Secret, StoreError> {
        let mut id = [0_u8; 16];
        self.random.fill(&mut id);
        let now = self.clock.now().seconds();
        let mut claims = about.0.clone();
        for (name, value) in [
            ("iss", json!(self.issuer)),
            ("aud", json!(audience)),
            ("jti", json!(hex::encode(id))),
            ("iat", json!(now)),
            ("nbf", json!(now)),
            ("exp", json!(now.saturating_add(LIFETIME_SECONDS))),
        ] {
            claims.insert(name.to_owned(), value);
        }
        // Every store that takes tokens knows this algorithm.
        let token = self.signer.sign(Purpose::StoreLogin, Algorithm::Es256, &claims);
        token.map_err(|error| StoreError::new(StoreErrorKind::Denied, error))
    }
}
