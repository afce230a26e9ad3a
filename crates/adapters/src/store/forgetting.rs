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

#[async_trait]
impl SecretWriter for Forgetting {
    async fn put(
        &self,
        path: &str,
        field: &str,
        value: Secret,
        now: Timestamp,
    ) -> Result<VersionId, StoreError> {
        let version = self.inner.put(path, field, value, now).await?;
        self.cache.forget(&ResolvedReference {
            store: self.store.clone(),
            path: path.to_owned(),
            field: Some(field.to_owned()),
            version: None,
        });
        Ok(version)
    }
}
