//! Connections that each have one call under way until the calls are used up.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use gateway_bench::Failure;
use http::Uri;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::call::{Template, check, check_type};

type Sender = SendRequest<Full<Bytes>>;

/// Connections that stay open from phase to phase.
pub(crate) struct Clients {
    senders: Vec<Sender>,
    template: Rc<Template>,
    next: Rc<Cell<u64>>,
}

/// What one phase saw.
#[derive(Default)]
pub(crate) struct Seen {
    /// How long each checked call took.
    pub(crate) latencies: Vec<Duration>,
    /// How many calls failed.
    pub(crate) failures: u64,
    /// What the first failure was.
    pub(crate) first_failure: Option<String>,
}

impl Clients {
    pub(crate) async fn connect(url: &Uri, count: usize, template: Template) -> Result<Self, Failure> {
        let host = url.host().ok_or("the URL has no host")?;
        let port = url.port_u16().ok_or("the URL has no port")?;
        let mut senders = Vec::with_capacity(count);
        for _ in 0..count {
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            // Its end shows at the sender.
            tokio::task::spawn_local(async move { drop(connection.await) });
            senders.push(sender);
        }
        Ok(Self { senders, template: Rc::new(template), next: Rc::new(Cell::new(1)) })
    }

    /// Makes this many calls, none begun after `until`.
    pub(crate) async fn phase(&mut self, calls: u64, until: Instant) -> Seen {
        let end = self.next.get() + calls;
        let loops: Vec<_> = self
            .senders
            .drain(..)
            .map(|sender| {
                let (template, next) = (Rc::clone(&self.template), Rc::clone(&self.next));
                tokio::task::spawn_local(call_on(sender, template, next, end, until))
            })
            .collect();
        let mut all = Seen::default();
        for running in loops {
            match running.await {
                Ok((sender, seen)) => {
                    self.senders.push(sender);
                    all.add(seen);
                }
                Err(error) => all.fail(error.to_string()),
            }
        }
        all
    }
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.failures += other.failures;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }

    fn fail(&mut self, why: String) {
        self.failures += 1;
        self.first_failure.get_or_insert(why);
    }
}

async fn call_on(
    mut sender: Sender,
    template: Rc<Template>,
    next: Rc<Cell<u64>>,
    end: u64,
    until: Instant,
) -> (Sender, Seen) {
    let mut seen = Seen::default();
    while next.get() < end && Instant::now() < until {
        let id = next.replace(next.get() + 1);
        let start = Instant::now();
        match call(&mut sender, &template, id).await {
            Ok(()) => seen.latencies.push(start.elapsed()),
            Err(why) => {
                seen.fail(why);
                // A connection in an unknown state makes no further call.
                break;
            }
        }
    }
    (sender, seen)
}

async fn call(sender: &mut Sender, template: &Template, id: u64) -> Result<(), String> {
    let text = |error: hyper::Error| error.to_string();
    sender.ready().await.map_err(text)?;
    let response = sender.send_request(template.request(id)).await.map_err(text)?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(text)?.to_bytes();
    check(id, head.status, &body)?;
    check_type(&head.headers)
}
