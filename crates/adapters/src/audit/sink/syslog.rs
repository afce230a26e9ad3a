//! Syslog over TCP or TLS. The protocol has no acknowledgement: a message counts as taken when its bytes
//! were handed over and the same connection was still there a while later. What was not, is sent again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::audit::ChainId;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::config::SyslogConfig;
use super::frame::Origin;
use super::transport::{Failure, Transport};
use crate::audit::cursor::Batch;
use crate::https::{OutboundBuildError, OutboundConfig, tls};

/// How long a connection may take to come about, the handshake of TLS included.
const CONNECTING: Duration = Duration::from_secs(5);
/// How long one batch may take to leave.
const WRITING: Duration = Duration::from_secs(30);
/// The example's number of RFC 5612: whoever has one of their own says so.
const ENTERPRISE: u32 = 32_473;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The receiver and the one connection to it.
pub(super) struct Syslog {
    config: SyslogConfig,
    origin: Origin,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    connection: Mutex<Option<Box<dyn Stream>>>,
}

impl std::fmt::Debug for Syslog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Syslog").field("address", &self.config.address.as_str()).finish_non_exhaustive()
    }
}

impl Syslog {
    pub(super) fn new(config: SyslogConfig) -> Result<Self, OutboundBuildError> {
        let host = config.address.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = if config.address.scheme() == "tls" { Some(connector(&config, &host)?) } else { None };
        let hostname = config.hostname.clone().or_else(own_name).unwrap_or_else(|| "-".to_owned());
        let enterprise = config.enterprise_number.unwrap_or(ENTERPRISE);
        let origin = Origin { hostname, process: std::process::id(), enterprise };
        let port = config.address.port().unwrap_or_default();
        Ok(Self { config, origin, host, port, tls, connection: Mutex::default() })
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, std::io::Error> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        // A host that is gone without a word must be noticed before its silence counts as consent.
        let notice = self.config.confirm_after().mul_f64(0.4).max(Duration::from_millis(400));
        let socket = SockRef::from(&stream);
        socket.set_tcp_user_timeout(Some(notice))?;
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(15)))?;
        let Some((connector, name)) = &self.tls else { return Ok(Box::new(stream)) };
        Ok(Box::new(connector.connect(name.clone(), stream).await?))
    }
}

/// What this machine calls itself, where that can stand in a message.
fn own_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    let fits = (1..=255).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| name.to_owned())
}

fn connector(
    config: &SyslogConfig,
    host: &str,
) -> Result<(TlsConnector, ServerName<'static>), OutboundBuildError> {
    let outbound = OutboundConfig {
        ca_file: config.ca_file.clone(),
        client_certificate: config.client_certificate.clone(),
        ..OutboundConfig::default()
    };
    let client = tls::client_config(&outbound)?;
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|error| OutboundBuildError::Client(error.to_string()))?;
    Ok((TlsConnector::from(Arc::new(client)), name))
}

/// Whether the other side still holds the connection. A receiver says nothing, so whatever can be read is
/// the end of it; anything else is dropped.
async fn look(stream: &mut dyn Stream) -> Result<(), Failure> {
    let mut heard = [0_u8; 512];
    loop {
        match timeout(Duration::from_millis(1), stream.read(&mut heard)).await {
            Err(_) => return Ok(()),
            Ok(Ok(0)) => return Err(Failure::new("the receiver has closed the connection")),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(Failure::new(format!("the connection broke: {error}"))),
        }
    }
}

#[async_trait]
impl Transport for Syslog {
    async fn send(&self, chain: ChainId, batch: &Batch) -> Result<(), Failure> {
        let mut held = self.connection.lock().await;
        // Taken out: whatever goes wrong, also that nobody waits any more, ends the connection.
        let mut stream = match held.take() {
            Some(mut stream) => {
                look(&mut *stream).await?;
                stream
            }
            None => match timeout(CONNECTING, self.connect()).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return Err(Failure::new(format!("no connection: {error}"))),
                Err(_) => return Err(Failure::new("no connection in time")),
            },
        };
        let mut bytes = Vec::with_capacity(batch.body.len().saturating_add(256 * batch.lines));
        batch.lines().for_each(|line| self.origin.frame(chain, line, &mut bytes));
        let written = timeout(WRITING, async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        });
        match written.await {
            Ok(Ok(())) => {
                *held = Some(stream);
                Ok(())
            }
            Ok(Err(error)) => Err(Failure::new(format!("the connection broke: {error}"))),
            Err(_) => Err(Failure::new("the receiver does not read")),
        }
    }

    fn confirmed_after(&self) -> Duration {
        self.config.confirm_after()
    }

    fn window(&self) -> u64 {
        self.config.window()
    }

    async fn is_alive(&self) -> Result<(), Failure> {
        let mut held = self.connection.lock().await;
        let mut stream = held.take().ok_or_else(|| Failure::new("the connection is gone"))?;
        look(&mut *stream).await?;
        *held = Some(stream);
        Ok(())
    }
}
