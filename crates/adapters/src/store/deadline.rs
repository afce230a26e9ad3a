//! A limit on how long a store may take.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::lease::SecretVersion;
use gateway_core::ports::{SecretStore, StoreError, StoreErrorKind};
use gateway_core::reference::ResolvedReference;

/// A store that fails with [`StoreErrorKind::Timeout`] when the time is up.
#[derive(Debug)]
pub struct Deadline {
    inner: Arc<dyn SecretStore>,
    limit: Duration,
}

impl Deadline {
    /// Limits each fetch and each probe of the store.
    pub fn new(inner: Arc<dyn SecretStore>, limit: Duration) -> Self {
        Self { inner, limit }
    }

    fn late(&self) -> StoreError {
        let inside = format!("the store did not answer within {} ms", self.limit.as_millis());
        StoreError::new(StoreErrorKind::Timeout, inside)
    }
}

#[async_trait]
impl SecretStore for Deadline {
    async fn fetch(&self, reference: &ResolvedReference) -> Result<Arc<SecretVersion>, StoreError> {
        let fetch = self.inner.fetch(reference);
        tokio::time::timeout(self.limit, fetch).await.unwrap_or_else(|_| Err(self.late()))
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let probe = self.inner.probe();
        tokio::time::timeout(self.limit, probe).await.unwrap_or_else(|_| Err(self.late()))
    }

    fn keeps_versions(&self) -> bool {
        self.inner.keeps_versions()
    }
}
