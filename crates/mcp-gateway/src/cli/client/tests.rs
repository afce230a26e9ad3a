use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;

use super::*;

/// Answers one request with the given bytes and gives back what it received.
fn serve(answer: &'static str) -> (Url, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let received = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = Vec::new();
        let mut chunk = [0_u8; 1024];
        while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
            let read = stream.read(&mut chunk).unwrap();
            bytes.extend_from_slice(&chunk[..read]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(bytes).unwrap()
    });
    (url, received)
}

fn client(control: Url) -> Client {
    let reach = Reach { control, ca_file: None, timeout: Duration::from_secs(20), plain_http: false };
    Client::open(&reach, Some(&Secret::copy_from(b"mcpgwop_token"))).unwrap()
}

#[test]
fn sends_the_token_and_escapes_each_segment() {
    let (url, received) = serve("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"a\": true}");
    let answer = client(url).fetch(&["bindings", "dev", "a/b?c"], &[("tool", "x y".to_owned())]).unwrap();
    assert_eq!(answer, serde_json::json!({"a": true}));
    let request = received.join().unwrap();
    assert!(request.starts_with("GET /v1/bindings/dev/a%2Fb%3Fc?tool=x+y HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: Bearer mcpgwop_token\r\n"), "{request}");
}

#[test]
fn never_follows_a_redirect() {
    let (url, received) = serve(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
    );
    let failure = client(url).fetch(&["me"], &[]).unwrap_err();
    assert!(failure.message.contains("redirect"), "{failure:?}");
    received.join().unwrap();
}

#[test]
fn a_dead_address_is_no_answer_and_a_stranger_is_no_gateway() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    assert_eq!(client(dead).fetch(&["me"], &[]).unwrap_err().exit, Exit::NoAnswer);
    let (url, received) = serve("HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nhello");
    let failure = client(url).fetch(&["me"], &[]).unwrap_err();
    assert!(failure.hint.unwrap().contains("--control"));
    received.join().unwrap();
}

#[test]
fn refuses_to_send_the_token_in_clear_text_over_a_network() {
    let failure =
        client(Url::parse("http://gateway.internal:8081").unwrap()).fetch(&["me"], &[]).unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.message.contains("clear text"), "{failure:?}");
}

#[test]
fn pauses_outside_of_any_runtime() {
    client(Url::parse("http://127.0.0.1:1").unwrap()).pause(Duration::from_millis(1));
}

#[test]
fn refuses_names_that_would_change_the_path() {
    let control = Url::parse("http://127.0.0.1:1").unwrap();
    for bad in ["..", ".", ""] {
        assert_eq!(client(control.clone()).fetch(&["bindings", bad], &[]).unwrap_err().exit, Exit::Usage);
    }
}
