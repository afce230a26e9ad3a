//! A store in memory whose failures tests choose.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::ports::{SecretCache, SecretStore, SecretWriter, StoreError, StoreErrorKind};
use gateway_core::reference::{ResolvedReference, VersionSelector};
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;

type Values = HashMap<(String, String), Vec<Vec<u8>>>;

/// Keeps every version of every field; the versions count from 1. A reference without a field means
/// the field `""`. Caches nothing, so that it may stand in for its own cache.
#[derive(Default)]
pub struct MemoryStore {
    values: Mutex<Values>,
    failure: Mutex<Option<StoreErrorKind>>,
    fetches: AtomicU32,
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryStore(..)")
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Adds a version and returns its number.
    pub fn insert(&self, path: &str, field: &str, value: &[u8]) -> usize {
        let mut values = hold(&self.values);
        let versions = values.entry((path.to_owned(), field.to_owned())).or_default();
        versions.push(value.to_vec());
        versions.len()
    }

    /// From now on every fetch and probe fails so; `None` heals it.
    pub fn fail(&self, kind: Option<StoreErrorKind>) {
        *hold(&self.failure) = kind;
    }

    /// The newest version of a field, for assertions.
    pub fn newest(&self, path: &str, field: &str) -> Option<Vec<u8>> {
        hold(&self.values).get(&(path.to_owned(), field.to_owned()))?.last().cloned()
    }

    /// Every path that holds something, sorted.
    pub fn paths(&self) -> Vec<String> {
        let mut paths: Vec<_> = hold(&self.values).keys().map(|(path, _)| path.clone()).collect();
        paths.sort();
        paths
    }

    /// How often it was asked.
    pub fn fetches(&self) -> u32 {
        self.fetches.load(Ordering::SeqCst)
    }

    fn failing(&self) -> Result<(), StoreError> {
        match *hold(&self.failure) {
            Some(kind) => Err(StoreError::new(kind, "the test wants it so")),
            None => Ok(()),
        }
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl SecretStore for MemoryStore {
    async fn fetch(&self, reference: &ResolvedReference) -> Result<Arc<SecretVersion>, StoreError> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        self.failing()?;
        let missing = || StoreError::new(StoreErrorKind::NotFound, "never put");
        let values = hold(&self.values);
        let place = (reference.path.clone(), reference.field.clone().unwrap_or_default());
        let versions = values.get(&place).ok_or_else(missing)?;
        let number = match &reference.version {
            None => versions.len(),
            Some(VersionSelector::Version(number)) => number.parse().map_err(|_| missing())?,
            Some(VersionSelector::Stage(_)) => return Err(missing()),
        };
        let value = number.checked_sub(1).and_then(|index| versions.get(index)).ok_or_else(missing)?;
        if value.is_empty() {
            return Err(StoreError::new(StoreErrorKind::Empty, "put empty"));
        }
        Ok(Arc::new(SecretVersion {
            secret: Secret::copy_from(value),
            version: VersionId::new(&number.to_string()),
            created_at: None,
            expires_at: None,
            store_request_id: None,
        }))
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.failing()
    }

    fn keeps_versions(&self) -> bool {
        true
    }
}

impl SecretCache for MemoryStore {
    fn forget(&self, _reference: &ResolvedReference) -> u32 {
        0
    }

    fn forget_all(&self) -> u32 {
        0
    }
}

#[async_trait]
impl SecretWriter for MemoryStore {
    #[expect(clippy::disallowed_methods, reason = "this store keeps the bytes to hand them out again")]
    async fn put(
        &self,
        path: &str,
        field: &str,
        value: Secret,
        _now: Timestamp,
    ) -> Result<VersionId, StoreError> {
        self.failing()?;
        if value.is_empty() {
            return Err(StoreError::new(StoreErrorKind::Empty, "an empty value is never stored"));
        }
        Ok(VersionId::new(&self.insert(path, field, value.expose()).to_string()))
    }

    #[expect(clippy::disallowed_methods, reason = "this store keeps the bytes to hand them out again")]
    async fn replace(
        &self,
        path: &str,
        field: &str,
        value: Secret,
        expected: &VersionId,
        _now: Timestamp,
    ) -> Result<Option<VersionId>, StoreError> {
        self.failing()?;
        let mut values = hold(&self.values);
        let place = (path.to_owned(), field.to_owned());
        let Some(versions) = values.get_mut(&place).filter(|v| v.len().to_string() == expected.as_str())
        else {
            return Ok(None);
        };
        versions.push(value.expose().to_vec());
        Ok(Some(VersionId::new(&versions.len().to_string())))
    }

    async fn delete(&self, path: &str) -> Result<(), StoreError> {
        self.failing()?;
        hold(&self.values).retain(|(known, _), _| known != path);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use gateway_core::id::StoreName;

    use super::*;
    use crate::contract::store::{StoreWorld, battery};

    struct World(Arc<MemoryStore>);

    #[async_trait]
    impl StoreWorld for World {
        fn store(&self) -> &dyn SecretStore {
            &*self.0
        }

        async fn put(&self, name: &str, value: &[u8]) -> Option<ResolvedReference> {
            self.0.insert(name, "token", value);
            Some(ResolvedReference { path: name.to_owned(), ..self.absent() })
        }

        fn absent(&self) -> ResolvedReference {
            let store = StoreName::parse("memory").expect("a name");
            let field = Some("token".to_owned());
            ResolvedReference { store, path: "absent".to_owned(), field, version: None }
        }

        fn keeps_versions(&self) -> bool {
            true
        }
    }

    #[tokio::test]
    async fn the_fake_keeps_the_contract() {
        battery(&World(MemoryStore::new())).await;
        let store = MemoryStore::new();
        crate::contract::writer::battery(&*store, &*store, "grants/").await;
    }
}
