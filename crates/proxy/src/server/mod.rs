//! Accept loops: one current-thread runtime per data thread, each with its own accept queue
//! (`SO_REUSEPORT`), so that a connection and everything it causes stays on one core.

mod announced;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use gateway_core::identity::PresentedCertificates;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::gateway::Gateway;
use crate::path::body::AnswerBody;
use crate::peer::Peer;
use crate::upstream::Upstreams;

/// How long a connection may take to say what it wants.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// One data thread's view of the world.
#[derive(Clone)]
struct Thread {
    gateway: Arc<Gateway>,
    upstreams: Arc<Upstreams>,
    tls: Option<TlsAcceptor>,
    shutdown: watch::Receiver<bool>,
}

/// Binds an accept queue on the address; several may share it.
///
/// # Errors
/// The operating system's own.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// Serves one accept queue until `shutdown` says `true`, then lets running requests end.
///
/// # Errors
/// Where the queue cannot be used.
pub async fn serve(
    listener: std::net::TcpListener,
    gateway: Arc<Gateway>,
    tls: Option<Arc<rustls::ServerConfig>>,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let upstreams = Upstreams::new(Arc::clone(&gateway.settings.resolver));
    let thread =
        Thread { gateway, upstreams: Arc::new(upstreams), tls: tls.map(TlsAcceptor::from), shutdown };
    let mut stop = thread.shutdown.clone();
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return Ok(()),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => drop(tokio::spawn(connection(thread.clone(), stream, peer.ip()))),
                // Out of descriptors and the like: give others time to end.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
        }
    }
}

async fn connection(thread: Thread, mut stream: TcpStream, peer: IpAddr) {
    // Small answers must not wait for an acknowledgement.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let settings = &thread.gateway.settings;
    let trusted = settings.trusted_proxies.iter().any(|net| net.contains(&peer));
    let peer = if settings.proxy_protocol && trusted {
        match tokio::time::timeout(HEAD_TIME, Box::pin(announced::announced(&mut stream))).await {
            Ok(Ok(announced)) => announced.unwrap_or(peer),
            _ => return,
        }
    } else {
        peer
    };
    match thread.tls.clone() {
        None => speak_http1(thread, stream, Peer::new(peer, None)).await,
        // Boxed: a task is as large as the largest thing it may do, and lasts as long as its stream.
        Some(acceptor) => Box::pin(encrypted(thread, acceptor, stream, peer)).await,
    }
}

async fn encrypted(thread: Thread, acceptor: TlsAcceptor, stream: TcpStream, peer: IpAddr) {
    let Ok(Ok(stream)) = tokio::time::timeout(HEAD_TIME, acceptor.accept(stream)).await else { return };
    let session = stream.get_ref().1;
    let peer = Peer::new(peer, session.peer_certificates().and_then(presented));
    if session.alpn_protocol() == Some(b"h2") {
        Box::pin(speak_http2(thread, stream, peer)).await;
    } else {
        Box::pin(speak_http1(thread, stream, peer)).await;
    }
}

/// The chain of the handshake, which the listener's verifier let through.
fn presented(chain: &[CertificateDer<'_>]) -> Option<PresentedCertificates> {
    PresentedCertificates::new(chain.iter().map(|der| Box::from(der.as_ref())).collect())
}

/// Serves HTTP/1.1. Nothing here ends an answer under way: the one time limit is for heads.
async fn speak_http1<S>(thread: Thread, stream: S, peer: Peer)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut stop = thread.shutdown.clone();
    let peer = Arc::new(peer);
    let own = Arc::clone(&peer);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(thread.gateway.settings.header_bytes)
        .serve_connection(TokioIo::new(stream), service_fn(move |request| answer(&thread, &own, request)));
    tokio::pin!(served);
    tokio::select! {
        _ = served.as_mut() => return,
        () = stopped(&mut stop) => served.as_mut().graceful_shutdown(),
        () = peer.dismissed() => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}

/// Serves HTTP/2. A client that answers no ping is gone, whatever streams it had.
async fn speak_http2<S>(thread: Thread, stream: S, peer: Peer)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut stop = thread.shutdown.clone();
    let peer = Arc::new(peer);
    let own = Arc::clone(&peer);
    let header_bytes = thread.gateway.settings.header_bytes;
    let served = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .max_concurrent_streams(256)
        .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
        .serve_connection(TokioIo::new(stream), service_fn(move |request| answer(&thread, &own, request)));
    tokio::pin!(served);
    tokio::select! {
        _ = served.as_mut() => return,
        () = stopped(&mut stop) => served.as_mut().graceful_shutdown(),
        () = peer.dismissed() => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}

/// The answer to one request, in a box: the connection keeps the place of this future for as long as
/// it lasts, and a stream needs no more than the box once its answer has begun.
fn answer(
    thread: &Thread,
    peer: &Arc<Peer>,
    request: Request<Incoming>,
) -> BoxFuture<'static, Result<Response<AnswerBody>, Infallible>> {
    let (gateway, upstreams) = (Arc::clone(&thread.gateway), Arc::clone(&thread.upstreams));
    let peer = Arc::clone(peer);
    Box::pin(async move { Ok(gateway.handle(&upstreams, &peer, request).await) })
}

/// Returns once the process is told to stop, or nobody is left to tell it.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // The guard that this returns must not live across an await.
    drop(shutdown.wait_for(|stop| *stop).await);
}
