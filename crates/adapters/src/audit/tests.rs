//! The log on real files, and on a disk that fails on cue.

mod checkpoints;
mod crash;
mod failing;
mod forgery;
mod fsync;
mod hot_path;
mod index;
mod keys;
mod retention;
mod sink;
mod sinks;

use std::path::Path;
use std::sync::Arc;

use gateway_core::audit::{Event, EventKind, Outcome};
use gateway_core::id::{Epoch, RequestId};
use gateway_core::ports::{AuditSink, Random, Sequence};
use gateway_core::time::{Clock, Timestamp};

use super::*;

/// Bytes that count, so that chains differ and tests repeat.
#[derive(Debug)]
struct Counting(std::sync::atomic::AtomicU8);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    }
}

fn random() -> Counting {
    Counting(std::sync::atomic::AtomicU8::new(1))
}

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_795_683_600)
    }
}

fn request(number: u64) -> RequestId {
    RequestId::parse(&format!("request-{number}")).unwrap()
}

fn intent(number: u64) -> Event {
    let mut event = Event::new(EventKind::Intent, Still.now());
    event.request_id = Some(request(number));
    event.epoch = Some(Epoch(number));
    event.method = Some("tools/call".to_owned());
    event
}

fn outcome(number: u64) -> Event {
    let mut event = Event::new(EventKind::Outcome, Still.now());
    event.request_id = Some(request(number));
    event.outcome = Some(Outcome { upstream_status: Some(200), ..Outcome::default() });
    event
}

fn process(directory: &Path) -> AuditConfig {
    AuditConfig::new(directory, Durability::Process)
}

fn small_segments(directory: &Path) -> AuditConfig {
    AuditConfig { segment_bytes: Some(4_096), ..process(directory) }
}

fn open(config: &AuditConfig) -> (Arc<AuditLog>, Opened) {
    let (log, opened) = AuditLog::open(config, &random()).unwrap();
    (Arc::new(log), opened)
}

fn verified(directory: &Path) -> VerifyReport {
    let report = verify_directory(directory, &[], None).unwrap();
    assert_eq!(report.first_problem, None, "{report:?}");
    report
}

fn segment(directory: &Path, number: u64) -> std::path::PathBuf {
    super::directory::segment_path(directory, number)
}

async fn fill(log: &AuditLog, records: u64) {
    for number in 1..=records {
        log.record(intent(number)).await.unwrap();
        log.note(outcome(number)).unwrap();
    }
}

#[tokio::test]
async fn numbers_records_in_order_and_reads_them_back() {
    let directory = tempfile::tempdir().unwrap();
    let (log, opened) = open(&process(directory.path()));
    assert!(opened.created);
    assert_eq!(log.record(intent(1)).await.unwrap(), Sequence(1));
    assert_eq!(log.note(outcome(1)).unwrap(), Sequence(2));
    assert_eq!(log.record(intent(2)).await.unwrap(), Sequence(3));
    let found = log.reader().unwrap().tail(Sequence(1), 10).unwrap();
    let numbers: Vec<u64> = found.records.iter().map(|record| record.sequence.0).collect();
    assert_eq!(numbers, [2, 3]);
    assert_eq!(found.records[1].event, intent(2));
    assert_eq!(log.status().open_intents, 1);
    assert_eq!(log.status().epoch, Epoch(2));
    assert!(log.status().disk_free.is_some());
    assert_eq!(verified(directory.path()).records, 3);
}

#[tokio::test]
async fn rotates_and_goes_on_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let config = small_segments(directory.path());
    let (log, _) = open(&config);
    fill(&log, 30).await;
    let before = log.status();
    assert!(before.segment > 2, "{before:?}");
    drop(log);
    let (log, opened) = open(&config);
    assert_eq!((opened.sequence, opened.epoch), (Sequence(60), Epoch(30)));
    assert_eq!(opened.open_intents, []);
    assert_eq!(log.status(), AuditStatus { disk_free: log.status().disk_free, ..before });
    assert_eq!(log.record(intent(31)).await.unwrap(), Sequence(61));
    let report = verified(directory.path());
    assert_eq!((report.records, report.segments), (61, log.status().segment));
}

#[tokio::test]
async fn gives_back_intents_left_open_even_segments_ago() {
    let directory = tempfile::tempdir().unwrap();
    let config = small_segments(directory.path());
    let (log, _) = open(&config);
    log.record(intent(1_000)).await.unwrap();
    fill(&log, 60).await;
    log.record(intent(2_000)).await.unwrap();
    assert!(log.status().segment > 3);
    drop(log);
    let (_log, opened) = open(&config);
    let left: Vec<_> =
        opened.open_intents.iter().map(|open| open.event.request_id.clone().unwrap()).collect();
    assert_eq!(left, [request(1_000), request(2_000)]);
    assert_eq!(opened.open_intents[0].sequence, Sequence(1));
}

