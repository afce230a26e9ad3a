//! The sink against a receiver that comes and goes.

use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// One request as received.
#[derive(Clone, Debug)]
pub(super) struct Received {
    head: String,
    pub(super) body: Vec<u8>,
}

/// Answers each request with the next status, then with 204s; keeps every request.
pub(super) async fn receive(listener: TcpListener, mut statuses: Vec<u16>, got: Arc<Mutex<Vec<Received>>>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        let (head, length) = loop {
            let mut chunk = [0; 4_096];
            let read = stream.read(&mut chunk).await.unwrap();
            bytes.extend_from_slice(&chunk[..read]);
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8(bytes.drain(..end + 4).collect()).unwrap().to_lowercase();
                let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
                break (head.clone(), length.parse::<usize>().unwrap());
            }
        };
        while bytes.len() < length {
            let mut chunk = [0; 4_096];
            let read = stream.read(&mut chunk).await.unwrap();
            bytes.extend_from_slice(&chunk[..read]);
        }
        let status = if statuses.is_empty() { 204 } else { statuses.remove(0) };
        got.lock().unwrap().push(Received { head, body: bytes });
        let answer =
            format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nlocation: /x\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

fn sink(log: &Arc<AuditLog>, address: std::net::SocketAddr, token: Option<&Path>) -> Arc<Sink> {
    let config = HttpSinkConfig {
        token_file: token.map(Path::to_owned),
        batch_lines: Some(7),
        timeout_seconds: Some(5),
        ..HttpSinkConfig::new(format!("http://{address}/audit").parse().unwrap())
    };
    only(log, SinkConfig::Webhook(config))
}

/// The one sink of this configuration.
pub(super) fn only(log: &Arc<AuditLog>, sink: SinkConfig) -> Arc<Sink> {
    let config = AuditConfig { sinks: vec![sink], ..process(log.directory()) };
    let random: Arc<dyn Random> = Arc::new(random());
    let sinks = AuditSinks::new(log, &config, &random).unwrap();
    Arc::clone(sinks.iter().next().unwrap())
}

/// Verifies what arrived as a chain of its own; says its last record.
fn received_chain(requests: &[Received]) -> u64 {
    let body: Vec<u8> = requests.iter().flat_map(|request| request.body.clone()).collect();
    received_chain_of(&body)
}

/// The same for lines.
pub(super) fn received_chain_of(body: &[u8]) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let mut segment_number = 0;
    let mut segments: Vec<Vec<u8>> = Vec::new();
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"{\"segment\"") {
            segment_number += 1;
            segments.push(Vec::new());
        }
        if !line.starts_with(b"{\"checkpoint\"") {
            segments[segment_number - 1].extend_from_slice(line);
        }
    }
    for (number, content) in (1..).zip(&segments) {
        std::fs::write(segment(directory.path(), number), content).unwrap();
    }
    verified(directory.path()).records
}

#[tokio::test]
async fn a_dead_receiver_delays_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let config = small_segments(directory.path());
    let (log, _) = open(&config);
    let signer = Signer::open_or_create(&config.key_path()).unwrap();
    let key = signer.public_key().clone();
    let checkpointer = Checkpointer::open(Arc::clone(&log), signer, &config, Arc::new(Still)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let sink = sink(&log, address, None);
    fill(&log, 10).await;
    checkpointer.checkpoint().unwrap().unwrap();
    assert!(sink.deliver().await.is_err());
    fill(&log, 30).await;
    assert_eq!(sink.status().sent, Sequence(0));
    assert_eq!(sink.status().lag, 80, "nothing waited for the receiver");

    let got = Arc::new(Mutex::new(Vec::new()));
    let listener = TcpListener::bind(address).await.unwrap();
    let receiver = tokio::spawn(receive(listener, Vec::new(), Arc::clone(&got)));
    let runner = tokio::spawn(Arc::clone(&sink).run());
    checkpointer.checkpoint().unwrap().unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while sink.status().lag > 0 {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", sink.status());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    runner.abort();
    while sink.deliver().await.unwrap() > 0 {}
    receiver.abort();
    let got = got.lock().unwrap().clone();
    assert_eq!(received_chain(&got), 80);
    let everything: Vec<u8> = got.iter().flat_map(|request| request.body.clone()).collect();
    let anchors = read_checkpoints(&everything).unwrap();
    assert_eq!(anchors.len(), 2);
    let report = verify_directory(directory.path(), &[key], Some(&anchors)).unwrap();
    assert!(report.holds(), "{report:?}");
    assert_eq!(report.anchored, Some(Sequence(80)));
}

#[tokio::test]
async fn only_a_2xx_moves_the_cursor_and_a_redirect_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(&process(directory.path()));
    fill(&log, 1).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let got = Arc::new(Mutex::new(Vec::new()));
    let token = directory.path().join("token");
    std::fs::write(&token, "sink-token\n").unwrap();
    let sink = sink(&log, listener.local_addr().unwrap(), Some(&token));
    let receiver = tokio::spawn(receive(listener, vec![500, 302, 413], Arc::clone(&got)));
    for _ in 0..3 {
        sink.deliver().await.unwrap_err();
    }
    assert_eq!(sink.deliver().await.unwrap(), 1, "413 made the batch smaller");
    receiver.abort();
    let got = got.lock().unwrap().clone();
    assert_eq!(got.len(), 4);
    assert_eq!(got[0].body, got[1].body);
    assert!(got[0].body.starts_with(&got[3].body));
    assert!(got.iter().all(|request| request.head.starts_with("post /audit ")));
    assert!(got.iter().all(|request| request.head.contains("authorization: bearer sink-token")));
}

#[tokio::test]
async fn a_restart_goes_on_where_the_cursor_is() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(&process(directory.path()));
    fill(&log, 4).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let got = Arc::new(Mutex::new(Vec::new()));
    let receiver = tokio::spawn(receive(listener, Vec::new(), Arc::clone(&got)));
    assert_eq!(sink(&log, address, None).deliver().await.unwrap(), 7);
    let again = sink(&log, address, None);
    assert_eq!(again.deliver().await.unwrap(), 2);
    assert_eq!(again.deliver().await.unwrap(), 0);
    receiver.abort();
    assert_eq!(received_chain(&got.lock().unwrap()), 8);
}
