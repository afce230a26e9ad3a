//! Dialling: resolve once, judge every address, dial a judged one; or by way of the route's proxy; or
//! through a socket of this machine.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use gateway_core::address;
use gateway_core::manifest::{AddressScope, HttpRoute};
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use url::Url;

use super::resolve::Resolver;
use super::wire::Wire;

const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Opens guarded TCP connections, or connects to the route's socket.
#[derive(Debug, Clone)]
pub(crate) struct GuardedConnector {
    socket: Option<PathBuf>,
    scopes: Vec<AddressScope>,
    proxy: Option<Url>,
    resolver: Arc<dyn Resolver>,
}

impl GuardedConnector {
    pub(crate) fn new(route: &HttpRoute, resolver: Arc<dyn Resolver>) -> Self {
        Self {
            socket: route.socket.clone(),
            scopes: route.addresses.clone(),
            proxy: route.proxy.clone(),
            resolver,
        }
    }

    async fn open(self, uri: Uri) -> io::Result<TokioIo<Wire>> {
        let wire = tokio::time::timeout(CONNECT_TIME, self.wire(&uri)).await;
        Ok(TokioIo::new(wire.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??))
    }

    async fn wire(&self, uri: &Uri) -> io::Result<Wire> {
        if let Some(socket) = &self.socket {
            // The approved path is the destination; the URL's host is a name for the server alone.
            let stream = UnixStream::connect(socket).await;
            let named = |error: io::Error| {
                io::Error::new(error.kind(), format!("socket `{}`: {error}", socket.display()))
            };
            return stream.map(Wire::Unix).map_err(named);
        }
        let host = uri.host().ok_or_else(|| io::Error::other("no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let stream = match &self.proxy {
            None => self.dial(host, port).await?,
            Some(proxy) => {
                let proxy_host = proxy.host_str().ok_or_else(|| io::Error::other("the proxy has no host"))?;
                let proxy_host = proxy_host.trim_start_matches('[').trim_end_matches(']');
                let stream = self.dial(proxy_host, proxy.port_or_known_default().unwrap_or(80)).await?;
                tunnel(stream, host, port).await?
            }
        };
        stream.set_nodelay(true)?;
        Ok(Wire::Tcp(stream))
    }

    async fn dial(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => self.resolver.resolve(host, port).await?,
        };
        // One forbidden address condemns the name: answers that mix are how rebinding looks.
        for found in &addresses {
            address::allowed(found.ip(), &self.scopes).map_err(io::Error::other)?;
        }
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Asks the proxy for a tunnel (RFC 9110, section 9.3.6).
async fn tunnel(mut stream: TcpStream, host: &str, port: u16) -> io::Result<TcpStream> {
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    stream.write_all(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes()).await?;
    let mut head = Vec::with_capacity(256);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > 8 * 1024 {
            return Err(io::Error::other("the proxy's answer is too long"));
        }
        head.push(stream.read_u8().await?);
    }
    let accepted = head.split(|byte| *byte == b' ').nth(1).is_some_and(|status| status.starts_with(b"2"));
    if accepted { Ok(stream) } else { Err(io::Error::other("the proxy refused the tunnel")) }
}

impl tower::Service<Uri> for GuardedConnector {
    type Response = TokioIo<Wire>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().open(uri))
    }
}