#[tokio::test]
async fn an_outcome_unknown_closes_an_open_intent() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(&process(directory.path()));
    log.record(intent(1)).await.unwrap();
    drop(log);
    let (log, opened) = open(&process(directory.path()));
    let mut event = Event::new(EventKind::OutcomeUnknown, Still.now());
    event.request_id = opened.open_intents[0].event.request_id.clone();
    log.record(event).await.unwrap();
    drop(log);
    assert_eq!(open(&process(directory.path())).1.open_intents, []);
}

#[tokio::test]
async fn remembers_outbox_ids_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let config = small_segments(directory.path());
    let (log, _) = open(&config);
    let mut event = Event::new(EventKind::ObjectWritten, Still.now());
    event.outbox_id = Some("row-7".to_owned());
    log.record(event).await.unwrap();
    assert_eq!(log.outbox_sequence("row-7"), Some(Sequence(1)));
    while log.status().segment < 2 {
        log.record(intent(1)).await.unwrap();
    }
    drop(log);
    let (log, _) = open(&config);
    assert_eq!(log.outbox_sequence("row-7"), Some(Sequence(1)));
    assert_eq!(log.outbox_sequence("row-8"), None);
    assert_eq!(log.outbox_ids_in_tail(), ["row-7"]);
}

#[tokio::test]
async fn searches_in_both_orders_by_what_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(&small_segments(directory.path()));
    fill(&log, 40).await;
    let reader = log.reader().unwrap();
    let one = Filter { request_id: Some("request-7".to_owned()), ..Filter::default() };
    let sequences = |found: Found| found.records.iter().map(|record| record.sequence.0).collect::<Vec<_>>();
    assert_eq!(sequences(reader.search(&one, Order::OldestFirst, 9).unwrap()), [13, 14]);
    assert_eq!(sequences(reader.search(&one, Order::NewestFirst, 9).unwrap()), [14, 13]);
    let intents = Filter { kind: Some(EventKind::Intent), ..Filter::default() };
    let found = reader.search(&intents, Order::NewestFirst, 2).unwrap();
    assert!(found.more);
    assert_eq!(sequences(found), [79, 77]);
    assert_eq!(sequences(reader.tail(Sequence(78), 9).unwrap()), [79, 80]);
    assert_eq!(sequences(reader.tail(Sequence(0), 2).unwrap()), [1, 2]);
    let late = Filter { from: Some(Timestamp::from_seconds(i64::MAX)), ..Filter::default() };
    assert_eq!(sequences(reader.search(&late, Order::NewestFirst, 9).unwrap()), [0_u64; 0]);
}

#[tokio::test]
async fn the_flusher_carries_notes_to_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(&process(directory.path()));
    let flusher = tokio::spawn(Arc::clone(&log).run_flusher());
    log.note(outcome(1)).unwrap();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while verified(directory.path()).records < 1 {
        assert!(tokio::time::Instant::now() < deadline, "the note never came");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    flusher.abort();
}

#[test]
fn a_second_process_is_kept_out() {
    let directory = tempfile::tempdir().unwrap();
    let (_log, _) = open(&process(directory.path()));
    let error = AuditLog::open(&process(directory.path()), &random()).unwrap_err();
    assert!(error.0.contains("another process"), "{error}");
}

#[test]
fn files_are_for_the_owner_alone() {
    use std::os::unix::fs::MetadataExt;
    let outer = tempfile::tempdir().unwrap();
    let directory = outer.path().join("audit");
    let (_log, _) = open(&process(&directory));
    assert_eq!(std::fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
    assert_eq!(std::fs::metadata(segment(&directory, 1)).unwrap().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_recorders_make_one_valid_chain() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(&AuditConfig { segment_bytes: Some(64 * 1024), ..process(directory.path()) });
    let recorders: Vec<_> = (0..8_u64)
        .map(|recorder| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for number in 0..250 {
                    log.record(intent(recorder * 1_000 + number)).await.unwrap();
                    log.note(outcome(recorder * 1_000 + number)).unwrap();
                }
            })
        })
        .collect();
    for recorder in recorders {
        recorder.await.unwrap();
    }
    log.flush().unwrap();
    assert_eq!(verified(directory.path()).records, 4_000);
    assert_eq!(log.status().open_intents, 0);
}
