//! A scripted upstream: keeps what it was sent, answers what the test says.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

pub type ScriptedBody = BoxBody<Bytes, Infallible>;
pub type ScriptedResponse = Response<ScriptedBody>;
type Answering = Pin<Box<dyn Future<Output = Response<ScriptedBody>> + Send>>;
type Script = Arc<dyn Fn(Seen) -> Answering + Send + Sync>;

/// One request as the upstream saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: Method,
    pub headers: HeaderMap,
    pub body: Bytes,
}

pub struct Upstream {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Vec<Seen>>>,
}

impl Upstream {
    pub async fn start<F>(script: impl Fn(Seen) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response<ScriptedBody>> + Send + 'static,
    {
        let attendant = Attendant::new(script);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::clone(&attendant.seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(attendant.clone().attend(stream));
            }
        });
        Self { address, seen }
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().cloned().unwrap()
    }
}

/// Follows the script on whatever connection a test accepts.
#[derive(Clone)]
pub struct Attendant {
    script: Script,
    pub seen: Arc<Mutex<Vec<Seen>>>,
}

impl Attendant {
    pub fn new<F>(script: impl Fn(Seen) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response<ScriptedBody>> + Send + 'static,
    {
        Self { script: Arc::new(move |seen| Box::pin(script(seen))), seen: Arc::default() }
    }

    /// Answers every call with an empty result.
    pub fn agreeable() -> Self {
        Self::new(|_| async { json(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#) })
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub async fn attend(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let service = service_fn(move |request: Request<Incoming>| {
            let (script, log) = (Arc::clone(&self.script), Arc::clone(&self.seen));
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let one = Seen { method: parts.method, headers: parts.headers, body };
                log.lock().unwrap().push(one.clone());
                Ok::<_, Infallible>(script(one).await)
            }
        });
        let http1 = hyper::server::conn::http1::Builder::new();
        drop(http1.serve_connection(TokioIo::new(stream), service).await);
    }
}

/// A whole JSON answer.
pub fn json(text: impl Into<String>) -> Response<ScriptedBody> {
    typed("application/json", text)
}

pub fn typed(kind: &str, text: impl Into<String>) -> Response<ScriptedBody> {
    let body = Full::new(Bytes::from(text.into())).boxed();
    Response::builder().header("content-type", kind).body(body).unwrap()
}

/// An event stream fed by the test through the sender.
pub fn events() -> (mpsc::UnboundedSender<&'static str>, Response<ScriptedBody>) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<&'static str>();
    let stream = futures::stream::poll_fn(move |context| {
        receiver.poll_recv(context).map(|text| text.map(|text| Ok(Frame::data(Bytes::from(text)))))
    });
    let body = BodyExt::boxed(StreamBody::new(stream));
    (sender, Response::builder().header("content-type", "text/event-stream").body(body).unwrap())
}

/// A legacy server with a session: `initialize` opens it, GET is the listening stream that the test
/// feeds, DELETE is taken, and everything else is answered.
pub struct LegacyServer {
    pub upstream: Upstream,
    listening: Arc<Mutex<Option<mpsc::UnboundedSender<&'static str>>>>,
}

impl LegacyServer {
    pub async fn start() -> Self {
        let listening = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&listening);
        let upstream = Upstream::start(move |seen| {
            let response = if seen.method == Method::GET {
                let (sender, response) = events();
                sender.send(": open\n\n").unwrap();
                *kept.lock().unwrap() = Some(sender);
                response
            } else {
                let mut response = json(r#"{"jsonrpc":"2.0","id":0,"result":{}}"#);
                if seen.body.windows(12).any(|part| part == b"\"initialize\"") {
                    response.headers_mut().insert("mcp-session-id", "upstream-session".parse().unwrap());
                }
                response
            };
            async move { response }
        })
        .await;
        Self { upstream, listening }
    }

    /// The sending end of the listening stream; its receiver is dropped when the gateway hangs up.
    pub fn listener(&self) -> mpsc::UnboundedSender<&'static str> {
        self.listening.lock().unwrap().clone().unwrap()
    }

    /// How many requests of this HTTP method came.
    pub fn count(&self, method: Method) -> usize {
        self.upstream.seen.lock().unwrap().iter().filter(|seen| seen.method == method).count()
    }

    /// Waits until the server has seen a request of this method.
    pub async fn saw(&self, method: Method) -> Seen {
        eventually(|| self.upstream.seen.lock().unwrap().iter().find(|seen| seen.method == method).cloned())
            .await
    }
}

/// Asks again and again until there is an answer, for ten seconds at most.
pub async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), asking).await.expect("it never happened")
}
