use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Answers each connection with the bytes, and says how many it saw.
async fn server(answer: &'static str) -> (Url, Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let seen = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let mut buffer = [0_u8; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (url, seen)
}

fn client(config: &OutboundConfig) -> OutboundClient {
    OutboundClient::new(config).unwrap()
}

#[tokio::test]
async fn reads_json() {
    let (url, _) = server("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}").await;
    let value: serde_json::Value = client(&OutboundConfig::default()).get_json(&url).await.unwrap();
    assert_eq!(value["a"], 1);
}

#[tokio::test]
async fn never_follows_a_redirect() {
    let (target, seen) = server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await;
    let answer = format!("HTTP/1.1 307 Moved\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n");
    let (url, _) = server(answer.leak()).await;
    let request = OutboundRequest::new(Method::GET, url);
    let answer = client(&OutboundConfig::default()).send(request).await.unwrap();
    assert_eq!(answer.status, 307);
    assert_eq!(seen.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn refuses_an_answer_beyond_the_limit_announced_or_not() {
    let small = OutboundConfig { max_body: 4, ..OutboundConfig::default() };
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n12345",
    ] {
        let (url, _) = server(answer).await;
        let result = client(&small).send(OutboundRequest::new(Method::GET, url)).await;
        assert!(matches!(result, Err(OutboundError::TooLarge { limit: 4, .. })), "{result:?}");
    }
}

#[tokio::test]
async fn gives_up_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let config = OutboundConfig { timeout: Duration::from_millis(100), ..OutboundConfig::default() };
    let result = client(&config).send(OutboundRequest::new(Method::GET, url)).await;
    assert!(matches!(result, Err(OutboundError::Timeout(_))), "{result:?}");
}

#[tokio::test]
async fn refuses_plain_http_beyond_loopback() {
    for address in
        ["http://vault.internal/", "http://10.0.0.1/", "ftp://127.0.0.1/", "http://127.0.0.1.nip.io/"]
    {
        let request = OutboundRequest::new(Method::GET, Url::parse(address).unwrap());
        let result = client(&OutboundConfig::default()).send(request).await;
        assert!(matches!(result, Err(OutboundError::Insecure(_))), "{address}");
    }
}

#[test]
fn refuses_a_file_without_authorities() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = OutboundConfig { ca_file: Some(file.path().to_owned()), ..OutboundConfig::default() };
    assert!(matches!(OutboundClient::new(&config), Err(OutboundBuildError::Authorities { .. })));
}
