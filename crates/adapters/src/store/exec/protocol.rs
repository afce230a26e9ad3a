//! The protocol between the gateway and a store's program, version 1 (docs/exec-store.md): one JSON
//! document each way.

use std::time::Duration;

use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::ports::{StoreError, StoreErrorKind};
use gateway_core::reference::{ResolvedReference, VersionSelector};
use gateway_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::store::json_text::{secret_base64, secret_value};

/// The only version of the protocol.
const VERSION: u64 = 1;

/// What a program wrote.
pub(super) type Output = Zeroizing<Vec<u8>>;

#[derive(Serialize)]
struct Request<'a> {
    version: u64,
    op: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer<'a> {
    version: u64,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    #[serde(borrow, default)]
    value_base64: Option<&'a RawValue>,
    #[serde(default)]
    secret_version: Option<String>,
    #[serde(default)]
    created_at: Option<Timestamp>,
    #[serde(default)]
    expires_at: Option<Timestamp>,
    #[serde(default)]
    error: Option<Failure>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Failure {
    kind: FailureKind,
    #[serde(default)]
    retry_after_seconds: Option<u32>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum FailureKind {
    Missing,
    Denied,
    Throttled,
    Unavailable,
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        let (kind, inside) = match failure.kind {
            FailureKind::Missing => (StoreErrorKind::NotFound, "the program knows no such secret"),
            FailureKind::Denied => (StoreErrorKind::Denied, "the program is denied the secret"),
            FailureKind::Throttled => (StoreErrorKind::Throttled, "the program asks to slow down"),
            FailureKind::Unavailable => (StoreErrorKind::Unavailable, "the program's store does not answer"),
        };
        let mut error = Self::new(kind, inside);
        error.retry_after =
            failure.retry_after_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
        error
    }
}

fn malformed(inside: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Malformed, inside)
}

/// The request for a secret.
pub(super) fn get(wanted: &ResolvedReference) -> Result<Vec<u8>, StoreError> {
    let (secret_version, stage) = match &wanted.version {
        None => (None, None),
        Some(VersionSelector::Version(version)) => (Some(version.as_str()), None),
        Some(VersionSelector::Stage(stage)) => (None, Some(stage.as_str())),
    };
    let (path, field) = (Some(wanted.path.as_str()), wanted.field.as_deref());
    request(&Request { version: VERSION, op: "get", path, field, secret_version, stage })
}

/// The request that asks only whether the program works.
pub(super) fn probe() -> Result<Vec<u8>, StoreError> {
    let nothing = None;
    request(&Request {
        version: VERSION,
        op: "probe",
        path: nothing,
        field: nothing,
        secret_version: nothing,
        stage: nothing,
    })
}

fn request(request: &Request<'_>) -> Result<Vec<u8>, StoreError> {
    let mut text = serde_json::to_vec(request).map_err(|_| malformed("no request can be made of it"))?;
    text.push(b'\n');
    Ok(text)
}

/// Reads the answer. What the parser would say about a document that is none may repeat parts of it, so
/// nothing of it is told.
fn answer(output: &Output) -> Result<Answer<'_>, StoreError> {
    let answer: Option<Answer<'_>> = serde_json::from_slice(output).ok();
    let answer = answer.filter(|answer| answer.version == VERSION);
    let mut answer =
        answer.ok_or_else(|| malformed("the program's answer is not one of protocol version 1"))?;
    let holds_value = answer.value.is_some() || answer.value_base64.is_some();
    match answer.error.take() {
        Some(_) if holds_value => Err(malformed("the program answered with a value and an error")),
        Some(failure) => Err(failure.into()),
        None => Ok(answer),
    }
}

/// The secret of an answer to `get`.
pub(super) fn secret_version(
    output: &Output,
    wanted: &ResolvedReference,
) -> Result<SecretVersion, StoreError> {
    let answer = answer(output)?;
    let secret = match (answer.value, answer.value_base64) {
        (Some(text), None) => secret_value(text, "value")?,
        (None, Some(text)) => secret_base64(text, "value_base64")?,
        _ => return Err(malformed("the program must answer with one of `value` and `value_base64`")),
    };
    let named = answer.secret_version.unwrap_or_default();
    let version = VersionId::new(&named);
    if named.is_empty() || version.as_str() != named {
        return Err(malformed("`secret_version` must be 1 to 64 visible ASCII characters"));
    }
    if matches!(&wanted.version, Some(VersionSelector::Version(pinned)) if *pinned != named) {
        return Err(malformed("the program answered with another version than the pinned one"));
    }
    let (created_at, expires_at) = (answer.created_at, answer.expires_at);
    Ok(SecretVersion { secret, version, created_at, expires_at, store_request_id: None })
}

/// Whether an answer to `probe` says that the program works.
pub(super) fn probed(output: &Output) -> Result<(), StoreError> {
    let answer = answer(output)?;
    if answer.value.is_some() || answer.value_base64.is_some() {
        return Err(malformed("the program answered a probe with a value"));
    }
    Ok(())
}
