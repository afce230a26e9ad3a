//! Connecting accounts: a person grants the gateway something at a provider, looks at what they granted, and
//! ends it (docs/user-delegated.md).
//!
//! Whoever is logged in with the browser acts, for nobody but themselves: what they grant is theirs, whoever
//! sent them the link.

mod ask;
mod grants;
mod link;
mod way;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use gateway_core::connect::Connections;
use gateway_core::login::Fault;
use http::Response;

use crate::context::{Login, Source};
use crate::evidence::About;
use crate::page::{Html, refusal};
use crate::pages::Connected;
use crate::session::Signed;

/// Where providers send browsers back to; every provider knows this address.
pub const CALLBACK: &str = gateway_core::client::CALLBACK_PATH;
/// Where the form goes that sends a person to a provider.
const BEGIN: &str = "/connect/begin";
/// The page of a person's grants.
const GRANTS: &str = "/grants";
/// Where the form goes that ends one.
const END: &str = "/grants/end";

pub(crate) fn routes() -> Router<Arc<Login>> {
    Router::new()
        .route("/connect/{environment}/{provider}", get(ask::page))
        .route(BEGIN, post(way::begin))
        .route(CALLBACK, get(way::callback))
        .route(GRANTS, get(grants::page))
        .route(END, post(grants::end))
}

impl Login {
    fn connections(&self) -> Result<&Arc<dyn Connections>, Fault> {
        self.connections.as_ref().ok_or(Fault::Unavailable)
    }
}

/// A page that says what is wrong, with evidence of it.
fn refused(login: &Login, fault: Fault, signed: Option<&Signed>, connected: Connected) -> Response<Body> {
    let about = About {
        user: signed.map(|signed| &signed.person.user),
        session: signed.map(|signed| signed.id.as_str()),
        source: connected.map(|axum::extract::Extension(Source(address))| address),
        client: None,
    };
    login.refused(fault, about);
    let mut more = Html::new();
    if let Some(signed) = signed {
        more = more
            .raw("<p>You are logged in as <strong>")
            .text(&signed.person.user.subject)
            .raw("</strong>.</p>")
            .html(&crate::pages::sign_out_form(login, &signed.cookie));
    }
    refusal(fault, &more.raw("<p><a href=\"/grants\">Your connected accounts</a></p>"))
}

/// A list of scopes for people.
fn scope_list(scopes: &[String]) -> Html {
    if scopes.is_empty() {
        return Html::new().raw("what the provider gives by itself");
    }
    let start = Html::new().raw("<ul>");
    let items =
        scopes.iter().fold(start, |html, scope| html.raw("<li><code>").text(scope).raw("</code></li>"));
    items.raw("</ul>")
}

/// The host of an issuer, which is what people know of it.
fn host(issuer: &str) -> String {
    let url = url::Url::parse(issuer).ok();
    url.as_ref().and_then(url::Url::host_str).unwrap_or(issuer).to_owned()
}
