//! An upstream as fast as it can be made: demands one exact `Authorization`, echoes `tools/call`.
//!
//! It says `127.0.0.1:PORT` on standard output and serves until it is killed. `GET /seen` tells how
//! many calls came with the credential and how many requests were refused for lack of it.

use std::cell::Cell;
use std::convert::Infallible;
use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;
use clap::Parser;
use gateway_bench::{Failure, UPSTREAM_PATH, announce, read_line};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;

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
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    method: &'a str,
    #[serde(borrow)]
    params: Parameters<'a>,
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

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() == Method::GET && request.uri().path() == "/seen" {
            let seen = format!(r#"{{"calls":{},"refused":{}}}"#, self.calls.get(), self.refused.get());
            return json(StatusCode::OK, seen);
        }
        if !self.knows(request.headers()) {
            self.refused.set(self.refused.get() + 1);
            return json(StatusCode::UNAUTHORIZED, r#"{"error":"no credential"}"#.to_owned());
        }
        if request.method() != Method::POST || request.uri().path() != UPSTREAM_PATH {
            return json(StatusCode::NOT_FOUND, "{}".to_owned());
        }
        let Ok(body) = request.into_body().collect().await else {
            return json(StatusCode::BAD_REQUEST, "{}".to_owned());
        };
        match serde_json::from_slice::<Call<'_>>(&body.to_bytes()) {
            Ok(call) if call.method == "tools/call" && call.params.name == "echo" => {
                self.calls.set(self.calls.get() + 1);
                json(StatusCode::OK, echo(call.id, call.params.arguments.text))
            }
            _ => json(StatusCode::BAD_REQUEST, "{}".to_owned()),
        }
    }
}

/// The result, in the shape of 2026-07-28. Id and text stand exactly as they came.
fn echo(id: &RawValue, text: &RawValue) -> String {
    let (id, text) = (id.get(), text.get());
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","content":[{{"type":"text","text":{text}}}],"isError":false}}}}"#
    )
}

fn json(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
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
    let upstream = Rc::new(Upstream { credential, calls: Cell::new(0), refused: Cell::new(0) });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, serve(upstream))
}
