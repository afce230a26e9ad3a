//! The bridge between a client and a door that answers as it is told; the real door is the claim `connect`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use gateway_adapters::https::{OutboundClient, OutboundConfig};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines};
use tokio::net::TcpListener;
use url::Url;

use super::Ending;
use crate::app::system::{SystemClock, SystemEntropy};
use crate::connect::door::Door;
use crate::connect::keep::Keeper;
use crate::connect::notes::Notes;
use crate::connect::trouble::Trouble;
use crate::connect::{Connection, Outside, Settings};

/// What the door does with one request.
enum Reply {
    Document(u16, &'static [(&'static str, &'static str)], String),
    /// The events, and whether the stream stays open after them.
    Events(&'static [(&'static str, &'static str)], String, bool),
}

struct Seen {
    method: Method,
    headers: HeaderMap,
    body: Bytes,
}

#[derive(Default)]
struct Script {
    replies: Mutex<VecDeque<Reply>>,
    seen: Mutex<Vec<Seen>>,
    /// Told when the reader of a stream that stays open has gone.
    abandoned: Arc<tokio::sync::Notify>,
}

async fn serve(
    State(script): State<Arc<Script>>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // A listening stream is not what these tests are about, unless they say so.
    let listens = method == Method::GET && !headers.contains_key("last-event-id");
    script.seen.lock().unwrap().push(Seen { method, headers, body });
    let reply = if listens { None } else { script.replies.lock().unwrap().pop_front() };
    match reply {
        None => Response::builder().status(405).body(Body::empty()).unwrap(),
        Some(Reply::Document(status, headers, body)) => {
            let builder = Response::builder().status(status).header("content-type", "application/json");
            headers
                .iter()
                .fold(builder, |builder, (name, value)| builder.header(*name, *value))
                .body(Body::from(body))
                .unwrap()
        }
        Some(Reply::Events(headers, events, stays)) => {
            let gone = Gone(script.abandoned.clone());
            let first = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(events))]);
            let rest = futures::stream::poll_fn(move |_| {
                let _kept = &gone;
                if stays { std::task::Poll::Pending } else { std::task::Poll::Ready(None) }
            });
            let body = Body::from_stream(futures::StreamExt::chain(first, rest));
            let builder = Response::builder().status(200).header("content-type", "text/event-stream");
            headers
                .iter()
                .fold(builder, |builder, (name, value)| builder.header(*name, *value))
                .body(body)
                .unwrap()
        }
    }
}

