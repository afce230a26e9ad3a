//! Connections to upstream servers: pools by everything that decides whom they reach, one set per data
//! thread.

mod body;
mod connect;
mod failure;
mod outgoing;
mod pool;
mod resolve;
pub mod stdio;
mod tls;
mod wire;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gateway_core::manifest::HttpRoute;
use gateway_core::refusal::{Code, Refusal};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::Instant;

pub use body::{Broken, UpstreamBody};
pub use gateway_core::address::{AddressRefused, allowed};
pub use resolve::{Resolver, SystemResolver};

use crate::path::last_look::LastLook;
use outgoing::Outgoing;
use pool::{Kept, Pool, PoolKey};

/// The pools of one data thread.
#[derive(Debug)]
pub struct Upstreams {
    resolver: Arc<dyn Resolver>,
    pools: Mutex<HashMap<PoolKey, Kept>>,
}

impl Default for Upstreams {
    fn default() -> Self {
        Self::new(Arc::new(SystemResolver))
    }
}

impl Upstreams {
    /// No connection yet.
    pub fn new(resolver: Arc<dyn Resolver>) -> Self {
        Self { resolver, pools: Mutex::default() }
    }

    /// Sends the request along the approved route. Redirects are never followed. The last look is taken when
    /// a connection has been found and asks for the body: before that, nothing of it has left.
    ///
    /// # Errors
    /// [`Code::AddressRefused`], [`Code::UpstreamUnreachable`], [`Code::UpstreamTimeout`], or one of the
    /// codes about TLS; whatever the last look says.
    pub async fn send(
        &self,
        route: &HttpRoute,
        request: Request<Full<Bytes>>,
        look: Option<LastLook>,
    ) -> Result<Response<Incoming>, Refusal> {
        let pool = self.pool(route)?;
        let limit = Duration::from_secs(u64::from(route.timeout_seconds));
        let request = request.map(|body| Outgoing::new(body, look));
        match tokio::time::timeout(limit, pool.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(failure::failure(&error)),
            Err(_) => Err(Code::UpstreamTimeout.into()),
        }
    }

    fn pool(&self, route: &HttpRoute) -> Result<Pool, Refusal> {
        let now = Instant::now();
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = pools.entry(PoolKey::of(route)).or_insert_with(|| Kept::make(route, &self.resolver, now));
        kept.current(route, &self.resolver, now)
    }
}
