//! What a record costs.

use std::sync::atomic::Ordering;

use super::failing::faulty;
use super::*;

#[tokio::test]
async fn a_record_is_one_write_that_carries_the_notes_before_it() {
    let (_directory, faults, log) = faulty(Durability::Process);
    let before = (faults.writes.load(Ordering::SeqCst), faults.syncs.load(Ordering::SeqCst));
    for number in 0..100 {
        log.record(intent(number)).await.unwrap();
        log.note(outcome(number)).unwrap();
    }
    assert_eq!(faults.writes.load(Ordering::SeqCst) - before.0, 100);
    assert_eq!(faults.syncs.load(Ordering::SeqCst), before.1);
}
