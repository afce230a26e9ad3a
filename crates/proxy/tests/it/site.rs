//! Pages beside the servers' doors.

use crate::broker::TestBroker;
use crate::upstream::{Upstream, json};

async fn broker() -> (Upstream, TestBroker) {
    let upstream = Upstream::start(|_| async {
        json(r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content":[]}}"#)
    })
    .await;
    let broker = TestBroker::start(upstream.address).await;
    (upstream, broker)
}

fn at(broker: &TestBroker, path: &str) -> String {
    format!("http://{}{path}", broker.address)
}

#[tokio::test]
async fn a_page_gets_the_whole_request_and_the_callers_address() {
    let (_upstream, broker) = broker().await;
    let client = reqwest::Client::new();
    let answer = client.post(at(&broker, "/pages/one?a=b")).body("c=d").send().await.unwrap();
    assert_eq!(answer.headers()["set-cookie"], "a=b");
    assert_eq!(answer.text().await.unwrap(), "POST /pages/one?a=b 127.0.0.1 c=d");
    // A browser's own origin is nothing that the pages' door refuses; forms are checked by the pages.
    let answer = client.get(at(&broker, "/pages")).header("origin", "null").send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn no_page_takes_the_place_of_a_servers_door() {
    let (_upstream, broker) = broker().await;
    let answer = reqwest::get(at(&broker, "/mcp/dev/tools")).await.unwrap();
    assert_eq!(answer.status(), 401, "the door asks for a token");
    let answer = reqwest::get(at(&broker, "/elsewhere")).await.unwrap();
    assert_eq!(answer.status(), 404);
}

#[tokio::test]
async fn a_page_is_there_under_our_own_name_only_and_takes_no_endless_body() {
    let (_upstream, broker) = broker().await;
    let client = reqwest::Client::new();
    let answer = client.get(at(&broker, "/pages")).header("host", "evil.example").send().await.unwrap();
    assert_eq!(answer.status(), 403);
    let answer = client.post(at(&broker, "/pages")).body(vec![b'a'; 70_000]).send().await.unwrap();
    assert_eq!(answer.status(), 413);
}

#[tokio::test]
async fn a_gateway_that_stops_shows_no_more_pages() {
    let (_upstream, broker) = broker().await;
    broker.gateway.drain();
    assert_eq!(reqwest::get(at(&broker, "/pages")).await.unwrap().status(), 503);
}
