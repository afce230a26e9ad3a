//! The index says where to look, never what is true.

use std::path::PathBuf;

use gateway_core::audit::{BindingRevision, Decision};
use gateway_core::id::{
    AgentName, BindingName, EnvironmentName, OperatorName, Revision, ServerName, ToolName,
};
use gateway_core::manifest::{Kind, ObjectKey};

use super::*;

fn index_files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory.join("index")) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Events of several kinds, most of whose fields vary.
fn varied(number: u64) -> Event {
    let mut event = intent(number);
    event.time = Timestamp::from_seconds(1_795_683_600 + i64::try_from(number).unwrap());
    event.trace_id = Some(format!("{:032x}", number / 3));
    event.user = Some(format!("https://idp.example|user-{}", number % 7));
    event.agent = Some(AgentName::parse(&format!("agent-{}", number % 5)).unwrap());
    event.surface = Some("desktop \"quoted\"".to_owned());
    event.source_address = Some(std::net::IpAddr::from([10, 0, 0, u8::try_from(number % 4).unwrap()]));
    event.environment = Some(EnvironmentName::parse("dev").unwrap());
    event.server = Some(ServerName::parse(&format!("server-{}", number % 3)).unwrap());
    event.tool = Some(ToolName::parse(&format!("tool-{}", number % 11)).unwrap());
    event.decision = Some(Decision::Allow);
    event.binding = Some(BindingRevision {
        name: BindingName::parse(&format!("binding-{}", number % 3)).unwrap(),
        revision: Revision(u32::try_from(1 + number % 2).unwrap()),
    });
    if number % 10 == 9 {
        event.kind = EventKind::ObjectWritten;
        event.environment = None;
        event.operator = Some(OperatorName::parse("ada").unwrap());
        let environment = Some(EnvironmentName::parse("staging").unwrap());
        event.object =
            Some(ObjectKey { kind: Kind::Server, environment, name: format!("thing-{}", number % 4) });
        event.revision = Some(Revision(u32::try_from(number).unwrap()));
        event.scopes = vec!["read".to_owned(), format!("write-{}", number % 2)];
    }
    event
}

async fn log_of(directory: &Path, records: u64) -> Arc<AuditLog> {
    let (log, _) = open(&small_segments(directory));
    for number in 1..=records {
        log.record(varied(number)).await.unwrap();
    }
    log
}

/// Filters over many fields, alone and together.
fn filters() -> Vec<Filter> {
    let one = |name: &str, text: &str| -> Filter {
        serde_json::from_value(serde_json::json!({name: text})).unwrap()
    };
    let mut filters = vec![
        Filter::default(),
        one("request_id", "request-37"),
        one("trace_id", &format!("{:032x}", 12)),
        one("user", "https://idp.example|user-3"),
        one("agent", "agent-2"),
        one("surface", "desktop \"quoted\""),
        one("source_address", "10.0.0.1"),
        one("environment", "dev"),
        one("environment", "staging"),
        one("server", "server-1"),
        one("tool", "tool-7"),
        one("binding", "binding-1"),
        one("binding", "binding-1@2"),
        one("operator", "ada"),
        one("object", "thing-1"),
        one("object", "Server/staging/thing-1"),
        one("scope", "write-1"),
        one("revision", "19"),
        one("epoch", "4"),
        one("kind", "object_written"),
        one("decision", "allow"),
        one("agent", "nobody"),
    ];
    let time = |seconds: i64| Some(Timestamp::from_seconds(1_795_683_600 + seconds));
    filters.push(Filter { from: time(30), until: time(60), ..Filter::default() });
    filters.push(Filter { agent: Some("agent-1".to_owned()), from: time(40), ..one("tool", "tool-6") });
    filters.push(Filter {
        after: Some(Sequence(15)),
        before: Some(Sequence(55)),
        ..one("server", "server-2")
    });
    filters
}

#[tokio::test]
async fn finds_what_a_reading_of_every_line_finds() {
    let directory = tempfile::tempdir().unwrap();
    let log = log_of(directory.path(), 120).await;
    let index = Index::new(directory.path());
    let built = index.refresh().unwrap();
    assert!(built > 5, "{built} segments were indexed");
    assert_eq!(index_files(directory.path()).len(), built, "the newest segment has none");
    let plain = log.reader().unwrap();
    let indexed = plain.clone().with_index(Arc::clone(&index));
    let mut hits = 0;
    for filter in filters() {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            for limit in [3, 500] {
                let expected = plain.search(&filter, order, limit).unwrap();
                assert_eq!(indexed.search(&filter, order, limit).unwrap(), expected, "{filter:?} {order:?}");
                hits += expected.records.len();
            }
        }
    }
    assert!(hits > 500, "the filters must find something: {hits}");
    assert_eq!(index.refresh().unwrap(), 0, "nothing is built twice");
}

#[tokio::test]
async fn pages_by_cursor_meet_every_record_once() {
    let directory = tempfile::tempdir().unwrap();
    let log = log_of(directory.path(), 90).await;
    let index = Index::new(directory.path());
    index.refresh().unwrap();
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let mut filter = Filter { server: Some("server-1".to_owned()), ..Filter::default() };
        let mut met = Vec::new();
        loop {
            let reader = log.reader().unwrap().with_index(Arc::clone(&index));
            let found = reader.search(&filter, order, 7).unwrap();
            met.extend(found.records.iter().map(|record| record.sequence.0));
            // Records that come meanwhile shift no page.
            log.record(varied(1_000)).await.unwrap();
            let Some(last) = met.last().copied().filter(|_| found.more) else { break };
            match order {
                Order::NewestFirst => filter.before = Some(Sequence(last)),
                Order::OldestFirst => filter.after = Some(Sequence(last)),
            }
        }
        met.sort_unstable();
        let expected: Vec<u64> = (1..=90).filter(|number| number % 3 == 1).collect();
        let early: Vec<u64> = met.into_iter().filter(|sequence| *sequence <= 90).collect();
        assert_eq!(early, expected, "{order:?}");
    }
}

