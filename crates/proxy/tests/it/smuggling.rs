//! Messages whose end two parsers could see in two places: none becomes a request upstream that its caller was
//! not let in with (RFC 9112, sections 5.1, 6.1, 6.3 and 7.1).

use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::broker::{CANARY, TestBroker};
use crate::upstream::{Upstream, json};

/// A call of its own number, always of the same length.
fn body(number: usize) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{},"method":"tools/call","params":{{"name":"echo","_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#,
        100 + number
    )
}

/// How long a connection is silent when everything was said.
const QUIET: Duration = Duration::from_secs(2);

/// What a smuggler hides behind the body: a request without a token of its own.
const HIDDEN: &str = "POST /mcp/dev/tools HTTP/1.1\r\nHost: hidden\r\nContent-Length: 9\r\n\r\n{\"hid\":1}";

async fn echo() -> Upstream {
    Upstream::start(|_| async {
        json(r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content":[]}}"#)
    })
    .await
}

/// Heads whose framing is said twice, or in a way that parsers read differently.
fn heads() -> Vec<(&'static str, String)> {
    let length = body(0).len();
    let whole = length + HIDDEN.len();
    vec![
        ("both lengths", format!("Content-Length: {whole}\r\nTransfer-Encoding: chunked\r\n")),
        ("both, the other way round", format!("Transfer-Encoding: chunked\r\nContent-Length: {whole}\r\n")),
        ("two lengths", format!("Content-Length: {length}\r\nContent-Length: {whole}\r\n")),
        ("a list of lengths", format!("Content-Length: {length}, {whole}\r\n")),
        ("a length with a sign", format!("Content-Length: +{length}\r\n")),
        ("a length in hexadecimal", format!("Content-Length: 0x{length:x}\r\n")),
        ("a length below zero", "Content-Length: -1\r\n".to_owned()),
        ("a length beyond all numbers", "Content-Length: 99999999999999999999999\r\n".to_owned()),
        ("a blank before the colon", format!("Content-Length : {length}\r\n")),
        (
            "an encoding with a blank before the colon",
            format!("Transfer-Encoding : chunked\r\nContent-Length: {length}\r\n"),
        ),
        ("an unknown encoding", format!("Transfer-Encoding: xchunked\r\nContent-Length: {length}\r\n")),
        (
            "two encodings",
            format!(
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: {length}\r\n"
            ),
        ),
        (
            "chunked, and not last",
            format!("Transfer-Encoding: chunked, gzip\r\nContent-Length: {length}\r\n"),
        ),
        (
            "an encoding after a vertical tab",
            format!("Transfer-Encoding: \u{b}chunked\r\nContent-Length: {length}\r\n"),
        ),
        (
            "a folded line",
            format!("X-Fold: a\r\n Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        ),
        ("a name with a blank", format!("Content Length: 3\r\nContent-Length: {length}\r\n")),
        ("a zero byte", format!("X-Zero: a\0b\r\nContent-Length: {length}\r\n")),
        (
            "a bare carriage return",
            format!("X-Bare: a\rTransfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        ),
        (
            "a bare line feed",
            format!("X-Bare: a\nTransfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        ),
    ]
}

/// A body in chunks that parsers end in different places; all under `Transfer-Encoding: chunked`.
fn chunks(body: &str) -> Vec<(&'static str, String)> {
    let (length, half) = (body.len(), body.len() / 2);
    let (one, two) = body.split_at(half);
    vec![
        ("honest chunks", format!("{half:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", length - half)),
        ("a size beyond all numbers", format!("fffffffffffffffff\r\n{body}\r\n0\r\n\r\n")),
        ("a size with a sign", format!("-{length:x}\r\n{body}\r\n0\r\n\r\n")),
        ("a size with a prefix", format!("0x{length:x}\r\n{body}\r\n0\r\n\r\n")),
        ("a line feed in an extension", format!("{length:x};a\nb\r\n{body}\r\n0\r\n\r\n")),
        ("no line end after a chunk", format!("{length:x}\r\n{body}0\r\n\r\n")),
        ("a line feed alone after a size", format!("{length:x}\n{body}\r\n0\r\n\r\n")),
        (
            "a trailer that says who",
            format!("{length:x}\r\n{body}\r\n0\r\nAuthorization: Bearer mine\r\n\r\n"),
        ),
    ]
}

fn message(broker: &TestBroker, framing: &str, body: &str) -> String {
    format!(
        "POST /mcp/dev/tools HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer alice-token\r\n\
         Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n{framing}\r\n{body}{HIDDEN}",
        broker.address
    )
}

/// Everything that comes back until the gateway closes the connection, or says nothing more.
async fn said(broker: &TestBroker, message: &str) -> String {
    let mut stream = TcpStream::connect(broker.address).await.unwrap();
    // A gateway that refuses may have closed it before all was written.
    let _closed = stream.write_all(message.as_bytes()).await;
    let (mut answer, mut piece) = (Vec::new(), [0_u8; 4096]);
    while let Ok(Ok(read @ 1..)) = tokio::time::timeout(QUIET, stream.read(&mut piece)).await {
        answer.extend_from_slice(&piece[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn no_ambiguous_message_becomes_a_request_that_nobody_was_let_in_with() {
    let upstream = echo().await;
    let broker = TestBroker::start(upstream.address).await;
    let chunked = "Transfer-Encoding: chunked\r\n".to_owned();
    let kinds = chunks(&body(0)).len();
    let mut cases: Vec<(&str, String)> = (0..kinds)
        .map(|number| {
            let (what, body) = chunks(&body(number)).swap_remove(number);
            (what, message(&broker, &chunked, &body))
        })
        .collect();
    cases.extend(
        heads()
            .into_iter()
            .enumerate()
            .map(|(number, (what, framing))| (what, message(&broker, &framing, &body(kinds + number)))),
    );
    let answers = join_all(cases.iter().map(|(_, message)| said(&broker, message))).await;
    let seen = upstream.seen.lock().unwrap().clone();
    for (number, ((what, _), answer)) in cases.iter().zip(&answers).enumerate() {
        let arrived: Vec<_> = seen.iter().filter(|seen| seen.body == body(number).as_bytes()).collect();
        let served = answer.matches("HTTP/1.1 200").count();
        assert!(arrived.len() <= 1 && served <= arrived.len(), "{what}: {answer}");
        assert!(*what != "honest chunks" || served == 1, "a message of one meaning is served: {answer}");
    }
    for seen in &seen {
        let number: Value = serde_json::from_slice(&seen.body).unwrap();
        let number = usize::try_from(number["id"].as_u64().unwrap()).unwrap() - 100;
        assert_eq!(seen.body, body(number).as_bytes(), "nothing but whole messages arrives");
        assert_eq!(seen.headers["authorization"], format!("Bearer {CANARY}"));
        let framings = ["content-length", "transfer-encoding"];
        let said = framings.iter().map(|name| seen.headers.get_all(*name).iter().count()).sum::<usize>();
        assert_eq!(said, 1, "one framing upstream: {:?}", seen.headers);
    }
}

#[tokio::test]
async fn a_hidden_request_has_no_rights_of_the_one_before_it() {
    let upstream = echo().await;
    let broker = TestBroker::start(upstream.address).await;
    let framing = format!("Content-Length: {}\r\n", body(0).len());
    let answer = said(&broker, &message(&broker, &framing, &body(0))).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 4").count(), 1, "{answer}");
    assert_eq!(upstream.count(), 1);
}
