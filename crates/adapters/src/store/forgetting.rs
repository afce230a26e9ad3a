//! A writer whose writes are seen at once.

use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::id::StoreName;
use gateway_core::lease::VersionId;
use gateway_core::ports::{SecretCache, SecretWriter, StoreError};
use gateway_core::reference::ResolvedReference;
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;

/// Makes the store's cache forget each place that is written.
#[derive(Debug)]
pub struct Forgetting {
    inner: Arc<dyn SecretWriter>,
    cache: Arc<dyn SecretCache>,
    store: StoreName,
}

impl Forgetting {
    /// Puts the writer in front of the cache of the store of this name.
    pub fn new(inner: Arc<dyn SecretWriter>, cache: Arc<dyn SecretCache>, store: StoreName) -> Self {
        Self { inner, cache, store }
    }
}

impl Forgetting {
    fn forget(&self, path: &str, field: &str) {
        self.cache.forget(&ResolvedReference {
            store: self.store.clone(),
            path: path.to_owned(),
            field: Some(field.to_owned()),
            version: None,
        });
    }
}

#[async_trait]
impl SecretWriter for Forgetting {
    fn takes(&self, path: &str) -> bool {
        self.inner.takes(path)
    }

    async fn put(
        &self,
        path: &str,
        field: &str,
        value: Secret,
        now: Timestamp,
    ) -> Result<VersionId, StoreError> {
        let written = self.inner.put(path, field, value, now).await;
        // Also where it failed: it may have been written all the same.
        self.forget(path, field);
        written
    }

    async fn replace(
        &self,
        path: &str,
        field: &str,
        value: Secret,
        expected: &VersionId,
        now: Timestamp,
    ) -> Result<Option<VersionId>, StoreError> {
        let written = self.inner.replace(path, field, value, expected, now).await;
        self.forget(path, field);
        written
    }

    async fn delete(&self, path: &str) -> Result<(), StoreError> {
        let deleted = self.inner.delete(path).await;
        self.cache.forget_path(path);
        deleted
    }
}
