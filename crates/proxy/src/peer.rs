//! Who is at the other end of a connection, for as long as it lasts.

use std::net::IpAddr;

use gateway_core::identity::PresentedCertificates;
use tokio::sync::watch;

/// The other end of one connection.
#[derive(Debug)]
pub struct Peer {
    /// Where it connects from.
    pub address: IpAddr,
    /// The certificates that it showed in the handshake.
    pub certificates: Option<PresentedCertificates>,
    dismissed: watch::Sender<bool>,
}

impl Peer {
    /// A peer at this address.
    pub fn new(address: IpAddr, certificates: Option<PresentedCertificates>) -> Self {
        Self { address, certificates, dismissed: watch::Sender::new(false) }
    }

    /// Ends the connection once its running requests are answered: a client that keeps it would go on
    /// showing the certificates of the handshake, and they are no longer any good.
    pub(crate) fn dismiss(&self) {
        self.dismissed.send_replace(true);
    }

    /// Returns once the peer was dismissed.
    pub(crate) async fn dismissed(&self) {
        let mut dismissed = self.dismissed.subscribe();
        // The guard must not live across an await; the sender lives as long as `self`.
        drop(dismissed.wait_for(|dismissed| *dismissed).await);
    }
}