struct Gone(Arc<tokio::sync::Notify>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A client at a bridge to a scripted door.
struct Scene {
    script: Arc<Script>,
    input: DuplexStream,
    output: Lines<BufReader<DuplexStream>>,
    stop: Ending,
    run: tokio::task::JoinHandle<Result<(), Trouble>>,
}

async fn scene(replies: impl IntoIterator<Item = Reply>) -> Scene {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/mcp/dev/a", listener.local_addr().unwrap());
    let script = Arc::new(Script { replies: Mutex::new(replies.into_iter().collect()), ..Script::default() });
    let router = Router::new().fallback(serve).with_state(script.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let settings = Settings {
        door: Door::parse(Url::parse(&url).unwrap(), false).unwrap(),
        ca_file: None,
        plain_http: false,
        login_within: Duration::from_secs(5),
        opens_browser: false,
        client_id: None,
    };
    let notes = Notes::into(std::io::sink());
    let outside = Outside {
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemEntropy::default()),
        keeper: Keeper::memory(notes.clone()),
        notes,
    };
    let connection = Connection::new(settings, outside).unwrap();
    let (input, bridge_input) = tokio::io::duplex(1 << 16);
    let (bridge_output, output) = tokio::io::duplex(1 << 16);
    let stop = Ending::new();
    let told = stop.clone();
    let run = tokio::spawn(async move { connection.bridge(bridge_input, bridge_output, told).await });
    Scene { script, input, output: BufReader::new(output).lines(), stop, run }
}

impl Scene {
    async fn say(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn hear(&mut self) -> String {
        let line = tokio::time::timeout(Duration::from_secs(20), self.output.next_line()).await;
        line.expect("nothing in time").unwrap().expect("the bridge has ended")
    }

    async fn hear_value(&mut self) -> Value {
        serde_json::from_str(&self.hear().await).unwrap()
    }

    fn seen<T>(&self, read: impl Fn(&Seen) -> T) -> Vec<T> {
        self.script.seen.lock().unwrap().iter().map(read).collect()
    }

    /// The client closes its side; everything that is left to be read.
    async fn close(mut self) -> Vec<String> {
        drop(self.input);
        let ended = tokio::time::timeout(Duration::from_secs(20), self.run).await;
        ended.expect("no end in time").unwrap().unwrap();
        let mut left = Vec::new();
        while let Some(line) = self.output.next_line().await.unwrap() {
            left.push(line);
        }
        left
    }
}

fn header(name: &'static str) -> impl Fn(&Seen) -> Option<String> {
    move |seen| seen.headers.get(name).map(|value| value.to_str().unwrap().to_owned())
}

fn document(body: &str) -> Reply {
    Reply::Document(200, &[], body.to_owned())
}

fn modern(id: u32, method: &str, more: &str) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\",\"params\":{{{more}\"_meta\":{{\
         \"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\
         \"io.modelcontextprotocol/clientCapabilities\":{{}}}}}}}}"
    )
}

const INITIALIZE: &str = "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\"}}";
const AGREED: &str = "{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{\"protocolVersion\":\"2025-11-25\"}}";

#[tokio::test]
async fn messages_pass_as_they_were_written() {
    let answer =
        "{\"result\" : {\"z\":1.0,\"a\":\"\\u00e9\",\"unknown\":[1e3]},\n \"id\":1,\"jsonrpc\":\"2.0\"}";
    let mut scene = scene([document(answer)]).await;
    let sent = modern(1, "tools/call", "\"name\":\"t\\u00f6ol\", \"secureArguments\":{\"b\":1.50, \"a\":2},");
    scene.say(&sent).await;
    assert_eq!(scene.hear().await, answer.replace('\n', " "));
    assert_eq!(scene.seen(|seen| String::from_utf8(seen.body.to_vec()).unwrap()), [sent]);
    assert_eq!(scene.seen(header("mcp-protocol-version")), [Some("2026-07-28".to_owned())]);
    assert_eq!(scene.seen(header("mcp-method")), [Some("tools/call".to_owned())]);
    assert_eq!(scene.seen(header("mcp-name")), [Some("=?base64?dMO2b2w=?=".to_owned())]);
    assert_eq!(scene.seen(header("mcp-session-id")), [None]);
    assert!(scene.close().await.is_empty());
}

#[tokio::test]
async fn arguments_that_headers_mirror_are_mirrored_once_the_tools_were_listed() {
    let tools = json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "t", "inputSchema": {
        "type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}}]}});
    let done = "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}";
    let mut scene = scene([document(&tools.to_string()), document(done)]).await;
    scene.say(&modern(1, "tools/list", "")).await;
    scene.hear().await;
    scene.say(&modern(2, "tools/call", "\"name\":\"t\",\"arguments\":{\"region\":\"eu\"},")).await;
    scene.hear().await;
    assert_eq!(scene.seen(header("mcp-param-region")), [None, Some("eu".to_owned())]);
}

#[tokio::test]
async fn a_modern_request_is_cancelled_by_ending_its_connection() {
    let mut scene = scene([Reply::Events(
        &[],
        "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n".into(),
        true,
    )])
    .await;
    scene.say(&modern(7, "tools/call", "\"name\":\"slow\",")).await;
    assert_eq!(scene.hear().await, "{\"jsonrpc\":\"2.0\",\"method\":\"x\"}");
    scene
        .say("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":7}}")
        .await;
    let abandoned = scene.script.abandoned.clone();
    tokio::time::timeout(Duration::from_secs(10), abandoned.notified()).await.expect("the stream stays open");
    assert_eq!(scene.seen(|seen| seen.method.clone()), [Method::POST], "no message goes out for it");
    assert!(scene.close().await.is_empty(), "and no answer comes");
}

