//! File work off the async threads.

use gateway_core::ports::{StoreError, StoreErrorKind};

/// Runs the work on a thread that may block.
pub(super) async fn blocking<T, F>(work: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, StoreError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(StoreError::new(StoreErrorKind::Unavailable, "the file work was cut off")),
    }
}
