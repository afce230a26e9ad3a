//! Names to addresses.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;

/// Looks names up. The guard judges what comes, and exactly that is dialled: nothing asks twice.
#[async_trait]
pub trait Resolver: fmt::Debug + Send + Sync {
    /// Every address of the name, with the port.
    ///
    /// # Errors
    /// The name cannot be looked up.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}