#[tokio::test]
async fn a_session_is_named_begun_anew_when_it_is_forgotten_and_ended() {
    let forgotten =
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-31440,\"message\":\"no such session\"}}";
    let mut scene = scene([
        Reply::Document(200, &[("mcp-session-id", "first")], AGREED.to_owned()),
        Reply::Document(202, &[], String::new()),
        Reply::Document(404, &[], forgotten.to_owned()),
        Reply::Document(200, &[("mcp-session-id", "second")], AGREED.to_owned()),
        Reply::Document(202, &[], String::new()),
        document("{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{\"tools\":[]}}"),
        Reply::Document(200, &[], String::new()),
    ])
    .await;
    scene.say(INITIALIZE).await;
    assert_eq!(scene.hear().await, AGREED);
    scene.say("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}").await;
    scene.say("{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/list\"}").await;
    assert_eq!(scene.hear().await, "{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{\"tools\":[]}}");
    let script = scene.script.clone();
    assert!(scene.close().await.is_empty(), "the client hears of no second handshake");
    let seen = script.seen.lock().unwrap();
    let posts: Vec<_> = seen
        .iter()
        .filter(|seen| seen.method != Method::GET)
        .map(|seen| {
            let method = serde_json::from_slice::<Value>(&seen.body).ok();
            let method = method.and_then(|body| Some(body.get("method")?.as_str()?.to_owned()));
            (
                method.unwrap_or_else(|| seen.method.to_string()),
                header("mcp-session-id")(seen).unwrap_or_default(),
            )
        })
        .collect();
    let expected = [
        ("initialize", ""),
        ("notifications/initialized", "first"),
        ("tools/list", "first"),
        ("initialize", ""),
        ("notifications/initialized", "second"),
        ("tools/list", "second"),
        ("DELETE", "second"),
    ];
    assert_eq!(posts, expected.map(|(method, session)| (method.to_owned(), session.to_owned())));
    let versions: Vec<_> = seen.iter().filter_map(header("mcp-protocol-version")).collect();
    assert!(versions.iter().all(|version| version == "2025-11-25"), "{versions:?}");
}

#[tokio::test]
async fn a_numbered_stream_that_breaks_is_taken_up_after_its_last_event() {
    let mut scene = scene([
        document(AGREED),
        Reply::Events(
            &[],
            "id: e1\nretry: 10\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"n/1\"}\n\n".into(),
            false,
        ),
        Reply::Events(
            &[],
            "id: e2\ndata: {\"jsonrpc\":\"2.0\",\"id\":3,\ndata: \"result\":{}}\n\n".into(),
            false,
        ),
    ])
    .await;
    scene.say(INITIALIZE).await;
    scene.hear().await;
    scene.say("{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"tools/call\",\"params\":{\"name\":\"t\"}}").await;
    assert_eq!(scene.hear().await, "{\"jsonrpc\":\"2.0\",\"method\":\"n/1\"}");
    assert_eq!(scene.hear().await, "{\"jsonrpc\":\"2.0\",\"id\":3, \"result\":{}}");
    assert_eq!(scene.seen(header("last-event-id")).last().unwrap().as_deref(), Some("e1"));
}

#[tokio::test]
async fn what_may_have_been_carried_out_is_answered_and_not_sent_again() {
    let mut scene =
        scene([Reply::Events(&[], "data: {\"jsonrpc\":\"2.0\",\"method\":\"n/1\"}\n\n".into(), false)]).await;
    scene.say(&modern(4, "tools/call", "\"name\":\"t\",")).await;
    scene.hear().await;
    let answer = scene.hear_value().await;
    assert_eq!((&answer["id"], &answer["error"]["data"]["code"]), (&json!(4), &json!("connect.interrupted")));
    assert_eq!(scene.seen(|_| ()).len(), 1);
}

