//! An upstream as fast as it can be made: demands one exact `Authorization`, echoes `tools/call`, and
//! holds streams open (`subscriptions/listen` of 2026-07-28; sessions with a GET stream of 2025-11-25).
//!
//! It says `127.0.0.1:PORT` on standard output and serves until it is killed. `GET /seen` tells how
//! many calls came with the credential and how many requests were refused for lack of it; `/streams`
//! tells about the open streams, and commands them (see [`streams`]).

mod streams;

use std::cell::Cell;
use std::convert::Infallible;
use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;
use clap::Parser;
use gateway_bench::{Failure, UPSTREAM_PATH, announce, read_line};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;

use streams::{Held, Streams};

type Answer = Response<Either<Full<Bytes>, Held>>;

const SESSION: &str = "mcp-session-id";

/// An MCP-like upstream that demands a credential.
#[derive(Parser)]
struct Arguments {
    /// File with the exact value that `Authorization` must have.
    #[arg(long)]
    credential_file: PathBuf,
}

struct Upstream {
    credential: String,
    calls: Cell<u64>,
    refused: Cell<u64>,
    sessions: Cell<u64>,
    streams: Rc<Streams>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: &'a str,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Parameters<'a> {
    name: &'a str,
    #[serde(borrow)]
    arguments: EchoArguments<'a>,
}

#[derive(Deserialize)]
struct EchoArguments<'a> {
    #[serde(borrow)]
    text: &'a RawValue,
}

impl Upstream {
    fn knows(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let only = values.next().filter(|_| values.next().is_none());
        only.is_some_and(|value| value.as_bytes() == self.credential.as_bytes())
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path();
        if request.method() == Method::GET && path == "/seen" {
            let seen = format!(r#"{{"calls":{},"refused":{}}}"#, self.calls.get(), self.refused.get());
            return json(StatusCode::OK, seen);
        }
        if let Some(state) = self.streams.command(path, request.uri().query().unwrap_or_default()) {
            return json(StatusCode::OK, state);
        }
        if !self.knows(request.headers()) {
            self.refused.set(self.refused.get() + 1);
            return json(StatusCode::UNAUTHORIZED, r#"{"error":"no credential"}"#.to_owned());
        }
        match *request.method() {
            Method::GET if path == UPSTREAM_PATH && request.headers().contains_key(SESSION) => {
                stream(self.streams.open(None))
            }
            Method::DELETE if path == UPSTREAM_PATH && request.headers().contains_key(SESSION) => {
                json(StatusCode::OK, "{}".to_owned())
            }
            Method::POST if path == UPSTREAM_PATH => match request.into_body().collect().await {
                Ok(body) => self.message(&body.to_bytes()),
                Err(_) => json(StatusCode::BAD_REQUEST, "{}".to_owned()),
            },
            _ => json(StatusCode::NOT_FOUND, "{}".to_owned()),
        }
    }

    fn message(&self, body: &[u8]) -> Answer {
        let bad = || json(StatusCode::BAD_REQUEST, "{}".to_owned());
        let Ok(message) = serde_json::from_slice::<Call<'_>>(body) else { return bad() };
        match (message.method, message.id) {
            ("tools/call", Some(id)) => {
                let parameters = message.params.map(|raw| serde_json::from_str::<Parameters<'_>>(raw.get()));
                match parameters {
                    Some(Ok(called)) if called.name == "echo" => {
                        self.calls.set(self.calls.get() + 1);
                        json(StatusCode::OK, echo(id, called.arguments.text))
                    }
                    _ => bad(),
                }
            }
            ("subscriptions/listen", Some(id)) => stream(self.streams.open(Some(acknowledged(id)))),
            ("initialize", Some(id)) => self.session(id),
            (_, None) => {
                let mut accepted = json(StatusCode::ACCEPTED, String::new());
                accepted.headers_mut().remove(header::CONTENT_TYPE);
                accepted
            }
            _ => bad(),
        }
    }

    fn session(&self, id: &RawValue) -> Answer {
        let number = self.sessions.replace(self.sessions.get() + 1);
        let mut answer = json(StatusCode::OK, initialized(id));
        answer.headers_mut().insert(SESSION, HeaderValue::from(number));
        answer
    }
}

/// The first message of a listening stream (2026-07-28, "Subscriptions").
fn acknowledged(id: &RawValue) -> Bytes {
    Bytes::from(format!(
        concat!(
            "event: message\ndata: ",
            r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"#,
            r#""notifications":{{}},"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}}}}}"#,
            "\n\n"
        ),
        id = id.get()
    ))
}

fn initialized(id: &RawValue) -> String {
    format!(
        concat!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"protocolVersion":"2025-11-25","capabilities":{{}},"#,
            r#""serverInfo":{{"name":"bench-upstream","version":"1"}}}}}}"#
        ),
        id = id.get()
    )
}

fn stream(held: Held) -> Answer {
    let mut response = Response::new(Either::Right(held));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

/// The result, in the shape of 2026-07-28. Id and text stand exactly as they came.
fn echo(id: &RawValue, text: &RawValue) -> String {
    let (id, text) = (id.get(), text.get());
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","content":[{{"type":"text","text":{text}}}],"isError":false}}}}"#
    )
}

fn json(status: StatusCode, text: String) -> Answer {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(text))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn serve(upstream: Rc<Upstream>) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(&listener.local_addr()?.to_string())?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let upstream = Rc::clone(&upstream);
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| {
                let upstream = Rc::clone(&upstream);
                async move { Ok::<_, Infallible>(upstream.answer(request).await) }
            });
            // A client that goes away ends its own connection only.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let credential = read_line(&arguments.credential_file)?;
    let upstream = Rc::new(Upstream {
        credential,
        calls: Cell::default(),
        refused: Cell::default(),
        sessions: Cell::default(),
        streams: Rc::default(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, serve(upstream))
}
