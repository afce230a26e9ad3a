//! The address guard from end to end: what a name or a number leads to decides, at the moment of dialling.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use gateway_proxy::upstream::{Resolver, Upstreams};
use serde_json::json;
use tokio::net::TcpListener;

use crate::broker::TestBroker;
use crate::certificates::{ask, http_route};
use crate::upstream::{Attendant, Upstream, json as answer};

/// Gives one answer after another, and the last one for ever; keeps what it was asked.
#[derive(Debug, Default)]
struct Changing {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Changing {
    fn answering(answers: &[&[&str]]) -> Arc<Self> {
        let one = |texts: &&[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Arc::new(Self { answers: Mutex::new(answers.iter().map(one).collect()), asked: Mutex::default() })
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[async_trait]
impl Resolver for Changing {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.asked.lock().unwrap().push(host.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let answer =
            if answers.len() > 1 { answers.pop_front().unwrap() } else { answers.front().cloned().unwrap() };
        Ok(answer.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }
}

async fn agreeable() -> Upstream {
    Upstream::start(|_| async { answer(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#) }).await
}

/// Every connection is closed after its answer, so that each call dials.
async fn closing(address: &str) -> (SocketAddr, Attendant) {
    let attendant = Attendant::new(|_| async {
        let mut response = answer(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#);
        response.headers_mut().insert("connection", "close".parse().unwrap());
        response
    });
    let listener = TcpListener::bind(address).await.unwrap();
    let (address, attending) = (listener.local_addr().unwrap(), attendant.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(attending.clone().attend(stream));
        }
    });
    (address, attendant)
}

#[tokio::test]
async fn one_forbidden_address_among_several_refuses_the_name() {
    let upstream = agreeable().await;
    let route = http_route(json!({
        "url": format!("http://tools.example:{}/mcp", upstream.address.port()), "addresses": ["loopback"]
    }));
    for forbidden in [
        "10.0.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.1.1",
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a00:1",
        "fd00:ec2::254",
        "fe80::1",
        "::",
    ] {
        for answers in
            [&["127.0.0.1", forbidden][..], &[forbidden, "127.0.0.1"], &["127.0.0.1", "127.0.0.1", forbidden]]
        {
            let upstreams = Upstreams::new(Changing::answering(&[answers]));
            let refusal = ask(&upstreams, &route).await.unwrap_err();
            assert_eq!(refusal.code().as_str(), "upstream.address_refused", "{answers:?}");
        }
    }
    assert_eq!(upstream.count(), 0, "the permitted one of them is not dialled either");
    let allowed = Upstreams::new(Changing::answering(&[&["127.0.0.1", "127.0.0.1"]]));
    assert_eq!(ask(&allowed, &route).await.unwrap(), 200);
    let mapped = Upstreams::new(Changing::answering(&[&["::ffff:127.0.0.1", "127.0.0.1"]]));
    assert_eq!(ask(&mapped, &route).await.unwrap(), 200, "a mapped address is judged as what it maps");
}

#[tokio::test]
async fn the_dialled_address_is_the_judged_one() {
    let (address, judged) = closing("127.0.0.2:0").await;
    let (_, other) = closing(&format!("127.0.0.3:{}", address.port())).await;
    let resolver = Changing::answering(&[&["127.0.0.2"], &["127.0.0.3"]]);
    let route = http_route(json!({
        "url": format!("http://tools.example:{}/mcp", address.port()), "addresses": ["loopback"]
    }));
    let upstreams = Upstreams::new(Arc::clone(&resolver) as Arc<dyn Resolver>);
    assert_eq!(ask(&upstreams, &route).await.unwrap(), 200);
    assert_eq!((judged.count(), other.count(), resolver.asked()), (1, 0, 1), "one look-up decides");
    assert_eq!(ask(&upstreams, &route).await.unwrap(), 200);
    assert_eq!((judged.count(), other.count(), resolver.asked()), (1, 1, 2), "each connection looks anew");
}

#[tokio::test]
async fn a_name_that_is_rebound_between_two_connections_is_refused() {
    let (address, attendant) = closing("127.0.0.1:0").await;
    let resolver = Changing::answering(&[&["127.0.0.1"], &["169.254.169.254"], &["10.0.0.1"]]);
    let settled = Arc::clone(&resolver);
    let mut broker = TestBroker::with(address, |_| {}, move |settings| settings.resolver = settled).await;
    broker.reroute(json!({
        "url": format!("http://tools.example:{}/mcp", address.port()), "addresses": ["loopback"]
    }));
    assert_eq!(broker.call("echo").await.status, 200);
    for _ in 0..2 {
        let answer = broker.call("echo").await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream.address_refused"));
        assert!(!answer.text.contains("169.254") && !answer.text.contains("example"), "{}", answer.text);
    }
    assert_eq!((attendant.count(), resolver.asked()), (1, 3));
}

#[tokio::test]
async fn every_spelling_of_loopback_in_a_url_needs_the_routes_leave() {
    let upstream = agreeable().await;
    let port = upstream.address.port();
    let mut broker = TestBroker::start(upstream.address).await;
    let spellings = [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "127.0.0.01",
        "１２７.0.0.1",
        "127。0。0。1",
        "%31%32%37.0.0.1",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ];
    for host in spellings {
        broker.reroute(json!({"url": format!("http://{host}:{port}/mcp"), "timeout_seconds": 5}));
        let answer = broker.call("echo").await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream.address_refused"), "{host}");
    }
    assert_eq!(upstream.count(), 0);
    for host in spellings.into_iter().filter(|host| !host.starts_with('[')) {
        broker.reroute(json!({"url": format!("http://{host}:{port}/mcp"), "addresses": ["loopback"]}));
        assert_eq!(broker.call("echo").await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn no_leave_opens_metadata_services_in_any_spelling() {
    let upstream = agreeable().await;
    let mut broker = TestBroker::start(upstream.address).await;
    for host in [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "169.254.170.2",
    ] {
        let addresses = ["loopback", "private", "link-local"];
        broker.reroute(
            json!({"url": format!("http://{host}/mcp"), "addresses": addresses, "timeout_seconds": 5}),
        );
        let answer = broker.call("echo").await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream.address_refused"), "{host}");
    }
}

#[tokio::test]
async fn the_proxys_address_is_judged_like_a_servers() {
    let upstream = agreeable().await;
    let resolver = Changing::answering(&[&["10.0.0.1"]]);
    let route = http_route(json!({
        "url": format!("http://{}/mcp", upstream.address), "addresses": ["loopback"],
        "proxy": "http://proxy.example:3128"
    }));
    let upstreams = Upstreams::new(Arc::clone(&resolver) as Arc<dyn Resolver>);
    let refusal = ask(&upstreams, &route).await.unwrap_err();
    assert_eq!(refusal.code().as_str(), "upstream.address_refused");
    assert_eq!(*resolver.asked.lock().unwrap(), ["proxy.example"]);
}

#[tokio::test]
async fn no_redirect_is_followed_whatever_its_status() {
    let elsewhere = agreeable().await;
    for status in [301, 302, 303, 307, 308] {
        let target = format!("http://{}/mcp", elsewhere.address);
        let upstream = Upstream::start(move |_| {
            let target = target.clone();
            async move {
                let mut response = answer("{}");
                *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
                response.headers_mut().insert("location", target.parse().unwrap());
                response
            }
        })
        .await;
        let broker = TestBroker::start(upstream.address).await;
        let refused = broker.call("echo").await;
        assert_eq!((refused.status, refused.code().as_str()), (502, "upstream.redirect"), "{status}");
        assert!(!refused.headers.contains_key("location"));
        assert_eq!(upstream.count(), 1);
    }
    assert_eq!(elsewhere.count(), 0);
}
