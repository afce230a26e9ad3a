//! Tells the upstream what to send, past whatever is measured.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use gateway_bench::Failure;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// A connection to the upstream.
pub(crate) struct Control {
    sender: SendRequest<Empty<Bytes>>,
    authority: String,
}

/// How the upstream's streams stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Standing {
    /// Streams that are open.
    pub(crate) open: usize,
    /// Flood events that connections took.
    pub(crate) flood_events: u64,
    /// Floods that are not over.
    pub(crate) held_back: usize,
}

impl Control {
    pub(crate) async fn connect(upstream: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(upstream).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(async move { drop(connection.await) });
        Ok(Self { sender, authority: upstream.to_string() })
    }

    async fn command(&mut self, path: &str) -> Result<Standing, Failure> {
        self.sender.ready().await?;
        let request = Request::post(path).header("host", self.authority.as_str()).body(Empty::new())?;
        let body = self.sender.send_request(request).await?.into_body().collect().await?.to_bytes();
        Ok(serde_json::from_slice(&body)?)
    }

    pub(crate) async fn standing(&mut self) -> Result<Standing, Failure> {
        self.command("/streams").await
    }

    /// Sends an event to one stream, or to all.
    pub(crate) async fn event(&mut self, number: u64, stream: Option<u64>) -> Result<(), Failure> {
        let to = stream.map(|stream| format!("&stream={stream}")).unwrap_or_default();
        self.command(&format!("/streams/event?number={number}{to}")).await.map(drop)
    }

    pub(crate) async fn flood(&mut self, streams: &[u64], bytes: u64) -> Result<(), Failure> {
        self.command(&format!("/streams/flood?bytes={bytes}{}", list(streams))).await.map(drop)
    }

    pub(crate) async fn calm(&mut self, streams: &[u64]) -> Result<(), Failure> {
        self.command(&format!("/streams/calm?{}", list(streams))).await.map(drop)
    }

    /// Waits until it holds; how the streams stood last.
    pub(crate) async fn until(
        &mut self,
        within: Duration,
        mut holds: impl FnMut(Standing) -> bool,
    ) -> Result<Standing, Failure> {
        let deadline = Instant::now() + within;
        loop {
            let standing = self.standing().await?;
            if holds(standing) || Instant::now() > deadline {
                return Ok(standing);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn list(streams: &[u64]) -> String {
    streams.iter().map(|stream| format!("&stream={stream}")).collect()
}
