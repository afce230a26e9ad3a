//! The PROXY protocol header, versions 1 and 2, from trusted proxies only.

use std::io;
use std::net::IpAddr;

use ppp::{HeaderResult, PartialResult, v1, v2};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The longest header taken: version 2 with room for a few extensions.
const LONGEST: usize = 536;

/// Reads exactly the header and returns the address it announces; `None` where the proxy speaks for
/// itself (`LOCAL`, `UNKNOWN`).
///
/// # Errors
/// Where the connection does not begin with a valid header.
pub(super) async fn announced(stream: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    let mut head = Vec::with_capacity(128);
    loop {
        // Byte by byte: what follows the header belongs to TLS or HTTP.
        head.push(stream.read_u8().await?);
        let parsed = HeaderResult::parse(&head);
        if !parsed.is_incomplete() {
            return address(&parsed);
        }
        if head.len() >= LONGEST {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
    }
}

fn address(parsed: &HeaderResult<'_>) -> io::Result<Option<IpAddr>> {
    match parsed {
        HeaderResult::V1(Ok(header)) => Ok(match &header.addresses {
            v1::Addresses::Tcp4(tcp) => Some(IpAddr::V4(tcp.source_address)),
            v1::Addresses::Tcp6(tcp) => Some(IpAddr::V6(tcp.source_address)),
            v1::Addresses::Unknown => None,
        }),
        HeaderResult::V2(Ok(header)) => Ok(match &header.addresses {
            v2::Addresses::IPv4(ip) => Some(IpAddr::V4(ip.source_address)),
            v2::Addresses::IPv6(ip) => Some(IpAddr::V6(ip.source_address)),
            v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
        }),
        _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
    }
}
