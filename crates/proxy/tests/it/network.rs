//! The network as it is: TLS, trusted proxies in front, an outbound proxy behind.

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_proxy::server;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::broker::{TestBroker, record, server_spec};
use crate::upstream::{Upstream, json};

async fn echo() -> Upstream {
    Upstream::start(|_| async { json(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#) }).await
}

/// A complete modern call as raw HTTP/1.1.
fn raw_call(host: SocketAddr, more: &str) -> String {
    let body = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    format!(
        "POST /mcp/dev/tools HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer alice-token\r\nContent-Type: application/json\r\n\
         MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

async fn speak(address: SocketAddr, text: &str) -> String {
    speak_bytes(address, text.as_bytes()).await
}

async fn speak_bytes(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = String::new();
    // A connection that is dropped with bytes unread ends in a reset, which is no answer either.
    drop(stream.read_to_string(&mut answer).await);
    answer
}

fn source(broker: &TestBroker) -> String {
    let events = broker.audit.events.lock().unwrap().clone();
    events.last().unwrap().source_address.unwrap().to_string()
}

#[tokio::test]
async fn forwarded_addresses_are_believed_from_trusted_proxies_only() {
    let upstream = echo().await;
    let header = "X-Forwarded-For: 203.0.113.9, 198.51.100.7\r\n";
    let open = TestBroker::start(upstream.address).await;
    assert!(speak(open.address, &raw_call(open.address, header)).await.starts_with("HTTP/1.1 200"));
    assert_eq!(source(&open), "127.0.0.1", "anybody can write that header");
    let trust = |settings: &mut gateway_proxy::settings::Settings| {
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    };
    let behind = TestBroker::with(upstream.address, |_| {}, trust).await;
    assert!(speak(behind.address, &raw_call(behind.address, header)).await.starts_with("HTTP/1.1 200"));
    assert_eq!(source(&behind), "198.51.100.7", "what stands before the last trusted hop is hearsay");
}

#[tokio::test]
async fn the_proxy_protocol_names_the_source_and_its_absence_ends_the_connection() {
    let upstream = echo().await;
    let settle = |settings: &mut gateway_proxy::settings::Settings| {
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        settings.proxy_protocol = true;
    };
    let broker = TestBroker::with(upstream.address, |_| {}, settle).await;
    let call = raw_call(broker.address, "");
    let announced = format!("PROXY TCP4 203.0.113.9 127.0.0.1 4711 8080\r\n{call}");
    assert!(speak(broker.address, &announced).await.starts_with("HTTP/1.1 200"));
    assert_eq!(source(&broker), "203.0.113.9");
    let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    binary.extend_from_slice(&[198, 51, 100, 4, 127, 0, 0, 1, 0x12, 0x67, 0x1f, 0x90]);
    binary.extend_from_slice(call.as_bytes());
    assert!(speak_bytes(broker.address, &binary).await.starts_with("HTTP/1.1 200"));
    assert_eq!(source(&broker), "198.51.100.4", "version 2 too");
    assert_eq!(speak(broker.address, &call).await, "", "without the header nothing is served");
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn a_route_with_a_proxy_tunnels_through_it() {
    let upstream = echo().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let target = head.split(' ').nth(1).unwrap().to_owned();
        let mut behind = TcpStream::connect(&target).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
        drop(tokio::io::copy_bidirectional(&mut stream, &mut behind).await);
        head
    });
    let mut broker = TestBroker::start(upstream.address).await;
    broker.publish(|state| {
        let mut server = server_spec(upstream.address);
        server["route"]["proxy"] = format!("http://{proxy}").into();
        state.revisions[1] = record(server, 1);
    });
    assert_eq!(broker.call("echo").await.status, 200);
    drop(broker);
    let head = asked.await.unwrap();
    assert!(head.starts_with(&format!("CONNECT {}", upstream.address)), "{head}");
    assert!(!head.contains("canary"), "the proxy never sees the credential: {head}");
}

#[tokio::test]
async fn the_listener_speaks_tls_with_http_1_and_2() {
    let upstream = echo().await;
    let broker = TestBroker::start(upstream.address).await;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let listener = server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(server::serve(listener, broker.gateway.clone(), Some(Arc::new(tls)), stopped));
    let root = reqwest::Certificate::from_der(made.cert.der()).unwrap();
    for http1 in [true, false] {
        let builder = reqwest::Client::builder().no_proxy().tls_certs_only([root.clone()]);
        let client = if http1 { builder.http1_only() } else { builder }.build().unwrap();
        // The host that the gateway knows itself by is its public one.
        let request = broker.modern("alice-token", "tools/call", Some("echo")).build().unwrap();
        let mut over = client.post(format!("https://localhost:{}/mcp/dev/tools", address.port()));
        for (name, value) in request.headers() {
            over = over.header(name, value);
        }
        let answer = over
            .header("host", broker.address.to_string())
            .body(request.body().unwrap().as_bytes().unwrap().to_vec())
            .send()
            .await
            .unwrap();
        let expected = if http1 { 200 } else { 403 };
        assert_eq!(
            answer.status(),
            expected,
            "HTTP/2 carries its authority in the URL, which is not ours here"
        );
        assert_eq!(answer.version() == http::Version::HTTP_2, !http1);
    }
}
