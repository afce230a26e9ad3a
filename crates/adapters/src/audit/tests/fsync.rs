//! Group commit.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::failing::faulty;
use super::*;

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
#[expect(
    clippy::await_holding_lock,
    reason = "the test holds the disk on purpose; only the sync waits for it"
)]
async fn a_record_returns_only_after_the_sync_and_many_share_one() {
    let (directory, faults, log) = faulty(Durability::Fsync);
    let (before, writes) = (faults.syncs.load(Ordering::SeqCst), faults.writes.load(Ordering::SeqCst));
    let held = faults.gate.lock().unwrap();
    let recorders: Vec<_> = (0..64)
        .map(|number| {
            let log = Arc::clone(&log);
            tokio::spawn(async move { log.record(intent(number)).await })
        })
        .collect();
    until("all are taken", || log.sequence() == Sequence(64)).await;
    assert!(recorders.iter().all(|recorder| !recorder.is_finished()), "and yet nobody may go on");
    drop(held);
    for recorder in recorders {
        recorder.await.unwrap().unwrap();
    }
    let syncs = faults.syncs.load(Ordering::SeqCst) - before;
    assert!((1..=3).contains(&syncs), "{syncs} syncs for 64 records");
    let writes = faults.writes.load(Ordering::SeqCst) - writes;
    assert!((1..=3).contains(&writes), "{writes} writes for 64 records");
    assert_eq!(verified(directory.path()).records, 64, "they are in the file");
}

#[tokio::test]
async fn a_failed_sync_fails_everyone_who_waits_and_the_records_are_written_anew() {
    let (directory, faults, log) = faulty(Durability::Fsync);
    log.record(intent(1)).await.unwrap();
    faults.sync_fails.store(true, Ordering::SeqCst);
    assert!(log.record(intent(2)).await.is_err());
    assert!(log.status().failed.is_some());
    assert!(log.record(intent(3)).await.is_err());
    faults.sync_fails.store(false, Ordering::SeqCst);
    log.shared.lock().retry_now();
    let sequence = log.record(intent(4)).await.unwrap();
    assert_eq!(sequence, Sequence(3), "the one whose sync failed keeps its number");
    assert_eq!(verified(directory.path()).records, 3);
}

#[test]
fn a_runtime_that_goes_away_leaves_nobody_waiting() {
    let (_directory, faults, log) = faulty(Durability::Fsync);
    let held = faults.gate.lock().unwrap();
    let first = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let recorder = Arc::clone(&log);
    let lost = first.spawn(async move { recorder.record(intent(1)).await });
    first.block_on(tokio::task::yield_now());
    first.shutdown_background();
    drop(lost);
    drop(held);
    let second = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let recorded = second.block_on(async {
        tokio::time::timeout(Duration::from_secs(10), log.record(intent(2))).await.unwrap()
    });
    assert!(recorded.is_ok(), "{recorded:?}");
}

#[test]
fn works_without_a_runtime() {
    let (directory, _, log) = faulty(Durability::Fsync);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let recorded = log.record(intent(1)).as_mut().poll(&mut context);
    assert!(matches!(recorded, std::task::Poll::Ready(Ok(Sequence(1)))), "{recorded:?}");
    assert_eq!(verified(directory.path()).records, 1);
}