#[tokio::test]
async fn is_rebuilt_where_it_was_deleted_or_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let _log = log_of(directory.path(), 60).await;
    let built = Index::new(directory.path()).refresh().unwrap();
    assert_eq!(Index::new(directory.path()).refresh().unwrap(), 0, "it is taken over after a restart");
    let files = index_files(directory.path());
    std::fs::remove_file(&files[0]).unwrap();
    let mut damaged = std::fs::read(&files[1]).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&files[1], &damaged).unwrap();
    std::fs::write(&files[2], b"mcp").unwrap();
    assert_eq!(Index::new(directory.path()).refresh().unwrap(), 3);
    std::fs::remove_dir_all(directory.path().join("index")).unwrap();
    assert_eq!(Index::new(directory.path()).refresh().unwrap(), built);
}

#[tokio::test]
async fn a_changed_line_is_never_answered_and_the_segment_is_read_whole() {
    let directory = tempfile::tempdir().unwrap();
    let log = log_of(directory.path(), 60).await;
    let index = Index::new(directory.path());
    index.refresh().unwrap();
    let path = segment(directory.path(), 2);
    let text = std::fs::read_to_string(&path).unwrap();
    // The same length: only its hash tells that the line is another one.
    let changed = text.replacen("\"agent\":\"agent-2\"", "\"agent\":\"agent-9\"", 1);
    assert_ne!(changed, text);
    std::fs::write(&path, &changed).unwrap();
    let filter = Filter { agent: Some("agent-2".to_owned()), ..Filter::default() };
    let plain = log.reader().unwrap().search(&filter, Order::OldestFirst, 500).unwrap();
    let indexed = log.reader().unwrap().with_index(Arc::clone(&index));
    assert_eq!(indexed.search(&filter, Order::OldestFirst, 500).unwrap(), plain);
    assert_eq!(indexed.search(&filter, Order::NewestFirst, 500).unwrap().records.len(), plain.records.len());
    assert!(index.of(2).is_none(), "it is trusted no more");
}

#[tokio::test]
async fn a_broken_segment_has_no_index_and_says_what_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let log = log_of(directory.path(), 60).await;
    let path = segment(directory.path(), 2);
    let mut content = std::fs::read(&path).unwrap();
    let at = content.len() - 20;
    content[at] = b'!';
    std::fs::write(&path, &content).unwrap();
    let index = Index::new(directory.path());
    index.refresh().unwrap();
    assert!(index.of(2).is_none());
    let found = log.reader().unwrap().with_index(index).search(&Filter::default(), Order::OldestFirst, 500);
    assert_eq!(found.unwrap().unreadable, 1);
}

#[tokio::test]
async fn the_builders_thread_follows_the_log_and_ends_with_its_owner() {
    let directory = tempfile::tempdir().unwrap();
    let _log = log_of(directory.path(), 60).await;
    let index = Index::new(directory.path());
    index.start().unwrap();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while index.of(1).is_none() {
        assert!(tokio::time::Instant::now() < deadline, "the index never came");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let weak = Arc::downgrade(&index);
    drop(index);
    while weak.upgrade().is_some() {
        assert!(tokio::time::Instant::now() < deadline, "the thread keeps the index");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// A measurement: a million records, one page by each kind of filter. Run it with
/// `cargo nextest run --release --run-ignored only --no-capture -E 'test(pages_of_a_million)'`.
#[tokio::test]
#[ignore = "writes about 700 MB; a measurement"]
async fn pages_of_a_million_records_come_within_a_hundred_milliseconds() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(&process(directory.path()));
    for number in 1..=1_000_000 {
        log.note(varied(number)).unwrap();
    }
    log.flush().unwrap();
    let index = Index::new(directory.path());
    let began = tokio::time::Instant::now();
    let built = index.refresh().unwrap();
    let bytes: u64 = index_files(directory.path()).iter().map(|file| file.metadata().unwrap().len()).sum();
    println!(
        "{built} segments of {} MB indexed in {:?}, {} MB",
        log.status().bytes >> 20,
        began.elapsed(),
        bytes >> 20
    );
    let mut all = filters();
    all.push(Filter { request_id: Some("request-1".to_owned()), ..Filter::default() });
    all.push(Filter {
        agent: Some("agent-2".to_owned()),
        tool: Some("tool-7".to_owned()),
        user: Some("https://idp.example|user-3".to_owned()),
        ..Filter::default()
    });
    let mut worst = std::time::Duration::ZERO;
    for filter in all {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let began = tokio::time::Instant::now();
            let found =
                log.reader().unwrap().with_index(Arc::clone(&index)).search(&filter, order, 100).unwrap();
            let took = began.elapsed();
            worst = worst.max(took);
            println!(
                "{took:>12?} {:>4} {order:?} {}",
                found.records.len(),
                serde_json::to_string(&filter).unwrap().replace("null", "").len()
            );
            assert!(took < std::time::Duration::from_millis(100), "{took:?}: {filter:?} {order:?}");
        }
    }
    println!("worst {worst:?}");
}
