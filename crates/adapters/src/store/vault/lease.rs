//! Dynamic secrets: made by a read, kept alive and taken back by the id of their lease
//! (`sys/leases/renew`, `sys/leases/revoke`).

use std::time::Duration;

use async_trait::async_trait;
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::ports::{LeasingStore, StoreError, StoreErrorKind, StoreLease};
use gateway_core::reference::ResolvedReference;
use gateway_core::time::Timestamp;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::VaultStore;
use super::wire::Answer;
use crate::store::json_text::{Fields, secret_field};

/// The answer to a read that makes a secret.
#[derive(Deserialize)]
struct Leased<'a> {
    request_id: Option<String>,
    #[serde(default)]
    lease_id: String,
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
    #[serde(borrow)]
    data: Option<Fields<'a>>,
}

/// The answer to a renewal.
#[derive(Deserialize)]
struct Renewed {
    lease_duration: u64,
}

impl VaultStore {
    /// Asks below `sys/leases`, and once more where the token turns out to be dead.
    async fn ask_lease(&self, act: &str, body: &serde_json::Value) -> Result<Answer, StoreError> {
        let body = body.to_string();
        let segments = ["sys", "leases", act];
        let ask = async |token: &http::HeaderValue| {
            self.wire.call(Method::POST, &segments, None, Some(token), Some(body.as_bytes())).await
        };
        let token = self.tokens.current().await?;
        let answer = ask(&token).await?;
        if answer.status != 403 || self.tokens.is_alive(&token).await? {
            return Ok(answer);
        }
        ask(&self.tokens.replace(&token).await?).await
    }
}

#[async_trait]
impl LeasingStore for VaultStore {
    async fn lease(&self, reference: &ResolvedReference) -> Result<StoreLease, StoreError> {
        let malformed = |inside: &str| StoreError::new(StoreErrorKind::Malformed, inside);
        let field = reference.field.as_deref();
        let field =
            field.ok_or_else(|| malformed("name the field: `store://database/creds/role#password`"))?;
        if reference.version.is_some() {
            return Err(malformed("a secret that is made on demand has no versions"));
        }
        let segments: Vec<&str> = reference.path.trim_start_matches('/').split('/').collect();
        let answer = self.read(&segments, None).await?;
        match answer.status {
            200 => lease(&answer, field, self.clock.now()),
            // The database engine says that it knows no such role as a mistake of the request.
            400 | 404 => Err(answer.error(StoreErrorKind::NotFound, "there is no such role or mount")),
            _ => Err(answer.failure()),
        }
    }

    async fn renew(&self, lease: &str, span: Duration) -> Result<Duration, StoreError> {
        let body = json!({ "lease_id": lease, "increment": span.as_secs() });
        let answer = self.ask_lease("renew", &body).await?;
        match (answer.status, answer.json::<Renewed>()) {
            (200, Some(renewed)) => Ok(Duration::from_secs(renewed.lease_duration)),
            (200, None) => Err(answer.error(StoreErrorKind::Malformed, "the renewal makes no sense")),
            (400 | 404, _) => Err(answer.error(StoreErrorKind::NotFound, "there is no such lease")),
            _ => Err(answer.failure()),
        }
    }

    async fn revoke(&self, lease: &str) -> Result<(), StoreError> {
        let answer = self.ask_lease("revoke", &json!({ "lease_id": lease, "sync": true })).await?;
        match answer.status {
            200..=299 => Ok(()),
            // Either the lease is gone, or taking it back failed: only looking tells.
            400 | 404 => match self.ask_lease("lookup", &json!({ "lease_id": lease })).await?.status {
                400 | 404 => Ok(()),
                _ => Err(answer.error(StoreErrorKind::Unavailable, "the lease could not be taken back")),
            },
            _ => Err(answer.failure()),
        }
    }
}

fn lease(answer: &Answer, field: &str, now: Timestamp) -> Result<StoreLease, StoreError> {
    let malformed = |inside: &str| answer.error(StoreErrorKind::Malformed, inside);
    let body: Leased<'_> = answer.json().ok_or_else(|| malformed("the answer makes no sense"))?;
    if body.lease_id.is_empty() || body.lease_duration == 0 {
        return Err(malformed("the place holds no secret that is made on demand: there is no lease"));
    }
    let fields = body.data.ok_or_else(|| malformed("the answer holds no data"))?;
    let duration = Duration::from_secs(body.lease_duration);
    let account = fields.get("username").and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    // The part that the store made up is enough to find it, and names no path.
    let version = VersionId::new(body.lease_id.rsplit('/').next().unwrap_or_default());
    let material = SecretVersion {
        secret: secret_field(&fields, field)?,
        version,
        created_at: Some(now),
        expires_at: Some(now.plus(duration)),
        store_request_id: body.request_id.as_deref().map(VersionId::new),
    };
    Ok(StoreLease { id: body.lease_id, material, duration, renewable: body.renewable, account })
}
