//! Receipts: what a server's owner is told about one message, signed, to be verified without asking anybody
//! (DESIGN, sections 10.10, 11.10 and 12.16). Evidence, never authority: whoever holds one may do nothing.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::actor::Actor;
use crate::audit::BindingRevision;
use crate::id::{EnvironmentName, RequestId, ServerName, ToolName};
use crate::manifest::{ContentHash, CredentialMode, Route};
use crate::time::Timestamp;

/// The header that a receipt travels in.
pub const HEADER: &str = "mcp-gateway-receipt";

/// From `iat` to `exp`.
pub const LIFETIME: Duration = Duration::from_secs(60);

/// Whether messages to a server carry a receipt. Part of its route, and so approved with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptMode {
    /// None do.
    #[default]
    Off,
    /// All do, and receipts name who acts: for servers inside the organisation.
    Header,
    /// All do, and whoever acts has a pseudonym there: for servers outside.
    Pseudonymous,
}

impl ReceiptMode {
    /// The mode of a route on which receipts go; processes get none.
    pub const fn of(route: &Route) -> Option<Self> {
        match route {
            Route::Http(route) if !route.receipt.is_off() => Some(route.receipt),
            Route::Http(_) | Route::Stdio(_) => None,
        }
    }

    /// Whether there is no receipt at all.
    pub const fn is_off(self) -> bool {
        matches!(self, Self::Off)
    }
}

/// On whose account a message is sent.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    /// These, by their stable ids.
    Named(&'a Actor),
    /// These, by pseudonyms that mean something at this one server only.
    Pseudonymous(&'a Actor),
    /// The gateway's own.
    Gateway,
}

/// What one message to a server was decided by. Names, numbers and hashes: no field can hold a secret.
#[derive(Clone, Debug)]
pub struct Receipt<'a> {
    /// The gateway: its public URL.
    pub issuer: &'a str,
    /// The server: the URL of its route.
    pub audience: &'a Url,
    /// The request it belongs to, which the evidence has too.
    pub request_id: &'a RequestId,
    /// Tells apart the messages of one request.
    pub nonce: [u8; 8],
    /// On whose account.
    pub who: Who<'a>,
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// The server's name.
    pub server: &'a ServerName,
    /// The JSON-RPC method, cut to 64 characters like in the evidence.
    pub method: Option<String>,
    /// The tool.
    pub tool: Option<ToolName>,
    /// The credential mode.
    pub mode: CredentialMode,
    /// The binding.
    pub binding: BindingRevision,
    /// The policy version that decided; absent for the gateway's own messages.
    pub policy_version: Option<ContentHash>,
    /// When the intent was recorded.
    pub decided_at: Timestamp,
    /// What the message is.
    pub content: ContentDigest,
}

/// SHA-256 of a message's content, written as in `Content-Digest` (RFC 9530, section 2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContentDigest([u8; 32]);

impl ContentDigest {
    /// Of exactly these bytes.
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }
}

impl std::fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sha-256=:{}:", STANDARD.encode(self.0))
    }
}

impl Receipt<'_> {
    /// The claims (RFC 7519, section 4). `pseudonym` turns the stable id of a party into what this
    /// audience may know it by.
    pub fn claims(&self, pseudonym: impl Fn(&str) -> String) -> Map<String, Value> {
        let start = self.decided_at.seconds();
        let life = i64::try_from(LIFETIME.as_secs()).unwrap_or_default();
        let mut claims = Map::new();
        // What there is not is left out.
        let mut say = |name: &str, value: Value| {
            if !value.is_null() {
                claims.insert(name.to_owned(), value);
            }
        };
        say("iss", json!(self.issuer));
        say("aud", json!(self.audience.as_str()));
        // The messages of one request have receipts of their own: a retry is no replay.
        say("jti", json!(format!("{}.{}", self.request_id, hex::encode(self.nonce))));
        say("iat", json!(start));
        say("nbf", json!(start));
        say("exp", json!(start.saturating_add(life)));
        match self.who {
            Who::Named(actor) => name_parties(actor, str::to_owned, &mut say),
            Who::Pseudonymous(actor) => name_parties(actor, pseudonym, &mut say),
            Who::Gateway => say("sub", json!(self.issuer)),
        }
        say("request_id", json!(self.request_id));
        say("environment", json!(self.environment));
        say("server", json!(self.server));
        say("method", json!(self.method));
        say("tool", json!(self.tool));
        say("mode", json!(self.mode));
        say("binding", json!(self.binding));
        say("policy_version", json!(self.policy_version));
        say("decided_at", json!(self.decided_at));
        say("content_digest", json!(self.content.to_string()));
        claims
    }
}

/// `sub`, who acts for it (`act`, RFC 8693, section 4.1), and the runtime.
fn name_parties(actor: &Actor, known_as: impl Fn(&str) -> String, say: &mut impl FnMut(&str, Value)) {
    let Some((subject, acting)) = actor.parties() else { return };
    say("sub", json!(known_as(&subject)));
    if let Some(acting) = acting {
        say("act", json!({ "sub": known_as(&acting) }));
    }
    if let Some(workload) = &actor.workload {
        say("workload", json!(known_as(&format!("workload:{workload}"))));
    }
}

#[cfg(test)]
mod tests;
