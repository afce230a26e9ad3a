//! Every sink of one gateway: each on its own way, none waiting for another.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use gateway_core::ports::{Random, Sequence};

use super::{Sink, SinkStatus};
use crate::audit::config::AuditConfig;
use crate::audit::log::{AuditLog, Durable};
use crate::https::OutboundBuildError;

/// Why the sinks cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SinkBuildError {
    /// The client cannot be made.
    #[error("{0}")]
    Client(#[from] OutboundBuildError),
    /// A cursor cannot be read: to begin anew would send everything again.
    #[error("the cursor `{file}`: {error}")]
    Cursor {
        /// The file in the log's directory.
        file: String,
        /// Why.
        error: io::Error,
    },
}

/// The sinks.
#[derive(Debug, Default)]
pub struct AuditSinks(Vec<Arc<Sink>>);

impl AuditSinks {
    /// All that are configured. Reads their cursors and certificate authorities, touches no network.
    ///
    /// # Errors
    /// See [`SinkBuildError`].
    pub fn new(
        log: &Arc<AuditLog>,
        config: &AuditConfig,
        random: &Arc<dyn Random>,
    ) -> Result<Self, SinkBuildError> {
        let synced = Arc::new(Synced::default());
        let every = config.every_sink().into_iter();
        let built = every.map(|sink| {
            Sink::new(Arc::clone(log), sink, Arc::clone(random), Arc::clone(&synced)).map(Arc::new)
        });
        built.collect::<Result<_, _>>().map(Self)
    }

    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Sink>> {
        self.0.iter()
    }

    /// How each of them is.
    pub fn statuses(&self) -> Vec<SinkStatus> {
        self.iter().map(|sink| sink.status()).collect()
    }

    /// The last record that every sink has taken: nothing up to it is needed for delivery any more. Where
    /// there is no sink, that is true of every record.
    pub fn delivered(&self) -> Sequence {
        self.iter().map(|sink| sink.status().sent).min().unwrap_or(Sequence(u64::MAX))
    }
}

/// How far the log is known to be on the disk. Shared, so that not every sink asks the disk again.
#[derive(Debug, Default)]
pub(super) struct Synced(Mutex<Option<Durable>>);

impl Synced {
    pub(super) fn last(&self) -> Option<Durable> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Syncs the log and remembers how far that went. Blocks on the disk.
    pub(super) fn renew(&self, log: &AuditLog) -> Result<Durable, String> {
        let durable = log.sync().map_err(|error| error.to_string())?;
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |durable: &Durable| (durable.segment, durable.length);
        if last.is_none_or(|last| place(&last) < place(&durable)) {
            *last = Some(durable);
        }
        Ok(durable)
    }
}