#[tokio::test]
async fn a_refusal_reaches_the_request_that_it_is_about_with_the_gateways_own_code() {
    let refusal = "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-31429,\"message\":\"m\",\"data\":{\"code\":\"limit.rate\"}}}";
    let mut scene = scene([
        Reply::Document(429, &[], refusal.to_owned()),
        Reply::Document(502, &[], "<html>".to_owned()),
    ])
    .await;
    scene.say(&modern(1, "tools/list", "")).await;
    let answer = scene.hear_value().await;
    assert_eq!((&answer["id"], &answer["error"]["data"]["code"]), (&json!(1), &json!("limit.rate")));
    scene.say(&modern(2, "tools/list", "")).await;
    let answer = scene.hear_value().await;
    assert_eq!((&answer["id"], &answer["error"]["data"]["code"]), (&json!(2), &json!("connect.answer")));
    assert_eq!(answer["error"]["data"]["cause"], "HTTP status 502");
}

#[tokio::test]
async fn what_is_no_message_is_answered_and_ends_nothing() {
    let mut scene = scene([document("{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{}}")]).await;
    scene.say("not json").await;
    assert_eq!(scene.hear_value().await["error"]["code"], -32700);
    let batch = format!(
        "[{},{{\"jsonrpc\":\"2.0\",\"method\":\"n\"}},{}]",
        modern(1, "ping", ""),
        modern(2, "ping", "")
    );
    scene.say(&batch).await;
    for id in [1, 2] {
        let answer = scene.hear_value().await;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(id), &json!(-32600)));
    }
    scene.say(&modern(9, "ping", "")).await;
    assert_eq!(scene.hear().await, "{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{}}");
    assert!(scene.close().await.is_empty());
}

#[tokio::test]
async fn a_bridge_that_is_stopped_answers_what_still_runs() {
    let mut scene = scene([Reply::Events(&[], ": hello\n\n".into(), true)]).await;
    scene.say(&modern(1, "tools/call", "\"name\":\"slow\",")).await;
    let script = scene.script.clone();
    let began = async {
        while script.seen.lock().unwrap().is_empty() {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(Duration::from_secs(10), began).await.unwrap();
    scene.stop.cancel();
    let answer = scene.hear_value().await;
    assert_eq!((&answer["id"], &answer["error"]["data"]["code"]), (&json!(1), &json!("connect.stopped")));
    assert!(scene.close().await.is_empty());
}

#[tokio::test]
async fn the_end_of_input_waits_for_answers_and_not_for_listeners() {
    let mut scene = scene([
        Reply::Events(&[], ": listening\n\n".into(), true),
        document("{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}"),
    ])
    .await;
    scene.say(&modern(1, "subscriptions/listen", "\"notifications\":{},")).await;
    let script = scene.script.clone();
    let began = async {
        while script.seen.lock().unwrap().is_empty() {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(Duration::from_secs(10), began).await.unwrap();
    scene.say(&modern(2, "ping", "")).await;
    let said = scene.close().await;
    assert!(said.contains(&"{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}".to_owned()), "{said:?}");
}

#[tokio::test]
async fn a_door_that_is_not_there_is_named_after_its_time() {
    // The address is refused before anything is dialled, so nothing is waited for.
    let client = OutboundClient::new(&OutboundConfig::default()).unwrap();
    let refused = client.open(gateway_adapters::https::OutboundRequest::new(
        Method::POST,
        Url::parse("http://192.0.2.1/").unwrap(),
    ));
    assert!(matches!(refused.await, Err(gateway_adapters::https::OpenError::NotSent(_))));
}
