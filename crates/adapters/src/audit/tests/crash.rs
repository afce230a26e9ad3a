//! What a crash leaves behind.

use super::*;

#[tokio::test]
async fn a_last_record_torn_at_any_byte_is_cut_off_and_the_chain_goes_on() {
    let source = tempfile::tempdir().unwrap();
    let (log, _) = open(&process(source.path()));
    for number in 1..=3 {
        log.record(intent(number)).await.unwrap();
    }
    drop(log);
    let whole = std::fs::read(segment(source.path(), 1)).unwrap();
    let last_start = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for cut in last_start..whole.len() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(segment(directory.path(), 1), &whole[..cut]).unwrap();
        assert_eq!(verified(directory.path()).torn_tail, u64::try_from(cut - last_start).unwrap());
        let (log, opened) = open(&process(directory.path()));
        let torn = u64::try_from(cut - last_start).unwrap();
        assert_eq!(opened.torn.map_or(0, |torn| torn.bytes), torn);
        assert_eq!(opened.sequence, Sequence(2));
        assert_eq!(log.record(intent(4)).await.unwrap(), Sequence(3));
        let report = verified(directory.path());
        assert_eq!((report.records, report.torn_tail), (3, 0));
    }
}

#[tokio::test]
async fn a_rotation_torn_at_any_byte_is_undone() {
    let source = tempfile::tempdir().unwrap();
    let (log, _) = open(&small_segments(source.path()));
    while log.status().segment < 2 {
        log.record(intent(1)).await.unwrap();
    }
    drop(log);
    let first = std::fs::read(segment(source.path(), 1)).unwrap();
    let second = std::fs::read(segment(source.path(), 2)).unwrap();
    let header = second.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for cut in 0..=header {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(segment(directory.path(), 1), &first).unwrap();
        std::fs::write(segment(directory.path(), 2), &second[..cut]).unwrap();
        let (log, opened) = open(&small_segments(directory.path()));
        log.record(intent(1)).await.unwrap();
        assert_eq!(log.status().segment, 2);
        assert_eq!(verified(directory.path()).records, opened.sequence.0 + 1);
    }
}

#[tokio::test]
async fn what_was_recorded_is_in_the_file_without_any_goodbye() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(&process(directory.path()));
    log.note(outcome(9)).unwrap();
    log.record(intent(1)).await.unwrap();
    // As after `kill -9`: nothing is dropped, nothing flushed.
    std::mem::forget(log);
    assert_eq!(verified(directory.path()).records, 2);
}

#[tokio::test]
async fn refuses_to_append_to_a_changed_chain() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(&process(directory.path()));
    fill(&log, 3).await;
    drop(log);
    let path = segment(directory.path(), 1);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("request-2", "request-3", 1)).unwrap();
    let error = AuditLog::open(&process(directory.path()), &random()).unwrap_err();
    assert!(error.0.contains("record 3: the record was changed"), "{error}");
}
