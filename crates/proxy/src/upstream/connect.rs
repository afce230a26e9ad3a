//! Dialling: resolve once, judge every address, dial a judged one; or by way of the route's proxy.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use gateway_core::manifest::{AddressScope, HttpRoute};
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use super::guard;

const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Opens guarded TCP connections.
#[derive(Debug, Clone)]
pub(crate) struct GuardedConnector {
    scopes: Vec<AddressScope>,
    proxy: Option<Url>,
}

impl GuardedConnector {
    pub(crate) fn new(route: &HttpRoute) -> Self {
        Self { scopes: route.addresses.clone(), proxy: route.proxy.clone() }
    }

    async fn open(self, uri: Uri) -> io::Result<TokioIo<TcpStream>> {
        let host = uri.host().ok_or_else(|| io::Error::other("no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let dial = async {
            match &self.proxy {
                None => self.dial(host, port).await,
                Some(proxy) => {
                    let proxy_host =
                        proxy.host_str().ok_or_else(|| io::Error::other("the proxy has no host"))?;
                    let stream = self.dial(proxy_host, proxy.port_or_known_default().unwrap_or(80)).await?;
                    tunnel(stream, host, port).await
                }
            }
        };
        let stream = tokio::time::timeout(CONNECT_TIME, dial)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        stream.set_nodelay(true)?;
        Ok(TokioIo::new(stream))
    }

    async fn dial(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        let addresses: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
        // One forbidden address condemns the name: answers that mix are how rebinding looks.
        for address in &addresses {
            guard::allowed(address.ip(), &self.scopes).map_err(io::Error::other)?;
        }
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
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().open(uri))
    }
}
