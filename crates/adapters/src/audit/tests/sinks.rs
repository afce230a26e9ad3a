//! Sinks of the other kinds, and several beside one another.

use std::sync::Mutex;
use std::time::Duration;

use gateway_core::audit::chain::Record;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use super::sink::{only, received_chain_of};
use super::*;

fn syslog(address: std::net::SocketAddr) -> SyslogConfig {
    SyslogConfig {
        name: None,
        address: format!("tcp://{address}").parse().unwrap(),
        ca_file: None,
        client_certificate: None,
        hostname: Some("gateway-1".to_owned()),
        enterprise_number: None,
        confirm_seconds: Some(1),
        window_records: None,
        batch_lines: Some(5),
    }
}

/// Splits octet-counted frames; gives the messages and what is left.
fn frames(mut bytes: &[u8]) -> (Vec<String>, usize) {
    let mut found = Vec::new();
    while let Some(space) = bytes.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(&bytes[..space]).unwrap().parse().unwrap();
        if bytes.len() < space + 1 + length {
            break;
        }
        found.push(String::from_utf8(bytes[space + 1..space + 1 + length].to_vec()).unwrap());
        bytes = &bytes[space + 1 + length..];
    }
    (found, bytes.len())
}

/// The chain line of a message.
fn line(message: &str) -> &str {
    let (_, line) = message.split_once("] ").unwrap();
    line
}

fn sequences(messages: &[String]) -> Vec<u64> {
    messages.iter().filter_map(|message| Some(Record::parse(line(message).as_bytes())?.sequence.0)).collect()
}

/// Steps until this holds.
async fn step_until(sink: &Arc<Sink>, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", sink.status());
        let _may_fail = sink.deliver().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Keeps what comes over each connection.
async fn keep(listener: TcpListener, got: Arc<Mutex<Vec<Vec<u8>>>>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        got.lock().unwrap().push(Vec::new());
        let mut chunk = [0; 4_096];
        while let Ok(read @ 1..) = stream.read(&mut chunk).await {
            got.lock().unwrap().last_mut().unwrap().extend_from_slice(&chunk[..read]);
        }
    }
}

#[tokio::test]
async fn syslog_messages_carry_the_chain_and_count_only_after_a_while() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(&process(directory.path()));
    fill(&log, 6).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sink = only(&log, SinkConfig::Syslog(syslog(listener.local_addr().unwrap())));
    let got = Arc::new(Mutex::new(Vec::new()));
    let receiver = tokio::spawn(keep(listener, Arc::clone(&got)));
    while sink.deliver().await.unwrap() > 0 {}
    assert_eq!(sink.status().sent, Sequence(0), "handed over is not taken");
    step_until(&sink, || sink.status().lag == 0).await;
    receiver.abort();
    let got = got.lock().unwrap();
    assert_eq!(got.len(), 1);
    let (messages, left) = frames(&got[0]);
    assert_eq!(left, 0);
    assert_eq!(sequences(&messages), (1..=12).collect::<Vec<_>>());
    let lines: Vec<u8> =
        messages.iter().flat_map(|message| format!("{}\n", line(message)).into_bytes()).collect();
    assert_eq!(received_chain_of(&lines), 12);
    assert!(messages.iter().all(|message| message.starts_with("<110>1 ")));
}

#[tokio::test]
async fn what_a_dead_syslog_receiver_may_have_lost_is_sent_again_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(&process(directory.path()));
    fill(&log, 5).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sink = only(&log, SinkConfig::Syslog(syslog(listener.local_addr().unwrap())));
    while sink.deliver().await.unwrap() > 0 {}
    // The receiver dies with everything in its buffers.
    drop::<TcpStream>(listener.accept().await.unwrap().0);
    fill(&log, 3).await;
    let got = Arc::new(Mutex::new(Vec::new()));
    let receiver = tokio::spawn(keep(listener, Arc::clone(&got)));
    step_until(&sink, || sink.status().lag == 0).await;
    receiver.abort();
    let bytes: Vec<u8> = got.lock().unwrap().last().unwrap().clone();
    assert_eq!(sequences(&frames(&bytes).0), (1..=16).collect::<Vec<_>>(), "{:?}", sink.status());
}

