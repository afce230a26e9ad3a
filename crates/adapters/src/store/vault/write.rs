//! Writing into KV version 2: only under the prefixes that the configuration lists, and only secrets of one
//! field, so that nothing that people keep beside it is ever lost.
//!
//! Every write is a check-and-set on the version that was read just before it.

use async_trait::async_trait;
use gateway_core::lease::VersionId;
use gateway_core::ports::{SecretWriter, StoreError, StoreErrorKind};
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use http::Method;
use zeroize::Zeroizing;

use super::wire::Answer;
use super::{KvVersion, VaultStore};
use crate::store::json_text::append_quoted;

/// How often a plain write is tried where others write at the same time.
const TRIES: usize = 4;
/// What the store says where the version is not the one stated.
const NOT_CURRENT: &str = "check-and-set parameter did not match";

/// The writing side of a [`VaultStore`].
#[derive(Debug)]
pub struct VaultWriter {
    store: VaultStore,
    /// Each ends in `/` or names one path.
    writable: Vec<String>,
}

impl VaultWriter {
    /// A writer that may write under these prefixes.
    pub fn new(store: VaultStore, writable: Vec<String>) -> Self {
        Self { store, writable }
    }

    fn checked<'a>(&'a self, path: &'a str) -> Result<(&'a str, &'a str), StoreError> {
        if !self.takes(path) {
            let inside = "the path is not under the store's `writable` prefixes";
            return Err(StoreError::new(StoreErrorKind::Denied, inside));
        }
        self.store.split(path)
    }

    /// Only version 2 can be written without losing what somebody else wrote meanwhile.
    async fn place<'a>(&'a self, path: &'a str) -> Result<(&'a str, &'a str), StoreError> {
        let (mount, path) = self.checked(path)?;
        if self.store.version_of(mount).await? == KvVersion::V1 {
            let inside = format!("mount `{mount}` is KV version 1: the gateway writes into version 2 only");
            return Err(StoreError::new(StoreErrorKind::Denied, inside));
        }
        Ok((mount, path))
    }

    /// The newest version at the place, 0 where there is none; it must hold no other field.
    async fn newest(&self, (mount, path): (&str, &str), field: &str) -> Result<u64, StoreError> {
        let answer = self.store.exchange(Method::GET, &segments(mount, "data", path), None).await?;
        match answer.status {
            200 | 404 => {}
            _ => return Err(answer.failure()),
        }
        let Some(body) = answer.kv() else { return Ok(0) };
        let fields = body.data.data.unwrap_or_default();
        if fields.keys().any(|known| known != field) {
            let inside = "the place holds other fields, which a write of this one would lose";
            return Err(StoreError::new(StoreErrorKind::Malformed, inside));
        }
        Ok(body.data.metadata.version)
    }

    /// Writes on top of this version; `None` where another one is the newest meanwhile.
    async fn write(
        &self,
        (mount, path): (&str, &str),
        field: &str,
        value: &Secret,
        on: u64,
    ) -> Result<Option<VersionId>, StoreError> {
        let body = body(field, value, on)?;
        let segments = segments(mount, "data", path);
        let answer = self.store.exchange(Method::POST, &segments, Some(&body)).await?;
        match answer.status {
            200 => {
                let version = answer.written().ok_or_else(|| malformed(&answer))?;
                Ok(Some(VersionId::new(&version.to_string())))
            }
            400 if answer.says(NOT_CURRENT) => Ok(None),
            _ => Err(answer.failure()),
        }
    }
}

fn malformed(answer: &Answer) -> StoreError {
    answer.error(StoreErrorKind::Malformed, "the answer to the write makes no sense")
}

fn segments<'a>(mount: &'a str, area: &'a str, path: &'a str) -> Vec<&'a str> {
    mount.split('/').chain(std::iter::once(area)).chain(path.split('/')).collect()
}

#[expect(clippy::disallowed_methods, reason = "the value goes into the body of the write")]
fn body(field: &str, value: &Secret, on: u64) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let no_text = |_| StoreError::new(StoreErrorKind::Malformed, "this store takes text only");
    let text = std::str::from_utf8(value.expose()).map_err(no_text)?;
    // Large enough that it never moves: an escape is at most sixfold.
    let room = value.len().saturating_add(field.len()).saturating_mul(6).saturating_add(128);
    let mut body = Zeroizing::new(Vec::with_capacity(room));
    body.extend_from_slice(format!("{{\"options\":{{\"cas\":{on}}},\"data\":{{").as_bytes());
    append_quoted(&mut body, field);
    body.push(b':');
    append_quoted(&mut body, text);
    body.extend_from_slice(b"}}");
    Ok(body)
}

#[async_trait]
impl SecretWriter for VaultWriter {
    fn takes(&self, path: &str) -> bool {
        let path = path.trim_start_matches('/');
        let plain = path.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
        let covers = |prefix: &String| {
            let prefix = prefix.trim_start_matches('/');
            path == prefix || (prefix.ends_with('/') && path.starts_with(prefix))
        };
        plain && self.writable.iter().any(covers)
    }

    async fn put(
        &self,
        path: &str,
        field: &str,
        value: Secret,
        _now: Timestamp,
    ) -> Result<VersionId, StoreError> {
        let place = self.place(path).await?;
        refuse_empty(field, &value)?;
        for _ in 0..TRIES {
            let newest = self.newest(place, field).await?;
            if let Some(version) = self.write(place, field, &value, newest).await? {
                return Ok(version);
            }
        }
        Err(StoreError::new(StoreErrorKind::Unavailable, "others write to the same place all the time"))
    }

    async fn replace(
        &self,
        path: &str,
        field: &str,
        value: Secret,
        expected: &VersionId,
        _now: Timestamp,
    ) -> Result<Option<VersionId>, StoreError> {
        let place = self.place(path).await?;
        refuse_empty(field, &value)?;
        let newest = self.newest(place, field).await?;
        if newest.to_string() != expected.as_str() {
            return Ok(None);
        }
        self.write(place, field, &value, newest).await
    }

    async fn delete(&self, path: &str) -> Result<(), StoreError> {
        let (mount, path) = self.place(path).await?;
        // The metadata with every version under it: nothing of the value is left to be undeleted.
        let segments = segments(mount, "metadata", path);
        let answer = self.store.exchange(Method::DELETE, &segments, None).await?;
        match answer.status {
            200 | 204 | 404 => Ok(()),
            _ => Err(answer.failure()),
        }
    }
}

fn refuse_empty(field: &str, value: &Secret) -> Result<(), StoreError> {
    if field.is_empty() {
        return Err(StoreError::new(StoreErrorKind::Malformed, "the field must not be empty"));
    }
    if value.is_empty() {
        return Err(StoreError::new(StoreErrorKind::Empty, "an empty value is never stored"));
    }
    Ok(())
}
