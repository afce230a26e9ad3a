//! The PROXY protocol header, versions 1 and 2, from trusted proxies only.

use std::io;
use std::net::IpAddr;

use ppp::{v1, v2};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The longest version 1 header (specification, section 2.1), and the longest version 2 header taken:
/// room for a few extensions.
const LONGEST_TEXT: usize = 107;
const LONGEST_BINARY: usize = 536;
/// A version 2 header up to and with its length.
const BINARY_START: usize = 16;

/// Reads exactly the header and returns the address it announces; `None` where the proxy speaks for
/// itself (`LOCAL`, `UNKNOWN`). What follows the header belongs to TLS or HTTP and stays unread.
///
/// # Errors
/// Where the connection does not begin with a valid header.
pub(super) async fn announced(stream: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    match stream.read_u8().await? {
        b'P' => text(stream).await,
        b'\r' => binary(stream).await,
        _ => Err(invalid()),
    }
}

fn invalid() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

async fn text(stream: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    let mut head = vec![b'P'];
    while !head.ends_with(b"\r\n") {
        if head.len() >= LONGEST_TEXT {
            return Err(invalid());
        }
        head.push(stream.read_u8().await?);
    }
    let header = v1::Header::try_from(head.as_slice()).map_err(|_| invalid())?;
    Ok(match header.addresses {
        v1::Addresses::Tcp4(tcp) => Some(IpAddr::V4(tcp.source_address)),
        v1::Addresses::Tcp6(tcp) => Some(IpAddr::V6(tcp.source_address)),
        v1::Addresses::Unknown => None,
    })
}

async fn binary(stream: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    let mut head = vec![b'\r'];
    head.resize(BINARY_START, 0);
    stream.read_exact(head.get_mut(1..).unwrap_or_default()).await?;
    let length = match head.as_slice() {
        [.., high, low] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => return Err(invalid()),
    };
    if BINARY_START + length > LONGEST_BINARY {
        return Err(invalid());
    }
    head.resize(BINARY_START + length, 0);
    stream.read_exact(head.get_mut(BINARY_START..).unwrap_or_default()).await?;
    let header = v2::Header::try_from(head.as_slice()).map_err(|_| invalid())?;
    Ok(match header.addresses {
        v2::Addresses::IPv4(ip) => Some(IpAddr::V4(ip.source_address)),
        v2::Addresses::IPv6(ip) => Some(IpAddr::V6(ip.source_address)),
        v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
    })
}