#[tokio::test]
async fn a_window_bounds_what_is_sent_and_not_confirmed() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(&process(directory.path()));
    fill(&log, 100).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = SyslogConfig { window_records: Some(20), ..syslog(listener.local_addr().unwrap()) };
    let sink = only(&log, SinkConfig::Syslog(config));
    let mut lines = 0;
    while let sent @ 1.. = sink.deliver().await.unwrap() {
        lines += sent;
    }
    assert!((20..=26).contains(&lines), "{lines}");
    let receiver = tokio::spawn(keep(listener, Arc::default()));
    step_until(&sink, || sink.status().lag == 0).await;
    receiver.abort();
}

#[tokio::test]
async fn sinks_go_their_own_ways_and_the_slowest_counts_for_all() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(&process(directory.path()));
    let random: Arc<dyn Random> = Arc::new(random());
    let none = AuditSinks::new(&log, &process(directory.path()), &random).unwrap();
    assert_eq!(none.delivered(), Sequence(u64::MAX), "nothing holds records back");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let alive = listener.local_addr().unwrap();
    let former = HttpSinkConfig::new("http://127.0.0.1:9/".parse().unwrap());
    let config = AuditConfig {
        sink: Some(former),
        sinks: vec![SinkConfig::Syslog(syslog(alive))],
        ..process(directory.path())
    };
    fill(&log, 4).await;
    let sinks = AuditSinks::new(&log, &config, &random).unwrap();
    let names: Vec<String> = sinks.statuses().into_iter().map(|sink| sink.name).collect();
    assert_eq!(names, ["webhook", "syslog"]);
    let receiver = tokio::spawn(keep(listener, Arc::default()));
    let both: Vec<&Arc<Sink>> = sinks.iter().collect();
    both[0].deliver().await.unwrap_err();
    step_until(both[1], || both[1].status().lag == 0).await;
    receiver.abort();
    assert_eq!((both[0].status().lag, both[1].status().lag), (8, 0));
    assert_eq!(sinks.delivered(), Sequence(0));
    assert!(directory.path().join("sink-cursor-syslog.json").exists());
    let again = AuditSinks::new(&log, &config, &random).unwrap();
    assert_eq!(again.statuses()[1].sent, Sequence(8), "the cursor is under the sink's name");
}

#[tokio::test]
async fn otlp_records_put_the_chain_together_again() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(&process(directory.path()));
    log.record(Event { trace_id: Some("0af7651916cd43dd8448eb211c80319c".to_owned()), ..intent(1) })
        .await
        .unwrap();
    log.note(outcome(1)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/logs", listener.local_addr().unwrap()).parse().unwrap();
    let sink = only(&log, SinkConfig::Otlp(HttpSinkConfig::new(url)));
    let got = Arc::new(Mutex::new(Vec::new()));
    let receiver = tokio::spawn(super::sink::receive(listener, vec![503], Arc::clone(&got)));
    sink.deliver().await.unwrap_err();
    assert_eq!(sink.deliver().await.unwrap(), 3);
    receiver.abort();
    let got = got.lock().unwrap();
    assert_eq!(got[0].body, got[1].body, "the same again");
    let sent: serde_json::Value = serde_json::from_slice(&got[1].body).unwrap();
    let scope = &sent["resourceLogs"][0]["scopeLogs"][0];
    let mut lines = Vec::new();
    for record in scope["logRecords"].as_array().unwrap() {
        let body = record["body"]["stringValue"].as_str().unwrap();
        let attribute = |name: &str| {
            let found = record["attributes"].as_array().unwrap().iter().find(|entry| entry["key"] == name)?;
            let value = &found["value"];
            value["stringValue"].as_str().or(value["intValue"].as_str()).map(str::to_owned)
        };
        match attribute("mcp_gateway.audit.sequence") {
            None => lines.extend(format!("{body}\n").into_bytes()),
            Some(sequence) => lines.extend(
                format!(
                    "{{\"seq\":{sequence},\"prev\":\"{}\",\"event\":{body},\"hash\":\"{}\"}}\n",
                    attribute("mcp_gateway.audit.prev").unwrap(),
                    attribute("mcp_gateway.audit.hash").unwrap()
                )
                .into_bytes(),
            ),
        }
    }
    assert_eq!(received_chain_of(&lines), 2);
    assert_eq!(scope["logRecords"][1]["traceId"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(scope["logRecords"][1]["timeUnixNano"], "1795683600000000000");
}
