//! Servers behind a Unix socket.

use gateway_proxy::upstream::Upstreams;
use rustls::version::TLS13;
use serde_json::json;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use crate::broker::{CANARY, TestBroker};
use crate::certificates::{Authority, Files, Tls, ask, http_route};
use crate::upstream::Attendant;

fn serve(files: &Files, attendant: &Attendant) -> JoinHandle<()> {
    let listener = UnixListener::bind(files.path("server.sock")).unwrap();
    let attendant = attendant.clone();
    tokio::spawn(async move {
        // Connections end with the server: they belong to its task.
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(attendant.clone().attend(stream));
        }
    })
}

#[tokio::test]
async fn a_server_behind_a_socket_is_called_under_the_urls_name() {
    let (files, attendant) = (Files::new(), Attendant::agreeable());
    let _server = serve(&files, &attendant);
    let mut broker = TestBroker::start("127.0.0.1:1".parse().unwrap()).await;
    // The host is a name for the server alone: it is never looked up, let alone dialled.
    for host in ["tools.internal", "169.254.169.254"] {
        broker.reroute(json!({"url": format!("http://{host}/mcp"), "socket": files.path("server.sock")}));
        assert_eq!(broker.call("echo").await.status, 200);
        let seen = attendant.seen.lock().unwrap().last().cloned().unwrap();
        assert_eq!(seen.headers["host"], host);
        assert_eq!(seen.headers["authorization"], format!("Bearer {CANARY}"));
    }
}

#[tokio::test]
async fn a_socket_that_is_gone_is_unreachable_until_it_comes_back() {
    let (files, attendant) = (Files::new(), Attendant::agreeable());
    let server = serve(&files, &attendant);
    let mut broker = TestBroker::start("127.0.0.1:1".parse().unwrap()).await;
    broker.reroute(json!({"url": "http://tools.internal/mcp", "socket": files.path("server.sock")}));
    assert_eq!(broker.call("echo").await.status, 200);
    server.abort();
    drop(server.await);
    let orphaned = broker.call("echo").await;
    assert_eq!((orphaned.status, orphaned.code().as_str()), (502, "upstream.unreachable"));
    std::fs::remove_file(files.path("server.sock")).unwrap();
    let gone = broker.call("echo").await;
    assert_eq!((gone.status, gone.code().as_str()), (502, "upstream.unreachable"));
    assert!(!gone.text.contains("sock"), "{}", gone.text);
    let _server = serve(&files, &attendant);
    assert_eq!(broker.call("echo").await.status, 200);
    assert_eq!(attendant.count(), 2);
}

#[tokio::test]
async fn tls_over_a_socket_checks_the_urls_name() {
    let (ours, files, attendant) = (Authority::new(), Files::new(), Attendant::agreeable());
    let ca_file = files.authority("ours.pem", &ours);
    let (leaf, own) = (ours.leaf("tools.internal"), files.pair(&ours.leaf("gateway")));
    let acceptor = Tls { leaf: &leaf, clients: Some(&ours), version: &TLS13 }.acceptor();
    let listener = UnixListener::bind(files.path("server.sock")).unwrap();
    let attending = attendant.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(attending.clone().attend(stream));
            }
        }
    });
    let route = |host: &str| {
        http_route(json!({
            "url": format!("https://{host}/mcp"), "socket": files.path("server.sock"),
            "ca_file": ca_file, "client_certificate": own
        }))
    };
    let upstreams = Upstreams::default();
    assert_eq!(ask(&upstreams, &route("tools.internal")).await.unwrap(), 200);
    let refusal = ask(&upstreams, &route("other.internal")).await.unwrap_err();
    assert_eq!(refusal.code().as_str(), "upstream.tls_untrusted");
    assert_eq!(attendant.count(), 1);
}

#[tokio::test]
async fn sockets_of_one_name_are_told_apart() {
    let (one, other) = (Files::new(), Files::new());
    let (first, second) = (Attendant::agreeable(), Attendant::agreeable());
    let _servers = (serve(&one, &first), serve(&other, &second));
    let upstreams = Upstreams::default();
    for files in [&one, &other, &one] {
        let socket = files.path("server.sock");
        let route = http_route(json!({"url": "http://tools.internal/mcp", "socket": socket}));
        assert_eq!(ask(&upstreams, &route).await.unwrap(), 200);
    }
    assert_eq!((first.count(), second.count()), (2, 1));
}
