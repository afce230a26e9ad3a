//! A secret id in a wrapping that opens once (response wrapping): whoever brought it here, and whoever can
//! read the file, never saw it, and that somebody opened it before us cannot stay unknown.
//!
//! The wrapping says where it was made. One that was made anywhere but for a secret id of the configured
//! role is not opened: somebody put it there. The secret id stays in memory only; after a restart a new
//! wrapping is needed.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use gateway_core::ports::{StoreError, StoreErrorKind};
use gateway_core::secret::Secret;
use http::Method;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::door::header_of;
use super::login::WrappedAppRole;
use super::wire::{Answer, Wire};
use crate::store::json_text::{Fields, append_quoted, secret_field};
use crate::store::login_file;
use crate::store::private_file::Readers;

/// The secret id that is out of its wrapping.
#[derive(Default)]
pub(super) struct Unwrapped(Mutex<Option<Held>>);

struct Held {
    secret_id: Secret,
    /// Which wrapping it came out of.
    of: [u8; 32],
}

#[derive(Deserialize)]
struct Wrapping {
    data: WrappingData,
}

#[derive(Deserialize)]
struct WrappingData {
    creation_path: String,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    data: Fields<'a>,
}

impl Unwrapped {
    /// The secret id: the held one, or the one in the wrapping.
    pub(super) async fn secret_id(&self, wire: &Wire, login: &WrappedAppRole) -> Result<Secret, StoreError> {
        if let Some(held) = self.held().as_ref() {
            return Ok(held.secret_id.duplicate());
        }
        self.open(wire, login).await
    }

    /// The secret id of another wrapping than the last one, whose secret id the store does not take any
    /// more. Where there is no other one, this is what the store said.
    pub(super) async fn next(
        &self,
        wire: &Wire,
        login: &WrappedAppRole,
        refused: &StoreError,
    ) -> Result<Secret, StoreError> {
        let token = login_file::token(&login.wrapped_secret_id_file, Readers::Group).await?;
        let digest = digest(&token);
        if self.held().as_ref().is_some_and(|held| held.of == digest) {
            let inside = format!(
                "the secret id is not taken any more, and `{}` still holds the wrapping it came in: \
                 put a new one there ({})",
                login.wrapped_secret_id_file.display(),
                refused.inside
            );
            return Err(StoreError::new(StoreErrorKind::Denied, inside));
        }
        self.open(wire, login).await
    }

    /// Opens the wrapping in the file, if it was made for a secret id of the role.
    async fn open(&self, wire: &Wire, login: &WrappedAppRole) -> Result<Secret, StoreError> {
        let file = login.wrapped_secret_id_file.as_path();
        let token = login_file::token(file, Readers::Group).await?;
        let lookup = wire
            .call(Method::POST, &["sys", "wrapping", "lookup"], None, None, Some(&token_body(&token)?))
            .await?;
        let wrapping: Wrapping = match (lookup.status, lookup.json()) {
            (200, Some(wrapping)) => wrapping,
            (200, None) => {
                return Err(lookup.error(StoreErrorKind::Malformed, "the wrapping's lookup makes no sense"));
            }
            (400 | 403 | 404, _) => return Err(spent(&lookup, file)),
            _ => return Err(lookup.failure()),
        };
        let expected = format!("auth/{}/role/{}/secret-id", login.mount, login.role);
        if wrapping.data.creation_path != expected {
            return Err(swapped(&lookup, file, &expected));
        }
        let answer = wire
            .call(Method::POST, &["sys", "wrapping", "unwrap"], None, Some(&header_of(&token)?), Some(b"{}"))
            .await?;
        let content: Content<'_> = match (answer.status, answer.json()) {
            (200, Some(content)) => content,
            (200, None) => {
                return Err(answer.error(StoreErrorKind::Malformed, "the wrapping holds no secret id"));
            }
            (400 | 403 | 404, _) => return Err(spent(&answer, file)),
            _ => return Err(answer.failure()),
        };
        let secret_id = secret_field(&content.data, "secret_id")?;
        tracing::info!(file = %file.display(), "a wrapped secret id was opened");
        *self.held() = Some(Held { secret_id: secret_id.duplicate(), of: digest(&token) });
        Ok(secret_id)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// It opens once: this gateway has not opened it, so it ran out, or somebody else did.
fn spent(answer: &Answer, file: &Path) -> StoreError {
    let inside = format!(
        "wrapping.spent: the wrapping in `{}` was opened already, or has run out. Unless this gateway was \
         restarted since, somebody else may hold the secret id: destroy it at the store by its accessor, \
         and put a new wrapping there",
        file.display()
    );
    tracing::error!(inside, "a wrapped secret id cannot be opened");
    answer.error(StoreErrorKind::Denied, &inside)
}

/// Somebody put a wrapping of something else there; it stays closed.
fn swapped(answer: &Answer, file: &Path, expected: &str) -> StoreError {
    let inside = format!(
        "wrapping.swapped: the wrapping in `{}` was not made at `{expected}`: somebody put another one \
         there, and it was not opened",
        file.display()
    );
    tracing::error!(inside, "a wrapped secret id is not what it should be");
    answer.error(StoreErrorKind::Denied, &inside)
}

#[expect(clippy::disallowed_methods, reason = "the wrapping token goes into the body of its lookup")]
fn token_body(token: &Secret) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let text = std::str::from_utf8(token.expose()).map_err(|_| login_file::refused("it is no text"))?;
    let mut body = Zeroizing::new(Vec::with_capacity(token.len().saturating_mul(6).saturating_add(32)));
    body.extend_from_slice(b"{\"token\":");
    append_quoted(&mut body, text);
    body.push(b'}');
    Ok(body)
}

#[expect(clippy::disallowed_methods, reason = "hashed, to tell one wrapping token from the next")]
fn digest(token: &Secret) -> [u8; 32] {
    Sha256::digest(token.expose()).into()
}
