//! The address guard of outbound requests: names are looked up once, every address is judged, and only
//! judged ones are dialled.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use gateway_core::address::{self, AddressRefused};
use gateway_core::manifest::AddressScope;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// The operating system's resolver behind the guard.
pub(super) struct GuardedResolver(Arc<[AddressScope]>);

impl GuardedResolver {
    pub(super) fn new(scopes: Vec<AddressScope>) -> Self {
        Self(scopes.into())
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let scopes = Arc::clone(&self.0);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One forbidden address condemns the name: answers that mix are how rebinding looks.
            for address in &found {
                address::allowed(address.ip(), &scopes)?;
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Judges a host that is an address already: no resolver is asked for it.
pub(super) fn literal(url: &Url, scopes: &[AddressScope]) -> Result<(), AddressRefused> {
    match url.host() {
        Some(Host::Ipv4(address)) => address::allowed(IpAddr::V4(address), scopes),
        Some(Host::Ipv6(address)) => address::allowed(IpAddr::V6(address), scopes),
        Some(Host::Domain(_)) | None => Ok(()),
    }
}

/// The guard's refusal among the causes of a failed request.
pub(super) fn refusal_in(error: &(dyn Error + 'static)) -> Option<AddressRefused> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(refused) = cause.downcast_ref::<AddressRefused>() {
            return Some(*refused);
        }
        next = cause.source();
    }
    None
}
