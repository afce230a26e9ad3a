//! The target's way to a server.

use crate::manifest::{HttpRoute, Route};

/// The target's route with another URL.
pub(super) fn with_url(own: Route, url: &url::Url) -> Option<Route> {
    match own {
        Route::Http(mut route) => {
            route.url = url.clone();
            Some(Route::Http(route))
        }
        Route::Stdio(_) => None,
    }
}

/// A first route in the target. Files, sockets and proxies of the source are not taken along.
pub(super) fn fresh(source: &Route, url: &url::Url) -> Option<Route> {
    match source {
        Route::Http(route) => {
            let mut fresh = HttpRoute::to(url.clone());
            fresh.addresses.clone_from(&route.addresses);
            (fresh.generation, fresh.receipt) = (route.generation, route.receipt);
            fresh.timeout_seconds = route.timeout_seconds;
            Some(Route::Http(Box::new(fresh)))
        }
        Route::Stdio(_) => None,
    }
}
