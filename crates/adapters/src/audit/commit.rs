//! Group commit: one sync serves everybody who wrote before it began.
//!
//! Whoever writes while nobody syncs becomes the leader and has the disk synced, on a thread for blocking
//! work, until nobody waits any more. It wakes those who wait from its own thread, which is mostly theirs
//! too: waking somebody on another thread costs a system call each.

use std::sync::{Arc, MutexGuard};

use gateway_core::ports::{AuditError, Sequence};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::log::{Durable, Shared};
use super::writer::Writer;

/// Somebody who may go on once the record is on the disk, or never.
pub(super) type Waiting = (Sequence, oneshot::Sender<Result<Sequence, AuditError>>);

/// Waits until the record is on the disk. Each is woken once, when its own record is decided: waking
/// everybody at every sync would cost more than the syncs.
///
/// # Errors
/// A sync failed. The record may be in the chain all the same, as an intent that nothing followed.
pub(super) async fn wait(
    shared: &Arc<Shared>,
    decided: oneshot::Receiver<Result<Sequence, AuditError>>,
    lead: bool,
) -> Result<Sequence, AuditError> {
    if lead {
        let leader = Leader { shared: Arc::clone(shared), done: false };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(leader.lead())),
            Err(_) => leader.run(),
        }
    }
    decided.await.unwrap_or_else(|_| Err(AuditError("the log was closed".to_owned())))
}

/// Takes those out whose records are numbered up to `through`; they wait in the order of their numbers.
fn decided(writer: &mut Writer, through: Sequence) -> Vec<Waiting> {
    let count = writer.waiting.partition_point(|(sequence, _)| *sequence <= through);
    writer.waiting.drain(..count).collect()
}

/// Writes what is pending and syncs; those whose records it reached may go on.
pub(super) fn sync(shared: &Shared) -> Result<Durable, AuditError> {
    let place = write_and_sync(shared)?;
    let reached = decided(&mut shared.lock(), place.tip.sequence);
    tell(reached);
    Ok(place)
}

fn tell(reached: Vec<Waiting>) {
    for (sequence, waiting) in reached {
        // Whoever went away meanwhile needs no answer.
        drop(waiting.send(Ok(sequence)));
    }
}

/// Writes what is pending, and syncs outside the lock. Whoever waits stays: a leader that is gone by now
/// must take nobody with it.
fn write_and_sync(shared: &Shared) -> Result<Durable, AuditError> {
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
    Ok(place)
}

struct Leader {
    shared: Arc<Shared>,
    done: bool,
}

impl Leader {
    /// Leads from a runtime.
    async fn lead(mut self) {
        loop {
            let shared = Arc::clone(&self.shared);
            let synced = tokio::task::spawn_blocking(move || write_and_sync(&shared)).await;
            let synced = synced.unwrap_or_else(|_| Err(AuditError("the sync was abandoned".to_owned())));
            if !self.goes_on(synced) {
                return;
            }
        }
    }

    /// Leads where there is no runtime.
    fn run(mut self) {
        loop {
            let synced = write_and_sync(&self.shared);
            if !self.goes_on(synced) {
                return;
            }
        }
    }

    /// Wakes those whose records are decided; whether others wait for more.
    fn goes_on(&mut self, synced: Result<Durable, AuditError>) -> bool {
        match synced {
            Ok(place) => {
                let reached = decided(&mut self.shared.lock(), place.tip.sequence);
                tell(reached);
                let mut writer = self.shared.lock();
                if place.tip.sequence < writer.wanted {
                    return true;
                }
                writer.syncing = false;
            }
            Err(AuditError(reason)) => give_up(self.shared.lock(), &reason),
        }
        self.done = true;
        false
    }
}

/// Tells everybody who waits that the sync they wait for will not come.
fn give_up(mut writer: MutexGuard<'_, Writer>, reason: &str) {
    writer.syncing = false;
    let through = writer.tip.sequence;
    let decided = decided(&mut writer, through);
    drop(writer);
    for (_, waiting) in decided {
        drop(waiting.send(Err(AuditError(reason.to_owned()))));
    }
}

/// The runtime went away before, or a panic came while, the leader synced: those who wait learn it.
impl Drop for Leader {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        give_up(self.shared.lock(), "the sync was abandoned");
    }
}
