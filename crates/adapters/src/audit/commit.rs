//! Group commit: one sync serves everybody who wrote before it began.
//!
//! Whoever writes while nobody syncs becomes the leader and syncs, on a thread for blocking work, until
//! nobody waits any more.

use std::sync::Arc;

use gateway_core::ports::{AuditError, Sequence};
use tokio::runtime::Handle;

use super::log::{Durable, Shared};

/// How far syncing has come.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// Everything up to here is on the disk.
    synced: Sequence,
    /// Everything above `synced` and up to here may not be; and why.
    failed: Option<(Sequence, String)>,
}

impl Progress {
    pub(super) const fn synced(synced: Sequence) -> Self {
        Self { synced, failed: None }
    }

    fn verdict(&self, sequence: Sequence) -> Option<Result<Sequence, AuditError>> {
        if self.synced >= sequence {
            return Some(Ok(sequence));
        }
        let (_, reason) = self.failed.as_ref().filter(|(through, _)| *through >= sequence)?;
        Some(Err(AuditError(reason.clone())))
    }
}

/// Waits until the record is on the disk.
///
/// # Errors
/// A sync failed. The record may be in the chain all the same, as an intent that nothing followed.
pub(super) async fn wait(
    shared: &Arc<Shared>,
    sequence: Sequence,
    lead: bool,
) -> Result<Sequence, AuditError> {
    let mut progress = shared.progress.subscribe();
    if lead {
        let leader = Leader { shared: Arc::clone(shared), done: false };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || leader.run())),
            Err(_) => leader.run(),
        }
    }
    let seen = progress.wait_for(|progress| progress.verdict(sequence).is_some()).await;
    let verdict = seen.ok().and_then(|progress| progress.verdict(sequence));
    verdict.unwrap_or_else(|| Err(AuditError("the log was closed".to_owned())))
}

/// Writes what is pending, and syncs outside the lock.
pub(super) fn sync(shared: &Shared) -> Result<Durable, AuditError> {
    let (file, place) = {
        let mut writer = shared.lock();
        writer.ready()?;
        writer.write_pending()?;
        let place = Durable {
            chain: writer.chain,
            segment: writer.segment,
            length: writer.written,
            tip: writer.tip,
            epoch: writer.remembered.epoch,
        };
        (Arc::clone(&writer.file), place)
    };
    let synced = file.sync();
    let mut writer = shared.lock();
    if let Err(error) = synced {
        // Already recovered by somebody else, with a new file: this one's fault is history, but what
        // this caller asked for is not proven.
        if !Arc::ptr_eq(&file, &writer.file) {
            return Err(AuditError(format!("sync: {error}")));
        }
        return Err(writer.fail_sync(&error));
    }
    if writer.segment == place.segment {
        writer.synced = writer.synced.max(place.length);
    }
    drop(writer);
    shared.progress.send_modify(|progress| progress.synced = progress.synced.max(place.tip.sequence));
    Ok(place)
}

struct Leader {
    shared: Arc<Shared>,
    done: bool,
}

impl Leader {
    fn run(mut self) {
        loop {
            let synced = sync(&self.shared);
            let mut writer = self.shared.lock();
            match synced {
                Ok(place) if place.tip.sequence < writer.wanted => {}
                Ok(_) => {
                    writer.syncing = false;
                    self.done = true;
                    return;
                }
                Err(AuditError(reason)) => {
                    writer.syncing = false;
                    let through = writer.tip.sequence;
                    drop(writer);
                    self.done = true;
                    self.give_up(through, reason);
                    return;
                }
            }
        }
    }

    fn give_up(&self, through: Sequence, reason: String) {
        self.shared.progress.send_modify(|progress| progress.failed = Some((through, reason)));
    }
}

/// The runtime went away before, or a panic came while, the leader synced: those who wait learn it.
impl Drop for Leader {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let through = {
            let mut writer = self.shared.lock();
            writer.syncing = false;
            writer.tip.sequence
        };
        self.give_up(through, "the sync was abandoned".to_owned());
    }
}
